"""`saccade plan` of GPT-2: what it prints, and its sentences for bad input."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from saccade.app.main import main
from saccade.app.plan_verb import processes_per_machine
from saccade.runs import catalogue, flags
from tests.conftest import Command


def test_the_plan_is_printed_with_the_command_that_launches_it(saccade: Command) -> None:
    done = saccade("plan", "gpt2", "tiny", "--devices", "4", "--device", "v100", "--tensor", "2", "--seed", "3")
    assert done.status == 0, done.err
    head, *rows = done.out.splitlines()
    assert "The 3 heads of the model cannot be divided among --tensor 2 processes" in head
    for part in ("weights", "gradients", "optimizer", "activations", "logits", "at the peak", "operations", "time"):
        assert any(row.strip().startswith(part) for row in rows), part
    launch = done.out[done.out.index("torchrun") :].replace("\\\n", " ")
    assert launch.startswith("torchrun --nproc-per-node 4 -m saccade train gpt2 tiny --seed 3 ")
    assert "--training.strategy ddp" in launch
    assert "--training.tensor" not in launch


def test_json_holds_the_same(saccade: Command) -> None:
    done = saccade("plan", "gpt2", "tiny", "--json", "--device", "v100", "--tokens", "1M")
    found = json.loads(done.out)
    assert found["layout"]["data"] == 1
    assert found["fits"]
    assert found["steps"] * found["size"] >= 1e6 > (found["steps"] - 1) * found["size"]
    assert found["days"] == pytest.approx(found["steps"] * found["seconds"] / 86_400)


def test_the_command_trains(saccade: Command, tmp_path_factory: pytest.TempPathFactory) -> None:
    launch = json.loads(saccade("plan", "gpt2", "tiny", "--json", "--tokens", "1K").out)["command"]
    words = shlex.split(launch)
    assert words[:4] == ["python", "-m", "saccade", "train"]
    out = tmp_path_factory.mktemp("planned") / "run"
    done = saccade(*words[3:], "--out", out)
    assert done.status == 0, done.err


def test_a_command_for_which_the_embedded_text_is_too_small_asks_for_another(saccade: Command) -> None:
    """GPT-2's pieces cannot be learned from it; with their files, a batch is too large for it."""
    ask = ("plan", "gpt2", "xl", "--devices", "64", "--device", "v100", "--memory", "32GB", "--tensor", "8")
    done = saccade(*ask, "--tokens", "300B")
    command, _, note = done.out[done.out.index("torchrun") :].replace("\\\n", " ").partition("\n\n")
    assert note.startswith(
        "At most 19,938 pieces can be learned from the embedded text, not 50,257; give your own text"
    )
    words = shlex.split(command)
    config: Any = flags.parse(catalogue.variant(catalogue.recipe("gpt2"), "xl"), words[words.index("xl") + 1 :])
    assert config.task.file == (Path("TEXT"),)
    assert (config.task.symbols.vocabulary, config.task.symbols.merges) == (Path("VOCABULARY"), Path("MERGES"))


def test_a_batch_that_the_embedded_text_is_too_small_for_needs_another(saccade: Command, tmp_path: Path) -> None:
    found = json.loads(saccade("plan", "gpt2", "tiny", "--json", "--training.batch-size", "50000").out)
    assert found["missing"]["flags"] == ["--task.file TEXT"]
    assert "has 86,625 symbols to train on, and a batch needs 99,969" in found["missing"]["why"]
    assert " --task.file TEXT " in found["command"]
    refused = saccade("train", "gpt2", "tiny", "--training.batch-size", "50000", "--out", tmp_path / "run")
    assert "the training text has 86,625 symbols, and a batch of 1,562 windows needs 99,969" in refused.err
    text = tmp_path / "text"
    text.write_text("a" * 200, "utf-8")
    for enough in (("--training.batch-size", "40000"), ("--training.batch-size", "50000", "--task.file", str(text))):
        found = json.loads(saccade("plan", "gpt2", "tiny", "--json", *enough).out)
        assert found["missing"] is None
        assert "TEXT" not in found["command"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a system first"),
        (["gpt"], "did you mean 'gpt2'?"),
        (["gpt2", "xxl"], "there is no variant 'xxl'"),
        (["gpt2", "--device", "v10"], "there is no device 'v10'; did you mean 'v100'?"),
        (["gpt2", "--memory", "32"], "such as 32GB or 80GiB, not '32'"),
        (["gpt2", "--tensor", "8", "--devices", "4"], "--tensor 8 is more than --devices 4"),
        (["gpt2", "--tensor", "5", "--devices", "12"], "--tensor 5 does not divide --devices 12"),
        (["gpt2", "--devices", "0"], "--devices takes a number from 1"),
        (["gpt2", "--tokens", "many"], "--tokens takes a number"),
        (["gpt2", "--rate", "39"], "--rate takes operations a second"),
        (["gpt2", "--utilisation", "50"], "--utilisation takes a share"),
        (["gpt2", "--recompute", "all"], "invalid choice: 'all'"),
        (["gpt2", "--devics", "3"], "did you mean '--devices'?"),
        (["gpt2", "--device", "v100", "--precision", "bfloat16"], "v100 has no units for bfloat16"),
    ],
)
def test_bad_input_is_one_sentence(saccade: Command, arguments: list[str], said: str) -> None:
    done = saccade("plan", *arguments)
    assert done.status == 2
    assert done.out == ""
    assert said in done.err
    assert done.err.count("\n") == 1


def test_the_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["plan", "--help"])
    out = capsys.readouterr().out
    assert "--tensor N" in out
    assert "saccade plan SYSTEM VARIANT --devices 64" in out


@pytest.mark.parametrize(
    ("count", "machine", "tensor", "each"),
    [(8, 8, 1, 8), (9, 8, 1, 3), (20, 8, 1, 5), (12, 8, 4, 4), (16, 8, 8, 8), (32, 8, 16, 8), (7, 8, 1, 7)],
)
def test_machines_have_equally_many_processes(count: int, machine: int, tensor: int, each: int) -> None:
    assert processes_per_machine(count, machine, tensor) == each
    assert count % each == 0
