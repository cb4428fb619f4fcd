"""Replace attention weights to see their effect on the model's output.

with torch.no_grad(), capture(model, only="*layers.3.*", replace=ablate(0, 5)):
    model(...)                                     # without heads 0 and 5 of that layer
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.explain.operators import arguments

Replace = Callable[[str, Tensor], Tensor | None]


def ablate(*heads: int) -> Replace:
    """For `capture(replace=...)`: set the weights (b, h, q, k) of these heads to 0."""
    return scale(0.0, *heads)


def scale(factor: float, *heads: int) -> Replace:
    """For `capture(replace=...)`: multiply the weights (b, h, q, k) of these heads by a factor.

    Raises:
        InvalidInput: no heads, or not the number of a head.
    """
    if not heads or not all(isinstance(head, int) and head >= 0 for head in heads):
        raise InvalidInput(f"expected the numbers of heads, from 0, not {heads}")

    def scaled(name: str, weights: Tensor) -> Tensor:
        if weights.ndim != 4 or max(heads) >= weights.shape[1]:
            raise InvalidInput(f"{name}: there is no head {max(heads)} in weights of shape {tuple(weights.shape)}")
        factors = torch.ones(weights.shape[1], dtype=weights.dtype, device=weights.device)
        factors[list(heads)] = factor
        return weights * factors[:, None, None]

    return scaled


def replaced(replace: Replace, place: str, weights: Tensor) -> Tensor | None:
    """The replacement for the weights, or None.

    Raises:
        InvalidInput: it is not a tensor, or has another shape.
    """
    other = replace(place, weights)
    if other is not None and not isinstance(other, Tensor):
        raise InvalidInput(f"{place}: a replacement must be a tensor or None, not {type(other).__name__}")
    if other is not None and other.shape != weights.shape:
        raise InvalidInput(f"{place}: a replacement must have shape {tuple(weights.shape)}, not {tuple(other.shape)}")
    return other


def refuse_gradient(place: str, *tensors: Tensor) -> None:
    """Check that no gradient is required, since below autograd the replacement would get that of the original
    weights."""
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        raise InvalidInput(
            f"{place}: weights can be replaced only without gradients; call the model in torch.no_grad()"
        )


def with_weights(place: str, func: Any, args: Any, kwargs: Any, out: Any, weights: Tensor) -> Any:
    """The output of a fused kernel with these weights."""
    given = arguments(func, args, kwargs)
    if "value" not in given or "qkv_weight" in given:
        raise InvalidInput(f"{place} is a single operator; call torch.backends.mha.set_fastpath_enabled(False) first")
    values = given["value"]
    refuse_gradient(place, given["query"], given["key"], values)
    heads = weights.shape[1]
    shared = (
        values if values.ndim < 4 or values.shape[1] == heads else values.repeat_interleave(heads // values.shape[1], 1)
    )
    contexts = (weights.to(values.dtype) @ shared).reshape(*given["query"].shape[:-1], values.shape[-1])
    return (contexts, *out[1:]) if isinstance(out, tuple) else contexts
