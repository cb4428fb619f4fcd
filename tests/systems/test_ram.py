"""The recurrent attention model."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from saccade.core.recipe import Answer
from saccade.explain.pictures.glimpses import Glimpses
from saccade.runs import catalogue
from saccade.systems.ram.model import Glimpser, Learned, LogProbability, RAMConfig, Random
from saccade.systems.ram.objective import loss
from saccade.tasks.digits import Batch

RECIPE: Any = catalogue.recipe("ram")
SMALL = RAMConfig(glimpses=3, patch_size=5, part_size=7, glimpse_size=11, hidden_size=13)


@pytest.fixture(scope="module")
def built() -> tuple[Any, Any, Any]:
    config = RECIPE.variants["tiny"]
    task = RECIPE.task(config, None)
    torch.manual_seed(0)
    return config, task, RECIPE.build(config, task)


def batch_of(count: int) -> Batch:
    return Batch(torch.rand(count, 1, 28, 28), torch.arange(count) % 10)


def slopes(model: Glimpser, part: str) -> dict[str, torch.Tensor | None]:
    """The gradient of one part of the loss in each weight."""
    torch.manual_seed(3)
    value = loss(model, batch_of(8), 0).parts[part].value
    names, weights = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(value, weights, allow_unused=True), strict=True))


@pytest.mark.parametrize("core", ["rnn", "lstm"])
@pytest.mark.parametrize("reward", ["right", "log-probability"])
def test_each_part_of_the_loss_trains_its_own_weights_and_no_others(reward: str, core: Any) -> None:
    chosen = Learned(reward=LogProbability()) if reward == "log-probability" else Learned()
    model = Glimpser(replace(SMALL, core=core, locations=chosen), 10)
    assert model.score is not None
    model.score.seen.fill_(True)  # the baseline learns from the second batch on
    model.score.mean.fill_(0.3)
    policy = {name for name, _ in model.named_parameters() if name.split(".")[0] in ("location", "score")}
    for part, own in (("nats", lambda name: name not in policy), ("locations", lambda name: name in policy)):
        for name, slope in slopes(model, part).items():
            touched = slope is not None and bool(slope.any())
            assert touched == own(name), f"{name}: {part}"
    assert {name.split(".")[0] for name in policy} == {"location", "score"}


def test_the_parts_of_the_surrogate_are_the_regression_of_the_baseline_and_the_score_term() -> None:
    """By hand: b = mean + deviation (v . h + c), with the square of its error, and -(R - b) log p(l)."""
    model, batch = Glimpser(SMALL, 10).double(), batch_of(8)
    score, location = model.score, model.location
    assert score is not None
    assert score.predict is not None
    assert location is not None
    with torch.no_grad():
        score.predict.weight.normal_()
        score.mean.fill_(0.25)
        score.variance.fill_(4.0)
        score.seen.fill_(True)
    torch.manual_seed(3)
    looks = model(batch.images)
    right = (model.answer(looks.hidden[:, -1]).argmax(1) == batch.labels).double()[:, None]
    predicted = score.predict(looks.before)[..., 0]
    by_hand = (predicted - (right - 0.25) / 2).square() - (right - 0.25 - 2 * predicted.detach()) * looks.log_probs
    weights = [score.predict.weight, score.predict.bias, location.mean.weight, location.mean.bias]
    expected = torch.autograd.grad(by_hand.sum(1).mean(), weights)
    torch.manual_seed(3)
    ours = loss(model, batch, 0).parts["locations"].value
    assert ours == 0
    for slope, other in zip(torch.autograd.grad(ours, weights), expected, strict=True):
        torch.testing.assert_close(slope, other)


def test_states_before_a_choice_are_those_that_chose() -> None:
    model = Glimpser(SMALL, 10).eval()
    looks = model(torch.rand(2, 1, 28, 28))
    assert model.location is not None
    # not bit for bit: a product of rows with gaps between them may be summed in another order
    torch.testing.assert_close(looks.locations[:, 2], model.location(looks.before[:, 2]).location)
    assert not looks.before[:, 0].any()


def test_evaluation_is_deterministic_and_training_follows_the_seed() -> None:
    images = torch.rand(5, 1, 28, 28)
    model = Glimpser(SMALL, 10)
    one, two = (model(images, torch.Generator().manual_seed(1)).locations for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, model(images, torch.Generator().manual_seed(2)).locations)
    model.eval()
    assert torch.equal(model(images).hidden, model(images).hidden)


def test_random_glimpses_cover_the_image_and_depend_on_it_alone() -> None:
    images = torch.rand(300, 1, 28, 28)
    model = Glimpser(replace(SMALL, locations=Random()), 10).eval()
    assert not any(name.startswith(("location", "score")) for name, _ in model.named_parameters())
    places = model(images).locations
    assert torch.equal(places[7:8], model(images[7:8]).locations)
    assert places.abs().max() <= 1
    torch.testing.assert_close(places.std((0, 1)), torch.full((2,), 3**-0.5), rtol=0, atol=0.03)
    assert set(loss(model, batch_of(4), 0).parts) == {"nats"}
    assert not torch.equal(model.train()(images).locations, places)


@pytest.mark.parametrize("variant", RECIPE.variants)
def test_every_variant_can_be_built_and_answers(variant: str) -> None:
    config = RECIPE.variants[variant]
    task = RECIPE.task(replace(config, task=replace(config.task, folder=None)), None)  # the embedded digits
    batch = task.collate(task.examples("test")[:2])
    with torch.no_grad():
        answers = RECIPE.predict(RECIPE.build(config, task).eval(), batch, config)
    assert all(0 <= answer < 10 for answer in answers)


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
    assert nats() < 0.9 * before


def test_the_picture_has_the_path_and_what_was_seen(built: tuple[Any, Any, Any]) -> None:
    config, task, model = built
    example = task.examples("test")[0]
    [prediction] = RECIPE.predict(model.eval(), task.collate([example]), config)
    answer = Answer(model, task, config, example, prediction, torch.device("cpu"))
    [picture] = RECIPE.pictures(answer)
    assert isinstance(picture, Glimpses)
    locations = model(task.collate([example]).images).locations[0]
    torch.testing.assert_close(torch.as_tensor(picture.centres), (locations.double() + 1) * 14)
    assert picture.seen is not None
    assert picture.seen.shape == (3, 8, 8)
    assert picture.labels[-1].startswith(f"3: {prediction} (")
    assert set(RECIPE.measures(answer)) == {"spread", "outside"}
