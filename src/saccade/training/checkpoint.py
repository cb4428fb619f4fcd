"""Checkpoints: written atomically, read without unpickling code, with all random state."""

import io
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.plugins.io import CheckpointIO

from saccade.core.errors import InvalidInput, NotFound
from saccade.training.run_folder import write_atomically


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
        raise InvalidInput(f"{path}: refused, since it is damaged or holds more than tensors and plain values") from error
    except (RuntimeError, EOFError, OSError) as error:
        raise InvalidInput(f"{path}: damaged or cut off ({type(error).__name__})") from error
    return checkpoint


def random_state() -> dict[str, Any]:
    """The state of all global generators, as tensors and plain values."""
    _, keys, *numpy_rest = np.random.get_state(legacy=True)
    version, python_keys, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [torch.from_numpy(np.asarray(keys).astype(np.int64)), *numpy_rest],
        "python": [version, list(python_keys), gauss],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    keys, *rest = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), *rest))
    version, python_keys, gauss = state["python"]
    random.setstate((version, tuple(python_keys), gauss))


def seed_everything(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
