"""Sharded tensors of a checkpoint: a folder of safetensors, written and read by torch.distributed.checkpoint.

Each process writes the shards that it holds. Any number of processes, distributed in any way, read what they need; one
alone reads whole tensors. Nothing is unpickled.
"""

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from saccade.core.errors import InvalidInput, require


def parted(state: Mapping[Any, Any], place: str = "") -> tuple[dict[Any, Any], dict[str, Tensor]]:
    """A nested state without its sharded tensors, and those by their path, such as "optimizer/state/3/exp_avg"."""
    rest: dict[Any, Any] = {}
    shards: dict[str, Tensor] = {}
    for name, value in state.items():
        if isinstance(value, DTensor):
            shards[f"{place}{name}"] = value.detach()
        elif isinstance(value, dict):
            rest[name], inner = parted(value, f"{place}{name}/")
            shards |= inner
        else:
            rest[name] = value
    return rest, shards


def write_shards(folder: Path, shards: Mapping[str, Tensor]) -> None:
    """Write them; each process calls this. None writes before the first has called it, and all have written when the
    first returns."""
    from torch.distributed.checkpoint.state_dict_saver import save

    save(dict(shards), storage_writer=storage().HuggingFaceStorageWriter(str(folder), save_distributed=True))
    descriptor = os.open(folder, os.O_RDONLY)  # the names of the files must be on the disk, too
    os.fsync(descriptor)
    os.close(descriptor)


def sizes(folder: Path) -> dict[str, Tensor]:
    """The tensors of a folder, on the meta device.

    Raises:
        InvalidInput: the folder is missing or damaged.
    """
    with reading(folder):
        found = storage().HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
        return {
            name: torch.empty(each.size, dtype=each.properties.dtype, device="meta") for name, each in found.items()
        }


def read_shards(folder: Path, into: Mapping[str, Tensor]) -> None:
    """Fill tensors, each of which may be whole or a shard; each process calls this.

    Raises:
        InvalidInput: the folder is missing or damaged.
    """
    from torch.distributed.checkpoint.state_dict_loader import load

    # a process that has a tensor whole reads alone: the others may not need it
    alone = not any(isinstance(tensor, DTensor) for tensor in into.values())
    with reading(folder), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        load(dict(into), storage_reader=storage().HuggingFaceStorageReader(str(folder)), no_dist=alone)


def read_whole(folder: Path, prefix: str) -> dict[str, Tensor]:
    """The whole tensors whose path begins with the prefix, which is removed."""
    named = {name: each for name, each in sizes(folder).items() if name.startswith(prefix)}
    found = {name: torch.empty_like(each, device="cpu") for name, each in named.items()}
    read_shards(folder, found)
    return {name.removeprefix(prefix): tensor for name, tensor in found.items()}


def storage() -> Any:
    require("safetensors", "app")
    from torch.distributed.checkpoint import hf_storage

    return hf_storage


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Report shards that cannot be read."""
    from torch.distributed.checkpoint.api import CheckpointException

    safetensors: Any = require("safetensors", "app")
    if not folder.is_dir():
        raise InvalidInput(f"{folder}: there are no such shards; the checkpoint beside it needs them")
    try:
        yield
    except (safetensors.SafetensorError, CheckpointException, OSError, KeyError, ValueError) as error:
        first = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise InvalidInput(f"{folder}: damaged or cut off ({first})") from error
