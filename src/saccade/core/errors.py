"""Errors that a user can mend. The command line prints their one sentence; from Python they are the usual kinds."""

import difflib
import importlib
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType

DISTRIBUTION = "torch-saccade"  # on the package index, where `saccade` is somebody else's
EXTRAS = {  # the modules that each brings
    "app": ("tensorboard", "yaml", "rich", "matplotlib"),
    "text": ("tokenizers", "sacrebleu"),
    "speech": ("soundfile", "kaldi_native_fbank", "jiwer"),
    "vision": ("PIL", "kornia"),
    "rl": ("gymnasium", "minigrid"),
    "view": ("starlette", "uvicorn"),
    "hub": ("huggingface_hub", "datasets", "transformers"),
}


class SaccadeError(Exception):
    """What a user gave does not do; the message says what was expected, what came, and what exists."""


class InvalidInput(SaccadeError, ValueError):
    """A value, a file or a shape that does not fit."""


class NotFound(SaccadeError, LookupError):
    """A name that does not exist."""


class MissingExtra(SaccadeError, ImportError):
    """Third parties that are not installed: module -> the extra that brings it; and what else would do."""

    def __init__(self, absent: Mapping[str, str], instead: str = "") -> None:
        self.absent, self.instead = dict(absent), instead
        extras = ",".join(sorted(set(absent.values())))
        super().__init__(
            f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed; "
            f"mend it with: pip install '{DISTRIBUTION}[{extras}]' (in a clone: pip install -e '.[{extras}]')"
            + (f"; or {instead}" if instead else "")
        )


def nearest(name: str, known: Iterable[str], listed: str = "") -> str:
    """`did you mean ...?` for the nearest of the known names, else all of them where they are few.

    Args:
        name: what was typed.
        known: what exists.
        listed: the command that lists them, for when they are many.
    """
    names = sorted(known)
    if match := difflib.get_close_matches(name, names, n=1, cutoff=0.5):
        return f"did you mean {match[0]!r}?"
    if len(names) > 12:
        return f"there are {len(names)}" + (f"; {listed} lists them" if listed else f", such as {names[0]!r}")
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
        raise MissingExtra({module.split(".")[0]: extra}) from error


def require_extras(*extras: str) -> None:
    """See that all that a command needs is installed, before any of it is used.

    Raises:
        MissingExtra: with one pip command for all of it.
    """
    if missing := absent(extras):
        raise MissingExtra(missing)


@contextmanager
def together(*extras: str) -> Iterator[None]:
    """Where a third party is found missing within the block, report what else of these extras is."""
    try:
        yield
    except MissingExtra as error:
        raise MissingExtra(error.absent | absent(extras), error.instead) from error


def absent(extras: Iterable[str]) -> dict[str, str]:
    """The modules of these extras that are not installed -> their extra."""
    return {module: extra for extra in extras for module in EXTRAS[extra] if not installed(module)}


def installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
