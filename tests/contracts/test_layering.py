"""Imports go down only, and each third party has its room (DESIGN.md, section 1)."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import saccade

PACKAGE = Path(saccade.__file__).parent
BELOW = {
    "app": {"systems", "explain", "training", "tasks", "core"},
    "systems": {"nets", "attention", "memory", "vision", "tasks", "training", "core"},
    "nets": {"attention", "memory", "vision", "core"},
    "memory": {"attention", "core"},
    "vision": {"attention", "core"},
    "attention": {"core"},
    "explain": {"core"},
    "training": {"core"},
    "tasks": {"core"},
    "core": set(),
}
ROOM_OF = {
    "matplotlib": "explain/plots", "lightning": "training", "torch.distributed": "training",
    "torch.utils.tensorboard": "training", "tokenizers": "tasks", "sacrebleu": "tasks", "soundfile": "tasks",
    "kaldi_native_fbank": "tasks", "jiwer": "tasks", "PIL": "tasks", "kornia": "tasks", "gymnasium": "tasks",
    "minigrid": "tasks", "starlette": "app", "uvicorn": "app", "tyro": "app",
}  # fmt: skip
# the rooms that a user imports into a network of their own need the core dependencies only
CORE_DEPENDENCIES = {"torch", "numpy", "safetensors", "einops", "jaxtyping", "pydantic"}
CORE_ROOMS = {"core", "attention", "memory", "vision", "nets"}
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] in BELOW]


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, `require("name", ...)` included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require":
            yield ast.literal_eval(node.args[0])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_what_stands_below_it(path: Path) -> None:
    place = path.relative_to(PACKAGE)
    for name in imported(path):
        parts = name.split(".")
        for third, room in ROOM_OF.items():
            if name == third or name.startswith(third + "."):
                assert place.as_posix().startswith(room), f"{place} imports {name}, whose room is {room}"
        if place.parts[0] in CORE_ROOMS and parts[0] not in {*sys.stdlib_module_names, "saccade"}:
            assert parts[0] in CORE_DEPENDENCIES, f"{place} imports {name}"
        if parts[0] != "saccade" or len(parts) < 2 or parts[1] not in BELOW:
            continue
        assert parts[1] == place.parts[0] or parts[1] in BELOW[place.parts[0]], f"{place} imports {name}"
        if place.parts[0] == "systems" and len(place.parts) > 2:
            assert parts[1] != "systems" or parts[2] == place.parts[1], f"{place}: a system imports a system"
            assert parts[1] != "training" or parts[2] == "config", (
                f"{place} imports {name}, of training more than config"
            )


def test_no_room_has_a_name_that_says_nothing() -> None:
    for path in PACKAGE.rglob("*"):
        assert path.stem not in {"utils", "helpers", "common", "misc", "registry", "tools"}
