import torch

from saccade.core.masks import length_mask
from saccade.nets.recurrent_encoder import RecurrentEncoder
from saccade.nets.stacked_encoder import StackedEncoder
from tests.checks import randomised


def test_each_layer_reads_both_directions_of_the_layer_below() -> None:
    encoder = randomised(StackedEncoder(3, 5, layers=2)).eval()
    inputs, mask = torch.randn(2, 7, 3, dtype=torch.float64), length_mask(torch.tensor([7, 4]), 7)
    below, above = encoder.layers
    expected = above(below(inputs, mask).annotations, mask)
    found = encoder(inputs, mask)
    torch.testing.assert_close(found.annotations, expected.annotations)
    torch.testing.assert_close(found.final, expected.final)
    assert found.annotations.shape == (2, 7, encoder.output_size)
    assert encoder.output_size == 10


def test_a_forward_encoder_does_not_depend_on_later_inputs() -> None:
    encoder = randomised(StackedEncoder(3, 5, layers=2, directions="forward")).eval()
    inputs, mask = torch.randn(1, 7, 3, dtype=torch.float64), torch.ones(1, 7, dtype=torch.bool)
    whole, part = (encoder(inputs[:, :steps], mask[:, :steps]).annotations for steps in (7, 4))
    torch.testing.assert_close(whole[:, :4], part)
    assert encoder.output_size == 5


def test_dropout_is_between_the_layers_and_after_the_last() -> None:
    encoder = StackedEncoder(3, 5, layers=2, dropout=0.5)
    inputs, mask = torch.randn(2, 7, 3), torch.ones(2, 7, dtype=torch.bool)
    assert (encoder(inputs, mask).annotations == 0).any()
    assert all(isinstance(layer, RecurrentEncoder) for layer in encoder.layers)
    assert not (encoder.eval()(inputs, mask).annotations == 0).any()
