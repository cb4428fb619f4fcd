"""What the viewer shows: what a run or two answer and where they look, or captures that were kept."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from saccade.app.heads import layers_of
from saccade.app.runs import Run, open_run
from saccade.core.errors import InvalidInput, SaccadeError
from saccade.core.recipe import Hearing
from saccade.explain import Capture
from saccade.explain.page import Reads, View

Look = Callable[[str | bytes], list[View]]


class Shown(NamedTuple):
    """The title, what is seen at first, what can be sent, and what reads it."""

    title: str
    views: list[View]
    reads: Reads = ""
    look: Look | None = None


def of(paths: Sequence[Path]) -> Shown:
    """What one path or two are of.

    Raises:
        InvalidInput: a run and a capture; runs that read different things; files that are no captures.
    """
    runs = [path.is_dir() for path in paths]
    if any(runs) and not all(runs):
        raise InvalidInput("a run and a capture cannot be compared: give two runs, or two captures")
    return of_runs(paths) if all(runs) else of_captures(paths)


def of_captures(paths: Sequence[Path]) -> Shown:
    names = told_apart([path.name for path in paths], paths) if len(paths) > 1 else [""]
    views = [View(Capture.load(path).layers(), name) for path, name in zip(paths, names, strict=True)]
    return Shown(", ".join(path.name for path in paths), views)


def of_runs(paths: Sequence[Path]) -> Shown:
    """Nothing yet, and what reads a text or a recording."""
    runs = [open_run(path) for path in paths]
    reads = [reads_of(run) for run in runs]
    if len(set(reads)) > 1:
        raise InvalidInput(f"{paths[0]} reads a {reads[0]} and {paths[1]} a {reads[1]}; they cannot be compared")
    said = [f"{run.system} {run.variant}" for run in runs]
    names = told_apart(said, paths) if len(runs) > 1 else [""]

    def look(given: str | bytes) -> list[View]:
        views: list[View] = []
        for run, name in zip(runs, names, strict=True):
            try:
                views.append(seen_by(run, given)._replace(name=name))
            except SaccadeError as error:
                if len(runs) == 1:
                    raise
                views.append(View({}, name, note=str(error)))
        return views

    return Shown(" and ".join(said), [], reads[0], look)


def told_apart(names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Names of A and B, with where they are from where they are the same."""
    same = len(set(names)) < len(names)
    where = [path.name for path in paths] if len({path.name for path in paths}) > 1 else list(map(str, paths))
    return [
        f"{letter}: {name} ({place})" if same and name != place else f"{letter}: {place if same else name}"
        for letter, name, place in zip("AB", names, where, strict=True)
    ]


def reads_of(run: Run) -> Reads:
    return "recording" if isinstance(run.task, Hearing) else "text"


def seen_by(run: Run, given: str | bytes) -> View:
    """What a run answers to a text, or to the bytes of a wav file, and where it looks meanwhile.

    Raises:
        InvalidInput: what it cannot read.
    """
    if isinstance(given, str):
        return answered(run, given)
    if given[:4] != b"RIFF" or given[8:12] != b"WAVE":  # a packed format may hold hours in as many bytes
        raise InvalidInput("this is no wav file")
    with tempfile.TemporaryDirectory(prefix="saccade-") as folder:
        path = Path(folder) / "recording.wav"
        path.write_bytes(given)
        try:
            return answered(run, str(path))
        except InvalidInput as error:
            raise InvalidInput(str(error).replace(str(path), "the recording")) from None


def answered(run: Run, raw: str) -> View:
    example = run.task.read(raw)
    [prediction] = run.predictions([example])
    replayed = run.task.replay(example, prediction)
    layers, axes = layers_of(run, replayed)
    pens = run.looks(example, prediction, [show for show in run.recipe.shows if show.picture == "pen"])
    notes = run.task.notes(example)
    if not layers:
        notes = [*notes, f"{run.system} has no attention to show"]
    drawn = pens[0].weights if pens else None
    return View(layers, "", run.task.decode(prediction), "; ".join(notes), axes, drawn)
