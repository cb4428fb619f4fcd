import torch
from torch import Tensor

from saccade.attention import AdditiveAttention
from saccade.attention.past_alignment import PastAlignmentAttention
from saccade.memory.gru import GRU
from tests.checks import assert_twins, leaf, randomised
from tests.memory.test_gru import slow_step

BATCH, STEPS, KEYS, QUERY_SIZE, KEY_SIZE, WIDTH, MEMORY = 3, 5, 7, 2, 11, 3, 5
LENGTHS = [KEYS, 4, 0]


def make() -> PastAlignmentAttention:
    return randomised(PastAlignmentAttention(QUERY_SIZE, KEY_SIZE, WIDTH, memory_size=MEMORY))


def make_inputs() -> tuple[Tensor, Tensor, Tensor]:
    mask = torch.arange(KEYS) < torch.tensor(LENGTHS)[:, None]
    return leaf(BATCH, STEPS, QUERY_SIZE), leaf(BATCH, KEYS, KEY_SIZE), mask


def looks(attention: PastAlignmentAttention, query: Tensor, keys: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
    prepared = attention.prepare(keys, mask)
    state, found = attention.initial_state(prepared), []
    for q in query.unbind(1):
        reading = attention.read(q, prepared, state)
        state = reading.state
        found.append((reading.context, reading.weights, state.memory))
    return tuple(torch.stack(parts, 1) for parts in zip(*found, strict=True))


def slow(attention: PastAlignmentAttention, query: Tensor, keys: Tensor) -> tuple[Tensor, ...]:
    """One key at a time; its memory is updated by `saccade.memory.GRU` from weight, key and query."""
    W, U, b, V = attention.query.weight, attention.key.weight, attention.key.bias, attention.past.weight
    cell = GRU(1 + KEY_SIZE + QUERY_SIZE, MEMORY)
    del cell.weight_input, cell.weight_hidden, cell.bias
    inputs = [attention.weight_gates[:, None], attention.key_gates.weight, attention.query_gates.weight]
    cell.weight_input = torch.cat(inputs, 1)  # type: ignore[assignment]
    cell.weight_hidden = torch.cat([attention.memory_gates.weight, attention.memory_candidate.weight])  # type: ignore[assignment]
    cell.bias = attention.key_gates.bias
    contexts, weights, memories = [], [], []
    for i, length in enumerate(LENGTHS):
        memory = [torch.zeros(MEMORY, dtype=torch.float64) for _ in range(KEYS)]
        for q in query[i]:
            masses = [
                torch.exp(attention.v @ torch.tanh(W @ q + U @ key + b + V @ m))
                for key, m in zip(keys[i], memory, strict=True)
            ]
            total = sum(masses[:length])
            row = [mass / total if k < length else 0 * mass for k, mass in enumerate(masses)]
            contexts.append(sum(w * key for w, key in zip(row, keys[i], strict=True)))
            memory = [
                slow_step(cell, torch.cat([w[None], key, q]), m) for w, key, m in zip(row, keys[i], memory, strict=True)
            ]
            weights.append(torch.stack(row))
            memories.append(torch.stack(memory))
    shape = (BATCH, STEPS)
    return (
        torch.stack(contexts).view(*shape, KEY_SIZE),
        torch.stack(weights).view(*shape, KEYS),
        torch.stack(memories).view(*shape, KEYS, MEMORY),
    )


def test_it_equals_its_slow_twin() -> None:
    attention, (query, keys, mask) = make(), make_inputs()
    wrt = [query, keys, *attention.parameters()]
    assert_twins(lambda: looks(attention, query, keys, mask), lambda: slow(attention, query, keys), wrt)


def test_without_its_memory_it_is_additive_attention() -> None:
    attention, (query, keys, mask) = make(), make_inputs()
    additive = AdditiveAttention(QUERY_SIZE, KEY_SIZE, WIDTH).double()
    own = {name: tensor for name, tensor in attention.state_dict().items() if name in additive.state_dict()}
    additive.load_state_dict(own)
    assert not torch.allclose(looks(attention, query, keys, mask)[0], additive(query, keys, mask))
    torch.nn.init.zeros_(attention.past.weight)
    torch.testing.assert_close(looks(attention, query, keys, mask)[0], additive(query, keys, mask))


def test_an_attended_key_is_remembered() -> None:
    attention, (query, _, _) = make(), make_inputs()
    keys = leaf(1, 1, KEY_SIZE).expand(1, 2, KEY_SIZE)  # two equal keys, only one of which is attended
    prepared = attention.prepare(keys)
    state = attention.initial_state(prepared)
    memory = attention._remember(query[:1, 0], torch.tensor([[1.0, 0.0]]).double(), prepared, state.memory)
    assert not torch.allclose(memory[0, 0], memory[0, 1])
