"""What leaving each word out does, and how far attention agrees with it. Jain & Wallace 2019, arXiv:1902.10186, section
4.1: leave-one-out, and Kendall's tau.

    effect_t = p(class | x) - p(class | x without x_t)             the class is the one that was chosen
    tau_b    = (agreeing pairs - disagreeing pairs) / sqrt(pairs not tied in one x pairs not tied in the other)
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saccade.core.device import evaluating


def effects(model: Any, symbols: Int[Tensor, " t"], label: int) -> Float[Tensor, " t"]:
    """The effect of leaving out each word; 0 for a sentence of one word."""
    count = len(symbols)
    if count < 2:
        return torch.zeros(count, dtype=torch.float64)
    others = symbols.expand(count, -1)[~torch.eye(count, dtype=torch.bool, device=symbols.device)].view(count, -1)
    with torch.no_grad(), evaluating(model):
        whole = model(symbols[None], torch.ones_like(symbols[None], dtype=torch.bool))
        without = model(others, torch.ones_like(others, dtype=torch.bool))
    found: Tensor = whole.double().softmax(-1)[:, label] - without.double().softmax(-1)[:, label]
    return found.cpu()


def rank_correlation(one: Float[Tensor, " t"], other: Float[Tensor, " t"]) -> float:
    """Kendall's tau-b; 0 where one of the two has no order."""
    signs = [torch.sign(values[:, None] - values).double() for values in (one, other)]
    scale = float((signs[0].square().sum() * signs[1].square().sum()).sqrt())
    return float((signs[0] * signs[1]).sum()) / scale if scale else 0.0
