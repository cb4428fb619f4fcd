"""The deep recurrent attention model."""

from typing import Any

import pytest
import torch

from saccade.core.recipe import Answer
from saccade.explain.pictures.glimpses import Glimpses
from saccade.runs import catalogue
from saccade.systems.dram.model import DRAMConfig, Reader
from saccade.systems.dram.objective import loss
from saccade.tasks.digits import Batch

RECIPE: Any = catalogue.recipe("dram")
SMALL = DRAMConfig(glimpses=3, patch_size=5, coarse_size=4, glimpse_size=7, hidden_size=11)
BEFORE = ("context", "second", "location")  # what chooses locations and nothing else


@pytest.fixture(scope="module")
def built() -> tuple[Any, Any, Any]:
    config = RECIPE.variants["tiny"]
    task = RECIPE.task(config, None)
    torch.manual_seed(0)
    return config, task, RECIPE.build(config, task)


def batch_of(count: int) -> Batch:
    return Batch(torch.rand(count, 1, 23, 29), torch.arange(2 * count).view(count, 2) % 10)


def test_the_cross_entropy_reaches_nothing_that_only_chooses_locations() -> None:
    model = Reader(SMALL, 10, 2)
    names, weights = zip(*model.named_parameters(), strict=True)
    slopes = torch.autograd.grad(loss(model, batch_of(8), 0).parts["nats"].value, weights, allow_unused=True)
    for name, slope in zip(names, slopes, strict=True):
        reached = slope is not None and bool(slope.any())
        assert reached == (name.split(".")[0] not in (*BEFORE, "score")), name


def test_the_score_term_trains_what_chooses_and_the_baseline_gets_no_more_than_its_regression() -> None:
    """By hand: -(R - b) log p(l), R the digits that are still to be read right, and the error of the baseline."""
    model, batch = Reader(SMALL, 10, 2).double(), batch_of(8)
    score = model.score
    assert score.predict is not None
    with torch.no_grad():
        score.predict.weight.normal_()
        score.mean.fill_(0.25)
        score.variance.fill_(4.0)
        score.seen.fill_(True)
    torch.manual_seed(3)
    looks = model(batch.images)
    right = (looks.logits.argmax(-1) == batch.labels).double()
    rewards = torch.stack([right.sum(1)] * 3 + [right[:, 1]] * 3, 1)
    mean = 0.25 * torch.tensor([2.0] * 3 + [1.0] * 3).double()
    predicted = score.predict(looks.before.detach())[..., 0]
    missed = (predicted - (rewards - mean) / 2).square()
    by_hand = missed - SMALL.reward_weight * (rewards - mean - 2 * predicted.detach()) * looks.log_probs
    weights = dict(model.named_parameters())
    expected = torch.autograd.grad(by_hand.sum(1).mean(), list(weights.values()), allow_unused=True)
    torch.manual_seed(3)
    part = loss(model, batch, 0).parts["locations"].value
    assert part == 0
    ours = torch.autograd.grad(part, list(weights.values()), allow_unused=True)
    for name, slope, other in zip(weights, ours, expected, strict=True):
        assert (slope is None) == (other is None), name
        if slope is not None:
            torch.testing.assert_close(slope, other)
    reached = {name.split(".")[0] for name, slope in zip(weights, ours, strict=True) if slope is not None}
    assert reached == {"context", "glimpse", "first", "second", "location", "score"}


def test_the_classifier_sees_the_image_through_glimpses_alone() -> None:
    model = Reader(SMALL, 10, 2).eval()
    images = torch.rand(2, 1, 23, 29)
    with torch.no_grad():
        model.location.mean.weight.zero_()  # always the centre, whatever the context is
        model.location.mean.bias.zero_()
        one = model(images)
        model.context.output.bias += 1
        other = model(images)
    assert torch.equal(one.logits, other.logits)
    assert not torch.equal(one.before, other.before)


def test_evaluation_is_deterministic_and_each_digit_is_read_after_its_glimpses() -> None:
    model = Reader(SMALL, 10, 2).eval()
    looks = model(torch.rand(4, 1, 23, 29))
    assert looks.locations.shape == (4, 6, 2)
    torch.testing.assert_close(looks.logits, model.answer(looks.hidden[:, [2, 5]]))  # rows lie differently in memory
    generators = [torch.Generator().manual_seed(1) for _ in range(2)]
    model.train()
    one, two = (model(torch.ones(2, 1, 9, 9), generator).locations for generator in generators)
    assert torch.equal(one, two)


def test_training_lowers_the_loss(built: tuple[Any, Any, Any]) -> None:
    config, task, _ = built
    torch.manual_seed(1)
    model = RECIPE.build(config, task)
    stream, batch = RECIPE.stream(config, task, model), task.collate(task.examples("validation"))
    optimizer = torch.optim.Adam(model.parameters(), config.training.learning_rate)

    def nats() -> float:
        with torch.no_grad():
            return float(RECIPE.objective(model.eval(), batch, 0).value)

    before = nats()
    for step in range(config.training.steps):
        optimizer.zero_grad()
        RECIPE.objective(model.train(), stream.share(step).batch, step).value.backward()
        optimizer.step()
    assert nats() < before


def test_there_is_a_picture_for_each_digit(built: tuple[Any, Any, Any]) -> None:
    config, task, model = built
    example = task.examples("test")[0]
    [prediction] = RECIPE.predict(model.eval(), task.collate([example]), config)
    answer = Answer(model, task, config, example, prediction, torch.device("cpu"))
    pictures = RECIPE.pictures(answer)
    assert [picture.name for picture in pictures] == ["digit_1", "digit_2"]
    for picture, read in zip(pictures, prediction, strict=True):
        assert isinstance(picture, Glimpses)
        assert picture.seen is not None
        assert picture.seen.shape == (2, 32, 32)
        assert f": {read} (" in picture.labels[-1]
    assert set(RECIPE.measures(answer)) == {"spread", "move"}
