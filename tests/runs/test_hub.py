"""Checkpoints of the hub by name: those that are on this machine, and what is said of others."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from saccade.core.errors import NotFound
from saccade.runs import hub
from saccade.runs.run import load
from tests.checkpoints import randomised, write_words
from tests.conftest import Command

library: Any = pytest.importorskip("huggingface_hub")
transformers: Any = pytest.importorskip("transformers")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The library's cache, with one checkpoint; nothing is reached over the network."""
    folder = tmp_path / "cache" / "models--owner--small" / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (folder.parents[1] / "refs").mkdir()
    (folder.parents[1] / "refs" / "main").write_text(COMMIT)
    options = transformers.BertConfig(
        vocab_size=write_words(folder), hidden_size=6, num_hidden_layers=1, num_attention_heads=2, intermediate_size=5
    )
    torch.manual_seed(1)
    randomised(transformers.BertForPreTraining(options)).save_pretrained(folder)
    monkeypatch.setattr(library.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(library.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_checkpoint_on_this_machine_is_found_by_its_name(cache: Path) -> None:
    run, _ = load("owner/small")
    assert run.predict("the [MASK]").text
    assert run.folder.path == cache


def test_a_training_starts_from_a_name(cache: Path, saccade: Command) -> None:
    few = ("--task.length", "16", "--training.steps", "2", "--training.validate-every", "2", "--out", "run")
    done = saccade("train", "bert", "tiny", "--weights", "owner/small", *few)
    assert done.status == 0, done.err
    config: Any = load("run")[0].config
    assert (config.weights.path, config.model.model_size) == (cache, 6)


def test_a_name_is_served(cache: Path, saccade: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Any] = []
    monkeypatch.setattr("saccade.app.serve_verb.serve", lambda paths, host, number: served.extend(paths) or 0)
    done = saccade("serve", "owner/small")
    assert done.status == 0, done.err
    assert served == [cache]
    refused = saccade("serve", "owner/other")
    assert refused.status == 2
    assert "owner/other is no run, and no complete checkpoint on this machine" in refused.err


def test_a_name_that_is_not_here_is_one_sentence(cache: Path) -> None:
    with pytest.raises(NotFound, match=r"owner/other is no run, and no complete checkpoint on this machine.*OFFLINE"):
        load("owner/other")
    shutil.move(cache / "model.safetensors", cache / "elsewhere")
    with pytest.raises(NotFound, match="owner/small is no run, and no complete checkpoint"):
        load("owner/small")


def test_paths_are_no_names(cache: Path) -> None:
    Path("runs").mkdir()
    assert not any(hub.is_name(path) for path in ("runs/typo", "/owner/name", "./name", "name", "a/b/c", "owner/"))
    with pytest.raises(NotFound, match="there is no such run folder"):
        load("runs/typo")
