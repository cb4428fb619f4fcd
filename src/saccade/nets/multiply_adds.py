"""The cost of a network as papers state it: multiply-adds of an image, often printed as FLOPs.

Convolutions and matrix products are counted, attention included; norms, activations, pooling and additions are not.
"""

from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from saccade.core.device import evaluating
from saccade.core.task import Figure

COUNTED: WeakKeyDictionary[nn.Module, dict[torch.Size, int]] = WeakKeyDictionary()


def multiply_adds(network: nn.Module, *inputs: Tensor) -> int:
    """Multiply-adds of a forward pass in evaluation mode. Nothing is computed: only shapes pass through the network.

    Args:
        network: the network, which is left as it was.
        inputs: as it takes them; give one image for the cost of an image.
    """
    shapes = {name: tensor.to("meta") for name, tensor in chain(network.named_parameters(), network.named_buffers())}
    counter: Any = FlopCounterMode(display=False)
    with torch.no_grad(), evaluating(network), counter:
        functional_call(network, shapes, tuple(given.to("meta") for given in inputs))
    return int(counter.get_total_flops()) // 2  # a multiply-add is two operations


def costs(network: nn.Module, image: Tensor) -> dict[str, Figure]:
    """The parameters of a network and its multiply-adds, in millions, as measures of a recipe. They are counted once.

    Args:
        network: takes images.
        image: one, (1, c, y, x).
    """
    known = COUNTED.setdefault(network, {})
    if image.shape not in known:
        known[image.shape] = multiply_adds(network, image)
    weights = sum(weight.numel() for weight in network.parameters())
    return {
        "parameters": Figure(weights / 1e6, "million"),
        "multiply_adds": Figure(known[image.shape] / 1e6, "million", "multiply-adds of an image"),
    }
