import itertools
import math

import pytest
import torch
from torch import Tensor

from saccade.systems.music_rnn.nade import Independent, Nade, nade_logits, sounds
from tests.checks import assert_twins, leaf, randomised

FRAMES, NOTES, HIDDEN, STATE = 5, 7, 3, 2


def slow_logits(notes: Tensor, bias: Tensor, hidden_bias: Tensor, inward: Tensor, outward: Tensor) -> Tensor:
    """Larochelle & Murray 2011, equations 8 to 10, one note and one unit at a time."""
    rows = []
    for n in range(len(notes)):
        logits = []
        for i in range(notes.shape[1]):
            logit = bias[n, i]
            for k in range(inward.shape[1]):
                total = hidden_bias[n, k]
                for j in range(i):
                    total = total + inward[j, k] * notes[n, j]
                logit = logit + outward[i, k] / (1 + torch.exp(-total))
            logits.append(logit)
        rows.append(torch.stack(logits))
    return torch.stack(rows)


def drawn(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize("kind", ["random", "silent", "all"])
def test_the_logits_are_those_of_the_equations(kind: str) -> None:
    notes = {"random": torch.rand(FRAMES, NOTES) < 0.4, "silent": torch.zeros(FRAMES, NOTES),
             "all": torch.ones(FRAMES, NOTES)}[kind].double()  # fmt: skip
    weights = [leaf(FRAMES, NOTES), leaf(FRAMES, HIDDEN), leaf(NOTES, HIDDEN), leaf(NOTES, HIDDEN)]
    # without a note that sounds, W has no gradient in either
    wrt = [weight for place, weight in enumerate(weights) if place != 2 or kind != "silent"]
    assert_twins(lambda: nade_logits(notes, *weights), lambda: slow_logits(notes, *weights), wrt)


def test_no_frames_have_no_logits() -> None:
    found = nade_logits(torch.zeros(0, NOTES), torch.zeros(0, NOTES), torch.zeros(0, HIDDEN),
                        torch.zeros(NOTES, HIDDEN), torch.zeros(NOTES, HIDDEN))  # fmt: skip
    assert found.shape == (0, NOTES)


def test_a_note_never_depends_on_itself_or_those_above_it() -> None:
    notes = leaf(1, NOTES)
    weights = [leaf(1, NOTES), leaf(1, HIDDEN), leaf(NOTES, HIDDEN), leaf(NOTES, HIDDEN)]
    for i in range(NOTES):
        [slope] = torch.autograd.grad(slow_logits(notes, *weights)[0, i], notes, allow_unused=True)
        assert slope is None or not slope[0, i:].any()
    pattern = torch.tensor([[1.0, 0, 1, 1, 0, 1, 0]], dtype=torch.float64)
    for i in range(NOTES):
        other = pattern.clone()
        other[0, i:] = 1 - other[0, i:]
        torch.testing.assert_close(nade_logits(other, *weights)[0, : i + 1], nade_logits(pattern, *weights)[0, : i + 1])


@pytest.mark.parametrize("make", [lambda: Independent(STATE, NOTES), lambda: Nade(STATE, NOTES, HIDDEN)])
class TestOutputs:
    def test_the_probabilities_of_all_patterns_sum_to_1(self, make) -> None:  # type: ignore[no-untyped-def]
        output, state = randomised(make()), leaf(STATE)
        patterns = torch.tensor(list(itertools.product((0.0, 1.0), repeat=NOTES)), dtype=torch.float64)
        found = output.log_prob(state.expand(len(patterns), -1), patterns)
        assert found.exp().sum().item() == pytest.approx(1, abs=1e-12)

    def test_samples_follow_the_distribution(self, make) -> None:  # type: ignore[no-untyped-def]
        output, state, count = randomised(make()), leaf(STATE), 40_000
        many = state.expand(count, -1)
        with torch.no_grad():
            found = output.sample(many, 1.0, drawn(count, NOTES))
            patterns = torch.tensor(list(itertools.product((0.0, 1.0), repeat=NOTES)), dtype=torch.float64)
            expected = output.log_prob(state.expand(len(patterns), -1), patterns).exp()
        place = (found @ 2.0 ** torch.arange(NOTES - 1, -1, -1, dtype=torch.float64)).long()
        shares = place.bincount(minlength=2**NOTES) / count
        spread = (expected * (1 - expected) / count).sqrt()
        assert ((shares - expected).abs() < 4.5 * spread + 1e-4).all()

    def test_the_expected_notes_are_the_marginals(self, make) -> None:  # type: ignore[no-untyped-def]
        output, state = randomised(make()), leaf(1, STATE)
        patterns = torch.tensor(list(itertools.product((0.0, 1.0), repeat=NOTES)), dtype=torch.float64)
        with torch.no_grad():
            marginals = output.log_prob(state.expand(len(patterns), -1), patterns).exp() @ patterns
            found = output.expected(state, drawn(20_000, 1, NOTES))[0]
        assert (found - marginals).abs().max() < 0.01

    def test_at_temperature_0_the_uniform_numbers_do_not_matter(self, make) -> None:  # type: ignore[no-untyped-def]
        output, state = randomised(make()), leaf(FRAMES, STATE)
        ends = [output.sample(state, 0.0, torch.full((FRAMES, NOTES), end).double()) for end in (0.0, 0.999)]
        assert torch.equal(*ends)


def test_a_low_temperature_sharpens_and_a_high_one_levels() -> None:
    logits = torch.tensor([-2.0, 0.1, 3.0]).expand(10_000, 3)
    uniform = torch.linspace(0, 1 - 1e-9, 10_000, dtype=torch.float64)[:, None].expand(-1, 3)
    for temperature in (1e-6, 0.5, 1.0, 2.0, 100.0):
        shares = sounds(logits, temperature, uniform).double().mean(0)
        for share, logit in zip(shares.tolist(), logits[0].tolist(), strict=True):
            assert share == pytest.approx(1 / (1 + math.exp(max(-700, min(700, -logit / temperature)))), abs=1e-3)


def test_with_no_weights_between_notes_a_nade_is_independent_notes() -> None:
    nade = randomised(Nade(STATE, NOTES, HIDDEN))
    independent = Independent(STATE, NOTES).double()
    with torch.no_grad():
        nade.outward.zero_()
        independent.notes.weight.copy_(nade.notes.weight)
        independent.notes.bias.copy_(nade.notes.bias)
    state, notes = leaf(FRAMES, STATE), (torch.rand(FRAMES, NOTES) < 0.4).double()
    torch.testing.assert_close(nade.log_prob(state, notes), independent.log_prob(state, notes))
