"""Recurrent networks that generate a signal from nothing."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from saccade.core.recipe import Answer
from saccade.explain.pictures.curve import Curve
from saccade.explain.pictures.memory_trace import MemoryTrace
from saccade.runs import catalogue
from tests.conftest import Command

RECIPE: Any = catalogue.recipe("clockwork_rnn")


def built(variant: str) -> tuple[Any, Any, Any]:
    config = RECIPE.variants[variant]
    task = RECIPE.task(config, None)
    torch.manual_seed(1)
    return config, task, RECIPE.build(config, task)


def weights(model: Any) -> int:
    return sum(weight.numel() for weight in model.parameters())


def test_the_networks_have_as_many_weights_as_the_page_says() -> None:
    text = (catalogue.SYSTEMS / "clockwork_rnn" / "README.md").read_text(encoding="utf-8")
    counts = {variant: weights(built(variant)[2]) for variant in ("default", "rnn", "lstm")}
    assert max(counts.values()) < 1.03 * min(counts.values())
    size, modules = 5, 9
    # a block for each module and each that is not faster; biases; the output
    assert counts["default"] == size**2 * modules * (modules + 1) // 2 + 2 * size * modules + 1
    assert counts["rnn"] == 34 * 34 + 2 * 34 + 1
    assert counts["lstm"] == 4 * (17 * 17 + 17) + 17 + 1
    for variant, count in counts.items():
        assert re.search(rf"\| `{variant}` \|.*\| {count:,} \| {RECIPE.variants[variant].training.steps:,} \|", text)


@pytest.mark.parametrize("variant", ["default", "rnn", "lstm"])
def test_a_network_reads_nothing_of_the_signal(variant: str) -> None:
    _, task, model = built(variant)
    batch = task.collate([task.signal[:23]])
    with torch.no_grad():
        said = model(batch)
        assert torch.equal(model(batch._replace(signal=torch.randn(1, 23))), said)
        assert said.std() > 1e-3, "it would learn nothing from a state that never leaves 0"


def test_the_signal_is_the_output_of_the_clockwork_rnn_by_loops() -> None:
    _, task, model = built("tiny")
    model.double()
    steps, size = len(task.signal), model.memory.module_size
    recurrent, bias = model.memory.recurrent().mT, model.memory.bias
    hidden, said = [torch.zeros(len(bias), dtype=torch.float64)], []
    for t in range(steps):
        new = hidden[-1].clone()
        for module in range(4):
            if t % 2**module == 0:
                for unit in range(module * size, (module + 1) * size):
                    new[unit] = torch.tanh(recurrent[unit] @ hidden[-1] + bias[unit])
        hidden.append(new)
        said.append(model.output.weight[0] @ new + model.output.bias[0])
    torch.testing.assert_close(model(task.collate([task.signal]))[0], torch.stack(said), rtol=0, atol=1e-12)


def test_the_pictures_are_of_the_signal_and_of_the_ticks() -> None:
    config, task, model = built("tiny")
    [prediction] = RECIPE.predict(model, task.collate([task.signal]), config)
    answer = Answer(model, task, config, task.signal, prediction, torch.device("cpu"))
    signal, modules = RECIPE.pictures(answer)
    assert isinstance(signal, Curve)
    assert list(signal.lines) == ["signal", "generated"]
    assert isinstance(modules, MemoryTrace)
    assert modules.rows == "module"
    [trace] = modules.traces.values()
    changed = torch.as_tensor(trace) > 0
    ticks: Tensor = torch.arange(len(task.signal))[:, None] % torch.tensor([1, 2, 4, 8]) == 0
    assert torch.equal(changed, ticks)
    config, task, model = built("rnn")
    answer = Answer(model, task, config, task.signal, [0.0] * 320, torch.device("cpu"))
    assert [picture.name for picture in RECIPE.pictures(answer)] == ["signal"]


def test_a_trained_network_generates_from_nothing(tiny_runs: dict[str, Path], saccade: Command) -> None:
    run = tiny_runs["clockwork_rnn"]
    done = saccade("predict", run)
    assert done.status == 0
    error = re.search(r"40 samples, normalised mean squared error ([0-9.]+)", done.out)
    assert error
    assert float(error[1]) < 0.9
    failed = saccade("predict", run, "0.5")
    assert failed.status == 2
    assert "needs no input" in failed.err
    assert failed.err.count("\n") == 1
