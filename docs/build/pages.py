"""The generated pages, one for each mechanism and system, and the tables and pictures of other pages.

A page in docs/ includes tables and pictures with marks:

    <!-- table rnnencdec:default rnnsearch:default | bleu parameters | BLEU, weights -->
    <!-- /table -->
    <!-- series by_length rnnencdec:default rnnsearch:default -->
    <!-- /series -->
    <!-- study over task.times_as_long label_error_rate ctc_speech:default attention_speech:default -->
    <!-- /study -->
    <!-- pictures rnnsearch:row-additive rnnsearch:row-dot -->
    <!-- /pictures -->
    <!-- measured ctc_decoding -->
    <!-- /measured -->
    <!-- shown arcs tired -->
    <!-- /shown -->
    <!-- quoted bahdanau -->
    <!-- /quoted -->
    <!-- scaled transformers -->
    <!-- /scaled -->
    <!-- chart growth -->
    <!-- /chart -->
    <!-- sentence rnnsearch -->
    <!-- /sentence -->
    <!-- live front -->
    <!-- /live -->

The README of a system may include tables and quoted tables. `saccade.runs.results.comparison` describes the arguments.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import cards
import diagrams
import drawings
import formulas
import gallery
import live
import navigation
import quoted
import scaled
import shown
import sources
import tables
from benchmarked import benchmarks
from mechanisms import mechanism, mechanisms

from saccade.core.errors import InvalidInput, SaccadeError
from saccade.runs import catalogue, results

GENERATED = ("gallery", "mechanisms", "pictures", "source", "systems")  # folders in docs/ with generated files only
WITHOUT_PAGES = ("assets", "build")  # folders in docs/ that contain no pages
KINDS = "|".join(("live", "table", "measured", "quoted", "scaled", "shown", *drawings.KINDS))
MARKED = re.compile(rf"<!-- ({KINDS}) ([^\n]*?) *-->\n(.*?)<!-- /\1 -->", re.DOTALL)
MARK = re.compile(rf"<!-- /?(?:{KINDS})\b")
ROOMS = {"attention": "where to look", "memory": "what to remember", "vision": "looking at images"}


def pages(root: Path) -> Iterator[tuple[Path, str]]:
    """(path, content) of everything generated from evidence and docstrings, in a checkout at `root`.

    Raises:
        InvalidInput: unpaired marks, or marks for something that does not exist; names the page.
    """
    yield root / "README.md", filled(root / "README.md", "evidence", results.overview())
    sections: dict[str, list[Any]] = {"Mechanisms": [], "Systems": [], "Gallery": []}
    yield from of_systems(root, sections["Systems"])
    yield from of_mechanisms(root, sections["Mechanisms"])
    yield from gallery.pages(root, lambda page, path: completed(page, path, root), sections["Gallery"])
    configuration = root / "zensical.toml"
    if configuration.exists():
        yield configuration, navigation.listed(configuration.read_text(encoding="utf-8"), sections)
    for path in written_by_hand(root):
        page = completed(path.read_text(encoding="utf-8"), path, root)
        if "<!-- benchmarks -->" in page:
            page = fill_marks(page, "benchmarks", benchmarks(root / "benchmarks" / "evidence"), path)
        if "<!-- cards -->" in page:
            page = fill_marks(page, "cards", cards.cards(), path)
        yield path, page


def of_systems(root: Path, entries: list[Any]) -> Iterator[tuple[Path, str]]:
    """The README and the page of each system, their sources, and the index; adds them to the entries of the menu."""
    entries.append(("", "systems/index.md"))
    index = "# Systems\n\n" + tables.overview()
    for system in catalogue.names():
        folder, title = catalogue.SYSTEMS / system, catalogue.title(system)
        readme = folder / "README.md"
        page = completed(filled(readme, "evidence", results.runs(system)), readme)
        yield readme, page
        shown = fill_marks(page, "evidence", tables.runs(system), readme)
        links = " · ".join(f"[{path.name}](../source/{sources.slug(path)}.md)" for path in sources.of_system(folder))
        heading, _, rest = formulas.in_page(shown).partition("\n")
        before, evidence, after = rest.partition("\n## Evidence")
        blocks = f"\n## Its modules\n\n{diagrams.linked(system, '../')}" if catalogue.recipe(system).objective else ""
        body = f"{heading}\n\n{links}\n{{: .source }}\n{before}{blocks}{evidence}{after}"
        yield root / "docs" / "systems" / f"{system}.md", body
        yield from sources.pages(root, sources.of_system(folder))
        entries.append((title.partition(":")[0], f"systems/{system}.md"))
    yield root / "docs" / "systems" / "index.md", index


def of_mechanisms(root: Path, entries: list[Any]) -> Iterator[tuple[Path, str]]:
    """The page of each mechanism, its source, and the index; adds them to the entries of the menu."""
    entries.append(("", "mechanisms/index.md"))
    index = "# Mechanisms\n\nOne idea and one citation per file; each page is generated from its docstrings.\n"
    for room, what in ROOMS.items():
        modules = mechanisms(room)
        of_room: list[Any] = []
        if modules:
            index += f"\n## {room}: {what}\n\n"
            entries.append((what.capitalize(), of_room))
        for module in modules:
            title, page = mechanism(module)
            name = f"mechanisms/{room}-{module.stem}.md"
            yield root / "docs" / name, page
            index += f"- [{title}]({room}-{module.stem}.md)\n"
            of_room.append((title.partition(":")[0], name))
        yield from sources.pages(root, modules)
    yield root / "docs" / "mechanisms" / "index.md", index


def written_by_hand(root: Path) -> list[Path]:
    """The pages in docs/ that are not entirely generated."""
    docs = root / "docs"
    return sorted(
        path for path in docs.rglob("*.md") if path.relative_to(docs).parts[0] not in (*GENERATED, *WITHOUT_PAGES)
    )


def completed(page: str, path: Path, root: Path | None = None) -> str:
    """The page with the tables of its marks, and links to their pictures.

    Raises:
        InvalidInput: as `pages`.
    """
    found = list(MARKED.finditer(page))
    if len(MARK.findall(page)) != 2 * len(found):
        raise InvalidInput(
            f"{path}: expected pairs of marks <!-- table ... --> and <!-- /table -->, or {', or '.join(drawings.KINDS)}"
        )

    def fill(match: re.Match[str]) -> str:
        kind, asked, _ = match.groups()
        try:
            text = table(asked) if kind == "table" else of_docs(kind, asked.split(), path, root, page)
        except SaccadeError as error:
            raise InvalidInput(f"{path}: <!-- {kind} {asked} -->: {error}") from None
        return f"<!-- {kind} {asked} -->\n{text}<!-- /{kind} -->"

    return MARKED.sub(fill, page)


def of_docs(kind: str, asked: Sequence[str], path: Path, root: Path | None, page: str) -> str:
    """A paper's table, or benchmark results; or a picture, which only pages in docs/ may include."""
    if kind == "quoted":
        return quoted.table(" ".join(asked))
    if kind == "scaled":
        return scaled.table()
    if kind == "measured":
        return benchmarks((root or Path(__file__).parents[2]) / "benchmarks" / "evidence", asked)
    if root is None:
        raise InvalidInput("pictures are for the pages of docs/ only")
    if kind == "live":
        return live.framed(" ".join(asked), path, root / "docs" / "pictures")
    if kind == "shown":
        return shown.linked(asked, page, path, root / "docs" / "pictures")
    return drawings.linked(kind, asked, path, root / "docs" / "pictures")


def table(asked: str) -> str:
    """The table of a mark: variants | metrics | names of the columns (optional)."""
    names, metrics, heads, *more = [*(part.strip() for part in asked.split("|")), "", ""]
    if len(more) > 2:
        raise InvalidInput("expected variants | metrics | names of the columns")
    found = results.comparison(names.split(), metrics.split(), [head.strip() for head in heads.split(",") if head])
    several = len({name.partition(":")[0] for name in names.split()}) > 1 or len(names.split()) < 3
    return found if several else re.sub(r"^\| [^|]* \|", "|", found, flags=re.MULTILINE)  # one system in all rows


def draw(root: Path, blocks: bool = True) -> list[Path]:
    """Draw the pictures of all marks; returns those that changed. Those that the blocks of a page make only on request.

    Raises:
        MissingExtra: there are pictures, and matplotlib is not installed.
    """
    texts = {path: path.read_text(encoding="utf-8") for path in written_by_hand(root)}
    folder = root / "docs" / "pictures"
    marks = {path: [(kind, words.split()) for kind, words, _ in MARKED.findall(text)] for path, text in texts.items()}
    asked = {(kind, *words) for kind, words in gallery.marks(root)}
    if any("<!-- cards -->" in text for text in texts.values()):
        asked |= {(kind, *words) for kind, words in cards.marks()}
    asked |= {(kind, *words) for found in marks.values() for kind, words in found if kind in drawings.KINDS}
    changed = [path for kind, *words in sorted(asked) for path in drawings.drawn_anew(kind, words, folder)]
    changed += live.draw({words[0] for found in marks.values() for kind, words in found if kind == "live"}, folder)
    for path, found in marks.items():
        if blocks and (names := [name for kind, words in found if kind == "shown" for name in words]):
            changed += shown.draw(path, texts[path], names, folder)
    return changed


def filled(path: Path, mark: str, table: str) -> str:
    return fill_marks(path.read_text(encoding="utf-8"), mark, table, path)


def write(root: Path) -> list[Path]:
    """Write the pages and draw their pictures; returns those that changed.

    Raises:
        InvalidInput: as `pages`; then nothing was written.
        MissingExtra: as `draw`.
    """
    changed = []
    with read_once():
        for path, content in list(pages(root)):
            if not path.exists() or path.read_text(encoding="utf-8") != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content, encoding="utf-8")
                changed.append(path)
        return changed + draw(root)


@contextmanager
def read_once() -> Iterator[None]:
    """Within it the evidence of each system is read and checked once, however many tables ask for it."""
    read = catalogue.evidence
    catalogue.evidence = cache(read)
    try:
        yield
    finally:
        catalogue.evidence = read


def fill_marks(page: str, mark: str, table: str, path: Path) -> str:
    """The page with the table between its marks."""
    start, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    if page.count(start) != 1 or page.count(end) != 1:
        raise InvalidInput(f"{path}: expected one pair of marks {start} and {end}")
    before, rest = page.split(start)
    return f"{before}{start}\n{table}{end}{rest.split(end)[1]}"
