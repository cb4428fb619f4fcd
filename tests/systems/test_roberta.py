"""RoBERTa: its published sizes, its objective and answers."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from saccade.core.config import from_plain, to_plain
from saccade.core.recipe import Answer
from saccade.runs import catalogue
from saccade.runs.memory import sized
from saccade.tasks.masked.objective import masked_symbols
from tests.checks import randomised

pytest.importorskip("tokenizers")
RECIPE: Any = catalogue.recipe("roberta")


@pytest.fixture(scope="module")
def built() -> tuple[Any, Any, Any]:
    config = RECIPE.variants["tiny"]
    task = RECIPE.task(config, None)
    torch.manual_seed(0)
    return config, task, randomised(RECIPE.build(config, task), 0.3).eval()


@pytest.mark.parametrize(("variant", "heads", "parameters"), [("base", 12, 124_697_433), ("large", 16, 355_412_057)])
def test_the_published_sizes_have_their_parameters_with_the_head(variant: str, heads: int, parameters: int) -> None:
    config = RECIPE.variants[variant]
    assert (config.model.heads, config.model.positions) == (heads, 512)
    task = SimpleNamespace(symbols=SimpleNamespace(names=range(config.task.symbols.size + 4)))  # four special ones
    model = sized(lambda: RECIPE.build(config, task))
    assert sum(weight.numel() for weight in model.parameters()) == parameters


def test_the_loss_is_over_the_chosen_places_alone(built: tuple[Any, Any, Any]) -> None:
    _, task, model = built
    batch = task.collate(task.examples("test")[:5])
    loss = masked_symbols(model, batch, 0)
    assert set(loss.parts) == {"masked"}
    projection, scores = model(batch.inputs, batch.mask)
    assert scores is None
    rows = -projection.log_probs().gather(2, batch.symbols[..., None])[..., 0]
    torch.testing.assert_close(loss.value, rows[batch.chosen].mean())


def test_masks_of_the_stream_are_drawn_anew(built: tuple[Any, Any, Any]) -> None:
    config, task, model = built
    assert config.task.duplicates is None
    stream = RECIPE.stream(config, task, model)
    count = len(stream.epoch(0))
    first, second = (stream.share(number).batch for number in (0, count))
    rows = {tuple(row.tolist()): n for n, row in enumerate(first.symbols)}
    shared = [(rows[tuple(row.tolist())], n) for n, row in enumerate(second.symbols) if tuple(row.tolist()) in rows]
    assert all(not torch.equal(first.chosen[a], second.chosen[b]) for a, b in shared)
    example = task.examples("train")[0]
    assert not torch.equal(task.masked(task.in_pass(example, 0)).inputs, task.masked(task.in_pass(example, 1)).inputs)


def test_both_ways_to_type_a_mask_are_filled_alike(built: tuple[Any, Any, Any]) -> None:
    config, task, model = built
    one, other = (task.read(text) for text in ("The king is [MASK].", "The king is<mask>."))
    found = RECIPE.predict(model, task.collate([one, other]), config)
    assert found[0] == found[1]
    assert task.decode(found[0]).startswith("The king is")
    assert "[SEP]" in task.decode(RECIPE.predict(model, task.collate([task.read("a [SEP] [MASK]")]), config)[0])
    steps = RECIPE.steps(Answer(model, task, config, one, found[0], torch.device("cpu")), 3)
    assert len(steps) == 1
    pictures = RECIPE.pictures(Answer(model, task, config, one, found[0], torch.device("cpu")))
    assert [picture.name for picture in pictures] == ["candidates", "heads", "habits"]


def test_pairs_and_longer_texts_are_refused() -> None:
    for room, key, value, why in (
        ("task", "examples", "pairs", "this model reads full-sentences"),
        ("model", "positions", 16, "type --model.positions 32"),
    ):
        plain = to_plain(RECIPE.variants["tiny"])
        plain[room][key] = value
        with pytest.raises(ValidationError, match=why):
            from_plain(type(RECIPE.config), plain)
