"""Which inputs a Transformer's score rests on, through all layers of its self-attention.

    Rollout     A_l = (1 - r) W_l + r I,  R_l = A_l R_{l-1},  R_0 = I     Abnar & Zuidema 2020, arXiv:2005.00928
    Relevance   R_l = R_{l-1} + mean_h relu(G_l * W_l) R_{l-1},  G_l = d S_c / d W_l
                                                      Chefer et al. 2021, arXiv:2103.15679, (5) and (6)

W_l are the weights of layer l, in the order of the model; rollout fuses its heads. S_c is the logit of class c. The
result is the row of R of the token that the classifier reads, such as the class token.

Any model will do whose attention `capture` hears, with fused kernels too, which stay fused: G_l is computed from what
their backward pass is given. A stack whose maps are not square, or are of windows, is no chain and is refused.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from saccade.core.errors import InvalidInput
from saccade.explain import measures
from saccade.explain.cam import HeatMaps
from saccade.explain.capture import capture
from saccade.explain.grids import Grid, grid_of
from saccade.explain.operators import gradient_of
from saccade.explain.replay import logits_of
from saccade.explain.seen import Targets, called_on, checked, classes_of, undisturbed

Inputs = Tensor | Mapping[str, Any]


class Relevances(NamedTuple):
    """How much each input token counts for each target."""

    relevances: Float[Tensor, "b t k"]
    targets: Int[Tensor, "b t"]
    scores: Float[Tensor, "b t"]  # the targets' logits
    layers: list[str]  # whose attention was chained


def attention_rollout(
    model: nn.Module,
    images: Float[Tensor, "b c y x"],
    targets: Targets = None,
    *,
    only: str = "*",
    residual: float = 0.5,
    heads: Literal["mean", "max", "min"] = "mean",
    token: int | None = None,
) -> HeatMaps:
    """The rollout of a classifier of images, on the grid of its patches. It does not depend on the class.

    Args:
        model: a Transformer that returns logits (b, classes), or an object with `logits`.
        images: as the model takes them.
        targets: as in `grad_cam`.
        only: a pattern of the layers' names, as in `capture`, if not all of the model's attention is one stack.
        residual: r, the share of the residual connection.
        heads: how heads are fused; after "max" and "min" each row is scaled to a sum of one.
        token: the position of the token whose row is returned. None: the tokens that the classifier reads, whose rows
            of the last layer have a gradient; the mean of their rows.

    Raises:
        NotFound: no attention, or none whose name matches.
        InvalidInput: attention that is no chain of square maps; tokens that are no grid of patches; no gradient from
            which to see what the classifier reads; images, targets or a token as they cannot be.
    """
    images = checked(images)
    found = token_rollout(model, images, targets, only=only, residual=residual, heads=heads, token=token)
    return _on_grid(found, images)


def attention_relevance(
    model: nn.Module,
    images: Float[Tensor, "b c y x"],
    targets: Targets = None,
    *,
    only: str = "*",
    token: int | None = None,
) -> HeatMaps:
    """Gradient-weighted attention of a classifier of images, on the grid of its patches; arguments as in
    `attention_rollout`."""
    return _on_grid(token_relevance(model, checked(images), targets, only=only, token=token), images)


def token_rollout(
    model: nn.Module,
    inputs: Inputs,
    targets: Targets = None,
    *,
    only: str = "*",
    residual: float = 0.5,
    heads: Literal["mean", "max", "min"] = "mean",
    token: int | None = None,
) -> Relevances:
    """The rollout of any classifier, over its tokens; arguments as in `attention_rollout`.

    Args:
        inputs: what the model is called with: a tensor, or arguments by name, as a tokenizer of Hugging Face gives.
    """
    with undisturbed(model):
        seen = _seen(model, inputs, targets, only, needed=token is None)
        rolled = measures.rollout(seen.weights, residual, heads)
        rows = _rows(seen, token).to(rolled)
        return Relevances(torch.einsum("btq,bqk->btk", rows, rolled), *seen.ends)


def token_relevance(
    model: nn.Module, inputs: Inputs, targets: Targets = None, *, only: str = "*", token: int | None = None
) -> Relevances:
    """Gradient-weighted attention of any classifier, over its tokens; arguments as in `token_rollout`.

    R_0, which says that each token counts for itself, is left out of the result.
    """
    with undisturbed(model):
        seen = _seen(model, inputs, targets, only, needed=True)
        rows = _rows(seen, token)
        found = []
        for target, slopes in enumerate(seen.slopes):
            total: Tensor | None = None  # R - I
            for weights, slope in zip(seen.weights, slopes, strict=True):
                if slope is None:  # nothing of the score passes through this layer
                    continue
                mean = (slope.to(weights) * weights).relu().mean(1)
                total = mean if total is None else total + mean + mean @ total
            assert total is not None
            found.append(torch.einsum("bq,bqk->bk", rows[:, target].to(total), total))
        return Relevances(torch.stack(found, 1), *seen.ends)


class _Seen(NamedTuple):
    """The attention of a forward pass, and for each target its gradients."""

    names: list[str]
    weights: list[Tensor]  # each (b, h, t, t)
    slopes: list[list[Tensor | None]]  # as the weights; empty if not needed
    targets: Tensor
    scores: Tensor

    @property
    def ends(self) -> tuple[Tensor, Tensor, list[str]]:
        return self.targets, self.scores, list(dict.fromkeys(self.names))


class _Backward(TorchDispatchMode):
    """Attention in a backward pass: its weights, and the gradients with respect to them, last layer first."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if (found := gradient_of(func, args, kwargs or {})) is not None:
            self.found.append(found)
        return out


def _seen(model: nn.Module, inputs: Inputs, targets: Targets, only: str, needed: bool) -> _Seen:
    leaves, call = _differentiable(model, inputs)
    with capture(model, only) as heard:
        logits = call()
    maps = sorted((each for name in heard for each in heard.maps(name)), key=lambda each: each.turn or 0)
    if not maps and heard.unknown:
        raise InvalidInput("; ".join(f"{name}: {why}" for name, why in heard.unknown.items()))
    names = [each.name for each in maps]
    weights = [_by_heads(each.weights()) for each in maps]
    _check_chain(names, weights, len(logits))
    classes = classes_of(targets, logits.detach())
    scores = logits.gather(1, classes)
    slopes = [_slopes(score, leaves, weights) for score in scores.sum(0)] if needed else []  # inputs are independent
    return _Seen(names, weights, slopes, classes, scores.detach())


def _differentiable(model: nn.Module, inputs: Inputs) -> tuple[list[Tensor], Any]:
    """Where gradients end, and a function that runs the model."""
    if isinstance(inputs, Tensor) and inputs.is_floating_point():
        leaf = inputs.detach().clone().requires_grad_()
        return [leaf], (lambda: called_on(model, leaf) if leaf.ndim == 4 else logits_of(model(leaf)))
    tables = [weight for one in model.modules() if isinstance(one, nn.Embedding) for weight in one.parameters(False)]
    leaves = [weight.requires_grad_() for weight in tables or model.parameters() if weight.is_floating_point()]
    if isinstance(inputs, Tensor):
        return leaves, lambda: logits_of(model(inputs))
    if not isinstance(inputs, Mapping):
        raise InvalidInput(f"expected a tensor, or arguments by name, not {type(inputs).__name__}")
    return leaves, lambda: logits_of(model(**inputs))


def _slopes(score: Tensor, leaves: Sequence[Tensor], maps: Sequence[Tensor]) -> list[Tensor | None]:
    """The gradient of a score with respect to the weights of each map; None where none passes.

    A backward pass meets the layers in reverse. Another softmax that it meets has not the weights of a map.
    """
    none: list[Tensor | None] = [None] * len(maps)
    if not score.requires_grad:
        return none
    with _Backward() as backward:
        torch.autograd.grad(score, leaves, retain_graph=True, allow_unused=True)
    left, found = backward.found, none
    for number in reversed(range(len(maps))):
        own = maps[number]
        for place, (weights, slope) in enumerate(left):
            if weights.numel() == own.numel() and torch.allclose(
                weights.reshape(own.shape).to(own), own, rtol=1e-3, atol=1e-5, equal_nan=True
            ):
                found[number], left = slope.reshape(own.shape), left[place + 1 :]
                break
    return found


def _rows(seen: _Seen, token: int | None) -> Float[Tensor, "b t q"]:
    """The shares of the output tokens in each score."""
    size = seen.weights[-1].shape[-1]
    if token is not None:
        if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < size:
            raise InvalidInput(f"expected the position of a token, from 0 to {size - 1}, not {token!r}")
        if any(all(slope is None for slope in slopes) for slopes in seen.slopes):
            raise InvalidInput(NO_GRADIENT)
        one = torch.nn.functional.one_hot(torch.tensor(token, device=seen.targets.device), size)
        return one.double().expand(*seen.targets.shape, -1)
    found = []
    for slopes in seen.slopes:
        last = next((slope for slope in reversed(slopes) if slope is not None), None)
        read = None if last is None else last.abs().amax((1, 3)) > 0
        if read is None or not bool(read.any(-1).all()):
            raise InvalidInput(f"{NO_GRADIENT}; name the token that is read, such as token=0, for a rollout")
        found.append(read.double() / read.sum(-1, keepdim=True))
    return torch.stack(found, 1)


NO_GRADIENT = "the scores have no gradient at any attention, as if the model runs in torch.no_grad()"


def _by_heads(weights: Tensor) -> Float[Tensor, "b h q k"]:
    return weights if weights.ndim == 4 else weights[:, None]


def _check_chain(names: Sequence[str], weights: Sequence[Tensor], batch: int) -> None:
    """Check that each layer is the self-attention of the same tokens."""
    more = "; select one stack of self-attention with only=, or use grad_cam"
    for name, layer in zip(names, weights, strict=True):
        count, (queries, keys), first = len(layer), layer.shape[-2:], weights[0].shape[-1]
        if queries != keys:
            raise InvalidInput(f"{name} attends from {queries} tokens to {keys}, and does not chain{more}")
        if count != batch:
            raise InvalidInput(
                f"{name} attends within parts of its input, such as windows: {count} maps for {batch} inputs, which "
                f"do not chain{more}"
            )
        if keys != first:
            raise InvalidInput(f"{name} has {keys} tokens, after layers of {first}, and does not chain{more}")


def _on_grid(found: Relevances, images: Tensor) -> HeatMaps:
    count, (high, wide) = found.relevances.shape[-1], images.shape[-2:]
    grid: Grid | None = grid_of(found.relevances.new_empty(1, count, 2), high, wide)
    if grid is None:
        raise InvalidInput(
            f"the {count} tokens are no grid of patches over images of {high} x {wide}; use token_rollout or "
            "token_relevance"
        )
    maps = found.relevances[..., grid.before :].unflatten(-1, (grid.y, grid.x))
    names = found.layers[0] if len(found.layers) == 1 else f"{found.layers[0]} to {found.layers[-1]}"
    return HeatMaps(maps, found.targets, found.scores, names)
