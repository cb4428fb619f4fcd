"""How a run ends: averaged weights, the best weights, early stopping, signals; after kills as without."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from saccade.core.recipe import Loss, Part
from saccade.training.config import TrainingConfig
from saccade.training.run_folder import RunFolder
from tests.training.trainings import Reversals, build, symbols, train, two_parts

pytestmark = pytest.mark.unhooked


class Killed(Exception):
    """Simulates a kill between two steps."""


def killed_at(step: int) -> Any:
    def report(figures: Mapping[str, Any]) -> None:
        if figures["step"] >= step:
            raise Killed

    return report


def test_the_weights_are_the_mean_of_the_last_checkpoints(tmp_path: Path) -> None:
    task, settings = Reversals(40), {"checkpoint_every": 5, "log_every": 1}
    for steps in (10, 15, 18):
        train(tmp_path / str(steps), task, **settings, steps=steps)
    train(tmp_path / "mean", task, **settings, steps=18, average=3)
    parts = [load_file(tmp_path / str(steps) / "model.safetensors") for steps in (10, 15, 18)]
    mean = load_file(tmp_path / "mean" / "model.safetensors")
    assert list(mean) == list(parts[0])
    for name, found in mean.items():
        total = sum((part[name].double() for part in parts), torch.zeros(()))
        assert torch.equal(found, (total / 3).to(found.dtype))
    assert list(RunFolder(tmp_path / "mean").earlier()) == [10, 15, 18]


def test_the_mean_survives_kills_and_an_earlier_end(tmp_path: Path) -> None:
    task, settings = Reversals(40), {"checkpoint_every": 5, "log_every": 1, "average": 3}
    train(tmp_path / "left", task, **settings, steps=18)
    for step in (8, 12):
        with pytest.raises(Killed):
            train(tmp_path / "killed", task, report=killed_at(step), **settings, steps=18)
    train(tmp_path / "killed", task, **settings, steps=12)  # an end that is extended later
    train(tmp_path / "killed", task, **settings, steps=18)
    left, killed = (RunFolder(tmp_path / name) for name in ("left", "killed"))
    assert left.weights.read_bytes() == killed.weights.read_bytes()
    assert list(killed.earlier()) == list(left.earlier())


def test_average_and_keep_best_are_mutually_exclusive() -> None:
    with pytest.raises(ValidationError, match="average is 3, but keep is 'best'"):
        TrainingConfig(average=3, keep="best")


def test_a_run_ends_when_its_validation_loss_stops_falling(tmp_path: Path) -> None:
    task = Reversals(40)

    def objective(model: Any, batch: Any, step: int) -> Loss:
        """A validation loss that falls up to step 6."""
        loss = symbols(model, batch, step)
        return loss if model.training else Loss({"symbols": Part(loss.value * 0 + max(0, 6 - step), 1)})

    settings = {"validate_every": 2, "checkpoint_every": 50, "log_every": 1, "patience": 3}
    outcome = train(tmp_path / "left", task, objective=objective, **settings)
    assert (outcome.done, outcome.steps) == (True, 12)
    for killed in (7, 11):
        with pytest.raises(Killed):
            train(tmp_path / "killed", task, objective=objective, report=killed_at(killed), **settings)
    assert train(tmp_path / "killed", task, objective=objective, **settings).steps == 12
    again = train(tmp_path / "killed", task, objective=objective, **settings)  # nothing is left to do
    assert (again.done, again.steps) == (True, 12)
    left, resumed = (RunFolder(tmp_path / name) for name in ("left", "killed"))
    assert left.weights.read_bytes() == resumed.weights.read_bytes()
    assert [line["step"] for line in resumed.read_metrics()] == [line["step"] for line in left.read_metrics()]


def test_the_moving_average_is_validated_kept_and_resumed(tmp_path: Path) -> None:
    """a = sum_i (1 - d) d^(t - i) w_i / (1 - d^t) over the weights after each update (Kingma & Ba 2015, 7.2)."""
    task, settings = Reversals(40), {"checkpoint_every": 1, "log_every": 1, "validate_every": 3, "average": 7}
    after: list[dict[str, torch.Tensor]] = []
    train(tmp_path / "plain", task, steps=7, **settings)
    after = [load_file(path) for path in RunFolder(tmp_path / "plain").earlier().values()]
    assert len(after) == 7
    settings = {**settings, "average": 1, "ema": 0.6, "checkpoint_every": 2}
    seen = []

    def objective(model: torch.nn.Module, batch: Any, step: int) -> Loss:
        if not model.training:
            seen.append((step, next(model.parameters()).detach().clone()))
        return symbols(model, batch, step)

    train(tmp_path / "left", task, steps=7, objective=objective, **settings)
    name = "source_embedding.weight"

    def average(step: int) -> torch.Tensor:
        terms = [0.4 * 0.6 ** (step - i) * after[i - 1][name].double() for i in range(1, step + 1)]
        return sum(terms, torch.zeros(())) / (1 - 0.6**step)

    assert torch.allclose(load_file(tmp_path / "left" / "model.safetensors")[name].double(), average(7), atol=1e-6)
    assert {step for step, _ in seen} == {3, 6, 7}
    assert all(torch.allclose(weight.double(), average(step), atol=1e-6) for step, weight in seen)
    with pytest.raises(Killed):
        train(tmp_path / "killed", task, report=killed_at(5), steps=7, **settings)
    train(tmp_path / "killed", task, steps=7, **settings)
    left, killed = (RunFolder(tmp_path / run) for run in ("left", "killed"))
    assert left.weights.read_bytes() == killed.weights.read_bytes()
    with pytest.raises(ValidationError, match=r"average is 2 and ema is 0\.9; set only one of them"):
        TrainingConfig(average=2, ema=0.9)


def test_the_best_weights_are_kept(tmp_path: Path) -> None:
    task = Reversals(40)

    def objective(model: Any, batch: Any, step: int) -> Loss:
        loss = symbols(model, batch, step)
        return loss if model.training else Loss({"symbols": Part(loss.value * 0 + abs(step - 4), 1)})

    settings = {"validate_every": 2, "checkpoint_every": 50, "log_every": 1, "steps": 8}
    train(tmp_path / "best", task, objective=objective, keep="best", **settings)
    train(tmp_path / "four", task, schedule="constant", **(settings | {"steps": 4}))
    best, four = (RunFolder(tmp_path / name).weights.read_bytes() for name in ("best", "four"))
    assert best == four


@pytest.mark.parametrize("direction", ["max", "min"])
def test_without_a_loss_the_metric_decides(tmp_path: Path, direction: Any) -> None:
    """`keep` and `patience` use it, in its direction."""
    task = Reversals(40)
    task.direction = direction
    values = iter([1.0, 3.0, 2.0, 2.0] if direction == "max" else [3.0, 1.0, 2.0, 2.0])

    def objective(model: Any, batch: Any, step: int) -> Loss:
        return symbols(model, batch, step) if model.training else Loss({})

    def evaluate(model: torch.nn.Module) -> float:
        assert not model.training
        assert not torch.is_grad_enabled()
        return next(values)

    settings: dict[str, Any] = {"validate_every": 2, "log_every": 1, "steps": 20, "patience": 2, "keep": "best"}
    outcome = train(tmp_path / "run", task, objective=objective, evaluate=evaluate, **settings)
    assert outcome.steps == 8
    found = [line["validation_right"] for line in RunFolder(tmp_path / "run").read_metrics() if "loss" not in line]
    assert found[1] == (max if direction == "max" else min)(found)
    train(tmp_path / "four", task, **(settings | {"steps": 4, "keep": "last"}))
    assert RunFolder(tmp_path / "run").weights.read_bytes() == RunFolder(tmp_path / "four").weights.read_bytes()
    with pytest.raises(ValueError, match="no loss in evaluation; give fit an evaluate"):
        train(tmp_path / "none", task, objective=objective, steps=1)


def test_metrics_continue_after_a_checkpoint_between_two_lines(tmp_path: Path) -> None:
    task, settings = Reversals(40), {"checkpoint_every": 3, "log_every": 10, "steps": 20, "objective": two_parts}
    train(tmp_path / "left", task, **settings)
    with pytest.raises(Killed):
        train(tmp_path / "killed", task, report=killed_at(10), **settings)
    train(tmp_path / "killed", task, **settings)
    left, killed = (RunFolder(tmp_path / name).read_metrics() for name in ("left", "killed"))
    for line in [*left, *killed]:
        line.pop("counted_per_second", None)
    assert left == killed
    assert set(left[0]) == {"step", "loss", "long", "ends", "width", "learning_rate"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_its_step_with_a_checkpoint(tmp_path: Path, number: int) -> None:
    task, before = Reversals(40), signal.getsignal(number)

    def interrupt(figures: Mapping[str, Any]) -> None:
        if figures["step"] == 13 and "loss" in figures:
            os.kill(os.getpid(), number)

    outcome = train(tmp_path / "run", task, report=interrupt, steps=30, log_every=1)
    assert (outcome.done, outcome.steps) == (False, 14)
    assert not RunFolder(tmp_path / "run").weights.exists()
    assert signal.getsignal(number) is before
    outcome = train(tmp_path / "run", task, steps=30, log_every=1)
    assert (outcome.done, outcome.steps, outcome.before) == (True, 30, 14)
    train(tmp_path / "left", task, steps=30, log_every=1)
    run, left = (RunFolder(tmp_path / name) for name in ("run", "left"))
    assert run.weights.read_bytes() == left.weights.read_bytes()
    assert [line["step"] for line in run.read_metrics()] == [line["step"] for line in left.read_metrics()]


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float64"])
def test_precisions_reach_the_weights_and_the_batches(tmp_path: Path, precision: str) -> None:
    wide = torch.float64 if precision == "float64" else torch.float32

    def objective(model: torch.nn.Module, batch: Any, step: int) -> Loss:
        assert batch.source_mask.dtype == torch.bool
        assert torch.get_default_dtype() == wide
        assert torch.is_autocast_enabled("cpu") == (precision == "bfloat16")
        return symbols(model, batch, step)

    train(tmp_path / "run", Reversals(40), objective=objective, steps=3, precision=precision)
    assert {weight.dtype for weight in load_file(tmp_path / "run" / "model.safetensors").values()} == {wide}
    assert torch.get_default_dtype() == torch.float32


def test_metrics_go_to_tensorboard_and_a_table(tmp_path: Path) -> None:
    train(tmp_path / "run", Reversals(40), steps=10)
    assert len(list((tmp_path / "run" / "tensorboard").glob("events.out.tfevents.*"))) == 1
    assert (tmp_path / "run" / "metrics.csv").read_text().startswith("step,loss,largest,counted_per_second,")


def test_a_module_in_evaluation_mode_remains_in_it(tmp_path: Path) -> None:
    """Such as a pretrained network: validation does not put it in training mode."""
    model = build()
    model.gates.eval()
    seen = set()

    def objective(model: torch.nn.Module, batch: Any, step: int) -> Loss:
        seen.add((model.training, model.gates.training))
        return symbols(model, batch, step)

    train(tmp_path / "run", Reversals(40), objective=objective, net=model, validate_every=2, steps=5)
    assert seen == {(True, False), (False, False)}


def test_random_draws_of_a_validation_do_not_change_training(tmp_path: Path) -> None:
    """All validations draw the same numbers, and the weights do not depend on their frequency."""
    drawn: list[float] = []

    def objective(model: torch.nn.Module, batch: Any, step: int) -> Loss:
        noise = float(torch.rand(()))
        if not model.training:
            drawn.append(noise)
        parts = {name: part._replace(weight=1 + noise) for name, part in symbols(model, batch, step).parts.items()}
        return Loss(parts)

    for name, every in (("often", 2), ("seldom", 6)):
        train(tmp_path / name, Reversals(8), objective=objective, validate_every=every, steps=6)
    often, seldom = (RunFolder(tmp_path / name).weights.read_bytes() for name in ("often", "seldom"))
    assert often == seldom
    assert len(set(drawn)) == len(drawn) // 4


@pytest.mark.parametrize("threads", [1, 2, None])
def test_a_training_uses_its_threads(tmp_path: Path, threads: int | None) -> None:
    task, before, found = Reversals(40), torch.get_num_threads(), set()

    def objective(model: torch.nn.Module, batch: Any, step: int) -> Loss:
        found.add(torch.get_num_threads())
        return symbols(model, batch, step)

    train(tmp_path / "run", task, objective=objective, steps=3, threads=threads)
    assert found == {threads or before}
    assert torch.get_num_threads() == before
