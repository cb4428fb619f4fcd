"""Optimizers, schedules and the moving average of the weights, under the papers' names."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from saccade.training.config import SGD, Adadelta, Adam, RMSprop, TrainingConfig
from saccade.training.sharding import by_mesh, local


def build_optimizer(config: TrainingConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The configured optimizer, over the trainable parameters."""
    weights: Any = [{"params": group} for group in by_mesh(p for p in parameters if p.requires_grad)]
    rate = config.learning_rate
    match config.optimizer:
        case Adam() as o:
            return torch.optim.AdamW(weights, rate, (o.beta1, o.beta2), o.epsilon, o.weight_decay, fused=True)
        case Adadelta() as o:
            return torch.optim.Adadelta(weights, rate, o.rho, o.epsilon)
        case SGD() as o:
            return torch.optim.SGD(weights, rate, o.momentum, 0.0, o.weight_decay, o.nesterov)
        case RMSprop() as o:
            return torch.optim.RMSprop(weights, rate, o.alpha, o.epsilon, o.weight_decay, o.momentum, o.centered)


def state_of(optimizer: torch.optim.Optimizer, weights: Sequence[nn.Parameter]) -> dict[int, dict[str, Any]]:
    """The state of each weight that has one, by its number among the weights, whatever group it is in."""
    kept = {number: dict(optimizer.state[weight]) for number, weight in enumerate(weights) if weight in optimizer.state}
    return {number: state for number, state in kept.items() if state}


def rate_at(config: TrainingConfig, step: int) -> float:
    """The factor of the learning rate at update `step`, counted from 0; 1 at the end of the warm-up."""
    warm = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    rest = max(1, config.steps - config.warmup)
    match config.schedule:
        case "constant":
            return warm
        case "linear":
            return warm * min(1.0, max(0.0, (config.steps - step) / rest))
        case "cosine":
            return warm * (1 + math.cos(math.pi * min(1.0, max(0.0, (step - config.warmup) / rest)))) / 2
        case "inverse-root":
            return warm * min(1.0, math.sqrt(max(1, config.warmup) / (step + 1)))
        case "step":
            return warm * config.step_factor ** (step // (config.step_every or config.steps))


class MovingAverage:
    """Bias-corrected exponential moving average of the weights (Kingma & Ba 2015, 7.2).

    a_t = sum_i (1 - d) d^(t - i) w_i / (1 - d^t)      d decay, w_i the weights after update i
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.means = {name: p.detach().clone() for name, p in self.weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Add the weights after update `step`, counted from 1."""
        share = (1 - self.decay) / (1 - self.decay**step)
        torch._foreach_lerp_([local(m) for m in self.means.values()], [local(w) for w in self.weights.values()], share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the block, the model has the averages as its weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, weight in self.weights.items():
            before = local(weight).clone()
            local(weight).copy_(local(self.means[name]))
            local(self.means[name]).copy_(before)
