"""What the steps of a neural computer (dnc_steps.py) emit and keep, and the derivatives of all steps at once."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from saccade.memory.addressing import SHORTEST
from saccade.memory.controller_steps import ControllerSteps
from saccade.memory.ntm_steps import HUGE, Content, slopes_of_norms


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

    def rows(self) -> "Memory":
        """With the usage, precedence and write weights as rows (b, 1, n)."""
        return self._replace(
            usage=self.usage[:, None], precedence=self.precedence[:, None], write_weights=self.write_weights[:, None]
        )

    def flat(self) -> "Memory":
        """With these rows as (b, n) again."""
        return self._replace(
            usage=self.usage[:, 0], precedence=self.precedence[:, 0], write_weights=self.write_weights[:, 0]
        )


class Kept(NamedTuple):
    """What the backward pass needs of a step."""

    direction: Float[Tensor, "b h1 m"]
    read_direction: Float[Tensor, "b h m"]
    write_direction: Float[Tensor, "b 1 m"]
    key_norm: Float[Tensor, "b h1 1"]
    slot_norm: Float[Tensor, "b 1 n"]
    """Of the memory after the step."""
    memory: Float[Tensor, "b m n"]
    """After the step, transposed."""
    link: Float[Tensor, "b n n"]
    """After the step, transposed."""
    free: Float[Tensor, "b h n"]
    """How much of a slot's usage each head leaves."""
    retention: Float[Tensor, "b 1 n"]
    used: Float[Tensor, "b 1 n"]
    """The usage before it is freed."""
    order: Int[Tensor, "b 1 n"]
    sorted_usage: Float[Tensor, "b 1 n"]
    write_content: Content
    free_slots: Float[Tensor, "b 1 n"]
    """The allocation: with the content weights, what the write weights are made of."""
    held: Float[Tensor, "b n m"]
    erased: Float[Tensor, "b 1 n m"]
    unwritten: Float[Tensor, "b 1 1"]
    """1 less the sum of the write weights."""
    read_content: Content
    backward: Float[Tensor, "b h n"]
    forward: Float[Tensor, "b h n"]
    """With the content weights, what the read weights are made of."""


class Emitted:
    """What the controller emits in all steps: one tensor, time first, and a view of each part for each step."""

    def __init__(self, computer: Computer, values: Float[Tensor, "t b e"]) -> None:
        heads, size = computer.read_heads, computer.slot_size
        linear, self.gates, self.strengths, modes = values.split(computer.blocks, -1)
        self.values, self.row, self.clip = values, values.unbind(0), computer.clip
        keys = linear[..., : (heads + 1) * size].unflatten(-1, (heads + 1, size))
        self.key, self.write_vector = keys.unbind(0), linear[..., None, (heads + 1) * size :].unbind(0)
        self.sigmoid, self.oneplus = self.gates.unbind(0), self.strengths.unbind(0)
        self.erase = self.gates[..., None, :size].unbind(0)
        self.free = self.gates[..., size : size + heads, None].unbind(0)
        self.choice = self.gates[..., None, -2:].unbind(0)
        """The allocation gate and the write gate."""
        self.allocation_gate, self.write_gate = (gate.unbind(0) for gate in self.gates[..., None, -2:].split(1, -1))
        self.read_strength = self.strengths[..., :heads, None].unbind(0)
        self.write_strength = self.strengths[..., heads:, None].unbind(0)
        self.modes = modes.unflatten(-1, (heads, 3)).unbind(0)
        """Before the softmax."""

    def activate(self, now: int) -> None:
        """Apply the activations of a step, that of the modes excepted."""
        if self.clip < HUGE:
            self.row[now].clamp_(-self.clip, self.clip)
        self.sigmoid[now].sigmoid_()
        self.oneplus[now].copy_(F.softplus(self.oneplus[now]).add_(1))


def lengths(memory: Float[Tensor, "b n m"]) -> Float[Tensor, "b 1 n"]:
    norms: Tensor = torch.linalg.vector_norm(memory, dim=-1).clamp_min_(SHORTEST)
    return norms[:, None]


class Derivatives:
    """What the backward pass needs and no slope enters, for all steps at once."""

    def __init__(
        self, computer: Computer, emitted: Emitted, kept: list[Kept], run: ControllerSteps, states: list[Memory],
        modes: Float[Tensor, "t b h 3"], layer: Tensor, bias: Tensor,
    ) -> None:  # fmt: skip
        gates, strength = emitted.gates, emitted.strengths
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
        content = torch.stack([one.write_content.weights for one in kept])
        self.choices = torch.cat([torch.stack([one.free_slots for one in kept]), content], 2).mT.unbind(0)
        ways = [torch.stack([getattr(one, way) for one in kept]) for way in ("backward", "forward")]
        ways.insert(1, torch.stack([one.read_content.weights for one in kept]))
        self.ways, self.modes = torch.stack(ways, 3).unbind(0), modes.unbind(0)
        self.modes_column = modes[..., None].unbind(0)
        first = torch.ones_like(kept[0].sorted_usage[..., :1])
        usages = torch.stack([one.sorted_usage for one in kept])
        others = torch.cat([first.expand(len(kept), -1, -1, -1), usages[..., 1:]], -1)
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
        reading, writing = strength[..., None].split([heads, 1], 2)
        self.read_scale = (reading / torch.stack(norms[1:])).unbind(0)
        self.write_scale = (writing / torch.stack(norms[:-1])).unbind(0)
        self.read_strength, self.write_strength = reading.mT.unbind(0), writing.mT.unbind(0)
        self.left = (1 - torch.stack([one.write_weights for one in states[1:]])).mT.unbind(0)
        self.unclipped = None
        if computer.clip < HUGE:
            raw = torch.addmm(bias, run.features[1:, :, run.width :].flatten(0, 1), layer.mT)
            self.unclipped = (raw.abs() <= computer.clip).unflatten(0, (len(kept), -1)).unbind(0)
