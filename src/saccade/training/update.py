"""The gradients of one update: those of the sum of weight x mean over all parts of the loss.

Each mean is over the counts of all batches and all processes of the update, as if they were one batch.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from saccade.core.device import autocast, pick_device, to_device
from saccade.core.errors import InvalidInput
from saccade.core.recipe import Loss, Objective, Split
from saccade.core.stream import Share
from saccade.training.config import TrainingConfig
from saccade.training.processes import Processes
from saccade.training.sharding import Call, follow_first, local, separate_layers, share_out, sum_gradients
from saccade.training.signals import Stop

Number = Tensor | float


class Update(NamedTuple):
    """The means of an update."""

    counted: float
    """The count of the first part."""
    loss: Number | None
    """None if nothing was counted."""
    parts: Mapping[str, Number]
    """Empty if the loss has only one part."""
    logs: Mapping[str, Number]


class Gradients:
    """Accumulates the gradients of the batches of an update in the model's weights.

    Args:
        stop: whether this process should stop; after each update, `stopping` tells whether any process should.
        example: makes a small batch, to find out how the model uses its layers.
        shards: how a group of processes splits the layers.
    """

    def __init__(
        self, model: nn.Module, objective: Objective, config: TrainingConfig, processes: Processes, stop: Stop,
        example: Callable[[], Any], shards: Mapping[str, Split] | None = None,
    ) -> None:  # fmt: skip
        self.objective, self.config, self.processes, self.stop = objective, config, processes, stop
        self.device = pick_device(config.device)
        self.dtype = torch.float64 if config.precision == "float64" else None
        self.model, self.call = model.to(self.device, self.dtype), Call(model)
        self.sharded = processes.data_count > 1 and (config.strategy == "fsdp2" or processes.tensor > 1)
        layers: list[nn.Module] = []
        if self.sharded:
            batch, seen = example(), list[str]()
            layers = separate_layers(model, lambda: seen.extend(self.loss(model, batch, 0).parts))
            # without a loss in evaluation, the use of the layers was not observed yet
            layers = layers if seen else []
        buffers, state = dict(model.named_buffers()), model.state_dict()
        self.buffers = [] if processes.alone else [name for name in state if name in buffers]
        self.shared = share_out(self.call, config.strategy, processes, self.device, layers, shards or {})
        self.weights = [weight for weight in model.parameters() if weight.requires_grad]
        self.whole = processes.alone and config.accumulate == 1  # an update of one batch in one process
        self.apart = config.accumulate > 1  # gradients of several batches are summed, and scaled at the end
        self.averaged = processes.data_count if self.sharded or not self.apart else 1  # DDP and FSDP2 average
        self.stopping = False
        self.begin()

    def begin(self) -> None:
        for weight in self.weights:
            weight.grad = None
        self.last: Loss | None = None  # sums over the batches of this update
        self.rows: list[list[float]] = []
        self.totals: list[float] = []
        self.held: dict[str, list[Tensor | None]] = {}  # gradients of each part, if there are several
        self.update: Update | None = None

    def loss(self, model: nn.Module, batch: Any, step: int) -> Loss:
        try:
            with autocast(self.config.precision, self.device):
                loss = self.objective(model, to_device(batch, self.device, self.dtype), step)
        except ValueError as error:
            if "Expected more than 1 value per channel" not in str(error):
                raise
            raise InvalidInput(
                "a batch norm needs more than one number of each channel: choose a larger --training.batch-size"
            ) from error
        # a loss that a group has computed together is the same in all of it
        return loss._replace(parts={name: part._replace(value=local(part.value)) for name, part in loss.parts.items()})

    def add(self, share: Share, step: int) -> Loss:
        """Compute one share, forward and backward; returns its loss, detached."""
        terms, loss = (self.call if self.apart else self.shared)(self._terms, share, step)
        for place, (name, term) in enumerate(terms.items(), start=1):
            term.backward(retain_graph=place < len(terms))
            if self.apart and len(loss.parts) > 1:
                self._hold(name)
        return loss  # type: ignore[no-any-return]

    def _terms(self, model: nn.Module, share: Share, step: int) -> tuple[dict[str, Tensor], Loss]:
        """The terms to differentiate: a single one, or, for sums, one per part; and the loss, detached."""
        loss = self.loss(model, share.batch, step)
        if not loss.parts:
            raise ValueError("expected a loss to train with, but the objective returned one without parts")
        noted = detached(loss)
        counts = {name: float(part.count) if share.counted else 0.0 for name, part in loss.parts.items()}
        # under FSDP2 all processes must do the same, even for a part with count 0
        parts = {name: part for name, part in loss.parts.items() if counts[name] or self.sharded}
        if self.whole:
            total = loss._replace(parts=parts).value if parts else None
            means = {name: noted.parts[name].value for name in parts} if len(counts) > 1 else {}
            first = next(iter(counts.values()))
            self.update = Update(first, None if total is None else total.detach(), means, noted.logs)
            return {} if total is None else {"": total}, noted
        self._note(noted, counts)
        terms = {name: part.weight * counts[name] * self.averaged * part.value for name, part in parts.items()}
        if self.apart:
            return terms, noted
        self.totals = self.processes.total(self.rows.pop())
        sums = dict(zip(counts, self.totals[::2], strict=False))
        if not terms and self.processes.data_count == 1:
            return {}, noted
        # a process with count 0 takes part with zero gradients
        shares = [terms[name] / (sums[name] or 1.0) for name in terms] or [weight.sum() * 0 for weight in self.weights]
        return {"": torch.stack(shares).sum()}, noted

    def _note(self, loss: Loss, counts: Mapping[str, float]) -> None:
        """A row to sum over processes: each part's count and count x mean, the logs times the first count, flaws, and a
        stop flag."""
        found = [[*each.parts, *each.logs] for each in (self.last or loss, loss)]
        if found[0] != found[1]:
            raise ValueError(f"expected parts and logs {found[0]} in all batches of an update, got {found[1]}")
        self.last = loss
        values = {name: float(part.value) for name, part in loss.parts.items()}
        row = [number for name, n in counts.items() for number in (n, n * values[name] if n else 0.0)]
        logs = [float(log) * row[0] if row[0] else 0.0 for log in loss.logs.values()]
        flaws = sum(self.sharded and not n and not math.isfinite(values[name]) for name, n in counts.items())
        self.rows.append([*row, *logs, float(flaws), float(self.stop.asked)])

    def _hold(self, name: str) -> None:
        """Move the gradients to the sum of a part."""
        held = self.held.setdefault(name, [None] * len(self.weights))
        for place, weight in enumerate(self.weights):
            before, found = held[place], weight.grad
            held[place] = found if before is None else before if found is None else before.add_(found)
            weight.grad = None

    def finish(self) -> Update:
        """Turn the accumulated gradients into those of the update."""
        if self.whole:
            assert self.update is not None, "no batch was added"
            self.stopping = self.stop.asked
            return self.update
        if self.apart:
            self.totals = self.processes.total([sum(column) for column in zip(*self.rows, strict=True)])
        assert self.last is not None, "no batch was added"
        *sums, flaws, stopping = self.totals
        self.stopping = bool(stopping)
        if flaws:
            self.processes.refuse(
                "a part of the loss counts nothing in this batch and is not finite, which fsdp2 cannot skip; "
                "use --training.strategy ddp, without --training.tensor"
            )
        parts, size = self.last.parts, 2 * len(self.last.parts)
        counts = dict(zip(parts, sums[:size:2], strict=True))
        if self.apart:
            self._scale(counts)
        if self.buffers:
            follow_first(self.model, self.buffers)
        means = {name: total / counts[name] for name, total in zip(parts, sums[1:size:2], strict=True) if counts[name]}
        loss = sum(parts[name].weight * mean for name, mean in means.items()) if means else None
        logs = dict(zip(self.last.logs, (total / (sums[0] or 1.0) for total in sums[size:]), strict=True))
        return Update(sums[0], loss, means if len(parts) > 1 else {}, logs if sums[0] else {})

    def _scale(self, counts: Mapping[str, float]) -> None:
        """From sums to means; the parts are summed, and the processes."""
        held = self.held or {name: [weight.grad for weight in self.weights] for name in counts}
        for name, gradients in held.items():
            for weight, gradient in zip(self.weights, gradients, strict=True):
                if gradient is not None:
                    gradient.div_(counts[name] or 1.0)
                    before = weight.grad
                    weight.grad = gradient if before is None or before is gradient else before.add_(gradient)
        if not self.sharded and self.processes.data_count > 1:
            sum_gradients(self.weights, self.processes)


def detached(loss: Loss) -> Loss:
    parts = {name: part._replace(value=part.value.detach()) for name, part in loss.parts.items()}
    logs = {name: log.detach() if isinstance(log, Tensor) else log for name, log in loss.logs.items()}
    carry = loss.carry
    if carry is not None:
        carry = tree_map(lambda own: own.detach() if isinstance(own, Tensor) else own, carry)
    return Loss(parts, logs, carry)
