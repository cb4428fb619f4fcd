"""Sparse access memories that learn algorithms."""

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
from saccade.systems.sparse_access_memory.model import SparseAccessConfig, nearest_in_order
from tests.conftest import Command

RECIPE: Any = catalogue.recipe("sparse_access_memory")


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
    assert [name.split(",")[0] for name in memory.traces] == ["write head", "read head"]
    assert {len(trace) for trace in memory.traces.values()} == {5}
    assert isinstance(sequence, Strip)
    assert isinstance(past, Alignment)
    assert sequence.images.shape == (3, 4, 5)
    target = torch.as_tensor(sequence.images[1])
    assert torch.equal(target[:3, 3:], torch.tensor([[1.0, 1], [0, 1], [1, 0]]))
    assert not target[:, :3].any()
    focus = RECIPE.measures(answer)["focus"].value
    assert 100 / 4 <= focus <= 100


def test_the_page_has_the_numbers_of_weights() -> None:
    text = (catalogue.SYSTEMS / "sparse_access_memory" / "README.md").read_text(encoding="utf-8")
    for name, config in RECIPE.variants.items():
        model = RECIPE.build(config, RECIPE.task(config, None))
        assert name == "tiny" or f" {sum(weight.numel() for weight in model.parameters()):,} for" in text


def test_a_typed_sequence_is_answered(tiny_runs: dict[str, Path], saccade: Command) -> None:
    run = tiny_runs["sparse_access_memory"]
    done = saccade("predict", run, "101 110")
    assert done.status == 0
    assert re.match("[01]{3} [01]{3}\n", done.out)
    assert "write head" in done.out
    failed = saccade("predict", run, "101 11")
    assert failed.status == 2
    assert "expected rows of 3 bits" in failed.err
    assert failed.err.count("\n") == 1


def test_a_slot_is_written_after_the_other(built: tuple[Any, Any, Any]) -> None:
    config, task, model = built
    example = task.read("101 110 011")
    [prediction] = RECIPE.predict(model, task.collate([example]), config)
    memory, *_ = RECIPE.pictures(Answer(model.eval(), task, config, example, prediction, torch.device("cpu")))
    written = torch.as_tensor(next(trace for name, trace in memory.traces.items() if "write" in name))
    assert written[0].count_nonzero() == 1
    assert (written > 0).sum(1).max() <= 1 + config.model.nearest


def test_more_to_read_than_there_are_slots_is_refused() -> None:
    with pytest.raises(ValueError, match="nearest must be at most the 3 slots, not 4"):
        SparseAccessConfig(slots=3)


def test_the_nearest_slots_are_the_most_similar_and_the_first_of_equals() -> None:
    draw = torch.Generator().manual_seed(1)
    memory = torch.randn(2, 13, 5, generator=draw, dtype=torch.float64)
    query = torch.randn(2, 3, 5, generator=draw, dtype=torch.float64)
    found = nearest_in_order(memory, query, 4)
    for b, h in ((0, 0), (1, 2)):
        near = [float(torch.cosine_similarity(query[b, h], slot, dim=0)) for slot in memory[b]]
        assert found[b, h].tolist() == sorted(range(13), key=lambda slot: -near[slot])[:4]
    memory[:, 3:9] = memory[:, :1] * torch.linspace(0.1, 3, 6, dtype=torch.float64)[:, None]
    assert nearest_in_order(memory, memory[:, :1] * 0.7, 4)[:, 0].tolist() == [[0, 3, 4, 5]] * 2
    assert nearest_in_order(torch.zeros(1, 7, 5), query[:1, :1].float(), 3)[0, 0].tolist() == [0, 1, 2]
