"""Each run has its own folder."""

import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from saccade.app import train_verb
from saccade.runs import learning
from tests.app.conftest import Command
from tests.app.test_bad_input import refused

TINY = ("train", "rnnsearch", "tiny", "--task.limit", 60, "--search.beam", 1, "--training.steps", 10)


def files(run: Path) -> dict[str, bytes]:
    """The files in the folder, except for the lock."""
    return {str(p.relative_to(run)): p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name != ".lock"}


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


class Noon(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> "Noon":
        return cls(2026, 1, 2, 12)


@pytest.mark.parametrize("named", [False, True])
def test_runs_started_in_the_same_second_have_separate_folders(
    saccade: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    """The second run starts and ends while the first is being prepared."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train_verb, "datetime", Noon)
    out = ("--out", "runs/one") if named else ()
    rehearse, others = learning.rehearse, []

    def meanwhile(*arguments: Any) -> None:
        if not others:
            others.append(None)
            others[0] = train_verb.run([str(part) for part in (*TINY[1:], "--model.dropout", 0.5, *out)])
        rehearse(*arguments)

    monkeypatch.setattr(learning, "rehearse", meanwhile)
    done = saccade(*TINY, "--model.dropout", 0.25, *out)
    assert others == [0]
    if named:
        refused(done, "runs/one already contains a run")
    else:
        assert done.status == 0, done.err
    found = {p.name: yaml.safe_load((p / "config.yaml").read_text()) for p in Path("runs").iterdir()}
    names = ["one"] if named else ["rnnsearch-tiny-20260102-120000", "rnnsearch-tiny-20260102-120000-2"]
    assert sorted(found) == names
    assert [found[name]["config"]["model"]["dropout"] for name in names] == [0.5, 0.25][: len(names)]


def test_a_folder_with_another_programs_checkpoint_is_unchanged(saccade: Command, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        (tmp_path / "theirs" / name).write_text(name)
    before = files(tmp_path)
    done = saccade(*TINY, "--out", tmp_path / "theirs")
    refused(done, "theirs is not empty (it contains config.json, model.safetensors, tokenizer.json) and not a run")
    assert files(tmp_path) == before
    (tmp_path / "empty").mkdir()
    assert saccade(*TINY, "--out", tmp_path / "empty").status == 0


def test_a_variant_that_no_longer_exists_is_reported_before_training(saccade: Command, copy: Path) -> None:
    config = copy / "config.yaml"
    config.write_text(config.read_text().replace("variant: tiny", "variant: small"))
    before = files(copy)
    done = saccade("train", "--resume", copy, "--training.steps", 210)
    refused(done, f"{config}: rnnsearch has no variant 'small'", "correct the name in that file")
    assert files(copy) == before
    assert saccade("predict", copy, "Go home.").status == 0  # prediction does not use the variant
