"""The pages that are written from the source: one a mechanism, one a system, and the tables of the READMEs."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from saccade.app import catalogue, tables

PACKAGE = Path(__file__).parent.parent
WIDE = 88  # characters of code that a page shows without scrolling
ROOMS = {"attention": "where to look", "memory": "what to remember", "vision": "looking at images"}


def pages(root: Path) -> Iterator[tuple[Path, str]]:
    """(path, content) of all that is written from evidence and docstrings, in a checkout at `root`."""
    front = filled(root / "README.md", "evidence", tables.overview())
    measured = tables.benchmarks(root / "benchmarks" / "evidence")
    yield root / "README.md", tables.fill(front, "benchmarks", measured, root / "README.md")
    index = "# Systems\n\n" + tables.overview() + "\n"
    for system in catalogue.names():
        readme = catalogue.SYSTEMS / system / "README.md"
        page = filled(readme, "evidence", tables.runs(system))
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


def filled(path: Path, mark: str, table: str) -> str:
    return tables.fill(path.read_text(encoding="utf-8"), mark, table, path)


def mechanisms(room: str) -> list[Path]:
    """The files of a room that cite a paper; a contract or a helper state cites none."""
    files = sorted(path for path in (PACKAGE / room).glob("*.py") if path.stem != "__init__")
    return [path for path in files if "arXiv" in (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")]


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
    """Write the pages; returns those that changed."""
    changed = []
    for path, content in pages(root):
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
            changed.append(path)
    return changed
