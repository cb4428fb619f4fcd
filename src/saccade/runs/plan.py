"""Plan a training run before it starts: memory of each process by part, the nearest layout that fits, operations, bytes
sent, and time.

    time of an update = accumulate (operations / (utilisation peak) + moved / memory bandwidth) + sent / link

A stated rate replaces the whole: operations / rate. Data parallelism by rings: each process sends 2 (n - 1) / n of what
is summed, and half of that of what is gathered or scattered.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

from saccade.core.errors import InvalidInput
from saccade.core.recipe import Missing, Recipe
from saccade.runs.costs import Costs, Layout, Memory
from saccade.runs.devices import Device
from saccade.runs.footprint import Footprint

SPARE = 0.08  # of the memory, for the driver, the libraries and gaps between tensors
MOST = 65_536  # symbols that a process computes at a time: with more, products are no faster
DAY = 86_400


class Wish(NamedTuple):
    """What the user asks for."""

    device: Device
    devices: int = 1
    memory: float | None = None
    """Bytes of a device, if not what its data sheet says."""
    tensor: int = 1
    recompute: Literal["auto", "none", "blocks"] = "auto"
    strategy: Literal["auto", "ddp", "fsdp2"] = "auto"
    tokens: float | None = None
    """Symbols in all; None: the configuration's steps."""
    rate: float | None = None
    """Operations a second that a device keeps up, all included."""
    utilisation: float = 0.5
    """Share of the peak rate that matrix products reach, if no rate is stated."""


class Plan(NamedTuple):
    """Bytes and operations are those of a process in an update, unless said otherwise."""

    parameters: int
    memory: Memory
    layout: Layout | None
    """None if only weights are known."""
    fits: bool
    room: float
    """Bytes that a process may use."""
    notes: tuple[str, ...]
    size: int
    """Symbols of an update, over all processes."""
    steps: int
    flops: float
    """Of the model in an update over all processes; recomputation is not in it."""
    closed: float
    """The same by 6 N D and that of attention: a check, since embeddings that only look up are in N."""
    computed: float
    """Operations of a process, with recomputation."""
    sent: float
    seconds: float | None
    """Of an update; None if the device's rate is unknown."""
    missing: Missing | None = None
    """What must be given to train, since the embedded data are too few."""

    @property
    def days(self) -> float | None:
        return None if self.seconds is None else self.steps * self.seconds / DAY


def plan(recipe: Recipe, config: Any, wish: Wish, spare: float = SPARE) -> Plan:
    """Plan a run.

    Args:
        recipe: the system.
        config: its configuration; the update keeps its size, `batch_size` times `accumulate`.
        spare: share of the memory to leave free.

    Raises:
        InvalidInput: devices, groups or a number format that do not go together.
    """
    check(config, wish)
    costs = Costs(recipe, config, wish.device.name)
    room = (wish.memory or wish.device.memory) * (1 - spare)
    if costs.outline is None or costs.outline.batch is None:
        return weights_only(costs, room)
    tensor, notes = nearest_tensor(costs, wish)
    found = first_that_fits(costs, candidates(costs, wish, tensor), room)
    if found.tensor != tensor:
        notes.append(f"with --tensor {tensor} no layout fits; {found.tensor} is the nearest that does")
    return described(costs, wish, found, room, notes)


def check(config: Any, wish: Wish) -> None:
    if wish.tensor > wish.devices:
        raise InvalidInput(f"--tensor {wish.tensor} is more than --devices {wish.devices}; a group has at most all")
    if wish.devices % wish.tensor:
        raise InvalidInput(f"--tensor {wish.tensor} does not divide --devices {wish.devices}; choose a divisor")
    precision = config.training.precision
    if wish.rate is None and wish.device.rates and precision not in wish.device.rates:
        able = [name for name in wish.device.rates if name in ("float32", "bfloat16", "float64")]
        raise InvalidInput(f"{wish.device.name} has no units for {precision}; choose --precision {' or '.join(able)}")


def weights_only(costs: Costs, room: float) -> Plan:
    weights, gradients, optimizer = costs.kept(1)
    count = sum(weight.numel() for weight in costs.parts(1)[0].parameters())
    memory = Memory(weights, gradients, optimizer, 0, 0, 0, weights + gradients + optimizer)
    trained = costs.recipe.objective is not None
    note = "its batches cannot be computed without its data, so activations, operations and time are unknown"
    notes = (note if trained else "this system is not trained, so it has weights only",)
    missing = costs.outline.missing(0) if costs.outline else None
    return Plan(count, memory, None, memory.peak <= room, room, notes, 0, 0, 0, 0, 0, 0, None, missing)


def nearest_tensor(costs: Costs, wish: Wish) -> tuple[int, list[str]]:
    """The nearest size of a group that can divide the layers, and a sentence if it is another."""
    try:
        costs.shards(wish.tensor)
    except InvalidInput as error:
        for tensor in sorted(divisors(wish.devices), key=lambda each: (abs(each - wish.tensor), each)):
            if costs.allows(tensor):
                said = str(error).replace("--training.tensor", "--tensor").split(";")[0]
                return tensor, [f"{said}; planned with --tensor {tensor}, the nearest possible with {wish.devices}"]
        raise
    return wish.tensor, []


def divisors(number: int) -> list[int]:
    return [each for each in range(1, number + 1) if number % each == 0]


def candidates(costs: Costs, wish: Wish, tensor: int) -> Iterator[Layout]:
    """Groups, strategies and recomputation, the nearest to the wish and the fastest first, one example at a time."""
    able = costs.recipe.blocks != ()
    if wish.recompute == "blocks" and not able:
        raise InvalidInput("this system does not say what its blocks are, so --recompute must be none")
    again = ["none", "blocks"] if wish.recompute == "auto" and able else [wish.recompute.replace("auto", "none")]
    others = [each for each in divisors(wish.devices) if each != tensor]
    # larger groups first, which hold less
    for size in (tensor, *sorted(others, key=lambda each: (each < tensor, abs(each - tensor)))):
        if size != tensor and not costs.allows(size):
            continue
        data = wish.devices // size
        sharing = ["ddp", "fsdp2"] if wish.strategy == "auto" and data > 1 else [wish.strategy.replace("auto", "ddp")]
        each = portion(costs, data)
        yield from (Layout(data, size, strategy, how, 1, each) for how in again for strategy in sharing)


def portion(costs: Costs, data: int) -> int:
    """Examples of each group in an update, at least one."""
    assert costs.outline is not None
    training = costs.training
    examples: int = max(1, training.batch_size // costs.outline.size) * training.accumulate
    return max(1, examples // data)


def first_that_fits(costs: Costs, layouts: Iterable[Layout], room: float) -> Layout:
    """The first layout that fits, with the most examples at a time; if none fits, the one that needs least."""
    tried = []
    for layout in layouts:  # one after the other, since asking for larger groups takes time
        shared = layout.data if layout.strategy == "fsdp2" else 1
        if sum(costs.kept(layout.tensor)) / shared <= room and costs.memory(layout).peak <= room:
            return widest(costs, layout, room)
        tried.append(layout)
    return min(tried, key=lambda layout: costs.memory(layout).peak)


def widest(costs: Costs, layout: Layout, room: float) -> Layout:
    """The layout with as many examples at a time as fit; the memory is nearly linear in them."""
    assert costs.outline is not None
    each, most = layout.accumulate, max(1, MOST // costs.outline.size)
    first, second = (costs.memory(layout._replace(examples=count)).peak for count in (1, 2))
    for count in reversed(divisors(each)):
        wider = layout._replace(examples=count, accumulate=each // count)
        if count > most or first + (count - 1) * (second - first) > 1.05 * room:
            continue
        if count == 1 or costs.memory(wider).peak <= room:
            return wider
    return layout


def described(costs: Costs, wish: Wish, layout: Layout, room: float, notes: list[str]) -> Plan:
    """The plan of a layout."""
    assert costs.outline is not None
    memory, training = costs.memory(layout), costs.training
    each, size = layout.examples * layout.accumulate, costs.outline.size
    update = each * layout.data * size
    wanted = max(1, training.batch_size // size) * training.accumulate * size
    if update != wanted:
        notes.append(f"an update has {update:,} symbols, not {wanted:,}, since each group needs as many whole examples")
    if memory.peak > room:
        notes.append(f"no layout fits into {room / 1e9:.1f} GB; this one needs the least")
    cost = costs.of(layout.tensor, layout.recompute, layout.examples, False)
    whole = costs.of(1, "none", 1, False)
    count = sum(weight.numel() for weight in costs.model().parameters())
    examples = each * layout.data
    steps = training.steps if wish.tokens is None else math.ceil(wish.tokens / update)
    sent = sent_bytes(costs, layout, cost)
    return Plan(
        count, memory, layout, memory.peak <= room, room, tuple(notes), update, steps, whole.flops * examples,
        6 * count * update + whole.attention * examples, cost.flops * layout.accumulate, sum(sent),
        seconds(wish, layout, cost, sent, training.precision), costs.outline.missing(update // layout.accumulate),
    )  # fmt: skip


def sent_bytes(costs: Costs, layout: Layout, cost: Footprint) -> tuple[float, float]:
    """What a process sends in an update: between the groups that divide the batch, and within a group."""
    weights, gradients, _ = costs.kept(layout.tensor)
    part = (layout.data - 1) / layout.data
    between = 2 * part * gradients
    if layout.strategy == "fsdp2":  # for each batch: gathered forward and backward, gradients scattered
        between = layout.accumulate * part * (2 * weights + gradients)
    return between, layout.accumulate * cost.summed * 2 * (layout.tensor - 1) / layout.tensor


def seconds(wish: Wish, layout: Layout, cost: Footprint, sent: tuple[float, float], precision: str) -> float | None:
    """Seconds of an update; nothing overlaps."""
    device, count = wish.device, layout.accumulate
    if wish.rate is not None:
        return count * cost.flops / wish.rate
    if not device.rates:
        return None
    products = cost.flops / (wish.utilisation * device.rates[precision])
    links = [device.link if reach <= device.machine else device.network for reach in (wish.devices, layout.tensor)]
    return count * (products + cost.moved / device.bandwidth) + sum(a / b for a, b in zip(sent, links, strict=True))
