"""Differentiable neural computer. Graves et al. 2016, doi:10.1038/nature20101, Methods.

    h_t = controller(x_t, r_t-1);  what follows is emitted by one linear layer of h_t, and y_t = W [r_t, h_t] + b

    psi   = prod_i (1 - f^i wr^i')                                    retention: f free gates, wr' read weights before
    u     = (u' + ww' - u' * ww') * psi                               usage, from that before and the last write
    a(phi_j) = (1 - u(phi_j)) prod_i<j u(phi_i)                       allocation, phi the slots by ascending usage
    ww    = g_w (g_a a + (1 - g_a) C(M', k_w, beta_w))                write weights; C content weights, addressing.py
    M     = M' * (1 - ww e) + ww v                                    e erase vector, v write vector
    L(i, j) = (1 - ww(i) - ww(j)) L'(i, j) + ww(i) p'(j), L(i, i) = 0      temporal links: i was written after j
    p     = (1 - sum ww) p' + ww                                      precedence
    wr^i  = pi_1 L^T wr^i' + pi_2 C(M, k^i, beta^i) + pi_3 L wr^i'    read weights: backward, content, forward
    r^i   = M^T wr^i

' is the value of the step before; f, g_a, g_w and e are sigmoid, pi softmax, beta = oneplus = 1 + softplus.
b batch, h read heads, n slots, m slot width.

Options after Csordas & Schmidhuber 2019, arXiv:1904.10278: `masked` content (keys and slots are multiplied by emitted
masks before they are compared), `deallocate` (what is freed is erased: M' * psi), and `sharpen_links` (the forward and
backward weights to an emitted power, normalised).
"""

from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.content import check_sizes
from saccade.core.own_backward import heard, own_backward, taps_of
from saccade.core.tap import Tap
from saccade.memory.addressing import content_weights
from saccade.memory.allocation import allocation, retention, usage_after
from saccade.memory.controller import Controller, Kind
from saccade.memory.dnc_parts import Computer, Memory
from saccade.memory.dnc_steps import Steps
from saccade.memory.links import link_after, precedence_after, sharpen_links
from saccade.memory.lstm import LSTMState
from saccade.memory.ntm_steps import HUGE


class DNCState(NamedTuple):
    memory: Float[Tensor, "b n m"]
    usage: Float[Tensor, "b n"]
    link: Float[Tensor, "b n n"]
    precedence: Float[Tensor, "b n"]
    read_weights: Float[Tensor, "b h n"]
    write_weights: Float[Tensor, "b n"]
    reads: Float[Tensor, "b h m"]
    controller: LSTMState | tuple[()]


class Emitted(NamedTuple):
    """What the controller emits. In keys, strengths and masks the read heads come first, the write head last."""

    keys: Float[Tensor, "b h1 m"]
    strengths: Float[Tensor, "b h1"]
    write_vector: Float[Tensor, "b m"]
    erase: Float[Tensor, "b m"]
    free_gates: Float[Tensor, "b h"]
    allocation_gate: Float[Tensor, "b 1"]
    write_gate: Float[Tensor, "b 1"]
    modes: Float[Tensor, "b h 3"]
    """Backward, content, forward."""
    masks: Float[Tensor, "b h1 m"] | None
    sharpness: Float[Tensor, "b 2 h"] | None
    """Of the backward and of the forward weights."""


def check_invariants(state: DNCState) -> None:
    """Assert what holds for every state that a DNC can reach, up to rounding."""
    slack = 1e-9 if state.usage.dtype == torch.float64 else 1e-3
    for name in ("usage", "link", "precedence", "read_weights", "write_weights"):
        values = getattr(state, name)
        assert values.isfinite().all(), f"{name} is not finite"
        assert values.min() >= -slack, f"{name} is negative: {values.min():.3g}"
        if name != "usage":
            assert values.sum(-1).max() <= 1 + slack, f"{name} sums to more than 1: {values.sum(-1).max():.6g}"
    assert state.usage.max() <= 1 + slack, f"usage is above 1: {state.usage.max():.6g}"
    assert state.link.sum(-2).max() <= 1 + slack, (
        f"a column of link sums to more than 1: {state.link.sum(-2).max():.6g}"
    )
    assert not state.link.diagonal(dim1=-2, dim2=-1).any(), "a slot is linked with itself"


class DNC(nn.Module):
    """Differentiable neural computer (Graves et al. 2016) over (b, t, d).

    Args:
        input_size: features of the input.
        output_size: features of the output.
        hidden_size: features of the controller.
        slots: N, the number of memory slots.
        slot_size: W, the features of a slot.
        read_heads: R, the number of read heads.
        controller: "lstm" or "feed-forward".
        masked, deallocate, sharpen_links: the three changes of Csordas & Schmidhuber 2019.
        usage_gradient: whether the usage sends a gradient to the write weights, as in the paper; the authors' code
            stops it.
        clip: largest magnitude of what the controller emits, 20 in the authors' code; None, the paper, does not limit
            it, and with enormous weights the gradients of the three changes may overflow.
        debug: whether every step asserts the invariants of its state.

    Raises:
        InvalidInput: inputs with the wrong number of features; sizes below 1.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        hidden_size: int = 100,
        slots: int = 64,
        slot_size: int = 20,
        read_heads: int = 2,
        controller: Kind = "lstm",
        masked: bool = False,
        deallocate: bool = False,
        sharpen_links: bool = False,
        usage_gradient: bool = True,
        clip: float | None = None,
        debug: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(input_size=input_size, output_size=output_size, hidden_size=hidden_size, slots=slots)
        check_sizes(slot_size=slot_size, read_heads=read_heads)
        self.slots, self.slot_size, self.read_heads = slots, slot_size, read_heads
        self.masked, self.deallocate, self.sharpen_links = masked, deallocate, sharpen_links
        self.usage_gradient, self.clip, self.debug = usage_gradient, clip, debug
        self.controller = Controller(controller, input_size, read_heads * slot_size, hidden_size)
        # one block for each activation: linear, sigmoid, oneplus, softmax
        self.blocks = [
            (read_heads + 2) * slot_size,
            slot_size + read_heads + 2 + (masked and (read_heads + 1) * slot_size),
            read_heads + 1 + (sharpen_links and 2 * read_heads),
            3 * read_heads,
        ]
        self.interface = nn.Linear(hidden_size, sum(self.blocks))
        self.output = nn.Linear(read_heads * slot_size + hidden_size, output_size)
        self.read_weights, self.write_weights, self.usage = Tap("b h n"), Tap("b n"), Tap("b n")
        self.link, self.memory, self.reads = Tap("b n n"), Tap("b n m"), Tap("b h m")
        self.free_gates, self.allocation_gate, self.write_gate = Tap("b h"), Tap("b 1"), Tap("b 1")
        self.modes = Tap("b h mode")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for layer in (self.interface, self.output):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def initial_state(self, batch_size: int) -> DNCState:
        """Everything is empty: zeros."""
        zeros = self.interface.bias.new_zeros
        return DNCState(
            memory=zeros(batch_size, self.slots, self.slot_size),
            usage=zeros(batch_size, self.slots),
            link=zeros(batch_size, self.slots, self.slots),
            precedence=zeros(batch_size, self.slots),
            read_weights=zeros(batch_size, self.read_heads, self.slots),
            write_weights=zeros(batch_size, self.slots),
            reads=zeros(batch_size, self.read_heads, self.slot_size),
            controller=self.controller.start(batch_size),
        )

    def emit(self, hidden: Float[Tensor, "b h"]) -> Emitted:
        """The interface: one product, then one activation for each block."""
        emitted = self.interface(hidden)
        if self.clip is not None:
            emitted = emitted.clamp(-self.clip, self.clip)
        heads, size = self.read_heads, self.slot_size
        linear, gates, strengths, modes = emitted.split(self.blocks, -1)
        keys, write_vector = linear.split([(heads + 1) * size, size], -1)
        erase, free, allocate, write, *masks = gates.sigmoid().split(
            [size, heads, 1, 1, *([(heads + 1) * size] if self.masked else [])], -1
        )
        strengths, *sharpness = (1 + F.softplus(strengths)).split(
            [heads + 1, *([2 * heads] if self.sharpen_links else [])], -1
        )
        return Emitted(
            keys.unflatten(-1, (heads + 1, size)),
            strengths,
            write_vector,
            erase,
            self.free_gates(free),
            self.allocation_gate(allocate),
            self.write_gate(write),
            self.modes(modes.unflatten(-1, (heads, 3)).softmax(-1)),
            masks[0].unflatten(-1, (heads + 1, size)) if self.masked else None,
            sharpness[0].unflatten(-1, (2, heads)) if self.sharpen_links else None,
        )

    def step(self, inputs: Float[Tensor, "b d"], state: DNCState) -> tuple[Float[Tensor, "b o"], DNCState]:
        """One time step."""
        outputs, state = self.forward(inputs[:, None], state)
        return outputs[:, 0], state

    def forward(
        self, inputs: Float[Tensor, "b t d"], state: DNCState | None = None
    ) -> tuple[Float[Tensor, "b t o"], DNCState]:
        """All time steps; the result equals T single steps."""
        state = self.initial_state(inputs.shape[0]) if state is None else state
        if not inputs.shape[1]:
            return inputs.new_zeros(inputs.shape[0], 0, self.output.out_features), state
        projected = self.controller.project(inputs).to(state.memory.dtype)
        plainly = self.masked or self.sharpen_links or self.debug or not own_backward()
        # the memory and its weights are part of the state: never in bfloat16
        with torch.autocast(inputs.device.type, enabled=False):
            if plainly or any(tap.replacing for tap in taps_of(self)):
                features, state = self._plainly(projected, state)
            else:
                features, state = self._at_once(projected, state)
        return self.output(features), state

    def _plainly(
        self, projected: Float[Tensor, "b t gates"], state: DNCState
    ) -> tuple[Float[Tensor, "b t f"], DNCState]:
        """By autograd, step by step: with the options of 2019, where a tensor is replaced, or in a compiled graph."""
        recurrent, features = self.controller.recurrent(), []
        for sums in projected.unbind(1):
            hidden, controller = self.controller.advance(sums, state.reads.flatten(1), state.controller, recurrent)
            emitted = self.emit(hidden)
            state = self._read(self._write(state, emitted), emitted)._replace(controller=controller)
            features.append(torch.cat([state.reads.flatten(1), hidden], 1))
            if self.debug:
                check_invariants(state)
        return torch.stack(features, 1), state

    def _at_once(
        self, projected: Float[Tensor, "b t gates"], state: DNCState
    ) -> tuple[Float[Tensor, "b t f"], DNCState]:
        """By one function with a backward pass of its own; what is listened to is kept by it."""
        computer = Computer(
            self.read_heads, self.slot_size, self.blocks, self.deallocate, self.usage_gradient,
            HUGE if self.clip is None else self.clip,
        )  # fmt: skip
        hidden, cell = state.controller or (None, None)
        features, *carried, cell, states, emitted = Steps.apply(  # type: ignore[no-untyped-call]
            computer, projected, *state[: len(Memory._fields)], state.reads.flatten(1), hidden, cell,
            self.controller.recurrent(), self.interface.weight, self.interface.bias,
        )  # fmt: skip
        size = self.controller.hidden_size
        reads = features[..., :-size].unflatten(-1, (self.read_heads, self.slot_size))
        for now, step in enumerate([*states, Memory(*carried)] if heard(self) else []):
            for name in ("usage", "write_weights", "memory", "link", "read_weights"):
                getattr(self, name).lazy(getattr(step, name).clone)
            self.free_gates.lazy(partial(emitted.free[now].flatten, 1))
            self.allocation_gate.lazy(partial(emitted.allocation_gate[now].flatten, 1))
            self.write_gate.lazy(partial(emitted.write_gate[now].flatten, 1))
            self.modes.lazy(partial(emitted.modes[now].softmax, -1))
            self.reads.lazy(partial(reads.select, 1, now))
        controller = () if cell is None else LSTMState(features[:, -1, -size:], cell)
        return features, DNCState(*Memory(*carried), reads=reads[:, -1], controller=controller)

    def _write(self, state: DNCState, emitted: Emitted) -> DNCState:
        """The state after the write; what belongs to the reads is still that of the step before."""
        written = state.write_weights if self.usage_gradient else state.write_weights.detach()
        kept = retention(emitted.free_gates, state.read_weights)
        usage = self.usage(usage_after(state.usage, written, kept))
        mask = None if emitted.masks is None else emitted.masks[:, -1:]
        content = content_weights(state.memory, emitted.keys[:, -1:], emitted.strengths[:, -1:], mask)[:, 0]
        weights = emitted.write_gate * torch.lerp(content, allocation(usage), emitted.allocation_gate)
        weights = self.write_weights(weights)
        held = state.memory * kept[..., None] if self.deallocate else state.memory
        held = held * (1 - weights[..., None] * emitted.erase[:, None])
        return state._replace(
            memory=self.memory(torch.baddbmm(held, weights[..., None], emitted.write_vector[:, None])),
            usage=usage,
            link=self.link(link_after(state.link, weights, state.precedence)),
            precedence=precedence_after(state.precedence, weights),
            write_weights=weights,
        )

    def _read(self, state: DNCState, emitted: Emitted) -> DNCState:
        """The state after the reads."""
        forward, backward = state.read_weights @ state.link.mT, state.read_weights @ state.link
        if emitted.sharpness is not None:
            backward = sharpen_links(backward, emitted.sharpness[:, 0])
            forward = sharpen_links(forward, emitted.sharpness[:, 1])
        mask = None if emitted.masks is None else emitted.masks[:, :-1]
        content = content_weights(state.memory, emitted.keys[:, :-1], emitted.strengths[:, :-1], mask)
        to_backward, to_content, to_forward = emitted.modes[..., None].unbind(2)
        weights = self.read_weights(to_backward * backward + to_content * content + to_forward * forward)
        return state._replace(read_weights=weights, reads=self.reads(weights @ state.memory))
