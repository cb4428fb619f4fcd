"""Pictures that the Python blocks of a page draw, shown where the page asks for them:

    <!-- shown arcs tired -->
    <!-- /shown -->

after blocks with `plots.save(figure, "arcs", "description")`, or `plots.animate` for a GIF. The blocks of a
page run in order, in one scope, in an empty folder beside the packaged run "demo".
"""

import ast
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

import saccade
from saccade.core.errors import InvalidInput
from saccade.explain import plots

BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
DEMO = Path(saccade.__file__).parent / "demo"


def saved(page: str) -> dict[str, tuple[str, str]]:
    """The pictures that the blocks of a page save: name -> (ending, description), as they are written in the code."""
    found = {}
    for block in BLOCK.findall(page):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("plots.save", "plots.animate"):
                name, description = (
                    argument.value if isinstance(argument, ast.Constant) else None for argument in node.args[1:3]
                )
                ending = "svg" if ast.unparse(node.func) == "plots.save" else "gif"
                found[str(name)] = (ending, str(description))
    return found


def linked(asked: Sequence[str], page: str, path: Path, pictures: Path) -> str:
    """Links to the pictures of a mark, two a row if there are several.

    Raises:
        InvalidInput: a picture that no block of the page saves.
    """
    there, up = saved(page), Path(os.path.relpath(pictures, path.parent)).as_posix()
    if lacking := [name for name in asked if name not in there]:
        raise InvalidInput(f"no block saves {', '.join(lacking)}; there are {', '.join(there) or 'none'}")
    return "".join(f"![{there[name][1]}]({up}/{file_name(path, name, there[name][0])})\n" for name in asked)


def file_name(path: Path, name: str, ending: str) -> str:
    return f"shown-{path.stem}-{name}.{ending}"


def draw(path: Path, page: str, asked: Sequence[str], folder: Path) -> list[Path]:
    """Run the blocks of a page, and write the pictures that its marks ask for; returns those that changed."""
    written: list[Path] = []

    def write(figure: Any, name: str, ending: str, data: bytes) -> None:
        if name in asked:
            target = folder / file_name(path, name, ending)
            if not target.exists() or target.read_bytes() != data:
                folder.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
                written.append(target)

    run_blocks(path, BLOCK.findall(page), write)
    return written


def run_blocks(path: Path, blocks: Sequence[str], write: Any) -> None:
    """Run blocks with their pictures handed to `write`, and whatever else they print or write thrown away."""
    before = {name: getattr(plots, name) for name in ("save", "animate") if hasattr(plots, name)}
    with tempfile.TemporaryDirectory() as folder, chdir(folder), open(os.devnull, "w") as nowhere:
        if DEMO.exists():
            shutil.copytree(DEMO, Path(folder) / "demo")

        def catch(kind: str, ending: str) -> Any:
            def take(figure: Any, name: str, *more: Any, **options: Any) -> Any:
                found = before[kind](figure, name, *more, **options)
                write(figure, name, ending, (Path(folder) / f"{name}.{ending}").read_bytes())
                return found

            return take

        try:
            for kind in before:
                setattr(plots, kind, catch(kind, "svg" if kind == "save" else "gif"))
            scope: dict[str, Any] = {"print": lambda *args, **named: print(*args, file=nowhere)}
            for block in blocks:
                exec(compile(block, str(path), "exec"), scope)
        finally:
            for kind, function in before.items():
                setattr(plots, kind, function)
