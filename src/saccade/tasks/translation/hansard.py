"""Rewrite tokens in the style of the parallel text of the Canadian Hansard, so that models trained on that text can
read hand-aligned sentences.

That text is plain text without accents ("m'a-t-on consulte?"). The gold sentences of Och & Ney 2003, from the same
parliament, are tokens with accents, begin in lower case ("i think"), and expand French contractions ("le orateur" for
"l'orateur", "de le" for "du").
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

ELIDED = {"le", "la", "de", "que", "ne", "se", "je", "me", "te", "jusque", "lorsque", "puisque", "quoique"}
# h is silent in some words and aspirated in others ("l'heure", "la hausse"): the frequent silent ones
SILENT_H = (
    r"h(?:abi|arm|ebd|ect|eli|erb|erit|esit|eur|ier$|ist|omm|on[no]|on\.|opi|ora|oriz|orl|orr|ospi|ot|ui[ls]|um|yp)"
)
VOWEL = re.compile(rf"(?!onz|oui$)[aeiou]|y$|{SILENT_H}", re.IGNORECASE)
NO_SPACE = re.compile(
    r" (?=(?:[.,;:?!)\]%]|\.\.\.)(?: |$))"  # before closing punctuation
    r"|(?<=[(\[]) |(?<=\$) (?=\d)"  # after opening punctuation
    r"| (?=-(?: |$))|(?<= -) "  # around a hyphen
    r"| (?='[a-z])|(?<=[a-z]') (?=\w)",  # "member 's", "l' heure"
    re.IGNORECASE,
)


def like_hansard(words: Sequence[str], language: Literal["en", "fr"]) -> tuple[list[str], str]:
    """(words, text): the same number of words, and their sentence, for `word_of_piece(vocabulary, words, text)`.

    Accents are removed, the first word and "I" are capitalised, French vowels are elided before vowels, and spaces
    around punctuation are removed. Two words are not contracted into one ("de le").
    """
    plain = [unaccented(word) for word in words]
    if language == "en":
        plain = ["I" if word == "i" else word for word in plain]
    else:
        plain = [elided(*three) for three in zip(["", *plain], plain, [*plain[1:], ""], strict=False)]
    first = next((i for i, word in enumerate(plain) if word[:1].isalpha()), None)
    if first is not None:
        plain[first] = plain[first][0].upper() + plain[first][1:]
    return plain, NO_SPACE.sub("", " ".join(plain))


def unaccented(word: str) -> str:
    """The word without accents, "œ" as two letters. A word that consists of accents is unchanged."""
    word = word.replace("œ", "oe").replace("Œ", "Oe")
    return "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c)) or word


def elided(before: str, word: str, behind: str) -> str:
    """Elide a French word without accents before another one: "l'" for "le" before "eau", but not in "dites - le a"."""
    low = word.lower()
    if low in ELIDED:
        drops = VOWEL.match(behind) is not None
    else:
        drops = (low == "ce" and re.match("est$|etai|eut$", behind) is not None) or (
            low == "si" and behind in ("il", "ils")
        )
    return word[:-1] + "'" if drops and before != "-" else word
