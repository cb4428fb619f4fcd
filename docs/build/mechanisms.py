"""A page for each mechanism: its file's docstring, then each public function and class."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import formulas
import sources

import saccade

PACKAGE = Path(saccade.__file__).parent
WIDE = 88  # the most characters of code that a page shows without scrolling


def mechanisms(room: str) -> list[Path]:
    """The files of a package that cite a paper; files of contracts cite none."""
    files = sorted(path for path in (PACKAGE / room).glob("*.py") if path.stem != "__init__")
    said = {path: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" for path in files}
    return [path for path in files if "arXiv:" in said[path] or "doi:" in said[path]]


def mechanism(path: Path) -> tuple[str, str]:
    """The title and the page of a mechanism file: its docstring, then each public function and class."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstring = ast.get_docstring(tree) or ""
    title, _, source = docstring.partition(".")
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    parts = [f"# {title}\n", f"`{name}`\n", sources.link(path, "../"), formulas.in_docstring(source), ""]
    for node in documented(tree.body):
        parts += list(described(node, "##", sources.link(path, "../", node.lineno)))
        if isinstance(node, ast.ClassDef):
            inner = documented(node.body)
            parts += [part for one in inner for part in described(one, "###", sources.link(path, "../", one.lineno))]
    return title, "\n".join(parts)


def documented(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """The public functions and classes that have a docstring."""
    for node in body:
        if (
            isinstance(node, ast.FunctionDef | ast.ClassDef)
            and not node.name.startswith("_")
            and ast.get_docstring(node)
        ):
            yield node


def described(node: ast.FunctionDef | ast.ClassDef, level: str, source: str = "") -> Iterator[str]:
    """The heading, a link to the source, the signature, and the docstring with its sections as Markdown."""
    yield f"{level} {node.name}\n"
    yield source
    call: ast.AST = node
    if isinstance(node, ast.ClassDef):
        made = [inner for inner in node.body if isinstance(inner, ast.FunctionDef) and inner.name == "__init__"]
        call = made[0] if made else node
    if isinstance(call, ast.FunctionDef):
        returns = f" -> {ast.unparse(call.returns)}" if call.returns and call is node else ""
        each = list(arguments(call.args))
        written = f"{node.name}({', '.join(each)}){returns}"
        if len(written) > WIDE:
            written = f"{node.name}(\n{''.join(f'    {one},{chr(10)}' for one in each)}){returns}"
        yield f"```python\n{written}\n```\n"
    text = ast.get_docstring(node) or ""
    for section in ("Args", "Returns", "Raises"):
        text = text.replace(f"\n{section}:\n", f"\n**{section.replace('Args', 'Arguments')}**\n\n")
    # Markdown would take the indented entries of a section for code
    text = re.sub(r"^    (\w[\w, ]*): ", r"- `\1`: ", text, flags=re.MULTILINE)
    yield re.sub(r"^        (?=\S)", "  ", text, flags=re.MULTILINE) + "\n"


def arguments(signature: ast.arguments) -> Iterator[str]:
    """Each parameter as written, with `/` after positional-only ones and `*` before keyword-only ones."""
    every = [*signature.posonlyargs, *signature.args]
    defaults = [None] * (len(every) - len(signature.defaults)) + list(signature.defaults)
    for place, (argument, default) in enumerate(zip(every, defaults, strict=True), start=1):
        if argument.arg != "self":
            yield written(argument, default)
        if place == len(signature.posonlyargs):
            yield "/"
    if signature.vararg or signature.kwonlyargs:
        yield f"*{ast.unparse(signature.vararg) if signature.vararg else ''}"
    for argument, default in zip(signature.kwonlyargs, signature.kw_defaults, strict=True):
        yield written(argument, default)
    if signature.kwarg:
        yield f"**{ast.unparse(signature.kwarg)}"


def written(argument: ast.arg, default: ast.expr | None) -> str:
    return ast.unparse(argument) + (f" = {ast.unparse(default)}" if default is not None else "")
