"""The catalogue is the listing of the systems' folder. Nothing is imported until a system is asked for."""

import importlib
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saccade.core.errors import InvalidInput, NotFound, nearest

if TYPE_CHECKING:
    from saccade.core.recipe import Recipe

SYSTEMS = Path(__file__).parent.parent / "systems"


def names() -> list[str]:
    """All systems: the folders that hold a recipe."""
    return sorted(path.parent.name for path in SYSTEMS.glob("*/recipe.py"))


def check(system: str) -> None:
    """Raise NotFound, with the nearest name, unless there is such a system."""
    if system not in names():
        raise NotFound(f"there is no system {system!r}; {nearest(system, names())}")


def recipe(system: str) -> "Recipe":
    check(system)
    found: Recipe = importlib.import_module(f"saccade.systems.{system}.recipe").RECIPE
    return found


def variant(recipe: "Recipe", name: str) -> Any:
    """The configuration of a variant; raises NotFound with the nearest name."""
    if name not in recipe.variants:
        raise NotFound(f"there is no variant {name!r}; {nearest(name, recipe.variants)}")
    return recipe.variants[name]


def title(system: str) -> str:
    """The first line of the system's README."""
    readme = SYSTEMS / system / "README.md"
    return readme.read_text(encoding="utf-8").split("\n", 1)[0].lstrip("# ").strip() if readme.exists() else ""


def evidence(system: str) -> list[dict[str, Any]]:
    """What was kept of the system's runs, oldest first. A file that is not evidence is left out, and named once."""
    from saccade.training.record import read

    found = []
    for path in sorted((SYSTEMS / system / "evidence").glob("*.json")):
        try:
            kept, _ = read(path)
            if kept["system"] != system:
                raise InvalidInput(f"{path}: the evidence of {kept['system']}, not of {system}")
        except (InvalidInput, NotFound, OSError) as error:
            tell(f"left out: {error}")
        else:
            found.append(kept)
    return sorted(found, key=lambda one: str(one["date"]))


@cache
def tell(note: str) -> None:
    """Say it on standard error, the first time."""
    sys.stderr.write(f"saccade: note: {note}\n")
