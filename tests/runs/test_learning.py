"""A run is resumed or unchanged; its evidence matches its training, and paths start from its first folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from saccade.runs import learning
from tests.app.test_bad_input import refused
from tests.app.test_train_verb import TINY, files
from tests.conftest import Command


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--training.steps", 50), "so it cannot end after 50"),
        (("--training.steps", 300, "--model.hidden-size", 32), "model.hidden_size = 16, not 32"),
        (("--training.steps", 300, "--device", "cuda:9"), "no device 'cuda:9'"),
    ],
)
def test_a_refused_run_is_unchanged(saccade: Command, copy: Path, flags: tuple[Any, ...], said: str) -> None:
    before = files(copy)
    refused(saccade("train", "--resume", copy, *flags), said)
    assert files(copy) == before


def test_a_run_with_damaged_metrics_is_refused_and_unchanged(saccade: Command, copy: Path) -> None:
    lines = (copy / "metrics.jsonl").read_text().splitlines(keepends=True)
    (copy / "metrics.jsonl").write_text("".join([*lines[:3], '{"step": 3', "\n", *lines[4:]]))
    before = files(copy)
    refused(saccade("train", "--resume", copy, "--training.steps", 210), "metrics.jsonl, line 4: expected metrics")
    assert files(copy) == before


def test_the_best_weights_are_read_before_training_resumes(saccade: Command, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert saccade(*TINY, "--training.keep", "best", "--training.validate-every", 5, "--out", out).status == 0
    (out / "checkpoints" / "best.ckpt").write_bytes(b"")
    before = files(out)
    refused(saccade("train", "--resume", out, "--training.steps", 12), "best.ckpt: damaged or cut off")
    assert files(out) == before


def test_a_finished_run_is_unchanged(saccade: Command, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(copy)
    monkeypatch.setattr(learning, "commit", lambda: "f" * 40)
    for flags in ((), ("--training.threads", 2), ("--precision", "bfloat16")):
        done = saccade("train", "--resume", copy, *flags)
        assert done.status == 0, done.err
        assert "has already finished" in done.out
        assert files(copy) == before


@pytest.mark.parametrize("steps", [None, 210, 205])
def test_evidence_matches_the_steps_taken(
    saccade: Command, copy: Path, monkeypatch: pytest.MonkeyPatch, steps: int | None
) -> None:
    """A run of 200 steps is resumed to 205 and killed while it is scored; its evidence is still that of 200 steps."""
    with monkeypatch.context() as patch:
        patch.setattr(learning, "finish", lambda *learned: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            saccade("train", "--resume", copy, "--training.steps", 205)
    made = yaml.safe_load((copy / "config.yaml").read_text())
    monkeypatch.setattr(learning, "commit", lambda: "f" * 40)
    flags = () if steps is None else ("--training.steps", steps)
    assert saccade("train", "--resume", copy, *flags).status == 0
    evidence = json.loads((copy / "evidence.json").read_text())
    assert evidence["config"]["training"]["steps"] == (steps or 205)
    # the code of the last training
    assert evidence["commit"] == ("f" * 40 if steps == 210 else made["commit"])
    assert evidence["config"] == yaml.safe_load((copy / "config.yaml").read_text())["config"]


@pytest.fixture
def started(saccade: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run on data with relative paths; the current folder is another one with files of the same names."""
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    words = ["red", "green", "blue", "one", "two", "six"]
    pairs = [f"{a} {b}\t{b} {a}".upper() for a in words for b in words]
    for folder, held in ((project, 5), (elsewhere, 3)):
        (folder / "data").mkdir(parents=True)
        (folder / "data" / "train.tsv").write_text("\n".join(pairs))
        (folder / "data" / "held.tsv").write_text("\n".join(pairs[:held]))
    monkeypatch.chdir(project)
    files = {"train": "train", "validation": "held", "test": "held"}
    own = [f"--task.{split}=data/{name}.tsv" for split, name in files.items()]
    done = saccade("train", "rnnsearch", "tiny", "--search.beam", 1, "--training.steps", 10, *own, "--out", "run")
    assert done.status == 0, done.err
    monkeypatch.chdir(elsewhere)
    return project / "run"


def test_relative_paths_start_from_where_the_run_was_started(saccade: Command, started: Path, tmp_path: Path) -> None:
    evidence = json.loads((started / "evidence.json").read_text())
    figures = evidence["metrics"]["test"]
    assert evidence["data"]["data"] == "train.tsv, held.tsv, held.tsv"
    assert str(tmp_path) not in json.dumps({**evidence, "command": None})
    found = json.loads(saccade("evaluate", started, "--json").out)
    assert found.pop("by_length")["counts"] == [5]
    assert found == figures
    # a path typed now starts from the current folder
    other = json.loads(saccade("evaluate", started, "--task.test", "data/held.tsv", "--json").out)
    assert (figures["sentences"], other["sentences"]) == (5, 3)
    before = yaml.safe_load((started / "config.yaml").read_text())
    done = saccade("train", "--resume", started, "--training.steps", 12)
    assert done.status == 0, done.err
    after = yaml.safe_load((started / "config.yaml").read_text())
    assert after["folder"] == before["folder"] == str(tmp_path / "project")
    assert after["config"]["task"] == before["config"]["task"]
    assert after["config"]["task"]["train"] == ["data/train.tsv"]


def test_missing_data_are_reported_with_their_folder(saccade: Command, started: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "project" / "data")
    wanted = tmp_path / "project" / "data" / "held.tsv"
    refused(saccade("evaluate", started), f"{wanted}: there is no such file")
    refused(saccade("train", "--resume", started, "--training.steps", 12), str(wanted.with_name("train.tsv")))
    assert saccade("predict", started, "RED ONE").status == 0  # prediction needs no data


def test_relative_paths_of_a_run_from_another_machine_start_from_the_current_folder(
    saccade: Command, started: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere" / "run"
    shutil.move(started, moved)
    (tmp_path / "project").rename(tmp_path / "gone")
    assert saccade("evaluate", moved).status == 0
    shutil.rmtree(tmp_path / "elsewhere" / "data")
    refused(saccade("evaluate", moved), f"data/held.tsv: there is no such file in {tmp_path / 'elsewhere'}")
