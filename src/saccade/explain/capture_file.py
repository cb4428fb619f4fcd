"""The file format of a capture: a safetensors file whose JSON header describes its tensors. Nothing is unpickled."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.files import write_atomically

VERSION = "1"


def write(path: Path, said: Mapping[str, Any], tensors: Sequence[Tensor]) -> None:
    """Replace the file as a whole; missing folders are created."""
    header = {"saccade capture": VERSION, "capture": json.dumps(said, ensure_ascii=False)}
    path.parent.mkdir(parents=True, exist_ok=True)
    numbered = {f"{number}": tensor.cpu().clone().contiguous() for number, tensor in enumerate(tensors)}
    write_atomically(path, safetensors.torch.save(numbered, header))


def read(path: Path) -> tuple[dict[str, Any], list[Tensor]]:
    """Read a file that `write` wrote.

    Raises:
        NotFound: no such file.
        InvalidInput: a damaged file, or not a capture.
    """
    if not path.is_file():
        raise NotFound(f"{path}: there is no such file")
    try:
        with safetensors.safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = [file.get_tensor(f"{number}") for number in range(len(file.keys()))]
        if header.get("saccade capture") != VERSION:
            raise InvalidInput(f"{path} is not a capture, or was written by `Capture.save` of another version")
        return json.loads(header["capture"]), tensors
    except (safetensors.SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise InvalidInput(f"{path} is not a capture, or is damaged: {error}") from error
