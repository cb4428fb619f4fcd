"""The content of the viewer: the answers and pictures of one or two runs, or saved captures."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from saccade.core.errors import InvalidInput, SaccadeError
from saccade.core.task import Readable
from saccade.explain import Capture
from saccade.explain.page import Reads, View
from saccade.explain.pictures.heads import Heads
from saccade.runs.run import Run, open_run

Look = Callable[[str | bytes], list[View]]
READS: dict[str, Reads] = {"text": "text", "audio/wav": "recording", "image/*": "image"}
"""The kind of input that a task accepts -> the input that the page sends."""


class Shown(NamedTuple):
    """The title, the first views, the kind of input, and the function that processes it."""

    title: str
    views: list[View]
    reads: Reads = ""
    look: Look | None = None
    systems: tuple[str, ...] = ()
    """Systems whose own kinds of pictures may be shown."""


def of(paths: Sequence[Path]) -> Shown:
    """Open one or two paths.

    Raises:
        InvalidInput: a run and a capture; runs with different inputs; files that are not captures.
    """
    runs = [path.is_dir() for path in paths]
    if any(runs) and not all(runs):
        raise InvalidInput("a run and a capture cannot be compared: give two runs, or two captures")
    return of_runs(paths) if all(runs) else of_captures(paths)


def of_captures(paths: Sequence[Path]) -> Shown:
    names = told_apart([path.name for path in paths], paths) if len(paths) > 1 else [""]
    views = [
        View(name, "", "", [Heads("heads", Capture.load(path).layers())])
        for path, name in zip(paths, names, strict=True)
    ]
    return Shown(", ".join(path.name for path in paths), views)


def of_runs(paths: Sequence[Path]) -> Shown:
    """Runs that answer each input; a run without input answers at once.

    Raises:
        InvalidInput: the runs read different kinds of input, or a kind that the page cannot send.
    """
    runs = [open_run(path) for path in paths]
    reads = [reads_of(run) for run in runs]
    if len(set(reads)) > 1:
        first, second = (named(kind) for kind in reads)
        raise InvalidInput(f"{paths[0]} reads {first} and {paths[1]} reads {second}; they cannot be compared")
    names = told_apart([run.title for run in runs], paths) if len(runs) > 1 else [""]

    def look(given: str | bytes) -> list[View]:
        views: list[View] = []
        for run, name in zip(runs, names, strict=True):
            try:
                views.append(seen_by(run, given)._replace(name=name))
            except SaccadeError as error:
                if len(runs) == 1:
                    raise
                views.append(View(name, "", str(error), []))
        return views

    at_once = look("") if all("nothing" in accepted(run) for run in runs) else []
    systems = tuple(dict.fromkeys(run.system for run in runs))
    title = " and ".join(run.title for run in runs)
    return Shown(title, at_once, reads[0], look if reads[0] else None, systems)


def told_apart(names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Names of A and B, with their paths if the names are equal."""
    same = len(set(names)) < len(names)
    where = [path.name for path in paths] if len({path.name for path in paths}) > 1 else list(map(str, paths))
    return [
        f"{letter}: {name} ({place})" if same and name != place else f"{letter}: {place if same else name}"
        for letter, name, place in zip("AB", names, where, strict=True)
    ]


def accepted(run: Run) -> tuple[str, ...]:
    """The kinds of input that a run accepts."""
    return run.task.accepts if isinstance(run.task, Readable) else ()


def reads_of(run: Run) -> Reads:
    """The input that the page sends to a run; "" if it needs none.

    Raises:
        InvalidInput: the page cannot send its input.
    """
    kinds = accepted(run)
    found = [READS[kind] for kind in kinds if kind in READS]
    if not found and "nothing" not in kinds:
        readable = f"{run.system} reads {', '.join(kinds)}" if kinds else f"{run.system} reads no input"
        raise InvalidInput(f"{run.folder.path}: {readable}; the page can send {', '.join(READS)}")
    return found[0] if found else ""


def named(kind: Reads) -> str:
    """An input with its article."""
    return {"": "nothing", "image": "an image"}.get(kind, f"a {kind}")


def seen_by(run: Run, given: str | bytes) -> View:
    """The answer of a run to a text or the bytes of a file, with its attention.

    Raises:
        InvalidInput: an input that it cannot read.
    """
    found = run.predict(given)
    notes = found.notes if found.pictures else [*found.notes, f"{run.system} has nothing to show"]
    return View("", found.text, "; ".join(notes), found.pictures)
