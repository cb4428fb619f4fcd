"""The oracle: one sentence at a time at its true length, one feature at a time, in float64."""

import pytest
import torch
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.core.masks import length_mask
from saccade.explain import capture
from saccade.nets.sequence_classifier import POOLINGS, Pooling, SequenceClassifier
from tests.checks import assert_twins, leaf, randomised

SIZE, CLASSES, WIDTH, LONGEST = 3, 2, 5, 4
LENGTHS = [4, 1, 3]
every_pooling = pytest.mark.parametrize("pooling", POOLINGS)


def make(pooling: Pooling) -> SequenceClassifier:
    return randomised(SequenceClassifier(SIZE, CLASSES, pooling=pooling, width=WIDTH))


def make_batch() -> tuple[Tensor, Tensor, Tensor]:
    mask = length_mask(torch.tensor(LENGTHS), LONGEST)
    return leaf(len(LENGTHS), LONGEST, SIZE), mask, leaf(len(LENGTHS), SIZE)


def slow_weights(net: SequenceClassifier, rows: Tensor) -> Tensor:
    assert net.attention is not None
    scores = []
    for h in rows:
        hidden = net.attention.query.weight @ net.query + net.attention.key.weight @ h + net.attention.key.bias
        scores.append(net.attention.v @ hidden.tanh())
    return torch.stack(scores).softmax(0)


def slow_vector(net: SequenceClassifier, rows: Tensor, final: Tensor) -> Tensor:
    if net.pooling == "last":
        return final
    if net.pooling == "mean":
        return sum(rows) / len(rows)  # type: ignore[return-value]
    if net.pooling == "maximum":
        return torch.stack([max(rows[:, k]) for k in range(SIZE)])
    return sum(w * h for w, h in zip(slow_weights(net, rows), rows, strict=True))  # type: ignore[return-value]


@every_pooling
def test_it_equals_its_slow_twin_on_true_lengths(pooling: Pooling) -> None:
    net, (outputs, mask, final) = make(pooling), make_batch()

    def slow() -> Tensor:
        vectors = [slow_vector(net, outputs[i, :n], final[i]) for i, n in enumerate(LENGTHS)]
        return torch.stack([net.output.weight @ vector + net.output.bias for vector in vectors])

    wrt = [final if pooling == "last" else outputs, *net.parameters()]
    assert_twins(lambda: net(outputs, mask, final), slow, wrt)


@every_pooling
def test_padding_and_empty_sequences(pooling: Pooling) -> None:
    net, (outputs, mask, final) = make(pooling), make_batch()
    spoiled = outputs.detach().masked_fill(~mask[:, :, None], 1e30)
    torch.testing.assert_close(net(spoiled, mask, final), net(outputs, mask, final))
    none = torch.zeros_like(mask)
    expected = final if pooling == "last" else torch.zeros_like(final)
    assert torch.equal(net.pool(outputs, none, final).vector, expected)
    assert torch.equal(net.pool(outputs[:, :0], none[:, :0], final).vector, expected)


def test_the_attention_is_heard() -> None:
    net, (outputs, mask, final) = make("attention"), make_batch()
    with capture(net) as heard:
        net(outputs, mask, final)
    [weights] = heard["attention.weights"]
    for row, own, length in zip(weights[:, 0], outputs, LENGTHS, strict=True):
        torch.testing.assert_close(row[:length], slow_weights(net, own[:length]).detach())
        assert not row[length:].any()
    assert torch.equal(weights[:, 0], net.pool(outputs, mask, final).weights)  # type: ignore[arg-type]


@pytest.mark.unhooked
def test_other_poolings_and_sizes_are_refused() -> None:
    with pytest.raises(InvalidInput, match="attention, mean, maximum, last, not 'sum'"):
        SequenceClassifier(2, 3, pooling="sum")  # type: ignore[arg-type]
    net, (outputs, mask, final) = make("mean"), make_batch()
    with pytest.raises(InvalidInput, match="3 features, not 2"):
        net(outputs[:, :, :2], mask, final)
