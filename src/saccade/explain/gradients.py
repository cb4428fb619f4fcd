"""How strongly each output depends on each input: norms of gradients.

    g_ts = || d f_t / d x_s ||                       x captured at a tap, f a scalar per step, one sequence at a time

If they decrease with the number of steps between s and t, the gradient vanishes (Hochreiter 1991; Bengio et al. 1994).
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.explain.capture import capture


def gradient_norms(model: nn.Module, tap: str, outputs: Callable[[], Float[Tensor, "b t"]]) -> Float[Tensor, "b t s"]:
    """The norms g of every output and every input.

    Args:
        model: the model; its weights get no gradient.
        tap: the name of a tap of (b, s, d) that is called once.
        outputs: runs the model and returns a scalar for each step of each sequence; sequences must be independent.

    Raises:
        NotFound: no such tap.
        InvalidInput: the tap was not called once; outputs that do not depend on it.
    """
    heard: list[Tensor] = []

    def leaf(name: str, tensor: Tensor) -> Tensor:
        heard.append(tensor.detach().requires_grad_())
        return heard[-1]

    with torch.enable_grad(), capture(model, tap, leaf):
        found = outputs()
        if len(heard) != 1:
            raise InvalidInput(f"expected {tap} to be called once; it was called {len(heard)} times")
        if not found.requires_grad:
            raise InvalidInput(f"the outputs do not depend on {tap}")
        # one step of all sequences at a time, since they are independent
        slopes = [torch.autograd.grad(step.sum(), heard, retain_graph=True)[0] for step in found.unbind(1)]
    return torch.stack([slope.norm(dim=-1) for slope in slopes], 1)
