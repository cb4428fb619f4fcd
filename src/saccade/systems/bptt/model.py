"""A linear recurrent net and the gradient of its loss. Werbos 1990, doi:10.1109/5.58337.

z_t = theta_1 x_t + theta_2 z_t-1                             t = 1 ... T, z_0 given
L   = c sum_t (z_t - y_t)^2                                   c = 1, or 1/2 by the other convention
d_t = dL / dz_t = 2 c (z_t - y_t) + theta_2 d_t+1             backwards, d_T+1 = 0
dL / d theta_1  = sum_t d_t x_t                               a term for each time step
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.core.config import config


@config
class LinearConfig:
    """Weights of the net, and the convention of the loss. The defaults are the lecture's."""

    theta1: float = 1.0
    """Weight of the input."""
    theta2: float = 0.0
    """Weight of the previous state."""
    z0: float = 0.0
    """The state before the first step."""
    loss: Literal["sum", "half"] = "sum"
    """sum: the squared errors; half: half of them, so that the derivative has no factor 2."""


class Unrolled(NamedTuple):
    """Every node of the unrolled net, for one sequence."""

    states: Float[Tensor, " t"]
    errors: Float[Tensor, " t"]
    """dL/dz_t if the later steps did not depend on z_t: 2 c (z_t - y_t)."""
    deltas: Float[Tensor, " t"]
    """dL/dz_t with the later steps, d_t."""
    terms: Float[Tensor, " t"]
    """d_t x_t; their sum is dL/d theta_1."""


class LinearRNN(nn.Module):
    """z_t = theta_1 x_t + theta_2 z_t-1."""

    def __init__(self, config: LinearConfig) -> None:
        super().__init__()
        self.theta1 = nn.Parameter(torch.tensor(config.theta1, dtype=torch.float64))
        self.theta2 = nn.Parameter(torch.tensor(config.theta2, dtype=torch.float64))
        self.z0, self.factor = config.z0, 1.0 if config.loss == "sum" else 0.5

    def forward(self, x: Float[Tensor, " t"], theta1: Tensor, theta2: Tensor) -> Float[Tensor, " t"]:
        """The states of one sequence."""
        state, states = x.new_tensor(self.z0), []
        for value in x.unbind():
            state = theta1 * value + theta2 * state
            states.append(state)
        return torch.stack(states)

    def loss(self, x: Float[Tensor, " t"], y: Float[Tensor, " t"], theta1: Tensor, theta2: Tensor) -> Tensor:
        return self.factor * ((self.forward(x, theta1, theta2) - y) ** 2).sum()

    def unrolled(self, x: Float[Tensor, " t"], y: Float[Tensor, " t"]) -> Unrolled:
        """The backward pass by hand: the last step first, each step once."""
        theta1, theta2 = self.theta1.detach().double(), self.theta2.detach().double()
        states = self.forward(x, theta1, theta2)
        errors = 2 * self.factor * (states - y)
        deltas: list[Tensor] = []
        delta = x.new_zeros(())
        for error in errors.flip(0).unbind():
            delta = error + theta2 * delta
            deltas.insert(0, delta)
        stacked = torch.stack(deltas)
        return Unrolled(states, errors, stacked, stacked * x)

    def by_autograd(self, x: Float[Tensor, " t"], y: Float[Tensor, " t"]) -> float:
        """The gradient by PyTorch, through the unrolled net."""
        with torch.inference_mode(False), torch.enable_grad():
            theta1, theta2 = (torch.tensor(theta.item(), dtype=torch.float64) for theta in (self.theta1, self.theta2))
            theta1.requires_grad_()
            # copies, since tensors of inference mode have no gradient
            x, y = (torch.tensor(values.tolist(), dtype=torch.float64) for values in (x, y))
            loss = self.loss(x, y, theta1, theta2)
            return float(torch.autograd.grad(loss, theta1)[0])

    def by_differences(self, x: Float[Tensor, " t"], y: Float[Tensor, " t"], step: float = 0.5) -> float:
        """Central differences. The loss is quadratic in theta_1, so they are exact for any step, up to rounding."""
        theta1, theta2 = self.theta1.detach().double(), self.theta2.detach().double()
        above, below = (self.loss(x, y, theta1 + side * step, theta2) for side in (1, -1))
        return float((above - below) / (2 * step))
