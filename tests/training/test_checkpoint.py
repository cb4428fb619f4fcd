"""Nothing that a user could have been sent is unpickled; random state goes and comes back whole."""

import os
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from saccade.core.errors import InvalidInput, NotFound
from saccade.training.checkpoint import AtomicCheckpointIO, read_checkpoint
from saccade.training.random_state import random_state, restore_random_state


class Payload:
    """What an attacker would send: it runs a command when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("bare", [False, True])
def test_a_payload_is_refused_and_not_executed(tmp_path: Path, bare: bool) -> None:
    path, trace = tmp_path / "last.ckpt", tmp_path / "executed"
    if bare:
        path.write_bytes(pickle.dumps(Payload(trace), protocol=2))
    else:
        torch.save({"state_dict": {}, "saccade": Payload(trace)}, path)
    with pytest.raises(InvalidInput):
        read_checkpoint(path)
    assert not trace.exists()
    # the test can fail: unpickled as usual, the payload does run
    if bare:
        pickle.loads(path.read_bytes())
        assert trace.exists()


def test_a_truncated_checkpoint_is_told(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"state_dict": torch.zeros(1000), "saccade": 0, "global_step": 0}, path)
    data = path.read_bytes()
    for size in (0, 1, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(InvalidInput, match=r"last\.ckpt"):
            read_checkpoint(path)
    torch.save({"weights": 1}, path)
    with pytest.raises(InvalidInput, match="not a checkpoint"):
        read_checkpoint(path)
    with pytest.raises(NotFound):
        read_checkpoint(tmp_path / "other.ckpt")


def test_random_state_comes_back_through_a_checkpoint(tmp_path: Path) -> None:
    def draw() -> tuple[float, ...]:
        return (float(torch.rand(())), float(np.random.rand()), random.random(), float(np.random.randn()))

    draw()
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"saccade": random_state(), "state_dict": {}, "global_step": 0}, path)
    expected = draw()
    draw()
    restore_random_state(read_checkpoint(path)["saccade"])
    assert draw() == expected
