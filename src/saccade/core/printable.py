"""Text from outside, made fit to be shown: nothing in it breaks a line or steers a terminal, and it is short."""

import re

# control characters, halves of surrogate pairs, line and paragraph separators, and what may not stand in XML
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\ufffe\uffff]")
LONGEST_WORD, LONGEST = 300, 2000  # characters


def printable(text: str, keep: str = "") -> str:
    """The text with "�" for each character that breaks a line, steers a terminal, or may not stand in XML.

    Args:
        text: any text.
        keep: characters that stay, such as a line feed.
    """
    return UNPRINTABLE.sub(lambda found: found[0] if found[0] in keep else "�", text)


def shortened(text: str) -> str:
    """The text with the middle of long words left out, and its own where it is long as a whole."""
    short = re.sub(rf"\S{{{LONGEST_WORD + 1},}}", lambda word: without_middle(word[0], LONGEST_WORD), text)
    return without_middle(short, LONGEST)


def without_middle(text: str, most: int) -> str:
    """The text, or of a longer one its first and its last characters."""
    return text if len(text) <= most else f"{text[: 2 * most // 3]}…{text[-most // 3 :]}"
