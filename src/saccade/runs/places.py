"""Where a run is: a folder, or the demo that comes with the package."""

from pathlib import Path

import saccade
from saccade.core.errors import NotFound

DEMO = "demo"
PACKAGED = Path(saccade.__file__).parent / "demo"


def place(path: str | Path) -> Path:
    """The folder of a run. "demo" is the packaged run, unless the current folder has a folder of that name.

    Raises:
        NotFound: the demo is not part of this installation.
    """
    given = Path(path)
    if str(given) != DEMO or given.exists():
        return given
    if not (PACKAGED / "config.yaml").is_file():
        raise NotFound(
            "this installation has no demo run; train a run with: saccade train SYSTEM (saccade list names them)"
        )
    return PACKAGED


def has_demo() -> bool:
    """Whether the package has a demo run."""
    return (PACKAGED / "config.yaml").is_file()


def is_run(path: str | Path) -> bool:
    """Whether there is a run's folder, not a checkpoint."""
    return (Path(path) / "config.yaml").exists() or (str(path) == DEMO and not Path(path).exists())


def is_checkpoint(path: str | Path) -> bool:
    """Whether there is a folder with a Hugging Face checkpoint."""
    return (Path(path) / "config.json").is_file() and not is_run(path)


def pictures_of(model: str | Path) -> Path:
    """Where pictures of a model are written by default: into its run, but never into the package."""
    return (
        Path(model) / "pictures"
        if (Path(model) / "config.yaml").exists() and Path(model) != PACKAGED
        else Path("runs") / "pictures"
    )
