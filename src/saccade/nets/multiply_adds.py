"""The cost of a network as papers state it: multiply-adds of an image, often printed as FLOPs.

Convolutions and matrix products are counted, attention included; norms, activations, pooling and additions are not.
"""

from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from saccade.core.device import evaluating


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
