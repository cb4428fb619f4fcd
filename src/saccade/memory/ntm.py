"""Neural Turing machine. Graves, Wayne & Danihelka 2014, arXiv:1410.5401, sections 3.1 to 3.4, equations 2 to 9.

    h_t     = controller(x_t, r_t-1)                       LSTM, or tanh(W [x_t, r_t-1] + b)
    k, beta, g, s, gamma, e, a = W h_t + b                 for each head; e (erase) and a (add) for write heads
    w_t     = address(M_t-1, w_t-1; k, beta, g, s, gamma)  equations 5 to 9, in addressing.py
    M_t(i)  = M_t-1(i) prod_heads (1 - w_t(i) e_t) + sum_heads w_t(i) a_t      equations 3 and 4
    r_t     = sum_i w_t(i) M_t(i)                          equation 2
    y_t     = W [r_t, h_t] + b

beta = softplus, g and e sigmoid, s softmax, gamma = 1 + softplus; k and a are linear. x input, h hidden, M memory, r
reads; b batch, h heads (read heads first), n slots, m slot width. The paper does not say whether a step reads what it
writes; equation 2 has the memory of time t, and most implementations read that of t - 1: `read="before"`.
"""

from functools import partial
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.content import check_sizes
from saccade.core.own_backward import heard, own_backward, taps_of
from saccade.core.tap import Tap
from saccade.memory.addressing import Address, Stages, address, check_shifts, stages
from saccade.memory.controller import Controller, Kind, check_choice
from saccade.memory.lstm import LSTMState
from saccade.memory.ntm_steps import HUGE, Machine, Steps

SMALL = 1e-6  # the constant that an empty memory holds (Collier & Beel 2018, arXiv:1807.08518)
FORWARD = 1.0  # the first bias of the logit of the largest shift, of the others 0
FIRST = 10.0  # the logit of the first slot before a sequence, of the others 0: its weight is 0.99 of 128 slots


class NTMState(NamedTuple):
    memory: Float[Tensor, "b n m"]
    read_weights: Float[Tensor, "b r n"]
    write_weights: Float[Tensor, "b w n"]
    reads: Float[Tensor, "b r m"]
    controller: LSTMState | tuple[()]


class Emitted(NamedTuple):
    """What the controller emits: addresses of all heads, read heads first; erase and add vectors of the write heads."""

    address: Address
    erase: Float[Tensor, "b w m"]
    add: Float[Tensor, "b w m"]


def write(
    memory: Float[Tensor, "b n m"],
    weights: Float[Tensor, "b w n"],
    erase: Float[Tensor, "b w m"],
    add: Float[Tensor, "b w m"],
) -> Float[Tensor, "b n m"]:
    """Equations 3 and 4: all heads erase, then all add, so the order of the heads does not matter."""
    kept = memory
    for one, erased in zip(weights.unbind(1), erase.unbind(1), strict=True):
        kept = kept * (1 - one[..., None] * erased[:, None])
    return torch.baddbmm(kept, weights.mT, add)


class NTM(nn.Module):
    """Neural Turing machine (Graves et al. 2014) over (b, t, d).

    Args:
        input_size: features of the input.
        output_size: features of the output.
        hidden_size: features of the controller.
        slots: N, the number of memory slots.
        slot_size: M, the features of a slot.
        read_heads: number of read heads.
        write_heads: number of write heads.
        shifts: how many shifts a head chooses among; odd, the middle one is to stay.
        controller: "lstm" or "feed-forward".
        memory: an empty memory is "constant" (1e-6), "learned", or "random" (drawn once, with the module).
        read: whether a step reads "after" its own write (equation 2) or "before" it.
        clip: largest magnitude of what the controller emits for the heads; None, the paper, does not limit it.

    Raises:
        InvalidInput: inputs with the wrong number of features; sizes below 1; shifts even or wider than the memory.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        hidden_size: int = 100,
        slots: int = 128,
        slot_size: int = 20,
        read_heads: int = 1,
        write_heads: int = 1,
        shifts: int = 3,
        controller: Kind = "lstm",
        memory: Literal["constant", "learned", "random"] = "constant",
        read: Literal["before", "after"] = "after",
        clip: float | None = None,
    ) -> None:
        super().__init__()
        check_sizes(input_size=input_size, output_size=output_size, hidden_size=hidden_size, slots=slots)
        check_sizes(slot_size=slot_size, read_heads=read_heads, write_heads=write_heads)
        check_shifts(shifts, slots)
        check_choice("memory", memory, "constant", "learned", "random")
        check_choice("read", read, "before", "after")
        self.slots, self.slot_size, self.shifts = slots, slot_size, shifts
        self.read_heads, self.write_heads, self.read, self.clip = read_heads, write_heads, read, clip
        heads, reads_size = read_heads + write_heads, read_heads * slot_size
        self.controller = Controller(controller, input_size, reads_size, hidden_size)
        # one block for each activation: keys, adds | gates, erases | strengths, sharpnesses | shifts
        self.blocks = [heads * slot_size, write_heads * slot_size, heads, write_heads * slot_size, heads, heads]
        self.heads = nn.Linear(hidden_size, sum(self.blocks) + heads * shifts)
        self.output = nn.Linear(reads_size + hidden_size, output_size)
        if memory == "learned":
            self.initial_memory: Tensor = nn.Parameter(torch.empty(slots, slot_size))
        else:
            self.register_buffer("initial_memory", torch.empty(slots, slot_size))
        # Every head starts at the first slot. On a constant memory, uniform weights would stay uniform for ever, and
        # heads with random first weights need long to find a common place to start.
        self.initial_weights = nn.Parameter(torch.empty(heads, slots))
        self.initial_reads = nn.Parameter(torch.empty(read_heads, slot_size))
        self.read_weights, self.write_weights = Tap("b h n"), Tap("b h n")
        self.reads, self.adds, self.memory = Tap("b h m"), Tap("b h m"), Tap("b n m")
        self.reset_parameters(random=memory == "random")

    def reset_parameters(self, random: bool = False) -> None:
        """Draw the weights; an empty memory is constant unless it is random."""
        for layer in (self.heads, self.output):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.initial_weights)
        self.initial_weights.data[:, 0] = FIRST
        # a tendency to move on: with equal shifts, some seeds learn to copy without the memory
        shifts = self.heads.bias.data[-(self.read_heads + self.write_heads) * self.shifts :]
        shifts.view(-1, self.shifts)[:, -1] = FORWARD
        nn.init.zeros_(self.initial_reads)
        with torch.no_grad():
            if random:
                self.initial_memory.uniform_(-1, 1).div_((self.slots + self.slot_size) ** 0.5)
            else:
                self.initial_memory.fill_(SMALL)

    def initial_state(self, batch_size: int) -> NTMState:
        weights = self.initial_weights.softmax(-1).expand(batch_size, -1, -1)
        read_weights, write_weights = weights.split([self.read_heads, self.write_heads], 1)
        return NTMState(
            self.initial_memory.expand(batch_size, -1, -1),
            read_weights,
            write_weights,
            self.initial_reads.expand(batch_size, -1, -1),
            self.controller.start(batch_size),
        )

    def emit(self, hidden: Float[Tensor, "b h"]) -> Emitted:
        """What all heads get: one product, then one activation for each block."""
        emitted = self.heads(hidden)
        if self.clip is not None:
            emitted = emitted.clamp(-self.clip, self.clip)
        heads = self.read_heads + self.write_heads
        key, add, gate, erase, strength, sharpness, shift = emitted.split([*self.blocks, heads * self.shifts], -1)
        located = Address(
            key.unflatten(-1, (heads, self.slot_size)),
            F.softplus(strength),
            gate.sigmoid(),
            shift.unflatten(-1, (heads, self.shifts)).softmax(-1),
            1 + F.softplus(sharpness),
        )
        written = (self.write_heads, self.slot_size)
        return Emitted(located, erase.sigmoid().unflatten(-1, written), add.unflatten(-1, written))

    def look(self, inputs: Float[Tensor, "b d"], state: NTMState) -> tuple[Emitted, Stages]:
        """What the next step emits, and the weights of its heads after each stage of the addressing; the step itself is
        not taken. The last stage is what the step's heads attend to, read heads first."""
        [sums] = self.controller.project(inputs[:, None]).to(state.memory.dtype).unbind(1)
        recurrent = self.controller.recurrent()
        hidden, _ = self.controller.advance(sums, state.reads.flatten(1), state.controller, recurrent)
        emitted = self.emit(hidden)
        weights = torch.cat([state.read_weights, state.write_weights], 1)
        return emitted, stages(state.memory, weights, emitted.address)

    def step(self, inputs: Float[Tensor, "b d"], state: NTMState) -> tuple[Float[Tensor, "b o"], NTMState]:
        """One time step."""
        outputs, state = self.forward(inputs[:, None], state)
        return outputs[:, 0], state

    def forward(
        self, inputs: Float[Tensor, "b t d"], state: NTMState | None = None
    ) -> tuple[Float[Tensor, "b t o"], NTMState]:
        """All time steps; the result equals T single steps."""
        state = self.initial_state(inputs.shape[0]) if state is None else state
        if not inputs.shape[1]:
            return inputs.new_zeros(inputs.shape[0], 0, self.output.out_features), state
        projected = self.controller.project(inputs).to(state.memory.dtype)
        # the memory and its weights are part of the state: never in bfloat16
        with torch.autocast(inputs.device.type, enabled=False):
            if any(tap.replacing for tap in taps_of(self)) or not own_backward():
                features, state = self._plainly(projected, state)
            else:
                features, state = self._at_once(projected, state)
        return self.output(features), state

    def _plainly(
        self, projected: Float[Tensor, "b t gates"], state: NTMState
    ) -> tuple[Float[Tensor, "b t f"], NTMState]:
        """By autograd, step by step: where a tensor is replaced, or in a compiled graph."""
        recurrent, features = self.controller.recurrent(), []
        for sums in projected.unbind(1):
            hidden, controller = self.controller.advance(sums, state.reads.flatten(1), state.controller, recurrent)
            emitted = self.emit(hidden)
            weights = address(state.memory, torch.cat([state.read_weights, state.write_weights], 1), emitted.address)
            read_weights, write_weights = weights.split([self.read_heads, self.write_heads], 1)
            read_weights, write_weights = self.read_weights(read_weights), self.write_weights(write_weights)
            memory = self.memory(write(state.memory, write_weights, emitted.erase, self.adds(emitted.add)))
            reads = self.reads(read_weights @ (memory if self.read == "after" else state.memory))
            features.append(torch.cat([reads.flatten(1), hidden], 1))
            state = NTMState(memory, read_weights, write_weights, reads, controller)
        return torch.stack(features, 1), state

    def _at_once(
        self, projected: Float[Tensor, "b t gates"], state: NTMState
    ) -> tuple[Float[Tensor, "b t f"], NTMState]:
        """By one function with a backward pass of its own; what is listened to is kept by it."""
        machine = Machine(
            self.read_heads, self.write_heads, self.slot_size, self.shifts, self.blocks, self.read == "after",
            HUGE if self.clip is None else self.clip,
        )  # fmt: skip
        hidden, cell = state.controller or (None, None)
        weights = torch.cat([state.read_weights, state.write_weights], 1)
        features, memory, weights, cell, memories, located, emitted = Steps.apply(  # type: ignore[no-untyped-call]
            machine, projected, state.memory, weights, state.reads.flatten(1), hidden, cell,
            self.controller.recurrent(), self.heads.weight, self.heads.bias,
        )  # fmt: skip
        reads = features[..., : -self.controller.hidden_size].unflatten(-1, (self.read_heads, self.slot_size))
        steps = zip([*memories, memory], [*located, weights], strict=True) if heard(self) else ()
        for now, (kept, of_heads) in enumerate(steps):
            self.read_weights.lazy(partial(of_heads.narrow, 1, 0, self.read_heads))
            self.write_weights.lazy(partial(of_heads.narrow, 1, self.read_heads, self.write_heads))
            self.adds.lazy(emitted.add[now].clone)
            self.memory.lazy(kept.clone)
            self.reads.lazy(partial(reads.select, 1, now))
        read_weights, write_weights = weights.split([self.read_heads, self.write_heads], 1)
        controller = () if cell is None else LSTMState(features[:, -1, -self.controller.hidden_size :], cell)
        return features, NTMState(memory, read_weights, write_weights, reads[:, -1], controller)
