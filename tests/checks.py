"""Checks that the tests of several packages share."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar, get_args

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from saccade.core.state import Constant

M = TypeVar("M", bound=nn.Module)
Outputs = Callable[[], Tensor | tuple[Tensor, ...]]


def randomised(module: M, scale: float = 0.5) -> M:
    """The module in float64 with random parameters, since biases that start at zero would hide errors."""
    for parameter in module.double().parameters():
        nn.init.normal_(parameter, std=scale)
    return module


def leaf(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


def assert_twins(fast: Outputs, slow: Outputs, wrt: Sequence[Tensor], tolerance: float = 1e-12) -> None:
    """Check for equal outputs, and equal gradients of a random combination of the outputs in every tensor of `wrt`."""
    ours, theirs = as_tuple(fast()), as_tuple(slow())
    assert [tuple(tensor.shape) for tensor in ours] == [tuple(tensor.shape) for tensor in theirs]
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=tolerance, atol=tolerance)
    slopes = [torch.randn_like(tensor) for tensor in ours]
    # neither call allows unused tensors, since a gradient missing in both would not be compared
    our_slopes = torch.autograd.grad(ours, wrt, slopes)
    their_slopes = torch.autograd.grad(theirs, wrt, slopes)
    for our, their in zip(our_slopes, their_slopes, strict=True):
        torch.testing.assert_close(our, their, rtol=tolerance, atol=tolerance)


def as_tuple(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)


@contextmanager
def unchanged(module: nn.Module) -> Iterator[None]:
    """Check that the block does not change `vars` of the module or of its submodules; tensors to the last bit."""
    before = _remembered(module)
    yield
    after = _remembered(module)
    assert before.keys() == after.keys()
    for name, (value, copy) in before.items():
        assert after[name][0] is value, f"{name} is another object"
        assert copy is None or torch.equal(copy, value), f"{name} has other values"


def _remembered(module: nn.Module) -> dict[str, tuple[Any, Tensor | None]]:
    found: dict[str, tuple[Any, Tensor | None]] = {}
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            inner = value.items() if isinstance(value, dict) else [("", value)]
            for key, held in inner:
                found[f"{path}.{name}.{key}"] = (held, held.detach().clone() if isinstance(held, Tensor) else None)
    return found


class LargestTensor(TorchDispatchMode):
    """The size of the largest tensor that any operation within the block creates, including the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        sizes = [tensor.numel() for tensor in tree_leaves(made) if isinstance(tensor, Tensor)]
        self.elements = max([self.elements, *sizes])
        return made


class Forgetful:
    """A model whose state is the symbols so far, all of which it reads again at each step."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def start(self, encoded: tuple[Tensor, Tensor]) -> tuple[Constant, Tensor]:
        return Constant(encoded), torch.empty(len(encoded[0]), 0, dtype=torch.long)

    def step(self, tokens: Tensor, state: tuple[Constant, Tensor]) -> tuple[Tensor, tuple[Constant, Tensor]]:
        seen = torch.cat([state[1], tokens[:, None]], 1)
        source, mask = state[0].spread(len(tokens))
        return self.model(source, mask, seen).log_probs()[:, -1], (state[0], seen)


def attentions(size: int) -> dict[str, Any]:
    """The options of each configurable attention, by name; hidden layers have this size."""
    from saccade.nets.attention_choice import Attention

    found = {}
    for record in get_args(get_args(Attention)[0]):
        options = record()
        found[options.name] = replace(options, attention_size=size) if hasattr(options, "attention_size") else options
    return found
