"""Checkpoints of tensors and plain values, written atomically and read without unpickling code.

A checkpoint is one file, which has the form of a single process. Tensors that are sharded over processes are in a
folder beside it, which the file names (`shards`), so that the file alone decides which folder counts.
"""

import io
import json
import pickle
import re
import shutil
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
from saccade.training.sharding import local, shard_like
from saccade.training.shards import parted, read_shards, read_whole, sizes, write_shards
from saccade.training.tensors import check_fit, read_tensors, ties


def write_checkpoint(path: Path, state: Mapping[str, Any], first: bool = True) -> None:
    """Replace the checkpoint atomically; each process calls this if tensors are sharded.

    Args:
        first: whether this is the first process, which writes everything but shards.

    Raises:
        TypeError: it holds a value that `read_checkpoint` would refuse.
    """
    rest, shards = parted(state)
    folder = None
    if shards:
        folder = path.with_name(f"{path.stem}-{state['step']}")
        if first and folder.exists():  # of a process that was killed while it wrote, perhaps with more shards
            shutil.rmtree(folder)
        write_shards(folder, shards)
        rest["shards"] = folder.name
    if not first:
        return
    check_plain(rest, "state")
    buffer = io.BytesIO()
    torch.save(rest, buffer)
    write_atomically(path, buffer.getvalue())
    # only now are the shards of the checkpoint before not needed any more
    for other in path.parent.glob(f"{path.stem}-*"):
        if other.is_dir() and other != folder:
            shutil.rmtree(other)


def shards_of(path: Path, kept: Mapping[str, Any]) -> Path | None:
    """The folder with the shards of a checkpoint; None if it has none.

    Raises:
        InvalidInput: the checkpoint names a folder elsewhere.
    """
    name = kept.get("shards")
    if name is None:
        return None
    if not isinstance(name, str) or not re.fullmatch(rf"{path.stem}-\d{{1,18}}", name):
        raise InvalidInput(f"{path}: expected the name of a folder of shards, not {name!r}")
    return path.with_name(name)


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
    shards, last = shards_of(folder.last, kept), str(folder.last)
    sharded = {} if shards is None else sizes(shards)
    weights = {name.removeprefix("model/"): each for name, each in sharded.items() if name.startswith("model/")}
    weights = {**kept["model"], **weights}
    check_fit(model, weights | {name: weights[first] for name, first in ties(model).items() if first in weights}, last)
    if kept["step"] > config.steps:
        raise InvalidInput(
            f"{folder.path} has already taken {kept['step']} steps, so it cannot end after {config.steps}"
        )
    # read now what is needed at the end, so that the run fails before it takes any steps
    folder.read_metrics()
    if config.keep == "best" and folder.best.exists():
        best = shards_of(folder.best, read_checkpoint(folder.best))
        if best is not None:
            sizes(best)
    if config.average > 1:
        for path in folder.earlier().values():
            read_tensors(path)
    return kept


def final_weights(folder: RunFolder, config: TrainingConfig) -> dict[str, Tensor]:
    """The weights that a run keeps when it ends."""
    if config.average > 1:
        return folder.mean_of_earlier(config.average)
    path = folder.best if config.keep == "best" and folder.best.exists() else folder.last
    kept = read_checkpoint(path)
    shards, found = shards_of(path, kept), dict[str, Tensor]()
    for part in ("model", "average"):
        found |= kept[part] | ({} if shards is None else read_whole(shards, f"{part}/"))
    return found


@torch.no_grad()
def restore_tensors(path: Path, kept: Mapping[str, Any], part: str, tensors: Mapping[str, Tensor]) -> None:
    """Fill tensors, which may be shards, with those of a part of a checkpoint, which may have been sharded otherwise;
    each process calls this."""
    whole = kept[part]
    for name, tensor in tensors.items():
        if name in whole:
            local(tensor).copy_(local(shard_like(whole[name], tensor)))
    rest = {f"{part}/{name}": tensor for name, tensor in tensors.items() if name not in whole}
    if rest:
        shards = shards_of(path, kept)
        if shards is None:
            raise InvalidInput(f"{path}: {next(iter(rest))} is missing")
        read_shards(shards, rest)


def restore_optimizer(
    path: Path, kept: Mapping[str, Any], optimizer: torch.optim.Optimizer, weights: Sequence[nn.Parameter]
) -> None:
    """Restore the state of each weight, as `restore_tensors` does; it is kept by the weight's number."""
    states: dict[int, dict[str, Any]] = {
        number: {name: shard_like(value, weights[number]) for name, value in values.items()}
        for number, values in kept["optimizer"]["state"].items()
    }
    shards, missing = shards_of(path, kept), dict[str, Tensor]()
    for place in () if shards is None else sizes(shards):
        if place.startswith("optimizer/state/"):
            number, name = place.removeprefix("optimizer/state/").split("/")
            missing[place] = states[int(number)][name] = torch.zeros_like(weights[int(number)]).detach()
    if shards is not None and missing:
        read_shards(shards, missing)
    # an optimizer numbers the weights by its groups
    places = {weight: place for place, weight in enumerate(w for g in optimizer.param_groups for w in g["params"])}
    state = {places[weights[number]]: values for number, values in states.items()}
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


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
