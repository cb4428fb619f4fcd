"""The likeliest symbols at each step of an answer."""

import math

import pytest
import torch

from saccade.core.errors import InvalidInput
from saccade.nets.search import beam_search
from saccade.nets.written import written
from tests.nets.test_search import END, SEEDS, SIZE, START, SYMBOLS, RandomModel


def named(symbols: object) -> list[str]:
    return [f"s{symbol}" for symbol in symbols]  # type: ignore[attr-defined]


def sentence(seed: int) -> torch.Tensor:
    return torch.randn(1, SIZE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_step_equals_a_loop_and_their_sum_is_that_of_the_search(seed: int) -> None:
    model, encoded = RandomModel(seed), sentence(seed)
    [[best]] = beam_search(model, encoded, torch.tensor([7]), SYMBOLS, beam=3, count=1)
    steps = written(model, encoded, best.tokens, SYMBOLS, named, 3, limit=7)
    tokens = best.tokens if len(best.tokens) == 7 else [*best.tokens, END]
    assert [step.symbol for step in steps] == named(tokens)
    assert math.isclose(sum(step.log_prob for step in steps), best.log_prob, rel_tol=1e-12)
    for place, step in enumerate(steps):  # each from the start, one symbol after the other
        state = model.start(encoded)
        for before in [START, *tokens[:place]]:
            log_probs, state = model.step(torch.tensor([before]), state)
        order = sorted(range(model.vocabulary), key=lambda symbol: -float(log_probs[0, symbol]))
        assert [name for name, _ in step.likeliest] == named(order[:3])
        values = [float(log_probs[0, symbol]) for symbol in order[:3]]
        assert [value for _, value in step.likeliest] == pytest.approx(values, rel=1e-12)


def test_an_answer_that_was_cut_has_no_end() -> None:
    model, encoded = RandomModel(0), sentence(0)
    assert len(written(model, encoded, [3, 4], SYMBOLS, named, 1, limit=2)) == 2
    assert [step.symbol for step in written(model, encoded, [3, 4], SYMBOLS, named, 1, limit=3)] == ["s3", "s4", "s2"]
    assert [step.symbol for step in written(model, encoded, [], SYMBOLS, named, 1)] == ["s2"]


@pytest.mark.parametrize("count", [0, 6])
def test_no_more_symbols_than_there_are(count: int) -> None:
    with pytest.raises(InvalidInput, match=f"expected from 1 to 5 symbols, the vocabulary, got {count}"):
        written(RandomModel(0), sentence(0), [3], SYMBOLS, named, count)
