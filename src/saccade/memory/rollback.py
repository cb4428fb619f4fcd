"""A sparse access memory's sequence, whose memory is rolled back in the backward pass. Rae et al. 2016,
arXiv:1610.09027, section 3.4.

    M_t-1(i) = M_t(i) at all slots but those that step t wrote, whose old contents the step has kept

One memory serves all steps and is changed in place. A step keeps the old contents of the slots that it writes, and the
backward pass, which begins with the last memory, writes them back; the gradient of the memory is one tensor too, of
which a step changes the same slots. Where weights meet contents, autograd differentiates one step at a time.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from saccade.memory.lstm import LSTMState, Recurrent, lstm_step
from saccade.memory.sparse_addressing import (
    accessed_after,
    gather,
    least_recent,
    long_ago,
    read_content,
    scatter_write,
    together,
    write_weights,
)


class Journal(NamedTuple):
    """What each step did, time first."""

    slots: Int[Tensor, "t b h k1"]
    old: Float[Tensor, "t b r m"]
    """The contents of these slots, all heads in one row, before the step."""
    write_weights: Float[Tensor, "t b h k1"]
    read_slots: Int[Tensor, "t b h k"]
    read_weights: Float[Tensor, "t b h k"]


def cell_of(sums: Float[Tensor, "b gates"], cell: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The controller's step after its product: hidden features, and the cell of an LSTM."""
    if cell is None:
        return sums.tanh(), None
    # the sums hold the recurrent product already
    state = lstm_step(sums, LSTMState(cell, cell), Recurrent(cell, None, None, lambda sums, *_: sums))
    return state.hidden, state.cell


class Rollback(torch.autograd.Function):
    """All steps of a SparseAccessMemory.

    Takes the module; whether the memory is no one else's, so that it need not be copied; the accessed times, the time
    and the slots read last, which have no gradient; the projected inputs; memory, read weights and reads; hidden state
    and cell, if the controller has them; its recurrent weight, and weight and bias of the heads. Returns the features
    of all steps, what is carried on in the same order, then the accessed times, the slots read last, and a Journal.
    """

    @staticmethod
    def forward(ctx: Any, module: Any, own: bool, chosen: tuple[Tensor, ...], projected: Tensor, *given: Tensor) -> Any:
        *carried, recurrent, weight, bias = given
        memory, read_weights, reads = carried[0] if own else carried[0].clone(), carried[1], carried[2]
        hidden, cell = carried[3:] if len(carried) == 5 else (None, None)
        accessed, time, read_slots = chosen[0].clone(), *chosen[1:]
        features, written, heads = [], None, module.head_count
        # a step writes k + 1 slots for each head, and reads k
        old_slots = long_ago(accessed, projected.shape[1] * heads * (2 * module.nearest + 1) + heads)
        journal: list[tuple[Tensor, ...]] = []
        inside: list[tuple[Tensor, ...]] = []
        for now, projection in enumerate(projected.unbind(1)):
            before = reads.flatten(1) if hidden is None else torch.cat([reads.flatten(1), hidden], 1)
            sums = torch.addmm(projection, before, recurrent)
            inside.append((before, sums) if cell is None else (before, sums, cell))
            features_of_step, cell = cell_of(sums, cell)
            hidden = None if cell is None else features_of_step
            emitted = module.activate(F.linear(features_of_step, weight, bias))
            oldest = old_slots.gather(1, least_recent(accessed.gather(1, old_slots), heads))
            slots = torch.cat([read_slots, oldest[..., None]], -1)
            old, weights = gather(memory, slots.flatten(1)), write_weights(emitted, read_weights)
            scatter_write(memory, slots, weights, emitted.add)
            read_slots = module.search(memory, emitted.query, module.nearest, written)
            written = slots.flatten(1)
            content = gather(memory, read_slots.flatten(1)).unflatten(1, read_slots.shape[1:])
            read_weights, reads = read_content(content, emitted.query, emitted.strength)
            journal.append((slots, old, weights, read_slots, read_weights))
            touched = torch.cat([slots, read_slots], -1).flatten(1)
            total = together(touched, torch.cat([weights, read_weights], -1).flatten(1))
            accessed = accessed_after(accessed, touched, total, time + now)
            features.append(torch.cat([features_of_step, reads.flatten(1)], 1))
        kept = Journal(*(torch.stack(parts) for parts in zip(*journal, strict=True)))
        ctx.module, ctx.lstm = module, cell is not None
        ctx.save_for_backward(
            memory, carried[1], *given[-3:], *kept, *(torch.stack(parts) for parts in zip(*inside, strict=True))
        )
        ctx.mark_non_differentiable(accessed, read_slots)
        if own:
            ctx.mark_dirty(memory)
        ctx.set_materialize_grads(False)  # zeros as large as the memory would be made only to be copied
        state = (memory, read_weights, reads, *(() if cell is None else (hidden, cell)))
        return torch.stack(features, 1), *state, accessed, read_slots, kept

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_features: Any, of_memory: Any, *slopes: Any) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        memory, first_weights, recurrent, weight, bias = saved[:5]
        journal, (before, sums, *cells) = Journal(*saved[5:10]), saved[10:]
        of_memory = torch.zeros_like(memory) if of_memory is None else of_memory.clone()
        memory = memory.clone()
        like = (journal.read_weights[-1], memory.new_empty(*journal.read_weights[-1].shape[:2], memory.shape[2]))
        of_read_weights, of_reads = (
            torch.zeros_like(one) if slope is None else slope for slope, one in zip(slopes[:2], like, strict=True)
        )
        of_hidden, of_cell = slopes[2:4] if ctx.lstm else (None, None)
        if ctx.lstm and of_cell is None:
            of_cell = torch.zeros_like(cells[0][0])
        if of_features is None:
            width = weight.shape[1] + like[1][0].numel()
            of_features = memory.new_zeros(len(memory), len(sums), width)
        size, of_sums, of_emitted, all_hidden = weight.shape[1], [], [], []
        with torch.autocast(memory.device.type, enabled=False):
            for now in reversed(range(len(sums))):
                read_weights = journal.read_weights[now - 1] if now else first_weights
                step = _Step(ctx.module, sums[now], cells[0][now] if cells else None, read_weights, weight, bias)
                into_hidden, into_reads = of_features[:, now].split([size, of_features.shape[2] - size], 1)
                of_reads = of_reads + into_reads.unflatten(1, of_reads.shape[1:])
                of_query, of_strength = step.read_backward(
                    memory, of_memory, journal.read_slots[now], of_read_weights, of_reads
                )
                of_weights, of_add = step.write_backward(memory, of_memory, journal, now)
                of_hidden = into_hidden if of_hidden is None else of_hidden + into_hidden
                of_sum, of_emit, of_read_weights, of_cell = step.backward(
                    of_query, of_strength, of_weights, of_add, of_hidden, of_cell
                )
                of_sums.append(of_sum)
                of_emitted.append(of_emit)
                all_hidden.append(step.hidden.detach())
                of_before = of_sum @ recurrent.mT
                of_reads = of_before[:, : of_features.shape[2] - size].unflatten(1, of_reads.shape[1:])
                of_hidden = of_before[:, of_features.shape[2] - size :] if ctx.lstm else None
            of_sum, of_emit = torch.stack(of_sums[::-1]), torch.stack(of_emitted[::-1])
            hidden = torch.stack(all_hidden[::-1])
            of_recurrent = before.flatten(0, 1).mT @ of_sum.flatten(0, 1)
            of_weight = of_emit.flatten(0, 1).mT @ hidden.flatten(0, 1)
        carried = (of_memory, of_read_weights, of_reads, *((of_hidden, of_cell) if ctx.lstm else ()))
        return None, None, None, of_sum.transpose(0, 1), *carried, of_recurrent, of_weight, of_emit.sum((0, 1))


class _Step:
    """One step again, with autograd, but for the memory."""

    def __init__(
        self, module: Any, sums: Tensor, cell: Tensor | None, read_weights: Tensor, weight: Tensor, bias: Tensor
    ) -> None:
        self.sums, self.read_weights = sums.detach().requires_grad_(), read_weights.detach().requires_grad_()
        self.cell = None if cell is None else cell.detach().requires_grad_()
        with torch.enable_grad():
            self.hidden, self.new_cell = cell_of(self.sums, self.cell)
            self.linear = F.linear(self.hidden, weight.detach(), bias.detach())
            self.emitted = module.activate(self.linear)
            self.weights = write_weights(self.emitted, self.read_weights)

    def read_backward(
        self, memory: Tensor, of_memory: Tensor, slots: Tensor, of_weights: Tensor, of_reads: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The slopes of query and strength; those of the contents are added to `of_memory`."""
        flat = slots.flatten(1)
        content = gather(memory, flat).unflatten(1, slots.shape[1:]).requires_grad_()
        query = self.emitted.query.detach().requires_grad_()
        strength = self.emitted.strength.detach().requires_grad_()
        with torch.enable_grad():
            read = read_content(content, query, strength)
        of_content, of_query, of_strength = torch.autograd.grad(
            read, (content, query, strength), (of_weights, of_reads)
        )
        of_memory.scatter_add_(1, flat[..., None].expand(-1, -1, memory.shape[2]), of_content.flatten(1, 2))
        return of_query, of_strength

    def write_backward(self, memory: Tensor, of_memory: Tensor, journal: Journal, now: int) -> tuple[Tensor, Tensor]:
        """The slopes of write weights and add vectors; afterwards the memory and its slope are those before the
        step."""
        slots, add = journal.slots[now], self.emitted.add
        of_slots = gather(of_memory, slots.flatten(1)).unflatten(1, slots.shape[1:])
        of_weights = (of_slots @ add.detach()[..., None])[..., 0]
        of_add = (journal.write_weights[now][..., None, :] @ of_slots)[..., 0, :]
        of_memory.scatter_(1, slots[..., -1, None].expand(-1, -1, memory.shape[2]), 0)
        memory.scatter_(1, slots.flatten(1)[..., None].expand(-1, -1, memory.shape[2]), journal.old[now])
        return of_weights, of_add

    def backward(
        self,
        of_query: Tensor,
        of_strength: Tensor,
        of_weights: Tensor,
        of_add: Tensor,
        of_hidden: Tensor,
        of_cell: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """The slopes of the sums, of what the heads' layer gives, of the read weights before, and of the cell."""
        emitted = self.emitted
        outputs = [emitted.query, emitted.strength, self.weights, emitted.add, self.hidden]
        slopes = [of_query, of_strength, of_weights, of_add, of_hidden]
        wrt = [self.sums, self.linear, self.read_weights]
        if self.cell is not None and self.new_cell is not None and of_cell is not None:
            outputs, slopes, wrt = [*outputs, self.new_cell], [*slopes, of_cell], [*wrt, self.cell]
        of_sums, of_linear, of_read_weights, *rest = torch.autograd.grad(outputs, wrt, slopes)
        return of_sums, of_linear, of_read_weights, rest[0] if rest else None
