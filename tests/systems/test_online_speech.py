import itertools
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from saccade.core.config import from_plain
from saccade.core.masks import length_mask
from saccade.systems.online_speech.model import Constant, Learned, OnlineSpeech, OnlineSpeechConfig
from saccade.systems.online_speech.objective import objective
from saccade.tasks.speech import BLANK, START, Batch
from tests.checks import randomised

FEATURES, SYMBOLS, SIZE = 3, 11, 5
LENGTHS, LABELS = [6, 4], torch.tensor([[1 + 6, 1 + 4, 1 + 6], [1 + 2, 0, 0]])


def make(policy: Constant | None = None, **options: Any) -> OnlineSpeech:
    sizes = OnlineSpeechConfig(
        layers=1, hidden_size=SIZE, embedding_size=2, dropout=0.0, policy=policy or Learned(**options)
    )
    model = randomised(OnlineSpeech(sizes, FEATURES, SYMBOLS))
    if model.score_function is not None:  # as if all samples had the same past
        model.score_function.mean.fill_(-2.5)
        model.score_function.variance.fill_(1.75)
        model.score_function.seen.fill_(True)
    return model.eval()


def make_batch() -> Batch:
    features = torch.randn(2, 6, FEATURES, dtype=torch.float64)
    inputs = F.pad(LABELS, (1, 0), value=START)
    return Batch(features, length_mask(torch.tensor(LENGTHS), 6), inputs, torch.zeros_like(inputs))


def slow(model: OnlineSpeech, features: Tensor, labels: list[int], gates: list[bool]) -> tuple[Tensor, Tensor]:
    """One recording, frame by frame: log p(gates) that were not forced; log p(labels | gates) plus that of forced
    gates."""
    weights = dict(model.named_parameters())
    mask = torch.ones(1, len(features), dtype=torch.bool)
    annotations = model.encoder(features[None], mask).annotations[0]
    W, U, bias = (weights[f"cell.{name}"] for name in ("weight_input", "weight_hidden", "bias"))
    h, last, before, left = torch.zeros(SIZE, dtype=torch.float64), START, 0.0, list(labels)
    decided, spoken = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for t, gate in enumerate(gates):
        x = torch.cat([annotations[t], weights["embedding.weight"][last], torch.tensor([before]).double()])
        r, z, candidate = (W @ x + bias).chunk(3)
        U_r, U_z, U_h = U.chunk(3)
        r, z = torch.sigmoid(r + U_r @ h), torch.sigmoid(z + U_z @ h)
        h = z * h + (1 - z) * torch.tanh(candidate + U_h @ (r * h))
        p = torch.sigmoid(weights["attention.gate.weight"][0] @ h + weights["attention.gate.bias"][0])
        if 0 < len(left) < len(gates) - t:  # otherwise the gate is forced
            decided = decided + torch.log(p if gate else 1 - p)
        else:
            spoken = spoken + model.forced_weight * torch.log(p if gate else 1 - p)
        if gate:
            logits = weights["output.weight"] @ h + weights["output.bias"]
            last = left.pop(0)
            spoken = spoken + torch.log_softmax(logits, 0)[last]
        before = float(gate)
    return decided, spoken


def doubt(model: OnlineSpeech, batch: Batch, gates: list[bool]) -> Tensor:
    """The entropies of the gates in a sequence that were not forced."""
    forced(model, [*gates, False, False])
    found = model(batch.features, batch.mask, batch.labels, START)
    total, left = torch.zeros((), dtype=torch.float64), int(batch.label_lengths)
    for t, gate in enumerate(gates):
        p = torch.sigmoid(model.attention.gate(found.known[0, t])[0])
        if 0 < left < len(gates) - t:
            total = total - p * p.log() - (1 - p) * (1 - p).log()
        left -= gate
    return total


def strings(steps: int, labels: int) -> list[list[bool]]:
    """All gate sequences that emit all labels."""
    return [list(gates) for gates in itertools.product([False, True], repeat=steps) if sum(gates) == labels]


def forced(model: OnlineSpeech, gates: list[bool]) -> None:
    """Force these decisions."""
    model.decide = lambda step, state, said, waited: (torch.full_like(said, gates[step]), waited)  # type: ignore


@pytest.mark.parametrize("row", [0, 1])
def test_probabilities_of_all_gate_sequences_sum_to_one(row: int) -> None:
    model, batch = make(), make_batch()
    labels = [label for label in LABELS[row].tolist() if label]
    total = torch.zeros((), dtype=torch.float64)
    for gates in strings(LENGTHS[row], len(labels)):
        decided, spoken = slow(model, batch.features[row, : LENGTHS[row]], labels, gates)
        forced(model, [*gates, False, False])
        found = model(batch.features[row : row + 1], batch.mask[row : row + 1], batch.labels[row : row + 1], START)
        assert found.gates.emit[0, : len(gates)].tolist() == gates
        torch.testing.assert_close(found.gates.log_prob.sum(), decided)
        one = Batch(*(part[row : row + 1] for part in batch))
        torch.testing.assert_close(-objective(model, one, 0).value * len(labels), spoken)
        total = total + decided.exp()
    torch.testing.assert_close(total, torch.ones((), dtype=torch.float64))


@pytest.mark.parametrize(("weight", "entropy"), [(0.0, 0.0), (0.6, 0.0), (0.0, 0.3)])
@pytest.mark.parametrize("row", [0, 1])
def test_the_mean_of_the_gradient_is_that_of_the_bound(row: int, weight: float, entropy: float) -> None:
    """Sum over all gate sequences, weighted by their probabilities, which is the mean over samples.

    At step 3 of 4 a quarter of the entropy weight is left, which applies only to the gates themselves.
    """
    model, batch = make(forced_weight=weight, reward_weight=1.0, entropy_weight=entropy, entropy_steps=4), make_batch()
    one = Batch(*(part[row : row + 1] for part in batch))
    labels = [label for label in LABELS[row].tolist() if label]
    every = strings(LENGTHS[row], len(labels))
    weights = [p for n, p in model.named_parameters() if not n.startswith("score_function")]
    bound = torch.zeros((), dtype=torch.float64)
    for gates in every:
        decided, spoken = slow(model, batch.features[row, : LENGTHS[row]], labels, gates)
        bound = bound + decided.exp() * -spoken / len(labels)
        bound = bound - 0.25 * entropy * decided.exp().detach() * doubt(model, one, gates) / len(labels)
    exact = torch.autograd.grad(bound, weights)
    mean = [torch.zeros_like(weight) for weight in weights]
    for gates in every:
        forced(model, [*gates, False, False])
        found = model(one.features, one.mask, one.labels, START)
        share = found.gates.log_prob.sum().exp().detach()
        for total, slope in zip(mean, torch.autograd.grad(objective(model, one, 3).value, weights), strict=True):
            total += share * slope
    for ours, theirs in zip(mean, exact, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


def test_training_samples_and_evaluation_does_not() -> None:
    model, batch = make(pace=0.4), make_batch()
    given = batch.features, batch.mask, batch.labels, START
    assert torch.equal(model(*given).gates.emit, model(*given).gates.emit)
    model.train()
    drawn = [model(*given, torch.Generator().manual_seed(seed)).gates.emit for seed in (1, 1, 2, 3, 4)]
    assert torch.equal(drawn[0], drawn[1])
    assert any(not torch.equal(drawn[0], other) for other in drawn[2:])
    assert all(emit.sum(1).tolist() == [3, 1] for emit in drawn)


def test_labels_do_not_depend_on_later_frames() -> None:
    model, batch = make(), make_batch()
    model.attention.gate.bias.data.fill_(0.3)
    whole = model.listen(batch.features, batch.mask, START, BLANK)
    part = model.listen(batch.features[:, :3], batch.mask[:, :3], START, BLANK)
    assert torch.equal(whole[:, :3], part)
    assert not whole[1, 4:].any()


def test_a_search_emits_the_same_labels_as_training() -> None:
    """The same labels at the same steps if the net's own labels are fed back."""
    model, batch = make(), make_batch()
    model.attention.gate.bias.data.fill_(0.2)
    said = model.listen(batch.features[:1], batch.mask[:1], START, BLANK)
    labels = said[said != BLANK][None]
    assert 0 < labels.shape[1] < 6
    again = model(batch.features[:1], batch.mask[:1], labels, START).gates.emit
    last = int(said[0].nonzero()[-1])
    assert torch.equal(again[0, : last + 1], said[0, : last + 1] != BLANK)


def test_in_evaluation_a_label_is_emitted_at_its_median_step() -> None:
    """The median of many sampled steps of the first label."""
    model, batch = make(), make_batch()
    model.attention.gate.weight.data.mul_(0.5)
    model.attention.gate.bias.data.fill_(-1.0)
    said = model.listen(batch.features[:1], batch.mask[:1], START, BLANK)[0] != BLANK
    first = int(said.nonzero()[0])
    found = model(batch.features[:1], batch.mask[:1], torch.tensor([[7]]), START)
    waits = torch.sigmoid(-model.attention.gate(found.known[0])[:, 0]).cumprod(0)
    assert waits[first] < 0.5 <= (waits[first - 1] if first else 1.0)
    assert int(found.gates.emit[0].nonzero()[0]) == first


def test_a_constant_policy_emits_a_label_at_every_nth_step() -> None:
    model, batch = make(Constant(every=2)), make_batch()
    said = model.listen(batch.features, batch.mask, START, BLANK) != BLANK
    assert said.tolist() == [[False, True] * 3, [False, True, False, True, False, False]]
    trained = model(batch.features, batch.mask, batch.labels, START).gates.emit
    assert trained.tolist() == [[False, True] * 3, [False, True, False, False, False, False]]
    assert model.score_function is None


def test_recordings_without_labels_or_too_short_for_them() -> None:
    model, batch = make(forced_weight=0.0), make_batch()
    nothing = batch._replace(target_inputs=batch.target_inputs[:, :1])
    assert objective(model, nothing, 0).value.item() == 0
    assert objective(model, nothing, 0).logs["entropy"].item() == 0
    short = batch._replace(mask=length_mask(torch.tensor([2, 1]), 6))  # only two of three labels can be emitted
    alone = short._replace(features=batch.features[:, :2], mask=short.mask[:, :2])
    found = [objective(model.train(), each, 0) for each in (short, alone)]  # the amount of padding has no effect
    assert [each.parts["nats"].count for each in found] == [3, 3]
    slopes = [torch.autograd.grad(each.value, list(model.output.parameters())) for each in found]
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.unhooked
def test_options_of_the_other_policy_are_refused() -> None:
    for plain, named in (
        ({"name": "learned", "every": 7}, "policy.learned.every"),
        ({"name": "constant", "forced_weight": 0.3}, "policy.constant.forced_weight"),
        ({"name": "constant", "entropy_weight": 0.3}, "policy.constant.entropy_weight"),
    ):
        with pytest.raises(ValueError, match=named):
            from_plain(OnlineSpeechConfig, {"policy": plain})
    assert from_plain(OnlineSpeechConfig, {"policy": "constant"}).policy == Constant(every=12)
