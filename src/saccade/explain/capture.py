"""Capture tensors of a model while it runs, or replace them.

with capture(model, only="*attention.weights") as seen:
    model(...)
seen["decoder.recurrent.attention.weights"]        # one tensor per call, in order
seen.joined("decoder.recurrent.attention.weights") # (b, q, k): the calls of a recurrent decoder as rows of one map

Models of this library have taps, which name every tensor worth seeing. In modules without a tap below them, attention
is captured from the operators, under the names of the modules that ran them; the model's results are bit-identical. If
a fused kernel returns no weights, the inputs of the weights are held, and the weights are computed on request.
"""

import fnmatch
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.tap import Tap
from saccade.explain.attention_map import AttentionMap, Bounds, Rows
from saccade.explain.captured import Capture
from saccade.explain.findings import Heard
from saccade.explain.interventions import Replace, replaced
from saccade.explain.listening import Listening
from saccade.explain.places import Places
from saccade.explain.rolling import Rolling

NOWHERE = (
    "none was found: no fused kernel, and no softmax over the last axis between two products; "
    "call the model within the block, in the same thread"
)


@contextmanager
def capture(
    model: nn.Module,
    only: str = "*",
    replace: Replace | None = None,
    heads: Rows | None = None,
    queries: Rows | None = None,
    reduce: str | None = None,
) -> Iterator[Capture]:
    """Capture every name that matches. At the end of the block, even after an exception, the model is restored.

    With `replace`, a backward pass that recomputes (activation checkpointing) must also run within the block.

    Args:
        model: any module; its taps are captured, and the operators of modules without a tap below them.
        only: a pattern of names, as in a shell: "*decoder*".
        replace: called with the name and the tensor; returns the replacement, or None for none. Weights without a tap
            can be replaced only in `torch.no_grad()`.
        heads, queries: the ones to capture; None: all.
        reduce: "mean" or "max" over the captured heads, which removes the axis of heads. "top-N", such as "top-8": keep
            the N largest weights of each query and set the others to 0. "rollout": the rollout from the input to each
            layer, (b, q, k) (`measures.rollout`).

    Raises:
        NotFound: nothing matches; the message lists the names. If a module matches but no attention was found in it,
            the error is raised at the end of the block.
        InvalidInput: not a module or not a pattern; an unknown `reduce`; a replacement of another shape; a rollout of
            attention that is not self-attention. For weights without a tap: a replacement with gradients, or of weights
            that are never computed; a part of the model that is always compiled, such as flex_attention.
    """
    if not isinstance(model, nn.Module) or not isinstance(only, str):
        raise InvalidInput(f"expected a module and a pattern of names, not {type(model).__name__} and {only!r}")
    every = {name: module for name, module in model.named_modules() if isinstance(module, Tap)}
    taps = {name: tap for name, tap in every.items() if fnmatch.fnmatchcase(name, only)}
    calls = Places(model)
    listens = not every or any(fnmatch.fnmatchcase(name, only) for name in calls.operators())
    if not taps and not listens:
        raise NotFound(f"no tap matches {only!r}; there are: {', '.join(every)}")
    bounds = bounds_of(heads, queries, reduce)
    heard = Capture({name: bounds.axes(tap.axes) for name, tap in taps.items()}, queries is not None)
    rolling = Rolling(heard.hear) if reduce == "rollout" else None
    hear: Heard = heard.hear if rolling is None else rolling
    before = {name: (tap.listener, tap.replacing) for name, tap in taps.items()}
    listening = Listening(calls, lambda name: fnmatch.fnmatchcase(name, only), hear, bounds, replace)
    try:
        for name, tap in taps.items():
            tap.listener = _listener(name, tap.axes, hear, bounds, replace, tap.listener, calls)
            tap.replacing = tap.replacing or replace is not None
        with warnings.catch_warnings(), rolling or nullcontext(), calls, listening if listens else nullcontext():
            # the global hooks are intended for compiled modules, too
            warnings.filterwarnings("ignore", message="Using `torch.compile\\(module\\)` when there are global hooks")
            yield heard
    except RuntimeError as error:
        if "torch dispatch mode present" not in str(error):
            raise
        raise InvalidInput(
            "part of this model is always compiled (such as flex_attention); PyTorch cannot run it during a capture"
        ) from error
    finally:
        for name, tap in taps.items():
            tap.listener, tap.replacing = before[name]
        heard.unknown = listening.found.unknown
        for name in listening.found.broken:
            heard.forget(name)  # pieces of attention that could not be assembled
    if not taps and not heard and not heard.unknown:
        there = ", ".join(map(repr, [*every, *listening.found.places]))
        raise NotFound(f"no attention was found in modules that match {only!r}; {seen_in(there)}")


def bounds_of(heads: Rows | None, queries: Rows | None, reduce: str | None) -> Bounds:
    """The part of each map that `capture` keeps.

    Raises:
        InvalidInput: an unknown `reduce`; a rollout with `queries`.
    """
    if reduce == "rollout":
        if queries is not None:
            raise InvalidInput("a rollout needs all queries; remove queries=, and select from the result")
        return Bounds(heads, None, "mean")
    if reduce is None:
        return Bounds(heads, queries)
    if reduce in ("mean", "max"):
        return Bounds(heads, queries, "mean" if reduce == "mean" else "max")
    if found := re.fullmatch("top-([1-9][0-9]{0,8})", str(reduce)):
        return Bounds(heads, queries, top=int(found[1]))
    raise InvalidInput(f'reduce must be "mean", "max", "rollout" or "top-N" (such as "top-8"), not {reduce!r}')


def seen_in(names: str) -> str:
    return f"some was found in: {names}" if names else NOWHERE


def _listener(
    name: str,
    axes: tuple[str, ...],
    hear: Heard,
    bounds: Bounds,
    replace: Replace | None,
    outer: Callable[[Tensor], Tensor] | None,
    calls: Places,
) -> Callable[[Tensor], Tensor]:
    def listen(tensor: Tensor) -> Tensor:
        tensor = tensor if outer is None else outer(tensor)
        if replace is not None and (other := replaced(replace, name, tensor)) is not None:
            tensor = other
        # activation checkpointing repeats the forward in the backward pass; the first one was captured
        if torch._C._current_graph_task_id() == -1:
            form, needed = bounds.kept(tensor.detach(), axes)
            sizes = (tensor.shape[-2], tensor.shape[-1]) if axes[-2:] == ("q", "k") else None
            hear(AttentionMap(name, bounds.axes(axes), partial(form, needed), calls.forward, sizes=sizes))
        return tensor

    return listen
