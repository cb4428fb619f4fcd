"""How a run ends: with the mean of its last checkpoints, or early; killed and resumed as if it had not been."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from saccade.core.recipe import Loss
from saccade.training.config import TrainingConfig
from saccade.training.run_folder import RunFolder
from tests.training.trainings import build, task, train

pytestmark = pytest.mark.unhooked


class Killed(Exception):
    """Stands for a kill between two steps."""


def killed_at(step: int) -> Any:
    def report(figures: Mapping[str, Any]) -> None:
        if figures["step"] >= step:
            raise Killed

    return report


def test_the_weights_are_the_mean_of_the_last_checkpoints(tmp_path: Path) -> None:
    data, settings = task(limit=40), {"checkpoint_every": 5, "log_every": 1}
    for steps in (10, 15, 18):
        train(tmp_path / str(steps), data, **settings, steps=steps)
    train(tmp_path / "mean", data, **settings, steps=18, average=3)
    parts = [load_file(tmp_path / str(steps) / "model.safetensors") for steps in (10, 15, 18)]
    mean = load_file(tmp_path / "mean" / "model.safetensors")
    assert list(mean) == list(parts[0])
    for name, found in mean.items():
        total = sum((part[name].double() for part in parts), torch.zeros(()))
        assert torch.equal(found, (total / 3).to(found.dtype))
    assert list(RunFolder(tmp_path / "mean").earlier()) == [10, 15, 18]


def test_the_mean_survives_kills_and_an_earlier_end(tmp_path: Path) -> None:
    data, settings = task(limit=40), {"checkpoint_every": 5, "log_every": 1, "average": 3}
    train(tmp_path / "left", data, **settings, steps=18)
    for step in (8, 12):
        with pytest.raises(Killed):
            train(tmp_path / "killed", data, report=killed_at(step), **settings, steps=18)
    train(tmp_path / "killed", data, **settings, steps=12)  # an end that is taken back
    train(tmp_path / "killed", data, **settings, steps=18)
    left, killed = (RunFolder(tmp_path / name) for name in ("left", "killed"))
    assert left.weights.read_bytes() == killed.weights.read_bytes()
    assert list(killed.earlier()) == list(left.earlier())


def test_an_update_whose_batches_hold_no_token_changes_nothing(tmp_path: Path) -> None:
    data, settings = task(limit=20), {"accumulate": 2, "optimizer": "sgd", "log_every": 1}

    def objective(model: Any, batch: Any, step: int) -> Loss:
        loss = data.objective(model, batch, step)
        first = step == 0 and model.training
        return Loss(0 * loss.value, {"tokens": torch.tensor(0)}) if first else loss

    train(tmp_path / "one", data, objective=objective, steps=1, **settings)
    weights, start = load_file(tmp_path / "one" / "model.safetensors"), build(data).state_dict()
    assert all(torch.equal(weight, start[name]) for name, weight in weights.items())
    assert RunFolder(tmp_path / "one").read_metrics()[0]["loss"] == 0


def test_a_mean_of_the_last_is_not_the_best() -> None:
    with pytest.raises(ValidationError, match="average is 3, which is of the last checkpoints, but keep is 'best'"):
        TrainingConfig(average=3, keep="best")


def test_a_run_ends_when_its_validation_loss_falls_no_more(tmp_path: Path) -> None:
    data = task(limit=40)

    def objective(model: Any, batch: Any, step: int) -> Loss:
        """A validation loss that falls up to step 6."""
        loss = data.objective(model, batch, step)
        return loss if model.training else Loss(loss.value * 0 + max(0, 6 - step), loss.logs)

    settings = {"validate_every": 2, "checkpoint_every": 50, "log_every": 1, "patience": 3}
    outcome = train(tmp_path / "left", data, objective=objective, **settings)
    assert (outcome.done, outcome.steps) == (True, 12)
    for killed in (7, 11):
        with pytest.raises(Killed):
            train(tmp_path / "killed", data, objective=objective, report=killed_at(killed), **settings)
    assert train(tmp_path / "killed", data, objective=objective, **settings).steps == 12
    again = train(tmp_path / "killed", data, objective=objective, **settings)  # it has nothing left to do
    assert (again.done, again.steps) == (True, 12)
    left, resumed = (RunFolder(tmp_path / name) for name in ("left", "killed"))
    assert left.weights.read_bytes() == resumed.weights.read_bytes()
    assert [line["step"] for line in resumed.read_metrics()] == [line["step"] for line in left.read_metrics()]


@pytest.mark.parametrize("threads", [1, 2, None])
def test_a_training_takes_the_threads_it_is_told(tmp_path: Path, threads: int | None) -> None:
    data, before, found = task(limit=40), torch.get_num_threads(), set()

    def objective(model: torch.nn.Module, batch: Any, step: int) -> Loss:
        found.add(torch.get_num_threads())
        return data.objective(model, batch, step)

    train(tmp_path / "run", data, objective=objective, steps=3, threads=threads)
    assert found == {threads or before}
    assert torch.get_num_threads() == before
