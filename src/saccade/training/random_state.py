"""The global random generators: seeding them, saving and restoring their state."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def random_state() -> dict[str, Any]:
    """The state of all global random generators, as tensors and plain values."""
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


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Seed all generators within the block; afterwards restore their state."""
    before = random_state()
    seed_everything(seed)
    try:
        yield
    finally:
        restore_random_state(before)


def derived(seed: int, rank: int, step: int) -> int:
    """A seed for a process without a saved random state."""
    return random.Random(f"{seed}/{rank}/{step}").getrandbits(32)
