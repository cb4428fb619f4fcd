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

COUNTED: WeakKeyDictionary[nn.Module, dict[torch.Size, tuple[int, int]]] = WeakKeyDictionary()


def multiply_adds(network: nn.Module, *inputs: Tensor, windows: bool = False) -> int:
    """Multiply-adds of a forward pass in evaluation mode. Nothing is computed: only shapes pass through the network.

    Args:
        network: the network, which is left as it was.
        inputs: as it takes them; give one image for the cost of an image.
        windows: count local attention as its equation has it, by `in_windows`; it computes more, in tiles.
    """
    shapes = {name: tensor.to("meta") for name, tensor in chain(network.named_parameters(), network.named_buffers())}
    counter: Any = FlopCounterMode(display=False)
    more, before, handles = 0, dict[nn.Module, int](), []

    def begin(attention: Any, given: tuple[Tensor, ...]) -> None:
        before[attention] = counter.get_total_flops()

    def end(attention: Any, given: tuple[Tensor, ...], made: Tensor) -> None:
        nonlocal more
        more += attention.in_windows(given[0]) - (counter.get_total_flops() - before[attention]) // 2

    for attention in local(network) if windows else ():
        handles += [attention.register_forward_pre_hook(begin), attention.register_forward_hook(end)]
    try:
        with torch.no_grad(), evaluating(network), counter:
            functional_call(network, shapes, tuple(given.to("meta") for given in inputs))
    finally:
        for handle in handles:
            handle.remove()
    return int(counter.get_total_flops()) // 2 + more  # a multiply-add is two operations


def local(network: nn.Module) -> list[nn.Module]:
    """The modules whose multiply-adds in windows are known."""
    return [module for module in network.modules() if hasattr(module, "in_windows")]


def costs(network: nn.Module, image: Tensor) -> dict[str, Figure]:
    """The parameters of a network and its multiply-adds, in millions, as measures of a recipe. They are counted once.

    Of a network with local attention, also those in windows, which its paper states.

    Args:
        network: takes images.
        image: one, (1, c, y, x).
    """
    known = COUNTED.setdefault(network, {})
    if image.shape not in known:
        computed = multiply_adds(network, image)
        known[image.shape] = computed, multiply_adds(network, image, windows=True) if local(network) else computed
    computed, stated = known[image.shape]
    found = {
        "parameters": Figure(sum(weight.numel() for weight in network.parameters()) / 1e6, "million"),
        "multiply_adds": Figure(computed / 1e6, "million", "multiply-adds of an image"),
    }
    if local(network):
        found["multiply_adds_in_windows"] = Figure(stated / 1e6, "million", "multiply-adds in windows")
    return found
