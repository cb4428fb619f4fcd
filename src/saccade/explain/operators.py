"""Recognise attention among the operators that a model runs, below autograd: fused kernels, and layers that are a
single operator.

Arguments are found by their names in the schema, so kernels of other devices or later releases with the same names also
work. An operator with other argument names is reported as unknown.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from saccade.explain.attention_map import AttentionInputs, Form, Needed, Selection, taken, weights_of

FUSED = ("scaled_dot_product_attention", "_scaled_dot_product_")
LAYERS = ("_native_multi_head_attention", "_transformer_encoder_layer_fwd")
PADDING_MASK = 1  # the mask type of these operators that masks keys; the others mask queries and keys


class Unknown(Exception):
    """An attention operator with unknown arguments."""


def attends(name: str) -> bool:
    """Whether an operator of this name is fused attention."""
    return name in LAYERS or (name.startswith(FUSED) and not name.endswith("backward"))


def form(operator: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any) -> tuple[Form, Needed]:
    """The inputs that the weights of a call of such an operator are computed from.

    Raises:
        Unknown: its arguments are unknown.
    """
    given, name = arguments(operator, args, kwargs), operator._schema.name
    try:
        return _layer(given) if name.removeprefix("aten::") in LAYERS else _kernel(given, out)
    except (KeyError, AttributeError, TypeError, RuntimeError) as error:
        raise Unknown(f"{name}: {error}") from error


def gradient_of(
    operator: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]] | None:
    """The weights in an operator of the backward pass of attention, and the gradient with respect to them; None for any
    other operator. A softmax may be no attention; of a fused kernel the gradient is dL/dW = dL/dO V^T."""
    name = operator._schema.name.rpartition("::")[2] if hasattr(operator, "_schema") else ""
    if name == "_softmax_backward_data":
        given = arguments(operator, args, kwargs)
        return given["output"].detach(), given["grad_output"].detach()
    if not (name.startswith(FUSED) and name.endswith("backward")):
        return None
    given = arguments(operator, args, kwargs)
    slope, values = given["grad_out" if "grad_out" in given else "grad_out_"], given["value"]
    make, needed = _kernel(given, None)
    weights = make(needed, Selection())
    slope, values = (x.reshape(*[1] * (4 - x.ndim), *x.shape).to(weights) for x in (slope, values))
    values = values.repeat_interleave(weights.shape[1] // values.shape[1], 1)  # several heads share them
    return weights, slope @ values.mT


def sizes(needed: Needed) -> tuple[int, int] | None:
    """The numbers of queries and keys; None for nested tensors, where they vary."""
    query, keys = needed[0], needed[1]
    return None if query.is_nested or keys.is_nested else (query.shape[-2], keys.shape[-2])


def arguments(operator: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an operator, by the names in its schema."""
    names = (argument.name for argument in operator._schema.arguments)
    return dict(zip(names, args, strict=False)) | dict(kwargs)


def _kernel(given: Mapping[str, Any], out: Any) -> tuple[Form, Needed]:
    # a missing axis of heads or of the batch has size one
    query, keys = given["query"], given["key"]
    if query.is_nested or query.ndim > 4:
        raise TypeError("nested tensors" if query.is_nested else f"queries of {query.ndim} axes")
    shape = torch.Size([1] * (4 - query.ndim)) + query.shape[:-1]
    bias = given.get("attn_mask", given.get("attn_bias"))
    scale, causal = given.get("scale"), bool(given.get("is_causal", False))
    total = out[1] if isinstance(out, tuple) and len(out) > 1 and isinstance(out[1], Tensor) else None
    if total is not None and (total.shape[:2] != shape[:2] or total.shape[2:] < shape[2:]):
        total = None  # the log-sum-exp has another layout, or was not computed

    def make(needed: Needed, selection: Selection) -> Tensor:
        *both, bias, total = needed
        query, keys = (x.reshape(*[1] * (4 - x.ndim), *x.shape) for x in both)
        by = query.shape[-1] ** -0.5 if scale is None else scale
        return weights_of(AttentionInputs(query, keys, by, bias, causal, total), selection)

    return make, [query, keys, bias, total]


def _layer(given: Mapping[str, Any]) -> tuple[Form, Needed]:
    """The projections are recomputed, and so is the norm before them, if any."""
    heads = given.get("num_head", given.get("num_heads"))
    inputs = given["src"] if "src" in given else given["query"]
    attended = inputs if given.get("key") is None else given["key"]
    kind = given.get("mask_type")
    norm = [given["norm_weight_1"], given["norm_bias_1"]] if given.get("norm_first", False) else [None, None]

    def make(needed: Needed, selection: Selection) -> Tensor:
        inputs, attended, weight, bias, mask, scale, shift = needed
        (query, there), (keys, seen) = padded(inputs), padded(attended)
        if scale is not None:
            query, keys = (F.layer_norm(x, x.shape[-1:], scale, shift, given["eps"]) for x in (query, keys))
        (w_query, w_key, _), (b_query, b_key, _) = weight.chunk(3), bias.chunk(3)
        query = F.linear(query, w_query, b_query).unflatten(-1, (heads, -1)).transpose(1, 2)
        keys = F.linear(keys, w_key, b_key).unflatten(-1, (heads, -1)).transpose(1, 2)
        allowed = None if seen is None else seen[:, None, None]
        if mask is not None:  # in this mask True = may not be attended
            shown = ~(mask[:, None, None] if kind == PADDING_MASK else mask).bool()
            allowed = shown if allowed is None else allowed & shown
        # for a query with nothing to attend the operator returns NaN, unless the tensor is nested
        nowhere = torch.nan if there is None else 0.0
        weights = weights_of(AttentionInputs(query, keys, query.shape[-1] ** -0.5, allowed, nowhere=nowhere), selection)
        # padding has no queries
        return weights if there is None else weights * taken(there[:, None, :, None], 2, selection.queries)

    return make, [inputs, attended, given["qkv_weight"], given["qkv_bias"], given.get("mask"), *norm]


def padded(tensor: Tensor) -> tuple[Tensor, Tensor | None]:
    """A nested tensor padded, with its mask; any other tensor unchanged."""
    if not tensor.is_nested:
        return tensor, None
    lengths = torch.tensor([len(part) for part in tensor.unbind()], device=tensor.device)
    whole = torch.nested.to_padded_tensor(tensor, 0.0)
    return whole, torch.arange(whole.shape[1], device=whole.device) < lengths[:, None]
