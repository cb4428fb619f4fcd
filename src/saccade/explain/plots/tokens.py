"""Readable labels of tokens, and joining tokens to words."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from saccade.core.errors import InvalidInput
from saccade.core.printable import printable
from saccade.explain.plots.arrays import numbers
from saccade.explain.plots.canvas import spelled

NARROWEST = 0.45  # inches for the name of an image
SPACE, SPECIAL = "▁", re.compile(r"<[^<>\s]+>")
# scripts without spaces between words: Thai to Khmer, Chinese and Japanese
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
# byte-level tokenizers write bytes that are not visible Latin-1 characters as characters from U+0100: a space is "Ġ"
VISIBLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
BYTE_OF = {chr(byte): byte for byte in VISIBLE}
BYTE_OF |= {chr(256 + i): byte for i, byte in enumerate(sorted(set(range(256)) - set(VISIBLE)))}


class Piece(NamedTuple):
    """A token without its marks, in bytes, since a token may end within a character."""

    raw: bytes
    starts: bool
    """Whether a word begins with this token."""

    @property
    def text(self) -> str:
        return printable(self.raw.decode("utf-8", "replace").replace("\n", "↵").replace("\t", "⇥"))


def labels(tokens: Sequence[str]) -> list[str]:
    """A readable label for each token of a sentence.

    "▁want", "Ġwant" and "want</w>" become "want", and "ĠcafÃ©", which is in bytes, "café". In a sentence with such
    marks, a letter or digit that does not begin a word continues one: "ed" and "##ed" become "·ed"; punctuation is
    unchanged. "<s>" and "</s>" become "start" and "end", a control character "�".
    """
    seen, before = [], b""
    for token, piece in zip(tokens, pieces(tokens), strict=True):
        goes_on = not piece.starts and bool(before) and piece.text[:1].isalnum()
        text = {"<s>": "start", "</s>": "end"}.get(token, piece.text or (token and SPACE))
        seen.append(f"·{text}" if goes_on else text)
        before = piece.raw
    return seen


def short_labels(tokens: Sequence[str]) -> list[str]:
    """`labels` for a figure, each cut after 40 characters; a symbol that no font has is spelled out."""
    return [text if len(text) <= 40 else f"{text[:39]}…" for text in map(spelled, labels(tokens))]


def broken(text: str, wide: float) -> str:
    """A name, broken into lines that fit above an image of this width in inches: at spaces, and within a word that is
    longer than a line; wide characters count twice."""
    lines, room = [""], int(11 * max(wide, NARROWEST))
    for word in re.findall(" *[^ ]+", text):
        if lines != [""] and _width(lines[-1] + word) > room:
            lines.append("")
            word = word.lstrip(" ")
        for character in word:
            if _width(lines[-1] + character) > room:
                lines.append("")
            lines[-1] += character
    return "\n".join(lines)


def _width(text: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in text)


def words(tokens: Sequence[str]) -> tuple[list[str], list[range]]:
    """The words of a tokenized sentence, and the positions of the tokens of each, for `join`.

    The marks are those of SentencePiece ("▁" before a word), WordPiece ("##" within it), byte-level ("Ġ" before it) and
    older byte-pair tokenizers ("</w>" after it); without marks, each token is a word. Punctuation at either end of a
    word is separate, and so is every piece of a script without spaces, such as Chinese.
    """
    found = pieces(tokens)
    spans: list[range] = []
    for i, piece in enumerate(found):
        spans = [*spans, range(i, i + 1)] if piece.starts else [*spans[:-1], range(spans[-1].start, i + 1)]
    groups = [group for span in spans for group in _parted(span, found)]
    texts = [Piece(b"".join(found[i].raw for i in group), True).text.strip(f" {SPACE}") for group in groups]
    return [text or "␣" for text in texts], groups


def join(weights: Any, rows: Sequence[range] | None = None, columns: Sequence[range] | None = None) -> Any:
    """Weights (..., q, k) over words, from weights over tokens, as a numpy array in float64.

    Weights are summed over the key tokens of a word and averaged over its query tokens, so rows that sum to one still
    sum to one.

    Args:
        weights: a torch tensor, a numpy array, or lists.
        rows: the positions of the tokens of each query word, from `words`; None: queries are unchanged.
        columns: the same for keys.

    Raises:
        InvalidInput: the positions do not cover the weights, each once and in order.
    """
    found = numbers(weights)
    for axis, groups in ((-1, columns), (-2, rows)):
        if groups is None:
            continue
        size = found.shape[axis] if found.ndim >= 2 else 0
        if not size or [i for group in groups for i in group] != list(range(size)) or not all(groups):
            raise InvalidInput(
                f"expected groups of {size} {'columns' if axis == -1 else 'rows'} of weights {found.shape}"
            )
        found = np.add.reduceat(found, [group.start for group in groups], axis)
        if axis == -2:
            found /= np.array([len(group) for group in groups])[:, None]
    return found


def pieces(tokens: Sequence[str]) -> list[Piece]:
    """The tokens without the marks of their tokenizer."""
    marked = [token for token in tokens if not SPECIAL.fullmatch(token)]
    spaced = any(token.startswith(SPACE) for token in marked)
    in_bytes = not spaced and _in_bytes(marked)
    inner = any(re.match("##[^#]", token) for token in marked)
    ended = any(token.endswith("</w>") for token in marked)
    found: list[Piece] = []
    closed = True  # whether the previous token ends a word
    for token in tokens:
        special = SPECIAL.fullmatch(token) is not None
        raw, starts = printable(token).encode(), True
        if in_bytes and not special:
            raw = bytes(BYTE_OF[character] for character in token)
            starts, raw = raw[:1].isspace(), raw.removeprefix(b" ")
        elif token.startswith(SPACE):
            raw = raw.removeprefix(SPACE.encode())
        elif inner and re.match("##[^#]", token):
            raw, starts = raw[2:], False
        elif ended:
            raw, starts = raw.removesuffix(b"</w>"), False
        elif spaced:
            starts = False
        if (spaced or in_bytes) and found and found[-1].raw and UNSPACED.match(raw.decode("utf-8", "replace")):
            starts = True
        found.append(Piece(raw, starts or special or closed))
        closed = special or (in_bytes and raw[-1:].isspace()) or (ended and token.endswith("</w>"))
    return found


def _in_bytes(tokens: Sequence[str]) -> bool:
    """Whether the tokens come from a byte-level tokenizer: at least one is marked, and together they are UTF-8,
    possibly cut at the ends."""
    if not any(token[:1] in ("Ġ", "Ċ") for token in tokens) or not set("".join(tokens)) <= set(BYTE_OF):
        return False
    raw = bytes(BYTE_OF[character] for token in tokens for character in token)
    try:
        raw.lstrip(bytes(range(0x80, 0xC0))).decode("utf-8")
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return True


def _parted(span: range, found: Sequence[Piece]) -> list[range]:
    """Split off punctuation before and after the word in these pieces, each piece on its own."""
    held = [i for i in span if any(c.isalnum() or c == "�" for c in found[i].text)]
    first, last = (held[0], held[-1]) if held else (span.stop, span.start)
    groups: list[range] = []
    for i in span:
        goes_on = first < i <= last or (i > span.start and not found[i - 1].raw)  # a space on its own is not a word
        groups = [*groups[:-1], range(groups[-1].start, i + 1)] if goes_on else [*groups, range(i, i + 1)]
    return groups
