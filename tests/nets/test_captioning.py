"""Captions by search, and the likelihood of people's captions, against one step at a time."""

from itertools import pairwise

import pytest
import torch

from saccade.nets.caption_decoder import CaptionDecoder, CaptionDecoderConfig
from saccade.nets.captioning import answers, captions, limits_of, reference_nats
from saccade.nets.search import SearchConfig, Symbols
from tests.checks import randomised

PAD, START, END, WORDS = 0, 2, 3, 11
SYMBOLS = Symbols(START, END)


def make() -> tuple[CaptionDecoder, torch.Tensor]:
    config = CaptionDecoderConfig(embedding_size=5, hidden_size=7, dropout=0.0)
    return randomised(CaptionDecoder(config, WORDS, 3)).eval(), torch.randn(2, 4, 3, dtype=torch.float64)


def test_the_nats_of_references_are_those_of_each_alone() -> None:
    model, regions = make()
    rows = [[[2, 5, 6, 3, 0], [2, 7, 3, 0, 0], [0, 0, 0, 0, 0]], [[2, 4, 4, 4, 3], [2, 3, 0, 0, 0], [2, 9, 8, 3, 0]]]
    references = torch.tensor(rows)
    nats, counts = reference_nats(model, model.start(regions), references, references != PAD)
    assert counts == [5, 8]
    for image, found in enumerate(nats):
        total = 0.0
        for reference in rows[image]:
            symbols = [symbol for symbol in reference if symbol != PAD]
            state = model.start(regions[image : image + 1])
            for before, symbol in pairwise(symbols):
                log_probs, state = model.step(torch.tensor([before]), state)
                total -= log_probs[0, symbol].item()
        assert found == pytest.approx(total, abs=1e-4)


def test_without_references_there_is_no_likelihood() -> None:
    model, regions = make()
    none = torch.zeros(2, 0, 5, dtype=torch.long)
    assert reference_nats(model, model.start(regions), none, none != PAD) == ([None, None], [0, 0])


def test_a_beam_is_at_least_as_likely_as_greedy_search_and_further_captions_follow() -> None:
    model, regions = make()
    limits = limits_of(torch.zeros(2, 3, dtype=torch.long), 6)
    assert limits.tolist() == [7, 7]
    for found in captions(model, regions, limits, SYMBOLS, SearchConfig(beam=4, length_penalty=0.0)):
        assert len(found.best) == 3
        assert [log_prob for _, log_prob in found.best] == sorted((each for _, each in found.best), reverse=True)
    [alone, _] = captions(model, regions, limits, SYMBOLS, SearchConfig(beam=1))
    assert alone.best[0][0] == alone.greedy
    options = SearchConfig(method="sample")
    one, other = (captions(model, regions, limits, SYMBOLS, options, seed=seed) for seed in (1, 1))
    assert one == other
    assert all(len(found.best) == 1 for found in one)


@pytest.mark.parametrize("unlikely", [False, True])
def test_symbols_that_are_no_words_are_not_written(unlikely: bool) -> None:
    model, regions = make()
    with torch.no_grad():
        model.readout.output.bias[:3] += -50 if unlikely else 50  # the likeliest, or never written anyway
        model.readout.output.bias[END] += 1
    never, limits = SYMBOLS._replace(never=(0, 1, 2)), limits_of(torch.zeros(2, 3, dtype=torch.long), 6)
    for options in (SearchConfig(beam=1), SearchConfig(beam=4, length_penalty=0.0), SearchConfig(method="sample")):
        found = captions(model, regions, limits, never, options)
        if unlikely:
            assert found == captions(model, regions, limits, SYMBOLS, options)
        for best, greedy in found:
            assert all(symbol > END for caption, _ in [*best, (greedy, 0.0)] for symbol in caption)
            for caption, log_prob in best:
                ended = [SYMBOLS.start, *caption, *([END] if len(caption) < 7 else [])]
                [nats], _ = reference_nats(
                    model, model.start(regions[:1] if (best, greedy) == found[0] else regions[1:]),
                    torch.tensor([[ended]]), torch.ones(1, 1, len(ended), dtype=torch.bool),
                )  # fmt: skip
                assert log_prob == pytest.approx(-nats, abs=2e-4), "the model's own"


def test_answers_join_the_search_and_the_references() -> None:
    model, regions = make()
    limits, options = limits_of(torch.zeros(2, 3, dtype=torch.long), 6), SearchConfig(beam=4, length_penalty=0.0)
    references = torch.tensor([[[SYMBOLS.start, 5, SYMBOLS.end]], [[SYMBOLS.start, 6, SYMBOLS.end]]])
    valid = torch.ones_like(references, dtype=torch.bool)
    found = captions(model, regions, limits, SYMBOLS, options)
    nats, counts = reference_nats(model, model.start(regions), references, valid)
    assert answers(model, regions, limits, references, valid, SYMBOLS, options) == [
        (*one.best[0], own, count, tuple(one.best[1:]), one.greedy)
        for one, own, count in zip(found, nats, counts, strict=True)
    ]
    assert counts == [2, 2]
