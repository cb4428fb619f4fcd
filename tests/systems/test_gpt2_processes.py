"""Two processes that share the layers of GPT-2, or of Megatron-LM, train them as one does; impossible layouts are
refused before they start."""

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
FLAGS = ("--model.heads", "2", "--model.dropout", "0.1", "--precision", "float64", "--training.log-every", "5",
         "--training.validate-every", "5", "--training.checkpoint-every", "5",
         "--training.schedule", "constant")  # fmt: skip
"""With dropout, which the processes of a group draw alike."""
LONGEST = 180  # seconds until a process counts as hung, on a busy machine too


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


def test_two_processes_that_share_its_layers_train_it_as_one_does(saccade: Command, tmp_path: Path) -> None:
    """Ten updates of 61 symbols, by one process to the end; and five by two, which one process resumes."""
    one, two = tmp_path / "one", tmp_path / "two"
    port, split = free_port(), ("--training.tensor", "2", "--training.recompute", "blocks", "--out", str(two))
    arguments = ("train", "gpt2", "tiny", *FLAGS, "--training.steps", "5", *split)
    started = [process(rank, port, *arguments) for rank in range(2)]
    alone = saccade("train", "gpt2", "tiny", *FLAGS, "--training.steps", "10", "--out", one)
    assert alone.status == 0, alone.err
    (out, error), (silent, _) = (each.communicate(timeout=LONGEST) for each in started)
    assert [each.returncode for each in started] == [0, 0], out + error
    assert silent == ""
    assert (two / "checkpoints" / "last-5").is_dir()
    resumed = saccade("train", "--resume", two, "--training.steps", "10", "--training.tensor", "1")
    assert resumed.status == 0, resumed.err
    for ours, theirs in zip(losses(one), losses(two), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-10)
    weights, others = (load_file(run / "model.safetensors") for run in (one, two))
    assert weights["embedding.weight"].shape == (61, 24)
    assert list(weights) == list(others)
    assert all((weights[name] - others[name]).abs().max() < 1e-10 for name in weights)
    assert [path.name for path in (two / "checkpoints").iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize(("variant", "steps"), [("tiny", 4), ("default", 2)])
def test_two_processes_that_share_its_layers_train_megatron_as_one_does(
    saccade: Command, tmp_path: Path, variant: str, steps: int
) -> None:
    """A few updates of nets of its own sizes, in float64, on the beginning of the text."""
    one, two = tmp_path / "one", tmp_path / "two"
    few = ("train", "megatron", variant, "--precision", "float64", "--training.steps", str(steps),
           "--training.log-every", "1", "--training.validate-every", "2", "--task.limit", "20000")  # fmt: skip
    port = free_port()
    started = [process(rank, port, *few, "--training.tensor", "2", "--out", str(two)) for rank in range(2)]
    alone = saccade(*few, "--out", one)
    assert alone.status == 0, alone.err
    said = [each.communicate(timeout=LONGEST) for each in started]
    assert [each.returncode for each in started] == [0, 0], said
    assert len(losses(one)) >= steps
    for ours, theirs in zip(losses(one), losses(two), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-10)
    weights, others = (load_file(run / "model.safetensors") for run in (one, two))
    assert all((weights[name] - others[name]).abs().max() < 1e-10 for name in weights)


@pytest.mark.parametrize(
    ("count", "arguments", "sentence"),
    [
        (2, (), "the 3 heads of the model cannot be divided among --training.tensor 2 processes; choose a divisor"),
        (3, ("--model.heads", "4"), "3 processes cannot be divided into groups of --training.tensor 2; start"),
        (1, ("--model.heads", "4"), "1 process cannot be divided into groups of --training.tensor 2; start"),
    ],
)
def test_layouts_that_cannot_be_are_refused_before_they_start(
    saccade: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, arguments: Any, sentence: str
) -> None:
    if count > 1:
        for name, value in {"RANK": 0, "WORLD_SIZE": count, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": count}.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.setenv("MASTER_ADDR", "localhost")
        monkeypatch.setenv("MASTER_PORT", "1")
    done = saccade("train", "gpt2", "tiny", *arguments, "--training.tensor", "2", "--out", tmp_path / "run")
    assert done.status == 2
    assert done.err.startswith(f"saccade: {sentence}")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "run").exists()
