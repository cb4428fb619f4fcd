"""All steps of a differentiable neural computer as one function, with a backward pass by hand (equations in dnc.py).

As in ntm_steps.py nothing is recorded: results are kept by their names, and the backward pass takes the equations in
reverse order. `of_x` is the slope of the loss in x. What needs no slope, such as derivatives by the gates, is computed
for all steps at once. A view takes about half as long as a small operation, so those of all steps are made at once, and
inside the steps what has one value a slot is a row (b, 1, n), which fits matrix products without another.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from saccade.memory.addressing import SHORTEST
from saccade.memory.controller_steps import ControllerSteps
from saccade.memory.dnc_parts import Computer, Derivatives, Emitted, Kept, Memory, lengths
from saccade.memory.ntm_steps import compared, content_backward, erase_backward


class Allocator:
    """`allocation` of rows (b, 1, n). (1 - u_j) prod_i<j u_i is a difference of products, of which the first is 1."""

    def __init__(self, like: Float[Tensor, "b 1 n"]) -> None:
        products = F.pad(like, (1, 0)).fill_(1)
        self.before, self.after = products[..., :-1], products[..., 1:]
        self.scale = 2.0**40 if like.dtype == torch.float64 else 2.0**20

    def __call__(self, usage: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The allocation, the order of the slots and the sorted usages."""
        order = (usage * self.scale).round_().argsort(stable=True)
        sorted_usage = usage.gather(2, order)
        torch.cumprod(sorted_usage, 2, out=self.after)
        return torch.empty_like(usage).scatter_(2, order, self.before - self.after), order, sorted_usage


class Steps(torch.autograd.Function):
    """All steps of a DNC.

    Takes a Computer; the projected inputs, the parts of a Memory, reads (flat), hidden state and cell (None without an
    LSTM), and recurrent weight, weight and bias of the interface. Returns [r, h] of all steps; the parts of the last
    Memory and the last cell; and, for taps, the Memories of the other steps and what was emitted.
    """

    @staticmethod
    def forward(
        ctx: Any, computer: Computer, projected: Tensor, memory: Tensor, usage: Tensor, link: Tensor,
        precedence: Tensor, read_weights: Tensor, write_weights: Tensor, reads: Tensor, hidden: Tensor | None,
        cell: Tensor | None, recurrent: Tensor, layer: Tensor, bias: Tensor,
    ) -> Any:  # fmt: skip
        batch, steps, _ = projected.shape
        heads, into, new = computer.read_heads, layer.mT, layer.new_empty
        run = ControllerSteps(projected, reads, hidden, cell, recurrent, layer.shape[1])
        emitted = Emitted(computer, new(steps, batch, len(layer)))
        read = run.features[..., : run.width].unflatten(-1, (heads, computer.slot_size)).unbind(0)
        states, kept = [Memory(memory, usage, link, precedence, read_weights, write_weights)], []
        usage, precedence, write_weights = usage[:, None], precedence[:, None], write_weights[:, None]
        turned, slot_norm, one, allocate = memory.mT, lengths(memory), memory.new_ones(()), Allocator(usage)
        directions, chosen = new(steps, batch, heads + 1, computer.slot_size), new(steps, batch, heads, 3)
        direction, mode = directions.unbind(0), chosen.unbind(0)
        read_direction, write_direction = (part.unbind(0) for part in directions.split([heads, 1], 2))
        back_mode, content_mode, forth_mode = (part.unbind(0) for part in chosen.split(1, 3))
        for now in range(steps):
            torch.addmm(bias, run.forward(now), into, out=emitted.row[now])
            emitted.activate(now)
            torch.softmax(emitted.modes[now], -1, out=mode[now])
            key_norm = torch.linalg.vector_norm(emitted.key[now], dim=-1, keepdim=True).clamp_min_(SHORTEST)
            torch.div(emitted.key[now], key_norm, out=direction[now])
            # usage and allocation
            free = torch.addcmul(one, emitted.free[now], read_weights, value=-1)
            retention = free.prod(1, keepdim=True)
            used = torch.lerp(usage, one, write_weights)
            usage = used * retention
            free_slots, order, sorted_usage = allocate(usage)
            # writing
            write_content = compared(write_direction[now], turned, slot_norm, emitted.write_strength[now])
            write_weights = torch.lerp(write_content.weights, free_slots, emitted.allocation_gate[now])
            column = write_weights.mul_(emitted.write_gate[now]).mT
            held = memory * retention.mT if computer.deallocate else memory
            erased = column * emitted.erase[now]
            memory = torch.addcmul(held, held, erased, value=-1).baddbmm_(column, emitted.write_vector[now])
            # links
            later = torch.lerp(link, precedence, column)
            link = later.addcmul_(link, write_weights, value=-1)
            link.diagonal(dim1=1, dim2=2).zero_()
            unwritten = 1 - write_weights.sum(2, keepdim=True)
            precedence = torch.addcmul(write_weights, precedence, unwritten)
            # reading
            turned, slot_norm, back = memory.mT, lengths(memory), link.mT
            read_content = compared(read_direction[now], turned, slot_norm, emitted.read_strength[now])
            backward, forward = torch.bmm(read_weights, link), torch.bmm(read_weights, back)
            read_weights = (backward * back_mode[now]).addcmul_(read_content.weights, content_mode[now])
            read_weights.addcmul_(forward, forth_mode[now])
            read[now + 1].copy_(torch.bmm(read_weights, memory))
            states.append(Memory(memory, usage, link, precedence, read_weights, write_weights))
            kept.append(
                Kept(direction[now], read_direction[now], write_direction[now], key_norm, slot_norm, turned, back, free,
                     retention, used, order, sorted_usage, write_content, free_slots, held, erased[:, None], unwritten,
                     read_content, backward, forward)
            )  # fmt: skip
        features = run.features[1:].transpose(0, 1).contiguous()
        states[1:] = [state.flat() for state in states[1:]]
        ctx.computer, ctx.run, ctx.emitted, ctx.kept, ctx.modes = computer, run, emitted, kept, chosen
        ctx.between = states[1:-1]
        ctx.save_for_backward(layer, bias, *states[0], *states[-1])  # what autograd must know: inputs and outputs
        last = run.cells[-1].clone() if run.lstm else None
        return features, *states[-1], last, states[1:-1], emitted

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_features: Tensor, *slopes: Any) -> Any:
        computer, run, emitted, every = ctx.computer, ctx.run, ctx.emitted, ctx.kept
        layer, bias, *saved = ctx.saved_tensors
        parts = len(Memory._fields)
        states = [Memory(*part).rows() for part in (saved[:parts], *ctx.between, saved[parts:])]
        of, of_cell = Memory(*(slope.clone() for slope in slopes[:parts])).rows(), slopes[parts]
        run.derive()
        known = Derivatives(computer, emitted, every, run, states, ctx.modes, layer, bias)
        of_emitted, heads = Emitted(computer, torch.empty_like(emitted.values)), computer.read_heads
        of_gates = of_emitted.values[..., computer.blocks[0] : sum(computer.blocks[:3])].unbind(0)
        of_oneplus = [part.unbind(0) for part in of_emitted.strengths.split([heads, 1], -1)]
        of_reads = run.of_reads.unflatten(1, (heads, computer.slot_size))
        of_feature, room = of_features.unbind(1), Room(of)
        for now in reversed(range(len(every))):
            kept, before, after = every[now], states[now], states[now + 1]
            run.of_before += of_feature[now]
            of_backward, of_content, of_forward = read_backward(
                of, of_reads, after, kept, known.ways[now], known.modes[now], known.modes_column[now],
                of_emitted.modes[now],
            )  # fmt: skip
            of_key = content_backward(
                of_content, kept.read_content, known.read_strength[now], known.read_scale[now], kept.read_direction,
                after.memory, known.slot_slope[now + 1], of.memory, of_oneplus[0][now],
            )  # fmt: skip
            of_read, of_precedence = link_backward(
                of, of_backward, of_forward, before, after, kept, known.left[now], room
            )
            # writing
            of_held, of_write = of.memory, of.write_weights
            of_emitted.write_vector[now].copy_(torch.bmm(after.write_weights, of_held))
            of_write.baddbmm_(emitted.write_vector[now], of_held.mT)
            erase_backward(
                kept.held, after.write_weights, emitted.erase[now], kept.erased, of_held, of_write,
                of_emitted.erase[now],
            )  # fmt: skip
            of_retention = None
            if computer.deallocate:
                of_retention = (of_held * before.memory).sum(-1)[:, None]
                of_held.mul_(kept.retention.mT)
            of_choice = torch.bmm(of_write, known.choices[now])
            torch.bmm(of_choice, known.choice[now], out=of_emitted.choice[now])
            of_free_slots, of_content = (of_write * known.share[now]).split(1, 1)
            of_write_key = content_backward(
                of_content, kept.write_content, known.write_strength[now], known.write_scale[now], kept.write_direction,
                before.memory, known.slot_slope[now], of_held, of_oneplus[1][now],
            )  # fmt: skip
            # allocation and usage
            of_usage = of.usage
            allocation_backward(of_free_slots, known.order[now], known.products[now], known.ratio[now], room, of_usage)
            of_freed = of_usage * kept.used
            of_freed = of_freed if of_retention is None else of_freed.add_(of_retention)
            of_used = of_usage.mul_(kept.retention)
            of_free = of_freed * known.others[now]
            torch.sum(of_free * before.read_weights, -1, keepdim=True, out=of_emitted.free[now])
            of_read.addcmul_(of_free, emitted.free[now], value=-1)
            of_write = torch.addcmul(of_used, of_used, before.usage, value=-1)
            of_usage = torch.addcmul(of_used, of_used, before.write_weights, value=-1)
            of_write = of_write if computer.usage_gradient else torch.zeros_like(of_write)
            of = Memory(of_held, of_usage, of.link, of_precedence, of_read, of_write)
            # the interface and the controller
            of_direction = torch.cat([of_key, of_write_key], 1)
            along = (of_direction * kept.direction).sum(-1, keepdim=True).mul_(known.key_slope[now])
            torch.addcmul(of_direction.div_(kept.key_norm), kept.direction, along, value=-1, out=of_emitted.key[now])
            of_gates[now].mul_(known.slopes[now])
            if known.unclipped is not None:
                of_emitted.row[now].mul_(known.unclipped[now])
            of_cell = run.backward(now, torch.addmm(run.of_hidden, of_emitted.row[now], layer), of_cell)
        rows, hidden = of_emitted.values.flatten(0, 1), run.features[1:, :, run.width :].flatten(0, 1)
        return (
            None, run.of_sums.transpose(0, 1), *of.flat(), run.of_reads, run.of_hidden if run.lstm else None, of_cell,
            run.of_weight(), rows.mT @ hidden, rows.sum(0),
        )  # fmt: skip


class Room:
    """Room to work in, used again in each step, and the views of it."""

    def __init__(self, of: Memory) -> None:
        ahead = F.pad(torch.zeros_like(of.usage), (1, 0))
        self.here, self.ahead = ahead[..., :-1], ahead[..., 1:]
        self.links, self.diagonal = torch.empty_like(of.link), of.link.diagonal(dim1=1, dim2=2)


def read_backward(
    of: Memory, of_reads: Tensor, after: Memory, kept: Kept, ways: Tensor, modes: Tensor, column: Tensor,
    of_modes: Tensor,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Of r = wr M and wr = modes . ways: the slopes of the ways; those of the memory and of the modes are written."""
    of_weights = of.read_weights.baddbmm_(of_reads, kept.memory)[:, :, None]
    of.memory.baddbmm_(after.read_weights.mT, of_reads)
    of_chosen = (ways * of_weights).sum(-1)
    of_modes.copy_(torch._softmax_backward_data(of_chosen, modes, -1, of_chosen.dtype))
    return (of_weights * column).unbind(2)


def link_backward(
    of: Memory, of_backward: Tensor, of_forward: Tensor, before: Memory, after: Memory, kept: Kept, left: Tensor,
    room: Room,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Of the links, the precedence, and the ways along the links: the slopes of the read weights and of the precedence
    before the step. `of.link` becomes that of the link before it, and `of.write_weights` grows. `left` is 1 - ww."""
    weights, link, write, of_write = before.read_weights, of.link, after.write_weights, of.write_weights
    link.baddbmm_(torch.cat([weights, of_forward], 1).mT, torch.cat([of_backward, weights], 1))
    of_read = torch.bmm(of_backward, kept.link).baddbmm_(of_forward, after.link)
    room.diagonal.zero_()
    of_write.add_(of.precedence).sub_((of.precedence * before.precedence).sum(2, keepdim=True))
    # one row times a matrix: MKL is slow with a matrix times one column
    of_write.baddbmm_(before.precedence, link.mT)
    of_precedence = of.precedence.mul_(kept.unwritten).baddbmm_(write, link)
    product = torch.mul(link, before.link, out=room.links)
    of_write.sub_(product.sum(1, keepdim=True)).sub_(product.sum(2)[:, None])
    link.mul_(torch.sub(left, write, out=room.links))
    return of_read, of_precedence


def allocation_backward(
    of_free: Tensor, order: Tensor, products: Tensor, ratio: Tensor, room: Room, of_usage: Tensor
) -> None:
    """Of the allocation, by the usages, whose slope grows; everything has the most used slot first.

    With the usages u in ascending order, `products` Q are those of u_1 ... u_j, and `ratio` is u_0 / u_k, so u_0 Q_j /
    u_k is the product of all others: u_0 alone may be 0 and have a slope.
    """
    torch.gather(of_free, 2, order, out=room.ahead)
    summed = (room.here - room.ahead).mul_(products).cumsum(2).mul_(ratio)
    of_usage.scatter_add_(2, order, summed)
