"""Files of tensors, and whether they fit a model. A weight with two names is written once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from saccade.core.errors import InvalidInput, require
from saccade.core.files import naming, write_atomically

PRECISIONS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def ties(model: nn.Module) -> dict[str, str]:
    """Map each further name of a weight to its first name."""
    first: dict[int, str] = {}
    names = ((name, id(weight)) for name, weight in model.named_parameters(remove_duplicate=False))
    return {name: first[weight] for name, weight in names if first.setdefault(weight, name) != name}


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], tied: Mapping[str, str]) -> None:
    safetensors: Any = require("safetensors.torch", "app")
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items() if name not in tied}
    write_atomically(path, safetensors.save(kept))


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file.

    Raises:
        InvalidInput: a damaged file.
    """
    safetensors: Any = require("safetensors", "app")
    torch_format: Any = require("safetensors.torch", "app")
    try:
        with naming(path):
            tensors: dict[str, torch.Tensor] = torch_format.load_file(path)
    except safetensors.SafetensorError as error:
        raise InvalidInput(f"{path}: damaged or cut off ({error})") from error
    return tensors


def check_fit(model: nn.Module, tensors: Mapping[str, torch.Tensor], source: str) -> None:
    """Raise InvalidInput unless the tensors match the model's by name, shape and kind of dtype."""
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in [*expected, *found]:
        if expected.get(name) != found.get(name):
            raise InvalidInput(
                f"{source}: the weights of another model: {name} is {found.get(name, 'not there')}, "
                f"this model expects {expected.get(name, 'no such weight')}"
            )
    for name, tensor in model.state_dict().items():
        ours, theirs = tensor.dtype, tensors[name].dtype
        # a model may be loaded in another precision than it was trained in
        if theirs != ours and not (ours in PRECISIONS and theirs in PRECISIONS):
            raise InvalidInput(f"{source}: {name} holds {theirs} numbers, but this model expects {ours}")
