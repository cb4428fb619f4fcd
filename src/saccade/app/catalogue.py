"""The catalogue is the listing of the systems' folder. Nothing is imported until a system is asked for."""

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saccade.core.errors import InvalidInput, NotFound, nearest

if TYPE_CHECKING:
    from saccade.core.recipe import Recipe

SYSTEMS = Path(__file__).parent.parent / "systems"


def names() -> list[str]:
    """All systems: the folders that hold a recipe.

    Raises:
        InvalidInput: the package is in a zip.
    """
    if not SYSTEMS.is_dir():
        raise InvalidInput(
            f"expected a folder at {SYSTEMS}; the commands do not run from a zip: unpack it, and try again"
        )
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
    """What was kept of the system's runs, oldest first.

    Raises:
        InvalidInput: a file that is not JSON.
    """
    found = []
    for path in sorted((SYSTEMS / system / "evidence").glob("*.json")):
        try:
            found.append(json.loads(path.read_text(encoding="utf-8")))
        except json.JSONDecodeError as error:
            raise InvalidInput(f"{path}: not JSON ({error})") from error
    return sorted(found, key=lambda one: str(one["date"]))
