"""A soft alignment as text, for a terminal."""

import shutil
import unicodedata
from collections.abc import Sequence

from saccade.core.errors import InvalidInput
from saccade.explain.plots import Weights, labels, matrix

FLOORS = (0.05, 0.25, 0.5, 0.75)  # the least weight of the second shade, the third, ...
SHADES, ASCII = "·░▒▓█", str.maketrans("·░▒▓█…–", ".-+*#~-")
NARROWEST = 24


def alignment_text(
    weights: Weights, rows: Sequence[str], columns: Sequence[str], width: int | None = None, ascii_only: bool = False
) -> str:
    """Weights (q, k): a line for each row's token, a cell for each column's token, darker for larger weights.

    A line ends with the column of its largest weight, and that weight. The columns' tokens are above if they fit;
    otherwise they are numbered, with a legend below, and columns that do not fit follow in further tables. `width` is
    in cells, by default that of the terminal; a wide character takes two. `ascii_only` escapes other characters.

    Raises:
        InvalidInput: as for `matrix`, or a width below 24.
    """
    table = matrix(weights, rows, columns)
    width = max(NARROWEST, shutil.get_terminal_size().columns) if width is None else width
    if width < NARROWEST:
        raise InvalidInput(f"expected a width of at least {NARROWEST}, got {width}")
    heads, names = _shown(columns, ascii_only), _shown(rows, ascii_only)
    longest, right = max(map(cells, names)), min(max(map(cells, heads)), width // 5)
    sizes = [max(1, cells(head)) for head in heads]  # a token that is empty or has no width still has a cell
    # two gaps of two cells, and " 0.00"; long rows, such as sentences, take what few columns leave
    left = min(longest, max(width // 5, width - right - 9 - sum(sizes) - len(heads)))
    room = width - left - right - 9
    most = [max(range(len(row)), key=row.__getitem__) for row in table]
    ends = [f"{fit(heads[k], right)} {row[k]:.2f}" if row[k] > 0 else "–" for row, k in zip(table, most, strict=True)]
    if sum(sizes) + len(heads) <= room + 1:
        gap, key = " ", []
        above = [[fit(head, size) for head, size in zip(heads, sizes, strict=True)]]
    else:
        numbers = range(1, len(heads) + 1)
        tens = [str(number // 10 % 10) if number % 10 == 0 else " " for number in numbers]
        sizes, gap, above = [1] * len(heads), "", [tens, [str(number % 10) for number in numbers]]
        key = flow([f"{number} {head}" for number, head in zip(numbers, heads, strict=True)], width)
    lines = []
    for first in range(0, len(heads), room if key else len(heads)):
        block = slice(first, first + room if key else None)
        lines += [" " * (left + 2) + gap.join(line[block]) for line in above if set(line[block]) != {" "}]
        for name, row, end in zip(names, table, ends, strict=True):
            shades = [SHADES[sum(weight >= floor for floor in FLOORS)] for weight in row[block]]
            # a dot is not repeated, since a weight of 0 should look empty
            drawn = [s * n if s != SHADES[0] else s.center(n) for s, n in zip(shades, sizes[block], strict=True)]
            lines.append(f"{fit(name, left)}  {gap.join(drawn)}  {end}")
        lines.append("")
    lines += key + flow([f"{shade} from {floor:.2f}" for shade, floor in zip(SHADES[1:], FLOORS, strict=True)], width)
    text = "\n".join(line.rstrip() for line in lines)
    return text.translate(ASCII) if ascii_only else text


def strongest_links(weights: Weights, rows: Sequence[str], columns: Sequence[str], count: int = 3) -> str:
    """The strongest links in words, such as "strongest: chat to cat (0.93), le to the (0.88)", for alternative text."""
    table, queries, keys = matrix(weights, rows, columns), labels(rows), labels(columns)
    # rounded as in evidence, so that a stored picture has the same description
    found = sorted((-round(weight, 3), q, k) for q, row in enumerate(table) for k, weight in enumerate(row))[:count]
    return "strongest: " + ", ".join(f"{queries[q]} to {keys[k]} ({-weight:.2f})" for weight, q, k in found)


def _shown(tokens: Sequence[str], ascii_only: bool) -> list[str]:
    if ascii_only:
        return [text.replace("·", "+").encode("ascii", "backslashreplace").decode() for text in labels(tokens)]
    return labels(tokens)


def cells(text: str) -> int:
    """The width of a text in a terminal."""
    none, wide = ("Mn", "Me", "Cf"), "WF"
    return sum(0 if unicodedata.category(c) in none else 1 + (unicodedata.east_asian_width(c) in wide) for c in text)


def fit(text: str, width: int) -> str:
    """The text, cut or padded to this width."""
    if cells(text) > width:
        while cells(text) > width - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (width - cells(text))


def flow(parts: Sequence[str], width: int) -> list[str]:
    """The parts, in as few lines as possible."""
    lines = [""]
    for part in (fit(part, min(cells(part), width)) for part in parts):
        if lines[-1] and cells(f"{lines[-1]}  {part}") > width:
            lines.append("")
        lines[-1] += f"  {part}" if lines[-1] else part
    return lines
