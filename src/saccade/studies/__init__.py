"""What one can ask of a run beyond its score, one file each; the listing of this folder is the catalogue.

A study has its arguments, refuses the runs that it cannot be asked of, and finds figures, lines and pictures:
`saccade evaluate RUN --study NAME ...`.
"""

import argparse
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from saccade.core.errors import NotFound, nearest
from saccade.core.picture import Picture
from saccade.runs import catalogue
from saccade.runs.run import Run


class Found(NamedTuple):
    """What a study found."""

    run: Run
    key: str
    """Which of several results of the study this is, such as the field that was varied; "" where there is one."""
    kept: dict[str, Any]
    """What evidence keeps: JSON values."""
    lines: Sequence[str]
    """What a terminal shows."""
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True, kw_only=True)
class Study:
    """One question."""

    title: str
    """What it asks, in a few words."""
    arguments: Callable[[argparse.ArgumentParser], None]
    """Adds the arguments; `run` and the flags of its configuration are there already."""
    find: Callable[[argparse.Namespace, Sequence[str], Callable[[str], None]], Found]
    """(options, flags of the configuration, where to report progress) -> what was found.

    Raises InvalidInput for a run that it cannot be asked of, before any long work.
    """


def study(name: str) -> Study:
    """The study of that name; raises NotFound with the nearest one."""
    if name not in catalogue.studies():
        raise NotFound(f"there is no study {name!r}; {nearest(name, catalogue.studies())}")
    found: Study = importlib.import_module(f"saccade.studies.{name}").STUDY
    return found
