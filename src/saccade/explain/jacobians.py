"""Long-term dependencies of a recurrent network: Jacobians through time. Bengio, Simard & Frasconi 1994,
doi:10.1109/72.279181; Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063, equations 4 to 7.

    dL/ds_t = dL/ds_T J_T J_T-1 ... J_t+1,       J_t = d s_t / d s_t-1

If the singular values of the product shrink with its length, the gradient vanishes; if they grow, it explodes.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.core.errors import InvalidInput

Step = Callable[[Tensor, Any], tuple[Tensor, Any]]


def _floating(state: Any) -> list[str]:
    """The names of the parts of a state that carry a gradient; such as a clock does not."""
    return [name for name, part in state._asdict().items() if torch.is_tensor(part) and part.is_floating_point()]


def jacobians(step: Step, inputs: Float[Tensor, "t d"], state: Any) -> Float[Tensor, "t s s"]:
    """The Jacobian of each step, J_t, over all features of the state.

    Args:
        step: (inputs (1, d), state) -> (outputs, state), such as `LSTM(...).step`.
        inputs: one sequence.
        state: a NamedTuple of tensors (1, ...), the state before the first step. Integer parts are not differentiated.

    Raises:
        InvalidInput: a batch of more than one sequence.
    """
    names, found = _floating(state), []
    if any(getattr(state, name).shape[0] != 1 for name in names):
        raise InvalidInput("expected the state of one sequence, (1, ...)")
    shapes = [getattr(state, name).shape for name in names]
    sizes = [shape.numel() for shape in shapes]
    for one in inputs.unbind(0):
        rest = state

        def flat(before: Tensor, one: Tensor = one, rest: Any = rest) -> Tensor:
            parts = [part.view(shape) for part, shape in zip(before.split(sizes), shapes, strict=True)]
            after = step(one[None], rest._replace(**dict(zip(names, parts, strict=True))))[1]
            return torch.cat([getattr(after, name).flatten() for name in names])

        before = torch.cat([getattr(state, name).detach().flatten() for name in names])
        with torch.enable_grad():
            found.append(torch.autograd.functional.jacobian(flat, before, vectorize=True))
        with torch.no_grad():
            state = step(one[None], state)[1]
    return torch.stack(found)


def singular_values(steps: Float[Tensor, "t s s"]) -> Float[Tensor, "t s"]:
    """The singular values of d s_T / d s_T-k for k = 1 ... t, the largest first, in float64.

    Values below 1e-16 of the largest of their product are rounding.
    """
    product = torch.eye(steps.shape[-1], dtype=torch.float64, device=steps.device)
    found = []
    for jacobian in steps.flip(0).double():
        product = product @ jacobian
        found.append(torch.linalg.svdvals(product))
    return torch.stack(found)


def gradient_through_time(
    module: nn.Module, inputs: Float[Tensor, "1 t d"], loss: Callable[[Tensor], Tensor]
) -> Float[Tensor, " t"]:
    """What each time step adds to the gradient of the weights: the norm of step t's term of the sum.

    The network runs with a copy of its weights for each step, so the gradient of copy t is the term of step t.

    Args:
        module: a network with `initial_state` and `step`; its weights get no gradient.
        inputs: one sequence.
        loss: a scalar from the last output, (1, h).
    """
    state, outputs, copies = module.initial_state(1), inputs[:, 0], []  # type: ignore[operator]
    for one in inputs.unbind(1):
        own = {name: weight.detach().clone().requires_grad_() for name, weight in module.named_parameters()}
        copies.append(own)
        outputs, state = torch.func.functional_call(
            _Step(module), {f"module.{k}": v for k, v in own.items()}, (one, state)
        )
    slopes = torch.autograd.grad(loss(outputs), [w for own in copies for w in own.values()], allow_unused=True)
    count, norms = len(copies[0]), []
    for first in range(0, len(slopes), count):
        parts = [slope.double().square().sum() for slope in slopes[first : first + count] if slope is not None]
        norms.append(torch.stack(parts).sum().sqrt() if parts else inputs.new_zeros((), dtype=torch.float64))
    return torch.stack(norms)


class _Step(nn.Module):
    """One step of a network as its forward, for `functional_call`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: Tensor, state: Any) -> Any:
        return self.module.step(inputs, state)  # type: ignore[operator]
