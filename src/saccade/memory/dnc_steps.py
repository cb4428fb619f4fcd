"""All steps of a differentiable neural computer as one function, with a backward pass by hand (equations in dnc.py).

As in ntm_steps.py nothing is recorded: results are kept by their names, and the backward pass takes the equations in
reverse order. `of_x` is the slope of the loss in x. What needs no slope, such as derivatives by the gates, is computed
for all steps at once.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from saccade.memory.addressing import SHORTEST
from saccade.memory.controller_steps import ControllerSteps
from saccade.memory.ntm_steps import HUGE, Content, compared, content_backward, erase_backward, slopes_of_norms


class Computer(NamedTuple):
    """What a neural computer is, apart from its weights."""

    read_heads: int
    slot_size: int
    blocks: list[int]
    """Sizes of the emitted blocks: linear, sigmoid, oneplus, softmax."""
    deallocate: bool
    usage_gradient: bool
    clip: float


class Memory(NamedTuple):
    """What a step passes on to the next, apart from the controller's state."""

    memory: Float[Tensor, "b n m"]
    usage: Float[Tensor, "b n"]
    link: Float[Tensor, "b n n"]
    precedence: Float[Tensor, "b n"]
    read_weights: Float[Tensor, "b h n"]
    write_weights: Float[Tensor, "b n"]


class Kept(NamedTuple):
    """What the backward pass needs of a step."""

    direction: Float[Tensor, "b h1 m"]
    key_norm: Float[Tensor, "b h1 1"]
    slot_norm: Float[Tensor, "b 1 n"]
    """Of the memory after the step."""
    free: Float[Tensor, "b h n"]
    """How much of a slot's usage each head leaves."""
    retention: Float[Tensor, "b n"]
    used: Float[Tensor, "b n"]
    """The usage before it is freed."""
    order: Int[Tensor, "b n"]
    sorted_usage: Float[Tensor, "b n"]
    write_content: Content
    choices: Float[Tensor, "b 2 n"]
    """Allocation and content, which the write weights are made of."""
    held: Float[Tensor, "b n m"]
    erased: Float[Tensor, "b 1 n m"]
    read_content: Content
    ways: Float[Tensor, "b h 3 n"]
    """Backward, content and forward weights, which the read weights are made of."""
    strength: Float[Tensor, "b h1"]
    modes: Float[Tensor, "b h 3"]


class Emitted:
    """What the controller emits in all steps: one tensor, time first, and a view of each part for each step."""

    def __init__(self, computer: Computer, values: Float[Tensor, "t b e"]) -> None:
        heads, size = computer.read_heads, computer.slot_size
        linear, self.gates, oneplus, modes = values.split(computer.blocks, -1)
        self.values, self.row, self.clip = values, values.unbind(0), computer.clip
        keys = linear[..., : (heads + 1) * size].unflatten(-1, (heads + 1, size))
        self.key, self.write_vector = keys.unbind(0), linear[..., None, (heads + 1) * size :].unbind(0)
        self.sigmoid, self.oneplus = self.gates.unbind(0), oneplus.unbind(0)
        self.erase = self.gates[..., None, :size].unbind(0)
        self.free, self.choice = self.gates[..., size : size + heads].unbind(0), self.gates[..., -2:].unbind(0)
        """`choice` is the allocation gate and the write gate."""
        self.modes = modes.unflatten(-1, (heads, 3)).unbind(0)

    def activate(self, now: int) -> tuple[Tensor, Tensor]:
        """Apply the activations of a step; gives strengths (b, h1) and modes (b, h, 3)."""
        if self.clip < HUGE:
            self.row[now].clamp_(-self.clip, self.clip)
        self.sigmoid[now].sigmoid_()
        return F.softplus(self.oneplus[now]).add_(1), self.modes[now].softmax(-1)


def lengths(memory: Float[Tensor, "b n m"]) -> Float[Tensor, "b 1 n"]:
    norms: Tensor = torch.linalg.vector_norm(memory, dim=-1).clamp_min_(SHORTEST)
    return norms[:, None]


def allocate(usage: Tensor, products: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
    """Write `allocation` into `free`; gives the order of the slots and the sorted usages.

    (1 - u_j) prod_i<j u_i is a difference of products, which are written into `products` (b, n + 1) after its 1.
    """
    order = (usage * (2.0**40 if usage.dtype == torch.float64 else 2.0**20)).round_().argsort(stable=True)
    sorted_usage = usage.gather(1, order)
    products[:, 1:] = sorted_usage.cumprod(1)
    free.scatter_(1, order, products[:, :-1] - products[:, 1:])
    return order, sorted_usage


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
        heads, slots, into = computer.read_heads, memory.shape[1], layer.mT
        run = ControllerSteps(projected, reads, hidden, cell, recurrent, layer.shape[1])
        emitted = Emitted(computer, layer.new_empty(steps, batch, len(layer)))
        read = run.features[..., : run.width].unflatten(-1, (heads, computer.slot_size)).unbind(0)
        state = Memory(memory, usage, link, precedence, read_weights, write_weights)
        states, kept, slot_norm, one = [state], [], lengths(memory), memory.new_ones(())
        products, every_choices = memory.new_ones(batch, slots + 1), memory.new_empty(steps, batch, 2, slots).unbind(0)
        for now in range(steps):
            torch.addmm(bias, run.forward(now), into, out=emitted.row[now])
            strength, modes = emitted.activate(now)
            key_norm = torch.linalg.vector_norm(emitted.key[now], dim=-1, keepdim=True).clamp_min_(SHORTEST)
            direction = emitted.key[now] / key_norm
            # usage and allocation
            free = torch.addcmul(one, emitted.free[now][..., None], read_weights, value=-1)
            retention = free.prod(1)
            used = torch.lerp(usage, one, write_weights)
            usage = used * retention
            free_slots, content = (choices := every_choices[now]).unbind(1)
            order, sorted_usage = allocate(usage, products, free_slots)
            # writing
            write_content = compared(direction[:, heads:], memory, slot_norm, strength[:, heads:])
            content.copy_(write_content.weights[:, 0])
            allocation_gate, write_gate = emitted.choice[now].split(1, 1)
            write_weights = torch.lerp(content, free_slots, allocation_gate).mul_(write_gate)
            held = memory * retention[..., None] if computer.deallocate else memory
            erased = write_weights[..., None] * emitted.erase[now]
            memory = torch.addcmul(held, held, erased, value=-1)
            memory.baddbmm_(write_weights[..., None], emitted.write_vector[now])
            # links
            later = torch.lerp(link, precedence[:, None], write_weights[..., None])
            link = later.addcmul_(link, write_weights[:, None], value=-1)
            link.diagonal(dim1=1, dim2=2).zero_()
            precedence = torch.addcmul(write_weights, precedence, 1 - write_weights.sum(1, keepdim=True))
            # reading
            slot_norm = lengths(memory)
            read_content = compared(direction[:, :heads], memory, slot_norm, strength[:, :heads])
            backward, forward = torch.bmm(read_weights, link), torch.bmm(read_weights, link.mT)
            ways = torch.stack([backward, read_content.weights, forward], 2)
            mixed = torch.bmm(modes.view(-1, 1, 3), ways.view(-1, 3, slots))
            read_weights = mixed.view(batch, heads, slots)
            read[now + 1].copy_(torch.bmm(read_weights, memory))
            state = Memory(memory, usage, link, precedence, read_weights, write_weights)
            states.append(state)
            kept.append(
                Kept(direction, key_norm, slot_norm, free, retention, used, order, sorted_usage, write_content, choices,
                     held, erased[:, None], read_content, ways, strength, modes)
            )  # fmt: skip
        features = run.features[1:].transpose(0, 1).contiguous()
        ctx.computer, ctx.run, ctx.emitted, ctx.kept = computer, run, emitted, kept
        ctx.between = states[1:-1]
        ctx.save_for_backward(layer, bias, *states[0], *states[-1])  # what autograd must know: inputs and outputs
        last = run.cells[-1].clone() if run.lstm else None
        return features, *state, last, states[1:-1], emitted

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_features: Tensor, *slopes: Any) -> Any:
        computer, run, emitted, every = ctx.computer, ctx.run, ctx.emitted, ctx.kept
        layer, bias, *saved = ctx.saved_tensors
        parts = len(Memory._fields)
        states = [Memory(*saved[:parts]), *ctx.between, Memory(*saved[parts:])]
        of, of_cell = Memory(*(slope.clone() for slope in slopes[:parts])), slopes[parts]
        run.derive()
        known = Derivatives(computer, emitted, every, run, states, layer, bias)
        of_emitted, heads = Emitted(computer, torch.empty_like(emitted.values)), computer.read_heads
        of_gates = of_emitted.values[..., computer.blocks[0] : sum(computer.blocks[:3])].unbind(0)
        of_before, scratch = torch.zeros_like(run.features[0]), torch.empty_like(of.link)
        ahead = F.pad(torch.zeros_like(of.usage), (1, 0))
        for now in reversed(range(len(every))):
            kept, before, after = every[now], states[now], states[now + 1]
            of_before += of_features[:, now]
            of_reads = of_before[:, : run.width].unflatten(1, (heads, computer.slot_size))
            of_backward, of_content, of_forward = read_backward(of, of_reads, after, kept, of_emitted.modes[now])
            of_key = content_backward(
                of_content, kept.read_content, kept.strength[:, :heads], known.read_scale[now],
                kept.direction[:, :heads], after.memory, known.slot_slope[now + 1], of.memory,
                of_emitted.oneplus[now][:, :heads],
            )  # fmt: skip
            of_read, of_precedence = link_backward(of, of_backward, of_forward, before, after, known.left[now], scratch)
            # writing
            of_held, of_write = of.memory, of.write_weights
            of_emitted.write_vector[now].copy_(torch.bmm(after.write_weights[:, None], of_held))
            of_write = of_write[:, None].baddbmm_(emitted.write_vector[now], of_held.mT)
            erase_backward(
                kept.held, after.write_weights[:, None], emitted.erase[now], kept.erased, of_held, of_write,
                of_emitted.erase[now],
            )  # fmt: skip
            of_retention = None
            if computer.deallocate:
                of_retention = (of_held * before.memory).sum(-1)
                of_held.mul_(kept.retention[..., None])
            of_choice = (kept.choices * of_write).sum(-1)
            torch.bmm(of_choice[:, None], known.choice[now], out=of_emitted.choice[now][:, None])
            of_choices = of_write * known.share[now]
            of_write_key = content_backward(
                of_choices[:, 1:], kept.write_content, kept.strength[:, heads:], known.write_scale[now],
                kept.direction[:, heads:], before.memory, known.slot_slope[now], of_held,
                of_emitted.oneplus[now][:, heads:],
            )  # fmt: skip
            # allocation and usage
            of_usage = of.usage.add_(
                allocation_backward(of_choices[:, 0], known.order[now], known.products[now], known.ratio[now], ahead)
            )
            of_freed = of_usage * kept.used
            of_freed = of_freed if of_retention is None else of_freed.add_(of_retention)
            of_used = of_usage.mul_(kept.retention)
            of_free = of_freed[:, None] * known.others[now]
            torch.sum(of_free * before.read_weights, -1, out=of_emitted.free[now])
            of_read.addcmul_(of_free, emitted.free[now][..., None], value=-1)
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
            of_hidden = torch.addmm(of_before[:, run.width :], of_emitted.row[now], layer)
            of_before, of_cell = run.backward(now, of_hidden, of_cell)
            of_before = of_before if run.lstm else F.pad(of_before, (0, run.size))
        rows, hidden = of_emitted.values.flatten(0, 1), run.features[1:, :, run.width :].flatten(0, 1)
        of_reads, of_hidden = of_before.split([run.width, run.size], 1)
        return (
            None, run.of_sums.transpose(0, 1), *of, of_reads, of_hidden if run.lstm else None, of_cell,
            run.of_weight(), rows.mT @ hidden, rows.sum(0),
        )  # fmt: skip


class Derivatives:
    """What the backward pass needs and no slope enters, for all steps at once."""

    def __init__(
        self, computer: Computer, emitted: Emitted, kept: list[Kept], run: ControllerSteps, states: list[Memory],
        layer: Tensor, bias: Tensor,
    ) -> None:  # fmt: skip
        gates, strength = emitted.gates, torch.stack([one.strength for one in kept])
        size, heads = computer.slot_size, computer.read_heads
        # oneplus' = sigmoid, of which 1 + softplus is left
        slopes = torch.cat([gates * (1 - gates), -torch.expm1(1 - strength)], -1)
        slopes[..., size : size + heads].neg_()  # what the free gates free is used less
        self.slopes = slopes.unbind(0)
        allocate, open_ = gates[..., -2], gates[..., -1]
        # the write weights are open (allocate a + (1 - allocate) c): slopes of both gates in a and c
        choice = torch.stack([torch.stack([open_, allocate], -1), torch.stack([-open_, 1 - allocate], -1)], -2)
        self.choice = choice.unbind(0)
        self.share = torch.stack([open_ * allocate, open_ * (1 - allocate)], -1)[..., None].unbind(0)
        first = torch.ones_like(kept[0].sorted_usage[:, :1])
        usages = torch.stack([one.sorted_usage for one in kept])
        others = torch.cat([first.expand(len(kept), -1, -1), usages[..., 1:]], -1)
        self.products = others.cumprod(-1).flip(-1).unbind(0)
        self.order = torch.stack([one.order for one in kept]).flip(-1).unbind(0)
        ratio = usages[..., :1] / usages.clamp_min(torch.finfo(usages.dtype).tiny)
        ratio[..., 0] = 1
        self.ratio = ratio.flip(-1).unbind(0)
        free = torch.stack([one.free for one in kept]).unbind(2)
        excluded = []
        for head in range(len(free)):
            product = torch.ones_like(free[0])
            for other, left in enumerate(free):
                product = product if other == head else product * left
            excluded.append(product)
        self.others = torch.stack(excluded, 2).unbind(0)
        norms = [lengths(states[0].memory), *(one.slot_norm for one in kept)]
        self.key_slope = slopes_of_norms([one.key_norm for one in kept], 1)
        self.slot_slope = slopes_of_norms(norms, 2)
        self.read_scale = (strength[..., :-1, None] / torch.stack(norms[1:])).unbind(0)
        self.write_scale = (strength[..., -1:, None] / torch.stack(norms[:-1])).unbind(0)
        self.left = (1 - torch.stack([one.write_weights for one in states[1:]])).unbind(0)
        self.unclipped = None
        if computer.clip < HUGE:
            raw = torch.addmm(bias, run.features[1:, :, run.width :].flatten(0, 1), layer.mT)
            self.unclipped = (raw.abs() <= computer.clip).unflatten(0, (len(kept), -1)).unbind(0)


def read_backward(of: Memory, of_reads: Tensor, after: Memory, kept: Kept, of_modes: Tensor) -> tuple[Tensor, ...]:
    """Of r = wr M and wr = modes . ways: the slopes of the ways; those of the memory and of the modes are written."""
    of_weights = of.read_weights.baddbmm_(of_reads, after.memory.mT)
    of.memory.baddbmm_(after.read_weights.mT, of_reads)
    of_chosen = (kept.ways * of_weights[:, :, None]).sum(-1)
    of_modes.copy_(torch._softmax_backward_data(of_chosen, kept.modes, -1, of_chosen.dtype))
    return (of_weights[:, :, None] * kept.modes[..., None]).unbind(2)


def link_backward(
    of: Memory, of_backward: Tensor, of_forward: Tensor, before: Memory, after: Memory, left: Tensor, scratch: Tensor
) -> tuple[Tensor, Tensor]:
    """Of the links, the precedence, and the ways along the links: the slopes of the read weights and of the precedence
    before the step. `of.link` becomes that of the link before it, and `of.write_weights` grows. `left` is 1 - ww."""
    weights, link, write, of_write = before.read_weights, of.link, after.write_weights, of.write_weights
    link.baddbmm_(torch.cat([weights, of_forward], 1).mT, torch.cat([of_backward, weights], 1))
    of_read = torch.bmm(of_backward, after.link.mT).baddbmm_(of_forward, after.link)
    link.diagonal(dim1=1, dim2=2).zero_()
    of_write.add_(of.precedence).sub_((of.precedence * before.precedence).sum(1, keepdim=True))
    # one row times a matrix: MKL is slow with a matrix times one column
    of_write[:, None].baddbmm_(before.precedence[:, None], link.mT)
    of_precedence = of.precedence * (1 - write.sum(1, keepdim=True))
    of_precedence[:, None].baddbmm_(write[:, None], link)
    product = torch.mul(link, before.link, out=scratch)
    of_write.sub_(product.sum(1)).sub_(product.sum(2))
    link.mul_(torch.sub(left[..., None], write[:, None], out=scratch))
    return of_read, of_precedence


def allocation_backward(
    of_free: Tensor, order: Tensor, products: Tensor, ratio: Tensor, ahead: Tensor
) -> Float[Tensor, "b n"]:
    """Of the allocation, by the usages; everything has the most used slot first.

    With the usages u in ascending order, `products` Q are those of u_1 ... u_j, and `ratio` is u_0 / u_k, so u_0 Q_j /
    u_k is the product of all others: u_0 alone may be 0 and have a slope. `ahead` (b, n + 1) starts with 0.
    """
    ahead[:, 1:] = of_free.gather(1, order)
    of_products = (ahead[:, :-1] - ahead[:, 1:]).mul_(products)
    summed = of_products.cumsum(1).mul_(ratio)
    return torch.empty_like(summed).scatter_(1, order, summed)
