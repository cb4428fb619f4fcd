"""Pictures and measures of a model's attention while it gives an answer, for a recipe's `pictures` and `measures`."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from saccade.core.device import to_device
from saccade.core.errors import InvalidInput, nearest
from saccade.core.recipe import Answer, Objective
from saccade.core.task import Figure, Replaying
from saccade.explain import measures
from saccade.explain.capture import capture
from saccade.explain.captured import Capture
from saccade.explain.pictures.alignment import Alignment
from saccade.explain.pictures.heads import Axes, Heads

WEIGHT = "attention weight"
Show = tuple[str, str, str, str, str]
"""A pattern of taps, the task's labels for rows and columns, a title, and the name of the values."""


def listened(answer: Answer, objective: Objective, only: str = "*") -> Capture:
    """Capture taps while the model gives its answer: runs the objective on one example with the answer as the target,
    in evaluation mode and without gradients.

    Args:
        only: a pattern of names, as in `capture`.

    Raises:
        NotFound: no tap matches.
    """
    return _heard(answer, objective, [only])[0]


def _heard(answer: Answer, objective: Objective, patterns: Sequence[str]) -> list[Capture]:
    """The captures of several patterns, from one forward pass."""
    training = answer.model.training
    answer.model.eval()
    try:
        with torch.inference_mode(), ExitStack() as stack:
            seen = [stack.enter_context(capture(answer.model, pattern)) for pattern in patterns]
            objective(answer.model, to_device(answer.task.collate([replayed(answer)]), answer.device), 0)
    finally:
        answer.model.train(training)
    return seen


def replayed(answer: Answer) -> Any:
    """The example with the prediction as its target, if the task can replay."""
    task = answer.task
    return task.replay(answer.example, answer.prediction) if isinstance(task, Replaying) else answer.example


def alignment(
    answer: Answer,
    objective: Objective,
    tap: str,
    rows: str,
    columns: str,
    *,
    name: str = "alignment",
    title: str = "",
    values: str = WEIGHT,
) -> Alignment | None:
    """The mean attention over all layers and heads that match, without padding; None if they were not called.

    Args:
        tap: a pattern of names of taps whose last two axes are rows and columns.
        rows, columns: names of their labels in `task.labels`.

    Raises:
        NotFound: no tap matches.
        InvalidInput: the task has no such labels; the maps differ in size.
    """
    seen = listened(answer, objective, tap)
    row_labels, column_labels = (labels_of(answer, side) for side in (rows, columns))
    maps = [seen.joined(name)[0].float().cpu() for name in seen if seen.maps(name)]
    if not maps:
        return None
    if len({found.shape[-2:] for found in maps}) > 1:
        got = ", ".join(sorted(str(tuple(found.shape[-2:])) for found in maps))
        raise InvalidInput(f"expected maps of equal size for {tap!r}, to average them; got {got}")
    # each layer has the same weight, regardless of its number of heads
    means = torch.stack([found.flatten(0, -3).mean(0) if found.ndim > 2 else found for found in maps])
    weights = means.mean(0)[: len(row_labels), : len(column_labels)]
    return Alignment(name, weights, row_labels, column_labels, rows, columns, values, title)


def heads(answer: Answer, objective: Objective, shows: Sequence[Show], *, name: str = "heads") -> Heads | None:
    """Every head of each matching layer, in the order of the model's modules; None if none was called.

    Args:
        shows: the patterns; a layer belongs to the first that matches. Labels whose name ends in "(seconds)" are a time
            axis.

    Raises:
        NotFound: a pattern that matches no tap.
        InvalidInput: the task has no such labels; maps smaller than their labels.
    """
    found: dict[str, tuple[Capture, Show]] = {}
    for seen, show in zip(_heard(answer, objective, [show[0] for show in shows]), shows, strict=True):
        found = {**{name: (seen, show) for name in seen if seen.maps(name)}, **found}
    order = [name for name, _ in answer.model.named_modules()]
    layers: dict[str, tuple[Tensor, Sequence[str], Sequence[str]]] = {}
    axes: dict[str, Axes] = {}
    for tap in sorted(found, key=order.index):
        seen, (_, rows, columns, _, values) = found[tap]
        queries, keys = (of_time(side, labels_of(answer, side)) for side in (rows, columns))
        for said, weights in seen.in_turn(tap).items():
            table = weights[0].float().cpu()[..., : len(queries), : len(keys)]
            layers[said] = (table.reshape(-1, *table.shape[-2:]), queries, keys)
            if values != WEIGHT or seen.axes(tap)[-2:] != ("q", "k"):
                axes[said] = Axes(rows, columns, values)
    return Heads(name, layers, axes=axes) if layers else None


def entropy(weights: Alignment | Heads | Tensor) -> Figure:
    """The mean entropy of the attention weights, in nats; rows that do not sum to one are normalised.

    Args:
        weights: a picture, or (..., q, k).
    """
    tables: list[Any] = [weights]
    if isinstance(weights, Alignment):
        tables = [weights.weights]
    elif isinstance(weights, Heads):
        tables = [layer[0] for layer in weights.layers.values()]
    rows = [torch.as_tensor(table).double().flatten(0, -2) for table in tables]
    found = [measures.entropy(row / row.sum(-1, keepdim=True).clamp(min=1e-12)) for row in rows]
    every = torch.cat(found)
    return Figure(float(every.mean()), "nats", "attention entropy", len(every))


def labels_of(answer: Answer, side: str) -> Sequence[str]:
    """The task's labels of the positions along an axis, for the answer.

    Raises:
        InvalidInput: the task has no such labels.
    """
    if not isinstance(answer.task, Replaying):
        raise InvalidInput(f"{type(answer.task).__name__} has no labels; define its methods replay and labels")
    found: Mapping[str, Sequence[str]] = answer.task.labels(replayed(answer))
    if side not in found:
        raise InvalidInput(f"{type(answer.task).__name__} has no labels {side!r}; {nearest(side, found)}")
    return found[side]


def of_time(side: str, labels: Sequence[str]) -> Sequence[str]:
    """The label of an axis, with its unit if it is a time."""
    return [f"{label} s" for label in labels] if side.endswith("(seconds)") else labels
