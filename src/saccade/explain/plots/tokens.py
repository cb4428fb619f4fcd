"""What a reader sees of a token, and of any text that a picture says."""

import re
import unicodedata
from collections.abc import Sequence

SPACE, SPECIAL = "▁", re.compile(r"<[^<>\s]+>")


def labels(tokens: Sequence[str]) -> list[str]:
    """What a reader sees for each token of a sentence.

    "▁want" reads "want". In a sentence with such marks a letter or digit without one goes on in the same word: "ed"
    reads "·ed"; punctuation stays as it is. "<s>" and "</s>" read "start" and "end", a control character "�".
    """
    marked, seen = any(token.startswith(SPACE) for token in tokens), []
    for before, token in zip(["<s>", *tokens], tokens, strict=False):
        goes_on = marked and token[:1].isalnum() and not SPECIAL.fullmatch(before)
        text = {"<s>": "start", "</s>": "end", SPACE: SPACE}.get(token, printable(token.removeprefix(SPACE)))
        seen.append(f"·{text}" if goes_on else text)
    return seen


def printable(text: str) -> str:
    """The text with "�" for what breaks a line, steers a terminal, or may not stand in XML."""
    bad = ("Cc", "Cs", "Zl", "Zp")
    return "".join("�" if unicodedata.category(c) in bad or ord(c) | 1 == 0xFFFF else c for c in text)
