"""Sparse access memory. Rae et al. 2016, arXiv:1610.09027, sections 3.1 to 3.4.

    h_t  = controller(x_t, r_t-1);  q, beta, alpha, gamma, a = W h_t + b for each head;  y_t = W [h_t, r_t] + b
    ww_t = alpha (gamma wr_t-1 + (1 - gamma) I)            equation 5: I is 1 at the slot least recently accessed
    M_t  = (1 - I 1^T) * M_t-1 + ww_t a^T                  that slot is erased first
    wr_t = softmax over the K nearest slots of beta cos(q, M_t(i)), elsewhere 0
    r_t  = sum_i wr_t(i) M_t(i)

A slot is accessed when its read and write weights sum to more than delta = 0.005; each head erases a slot of its own.
alpha and gamma are sigmoid, beta is softplus. b batch, h heads, n slots, m slot width, k the K nearest.

A step changes h (K + 1) slots, and their old contents are all that it keeps: the backward pass writes them back, step
by step (section 3.4), so memory grows with the steps but not with slots times steps. With K = N this is dense reading.
"""

from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.content import check_sizes
from saccade.core.errors import InvalidInput
from saccade.core.own_backward import heard, own_backward, taps_of
from saccade.core.tap import Tap
from saccade.memory.controller import Controller, Kind
from saccade.memory.lstm import LSTMState
from saccade.memory.rollback import Journal, Rollback
from saccade.memory.sparse_addressing import (
    Emitted,
    Search,
    accessed_after,
    dense,
    gather,
    least_recent,
    nearest,
    read_content,
    write_weights,
)


class SparseAccessMemoryState(NamedTuple):
    memory: Float[Tensor, "b n m"]
    accessed: Int[Tensor, "b n"]
    """When each slot was last accessed: higher is later, and no two are equal."""
    time: Int[Tensor, " b"]
    """The number of the next step."""
    read_slots: Int[Tensor, "b h k"]
    read_weights: Float[Tensor, "b h k"]
    reads: Float[Tensor, "b h m"]
    controller: LSTMState | tuple[()]


class SparseAccessMemory(nn.Module):
    """Sparse access memory (Rae et al. 2016) over (b, t, d).

    Args:
        input_size: features of the input.
        output_size: features of the output.
        hidden_size: features of the controller.
        slots: N, the number of memory slots.
        slot_size: features of a slot.
        heads: number of heads; each reads and writes.
        nearest: K, how many slots a head reads.
        controller: "lstm" or "feed-forward".
        search: finds the nearest slots, as `Search` says; exact by default.

    Raises:
        InvalidInput: inputs with the wrong number of features; sizes below 1; more heads, or more slots to read, than
            there are.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        hidden_size: int = 100,
        slots: int = 128,
        slot_size: int = 20,
        heads: int = 1,
        nearest: int = 4,
        controller: Kind = "lstm",
        search: Search = nearest,
    ) -> None:
        super().__init__()
        check_sizes(input_size=input_size, output_size=output_size, hidden_size=hidden_size, slots=slots)
        check_sizes(slot_size=slot_size, heads=heads, nearest=nearest)
        if heads > slots:
            raise InvalidInput(f"each head erases a slot of its own: heads must be at most {slots} slots, not {heads}")
        if nearest > slots:
            raise InvalidInput(f"nearest must be at most the {slots} slots that there are to read, not {nearest}")
        self.slots, self.slot_size, self.head_count, self.nearest, self.search = (
            slots,
            slot_size,
            heads,
            nearest,
            search,
        )
        self.controller = Controller(controller, input_size, heads * slot_size, hidden_size)
        # one block for each activation: queries, adds | alphas, gammas | betas
        self.blocks = [2 * heads * slot_size, 2 * heads, heads]
        self.heads = nn.Linear(hidden_size, sum(self.blocks))
        self.output = nn.Linear(hidden_size + heads * slot_size, output_size)
        self.read_weights, self.write_weights = Tap("b h n"), Tap("b h n")
        self.reads, self.memory = Tap("b h m"), Tap("b n m")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for layer in (self.heads, self.output):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        # at first alpha is 0.88 and gamma 0.05: a step fills a new slot and spoils no other
        write_gates, interpolations = self.heads.bias[self.blocks[0] : -self.blocks[2]].chunk(2)
        nn.init.constant_(write_gates, 2.0)
        nn.init.constant_(interpolations, -3.0)

    def initial_state(self, batch_size: int) -> SparseAccessMemoryState:
        """An empty memory, whose slots will be written in order."""
        zeros, device = self.output.bias.new_zeros, self.output.bias.device
        return SparseAccessMemoryState(
            memory=zeros(batch_size, self.slots, self.slot_size),
            accessed=torch.arange(-self.slots, 0, device=device).expand(batch_size, -1),
            time=torch.zeros(batch_size, dtype=torch.long, device=device),
            read_slots=torch.arange(self.nearest, device=device).expand(batch_size, self.head_count, -1),
            read_weights=zeros(batch_size, self.head_count, self.nearest),
            reads=zeros(batch_size, self.head_count, self.slot_size),
            controller=self.controller.start(batch_size),
        )

    def activate(self, emitted: Float[Tensor, "b e"]) -> Emitted:
        """What the heads get, from the output of their layer: one activation for each block."""
        linear, gates, strength = emitted.split(self.blocks, -1)
        query, add = linear.unflatten(-1, (2, self.head_count, self.slot_size)).unbind(1)
        write_gate, interpolation = gates.sigmoid().chunk(2, -1)
        return Emitted(query, add, write_gate, interpolation, F.softplus(strength))

    def step(
        self, inputs: Float[Tensor, "b d"], state: SparseAccessMemoryState
    ) -> tuple[Float[Tensor, "b o"], SparseAccessMemoryState]:
        """One time step. The state before it stays as it was, so it copies the memory; many steps at once copy it
        once."""
        outputs, state = self.forward(inputs[:, None], state)
        return outputs[:, 0], state

    def forward(
        self, inputs: Float[Tensor, "b t d"], state: SparseAccessMemoryState | None = None
    ) -> tuple[Float[Tensor, "b t o"], SparseAccessMemoryState]:
        """All time steps; the result equals T single steps."""
        own = state is None
        state = self.initial_state(inputs.shape[0]) if state is None else state
        projected = self.controller.project(inputs).to(state.memory.dtype)
        if not inputs.shape[1]:
            return inputs.new_zeros(inputs.shape[0], 0, self.output.out_features), state
        # the memory and its weights are part of the state: never in bfloat16
        with torch.autocast(inputs.device.type, enabled=False):
            if any(tap.replacing for tap in taps_of(self)) or not own_backward():
                features, state = self._plainly(projected, state)
            else:
                features, state = self._rolling_back(projected, state, own)
        return self.output(features), state

    def _plainly(
        self, projected: Float[Tensor, "b t gates"], state: SparseAccessMemoryState
    ) -> tuple[Float[Tensor, "b t f"], SparseAccessMemoryState]:
        """By autograd, with a copy of the memory for each step: where a tensor is replaced, or in a compiled graph."""
        recurrent, features, written = self.controller.recurrent(), [], None
        for sums in projected.unbind(1):
            memory, accessed, time, read_slots, read_weights, reads, controller = state
            hidden, controller = self.controller.advance(sums, reads.flatten(1), controller, recurrent)
            emitted = self.activate(self.heads(hidden))
            oldest = least_recent(accessed, self.head_count)
            slots, weights = torch.cat([read_slots, oldest[..., None]], -1), write_weights(emitted, read_weights)
            written_weights = self.write_weights(dense(slots, weights, self.slots))
            memory = memory.scatter(1, oldest[..., None].expand(-1, -1, self.slot_size), 0)
            memory = self.memory(memory + written_weights.mT @ emitted.add)
            read_slots = self.search(memory.detach(), emitted.query.detach(), self.nearest, written)
            written = slots.flatten(1)
            content = gather(memory, read_slots.flatten(1)).unflatten(1, read_slots.shape[1:])
            read_weights, reads = read_content(content, emitted.query, emitted.strength)
            all_weights = self.read_weights(dense(read_slots, read_weights, self.slots))
            if self.read_weights.replacing:
                read_weights, reads = all_weights.gather(-1, read_slots), all_weights @ memory
            reads = self.reads(reads)
            everywhere = torch.arange(self.slots, device=accessed.device).expand_as(accessed)
            accessed = accessed_after(accessed.clone(), everywhere, (written_weights + all_weights).sum(1), time)
            state = SparseAccessMemoryState(memory, accessed, time + 1, read_slots, read_weights, reads, controller)
            features.append(torch.cat([hidden, reads.flatten(1)], 1))
        return torch.stack(features, 1), state

    def _rolling_back(
        self, projected: Float[Tensor, "b t gates"], state: SparseAccessMemoryState, own: bool
    ) -> tuple[Float[Tensor, "b t f"], SparseAccessMemoryState]:
        """By a backward pass that rolls the memory back; the state's memory is changed in place if it is its own."""
        carried = (state.memory, state.read_weights, state.reads, *state.controller)
        weights = (self.controller.recurrent(), self.heads.weight, self.heads.bias)
        chosen = (state.accessed, state.time, state.read_slots)
        features, memory, read_weights, reads, *rest = Rollback.apply(  # type: ignore[no-untyped-call]
            self, own, chosen, projected, *carried, *weights
        )
        *controller, accessed, read_slots, journal = rest
        state = SparseAccessMemoryState(
            memory,
            accessed,
            state.time + projected.shape[1],
            read_slots,
            read_weights,
            reads,
            LSTMState(*controller) if controller else (),
        )
        if heard(self):
            self._tell(features, memory, journal)
        return features, state

    def _tell(self, features: Tensor, memory: Tensor, journal: Journal) -> None:
        """Let the taps see each step; what no one listens to is not computed."""
        memories = []
        if self.memory.listener is not None:
            memories = [memory]
            for slots, old in zip(journal.slots[1:].flip(0), journal.old[1:].flip(0), strict=True):
                index = slots.flatten(1)[..., None].expand(-1, -1, self.slot_size)
                memories.append(memories[-1].scatter(1, index, old))
        reads = features[..., -self.head_count * self.slot_size :].unflatten(-1, (self.head_count, self.slot_size))
        for now in range(features.shape[1]):
            self.write_weights.lazy(partial(self._dense, journal.slots, journal.write_weights, now))
            self.memory.lazy(partial(list.__getitem__, memories, -1 - now))
            self.read_weights.lazy(partial(self._dense, journal.read_slots, journal.read_weights, now))
            self.reads.lazy(partial(reads.select, 1, now))

    def _dense(self, slots: Tensor, weights: Tensor, now: int) -> Tensor:
        return dense(slots[now], weights[now], self.slots)
