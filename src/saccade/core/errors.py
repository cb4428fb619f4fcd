"""Errors that a user can mend. The command line prints their one sentence; from Python they are the usual kinds."""

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class SaccadeError(Exception):
    """What a user gave does not do; the message says what was expected, what came, and what exists."""


class InvalidInput(SaccadeError, ValueError):
    """A value, a file or a shape that does not fit."""


class NotFound(SaccadeError, LookupError):
    """A name that does not exist."""


class MissingExtra(SaccadeError, ImportError):
    """A part of saccade whose third party is not installed."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean ...?` for the nearest of the known names, else the list of them where it is short."""
    names = sorted(known)
    if match := difflib.get_close_matches(name, names, n=1, cutoff=0.5):
        return f"did you mean {match[0]!r}?"
    if len(names) > 12:
        return f"there are {len(names)} of them; --help lists them"
    return f"there are: {', '.join(names)}" if names else "there are none"


def require(module: str, extra: str) -> ModuleType:
    """Import a third party that an extra brings.

    Raises:
        MissingExtra: with the pip command that mends it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or module.split(".")[0] != error.name.split(".")[0]:
            raise
        raise MissingExtra(
            f"{module.split('.')[0]} is not installed; mend it with: pip install 'saccade[{extra}]' "
            f"(in a clone: pip install -e '.[{extra}]')"
        ) from error
