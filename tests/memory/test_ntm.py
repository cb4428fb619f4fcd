from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.explain import capture
from saccade.memory import NTM, NTMState
from saccade.memory.lstm import LSTMState
from tests.checks import assert_twins, leaf, randomised, unchanged
from tests.memory.test_addressing import slow_address

BATCH, STEPS, INPUT, OUTPUT = 2, 4, 3, 2
SIZES = {"hidden_size": 5, "slots": 7, "slot_size": 3}
KINDS: list[dict[str, Any]] = [
    {},
    {"controller": "feed-forward", "read": "before"},
    {"read_heads": 2, "write_heads": 3, "shifts": 5, "memory": "random"},
    {"write_heads": 2, "shifts": 1, "memory": "learned", "read": "before", "clip": 0.7},
    {"read_heads": 3, "controller": "feed-forward", "shifts": 7, "memory": "learned"},
]


def slow_controller(ntm: NTM, x: Tensor, reads: Tensor, state: Any) -> tuple[Tensor, Any]:
    """tanh(W x + V r + b), or the equations of lstm.py without peepholes, one unit at a time."""
    controller = ntm.controller
    sums = controller.weight_input @ x + controller.weight_reads @ reads.flatten() + controller.bias
    if controller.weight_hidden is None:
        return torch.tanh(sums), ()
    hidden, cell = state
    i, f, c, o = (sums + controller.weight_hidden @ hidden).chunk(4)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(c)
    hidden = torch.sigmoid(o) * torch.tanh(cell)
    return hidden, (hidden, cell)


def slow_emitted(ntm: NTM, hidden: Tensor) -> dict[str, Tensor]:
    """The blocks of the heads' layer, read heads first in each."""
    heads, size, writes = ntm.read_heads + ntm.write_heads, ntm.slot_size, ntm.write_heads
    sums = ntm.heads.weight @ hidden + ntm.heads.bias
    if ntm.clip is not None:
        sums = torch.clamp(sums, -ntm.clip, ntm.clip)
    sizes = [heads * size, writes * size, heads, writes * size, heads, heads, heads * ntm.shifts]
    key, add, gate, erase, strength, sharpness, shift = sums.split(sizes)
    return {
        "k": key.reshape(heads, size), "beta": F.softplus(strength), "g": torch.sigmoid(gate),
        "s": torch.softmax(shift.reshape(heads, -1), 1), "gamma": 1 + F.softplus(sharpness),
        "erase": torch.sigmoid(erase).reshape(writes, size), "add": add.reshape(writes, size),
    }  # fmt: skip


def slow_step(ntm: NTM, x: Tensor, memory: Tensor, weights: Tensor, reads: Tensor, state: Any) -> tuple[Any, ...]:
    """One step of one sequence, slot by slot: memory (n, m), weights (h, n), reads (r, m)."""
    hidden, state = slow_controller(ntm, x, reads, state)
    emitted, heads = slow_emitted(ntm, hidden), range(ntm.read_heads + ntm.write_heads)
    located = [[emitted[name][h] for name in ("k", "beta", "g", "s", "gamma")] for h in heads]
    new = torch.stack([slow_address(memory, weights[h], *located[h]) for h in heads])
    rows = []
    for i, row in enumerate(memory):
        for head in range(ntm.write_heads):
            row = row * (1 - new[ntm.read_heads + head, i] * emitted["erase"][head])
        for head in range(ntm.write_heads):
            row = row + new[ntm.read_heads + head, i] * emitted["add"][head]
        rows.append(row)
    written = torch.stack(rows)
    seen = written if ntm.read == "after" else memory
    reads = torch.stack([sum(new[h, i] * seen[i] for i in range(len(seen))) for h in range(ntm.read_heads)])
    output = ntm.output.weight @ torch.cat([reads.flatten(), hidden]) + ntm.output.bias
    return output, written, new, reads, state


def slow_ntm(ntm: NTM, inputs: Tensor, state: NTMState) -> tuple[Tensor, ...]:
    outputs, last = [], []
    for b, sequence in enumerate(inputs):
        weights = torch.cat([state.read_weights[b], state.write_weights[b]])
        carried: Any = tuple(part[b] for part in state.controller)
        memory, reads, found = state.memory[b], state.reads[b], []
        for x in sequence:
            output, memory, weights, reads, carried = slow_step(ntm, x, memory, weights, reads, carried)
            found.append(output)
        outputs.append(torch.stack(found))
        last.append((memory, weights, reads, *carried))
    return torch.stack(outputs), *(torch.stack(parts) for parts in zip(*last, strict=True))


def flat(outputs: Tensor, state: NTMState) -> tuple[Tensor, ...]:
    weights = torch.cat([state.read_weights, state.write_weights], 1)
    return outputs, state.memory, weights, state.reads, *state.controller


def make_ntm(**options: Any) -> NTM:
    return randomised(NTM(INPUT, OUTPUT, **SIZES, **options))


def some_state(ntm: NTM) -> tuple[Callable[[], NTMState], list[Tensor]]:
    """A state in the middle of a sequence, made anew from its leaves."""
    memory, weights = leaf(BATCH, ntm.slots, ntm.slot_size), leaf(BATCH, ntm.read_heads + ntm.write_heads, ntm.slots)
    reads, leaves = leaf(BATCH, ntm.read_heads, ntm.slot_size), []
    controller: Any = ()
    if ntm.controller.kind == "lstm":
        controller = LSTMState(leaf(BATCH, SIZES["hidden_size"]), leaf(BATCH, SIZES["hidden_size"]))
        leaves = list(controller)

    def made() -> NTMState:
        read, write = weights.softmax(-1).split([ntm.read_heads, ntm.write_heads], 1)
        return NTMState(memory, read, write, reads, controller)

    return made, [memory, weights, reads, *leaves]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at_once", [True, False])
def test_it_equals_its_slow_twin(kind: dict[str, Any], at_once: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saccade.memory.ntm.own_backward", lambda: at_once)
    ntm, inputs = make_ntm(**kind), leaf(BATCH, STEPS, INPUT)
    state, leaves = some_state(ntm)
    carried = [weight for name, weight in ntm.named_parameters() if not name.startswith("initial")]
    assert_twins(
        lambda: flat(*ntm(inputs, state())), lambda: slow_ntm(ntm, inputs, state()), [inputs, *leaves, *carried]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_sequence_equals_its_slow_twin(kind: dict[str, Any]) -> None:
    ntm, inputs = make_ntm(**kind), leaf(BATCH, STEPS, INPUT)

    def slow() -> tuple[Tensor, ...]:
        first = ntm.initial_weights.softmax(1).expand(BATCH, -1, -1)
        empty = ntm.initial_memory.expand(BATCH, -1, -1)
        zeros = torch.zeros(BATCH, SIZES["hidden_size"], dtype=torch.float64)
        controller: Any = LSTMState(zeros, zeros) if ntm.controller.kind == "lstm" else ()
        read, write = first.split([ntm.read_heads, ntm.write_heads], 1)
        return slow_ntm(ntm, inputs, NTMState(empty, read, write, ntm.initial_reads.expand(BATCH, -1, -1), controller))

    assert_twins(lambda: flat(*ntm(inputs)), slow, [inputs, *ntm.parameters()])


def test_an_empty_memory_is_constant_unless_it_is_learned_or_random() -> None:
    assert (NTM(3, 2, **SIZES).initial_state(2).memory == torch.tensor(1e-6)).all()
    assert "initial_memory" in dict(NTM(3, 2, **SIZES, memory="learned").named_parameters())
    drawn = NTM(3, 2, **SIZES, memory="random")
    assert drawn.initial_memory.unique().numel() == 21
    assert "initial_memory" not in dict(drawn.named_parameters())
    other = NTM(3, 2, **SIZES, memory="random")
    other.load_state_dict(drawn.state_dict())
    assert torch.equal(other.initial_memory, drawn.initial_memory)


def test_erasing_all_and_adding_overwrites_one_slot() -> None:
    from saccade.memory.ntm import write

    memory, add = torch.randn(1, 5, 3), torch.randn(1, 1, 3)
    written = write(memory, torch.eye(5)[None, 2:3], torch.ones(1, 1, 3), add)
    assert torch.equal(written[0, 2], add[0, 0])
    assert torch.equal(written[0, [0, 1, 3, 4]], memory[0, [0, 1, 3, 4]])


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_may_be_read_in_two_parts(kind: dict[str, Any]) -> None:
    ntm, inputs = make_ntm(**kind), torch.randn(BATCH, STEPS, INPUT, dtype=torch.float64)
    whole, final = ntm(inputs)
    first, state = ntm(inputs[:, :1])
    second, state = ntm(inputs[:, 1:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(state.memory, final.memory, rtol=1e-13, atol=1e-13)


def test_no_time_step_leaves_the_state_as_it_is() -> None:
    ntm = make_ntm()
    state = some_state(ntm)[0]()
    outputs, after = ntm(torch.zeros(BATCH, 0, INPUT, dtype=torch.float64), state)
    assert outputs.shape == (BATCH, 0, OUTPUT)
    assert after is state


@pytest.mark.parametrize("kind", KINDS)
def test_forward_changes_nothing_on_the_module(kind: dict[str, Any]) -> None:
    ntm, inputs = make_ntm(**kind), leaf(BATCH, STEPS, INPUT)
    with unchanged(ntm):
        outputs, state = ntm(inputs)
        ntm.step(inputs[:, 0], state)
        outputs.sum().backward(inputs=[inputs])


def test_its_weights_reads_and_memory_can_be_seen() -> None:
    ntm, inputs = make_ntm(read_heads=2), torch.randn(BATCH, STEPS, INPUT, dtype=torch.float64)
    outputs, state = ntm(inputs)
    with capture(ntm) as seen:
        heard, _ = ntm(inputs)
    assert torch.equal(heard, outputs)
    assert {name: (len(found), tuple(found[0].shape)) for name, found in seen.items()} == {
        "read_weights": (STEPS, (BATCH, 2, 7)), "write_weights": (STEPS, (BATCH, 1, 7)),
        "reads": (STEPS, (BATCH, 2, 3)), "adds": (STEPS, (BATCH, 1, 3)), "memory": (STEPS, (BATCH, 7, 3)),
    }  # fmt: skip
    torch.testing.assert_close(seen["memory"][-1], state.memory, rtol=0, atol=0)
    torch.testing.assert_close(seen["read_weights"][-1], state.read_weights, rtol=0, atol=0)
    with capture(ntm, only="read_weights", replace=lambda _, weights: torch.full_like(weights, 1 / 7)):
        other, _ = ntm(inputs)
    assert not torch.allclose(other, outputs)


@pytest.mark.unhooked
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shifts": 4}, "odd"), ({"slots": 3, "shifts": 5}, "wider than a memory of 3 slots"), ({"slots": 0}, "slots"),
        ({"read_heads": 0}, "read_heads"), ({"write_heads": 0}, "write_heads"), ({"slot_size": 0}, "slot_size"),
        ({"controller": "gru"}, "controller must be 'lstm' or 'feed-forward', not 'gru'"),
        ({"memory": "zeros"}, "memory must be"), ({"read": "both"}, "read must be"),
    ],
)  # fmt: skip
def test_a_configuration_that_cannot_be_raises(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        NTM(INPUT, OUTPUT, **options)


@pytest.mark.unhooked
def test_inputs_of_another_size_raise() -> None:
    with pytest.raises(InvalidInput, match="inputs must have 3 features, not 5"):
        make_ntm()(torch.zeros(BATCH, STEPS, 5, dtype=torch.float64))


@pytest.mark.parametrize("kind", KINDS)
def test_a_look_ahead_has_the_stages_of_the_next_step(kind: dict[str, Any]) -> None:
    ntm, inputs = randomised(NTM(INPUT, OUTPUT, **SIZES, **kind)), leaf(BATCH, STEPS, INPUT)
    _, state = ntm(inputs[:, :-1])
    emitted, stages = ntm.look(inputs[:, -1], state)
    _, after = ntm.step(inputs[:, -1], state)
    weights = torch.cat([after.read_weights, after.write_weights], 1)
    torch.testing.assert_close(stages.sharpened, weights, rtol=0, atol=1e-12)
    before = torch.cat([state.read_weights, state.write_weights], 1)
    gate, shift = emitted.address.gate, emitted.address.shift
    for b in range(BATCH):
        for h in range(weights.shape[1]):
            for slot in range(ntm.slots):
                mixed = gate[b, h] * stages.content[b, h, slot] + (1 - gate[b, h]) * before[b, h, slot]
                assert float((stages.interpolated[b, h, slot] - mixed).detach()) == pytest.approx(0, abs=1e-12)
                reach = ntm.shifts // 2
                moved = sum(
                    shift[b, h, move + reach] * stages.interpolated[b, h, (slot - move) % ntm.slots]
                    for move in range(-reach, reach + 1)
                )
                assert float((stages.moved[b, h, slot] - moved).detach()) == pytest.approx(0, abs=1e-12)
    for part in stages:
        torch.testing.assert_close(part.sum(-1), torch.ones_like(part[..., 0]), rtol=0, atol=1e-12)
