"""Studies of a run beyond its score, one per file; the listing of this folder is the catalogue.

A study has its own arguments, rejects runs that it does not apply to, and returns figures, lines and pictures: `saccade
evaluate RUN --study NAME ...`.
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
    """The findings of a study."""

    run: Run
    key: str
    """Tells several results of the study apart, such as by the varied field; "" if there is only one."""
    kept: dict[str, Any]
    """The JSON values that evidence stores."""
    lines: Sequence[str]
    """Lines for the terminal."""
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study."""

    title: str
    """Its subject, in a few words."""
    arguments: Callable[[argparse.ArgumentParser], None]
    """Adds its arguments; `run` and the flags of the run's configuration are already there."""
    find: Callable[[argparse.Namespace, Sequence[str], Callable[[str], None]], Found]
    """(options, flags of the configuration, function that reports progress) -> findings.

    Raises InvalidInput for a run that it does not apply to, before any long computation.
    """


def study(name: str) -> Study:
    """The study of that name; raises NotFound with the nearest name."""
    if name not in catalogue.studies():
        raise NotFound(f"there is no study {name!r}; {nearest(name, catalogue.studies())}")
    found: Study = importlib.import_module(f"saccade.studies.{name}").STUDY
    return found
