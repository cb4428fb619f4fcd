import pytest
import torch
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.memory.sentences import sentence_vectors
from tests.checks import assert_twins, leaf

SYMBOLS = torch.tensor([[3, 1, 4, 1, 0], [0, 0, 0, 0, 0], [5, 0, 0, 0, 0], [2, 6, 5, 3, 4]])


def slow(symbols: Tensor, tables: Tensor, encoding: str) -> Tensor:
    found = []
    width = tables.shape[2]
    for row in symbols.tolist():
        words = [word for word in row if word]
        J = len(words)
        for table in range(tables.shape[1]):
            for k in range(1, width + 1):
                total = tables.new_zeros(())
                for j, word in enumerate(words, start=1):
                    weight = (1 - j / J) - (k / width) * (1 - 2 * j / J) if encoding == "position" else 1.0
                    total = total + weight * tables[word, table, k - 1]
                found.append(total)
    return torch.stack(found).view(len(symbols), tables.shape[1], width)


@pytest.mark.parametrize("encoding", ["position", "bag"])
def test_it_is_the_equation_with_the_true_length(encoding: str) -> None:
    tables = leaf(7, 2, 5)
    assert_twins(lambda: sentence_vectors(SYMBOLS, tables, encoding), lambda: slow(SYMBOLS, tables, encoding), [tables])


def test_no_word_has_no_vector_and_no_gradient() -> None:
    tables = leaf(7, 2, 5)
    vectors = sentence_vectors(SYMBOLS, tables)
    assert not vectors[1].any()
    (gradient,) = torch.autograd.grad(vectors.square().sum(), tables)
    assert not gradient[0].any()
    for empty in (SYMBOLS[:0], SYMBOLS[:, :0]):
        assert sentence_vectors(empty, tables).shape == (len(empty), 2, 5)
        assert not sentence_vectors(empty, tables).any()


def test_position_knows_the_order_and_a_bag_does_not() -> None:
    tables, back = torch.randn(7, 1, 5).double(), SYMBOLS[3:].flip(1)
    torch.testing.assert_close(*(sentence_vectors(rows, tables, "bag") for rows in (SYMBOLS[3:], back)))
    assert not torch.allclose(*(sentence_vectors(rows, tables) for rows in (SYMBOLS[3:], back)))


@pytest.mark.unhooked
def test_errors() -> None:
    with pytest.raises(InvalidInput, match="symbols must be from 0 to 6, not 0 to 7"):
        sentence_vectors(torch.tensor([[7, 0]]), torch.randn(7, 1, 5))
    with pytest.raises(InvalidInput, match='encoding must be "position" or "bag", not \'order\''):
        sentence_vectors(SYMBOLS, torch.randn(7, 1, 5), "order")  # type: ignore[arg-type]
