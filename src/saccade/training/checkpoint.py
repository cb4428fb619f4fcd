"""Checkpoints of tensors and plain values, written atomically and read without unpickling code."""

import io
import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from saccade.core.config import flatten
from saccade.core.errors import InvalidInput, NotFound
from saccade.core.files import write_atomically
from saccade.training.config import TrainingConfig
from saccade.training.run_folder import RunFolder
from saccade.training.tensors import check_fit, read_tensors


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Replace the checkpoint atomically.

    Raises:
        TypeError: it holds a value that `read_checkpoint` would refuse.
    """
    check_plain(dict(state), "state")
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_atomically(path, buffer.getvalue())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; only tensors and plain values are ever unpickled.

    Raises:
        NotFound, InvalidInput: no such file; a file that is damaged or contains code.
    """
    if not path.is_file():
        raise NotFound(f"{path}: there is no such checkpoint")
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InvalidInput(
            f"{path}: expected only tensors and plain values; it is damaged or contains something else"
        ) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise InvalidInput(f"{path}: damaged or cut off ({type(error).__name__})") from error
    if isinstance(checkpoint, dict) and {"state_dict", "global_step"} <= set(checkpoint):
        raise InvalidInput(f"{path}: written by an earlier version of saccade; resume it with that version")
    if not isinstance(checkpoint, dict) or not {"model", "average", "step", "config"} <= set(checkpoint):
        raise InvalidInput(f"{path}: not a checkpoint of a run")
    return checkpoint


def check_plain(value: Any, name: str) -> None:
    """Raise TypeError, naming the entry, unless all values are tensors, numbers, strings, or plain containers of
    them."""
    if type(value) in (dict, list, tuple):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            check_plain(inner, f"{name}[{key!r}]")
    elif not isinstance(value, Tensor) and type(value) not in (str, int, float, bool, type(None)):
        raise TypeError(f"{name} is a {type(value).__name__}; expected tensors and JSON values")


def read_last(model: nn.Module, config: TrainingConfig, folder: RunFolder) -> dict[str, Any]:
    """The checkpoint to resume a run from.

    Raises:
        InvalidInput: it belongs to another model, or to a later step than `config.steps`; the metrics, or other weights
            that are needed at the end, are damaged.
    """
    kept = read_checkpoint(folder.last)
    check_fit(model, kept["model"], str(folder.last))
    if kept["step"] > config.steps:
        raise InvalidInput(
            f"{folder.path} has already taken {kept['step']} steps, so it cannot end after {config.steps}"
        )
    # read now what is needed at the end, so that the run fails before it takes any steps
    folder.read_metrics()
    if config.keep == "best" and folder.best.exists():
        read_checkpoint(folder.best)
    if config.average > 1:
        for path in folder.earlier().values():
            read_tensors(path)
    return kept


def final_weights(folder: RunFolder, config: TrainingConfig) -> dict[str, Tensor]:
    """The weights that a run keeps when it ends."""
    if config.average > 1:
        return folder.mean_of_earlier(config.average)
    kept = read_checkpoint(folder.best if config.keep == "best" and folder.best.exists() else folder.last)
    return {**kept["model"], **kept["average"]}


def check_resumable(folder: RunFolder, fingerprint: str, free: Sequence[str]) -> None:
    """Check that the run has the same configuration and data as before.

    Raises:
        InvalidInput: naming a field that differs and may not.
    """
    made = [flatten(folder.head()["config"])]
    if folder.last.exists():
        made.append(flatten(json.loads(read_checkpoint(folder.last)["config"])))
    now = flatten(json.loads(fingerprint))
    for then in made:
        for name in sorted(set(then) & set(now)):
            if name not in free and then[name] != now[name]:
                raise InvalidInput(
                    f"{folder.path} was trained with {name} = {then[name]}, not {now[name]}; "
                    f"only {', '.join(free)} may change in a resumed run"
                )
