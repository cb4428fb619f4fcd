import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.core.masks import length_mask
from saccade.nets.continuation import (
    Continuation,
    WritingConfig,
    first_read,
    likeliest,
    nats,
    read_again,
    write,
)
from saccade.nets.language_model import LanguageModel, LanguageModelConfig
from saccade.nets.sampling import draws, sample, weights
from tests.checks import randomised

SYMBOLS, POSITIONS = 13, 8
SIZES = LanguageModelConfig(layers=2, model_size=12, heads=3, positions=POSITIONS, dropout=0.0)


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    torch.manual_seed(3)
    return randomised(LanguageModel(SIZES, SYMBOLS), 0.5).eval()


def texts(*sizes: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(sum(sizes))
    mask = length_mask(torch.tensor(sizes), max(sizes))
    return torch.randint(SYMBOLS, mask.shape).masked_fill(~mask, 0), mask


def next_log_probs(model: Any, text: list[int]) -> Tensor:
    """Without a cache: the text is read from the smallest multiple of n / 2 from which it fits."""
    first = 0
    while len(text) - first > POSITIONS:
        first += POSITIONS // 2
    return model(torch.tensor([text[first:]])).log_probs()[0, -1]  # type: ignore[no-any-return]


def test_the_first_symbol_read_leaves_more_than_half_a_window() -> None:
    counts = torch.arange(1, 40)
    for count, first in zip(counts.tolist(), first_read(counts, POSITIONS).tolist(), strict=True):
        expected = 0
        while count - expected > POSITIONS:
            expected += POSITIONS // 2
        assert first == expected
        assert count - first > POSITIONS - POSITIONS // 2 or first == 0
    for longest in (2, 3, 5):
        firsts = first_read(counts, longest)
        assert ((counts - firsts <= longest) & (counts > firsts)).all()


@pytest.mark.parametrize("sizes", [(1,), (5, 5), (3, 1, 7), (8, 2), (19, 1, 12)])
def test_cached_writing_equals_reading_everything_again(model: LanguageModel, sizes: tuple[int, ...]) -> None:
    symbols, mask = texts(*sizes)
    writer = Continuation(model)
    state, tokens = writer.start((symbols, mask)), symbols[:, 0]
    own = [symbols[row, :size].tolist() for row, size in enumerate(sizes)]
    with torch.no_grad():
        for _ in range(15):
            log_probs, state = writer.step(tokens, state)
            for row, text in enumerate(own):
                torch.testing.assert_close(log_probs[row], next_log_probs(model, text), rtol=0, atol=1e-10)
            tokens = log_probs.argmax(1)
            for row, text in enumerate(own):
                text.append(int(tokens[row]))
    greedy = write(model, symbols, mask, WritingConfig(length=15, temperature=0))
    assert greedy.tolist() == [text[size:] for text, size in zip(own, sizes, strict=True)]


def test_a_step_computes_one_position_until_the_window_is_full(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, whole = list[int](), model.advance

    def counting(symbols: Tensor, *rest: Any) -> Any:
        seen.append(symbols.shape[1])
        return whole(symbols, *rest)

    monkeypatch.setattr(model, "advance", counting)
    write(model, *texts(3), WritingConfig(length=11, temperature=0))
    # 3 are read, then one a step up to the eighth; then the last five, and one a step up to the twelfth
    assert seen == [3, 1, 1, 1, 1, 1, 5, 1, 1, 1, 5]


def test_a_row_is_written_alike_in_any_batch(model: LanguageModel) -> None:
    symbols, mask = texts(3, 9, 1)
    options = WritingConfig(length=12, temperature=1.3, top_k=9, top_p=0.9)
    together = write(model, symbols, mask, options, seeds=["a", "b", "c"])
    for row, seed in enumerate("abc"):
        own = symbols[row : row + 1, : int(mask[row].sum())]
        alone = write(model, own, torch.ones_like(own, dtype=torch.bool), options, seeds=[seed])
        assert together[row].tolist() == alone[0].tolist()
    assert write(model, symbols, mask, options, seeds=["a", "b", "d"])[2].tolist() != together[2].tolist()


def test_drawn_pairs_follow_the_models_distribution(model: LanguageModel) -> None:
    symbols, count = texts(4)[0], 6000
    rows = symbols.expand(count, -1)
    with torch.no_grad():
        first = model(symbols).log_probs()[0, -1].exp()
        after = torch.cat([symbols.expand(SYMBOLS, -1), torch.arange(SYMBOLS)[:, None]], 1)
        expected = (first[:, None] * model(after).log_probs()[:, -1].exp()).flatten()
        options = WritingConfig(length=2, temperature=1.0)
        pairs = write(model, rows, torch.ones_like(rows, dtype=torch.bool), options, range(count))
    share = (pairs[:, 0] * SYMBOLS + pairs[:, 1]).bincount(minlength=SYMBOLS**2) / count
    spread = (expected * (1 - expected) / count).sqrt()
    assert ((share - expected).abs() < 5 * spread + 1e-3).all()


def test_a_wide_beam_finds_the_likeliest_continuation(model: LanguageModel) -> None:
    symbols, mask = texts(6, 2)
    found = write(model, symbols, mask, WritingConfig(length=3, beam=SYMBOLS))
    every = torch.cartesian_prod(*[torch.arange(SYMBOLS)] * 3)
    for row, size in enumerate((6, 2)):
        whole = torch.cat([symbols[row, :size].expand(len(every), -1), every], 1)
        with torch.no_grad():  # a text of nine is read from the fourth symbol on; its first eight do not see the last
            rows = model(whole[:, :-1]).log_probs()[:, size - 1 :]
        best = rows.gather(2, every[..., None])[..., 0].sum(1).argmax()
        assert found[row].tolist() == every[best].tolist()
    greedy = write(model, symbols, mask, WritingConfig(length=3, temperature=0))
    longer = write(model, symbols, mask, WritingConfig(length=20, beam=3))
    assert longer.shape == (2, 20)
    assert greedy.shape == (2, 3)


def test_a_text_is_scored_with_the_windows_in_which_it_is_written(model: LanguageModel) -> None:
    symbols, _ = texts(21)
    with torch.no_grad():
        expected = torch.stack([next_log_probs(model, symbols[0, :size].tolist()) for size in range(1, 21)])
    torch.testing.assert_close(read_again(model, symbols[0]).log_probs(), expected, rtol=0, atol=1e-10)
    names = [f"s{number}" for number in range(SYMBOLS)]
    steps = likeliest(model, symbols[0], 5, names, SYMBOLS)
    assert [step.symbol for step in steps] == [names[symbol] for symbol in symbols[0, 5:].tolist()]
    assert [step.log_prob for step in steps] == pytest.approx(
        [float(expected[place - 1, symbols[0, place]]) for place in range(5, 21)]
    )
    assert sum(math.exp(value) for _, value in steps[3].likeliest) == pytest.approx(1)
    assert likeliest(model, symbols[0, :1], 1, names, 2) == []
    with pytest.raises(InvalidInput, match="from 1 to 13 likeliest symbols, got 14"):
        likeliest(model, symbols[0], 5, names, 14)


def test_nats_are_those_of_the_scored_symbols(model: LanguageModel) -> None:
    symbols, mask = texts(7, 4)
    scored = mask & ~length_mask(torch.tensor([3, 1]), 7)
    found = nats(model, symbols, mask, scored)
    for row, (first, size) in enumerate(((3, 7), (1, 4))):
        with torch.no_grad():
            rows = [next_log_probs(model, symbols[row, :place].tolist()) for place in range(first, size)]
        total = -sum(float(one[symbols[row, first + n]]) for n, one in enumerate(rows))
        assert float(found[row]) == pytest.approx(total)


class TestDraws:
    logits = torch.tensor([[0.3, -1.0, 2.0, 0.0, -4.0, 1.9]], dtype=torch.float64)

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
    @pytest.mark.parametrize(("top_k", "top_p"), [(None, 1.0), (3, 1.0), (None, 0.8), (4, 0.6), (1, 1.0), (9, 1e-9)])
    def test_what_is_drawn_from_is_hugging_faces(self, temperature: float, top_k: int | None, top_p: float) -> None:
        from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

        expected, symbols = self.logits.clone(), torch.zeros(1, 1, dtype=torch.long)
        expected = TemperatureLogitsWarper(temperature)(symbols, expected)
        if top_k is not None:
            expected = TopKLogitsWarper(top_k)(symbols, expected)
        if top_p < 1:
            expected = TopPLogitsWarper(top_p)(symbols, expected)
        found = weights(self.logits, temperature, top_k, top_p)
        torch.testing.assert_close(found / found.sum(), expected.softmax(-1))

    def test_only_kept_symbols_are_drawn(self) -> None:
        rows = self.logits.expand(4000, -1)
        drawn = sample(rows, 1.0, draws("some", 4000), top_k=3)
        assert set(drawn.tolist()) == {0, 2, 5}
        assert sample(rows, 1.0, draws("some", 4000), top_p=0.3).unique().tolist() == [2]
        assert sample(rows[:1], 0.0, torch.zeros(1), top_k=2).tolist() == [2]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"top_p": 0.0}, "greater than 0"), ({"top_p": -0.5}, "greater than 0"), ({"top_p": 1.5}, "less than or equal"),
        ({"top_k": 0}, "greater than or equal to 1"), ({"temperature": -1.0}, "greater than or equal to 0"),
        ({"beam": 0}, "greater than or equal to 1"), ({"beam": 3, "top_k": 5}, "beam is 3, which draws nothing"),
        ({"length": 0}, "greater than or equal to 1"),
    ],
)  # fmt: skip
def test_bad_options_are_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        WritingConfig(**options)
