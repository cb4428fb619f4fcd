from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from saccade.core.errors import InvalidInput
from saccade.explain import capture
from saccade.memory import SparseAccessMemory, SparseAccessMemoryState
from saccade.memory.lstm import LSTMState
from saccade.memory.sparse_addressing import nearest
from tests.checks import assert_twins, leaf, randomised, unchanged
from tests.memory.test_ntm import slow_controller

BATCH, STEPS, INPUT, OUTPUT = 2, 6, 3, 2
SIZES = {"hidden_size": 5, "slots": 7, "slot_size": 3}
KINDS: list[dict[str, Any]] = [
    {"nearest": 2},
    {"nearest": 3, "heads": 2},
    {"nearest": 7, "heads": 2, "controller": "feed-forward"},
    {"nearest": 1, "heads": 3},
    {"nearest": 2, "controller": "feed-forward"},
]
kinds = pytest.mark.parametrize("kind", KINDS)


def slow_step(sam: SparseAccessMemory, x: Tensor, state: Any, carried: Any) -> tuple[Any, ...]:
    """One step of one sequence: memory (n, m), weights (h, n) of all slots, and when each slot was last accessed."""
    memory, accessed, now, weights, reads = state
    heads, slots, size = range(sam.head_count), range(sam.slots), sam.slot_size
    hidden, carried = slow_controller(sam, x, reads, carried)
    sums = sam.heads.weight @ hidden + sam.heads.bias
    counts = [sam.head_count * size] * 2 + [sam.head_count] * 3
    query, add, alpha, gamma, beta = sums.split(counts)
    query, add = query.reshape(-1, size), add.reshape(-1, size)
    alpha, gamma, beta = torch.sigmoid(alpha), torch.sigmoid(gamma), F.softplus(beta)
    oldest = sorted(slots, key=lambda i: accessed[i])[: sam.head_count]
    writes = [[alpha[h] * (gamma[h] * weights[h, i] + (1 - gamma[h]) * (i == oldest[h])) for i in slots] for h in heads]
    rows = [0 * memory[i] if i in oldest else memory[i] for i in slots]
    memory = torch.stack([rows[i] + sum(writes[h][i] * add[h] for h in heads) for i in slots])
    new, found = [], []
    for h in heads:
        near = [query[h] @ row / ((query[h] @ query[h]).sqrt() * (row @ row).sqrt()) for row in memory]
        chosen = sorted(slots, key=lambda i: -near[i].item())[: sam.nearest]
        total = sum(torch.exp(beta[h] * near[i]) for i in chosen)
        new.append(torch.stack([torch.exp(beta[h] * near[i]) / total if i in chosen else 0 * near[i] for i in slots]))
        found.append(chosen)
    read = torch.stack(new)
    reads = torch.stack([sum(read[h, i] * memory[i] for i in slots) for h in heads])
    accessed = list(accessed)
    for i in slots:
        if sum(writes[h][i].item() + read[h, i].item() for h in heads) > 0.005:
            accessed[i] = now
    output = sam.output.weight @ torch.cat([hidden, reads.flatten()]) + sam.output.bias
    return output, (memory, accessed, now + 1, read, reads), carried


def slow_sam(sam: SparseAccessMemory, inputs: Tensor, state: SparseAccessMemoryState) -> tuple[Tensor, ...]:
    outputs, last = [], []
    for b, sequence in enumerate(inputs):
        weights = torch.zeros(sam.head_count, sam.slots, dtype=torch.float64)
        weights = weights.scatter_add(1, state.read_slots[b], state.read_weights[b])
        here: Any = (state.memory[b], state.accessed[b].tolist(), 1000, weights, state.reads[b])
        carried: Any = tuple(part[b] for part in state.controller)
        found = []
        for x in sequence:
            output, here, carried = slow_step(sam, x, here, carried)
            found.append(output)
        outputs.append(torch.stack(found))
        memory, _, _, weights, reads = here
        last.append((memory, weights, reads, *carried))
    return torch.stack(outputs), *(torch.stack(parts) for parts in zip(*last, strict=True))


def flat(outputs: Tensor, state: SparseAccessMemoryState) -> tuple[Tensor, ...]:
    dense = torch.zeros(*state.read_slots.shape[:2], state.memory.shape[1], dtype=torch.float64)
    weights = dense.scatter_add(2, state.read_slots, state.read_weights)
    return outputs, state.memory, weights, state.reads, *state.controller


def make_sam(**options: Any) -> SparseAccessMemory:
    return randomised(SparseAccessMemory(INPUT, OUTPUT, **SIZES | options))


def some_state(sam: SparseAccessMemory) -> tuple[Callable[[], SparseAccessMemoryState], list[Tensor]]:
    """A state in the middle of a sequence, made anew from its leaves."""
    memory, reads = leaf(BATCH, sam.slots, sam.slot_size), leaf(BATCH, sam.head_count, sam.slot_size)
    raw = leaf(BATCH, sam.head_count, sam.nearest)
    hidden = [leaf(BATCH, SIZES["hidden_size"]) for _ in range(2 * (sam.controller.kind == "lstm"))]
    orders = [torch.randperm(sam.slots) for _ in range(BATCH * (1 + sam.head_count))]
    accessed, slots = torch.stack(orders[:BATCH]), torch.stack(orders[BATCH:])[:, : sam.nearest]

    def made() -> SparseAccessMemoryState:
        return SparseAccessMemoryState(
            memory, accessed, torch.full((BATCH,), 50), slots.unflatten(0, (BATCH, -1)), raw.softmax(-1), reads,
            LSTMState(*hidden) if hidden else (),
        )  # fmt: skip

    return made, [memory, raw, reads, *hidden]


@kinds
@pytest.mark.parametrize("rolling", [True, False])
def test_it_equals_its_slow_twin(kind: dict[str, Any], rolling: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saccade.memory.sparse_access_memory.own_backward", lambda: rolling)
    sam, inputs = make_sam(**kind), leaf(BATCH, STEPS, INPUT)
    state, leaves = some_state(sam)
    assert_twins(
        lambda: flat(*sam(inputs, state())),
        lambda: slow_sam(sam, inputs, state()),
        [inputs, *leaves, *sam.parameters()],
        1e-11,
    )


def test_reading_all_slots_is_dense_reading() -> None:
    """K = N: the weights are the softmax over all slots, equation by equation those of a dense memory."""
    from saccade.memory.addressing import content_weights

    sam, inputs = make_sam(nearest=7, heads=2), torch.randn(BATCH, STEPS, INPUT, dtype=torch.float64)
    seen: list[Tensor] = []
    with capture(sam) as heard:
        _, state = sam(inputs, some_state(sam)[0]())
    for weights, memory, reads in zip(heard["read_weights"], heard["memory"], heard["reads"], strict=True):
        torch.testing.assert_close(weights.sum(-1), torch.ones(BATCH, 2, dtype=torch.float64))
        torch.testing.assert_close(weights @ memory, reads, rtol=1e-12, atol=1e-12)
        assert (weights > 0).all()
        seen.append(weights)
    hidden = state.controller[0]
    emitted = sam.activate(sam.heads(hidden))
    expected = content_weights(state.memory, emitted.query, emitted.strength)
    torch.testing.assert_close(seen[-1], expected, rtol=1e-12, atol=1e-12)


def test_the_search_finds_the_nearest_by_cosine() -> None:
    memory, query = torch.randn(BATCH, 11, 3, dtype=torch.float64), torch.randn(BATCH, 2, 3, dtype=torch.float64)
    cosine = F.cosine_similarity(query[:, :, None], memory[:, None], dim=-1)
    expected = cosine.argsort(descending=True)[..., :4].sort().values
    assert torch.equal(nearest(memory, query, 4).sort().values, expected)


def test_another_search_is_told_what_was_written() -> None:
    calls: list[Tensor | None] = []

    def told(memory: Tensor, query: Tensor, count: int, written: Tensor | None) -> Tensor:
        calls.append(written)
        assert not memory.requires_grad
        return nearest(memory, query, count)

    exact, other = make_sam(nearest=2), SparseAccessMemory(INPUT, OUTPUT, **SIZES, nearest=2, search=told).double()
    other.load_state_dict(exact.state_dict())
    inputs = torch.randn(BATCH, STEPS, INPUT, dtype=torch.float64)
    assert torch.equal(other(inputs)[0], exact(inputs)[0])
    assert calls[0] is None
    assert [written.shape for written in calls[1:] if written is not None] == [(BATCH, 3)] * (STEPS - 1)


def test_slots_are_written_in_order_and_the_oldest_is_erased() -> None:
    sam = make_sam(nearest=1)
    with torch.no_grad():
        sam.heads.weight.zero_()
        # alpha 1 and gamma 0: everything is written to the least recent slot, which is then the nearest
        sam.heads.bias.copy_(torch.tensor([1.0, 0, 0, 1, 0, 0, 50, -50, 0]).double())
    _, state = sam(torch.zeros(1, 3, INPUT, dtype=torch.float64))
    assert state.memory[0, :, 0].round(decimals=6).tolist() == [1, 1, 1, 0, 0, 0, 0]
    # slots 1 and 2 were last accessed by writes (or a read of an equal one), slots 3 to 6 never
    assert state.accessed[0].argmin() == 3


def retained(sam: SparseAccessMemory, steps: int) -> float:
    """Bytes that the forward pass allocates and keeps for the backward pass."""
    inputs, state = torch.randn(1, steps, INPUT), sam.initial_state(1)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as measured:
        outputs, last = sam(inputs, state)
    assert outputs.grad_fn is not None
    del last
    return float(sum(event.self_cpu_memory_usage for event in measured.key_averages()))


def test_what_a_step_keeps_does_not_grow_with_the_slots() -> None:
    a_step = {}
    for slots in (64, 4096):
        sam = SparseAccessMemory(INPUT, OUTPUT, hidden_size=5, slots=slots, slot_size=3, nearest=2)
        a_step[slots] = (retained(sam, 24) - retained(sam, 8)) / 16
    assert a_step[4096] < 1.05 * a_step[64]
    assert a_step[64] < 4 * 4096  # one copy of the larger memory would be 12 times as much


@kinds
def test_the_backward_pass_leaves_the_state_and_may_run_again(kind: dict[str, Any]) -> None:
    sam, inputs = make_sam(**kind), leaf(BATCH, STEPS, INPUT)
    outputs, state = sam(inputs)
    memory = state.memory.detach().clone()
    first = torch.autograd.grad(outputs.sum(), inputs, retain_graph=True)[0]
    assert torch.equal(state.memory, memory)
    assert torch.equal(torch.autograd.grad(outputs.sum(), inputs)[0], first)


@kinds
def test_a_sequence_may_be_read_in_two_parts(kind: dict[str, Any]) -> None:
    sam, inputs = make_sam(**kind), leaf(BATCH, STEPS, INPUT)
    state, leaves = some_state(sam)

    def parts() -> tuple[Tensor, ...]:
        first, between = sam(inputs[:, :2], state())
        second, last = sam(inputs[:, 2:], between)
        return flat(torch.cat([first, second], 1), last)

    assert_twins(parts, lambda: flat(*sam(inputs, state())), [inputs, *leaves, *sam.parameters()])


def test_no_time_step_leaves_the_state_as_it_is() -> None:
    sam = make_sam()
    state = some_state(sam)[0]()
    outputs, after = sam(torch.zeros(BATCH, 0, INPUT, dtype=torch.float64), state)
    assert outputs.shape == (BATCH, 0, OUTPUT)
    assert after is state


@kinds
def test_forward_changes_nothing_on_the_module(kind: dict[str, Any]) -> None:
    sam, inputs = make_sam(**kind), leaf(BATCH, STEPS, INPUT)
    with unchanged(sam):
        outputs, state = sam(inputs)
        sam.step(inputs[:, 0], state)
        outputs.sum().backward(inputs=[inputs])


def test_its_weights_reads_and_memory_can_be_seen_and_replaced() -> None:
    sam, inputs = make_sam(nearest=2, heads=2), torch.randn(BATCH, STEPS, INPUT, dtype=torch.float64)
    outputs, state = sam(inputs)
    with capture(sam) as seen:
        heard, _ = sam(inputs)
    assert torch.equal(heard, outputs)
    assert {name: (len(found), tuple(found[0].shape)) for name, found in seen.items()} == {
        "read_weights": (STEPS, (BATCH, 2, 7)), "write_weights": (STEPS, (BATCH, 2, 7)),
        "reads": (STEPS, (BATCH, 2, 3)), "memory": (STEPS, (BATCH, 7, 3)),
    }  # fmt: skip
    for t in range(STEPS):
        torch.testing.assert_close(seen["read_weights"][t] @ seen["memory"][t], seen["reads"][t])
    torch.testing.assert_close(seen["memory"][-1], state.memory, rtol=0, atol=0)
    with capture(sam, replace=lambda *_: None) as plainly:
        same, _ = sam(inputs)
    torch.testing.assert_close(same, outputs, rtol=1e-12, atol=1e-12)
    for name, found in plainly.items():
        for one, other in zip(found, seen[name], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    with capture(sam, only="reads", replace=lambda _, reads: torch.zeros_like(reads)):
        other, _ = sam(inputs)
    assert not torch.allclose(other, outputs)


@pytest.mark.unhooked
def test_more_heads_or_nearest_than_slots_raise() -> None:
    with pytest.raises(InvalidInput, match="heads must be at most 3 slots, not 4"):
        SparseAccessMemory(INPUT, OUTPUT, slots=3, heads=4, nearest=1)
    with pytest.raises(InvalidInput, match="nearest must be at most the 3 slots that there are to read, not 4"):
        SparseAccessMemory(INPUT, OUTPUT, slots=3)
    with pytest.raises(InvalidInput, match="heads must be at least 1"):
        SparseAccessMemory(INPUT, OUTPUT, heads=0)
    with pytest.raises(InvalidInput, match="inputs must have 3 features, not 5"):
        make_sam()(torch.zeros(BATCH, STEPS, 5, dtype=torch.float64))


@pytest.mark.parametrize("part", ["memory", "read_weights", "reads", "controller"])
def test_a_loss_of_one_part_of_the_state_has_its_gradient(part: str) -> None:
    sam, inputs = make_sam(nearest=2, heads=2), leaf(BATCH, STEPS, INPUT)

    def last(plainly: bool) -> tuple[Tensor, ...]:
        with capture(sam, replace=(lambda *_: None) if plainly else None):
            found = getattr(sam(inputs)[1], part)
        return tuple(found) if isinstance(found, tuple) else (found,)

    assert_twins(lambda: last(False), lambda: last(True), [inputs], 1e-11)


def test_a_new_memory_writes_into_new_slots() -> None:
    memory = SparseAccessMemory(3, 2, hidden_size=5, slots=8, slot_size=4, heads=2)
    emitted = memory.activate(memory.heads(torch.zeros(1, 5)))
    assert (emitted.write_gate > 0.8).all()
    assert (emitted.interpolation < 0.1).all()
    assert (emitted.strength - torch.tensor(2.0).log()).abs().max() < 1e-6


@pytest.mark.parametrize("heads", [1, 2])
def test_the_least_recent_slots_are_found_among_few(heads: int) -> None:
    """With many slots, of which a sequence can access few, the steps write where the plain form writes."""
    sam, inputs = make_sam(slots=60, nearest=1, heads=heads), torch.randn(BATCH, STEPS, INPUT, dtype=torch.float64)
    start = sam.initial_state(BATCH)._replace(accessed=torch.stack([torch.randperm(60) - 100 for _ in range(BATCH)]))
    with capture(sam, only="write_weights") as seen:
        outputs, state = sam(inputs, start)
    with capture(sam, only="write_weights", replace=lambda *_: None) as plainly:
        expected, last = sam(inputs, start)
    torch.testing.assert_close(outputs, expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(state.accessed, last.accessed)
    for one, other in zip(seen["write_weights"], plainly["write_weights"], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
