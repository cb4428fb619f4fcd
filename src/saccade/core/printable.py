"""Make text from outside safe to print: short, on one line, and without control characters."""

import re

# control characters, unpaired surrogates, line and paragraph separators, and characters that XML forbids
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\ufffe\uffff]")
LONGEST_WORD, LONGEST = 300, 2000  # characters


def printable(text: str, keep: str = "") -> str:
    """The text with "�" in place of line breaks, control characters, and characters that XML forbids.

    Args:
        text: any text.
        keep: characters to leave, such as a line feed.
    """
    return UNPRINTABLE.sub(lambda found: found[0] if found[0] in keep else "�", text)


def shortened(text: str) -> str:
    """The text with long words shortened in the middle, then the whole text if it is still long."""
    short = re.sub(rf"\S{{{LONGEST_WORD + 1},}}", lambda word: without_middle(word[0], LONGEST_WORD), text)
    return without_middle(short, LONGEST)


def without_middle(text: str, most: int) -> str:
    """The text; if it is longer than `most`, its first and last characters."""
    return text if len(text) <= most else f"{text[: 2 * most // 3]}…{text[-most // 3 :]}"
