"""BERT: its published sizes, its objective, its answers and pictures."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from saccade.core.config import from_plain, to_plain
from saccade.core.errors import InvalidInput
from saccade.core.recipe import Answer
from saccade.explain.pictures import kept, load
from saccade.runs import catalogue
from saccade.runs.memory import sized
from saccade.tasks.masked.objective import masked_symbols
from tests.checks import randomised
from tests.conftest import Command
from tests.explain.pictures import assert_whole

pytest.importorskip("tokenizers")
RECIPE: Any = catalogue.recipe("bert")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def built() -> tuple[Any, Any, Any]:
    config = RECIPE.variants["tiny"]
    task = RECIPE.task(config, None)
    torch.manual_seed(0)
    return config, task, randomised(RECIPE.build(config, task), 0.3).eval()


@pytest.mark.parametrize(("variant", "heads", "parameters"), [("base", 12, 109_482_240), ("large", 16, 335_141_888)])
def test_the_published_sizes_have_their_parameters_without_the_heads(variant: str, heads: int, parameters: int) -> None:
    config = RECIPE.variants[variant]
    assert (config.model.heads, config.model.positions) == (heads, 512)
    task = SimpleNamespace(symbols=SimpleNamespace(names=range(config.task.symbols.size)))
    model: Any = sized(lambda: RECIPE.build(config, task))
    body = [*model.encoder.parameters(), *model.pooler.parameters()]
    assert sum(weight.numel() for weight in body) == parameters
    size = config.model.model_size
    head = (size + 1) * size + 2 * size + 30_522 + 2 * size + 2  # transform, norm, biases, and whether B follows
    assert sum(weight.numel() for weight in model.parameters()) == parameters + head


def test_the_loss_is_over_the_chosen_places_and_the_pairs(built: tuple[Any, Any, Any]) -> None:
    _, task, model = built
    examples = task.examples("test")[:5]
    batch = task.collate(examples)
    loss = masked_symbols(model, batch, 0)
    assert loss.parts["masked"].count == batch.chosen.sum()
    assert loss.parts["next"].count == 5
    nats, pairs = [], []
    for example in examples:
        inputs, chosen = task.masked(example)
        projection, scores = model(inputs[None], None, example.segments[None])
        rows = projection.log_probs()[0]
        nats += [-rows[place, example.symbols[place]] for place in chosen.nonzero()[:, 0].tolist()]
        pairs.append(-scores.log_softmax(1)[0, 0 if example.follows else 1])
    torch.testing.assert_close(loss.parts["masked"].value, torch.stack(nats).mean())
    torch.testing.assert_close(loss.parts["next"].value, torch.stack(pairs).mean())
    other = batch.symbols.masked_fill(~batch.chosen, 7)  # what is not chosen is no target
    assert masked_symbols(model, batch._replace(symbols=other), 0).value == loss.value


def test_a_mask_is_filled_and_the_likeliest_are_listed(built: tuple[Any, Any, Any]) -> None:
    config, task, model = built
    asked = [task.read(text) for text in ("The king is [MASK] .", "[MASK] [SEP] the king [MASK]", "the <mask>")]
    together = RECIPE.predict(model, task.collate([*asked, task.examples("test")[0]]), config)
    assert together[:3] == [RECIPE.predict(model, task.collate([one]), config)[0] for one in asked]
    answer = Answer(model, task, config, asked[1], together[1], CPU)
    steps = RECIPE.steps(answer, 300)
    places = [place for place, symbol in enumerate(asked[1].symbols.tolist()) if symbol == task.symbols.mask]
    assert [step.symbol for step in steps] == [task.symbols.names[together[1].symbols[place]] for place in places]
    for step in steps:
        assert (step.symbol, step.log_prob) == step.likeliest[0]
        assert sum(math.exp(value) for _, value in step.likeliest) == pytest.approx(1)
    with pytest.raises(InvalidInput, match="from 1 to 300"):
        RECIPE.steps(answer, 301)
    projection, scores = model(asked[1].symbols[None], None, asked[1].segments[None])
    assert steps[1].log_prob == pytest.approx(projection.log_probs()[0, places[1]].max().item())
    assert together[1].follows == pytest.approx(scores.softmax(1)[0, 0].item(), abs=1e-6)
    assert "(the second part follows:" in task.decode(together[1])
    assert "follows" not in task.decode(together[0])


def test_pictures_are_candidates_heads_and_their_habits(built: tuple[Any, Any, Any]) -> None:
    config, task, model = built
    model = model.float()
    for example in (task.read("The king is [MASK] ."), task.examples("test")[0]):
        [filled] = RECIPE.predict(model, task.collate([example]), config)
        answer = Answer(model, task, config, example, filled, CPU)
        candidates, heads, habits = RECIPE.pictures(answer)
        steps = RECIPE.steps(answer, 8)
        shown = list(next(iter(candidates.lines.values())).y)
        assert len(shown) == (8 if len(steps) == 1 else 4)  # all of them can be named
        assert shown == pytest.approx([math.exp(value) for _, value in steps[0].likeliest[: len(shown)]])
        assert list(heads.layers) == [f"encoder.stack.blocks.{layer}.attention.weights" for layer in range(2)]
        weights, queries, keys = heads.layers["encoder.stack.blocks.0.attention.weights"]
        assert list(queries) == list(keys) == task.labels(example)["symbols"]
        assert weights.shape == (3, len(keys), len(keys))
        assert set(habits.tables) == {"itself", "previous", "next", "first", "separators", "entropy"}
        if not example.key:
            place = list(keys).index("[SEP]")
            assert habits.tables["separators"][0] == pytest.approx(weights[..., place].mean(-1).numpy(), abs=1e-6)
            assert habits.tables["first"][0] == pytest.approx(weights[..., 0].mean(-1).numpy(), abs=1e-6)
        for picture in (candidates, heads, habits):
            assert_whole(picture.figure())
            plain = json.loads(json.dumps(kept(picture)))
            assert json.loads(json.dumps(kept(load(plain)))) == plain
    model.double()


def test_measures_are_the_habits_over_all_heads(built: tuple[Any, Any, Any]) -> None:
    config, task, model = built
    example = task.examples("test")[1]
    [filled] = RECIPE.predict(model, task.collate([example]), config)
    found = RECIPE.measures(Answer(model, task, config, example, filled, CPU))
    assert set(found) == {
        f"attention_{habit}" for habit in ("itself", "previous", "next", "first", "separators", "entropy")
    }  # fmt: skip
    assert 0 < found["attention_entropy"].value < math.log(len(example.symbols))
    assert found["attention_first"].name == "attention on the first symbol"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"model.positions": 16}, "--task.length 32 is more than the model reads; type --model.positions 32"),
        ({"task.examples": "full-sentences"}, "this model reads pairs"),
        ({"task.replaced": 0.3}, "their sum is at most 1"),
        ({"task.chosen": 0}, "greater than 0"),
        ({"model.heads": 5}, "5 heads do not divide a model-size of 24"),
    ],
)
def test_choices_that_do_not_fit_are_refused(options: dict[str, Any], why: str) -> None:
    plain = to_plain(RECIPE.variants["tiny"])
    for name, value in options.items():
        room, _, key = name.partition(".")
        plain[room][key] = value
    with pytest.raises(ValidationError, match=why):
        from_plain(type(RECIPE.config), plain)


def test_the_command_line_fills_masks_and_says_what_is_wrong(saccade: Command, tmp_path: Path) -> None:
    text, run = tmp_path / "text.txt", tmp_path / "run"
    text.write_text("the king is dead .\nlong live the king .\nwho is there ?\n" * 60, encoding="utf-8")
    done = saccade(
        "train", "bert", "tiny", "--task.file", text, "--training.steps", "4", "--task.word-pieces.size", "100",
        "--out", run,
    )  # fmt: skip
    assert done.status == 0, done.err
    text.unlink()  # a run answers without its data
    done = saccade("predict", run, "The king is [MASK] .", "--best", "5", "--pictures", tmp_path / "pictures")
    assert done.status == 0, done.err
    assert done.out.startswith("the king is ")
    assert "log-probabilities of the likeliest symbols" in done.out
    for typed, why in (
        ("The king is dead.", "there is no mask in it"),
        (" ", "the input is empty"),
        ("[MASK] " * 40, "the model reads at most 32"),
    ):
        done = saccade("predict", run, typed)
        assert done.status == 2
        assert why in done.err
        assert done.err.count("\n") == 1
    done = saccade("predict", run, "[MASK] [MASK]", "--pictures", tmp_path / "pictures")
    assert done.status == 0
    assert "there is nothing but masks" in done.err
