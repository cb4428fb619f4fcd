"""Where a training starts: a configuration with a field `weights` takes sizes, symbols and weights from there.

`weights` is a run of the same system, or a folder of Hugging Face that the system reads, or its name on the hub.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.pretrained import Weights
from saccade.runs import catalogue, hub, published
from saccade.runs.places import is_checkpoint, is_run
from saccade.runs.run import configuration
from saccade.training.run_folder import RunFolder

FLAG = "--weights"


def given(arguments: Sequence[str]) -> Path | None:
    """The path after the flag; None if it is not there, or has none."""
    for place, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == FLAG:
            value = value if equals else next(iter(arguments[place + 1 : place + 2]), "")
            return Path(value) if value and not value.startswith("--") and value.lower() != "none" else None
    return None


def of(system: str, config: Any, path: Path) -> Any:
    """A configuration with the sizes and the symbols of the weights at a path.

    Raises:
        NotFound: there is nothing.
        InvalidInput: another system's; one that cannot be read.
    """
    if not hasattr(config, "weights"):
        raise InvalidInput(f"{system} does not start from other weights; leave out {FLAG}")
    path = hub.there(path)
    if is_run(path):
        folder = RunFolder(path)
        head = folder.head()
        check_system(path, head["system"], system)
        there = configuration(catalogue.recipe(system), head, folder)
        return replace(config, task=there.task, model=there.model, weights=Weights(path))
    if not is_checkpoint(path):
        missing = "is neither a run nor a Hugging Face folder" if path.exists() else "there is no such run or folder"
        raise (InvalidInput if path.exists() else NotFound)(f"{FLAG}: {path}: {missing}")
    at = published.found(path, system)
    check_system(path, at.system, system)
    return replace(published.configured(at, config), weights=Weights(path))


def check_system(path: Path, theirs: str, ours: str) -> None:
    if theirs != ours:
        raise InvalidInput(f"{FLAG}: {path} is of {theirs}, and the weights of {ours} start from its own only")


def assets_of(config: Any) -> Path | None:
    """What was learned of the data of the run that a training starts from; None if it does not."""
    weights = getattr(config, "weights", None)
    return RunFolder(weights.path).assets if weights is not None and is_run(weights.path) else None


def start(model: nn.Module, config: Any, task: Any, system: str) -> None:
    """Load the weights that a training starts from, if it has some. Output layers that are not there start at random.

    Raises:
        NotFound, InvalidInput: there are none; those of another network.
    """
    weights = getattr(config, "weights", None)
    if weights is None:
        return
    if is_run(weights.path):
        RunFolder(weights.path).load_weights(model)
        return
    at = published.found(weights.path, system)
    check_system(weights.path, at.system, system)
    published.check_options(at, config, task)
    adopted = published.adopt(model, config, at)
    if adopted.lacks:
        catalogue.tell(f"{at.folder}: not there, and started at random: {published.named_in(adopted)}")
