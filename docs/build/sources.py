"""The source of mechanisms and systems as pages of the site, so that a link leads to a line without a code host."""

from collections.abc import Iterator
from pathlib import Path


def slug(path: Path) -> str:
    """The name of the page of a file, such as "attention-additive" or "rnnsearch-model"."""
    return f"{path.parent.name}-{path.stem}"


def name_of(path: Path) -> str:
    """The path in the repository, such as "src/saccade/attention/additive.py"."""
    parts = path.parts
    package = len(parts) - 1 - parts[::-1].index("saccade")
    return "/".join(("src", *parts[package:]))


def link(path: Path, up: str, line: int = 0) -> str:
    """A paragraph that links to the source of a file, or to a line of it."""
    name = name_of(path)
    target = f"{up}source/{slug(path)}.md" + (f"#__codelineno-0-{line}" if line else "")
    said = f"line {line} of {path.name}" if line else name
    return f'[{said}]({target} "{name}"){{ .source-link }}\n{{: .source }}\n'


def of_system(folder: Path) -> list[Path]:
    """The files of a system that are read first: its model, then the others."""
    files = [path for path in folder.glob("*.py") if path.stem != "__init__"]
    order = {"model": 0, "objective": 1, "recipe": 2}
    return sorted(files, key=lambda path: (order.get(path.stem, 1), path.stem))


def pages(root: Path, files: list[Path]) -> Iterator[tuple[Path, str]]:
    """A page for each file."""
    for path in files:
        name = name_of(path)
        code = path.read_text(encoding="utf-8")
        fence = "`" * (3 + code.count("```"))
        page = f'---\nsearch:\n  exclude: true\n---\n\n# {name}\n\n{fence}python linenums="1"\n{code}{fence}\n'
        yield root / "docs" / "source" / f"{slug(path)}.md", page
