"""All steps of a neural Turing machine as one function, with a backward pass by hand (equations in ntm.py and
addressing.py).

A step has some forty small operations, and autograd takes longer to record one than the processor to compute it. Here
nothing is recorded: results are kept by their names, and the backward pass takes the equations in reverse order. What
`of_x` names is the slope of the loss in x.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from saccade.memory.addressing import SHORTEST
from saccade.memory.controller_steps import ControllerSteps

HUGE = 1e30  # no sharpness is larger, so that its product with a logarithm stays finite


class Machine(NamedTuple):
    """What a Turing machine is, apart from its weights."""

    read_heads: int
    write_heads: int
    slot_size: int
    shifts: int
    blocks: list[int]
    """Sizes of the emitted blocks: keys, adds, gates, erases, strengths, sharpnesses (then the shifts)."""
    read_after: bool
    clip: float


class Content(NamedTuple):
    """What a comparison of keys with slots keeps."""

    cosine: Float[Tensor, "b h n"]
    weights: Float[Tensor, "b h n"]


class Kept(NamedTuple):
    """What the backward pass needs of a step."""

    direction: Float[Tensor, "b h m"]
    key_norm: Float[Tensor, "b h 1"]
    slot_norm: Float[Tensor, "b 1 n"]
    content: Content
    around: Float[Tensor, "b h padded"]
    """Gated weights, with as many repeated at both ends as a shift may reach."""
    moved: Float[Tensor, "b h n"]
    logs: Float[Tensor, "b h n"]
    erased: Float[Tensor, "b w n m"]


class Emitted:
    """What the controller emits in all steps: one tensor, time first, and a view of each part for each step."""

    def __init__(self, machine: Machine, values: Float[Tensor, "t b e"]) -> None:
        heads, width = machine.read_heads + machine.write_heads, machine.slot_size
        keys, adds, gates, erases, strengths, sharpnesses = machine.blocks
        sizes = [keys, adds, gates + erases, strengths + sharpnesses, heads * machine.shifts]
        key, add, sigmoid, softplus, shift = values.split(sizes, -1)
        self.values, self.row, self.parts = values, values.unbind(0), (sigmoid, softplus)
        self.key = key.unflatten(-1, (heads, width)).unbind(0)
        self.add = add.unflatten(-1, (machine.write_heads, width)).unbind(0)
        self.sigmoid, self.softplus = sigmoid.unbind(0), softplus.unbind(0)
        self.gate, self.erase = sigmoid[..., :gates, None].unbind(0), sigmoid[..., gates:]
        self.erase = self.erase.unflatten(-1, (machine.write_heads, width)).unbind(0)
        self.strengths = softplus[..., :strengths]
        self.strength = self.strengths[..., None].unbind(0)
        self.sharpness = softplus[..., strengths:, None].unbind(0)
        self.shift = shift.unflatten(-1, (heads, machine.shifts)).unbind(0)

    def activate(self, now: int, clip: float) -> None:
        self.row[now].clamp_(-clip, clip)
        self.sigmoid[now].sigmoid_()
        self.softplus[now].copy_(F.softplus(self.softplus[now]))
        self.sharpness[now].add_(1)
        self.shift[now].copy_(self.shift[now].softmax(-1))

    def derivatives(self) -> list[Tensor]:
        """Of sigmoid and softplus by their arguments, side by side, for each step."""
        sigmoid, softplus = self.parts
        slopes = torch.cat([sigmoid * (1 - sigmoid), softplus], -1)
        grown = slopes[..., sigmoid.shape[-1] :]
        grown[..., grown.shape[-1] // 2 :].sub_(1)  # the sharpness is 1 + softplus
        grown.copy_(-torch.expm1(-grown))
        return list(slopes.unbind(0))


def convolved(weights: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """`circular_convolution`, one shift at a time; also the weights with as many repeated at both ends as it takes."""
    reach, size = shift.shape[-1] // 2, weights.shape[-1]
    if reach == 0:
        return weights * shift, weights
    around = torch.cat([weights[..., size - reach :], weights, weights[..., :reach]], -1)
    windows, shares = around.unfold(-1, size, 1).unbind(-2), shift.unsqueeze(-2).unbind(-1)
    moved = windows[0] * shares[-1]
    for window, share in zip(windows[1:], shares[-2::-1], strict=True):
        moved.addcmul_(window, share)
    return moved, around


class Steps(torch.autograd.Function):
    """All steps of an NTM.

    Takes a Machine; the projected inputs, memory, weights (read heads first), reads (flat), hidden state and cell (None
    without an LSTM), and recurrent weight, weight and bias of the heads. Returns [r, h] of all steps; memory, weights
    and cell after the last; and, for taps, memory, weights and emissions of all steps.
    """

    @staticmethod
    def forward(
        ctx: Any, machine: Machine, projected: Tensor, memory: Tensor, weights: Tensor, reads: Tensor,
        hidden: Tensor | None, cell: Tensor | None, recurrent: Tensor, layer: Tensor, bias: Tensor,
    ) -> Any:  # fmt: skip
        batch, steps, _ = projected.shape
        run = ControllerSteps(projected, reads, hidden, cell, recurrent, layer.shape[1])
        emitted = Emitted(machine, layer.new_empty(steps, batch, len(layer)))
        heads, floor, into = machine.read_heads, torch.finfo(memory.dtype).tiny, layer.mT
        read = run.features[..., : reads.shape[1]].unflatten(-1, (heads, machine.slot_size)).unbind(0)
        memories, located, kept = [memory], [weights], []
        for now in range(steps):
            torch.addmm(bias, run.forward(now), into, out=emitted.row[now])
            emitted.activate(now, machine.clip)
            key_norm = torch.linalg.vector_norm(emitted.key[now], dim=-1, keepdim=True).clamp_min_(SHORTEST)
            slot_norm = torch.linalg.vector_norm(memory, dim=-1).clamp_min_(SHORTEST)[:, None]
            direction = emitted.key[now] / key_norm
            content = compared(direction, memory.mT, slot_norm, emitted.strength[now])
            gated = torch.lerp(weights, content.weights, emitted.gate[now])
            moved, around = convolved(gated, emitted.shift[now])
            logs = moved.clamp_min_(floor).log()
            weights = (logs * emitted.sharpness[now]).softmax(-1)
            erased = weights[:, heads:, :, None] * emitted.erase[now][:, :, None]
            written = memory
            for one in erased.unbind(1):
                written = torch.addcmul(written, written, one, value=-1)
            written = torch.baddbmm(written, weights[:, heads:].mT, emitted.add[now])
            read[now + 1].copy_(torch.bmm(weights[:, :heads], written if machine.read_after else memory))
            memory = written
            memories.append(memory)
            located.append(weights)
            kept.append(Kept(direction, key_norm, slot_norm, content, around, moved, logs, erased))
        features = run.features[1:].transpose(0, 1).contiguous()
        ctx.machine, ctx.run, ctx.emitted, ctx.kept = machine, run, emitted, kept
        ctx.between = memories[1:-1], located[1:-1]
        # what autograd must know: inputs and outputs
        ctx.save_for_backward(layer, bias, memories[0], memory, located[0], weights)
        last = run.cells[-1].clone() if run.lstm else None
        return features, memory, weights, last, memories[1:-1], located[1:-1], emitted

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_features: Tensor, of_memory: Tensor, of_weights: Tensor, of_cell: Any, *_: Any) -> Any:
        machine, run, emitted = ctx.machine, ctx.run, ctx.emitted
        layer, bias, *ends = ctx.saved_tensors
        memories, located = [ends[0], *ctx.between[0], ends[1]], [ends[2], *ctx.between[1], ends[3]]
        steps = len(memories) - 1
        run.derive()
        of_emitted = Emitted(machine, torch.empty_like(emitted.values))
        slopes, middle = emitted.derivatives(), of_emitted.parts[0].shape[-1] + of_emitted.parts[1].shape[-1]
        start = sum(machine.blocks[:2])
        activated = of_emitted.values[..., start : start + middle].unbind(0)
        unclipped = None
        if machine.clip < HUGE:
            raw = torch.addmm(bias, run.features[1:, :, run.width :].flatten(0, 1), layer.mT)
            unclipped = (raw.abs() <= machine.clip).unflatten(0, (steps, -1)).unbind(0)
        slot_norms = [one.slot_norm for one in ctx.kept]
        strengths = emitted.strengths[..., None]
        scale, strength = (strengths / torch.stack(slot_norms)).unbind(0), strengths.mT.unbind(0)
        of_strength = of_emitted.strengths.unbind(0)
        key_slope, slot_slope = slopes_of_norms([one.key_norm for one in ctx.kept], 1), slopes_of_norms(slot_norms, 2)
        of_memory, of_weights, heads = of_memory.clone(), of_weights.clone(), machine.read_heads
        of_reads = run.of_reads.unflatten(1, (heads, machine.slot_size))
        for now in reversed(range(steps)):
            kept, memory, weights, before = ctx.kept[now], memories[now], located[now + 1], located[now]
            run.of_before += of_features[:, now]
            seen = memories[now + 1] if machine.read_after else memory
            of_read = torch.bmm(of_reads, seen.mT)
            if machine.read_after:
                of_memory.baddbmm_(weights[:, :heads].mT, of_reads)
            # equations 3 and 4
            of_write = torch.bmm(emitted.add[now], of_memory.mT)
            of_emitted.add[now].copy_(torch.bmm(weights[:, heads:], of_memory))
            erase_backward(
                memory, weights[:, heads:], emitted.erase[now], kept.erased, of_memory, of_write, of_emitted.erase[now]
            )
            of_weights += torch.cat([of_read, of_write], 1)
            if not machine.read_after:
                of_memory.baddbmm_(weights[:, :heads].mT, of_reads)
            # sharpening
            of_logs = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
            torch.sum(of_logs * kept.logs, -1, keepdim=True, out=of_emitted.sharpness[now])
            of_moved = of_logs.mul_(emitted.sharpness[now]).div_(kept.moved)
            # shift: the convolution's transpose has the shifts in reverse
            windows = kept.around.unfold(-1, of_moved.shape[-1], 1)
            of_shift = (windows * of_moved[:, :, None]).sum(-1).flip(-1)
            shift = emitted.shift[now]
            of_emitted.shift[now].copy_(torch._softmax_backward_data(of_shift, shift, -1, shift.dtype))
            of_gated = convolved(of_moved, shift.flip(-1))[0]
            # interpolation
            torch.sum(of_gated * (kept.content.weights - before), -1, keepdim=True, out=of_emitted.gate[now])
            of_content = of_gated * emitted.gate[now]
            of_weights = of_gated - of_content
            # content
            of_direction = content_backward(
                of_content, kept.content, strength[now], scale[now], kept.direction, memory, slot_slope[now],
                of_memory, of_strength[now],
            )  # fmt: skip
            along = (of_direction * kept.direction).sum(-1, keepdim=True).mul_(key_slope[now])
            torch.addcmul(of_direction.div_(kept.key_norm), kept.direction, along, value=-1, out=of_emitted.key[now])
            # the heads' layer and the controller
            activated[now].mul_(slopes[now])
            if unclipped is not None:
                of_emitted.row[now].mul_(unclipped[now])
            of_cell = run.backward(now, torch.addmm(run.of_hidden, of_emitted.row[now], layer), of_cell)
        hidden = run.features[1:, :, run.width :].flatten(0, 1)
        rows = of_emitted.values.flatten(0, 1)
        return (
            None, run.of_sums.transpose(0, 1), of_memory, of_weights, run.of_reads,
            run.of_hidden if run.lstm else None, of_cell, run.of_weight(), rows.mT @ hidden, rows.sum(0),
        )  # fmt: skip


def erase_backward(
    memory: Tensor, weights: Tensor, erase: Tensor, erased: Tensor, of_memory: Tensor, of_weights: Tensor,
    of_erase: Tensor,
) -> None:  # fmt: skip
    """Of M' = M prod_heads (1 - w e): `of_memory` becomes that of M, `of_weights` grows, `of_erase` is written."""
    if erased.shape[1] == 1:
        of_erased = of_memory * memory
        of_weights.baddbmm_(erase, of_erased.mT, alpha=-1)
        torch.neg(torch.bmm(weights, of_erased), out=of_erase)
        of_memory.addcmul_(of_memory, erased[:, 0], value=-1)
        return
    kept, of_kept = (1 - erased).unbind(1), of_memory * memory
    product = kept[0]
    for head, one in enumerate(kept):
        of_erased = of_kept
        for other, factor in enumerate(kept):
            of_erased = of_erased if other == head else of_erased * factor
        of_weights[:, head] -= torch.bmm(erase[:, head : head + 1], of_erased.mT)[:, 0]
        of_erase[:, head] = -torch.bmm(weights[:, head : head + 1], of_erased)[:, 0]
        product = one if head == 0 else product * one
    of_memory.mul_(product)


def compared(direction: Tensor, memory: Tensor, slot_norm: Tensor, strength: Tensor) -> Content:
    """Content weights of keys scaled to length 1. `memory` is transposed (b, m, n), the strength a column (b, h, 1)."""
    cosine = torch.bmm(direction, memory).div_(slot_norm)
    return Content(cosine, (cosine * strength).softmax(-1))


def content_backward(
    of_weights: Tensor, content: Content, strength: Tensor, scale: Tensor, direction: Tensor, memory: Tensor,
    slot_slope: Tensor, of_memory: Tensor, of_strength: Tensor,
) -> Float[Tensor, "b h m"]:  # fmt: skip
    """Of content weights: the slope of the directions; `of_memory` grows, and `of_strength` is written.

    The strength is a row (b, 1, h); `scale` is it over the norm of each slot, `slot_slope` 1 over the norm squared (0
    where it is fixed).
    """
    cosine, weights = content
    of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
    of_strengths = of_scores * cosine
    torch.sum(of_strengths, -1, out=of_strength)
    of_dots = of_scores.mul_(scale)
    of_memory.baddbmm_(of_dots.mT, direction)
    of_norm = torch.bmm(strength, of_strengths).mul_(slot_slope)
    of_memory.addcmul_(memory, of_norm.mT, value=-1)
    return torch.bmm(of_dots, memory)


def slopes_of_norms(norms: Sequence[Tensor], power: int) -> tuple[Tensor, ...]:
    """1 over a power of each step's norms, of which their slopes are made; 0 for a vector so short that its norm is
    fixed."""
    every = torch.stack(list(norms))
    return every.pow(-power).masked_fill_(every <= SHORTEST, 0).unbind(0)
