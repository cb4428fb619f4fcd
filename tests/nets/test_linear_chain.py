"""The oracle is the definition: every one of the K^T paths of a sentence is scored and exponentiated, in float64."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.core.masks import length_mask
from saccade.nets import linear_chain
from saccade.nets.linear_chain import LinearChain, LogPartition
from tests.checks import assert_twins, leaf, randomised

TAGS, LONGEST = 3, 5
LENGTHS = [5, 1, 3, 2]


def make_chain(tags: int = TAGS) -> LinearChain:
    return randomised(LinearChain(tags))


def make_batch(tags: int = TAGS) -> tuple[Tensor, Tensor, Tensor]:
    """Emissions, tags and mask."""
    mask = length_mask(torch.tensor(LENGTHS), LONGEST)
    return leaf(len(LENGTHS), LONGEST, tags), torch.randint(tags, (len(LENGTHS), LONGEST)), mask


def slow_score(chain: LinearChain, emissions: Tensor, path: tuple[int, ...]) -> Tensor:
    """The score of one path of one sentence without padding."""
    total = chain.start[path[0]] + chain.end[path[-1]]
    for t, tag in enumerate(path):
        total = total + emissions[t, tag]
        if t:
            total = total + chain.transitions[path[t - 1], tag]
    return total


def slow_paths(chain: LinearChain, emissions: Tensor) -> tuple[list[tuple[int, ...]], Tensor]:
    """Every path and its score."""
    paths = list(product(range(emissions.shape[1]), repeat=len(emissions)))
    return paths, torch.stack([slow_score(chain, emissions, path) for path in paths])


def slow_partition(chain: LinearChain, emissions: Tensor) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for score in slow_paths(chain, emissions)[1]:
        total = total + score.exp()
    return total.log()


def test_the_log_likelihood_is_that_of_the_sum_over_all_paths() -> None:
    chain, (emissions, tags, mask) = make_chain(), make_batch()

    def slow() -> Tensor:
        rows = []
        for row, path, length in zip(emissions, tags.tolist(), LENGTHS, strict=True):
            own = row[:length]
            rows.append(slow_score(chain, own, tuple(path[:length])) - slow_partition(chain, own))
        return torch.stack(rows)

    assert_twins(lambda: chain(emissions, tags, mask), slow, [emissions, *chain.parameters()])


@pytest.mark.parametrize("own", [True, False], ids=["own backward", "autograd"])
def test_the_log_partition_is_the_sum_over_all_paths(own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_chain, "own_backward", lambda: own)
    chain, (emissions, _, mask) = make_chain(), make_batch()

    def slow() -> Tensor:
        return torch.stack([slow_partition(chain, row[:n]) for row, n in zip(emissions, LENGTHS, strict=True)])

    assert_twins(lambda: chain.log_partition(emissions, mask), slow, [emissions, *chain.parameters()])


def test_the_marginals_are_the_sums_over_the_paths_through_a_tag_and_the_gradient() -> None:
    chain, (emissions, _, mask) = make_chain(), make_batch()
    found = chain.marginals(emissions, mask)
    [slope] = torch.autograd.grad(chain.log_partition(emissions, mask).sum(), emissions)
    torch.testing.assert_close(found, slope, rtol=1e-12, atol=1e-12)
    for row, own, length in zip(emissions, found, LENGTHS, strict=True):
        paths, scores = slow_paths(chain, row[:length])
        for t in range(length):
            for tag in range(TAGS):
                through = [weight for path, weight in zip(paths, scores.softmax(0), strict=True) if path[t] == tag]
                torch.testing.assert_close(own[t, tag], torch.stack(through).sum(), rtol=1e-12, atol=1e-12)
        assert not own[length:].any()


def test_viterbi_finds_the_best_of_all_paths() -> None:
    chain, (emissions, _, mask) = make_chain(), make_batch()
    found = chain.viterbi(emissions, mask)
    for row, own, length in zip(emissions, found.tolist(), LENGTHS, strict=True):
        paths, scores = slow_paths(chain, row[:length])
        assert tuple(own[:length]) == paths[int(scores.argmax())]
        assert own[length:] == [0] * (LONGEST - length)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=3), st.integers(1, 4), st.integers(0, 2**31))
def test_padding_changes_nothing(lengths: list[int], tags: int, seed: int) -> None:
    torch.manual_seed(seed)
    chain, longest = make_chain(tags), max(lengths) + 1
    emissions, mask = leaf(len(lengths), longest, tags), length_mask(torch.tensor(lengths), longest)
    given = torch.randint(tags, (len(lengths), longest))
    spoiled = emissions.detach().masked_fill(~mask[:, :, None], 1e30)
    for row, length in enumerate(lengths):
        own, whole = emissions[row : row + 1, :length], torch.ones(1, length, dtype=torch.bool)
        path = chain(own, given[row : row + 1, :length], whole)
        torch.testing.assert_close(chain(spoiled, given, mask)[row : row + 1], path)
        torch.testing.assert_close(chain.marginals(spoiled, mask)[row : row + 1, :length], chain.marginals(own, whole))
        assert chain.viterbi(spoiled, mask)[row, :length].tolist() == chain.viterbi(own, whole)[0].tolist()


def test_an_empty_sentence_has_one_path_of_probability_1() -> None:
    chain, emissions, mask = make_chain(), leaf(1, 2, TAGS), torch.zeros(1, 2, dtype=torch.bool)
    found = chain(emissions, torch.zeros(1, 2, dtype=torch.long), mask)
    assert found.item() == 0
    assert not any(slope.any() for slope in torch.autograd.grad(found.sum(), [emissions, *chain.parameters()]))
    assert not chain.marginals(emissions, mask).any()
    assert chain.viterbi(emissions[:, :0], mask[:, :0]).shape == (1, 0)


def test_scores_far_apart_stay_exact_in_float32() -> None:
    chain = LinearChain(TAGS)
    with torch.no_grad():
        chain.transitions.fill_(-1e4)
        chain.transitions.fill_diagonal_(0.0)
    emissions = 300 * torch.randn(1, 60, TAGS)
    emissions.requires_grad_()
    mask = torch.ones(1, 60, dtype=torch.bool)
    total = chain.log_partition(emissions, mask)
    [slope] = torch.autograd.grad(total.sum(), emissions)
    double = chain.double().log_partition(emissions.double(), mask)
    torch.testing.assert_close(total.double(), double, rtol=1e-5, atol=1e-2)
    torch.testing.assert_close(slope.sum(-1), torch.ones(1, 60), rtol=1e-3, atol=1e-3)


def test_without_transitions_each_tag_is_chosen_alone() -> None:
    chain, (emissions, tags, mask) = LinearChain(TAGS).double(), make_batch()
    with torch.no_grad():
        for weight in chain.parameters():
            weight.zero_()
    each = emissions.log_softmax(-1).gather(2, tags[:, :, None])[:, :, 0].masked_fill(~mask, 0.0).sum(1)
    torch.testing.assert_close(chain(emissions, tags, mask), each)
    assert torch.equal(chain.viterbi(emissions, mask), emissions.argmax(-1) * mask)


def test_it_has_a_gradient_of_its_gradient() -> None:
    chain, (emissions, _, mask) = make_chain(), make_batch()
    weights = [weight.detach().requires_grad_() for weight in (chain.transitions, chain.start, chain.end)]
    assert torch.autograd.gradgradcheck(lambda *given: LogPartition.apply(*given, mask), (emissions, *weights))


@pytest.mark.unhooked
def test_other_shapes_are_refused() -> None:
    chain, (emissions, tags, mask) = make_chain(), make_batch()
    with pytest.raises(InvalidInput, match="3 tags"):
        chain.log_partition(emissions[:, :, :2], mask)
    with pytest.raises(InvalidInput, match="mask"):
        chain.log_partition(emissions, mask[:, :2])
    with pytest.raises(InvalidInput, match=r"from 0 to 2"):
        chain(emissions, tags + 5, mask)
    with pytest.raises(InvalidInput, match="first"):
        chain.viterbi(emissions, mask.flip(1))


@pytest.mark.unhooked
def test_compiled_it_is_the_same() -> None:
    chain, (emissions, tags, mask) = make_chain(), make_batch()
    compiled = torch.compile(chain, backend="aot_eager")
    assert_twins(
        lambda: compiled(emissions, tags, mask), lambda: chain(emissions, tags, mask), [emissions, *chain.parameters()]
    )
