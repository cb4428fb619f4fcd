"""The ASCII equations of docstrings as MathML, which browsers draw themselves.

A line of a block has up to three parts, apart by three spaces or more: a label, formulas, and a remark. A line that
cannot be read stays as it is; a block without any formula stays whole, and scrolls. mathml.py reads a formula.
"""

import html
import re
from collections.abc import Iterator

from mathml import Unreadable, sides, worded

NAMED = r"[A-Za-z]+(_\w+)?|[A-Za-z]+\([^()]*\)"  # a word with or without an index, or p(what, in words)
REMARK = r"<td class='remark'>([^\n]+?)</td></tr>"
WIDE = 46  # characters of a formula that leave no room for a remark beside it; it stands below then
PROSE = 4  # with more words than these, and than symbols, the right of a formula is a sentence
CODE = r"^(saccade|python|torchrun|pip|from|\$) |\bsaccade\."  # a block of commands, or of Python
LABELLED = re.compile(r"([a-z][a-z-]{2,}) +(\w+ = .*)")


def block(text: str) -> str:
    """HTML of a block of formulas, a row for each line; as it stands, scrolling, if no line is a formula.

    The block has no blank line, so that Markdown takes it as one piece.
    """
    rows = rows_of(text)
    if not any("<math" in one for one in rows):
        return plain(text)
    if sum(map(max, zip(*map(widths, rows), strict=True))) > WIDE:
        rows = [one.replace("<td class='remark'></td>", "") for one in rows]
        rows = [re.sub(REMARK, r'</tr><tr><td></td><td></td><td class="remark">\1</td></tr>', one) for one in rows]
    return f'<div class="formulas"><table class="formulas">{"".join(rows)}</table></div>\n'


def widths(row: str) -> list[int]:
    """Characters of the label and of both sides of a formula, as far as they do not break; none of a remark alone."""
    cells = ["" if "colspan" in cell else cell for cell in row.split("</td>")[:3]]
    pieces = [re.sub(r"<[^>]*>", "", cell.replace('<span class="next">', "\n")).split("\n") for cell in cells]
    return [max(map(len, one)) for one in pieces] + [0] * (3 - len(pieces))


def rows_of(text: str) -> list[str]:
    """A row for each line that is not empty; a line that cannot be read stays as it is."""
    found = []
    for line in filter(str.strip, text.split("\n")):
        try:
            found.append(row(line))
        except Unreadable:
            found.append(f'<tr><td colspan="4"><code>{html.escape(line.strip())}</code></td></tr>')
    return found


def plain(text: str) -> str:
    """A block as it stands, which scrolls where it is too wide."""
    lines = text.strip("\n").split("\n")
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "```text\n" + "\n".join(line[indent:] for line in lines) + "\n```\n"


def row(line: str) -> str:
    """A row of the table: a label, the left and the right side of the formulas, and a remark."""
    line = re.sub(r"(?<=\S)\s{2,}(?=(?:=|~|<=|<-) )", " ", line.strip())  # relations below one another
    parts = joined([half for part in re.split(r"\s{3,}", line) if part for half in halves(part)])
    if (labelled := LABELLED.match(parts[0])) and not is_formula(parts[0]):
        parts[:1] = labelled.groups()
    found = [is_formula(part) for part in parts]
    label = parts.pop(0) if len(parts) > 1 and not found[0] and found.pop(0) is False else ""
    # a remark may have a relation too
    first = found.index(True) if True in found else 0
    found = [
        formula and (place == first or not worded(re.sub(rf"^{NAMED} = ", "", part)))
        for place, (part, formula) in enumerate(zip(parts, found, strict=True))
    ]
    head = f'<td class="label">{html.escape(label)}</td>' if label else "<td></td>"
    if not any(found):
        return f'<tr>{head}<td colspan="3" class="remark">{escaped("  ".join(parts))}</td></tr>'
    last = max(place for place, formula in enumerate(found) if formula)
    shown, remark = parts[: last + 1], escaped(" ".join(parts[last + 1 :]))
    cells = [sides(part) if formula else ("", escaped(part)) for part, formula in zip(shown, found, strict=False)]
    (left, right), *more = cells
    if right.count("<mtext>") > max(PROSE, right.count("<mi") + right.count("<mn>")):
        right = escaped(re.sub(r"^.*? (?=(?:=|~|->|<-) )", "", shown[0]))
    for pair, formula in zip(more, found[1:], strict=False):
        next_one = maths("".join(pair), wrapped=True) if formula else pair[1]
        right += f'<span class="next">{next_one}</span>'
    return f"<tr>{head}<td>{maths(left)}</td><td>{maths(right)}</td><td class='remark'>{remark}</td></tr>"


def escaped(text: str) -> str:
    """A remark as HTML, with code where it is in backticks, and short indices below their letters."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
    return re.sub(r"\b([A-Za-z]+)_(?:(\w{1,3})\b|\{([^}]*)\})", r"<i>\1</i><sub>\2\3</sub>", text)


def halves(part: str) -> list[str]:
    """A formula and the remark that follows it after a comma."""
    pieces = part.split(", ")
    for place in range(1, len(pieces)):
        left, right = ", ".join(pieces[:place]), ", ".join(pieces[place:])
        if is_formula(left) and not worded(left) and worded(right) and left.count("(") == left.count(")"):
            return [f"{left},", right]
    return [part]


def joined(parts: list[str]) -> list[str]:
    """The parts of a line; a space too many between words is none."""
    found: list[str] = []
    for part in parts:
        if found and not is_formula(part) and not is_formula(found[-1]) and len(found) > 1:
            found[-1] += f" {part}"
        else:
            found.append(part)
    return found


def maths(inner: str, wrapped: bool = False) -> str:
    """MathML of a row of elements, before what stands outside of it."""
    if not inner or (not inner.startswith("<m") and not wrapped):
        return inner
    inside, span, rest = inner.partition('<span class="next">')
    return f'<math display="inline"><mstyle displaystyle="true">{inside}</mstyle></math>{span}{rest}'


def is_formula(text: str) -> bool:
    """Whether a part is a formula: it has a relation, and nothing but symbols before it."""
    left = re.split(r" (?:=|<=|>=|~|->|<-|!=) ", text)
    if len(left) < 2:
        return False
    return re.fullmatch(NAMED, left[0]) is not None or not worded(left[0])


def in_docstring(text: str) -> str:
    """The text of a docstring, with its indented blocks as formulas and its examples as code."""
    return "\n".join(drawn(kind, part) for kind, part in parts_of(text))


def parts_of(text: str) -> Iterator[tuple[str, str]]:
    """The parts of a docstring, each with its kind: "text", "formulas" or "example"."""
    kind, lines = "text", list[str]()
    for line in [*text.split("\n"), None]:
        is_example = line is not None and (line.startswith(">>>") or (kind == "example" and line.strip()))
        found = "text" if line is None or not line.strip() else "example" if is_example else kind_of(line)
        if line is not None and not line.strip() and kind == "formulas":
            found = "formulas"  # a blank line within a block
        if (line is None or found != kind) and lines:
            yield kind, "\n".join(lines)
            lines = []
        kind = found
        lines.append(line or "")


def kind_of(line: str) -> str:
    return "formulas" if line.startswith("    ") else "text"


def drawn(kind: str, part: str) -> str:
    if kind == "formulas" and part.strip():
        return f"\n{block(part)}"
    return f"\n```pycon\n{part.strip()}\n```\n" if kind == "example" else part


def in_page(page: str) -> str:
    """A Markdown page with its text blocks of formulas drawn; those with commands or code stay."""

    def draw(match: re.Match[str]) -> str:
        rows, code = rows_of(match[1]), re.search(CODE, match[1], flags=re.MULTILINE)
        return block(match[1]) if not code and 2 * sum("<math" in one for one in rows) >= len(rows) else match[0]

    return re.sub(r"^```text\n(.*?)^```\n", draw, page, flags=re.DOTALL | re.MULTILINE)
