"""The oracle: one word at a time, one window at a time, one filter at a time, in float64."""

from typing import Any

import pytest
import torch
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.nets.character_convolution import CharacterConvolution, Highway, spelled
from tests.checks import assert_twins, leaf, randomised

SENTENCES = [["a", "bee", "a"], [], ["ünlike", "bee", "x" * 30, "?", "to"]]


def make_net() -> CharacterConvolution:
    return randomised(CharacterConvolution(7, character_size=3, filters=((1, 2), (3, 5), (6, 2)), highways=2))


def slow_highway(layer: Any, x: Tensor) -> Tensor:
    """y = g relu(W x + b) + (1 - g) x."""
    W, V = layer.both.weight.chunk(2)
    b, c = layer.both.bias.chunk(2)
    found = []
    for i in range(len(x)):
        gate = torch.sigmoid(c[i] + sum(V[i, j] * x[j] for j in range(len(x))))
        candidate = torch.relu(b[i] + sum(W[i, j] * x[j] for j in range(len(x))))
        found.append(gate * candidate + (1 - gate) * x[i])
    return torch.stack(found)


def slow_word(net: Any, letters: list[int]) -> Tensor:
    """A word of its own letters alone."""
    rows = [net.characters.weight[letter] for letter in letters]
    found = []
    for kernel in net.convolutions:
        weight, bias = kernel.weight, kernel.bias
        filters, size, width = weight.shape
        own = rows + [torch.zeros(size, dtype=torch.float64)] * max(0, width - len(rows))
        for f in range(filters):
            sums = [
                bias[f] + sum(weight[f, e, at] * own[start + at][e] for at in range(width) for e in range(size))
                for start in range(len(own) - width + 1)
            ]
            found.append(torch.relu(torch.stack(sums).max()))
    vector = torch.stack(found)
    for layer in net.highways:
        vector = slow_highway(layer, vector)
    projected: Tensor = net.projection.weight @ vector + net.projection.bias
    return projected


def test_it_equals_its_slow_twin() -> None:
    net, read = make_net(), spelled(SENTENCES)
    rows = [[int(letter) for letter in row if letter > 0] for row in read.letters]
    assert_twins(
        lambda: net(read.letters), lambda: torch.stack([slow_word(net, row) for row in rows]), list(net.parameters())
    )


def test_a_highway_equals_its_slow_twin_and_begins_by_carrying() -> None:
    layer, inputs = randomised(Highway(5)), leaf(2, 5)
    assert_twins(
        lambda: layer(inputs), lambda: torch.stack([slow_highway(layer, x) for x in inputs]),
        [inputs, *layer.parameters()],
    )  # fmt: skip
    assert Highway(5).both.bias[5:].tolist() == [-2.0] * 5


def test_words_are_their_bytes_between_marks_and_each_word_is_spelled_once() -> None:
    read = spelled(SENTENCES, longest=12)
    assert read.places.shape == read.mask.shape == (3, 7)
    assert read.mask.sum(1).tolist() == [5, 2, 7]
    words = [[row[row > 0].tolist() for row in read.letters[line][keep]]
             for line, keep in zip(read.places, read.mask, strict=True)]  # fmt: skip
    begin, end = [257, 259, 258], [257, 260, 258]
    assert words[1] == [begin, end]
    assert words[0] == [begin, [257, 98, 258], [257, 99, 102, 102, 258], [257, 98, 258], end]
    assert words[2][1] == [257, 0xC3 + 1, 0xBC + 1, *(ord(x) + 1 for x in "nlike"), 258]
    assert words[2][3] == [257, *[ord("x") + 1] * 10, 258]  # cut to the longest
    assert len(read.letters) == 2 + 6


def test_a_words_vector_depends_on_no_other_word() -> None:
    net = make_net()
    alone, beside = spelled([["bee"]]), spelled([["bee", "w" * 40]])
    one, two = (net(read.letters)[read.places[0, 1]] for read in (alone, beside))
    torch.testing.assert_close(one, two, rtol=0, atol=1e-14)


def test_a_surrogate_that_has_no_utf_8_is_read() -> None:
    assert spelled([["\ud800"]]).letters.max() <= 260


@pytest.mark.unhooked
def test_other_filters_are_refused() -> None:
    with pytest.raises(InvalidInput, match="at least one filter"):
        CharacterConvolution(7, filters=())
    with pytest.raises(InvalidInput, match=r"width and a number of filters, both at least 1, not \(0, 3\)"):
        CharacterConvolution(7, filters=((0, 3),))
    with pytest.raises(InvalidInput, match="at least 3, not 2"):
        spelled([["a"]], longest=2)
