"""The pages that are written from the source: one a mechanism, one a system, and the tables and pictures of the others.

A page of docs/ may ask for a table or a picture, between marks:

    <!-- table rnnencdec:default rnnsearch:default | bleu parameters | BLEU, weights -->
    <!-- /table -->
    <!-- by-length rnnencdec:default rnnsearch:default -->
    <!-- /by-length -->
    <!-- over task.times_as_long label_error_rate ctc_speech:default attention_speech:default -->
    <!-- /over -->
    <!-- looks rnnsearch:row-additive rnnsearch:row-dot -->
    <!-- /looks -->
    <!-- latency online_speech:default -->
    <!-- /latency -->
    <!-- measured ctc_decoding -->
    <!-- /measured -->

and the README of a system for a table. `tables.comparison` says what may stand in them.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from saccade.app import catalogue, drawings, tables
from saccade.core.errors import InvalidInput, SaccadeError

PACKAGE = Path(__file__).parent.parent
WIDE = 88  # characters of code that a page shows without scrolling
GENERATED = ("mechanisms", "systems", "pictures")  # folders of docs/ that hold nothing else
KINDS = "|".join(("table", "measured", *drawings.KINDS))
MARKED = re.compile(rf"<!-- ({KINDS}) ([^\n]*?) *-->\n(.*?)<!-- /\1 -->", re.DOTALL)
MARK = re.compile(rf"<!-- /?(?:{KINDS})\b")
ROOMS = {"attention": "where to look", "memory": "what to remember", "vision": "looking at images"}


def pages(root: Path) -> Iterator[tuple[Path, str]]:
    """(path, content) of all that is written from evidence and docstrings, in a checkout at `root`.

    Raises:
        InvalidInput: marks without their pair, or that ask for what there is not; it names the page.
    """
    yield root / "README.md", filled(root / "README.md", "evidence", tables.overview())
    index = "# Systems\n\n" + tables.overview() + "\n"
    for system in catalogue.names():
        readme = catalogue.SYSTEMS / system / "README.md"
        page = completed(filled(readme, "evidence", tables.runs(system)), readme)
        yield readme, page
        yield root / "docs" / "systems" / f"{system}.md", page
        index += f"- [{catalogue.title(system)}]({system}.md)\n"
    yield root / "docs" / "systems" / "index.md", index
    index = "# Mechanisms\n\nOne file is one idea with one citation; each page is that file's own words.\n"
    for room, what in ROOMS.items():
        modules = mechanisms(room)
        if modules:
            index += f"\n## {room}: {what}\n\n"
        for module in modules:
            title, page = mechanism(module)
            yield root / "docs" / "mechanisms" / f"{room}-{module.stem}.md", page
            index += f"- [{title}]({room}-{module.stem}.md)\n"
    yield root / "docs" / "mechanisms" / "index.md", index
    for path in written_by_hand(root):
        page = completed(path.read_text(encoding="utf-8"), path, root)
        if "<!-- benchmarks -->" in page:
            page = tables.fill(page, "benchmarks", tables.benchmarks(root / "benchmarks" / "evidence"), path)
        yield path, page


def written_by_hand(root: Path) -> list[Path]:
    """The pages of docs/ that are not generated whole."""
    docs = root / "docs"
    return sorted(path for path in docs.rglob("*.md") if path.relative_to(docs).parts[0] not in GENERATED)


def completed(page: str, path: Path, root: Path | None = None) -> str:
    """The page with the tables, and links to the pictures, that its marks ask for.

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
            text = table(asked) if kind == "table" else of_docs(kind, asked.split(), path, root)
        except SaccadeError as error:
            raise InvalidInput(f"{path}: <!-- {kind} {asked} -->: {error}") from None
        return f"<!-- {kind} {asked} -->\n{text}<!-- /{kind} -->"

    return MARKED.sub(fill, page)


def of_docs(kind: str, asked: Sequence[str], path: Path, root: Path | None) -> str:
    """What only a page of docs/ may ask for: a picture, or what a benchmark found."""
    if root is None:
        raise InvalidInput("pictures and benchmarks are for the pages of docs/ only")
    if kind == "measured":
        return tables.benchmarks(root / "benchmarks" / "evidence", asked)
    return drawings.linked(kind, asked, path, root / "docs" / "pictures")


def table(asked: str) -> str:
    """The table that a mark asks for: variants | metrics | names of the columns, which may lack."""
    names, metrics, heads, *more = [*(part.strip() for part in asked.split("|")), "", ""]
    if len(more) > 2:
        raise InvalidInput("expected variants | metrics | names of the columns")
    return tables.comparison(names.split(), metrics.split(), [head.strip() for head in heads.split(",") if head])


def draw(root: Path) -> list[Path]:
    """Draw the pictures that pages ask for; returns those that changed.

    Raises:
        MissingExtra: there are some, and matplotlib is not installed.
    """
    texts = [path.read_text(encoding="utf-8") for path in written_by_hand(root)]
    asked = {(kind, words) for text in texts for kind, words, _ in MARKED.findall(text) if kind in drawings.KINDS}
    drawn = (drawings.drawn_anew(kind, words.split(), root / "docs" / "pictures") for kind, words in sorted(asked))
    return [path for path in drawn if path]


def filled(path: Path, mark: str, table: str) -> str:
    return tables.fill(path.read_text(encoding="utf-8"), mark, table, path)


def mechanisms(room: str) -> list[Path]:
    """The files of a room that cite a paper; a contract or a helper state cites none."""
    files = sorted(path for path in (PACKAGE / room).glob("*.py") if path.stem != "__init__")
    said = {path: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" for path in files}
    return [path for path in files if "arXiv:" in said[path] or "doi:" in said[path]]


def mechanism(path: Path) -> tuple[str, str]:
    """The title and the page of a mechanism file: its docstring, then each public function and class."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstring = ast.get_docstring(tree) or ""
    title, _, source = docstring.partition(". ")
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    parts = [f"# {title}\n", f"`{name}`\n", source, ""]
    for node in documented(tree.body):
        parts += list(described(node, "##"))
        if isinstance(node, ast.ClassDef):
            parts += [part for inner in documented(node.body) for part in described(inner, "###")]
    return title, "\n".join(parts)


def documented(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """The public functions and classes that say what they do."""
    for node in body:
        if (
            isinstance(node, ast.FunctionDef | ast.ClassDef)
            and not node.name.startswith("_")
            and ast.get_docstring(node)
        ):
            yield node


def described(node: ast.FunctionDef | ast.ClassDef, level: str) -> Iterator[str]:
    """Heading, call and docstring, its sections as Markdown."""
    yield f"{level} {node.name}\n"
    call: ast.AST = node
    if isinstance(node, ast.ClassDef):
        made = [inner for inner in node.body if isinstance(inner, ast.FunctionDef) and inner.name == "__init__"]
        call = made[0] if made else node
    if isinstance(call, ast.FunctionDef):
        call.args.args = [argument for argument in call.args.args if argument.arg != "self"]
        returns = f" -> {ast.unparse(call.returns)}" if call.returns and call is node else ""
        written = f"{node.name}({ast.unparse(call.args)}){returns}"
        if len(written) > WIDE:
            each = "".join(f"    {argument},\n" for argument in arguments(call.args))
            written = f"{node.name}(\n{each}){returns}"
        yield f"```python\n{written}\n```\n"
    text = ast.get_docstring(node) or ""
    for section in ("Args", "Returns", "Raises"):
        text = text.replace(f"\n{section}:\n", f"\n**{section.replace('Args', 'Arguments')}**\n\n")
    # the entries of a section are indented, which Markdown would take for code
    text = re.sub(r"^    (\w[\w, ]*): ", r"- `\1`: ", text, flags=re.MULTILINE)
    yield re.sub(r"^        (?=\S)", "  ", text, flags=re.MULTILINE) + "\n"


def arguments(signature: ast.arguments) -> Iterator[str]:
    """Each parameter as it is written, with its annotation and default."""
    defaults = [None] * (len(signature.args) - len(signature.defaults)) + list(signature.defaults)
    for argument, default in zip(signature.args, defaults, strict=True):
        yield ast.unparse(argument) + (f" = {ast.unparse(default)}" if default is not None else "")
    assert not signature.kwonlyargs, "no mechanism has keyword-only parameters so far"


def write(root: Path) -> list[Path]:
    """Write the pages and draw their pictures; returns those that changed.

    Raises:
        InvalidInput: as `pages`; then nothing was written.
        MissingExtra: as `draw`.
    """
    changed = []
    for path, content in list(pages(root)):
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
            changed.append(path)
    return changed + draw(root)
