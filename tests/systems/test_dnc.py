"""Differentiable neural computers that learn algorithms."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from saccade.core.recipe import Answer
from saccade.explain.pictures.alignment import Alignment
from saccade.explain.pictures.memory_trace import MemoryTrace
from saccade.explain.pictures.strip import Strip
from saccade.runs import catalogue
from tests.conftest import Command

RECIPE: Any = catalogue.recipe("dnc")


@pytest.fixture(scope="module")
def built() -> tuple[Any, Any, Any]:
    config = RECIPE.variants["tiny"]
    task = RECIPE.task(config, None)
    torch.manual_seed(0)
    return config, task, RECIPE.build(config, task)


def test_training_lowers_the_cost(built: tuple[Any, Any, Any]) -> None:
    config, task, _ = built
    torch.manual_seed(1)
    model = RECIPE.build(config, task).train()
    stream = RECIPE.stream(config, task, model)
    batch = task.collate(task.examples("validation"))
    optimizer = torch.optim.Adam(model.parameters(), config.training.learning_rate)
    before = float(RECIPE.objective(model, batch, 0).value.detach())
    for step in range(config.training.steps):
        optimizer.zero_grad()
        RECIPE.objective(model, stream.share(step).batch, step).value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.training.clip)
        optimizer.step()
    assert float(RECIPE.objective(model, batch, 0).value.detach()) < 0.9 * before


@pytest.mark.parametrize("variant", RECIPE.variants)
def test_every_variant_can_be_built_and_gives_a_logit_for_each_bit(variant: str) -> None:
    config = RECIPE.variants[variant]
    task = RECIPE.task(config, None)
    model = RECIPE.build(config, task)
    draw = torch.Generator().manual_seed(1)
    batch = task.algorithm.draw(task.algorithm.shape(draw), 2, draw)
    with torch.no_grad():
        assert model(batch).shape == batch.targets.shape


def test_the_pictures_are_of_the_heads_and_of_the_sequence(built: tuple[Any, Any, Any]) -> None:
    config, task, model = built
    example = task.read("101 110")
    [prediction] = RECIPE.predict(model, task.collate([example]), config)
    answer = Answer(model.eval(), task, config, example, prediction, torch.device("cpu"))
    memory, sequence, past = RECIPE.pictures(answer)
    assert isinstance(memory, MemoryTrace)
    assert [name.split(",")[0] for name in memory.traces] == ["write head", "read head 0", "read head 1"]
    assert {len(trace) for trace in memory.traces.values()} == {5}
    assert isinstance(sequence, Strip)
    assert isinstance(past, Alignment)
    assert sequence.images.shape == (3, 4, 5)
    target = torch.as_tensor(sequence.images[1])
    assert torch.equal(target[:3, 3:], torch.tensor([[1.0, 1], [0, 1], [1, 0]]))
    assert not target[:, :3].any()
    focus = RECIPE.measures(answer)["focus"].value
    assert 0 <= focus <= 100


def test_the_page_has_the_numbers_of_weights() -> None:
    text = (catalogue.SYSTEMS / "dnc" / "README.md").read_text(encoding="utf-8")
    for name, config in RECIPE.variants.items():
        model = RECIPE.build(config, RECIPE.task(config, None))
        assert name == "tiny" or f" {sum(weight.numel() for weight in model.parameters()):,}" in text


def test_a_typed_sequence_is_answered(tiny_runs: dict[str, Path], saccade: Command) -> None:
    run = tiny_runs["dnc"]
    done = saccade("predict", run, "101 110")
    assert done.status == 0
    assert re.match("[01]{3} [01]{3}\n", done.out)
    assert "write head" in done.out
    failed = saccade("predict", run, "101 11")
    assert failed.status == 2
    assert "expected rows of 3 bits" in failed.err
    assert failed.err.count("\n") == 1


def test_the_sizes_are_those_of_two_cores() -> None:
    model = RECIPE.config.model
    assert (model.hidden_size, model.slots, model.slot_size, model.read_heads) == (100, 64, 20, 2)


@pytest.mark.parametrize("option", ["masked", "deallocate", "sharpen_links"])
def test_the_options_of_2019_change_the_computer(built: tuple[Any, Any, Any], option: str) -> None:
    config, task, _ = built
    batch, found = task.collate(task.examples("test")[:3]), []
    for chosen in (False, True):
        torch.manual_seed(0)
        changed = dataclasses.replace(config, model=dataclasses.replace(config.model, **{option: chosen}))
        with torch.no_grad():
            found.append(RECIPE.build(changed, task)(batch))
    assert found[1].isfinite().all()
    assert not torch.equal(*found)
