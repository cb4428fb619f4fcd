"""Kinds of pictures, one per file, each with the script of its page form beside it; and how evidence stores them."""

import importlib
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from saccade.core.errors import InvalidInput, nearest
from saccade.core.picture import Picture, kind_of

OWN = re.compile(r"(?!_)[^\W\d]\w*\.(?!_)[^\W\d]\w*", re.ASCII)
MEMBERS = ("figure", "text", "page", "plain", "from_plain", "description")


def kinds() -> list[str]:
    """The kinds of this folder, such as "alignment"."""
    there = {path.name for path in files(__name__).iterdir()}
    return sorted(name[:-3] for name in there if name.endswith(".py") and f"{name[:-3]}.js" in there)


def kept(picture: Picture) -> dict[str, Any]:
    """A picture as evidence stores it: its kind, and JSON values from which `load` restores it."""
    return {"kind": kind_of(picture), **picture.plain()}


def load(plain: Mapping[str, Any]) -> Picture:
    """Restore a picture from the values of `kept`.

    Raises:
        InvalidInput: a kind that does not exist, or invalid values.
    """
    kind = plain.get("kind")
    made = class_of(kind)
    try:
        found: Picture = made.from_plain({name: value for name, value in plain.items() if name != "kind"})
        return found
    except (KeyError, TypeError, ValueError) as error:
        why = str(error) if isinstance(error, InvalidInput) else f"{type(error).__name__}: {error}"
        raise InvalidInput(f"not a picture of the kind {kind}: {why}") from error


def class_of(kind: Any) -> type[Any]:
    """The class of a kind, from this folder or from a module of a system, "SYSTEM.module". Nothing else is imported.

    Raises:
        InvalidInput: no such kind.
    """
    if kind in kinds():
        module = f"{__name__}.{kind}"
    elif isinstance(kind, str) and OWN.fullmatch(kind):
        module = f"saccade.systems.{kind}"
    else:
        raise InvalidInput(f"expected a kind of picture or SYSTEM.module, got {kind!r}; {nearest(str(kind), kinds())}")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InvalidInput(f"there is no kind of picture {kind!r}: {error}") from error
    own = [one for one in vars(found).values() if isinstance(one, type) and one.__module__ == module]
    pictures = [one for one in own if all(callable(getattr(one, member, None)) for member in MEMBERS)]
    if len(pictures) != 1:
        raise InvalidInput(f"expected one kind of picture in {module}, found {len(pictures)}")
    return pictures[0]
