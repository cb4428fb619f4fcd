"""Measures of heat maps, against slow loops."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.explain.cam import grad_cam
from saccade.explain.faithfulness import blurred, confidence, deletion, hits, insertion, of_boxes

IMAGES, TARGETS, CLASSES, HIGH, WIDE = 2, 2, 3, 7, 5
MEASURES = [deletion, insertion]


def net() -> nn.Sequential:
    torch.manual_seed(0)
    layers = (
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.Dropout(0.9),
        nn.Flatten(),
        nn.Linear(4 * HIGH * WIDE, CLASSES),
    )
    return nn.Sequential(*layers).double()


def images() -> Tensor:
    return torch.rand(IMAGES, 3, HIGH, WIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def maps() -> Tensor:
    return torch.rand(IMAGES, TARGETS, HIGH, WIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


TARGET = torch.tensor([[0, 2], [1, 0]])


def probability(model: nn.Module, image: Tensor, target: int) -> float:
    with torch.no_grad():
        logits = model.eval()(image[None])[0].tolist()
    return math.exp(logits[target]) / sum(math.exp(each) for each in logits)


def ranked(one: Tensor) -> list[tuple[int, int]]:
    """Pixels, the most important first."""
    return sorted(itertools.product(range(HIGH), range(WIDE)), key=lambda place: -float(one[place]))


@pytest.mark.parametrize("steps", [4, 35, 100])
@pytest.mark.parametrize("measure", MEASURES)
def test_pixels_are_replaced_one_after_the_other(measure: Any, steps: int) -> None:
    model, given, importance = net(), images(), maps()
    found = measure(model, given, importance, TARGET, steps=steps, batch_size=3)
    fewer = min(steps, HIGH * WIDE)
    for b, t in itertools.product(range(IMAGES), range(TARGETS)):
        blank = torch.zeros_like(given[b]) if measure is deletion else blurred(given[b : b + 1])[0]
        begin, end = (given[b], blank) if measure is deletion else (blank, given[b])
        image, changed, scores = begin.clone(), 0, []
        for step in range(fewer + 1):
            until = round(step * HIGH * WIDE / fewer)
            for y, x in ranked(importance[b, t])[changed:until]:
                image[:, y, x] = end[:, y, x]
            changed = until
            scores.append(probability(model, image, int(TARGET[b, t])))
            assert float(found.shares[step]) == pytest.approx(until / (HIGH * WIDE))
        assert found.scores[b, t].tolist() == pytest.approx(scores)
        area = sum((found.shares[n + 1] - found.shares[n]) * (scores[n] + scores[n + 1]) / 2 for n in range(fewer))
        assert float(found.areas[b, t]) == pytest.approx(float(area))


def test_a_coarse_map_is_enlarged_and_ties_are_read_row_by_row() -> None:
    model, given = net(), images()
    coarse = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], dtype=torch.float64).expand(IMAGES, 1, 2, 2)
    large = nn.functional.interpolate(coarse, (HIGH, WIDE), mode="bilinear", align_corners=False)
    for measure in MEASURES:
        torch.testing.assert_close(measure(model, given, coarse, 1).scores, measure(model, given, large, 1).scores)
    flat = torch.zeros(IMAGES, 1, HIGH, WIDE, dtype=torch.float64)
    falling = -torch.arange(HIGH * WIDE, dtype=torch.float64).view(HIGH, WIDE).expand(IMAGES, 1, -1, -1)
    torch.testing.assert_close(deletion(model, given, flat, 1).scores, deletion(model, given, falling, 1).scores)


def test_the_better_order_has_the_smaller_deletion_and_the_larger_insertion() -> None:
    """A class whose score is the sum of one corner."""

    class Corner(nn.Module):
        def forward(self, given: Tensor) -> Tensor:
            score = given[:, :, :2, :2].sum((1, 2, 3))
            return torch.stack([score, torch.zeros_like(score)], 1)

    given = images()
    right = torch.zeros(IMAGES, 1, HIGH, WIDE)
    right[:, :, :2, :2] = 1
    for measure, sign in ((deletion, 1), (insertion, -1)):
        good, bad = (measure(Corner(), given, one, 0, baseline=0.0).areas for one in (right, -right))
        assert (sign * (bad - good) > 0.05).all()


def test_other_values_can_stand_for_deleted_pixels() -> None:
    model, given, importance = net(), images(), maps()
    found = deletion(model, given, importance, TARGET, baseline=0.5, steps=3)
    same = deletion(model, given, importance, TARGET, baseline=torch.full_like(given, 0.5), steps=3)
    torch.testing.assert_close(found.scores, same.scores)
    assert float(found.scores[0, 0, -1]) == pytest.approx(probability(model, torch.full_like(given[0], 0.5), 0))
    blur = deletion(model, given, importance, TARGET, baseline="blur", steps=3)
    torch.testing.assert_close(
        blur.scores[..., -1], insertion(model, given, importance, TARGET, steps=3).scores[..., 0]
    )


def test_blurred_is_a_weighted_mean_with_the_borders_repeated() -> None:
    given = images()
    found = blurred(given, size=5, sigma=2.0)
    weights = [math.exp(-(d**2) / 8) for d in range(-2, 3)]
    for y, x in itertools.product(range(HIGH), range(WIDE)):
        total = 0.0
        for i, j in itertools.product(range(-2, 3), repeat=2):
            place = min(max(y + i, 0), HIGH - 1), min(max(x + j, 0), WIDE - 1)
            total += weights[i + 2] * weights[j + 2] * float(given[0, 1][place])
        assert float(found[0, 1, y, x]) == pytest.approx(total / sum(weights) ** 2)


def test_confidence_is_the_fall_of_the_probability_of_the_masked_image() -> None:
    model, given, importance = net(), images(), maps()
    found = confidence(model, given, importance, TARGET, batch_size=3)
    drops, rises = [], []
    for b, t in itertools.product(range(IMAGES), range(TARGETS)):
        one, target = importance[b, t], int(TARGET[b, t])
        mask = (one - one.min()) / (one.max() - one.min())
        before, after = probability(model, given[b], target), probability(model, given[b] * mask, target)
        drops.append(max(0.0, before - after) / before)
        rises.append(before < after)
    assert found.drops.flatten().tolist() == pytest.approx(drops)
    assert found.rises.flatten().tolist() == rises
    assert found.average_drop == pytest.approx(100 * sum(drops) / len(drops))
    assert found.increase == pytest.approx(100 * sum(rises) / len(rises))


@pytest.mark.parametrize("tolerance", [0.0, 1.0, 2.3])
def test_the_pointing_game_is_a_loop_over_the_pixels(tolerance: float) -> None:
    importance = maps()
    truth = torch.zeros(IMAGES, HIGH, WIDE, dtype=torch.bool)
    truth[0, 1:3, 2], truth[1, 6, 0:2] = True, True
    found = hits(importance, truth, tolerance=tolerance)
    for b, t in itertools.product(range(IMAGES), range(TARGETS)):
        y, x = ranked(importance[b, t])[0]
        near = min(math.hypot(y - i, x - j) for i, j in truth[b].nonzero().tolist())
        assert bool(found[b, t]) == (near <= tolerance)


def test_a_coarse_map_points_into_its_largest_cell() -> None:
    importance = torch.zeros(1, 1, 3, 3)
    importance[0, 0, 0, 2] = 1
    truth = of_boxes(torch.tensor([[0, 20, 9, 29]]), (30, 30))
    assert truth.sum() == 81
    assert hits(importance, truth).all()
    assert not hits(importance, ~truth & (torch.arange(30) < 15)).any()
    assert not hits(
        torch.full((1, 1, 3, 3), 0.7), truth, tolerance=100.0
    ).any()  # a map without contrast points nowhere
    flat = confidence(net(), images(), torch.full((IMAGES, 1, 3, 3), 0.7), 1)  # nor does it show anything
    blank = probability(net(), torch.zeros_like(images()[0]), 1)
    before = [probability(net(), one, 1) for one in images()]
    assert flat.drops[:, 0].tolist() == pytest.approx([max(0.0, each - blank) / each for each in before])


def test_a_heat_map_of_a_trained_model_can_be_measured_at_once() -> None:
    model, given = net().train(), images()
    found = grad_cam(model, given, layer="1")
    assert deletion(model, given, *found[:2]).areas.shape == (IMAGES, 1)
    assert 0 <= confidence(model, given, *found[:2]).average_drop <= 100
    assert all(module.training for module in model.modules())
    assert all(weight.requires_grad for weight in model.parameters())


@pytest.mark.unhooked
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"targets": 3}, "the classes are 0 to 2; there is no class 3"),
        ({"targets": [[0, 1, 2]]}, r"maps of 2 targets, \(2, 2, 7, 5\), for 3 targets"),
        ({"importance": torch.rand(2, 7, 5)}, r"expected maps \(batch, targets, rows, columns\) for 2 images"),
        ({"importance": torch.rand(3, 2, 7, 5)}, "for 2 images, not "),
        ({"importance": torch.full((2, 2, 7, 5), torch.nan)}, "maps of finite numbers"),
        ({"images": torch.rand(3, 7, 5)}, "expected images of floats"),
        ({"steps": 0}, "steps must be a whole number from 1, not 0"),
        ({"batch_size": 0}, "batch_size must be a whole number from 1, not 0"),
        ({"baseline": "grey"}, "baseline must be \"blur\", a number, or images, not 'grey'"),
        ({"baseline": torch.rand(2, 3, 4, 4)}, r"a baseline of the images' shape, \(2, 3, 7, 5\), not \(2, 3, 4, 4\)"),
    ],
)
def test_bad_input_is_one_sentence(arguments: dict[str, Any], sentence: str) -> None:
    given: dict[str, Any] = {"images": images(), "importance": maps(), "targets": TARGET} | arguments
    with pytest.raises(InvalidInput, match=sentence):
        deletion(net(), given.pop("images"), given.pop("importance"), given.pop("targets"), **given)


@pytest.mark.unhooked
def test_a_wrong_truth_is_one_sentence() -> None:
    truth = torch.ones(IMAGES, HIGH, WIDE, dtype=torch.bool)
    with pytest.raises(InvalidInput, match="image 1 has no pixel that is true"):
        hits(maps(), torch.stack([truth[0], ~truth[0]]))
    with pytest.raises(InvalidInput, match=r"expected a truth of bool \(2, rows, columns\)"):
        hits(maps(), truth[:1])
    with pytest.raises(InvalidInput, match="tolerance must be a distance from 0, not -1"):
        hits(maps(), truth, tolerance=-1)
    with pytest.raises(InvalidInput, match=r"boxes \(batch, 4\).*within 7 x 5"):
        of_boxes(torch.tensor([[0, 0, 8, 2]]), (7, 5))
