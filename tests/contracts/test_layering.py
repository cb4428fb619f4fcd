"""Imports only go down, and each third-party package is confined to one of ours (DESIGN.md, section 1)."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import saccade

PACKAGE = Path(saccade.__file__).parent
BELOW = {
    "app": {"studies", "runs", "explain", "core"},
    "studies": {"runs", "tasks", "explain", "training", "core"},
    "runs": {"systems", "explain", "training", "core"},
    "systems": {"nets", "attention", "memory", "vision", "tasks", "explain", "training", "core"},
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
    "matplotlib": ("explain/plots", "systems"),  # a system may define its own kind of picture
    "PIL": ("tasks", "explain/plots"),  # images that are read; animations that are written
    "torch.distributed": "training", "torch.utils.tensorboard": "training",
    "tokenizers": "tasks", "sacrebleu": "tasks", "snowballstemmer": "tasks", "soundfile": "tasks",
    "kaldi_native_fbank": "tasks", "jiwer": "tasks", "kornia": "tasks",
    "gymnasium": "tasks", "minigrid": "tasks", "starlette": "app", "uvicorn": "app",
}  # fmt: skip
# files that have users in other rooms than those above it: `runs` reads the pictures of published classifiers
SHARED = {"runs": "saccade.tasks.image_file"}
# the modules of lower packages that a system may import, if not all
PARTS = {
    "training": ("config",),
    "explain": ("pictures", "plots", "capture", "cam", "rollout", "faithfulness", "answers"),
}
# packages for use in other networks need only the core dependencies
CORE_DEPENDENCIES = {"torch", "numpy", "safetensors", "einops", "jaxtyping", "pydantic", "pydantic_core"}
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
def test_a_file_imports_only_from_lower_packages(path: Path) -> None:
    place = path.relative_to(PACKAGE)
    for name in imported(path):
        parts = name.split(".")
        for third, room in ROOM_OF.items():
            if name == third or name.startswith(third + "."):
                assert place.as_posix().startswith(room), f"{place} imports {name}, whose room is {room}"
        if place.parts[0] in CORE_ROOMS and parts[0] not in {*sys.stdlib_module_names, "saccade"}:
            assert parts[0] in CORE_DEPENDENCIES, f"{place} imports {name}"
        if parts[0] != "saccade" or len(parts) < 2 or parts[1] not in BELOW or is_shared(place.parts[0], name):
            continue
        assert parts[1] == place.parts[0] or parts[1] in BELOW[place.parts[0]], f"{place} imports {name}"
        if place.parts[0] == "systems" and len(place.parts) > 2:
            assert parts[1] != "systems" or parts[2] == place.parts[1], f"{place}: a system imports a system"
            assert parts[1] not in PARTS or parts[2] in PARTS[parts[1]], f"{place} imports {name}"


def is_shared(room: str, name: str) -> bool:
    return name.startswith(SHARED.get(room) or " ")


def names() -> list[str]:
    """The folders of tasks and of systems; "text" is also an English word."""
    folders = [path for room in ("tasks", "systems") for path in (PACKAGE / room).iterdir() if path.is_dir()]
    return sorted({path.name for path in folders if not path.name.startswith("_")} - {"text"})


@pytest.mark.parametrize("room", ["app", "runs", "training"])
def test_app_runs_and_training_name_no_task_and_no_system(room: str) -> None:
    pattern = re.compile(rf"\b({'|'.join(names())})\b")
    for path in (PACKAGE / room).rglob("*.py"):
        for name in imported(path):
            assert is_shared(room, name) or not name.startswith("saccade.tasks"), f"{path.name} imports {name}"
            assert not name.startswith("saccade.systems."), f"{path.name} imports {name}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found = pattern.search(node.value)
                assert found is None, f"{path.name}, line {node.lineno} names {found[0]}: {node.value[:80]!r}"


def test_no_package_has_a_meaningless_name() -> None:
    for path in PACKAGE.rglob("*"):
        assert path.stem not in {"utils", "helpers", "common", "misc", "registry", "tools"}


def test_one_file_uses_the_private_operator_and_mechanisms_use_torchs_products() -> None:
    for path in FILES:
        place, text = path.relative_to(PACKAGE), path.read_text(encoding="utf-8")
        if place.as_posix() != "core/products.py":
            assert "mkldnn." not in text, f"{place} names oneDNN's operator"
            names = {name.rpartition(".")[2] for name in imported(path) if name.startswith("saccade.core.products.")}
            # a recurrent cell holds torch's products, which can be replaced
            allowed = {"memory": {"TORCH", "Products", "add_product"}, "runs": {"install"}}.get(place.parts[0], set())
            assert place.parts[0] == "nets" or names <= allowed, f"{place} imports {names} of core/products.py"
