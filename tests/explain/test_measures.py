import itertools
import math

import pytest
import torch
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.explain.measures import distance, entropy, flow, habits, links, rollout, symmetrised

BATCH, HEADS, SIZE = 2, 3, 4


def make(layers: int = 3, size: int = SIZE) -> list[Tensor]:
    return [torch.randn(BATCH, HEADS, size, size, dtype=torch.float64).softmax(-1) for _ in range(layers)]


def test_entropy_and_distance_equal_slow_loops() -> None:
    weights = torch.randn(BATCH, 3, 5, dtype=torch.float64).softmax(-1)
    weights[0, 1] = torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0])
    for b, q in itertools.product(range(BATCH), range(3)):
        row = weights[b, q].tolist()
        assert math.isclose(entropy(weights)[b, q], -sum(w * math.log(w) for w in row if w), abs_tol=1e-12)
        far = sum(w * abs(q + 2 - k) for k, w in enumerate(row))  # the last query is at the last key
        assert math.isclose(distance(weights)[b, q], far, rel_tol=1e-12)


@pytest.mark.parametrize("residual", [0.5, 0.2])
def test_rollout_is_the_sum_over_every_path(residual: float) -> None:
    layers = make()
    found = rollout(layers, residual)
    for b, i, j in itertools.product(range(BATCH), range(SIZE), range(SIZE)):
        total = 0.0
        for middle in itertools.product(range(SIZE), repeat=2):
            path = [i, *middle, j]  # from the last layer down
            share = 1.0
            for weights, (q, k) in zip(reversed(layers), itertools.pairwise(path), strict=True):
                share *= (1 - residual) * float(weights[b, :, q, k].mean()) + residual * (q == k)
            total += share
        assert math.isclose(found[b, i, j], total, rel_tol=1e-12)
    torch.testing.assert_close(found.sum(-1), torch.ones(BATCH, SIZE, dtype=torch.float64))


def test_flow_is_the_smallest_cut() -> None:
    """The smallest capacity over all cuts between input and output."""
    layers = make(layers=2, size=3)
    mixed = [0.5 * weights.mean(1) + 0.5 * torch.eye(3) for weights in layers]
    inner = list(range(3))
    for b, query, key in itertools.product(range(BATCH), range(3), range(3)):
        cuts = []
        for above in itertools.chain.from_iterable(itertools.combinations(inner, n) for n in range(4)):
            for ends in itertools.chain.from_iterable(itertools.combinations(inner, n) for n in range(4)):
                for tops in itertools.chain.from_iterable(itertools.combinations(inner, n) for n in range(4)):
                    if key in ends or query not in tops:
                        continue
                    cut = sum(float(mixed[1][b, q, k]) for q in tops for k in inner if k not in above)
                    cut += sum(float(mixed[0][b, q, k]) for q in above for k in inner if k not in ends)
                    cuts.append(cut)
        assert math.isclose(flow(layers, query)[b, key], min(cuts), rel_tol=1e-9)


def test_a_link_goes_to_the_key_with_the_largest_weight() -> None:
    weights = torch.tensor([[0.1, 0.7, 0.2], [0.0, 0.0, 0.0], [0.3, 0.1, 0.6]])
    assert links(weights) == {(0, 1), (2, 2)}
    assert links(weights, torch.tensor([True, False, True])) == {(0, 2), (2, 2)}


def test_links_of_both_directions() -> None:
    forth, back = {(0, 0), (1, 1), (2, 2), (3, 2)}, {(0, 0), (1, 1), (3, 2), (4, 4)}
    assert symmetrised(forth, back) == {(0, 0), (1, 1)}
    assert symmetrised(forth, back, "union") == {(0, 0), (1, 1), (2, 2), (3, 2), (2, 3), (4, 4)}
    # (2, 2) is adjacent to (1, 1); then (2, 3) and (3, 2) to (2, 2); (4, 4) to no kept link
    assert symmetrised(forth, back, "grow") == {(0, 0), (1, 1), (2, 2), (2, 3), (3, 2)}


@pytest.mark.unhooked
def test_invalid_arguments_are_reported() -> None:
    with pytest.raises(InvalidInput, match="at least one layer"):
        rollout([])
    with pytest.raises(InvalidInput, match=r"self-attention of one size.*got \(2, 3, 4, 5\) after \(2, 4, 4\)"):
        rollout([*make(1), torch.rand(2, 3, 4, 5)])
    with pytest.raises(InvalidInput, match="expected a position from 0 to 3, not 4"):
        flow(make(), 4)
    with pytest.raises(InvalidInput, match="not 'diagonal'"):
        symmetrised(set(), set(), "diagonal")


def test_habits_equal_loops() -> None:
    torch.manual_seed(7)
    weights = torch.randn(2, 3, 5, 5, dtype=torch.float64).softmax(-1)
    separators = torch.tensor([False, False, True, False, True])
    found = habits(weights, separators)
    for b in range(2):
        for h in range(3):
            w = weights[b, h]
            expected = {
                "itself": sum(w[q, q] for q in range(5)) / 5,
                "previous": sum(w[q, q - 1] for q in range(1, 5)) / 4,
                "next": sum(w[q, q + 1] for q in range(4)) / 4,
                "first": sum(w[q, 0] for q in range(5)) / 5,
                "separators": sum(w[q, 2] + w[q, 4] for q in range(5)) / 5,
                "entropy": -sum(w[q, k] * w[q, k].log() for q in range(5) for k in range(5)) / 5,
            }
            assert list(found) == list(expected)
            for habit, value in expected.items():
                torch.testing.assert_close(found[habit][b, h], value)
    assert "separators" not in habits(weights)


def test_a_single_position_has_no_neighbours() -> None:
    found = habits(torch.ones(2, 1, 1))
    assert {habit: shares.tolist() for habit, shares in found.items()} == {
        "itself": [1, 1], "previous": [0, 0], "next": [0, 0], "first": [1, 1], "entropy": [0, 0],
    }  # fmt: skip
