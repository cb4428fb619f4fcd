"""Emit or wait, against an explicit sum over all gate sequences."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from saccade.attention.online import OnlineAttention, log_add, online_log_likelihood
from saccade.attention.score_function import ScoreFunction, following
from saccade.core.errors import InvalidInput
from tests.checks import assert_twins, leaf, randomised

FRAMES, LABELS, SIZE = 6, 3, 5
LENGTHS, TARGET_LENGTHS = torch.tensor([6, 4, 3, 5]), torch.tensor([3, 3, 3, 0])


def strings(frames: int, labels: int) -> list[tuple[int, ...]]:
    """All gate sequences that emit this many labels."""
    return [gates for gates in itertools.product((0, 1), repeat=frames) if sum(gates) == labels]


def slow(gates: Tensor, labels: Tensor, frames: int, length: int) -> Tensor:
    """log p(y | x); forced gates have probability 1."""
    total = torch.zeros((), dtype=torch.float64)
    for string in strings(frames, length):
        said, log_prob = 0, torch.zeros((), dtype=torch.float64)
        for t, b in enumerate(string):
            left = length - said
            if 0 < left < frames - t:
                p = torch.sigmoid(gates[t, said])
                log_prob = log_prob + torch.log(p if b else 1 - p)
            if b:
                log_prob = log_prob + labels[t, said]
                said += 1
        total = total + log_prob.exp()
    return total.log()


def test_the_likelihood_is_the_sum_over_all_gate_sequences() -> None:
    gates, labels = leaf(4, FRAMES, LABELS + 1), leaf(4, FRAMES, LABELS)
    assert_twins(
        lambda: online_log_likelihood(gates, labels, LENGTHS, TARGET_LENGTHS),
        lambda: torch.stack([
            slow(gates[i], labels[i], frames, length)
            for i, (frames, length) in enumerate(zip(LENGTHS.tolist(), TARGET_LENGTHS.tolist(), strict=True))
        ]) + 0 * (gates.sum() + labels.sum()),
        [gates, labels],
    )  # fmt: skip


def test_with_certain_labels_the_gate_sequences_are_a_distribution() -> None:
    certain = torch.zeros(4, FRAMES, LABELS, dtype=torch.float64)
    found = online_log_likelihood(leaf(4, FRAMES, LABELS + 1), certain, LENGTHS, TARGET_LENGTHS)
    torch.testing.assert_close(found, torch.zeros(4).double(), rtol=0, atol=1e-12)


class Speaker(nn.Module):
    """A state that depends on when labels were emitted, so it requires sampling or enumeration."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.Linear(SIZE + 2, SIZE)
        self.online = OnlineAttention(SIZE)
        self.label = nn.Linear(SIZE, 4)
        randomised(self)

    def forward(self, frames: Tensor, labels: list[int], choices: Tensor | None = None) -> tuple[Tensor, ...]:
        """For (b, t) frames: log-probability of the labels, of each gate, its entropy, and whether a label is
        emitted."""
        batch, steps = frames.shape
        hidden, last = frames.new_zeros(batch, SIZE), frames.new_zeros(batch, 1)
        said = torch.zeros(batch, dtype=torch.long)
        found = []
        for t in range(steps):
            hidden = torch.tanh(self.cell(torch.cat([hidden, frames[:, t : t + 1], last], 1)))
            left = torch.full((batch,), steps - t)
            gate = self.online(hidden, left, len(labels) - said, choice=None if choices is None else choices[:, t])
            wanted = torch.tensor([*labels, 0])[said]
            spoken = self.label(hidden).log_softmax(1).gather(1, wanted[:, None])[:, 0] * gate.emit
            said, last = said + gate.emit, gate.emit[:, None].double()
            found.append((spoken, gate.log_prob, gate.entropy, gate.emit))
        assert said.tolist() == [len(labels)] * batch
        return tuple(torch.stack(parts, 1) for parts in zip(*found, strict=True))


def gradients(of: Tensor, model: nn.Module) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(of, list(model.parameters()), retain_graph=True)])


def test_the_mean_of_the_estimate_over_all_gate_sequences_is_the_exact_gradient() -> None:
    model, labels = Speaker(), [2, 0, 1]
    every = torch.tensor(strings(FRAMES, LABELS)).bool()
    frames = torch.randn(1, FRAMES, dtype=torch.float64).expand(len(every), -1)
    spoken, log_probs, _, emitted = model(frames, labels, every)
    assert torch.equal(emitted, every)
    probability = log_probs.sum(1).exp()
    assert math.isclose(probability.sum().item(), 1, rel_tol=1e-12)
    bound, likelihood = (probability * spoken.sum(1)).sum(), (probability * spoken.sum(1).exp()).sum().log()
    assert bound < likelihood
    exact = gradients(bound, model)
    score = ScoreFunction("moving").eval()
    score.mean.fill_(-1.3)
    estimate = spoken.sum(1) - score(following(spoken), log_probs).sum(1)
    torch.testing.assert_close(gradients((probability.detach() * estimate).sum(), model), exact, rtol=1e-9, atol=1e-11)


def test_earlier_rewards_only_add_variance() -> None:
    torch.manual_seed(2)
    model, labels = Speaker(), [2, 0, 1]
    every = torch.tensor(strings(FRAMES, LABELS)).bool()
    frames = torch.randn(1, FRAMES, dtype=torch.float64).expand(len(every), -1)
    spoken, log_probs, _, _ = model(frames, labels, every)
    probability = log_probs.sum(1).exp().detach()
    variances = []
    for rewards in (following(spoken), spoken.sum(1, keepdim=True).expand_as(spoken)):
        estimates = spoken.sum(1) + (rewards.detach() * log_probs).sum(1)
        each = torch.stack([gradients(estimate, model) for estimate in estimates])
        mean = (probability[:, None] * each).sum(0)
        variances.append(float((probability[:, None] * (each - mean).square()).sum()))
        torch.testing.assert_close(mean, gradients((log_probs.sum(1).exp() * spoken.sum(1)).sum(), model))
    assert variances[0] < variances[1]


def test_gates_are_sampled_with_their_probabilities_and_reproducibly() -> None:
    online, draws = randomised(OnlineAttention(SIZE)), 20_000
    known = leaf(1, SIZE).expand(draws, -1)
    first, again, other = (online(known, generator=torch.Generator().manual_seed(seed)).emit for seed in (1, 1, 2))
    probability = torch.sigmoid(online.gate(known[:1]))[0, 0].item()
    assert abs(first.double().mean().item() - probability) < 4 * math.sqrt(probability * (1 - probability) / draws)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    gate = online.eval()(known[:3])
    assert gate.emit.tolist() == [probability > 0.5] * 3
    likelier = max(probability, 1 - probability)
    assert gate.log_prob[0].item() == pytest.approx(math.log(likelier))
    entropy = -probability * math.log(probability) - (1 - probability) * math.log(1 - probability)
    assert gate.entropy[0].item() == pytest.approx(entropy)


def test_a_gate_without_a_choice_is_certain() -> None:
    online = randomised(OnlineAttention(SIZE))
    for _ in range(20):
        gate = online(leaf(4, SIZE), torch.tensor([3, 2, 5, 1]), torch.tensor([3, 2, 0, 1]))
        assert gate.emit.tolist() == [True, True, False, True]
        assert not gate.log_prob.any()
        assert not gate.entropy.any()


def test_more_labels_than_frames_raise() -> None:
    with pytest.raises(InvalidInput, match="sequence 1 has 2 frames, too few for its 3 labels"):
        online_log_likelihood(leaf(2, 3, 4), leaf(2, 3, 3), torch.tensor([3, 2]), torch.tensor([3, 3]))
    with pytest.raises(InvalidInput, match=r"need labels of shape \(2, 3, 3\), not \(2, 3, 4\)"):
        online_log_likelihood(leaf(2, 3, 4), leaf(2, 3, 4), torch.tensor([3, 3]), torch.tensor([3, 3]))


def test_the_sum_of_two_zero_probabilities_has_no_gradient() -> None:
    first, second = (torch.tensor([-torch.inf, 0.0, -torch.inf]).requires_grad_() for _ in range(2))
    found = log_add(first, second)
    assert found.tolist() == pytest.approx([-math.inf, math.log(2), -math.inf])
    assert torch.autograd.grad(found[1], [first])[0].tolist() == [0.0, 0.5, 0.0]


def test_bfloat16_gates_are_sampled_with_their_probabilities() -> None:
    online, draws = OnlineAttention(SIZE), 400_000
    torch.nn.init.zeros_(online.gate.weight)
    torch.nn.init.constant_(online.gate.bias, -7.0)
    with torch.autocast("cpu", torch.bfloat16):
        gate = online(torch.zeros(draws, SIZE), generator=torch.Generator().manual_seed(1))
    probability = 1 / (1 + math.exp(7))
    assert abs(gate.emit.double().mean().item() - probability) < 4 * math.sqrt(probability / draws)


def test_missing_lengths_raise() -> None:
    for lengths, labels, match in (
        ([9], [2], "from 1 to 4 frames"),
        ([4], [3], "from 0 to 2"),
        ([4], [-1], "from 0 to 2"),
    ):
        with pytest.raises(InvalidInput, match=match):
            online_log_likelihood(leaf(1, 4, 3), leaf(1, 4, 2), torch.tensor(lengths), torch.tensor(labels))


@pytest.mark.unhooked
def test_lengths_for_another_batch_raise() -> None:
    gates, labels, lengths, targets = leaf(2, 4, 3), leaf(2, 4, 2), torch.tensor([4, 3]), torch.tensor([2, 1])
    with pytest.raises(InvalidInput, match=r"lengths must be integers of shape \(2,\), not torch.int64 of \(1,\)"):
        online_log_likelihood(gates, labels, lengths[:1], targets)
    with pytest.raises(
        InvalidInput, match=r"target lengths must be integers of shape \(2,\), not torch.int64 of \(1,\)"
    ):
        online_log_likelihood(gates, labels, lengths, targets[:1])
    with pytest.raises(InvalidInput, match=r"lengths must be integers of shape \(2,\), not torch.float32 of \(2,\)"):
        online_log_likelihood(gates, labels, lengths.float(), targets)
    with pytest.raises(InvalidInput, match=r"gates must be \(batch, frames, states\), not \(4, 3\)"):
        online_log_likelihood(gates[0], labels[0], lengths, targets)
    with pytest.raises(InvalidInput, match="at least 1 sequence"):
        online_log_likelihood(gates[:0], labels[:0], lengths[:0], targets[:0])


@pytest.mark.unhooked
def test_gates_of_the_wrong_size_raise() -> None:
    attention, known, left = OnlineAttention(4), torch.randn(3, 4), torch.ones(3, dtype=torch.long)
    for wrong in (torch.randn(3, 5), torch.randn(4), torch.randn(3, 2, 4)):
        with pytest.raises(InvalidInput, match=r"the state must be \(batch, 4\), not"):
            attention(wrong)
    with pytest.raises(InvalidInput, match="expected both frames_left and labels_left"):
        attention(known, left)
    with pytest.raises(InvalidInput, match=r"labels left must be \(3,\), one per sequence, not \(2,\)"):
        attention(known, left, left[:2])
    with pytest.raises(InvalidInput, match=r"choices must be \(3,\)"):
        attention(known, choice=torch.ones(1, dtype=torch.bool))


@pytest.mark.parametrize("what", ["gates", "labels"])
def test_a_likelihood_of_nan_raises(what: str) -> None:
    gates, labels = torch.zeros(1, 4, 3), torch.zeros(1, 4, 2)
    (gates if what == "gates" else labels)[0, 1, 1] = math.nan
    with pytest.raises(InvalidInput, match="contain NaN"):
        online_log_likelihood(gates, labels, torch.tensor([4]), torch.tensor([2]))
