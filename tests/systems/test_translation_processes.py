"""Two processes (gloo, DDP) train a real system as one does, and leave the run that one leaves."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from saccade.training.run_folder import RunFolder
from tests.conftest import Command

pytestmark = pytest.mark.unhooked
ALONE = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
FLAGS = ("--model.dropout", "0", "--precision", "float64", "--training.steps", "6", "--training.log-every", "2",
         "--training.validate-every", "3", "--training.strategy", "ddp", "--task.limit", "40",
         "--search.beam", "1")  # fmt: skip
"""Without dropout, which each process draws by itself; in float64, so that nothing that is rounded may differ."""
LONGEST = 180  # seconds until a process counts as hung, on a busy machine too
OWN = {"date", "command", "wall_seconds", "counted_per_second", "peak_memory_mb"}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return int(free.getsockname()[1])


def process(rank: int, port: int, *arguments: str) -> "subprocess.Popen[str]":
    """One of two processes, as torchrun starts it, without the seconds that torchrun itself takes."""
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    environment = ALONE | {name: str(value) for name, value in names.items()} | {"MASTER_ADDR": "localhost"}
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-m", "saccade", *arguments], env=environment, **pipes)


def losses(run: Path) -> list[dict[str, float]]:
    return [{key: row[key] for key in row if key.endswith("loss")} for row in RunFolder(run).read_metrics()]


def evidence(run: Path) -> dict[str, Any]:
    return {key: value for key, value in RunFolder(run).read_evidence().items() if key not in OWN}


def pictures(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "pictures").glob("*.png")}


def test_two_processes_train_and_score_it_as_one_does(saccade: Command, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    port = free_port()
    started = [process(rank, port, "train", "rnnsearch", "tiny", *FLAGS, "--out", str(two)) for rank in range(2)]
    alone = saccade("train", "rnnsearch", "tiny", *FLAGS, "--out", one)
    assert alone.status == 0, alone.err
    (out, error), (silent, _) = (each.communicate(timeout=LONGEST) for each in started)
    assert [each.returncode for each in started] == [0, 0], out + error
    assert silent == ""
    for ours, theirs in zip(losses(one), losses(two), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-9)
    weights, others = (load_file(run / "model.safetensors") for run in (one, two))
    assert list(weights) == list(others)
    assert all((weights[name] - others[name]).abs().max() < 1e-9 for name in weights)
    found, same = evidence(one), evidence(two)
    assert same["hardware"].pop("processes") == 2
    (test,), (other,) = found.pop("metrics").values(), same.pop("metrics").values()
    assert test == pytest.approx(other)
    assert found == same
    assert found["pictures"]
    assert pictures(one) == pictures(two)
    assert {"alignment-1.png", "training.png"} <= set(pictures(one))
    answers = [
        [line for line in said.splitlines() if line.startswith("  ") and "saccade serve" not in line]
        for said in (alone.out, out)
    ]
    assert answers[0] == answers[1]
