"""Pictures and measures of a model's attention while it gives an answer, for a recipe's `pictures` and `measures`."""

import math
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from fnmatch import fnmatchcase
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from saccade.core.device import evaluating, to_device
from saccade.core.errors import InvalidInput, nearest
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Objective, Step
from saccade.core.task import Figure, Replaying
from saccade.explain import measures
from saccade.explain.cam import grad_cam
from saccade.explain.capture import capture
from saccade.explain.captured import Capture
from saccade.explain.pictures.alignment import Alignment
from saccade.explain.pictures.head_habits import HeadHabits
from saccade.explain.pictures.heads import Axes, Heads
from saccade.explain.pictures.histogram import Histogram
from saccade.explain.pictures.image_overlay import ImageOverlay
from saccade.explain.pictures.memory_trace import MemoryTrace
from saccade.explain.pictures.strip import Strip
from saccade.explain.plots.series import Line
from saccade.explain.plots.tokens import labels

WEIGHT = "attention weight"
FARTHEST = 80  # the most time steps whose memory through time is drawn
SEEN = 0.1  # slots whose weight is never above this are not drawn at the edges of a trace
NAMED = 12  # the most bars of which all are named below an axis
SEPARATORS = ("[SEP]", "</s>", "<|endoftext|>")
Show = tuple[str, str, str, str, str]
"""A pattern of taps, the task's labels for rows and columns, a title, and the name of the values."""
Traces = Mapping[str, Float[Tensor, "t n"]]
"""The name of a head -> its weights."""


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


def head_habits(
    answer: Answer, objective: Objective, only: str, side: str, examples: Sequence[Any] = (), *, name: str = "habits"
) -> HeadHabits | None:
    """What each head of the matching layers of self-attention does, averaged over examples (`measures.habits`); None if
    no layer was called. Labels such as [SEP] and </s> are separators.

    Args:
        only: a pattern of taps.
        side: the name of the labels of both axes in `task.labels`.
        examples: by default that of the answer.

    Raises:
        NotFound: no tap matches.
        InvalidInput: the task has no such labels.
    """
    found: dict[str, dict[str, list[Tensor]]] = {}
    for example in examples or [answer.example]:
        own = answer._replace(example=example) if examples else answer
        seen = listened(own, objective, only)
        labels = labels_of(own, side)
        separators = torch.tensor([label in SEPARATORS for label in labels])
        for tap in seen:
            weights = seen.joined(tap)[0].float().cpu()[..., : len(labels), : len(labels)]
            for habit, shares in measures.habits(weights, separators if separators.any() else None).items():
                found.setdefault(habit, {}).setdefault(tap, []).append(shares.reshape(-1))
    if not found:
        return None
    order = [name for name, _ in answer.model.named_modules()]
    tables = {
        habit: torch.stack([torch.stack(layers[tap]).mean(0) for tap in sorted(layers, key=order.index)])
        for habit, layers in found.items()
    }
    count = len(examples or [answer.example])
    over = f"averaged over {count} examples" if count > 1 else "over this text"
    return HeadHabits(name, tables, f"What each head attends to, {over}")


def candidates(steps: Sequence[Step], most: int = 3, *, name: str = "candidates") -> Histogram | None:
    """The probabilities of the likeliest symbols of the first steps of an answer; None without steps."""
    lines = {}
    # a word before each symbol, so that one that continues a word is marked
    before = "Ġa" if any(symbol.startswith("Ġ") for step in steps for symbol, _ in step.likeliest) else "a"
    each = NAMED // max(1, min(most, len(steps)))
    for number, step in enumerate(steps[:most], start=1):
        symbols, values = zip(*step.likeliest[:each], strict=True)
        shown = [labels([before, symbol])[1] for symbol in symbols]
        lines[f"mask {number}" if len(steps) > 1 else ""] = Line(shown, [math.exp(value) for value in values])
    first = f", the first {most} of {len(steps)}" if len(steps) > most else ""
    title = f"The likeliest symbols in place of {'the mask' if len(steps) == 1 else f'each mask{first}'}"
    return Histogram(name, lines, "symbol", "probability", title) if lines else None


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


def traces(seen: Capture, writes: str = "*write_weights", reads: str = "*read_weights") -> dict[str, Tensor]:
    """The weights of each head over time, write heads first, from taps that were called once a step with a batch of
    one."""
    found: dict[str, Tensor] = {}
    for kind, pattern in (("write", writes), ("read", reads)):
        for name in [name for name in seen if fnmatchcase(name, pattern)]:
            steps = torch.stack([step[0] for step in seen[name]]).float().cpu()
            heads = steps[:, None] if steps.ndim == 2 else steps
            many = heads.shape[1] > 1
            found |= {f"{kind} head {n}" if many else f"{kind} head": head for n, head in enumerate(heads.unbind(1))}
    return found


def used(found: Traces) -> tuple[int, int]:
    """The first slot that any head uses, and the one after the last."""
    slots = torch.stack([weights.amax(0) for weights in found.values()]).amax(0)
    places = (slots > min(SEEN, float(slots.max()) / 2)).nonzero()[:, 0].tolist()
    return places[0], places[-1] + 1


def through_time(
    found: Traces, counted: Bool[Tensor, " t"] | None = None, title: str = "", *, name: str = "through-time"
) -> Alignment | None:
    """Memory as attention through time: A(t, t') = sum_i read_t(i) write_t'(i), t' up to t. Reading a slot is looking
    at the steps in which it was written.

    Args:
        found: the weights of the heads, as `traces` names them; read heads are averaged, write heads are summed.
        counted: the steps that are rows; by default all. Columns at the ends in which nothing is written are left out.

    Returns:
        The picture, or None: no head of a kind, no step, or more than 80 steps.
    """
    reads = [weights for name, weights in found.items() if name.startswith("read")]
    writes = [weights for name, weights in found.items() if name.startswith("write")]
    if not reads or not writes or len(reads[0]) > FARTHEST:
        return None
    written = torch.stack(writes).sum(0)
    attention = (torch.stack(reads).mean(0) @ written.mT).tril()
    rows = [step for step in range(len(attention)) if counted is None or bool(counted[step])]
    if not rows:
        return None
    first, last = used({"": written.mT})  # the steps in which something is written
    return Alignment(
        name, attention[rows, first:last], list(map(str, rows)), list(map(str, range(first, last))),
        "step of the read", "step of the write", "read x write", title,
    )  # fmt: skip


def memory_pictures(
    found: Traces,
    inputs: Float[Tensor, "t i"],
    targets: Float[Tensor, "t o"],
    outputs: Float[Tensor, "t o"],
    counted: Bool[Tensor, " t"],
    title: str,
) -> list[Picture]:
    """The heads over the slots that they use; what the network saw, was to say and said, with time to the right; and,
    for at most 80 steps, in which steps what it reads for its answer was written.

    Args:
        outputs: probabilities.
        counted: the time steps whose outputs are compared; the others are drawn as 0.
    """
    first, last = used(found)
    slots = next(iter(found.values())).shape[1]
    place = "" if last - first == slots else f", slots {first} to {last - 1} of {slots}"
    shown = {f"{name}{place}": weights[:, first:last] for name, weights in found.items()}
    rows = [inputs, targets * counted[:, None], outputs * counted[:, None]]
    width = max(part.shape[1] for part in rows)
    images = torch.stack([F.pad(part.float().cpu(), (0, width - part.shape[1])).T for part in rows])
    past = through_time(found, counted.cpu(), title)
    return [
        MemoryTrace("memory", shown, title=title),
        Strip("sequence", images.clamp(0, 1), labels=("input", "target", "output"), title=title),
        *([] if past is None else [past]),
    ]


def focus(found: Traces, counted: Bool[Tensor, " t"]) -> Figure:
    """The largest weight of a read head, averaged over the steps of the answer and the heads: 100 % is one slot."""
    largest: Sequence[Tensor] = [weights.amax(1)[counted] for name, weights in found.items() if "read" in name]
    return Figure(100 * float(torch.cat(list(largest)).mean()), "%", "attention on the slot read most")


def classified(
    answer: Answer,
    image: Tensor,
    ranking: Sequence[tuple[int, str, float]],
    *,
    layer: str | None = None,
    most: int = 3,
) -> list[Picture]:
    """What a classifier of images says of one, and where it sees that: the probabilities of the best classes, and the
    Grad-CAM of each over the image.

    Args:
        image: (c, y, x), as a person sees it. The model's is that of `task.collate`.
        ranking: number, name and probability of the most probable classes, best first.
        layer: of Grad-CAM, as in `saccade.explain.cam.grad_cam`.
        most: maps at most.
    """
    shown = ranking[:most]
    images = to_device(answer.task.collate([answer.example]).images, answer.device)
    found = grad_cam(answer.model, images, [[number for number, *_ in shown]], layer=layer)
    labels = [f"{name} ({100 * probability:.0f} %)" for _, name, probability in shown]
    title = f"answer {ranking[0][1]}"
    bars = Line([name for _, name, _ in ranking], [100 * probability for *_, probability in ranking])
    return [
        ImageOverlay("grad-cam", image, found.maps[0].float().cpu(), labels, "Grad-CAM", title),
        Histogram("classes", {"": bars}, "class", "probability (%)", title=title),
    ]


def gates(answer: Answer, image: Tensor, only: str) -> ImageOverlay:
    """The gates that a classifier sets on the places of an image, over it: for each stage those of its last module,
    averaged over channels if each has its own.

    Args:
        image: (c, y, x), as a person sees it. The model's is that of `task.collate`.
        only: a pattern of taps, "stages.layer1..." (in a stage) or "stages.between1..." (after it), of gates (b, y, x)
            or (b, c, y, x).

    Raises:
        NotFound: no tap matches.
    """
    batch = to_device(answer.task.collate([answer.example]), answer.device)
    with torch.no_grad(), evaluating(answer.model), capture(answer.model, only) as seen:
        answer.model(batch.images)
    last = {name.split(".")[1]: seen[name][-1][0].float().cpu() for name in seen}
    maps = [found.mean(0) if found.ndim == 3 else found for found in last.values()]
    size = max((found.shape for found in maps), key=lambda shape: shape.numel())
    drawn = [F.interpolate(found[None, None], size, mode="nearest-exact")[0, 0] for found in maps]
    title = f"answer {answer.task.decode(answer.prediction)}"
    labels = [re.sub(r"^layer", "stage ", re.sub(r"^between", "after stage ", name)) for name in last]
    return ImageOverlay("gates", image, torch.stack(drawn), labels, "gate", title)
