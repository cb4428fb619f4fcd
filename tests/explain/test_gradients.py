import pytest
import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.tap import Tap
from saccade.explain.gradients import gradient_norms

BATCH, STEPS, INPUTS, SIZE = 2, 3, 5, 7


class Mix(nn.Module):
    """Outputs that are sums of the inputs, each with its own direction, so that the gradients are known."""

    def __init__(self) -> None:
        super().__init__()
        self.directions = nn.Parameter(torch.randn(STEPS, INPUTS, SIZE, dtype=torch.float64))
        self.source, self.silent = Tap("b s d"), Tap("b s d")

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.einsum("tsd,bsd->bt", self.directions, self.source(inputs))


def test_the_norms_are_those_of_the_gradients_and_the_model_is_unchanged() -> None:
    model, inputs = Mix(), torch.randn(BATCH, INPUTS, SIZE, dtype=torch.float64)
    norms = gradient_norms(model, "source", lambda: model(inputs))
    expected = model.directions.detach().norm(dim=-1).expand(BATCH, -1, -1)
    torch.testing.assert_close(norms, expected)
    assert model.directions.grad is None
    assert model.source.listener is None


def test_it_works_with_gradients_disabled() -> None:
    model, inputs = Mix(), torch.randn(BATCH, INPUTS, SIZE, dtype=torch.float64)
    with torch.no_grad():
        assert gradient_norms(model, "source", lambda: model(inputs)).shape == (BATCH, STEPS, INPUTS)


def test_an_unusable_tap_is_reported() -> None:
    model, inputs = Mix(), torch.randn(BATCH, INPUTS, SIZE, dtype=torch.float64)
    with pytest.raises(NotFound, match="no tap matches 'sources'; there are: source, silent"):
        gradient_norms(model, "sources", lambda: model(inputs))
    with pytest.raises(InvalidInput, match="expected silent to be called once; it was called 0 times"):
        gradient_norms(model, "silent", lambda: model(inputs))
    with pytest.raises(InvalidInput, match="it was called 2 times"):
        gradient_norms(model, "source", lambda: model(inputs) + model(inputs))

    def apart() -> Tensor:
        model(inputs)
        return torch.zeros(BATCH, STEPS)

    with pytest.raises(InvalidInput, match="the outputs do not depend on source"):
        gradient_norms(model, "source", apart)
