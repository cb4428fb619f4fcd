"""The gallery: a page for each lecture deck with what each slide shows, in order, and what shows it here.

The rows are in docs/gallery/rows.toml. `show` of a row names what its page draws: a mark of `pages`, such as "series
by_length rnnsearch:default", or "formula attention/additive", "diagram rnnsearch", "image FILE" of docs/pictures, which
are drawn, "kept FILE" of docs/images, which need what is not here, such as a trained checkpoint.
"""

import ast
import html
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import diagrams
import drawings
import formulas
from mechanisms import PACKAGE, mechanisms

from saccade.core.errors import InvalidInput
from saccade.runs import catalogue

Row = Mapping[str, Any]
STATES = {"stands": "shown here", "planned": "not made yet", "left out": "left out"}
FOLDER = Path("docs") / "gallery"
Filled = Callable[[str, Path], str]


def decks(root: Path) -> list[tuple[Row, list[Row]]]:
    """Each deck with its rows; none in a checkout without the gallery.

    Raises:
        InvalidInput: a row of no deck, of an unknown state, or with an unknown field.
    """
    path = root / FOLDER / "rows.toml"
    if not path.exists():
        return []
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    known = {"name", "kind", "slide", "shows", "by", "state", "command", "page", "show", "note"}
    names = {deck["name"] for deck in found["deck"]}
    for row in found["row"]:
        if row["name"].partition("-")[0] not in names or row["state"] not in STATES or not known.issuperset(row):
            raise InvalidInput(f"{path}: expected a deck, a state of {', '.join(STATES)} and known fields, got {row}")
    return [
        (deck, [row for row in found["row"] if row["name"].partition("-")[0] == deck["name"]]) for deck in found["deck"]
    ]


def pages(root: Path, filled: Filled, entries: list[Any]) -> Iterator[tuple[Path, str]]:
    """The page of each deck and the index; adds them to the entries of the menu."""
    found = decks(root)
    if not found:
        return
    entries.append(("", "gallery/index.md"))
    index = (
        "# The gallery\n\nFive lecture decks on attention and memory, slide by slide: what each figure, table, "
        "example, formula and demonstration shows, and what shows it here. What is not made yet says so.\n\n"
        "| deck | from | rows | shown here |\n| --- | --- | --- | --- |\n"
    )
    for deck, rows in found:
        path = root / FOLDER / f"{deck['name']}.md"
        stand = sum(row["state"] == "stands" for row in rows)
        title = f"{deck['title']} ({deck['from']})"
        index += f"| [{deck['title']}]({deck['name']}.md) | {deck['from']} | {len(rows)} | {stand} |\n"
        entries.append((title, f"gallery/{deck['name']}.md"))
        head = f"---\nhide:\n  - toc\n---\n\n# {title}\n\n{stand} of {len(rows)} rows are shown here.\n\n"
        yield path, filled(head + "\n".join(of_row(row) for row in rows), path)
    yield root / FOLDER / "index.md", index


def of_row(row: Row) -> str:
    """A row: what the slide shows, whether it stands, what shows it, and the command."""
    by = linked(row.get("by", ""))
    said = "here in part" if row["state"] == "planned" and "](" in by else STATES[row["state"]]
    state = f'<span class="state {row["state"].split()[0]}">{said}</span>'
    shows = row["shows"] and f": {escaped(row['shows'])}"
    parts = [f"### {escaped(row['slide'])} {{ #{row['name']} }}\n\n{state} {row['kind'].capitalize()}{shows}\n"]
    links = []
    if by:
        links.append(by)
    if page := row.get("page"):
        links.append(f"[{'the front page' if page == 'index.md' else 'more'}](../{page})")
    if links:
        parts.append(f"In saccade: {' · '.join(links)}\n")
    if row.get("note"):
        parts.append(f"{row['note']}\n")
    if row.get("command"):
        parts.append(f"```text\n{row['command']}\n```\n")
    parts += [shown(what, row) for what in row.get("show", ())]
    # pictures in one paragraph stand two a row
    return re.sub(r"(?<=\n)\n(?=<!-- (?:chart|pictures|series|study) )", "", "\n".join(parts))


def shown(what: str, row: Row) -> str:
    kind, _, asked = what.partition(" ")
    if kind == "formula":
        docstring = ast.get_docstring(ast.parse((PACKAGE / f"{asked}.py").read_text(encoding="utf-8"))) or ""
        return "\n".join(formulas.block(part) for kind, part in formulas.parts_of(docstring) if kind == "formulas")
    if kind == "diagram":
        return diagrams.linked(asked, "../")
    if kind in ("image", "kept"):
        return f"![{row['slide']}](../{'pictures' if kind == 'image' else 'images'}/{asked})\n"
    return f"<!-- {kind} {asked} -->\n<!-- /{kind} -->\n"


def marks(root: Path) -> Iterator[tuple[str, Sequence[str]]]:
    """The marks of all rows whose pictures are drawn from evidence."""
    for _, rows in decks(root):
        for row in rows:
            for what in row.get("show", ()):
                kind, _, asked = what.partition(" ")
                if kind in drawings.KINDS:
                    yield kind, asked.split()


def linked(text: str) -> str:
    """The text with a link from each name in backticks that has a page."""

    def link(match: re.Match[str]) -> str:
        name = match[1].split()[0]
        target = there().get(name)
        return f"[`{match[1]}`](../{target})" if target else match[0]

    return re.sub(r"`([^`]+)`", link, text)


@cache
def there() -> dict[str, str]:
    """The page of each system, mechanism file and public class of a mechanism."""
    found = {system: f"systems/{system}.md" for system in catalogue.names()}
    for room in ("attention", "memory", "vision"):
        for path in mechanisms(room):
            target = f"mechanisms/{room}-{path.stem}.md"
            found |= {f"{room}/{path.name}": target, path.name: target, path.stem: target}
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                    found.setdefault(node.name, target)
    return found


def escaped(text: str) -> str:
    """Text of a slide, in which stars and underscores are no Markdown; what is in backticks stays code."""
    parts = text.split("`")
    return "`".join(
        part if place % 2 else re.sub(r"([*_~\[\]{}|^])", r"\\\1", html.escape(part, quote=False))
        for place, part in enumerate(parts)
    )
