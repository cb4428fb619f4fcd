"""The oracle: one sentence, one direction, one word and one unit at a time, in float64."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.explain import capture
from saccade.nets.bidirectional_language_model import BidirectionalLanguageModel, ProjectedLSTM, ScalarMix
from saccade.nets.character_convolution import CharacterConvolution, Spelled, spelled
from tests.checks import assert_twins, leaf, randomised, unchanged

SENTENCES = [["the", "can", "can"], [], ["a", "can", "of", "beans", "!"]]
SIZE, HIDDEN, WORDS = 3, 5, 7


def make_net(**options: Any) -> Any:
    token = CharacterConvolution(SIZE, character_size=2, filters=((1, 2), (3, 3)), highways=1)
    return randomised(BidirectionalLanguageModel(token, WORDS, HIDDEN, layers=2, **options)).eval()


def slow_lstm(net: ProjectedLSTM, way: int, rows: list[Tensor]) -> list[Tensor]:
    """One direction of a layer, over the inputs in its own order."""
    W, U, b, P = (part[way] for part in (net.weight_input, net.weight_hidden, net.bias, net.weight_projection))
    h, c, found = torch.zeros(P.shape[1]).double(), torch.zeros(P.shape[0]).double(), []
    for x in rows:
        sums = [
            b[k] + sum(x[j] * W[j, k] for j in range(len(x))) + sum(h[j] * U[j, k] for j in range(len(h)))
            for k in range(len(b))
        ]
        i, f, g, o = torch.stack(sums).chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = (o.sigmoid() * c.tanh()) @ P
        found.append(h)
    return found


def slow_layers(net: Any, words: list[str]) -> Tensor:
    """(t, l, 2 d) of one sentence, its marks included."""
    read = spelled([words])
    tokens = list(net.token(read.letters)[read.places[0]])
    layers = [[torch.cat([x, x]) for x in tokens]]
    forward, backward = tokens, tokens[::-1]
    for number, layer in enumerate(net.layers):
        one, other = slow_lstm(layer, 0, forward), slow_lstm(layer, 1, backward)
        if number:
            one = [x + y for x, y in zip(one, forward, strict=True)]
            other = [x + y for x, y in zip(other, backward, strict=True)]
        forward, backward = one, other
        layers.append([torch.cat(pair) for pair in zip(forward, backward[::-1], strict=True)])
    return torch.stack([torch.stack(each) for each in zip(*layers, strict=True)])


def test_its_layers_equal_their_slow_twin_and_are_zero_at_padding() -> None:
    net, read = make_net(), spelled(SENTENCES)

    def slow() -> Tensor:
        rows = [slow_layers(net, words) for words in SENTENCES]
        return torch.stack([F.pad(row, (0, 0, 0, 0, 0, 7 - len(row))) for row in rows])

    learned = [weight for name, weight in net.named_parameters() if not name.startswith("output")]
    assert_twins(lambda: net(read), slow, learned)


def test_its_nats_are_those_of_each_word_given_those_on_one_side() -> None:
    net, read = make_net(), spelled(SENTENCES)
    symbols = torch.randint(WORDS, read.places.shape)

    def slow() -> Tensor:
        found = torch.zeros(2, 3, 6, dtype=torch.float64)
        for row, words in enumerate(SENTENCES):
            top, count = slow_layers(net, words)[:, -1], len(words) + 2
            logits = [net.output.weight @ half + net.output.bias for t in range(count) for half in top[t].split(SIZE)]
            for t in range(count - 1):
                found[0, row, t] = -logits[2 * t].log_softmax(0)[symbols[row, t + 1]]
                found[1, row, t] = -logits[2 * t + 3].log_softmax(0)[symbols[row, t]]
        return found

    assert_twins(lambda: net.nats(read, symbols), slow, list(net.parameters()))


def test_the_lstm_with_a_projection_is_that_of_torch() -> None:
    net, inputs = randomised(ProjectedLSTM(4, HIDDEN, SIZE)), leaf(2, 3, 6, 4)
    with unchanged(net):
        outputs = net(inputs)
    for way in range(2):
        theirs: Any = nn.LSTM(4, HIDDEN, proj_size=SIZE, batch_first=True).double()
        with torch.no_grad():
            theirs.weight_ih_l0.copy_(net.weight_input[way].T)
            theirs.weight_hh_l0.copy_(net.weight_hidden[way].T)
            theirs.weight_hr_l0.copy_(net.weight_projection[way].T)
            theirs.bias_ih_l0.copy_(net.bias[way])
            theirs.bias_hh_l0.zero_()
        torch.testing.assert_close(outputs[way], theirs(inputs[way])[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("side", ["forward", "backward"])
def test_no_gradient_comes_from_the_other_side(side: str) -> None:
    """Of the states of a direction in each word's vector, in every layer above the words: exactly 0."""
    net, read = make_net(), spelled([SENTENCES[2]])
    tokens = net.token(read.letters)[read.places].detach().requires_grad_()
    _, *layers = net.directions(tokens, read.mask)
    for layer in layers:
        for t in range(7):
            [slope] = torch.autograd.grad(layer[int(side == "backward"), 0, t].sum(), tokens, retain_graph=True)
            ahead, behind = slope[0, t + 1 :], slope[0, :t]
            outside, inside = (ahead, behind) if side == "forward" else (behind, ahead)
            assert not outside.any()
            assert inside.abs().sum(1).all()
            assert slope[0, t].any()


def test_a_sentence_has_the_same_vectors_in_any_batch_and_at_any_time() -> None:
    net = make_net(dropout=0.5)
    first = net.vectors([SENTENCES[2]])[0]
    assert first.shape == (5, 3, 2 * SIZE)
    assert not first.requires_grad
    for mode in (True, False):  # also while it is being trained
        net.train(mode)
        for batch in (SENTENCES, [SENTENCES[2], ["other"] * 9], [SENTENCES[2]]):
            place = batch.index(SENTENCES[2])
            torch.testing.assert_close(net.vectors(batch)[place], first, rtol=0, atol=1e-13)
        assert torch.equal(net.vectors([SENTENCES[2]])[0], first)
        assert net.training == mode
    assert net.vectors([[]])[0].shape == (0, 3, 2 * SIZE)
    assert net.vectors([]) == []
    with unchanged(net):
        net.vectors(SENTENCES)


def test_the_tap_hears_each_layer() -> None:
    net, read = make_net(), spelled(SENTENCES)
    with capture(net, "states") as heard:
        layers = net(read)
    assert torch.equal(torch.stack(heard["states"], 2), layers)


def test_dropout_is_for_training_only() -> None:
    net, read = make_net(dropout=0.5), spelled(SENTENCES)
    assert torch.equal(net(read), net(read))
    net.train()
    assert not torch.equal(net(read), net(read))


def test_padding_reaches_nothing() -> None:
    net, read = make_net(), spelled(SENTENCES)
    wide = Spelled(read.letters, F.pad(read.places, (0, 4), value=2), F.pad(read.mask, (0, 4)))
    torch.testing.assert_close(net(wide)[:, :7], net(read), rtol=0, atol=1e-14)
    symbols = torch.randint(WORDS, wide.places.shape)
    nats = net.nats(wide, symbols)
    torch.testing.assert_close(nats[..., :6], net.nats(read, symbols[:, :7]), rtol=0, atol=1e-14)
    assert not nats[..., 6:].any()


class TestScalarMix:
    @pytest.mark.parametrize("normalized", [False, True])
    def test_it_equals_its_slow_twin(self, normalized: bool) -> None:
        mix, layers = randomised(ScalarMix(3, normalized=normalized)), leaf(2, 5, 3, 7)

        def slow() -> Tensor:
            total = sum(weight.exp() for weight in mix.weights)
            found = torch.zeros(2, 5, 7, dtype=torch.float64)
            for b in range(2):
                for t in range(5):
                    for j in range(3):
                        vector = layers[b, t, j]
                        if normalized:
                            vector = vector - vector.mean()
                            vector = vector / (vector.square().mean() + 1e-5).sqrt()
                        found[b, t] = found[b, t] + mix.scale * mix.weights[j].exp() / total * vector
            return found

        assert_twins(lambda: mix(layers), slow, [layers, *mix.parameters()])

    def test_it_begins_as_the_mean(self) -> None:
        layers = torch.randn(2, 5, 3, 7)
        torch.testing.assert_close(ScalarMix(3)(layers), layers.mean(2))

    @pytest.mark.unhooked
    def test_other_numbers_of_layers_are_refused(self) -> None:
        with pytest.raises(InvalidInput, match="at least 1, not 0"):
            ScalarMix(0)
        with pytest.raises(InvalidInput, match=r"3 layers, not 2"):
            ScalarMix(3)(torch.zeros(1, 1, 2, 4))


@pytest.mark.unhooked
def test_other_sizes_are_refused() -> None:
    token = CharacterConvolution(SIZE, filters=((1, 2),))
    with pytest.raises(InvalidInput, match="layers must be at least 1, not 0"):
        BidirectionalLanguageModel(token, WORDS, HIDDEN, layers=0)
    net = BidirectionalLanguageModel(token, WORDS, HIDDEN)
    with pytest.raises(InvalidInput, match=r"symbols must have shape \(1, 4\)"):
        net.nats(spelled([["a", "b"]]), torch.zeros(1, 3, dtype=torch.long))
