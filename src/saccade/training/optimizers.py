"""Optimizers and schedules under the papers' names."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from saccade.training.config import TrainingConfig


def build_optimizer(config: TrainingConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The configured rule over these parameters."""
    weights, rate = [p for p in parameters if p.requires_grad], config.learning_rate
    match config.optimizer:
        case "adam":
            o = config.adam
            # the engine cannot clip for a fused optimizer under autocast
            fused = config.precision != "bfloat16"
            return torch.optim.AdamW(weights, rate, (o.beta1, o.beta2), o.epsilon, o.weight_decay, fused=fused)
        case "adadelta":
            return torch.optim.Adadelta(weights, rate, config.adadelta.rho, config.adadelta.epsilon)
        case "sgd":
            return torch.optim.SGD(weights, rate, config.sgd.momentum)


def rate_at(config: TrainingConfig, step: int) -> float:
    """The factor of the learning rate at update `step`, counted from 0; 1 at the end of the warm-up."""
    warm = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    match config.schedule:
        case "constant":
            return warm
        case "linear":
            rest = max(1, config.steps - config.warmup)
            return warm * min(1.0, max(0.0, (config.steps - step) / rest))
        case "inverse-root":
            after = max(1, config.warmup)
            return warm * min(1.0, math.sqrt(after / (step + 1)))
