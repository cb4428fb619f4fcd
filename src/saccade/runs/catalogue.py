"""The catalogue is the listing of the systems' folder. A system is imported only when it is requested."""

import importlib
import re
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saccade.core.errors import InvalidInput, NotFound, nearest

if TYPE_CHECKING:
    from saccade.core.checkpoint import Checkpoint
    from saccade.core.recipe import Recipe

SYSTEMS = Path(__file__).parent.parent / "systems"


def names() -> list[str]:
    """All systems: the folders that contain a recipe.

    Raises:
        InvalidInput: the package is in a zip.
    """
    if not SYSTEMS.is_dir():
        raise InvalidInput(
            f"expected a folder at {SYSTEMS}; the commands do not run from a zip: unpack it and try again"
        )
    return sorted(path.parent.name for path in SYSTEMS.glob("*/recipe.py"))


def check(system: str) -> None:
    """Raise NotFound, with the nearest name, unless the system exists."""
    if system not in names():
        raise NotFound(f"there is no system {system!r}; {nearest(system, names(), 'saccade list')}")


def recipe(system: str) -> "Recipe":
    check(system)
    found: Recipe = importlib.import_module(f"saccade.systems.{system}.recipe").RECIPE
    return found


@cache
def checkpoints() -> dict[str, "Checkpoint"]:
    """The published form of each system that has a checkpoint.py."""
    systems = sorted(path.parent.name for path in SYSTEMS.glob("*/checkpoint.py"))
    return {name: importlib.import_module(f"saccade.systems.{name}.checkpoint").CHECKPOINT for name in systems}


def variant(recipe: "Recipe", name: str) -> Any:
    """The configuration of a variant; raises NotFound with the nearest name."""
    if name not in recipe.variants:
        listed = f"saccade train {system_of(type(recipe.config))} --help"
        raise NotFound(f"there is no variant {name!r}; {nearest(name, recipe.variants, listed)}")
    return recipe.variants[name]


def system_of(config: Any) -> str:
    """The system of a configuration class, from its module."""
    return str(config.__module__.split(".")[-2])


def extras(config: Any) -> tuple[str, ...]:
    """The extras that a configuration needs, as the class of its `task` field declares."""
    return ("app", *getattr(getattr(config, "task", None), "extras", ()))


def extras_of(run: Path) -> tuple[str, ...]:
    """The extras that a run needs. Its config.yaml is read without a YAML parser, which may be one of them."""
    path = run / "config.yaml"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    found = re.match(r"system: (\w+)", text)
    return extras(recipe(found[1]).config) if found and found[1] in names() else ("app",)


def studies() -> list[str]:
    """The names of all studies: the files in their folder."""
    return sorted(path.stem for path in (SYSTEMS.parent / "studies").glob("*.py") if path.stem != "__init__")


def title(system: str) -> str:
    """The first line of the system's README."""
    readme = SYSTEMS / system / "README.md"
    return readme.read_text(encoding="utf-8").split("\n", 1)[0].lstrip("# ").strip() if readme.exists() else ""


def evidence(system: str) -> list[dict[str, Any]]:
    """The stored evidence of a system, oldest first. A file that is not evidence is skipped, with one note."""
    from saccade.training.record import read

    found = []
    for path in sorted((SYSTEMS / system / "evidence").glob("*.json")):
        try:
            kept, _ = read(path)
            if kept["system"] != system:
                raise InvalidInput(f"{path}: expected evidence of {system}, not of {kept['system']}")
        except (InvalidInput, NotFound, OSError) as error:
            tell(f"skipped: {error}")
        else:
            found.append(kept)
    return sorted(found, key=lambda one: str(one["date"]))


@cache
def tell(note: str) -> None:
    """Print a note to standard error, once."""
    sys.stderr.write(f"saccade: note: {note}\n")
