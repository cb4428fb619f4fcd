"""Checkpoints from others are not unpickled; random state survives a checkpoint."""

import os
import pickle
import random
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from saccade.core.errors import InvalidInput, NotFound
from saccade.training.checkpoint import read_checkpoint, write_checkpoint
from saccade.training.random_state import random_state, restore_random_state

STATE = {"model": {}, "average": {}, "step": 0, "config": "{}"}


class Payload:
    """An attack: it runs a command when it is unpickled."""

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
        torch.save({"model": {}, "average": {}, "step": 0, "config": Payload(trace)}, path)
    with pytest.raises(InvalidInput):
        read_checkpoint(path)
    assert not trace.exists()
    # the test can fail: unpickled as usual, the payload does run
    if bare:
        pickle.loads(path.read_bytes())
        assert trace.exists()


def test_a_truncated_checkpoint_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    write_checkpoint(path, STATE | {"model": {"weight": torch.zeros(1000)}})
    data = path.read_bytes()
    for size in (0, 1, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(InvalidInput, match=r"last\.ckpt"):
            read_checkpoint(path)
    torch.save({"weights": 1}, path)
    with pytest.raises(InvalidInput, match="not a checkpoint"):
        read_checkpoint(path)
    torch.save({"state_dict": {}, "global_step": 1, "saccade": {}}, path)
    with pytest.raises(InvalidInput, match="written by an earlier version of saccade; resume it with that version"):
        read_checkpoint(path)
    with pytest.raises(NotFound):
        read_checkpoint(tmp_path / "other.ckpt")


def test_random_state_survives_a_checkpoint(tmp_path: Path) -> None:
    def draw() -> tuple[float, ...]:
        return (float(torch.rand(())), float(np.random.rand()), random.random(), float(np.random.randn()))

    draw()
    path = tmp_path / "last.ckpt"
    write_checkpoint(path, STATE | {"random": random_state()})
    expected = draw()
    draw()
    restore_random_state(read_checkpoint(path)["random"])
    assert draw() == expected


class State(NamedTuple):
    hidden: torch.Tensor


def test_a_state_that_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    write_checkpoint(path, STATE)
    before = path.read_bytes()
    with pytest.raises(TypeError, match=r"\['streams'\]\[0\]\['memory'\] is a State; expected tensors and JSON values"):
        write_checkpoint(path, STATE | {"streams": [{"memory": State(torch.zeros(2))}]})
    assert path.read_bytes() == before
