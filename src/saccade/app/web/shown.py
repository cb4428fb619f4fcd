"""What the viewer shows: the looks of a run at a text, or those of a capture."""

from pathlib import Path

from saccade.app.heads import seen_by
from saccade.app.runs import open_run
from saccade.app.web.server import Look
from saccade.explain import Capture
from saccade.explain.page import Layers

Shown = tuple[str, Layers, Look | None]


def of_run(path: Path) -> Shown:
    """Nothing yet, and what reads a text."""
    run = open_run(path)

    def look(text: str) -> tuple[str, Layers]:
        found = seen_by(run, text)
        return found.said, found.seen.layers()

    return f"{run.system} {run.variant}", {}, look


def of_capture(path: Path) -> Shown:
    return path.name, Capture.load(path).layers(), None
