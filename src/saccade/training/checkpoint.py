"""Checkpoints: written atomically, read without unpickling code."""

import io
import pickle
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.files import write_atomically


class AtomicCheckpointIO(CheckpointIO):
    """How the training engine reads and writes its checkpoints here."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(Path(path), buffer.getvalue())

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: Any = None) -> dict[str, Any]:
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint; nothing but tensors and plain values is ever unpickled.

    Raises:
        NotFound, InvalidInput: no file; one that is damaged, or that carries code.
    """
    if not path.is_file():
        raise NotFound(f"{path}: there is no such checkpoint")
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InvalidInput(
            f"{path}: refused, since it is damaged or holds more than tensors and plain values"
        ) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise InvalidInput(f"{path}: damaged or cut off ({type(error).__name__})") from error
    if not isinstance(checkpoint, dict) or not {"state_dict", "global_step", "saccade"} <= set(checkpoint):
        raise InvalidInput(f"{path}: not a checkpoint of a run")
    return checkpoint
