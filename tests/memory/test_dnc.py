from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.explain import capture
from saccade.memory import DNC, DNCState
from saccade.memory.allocation import allocation, usage_after
from saccade.memory.dnc import check_invariants
from saccade.memory.links import link_after, precedence_after, sharpen_links
from saccade.memory.lstm import LSTMState
from tests.checks import assert_twins, leaf, randomised, unchanged
from tests.memory.test_ntm import slow_controller

BATCH, STEPS, INPUT, OUTPUT = 2, 4, 3, 2
SIZES = {"hidden_size": 5, "slots": 7, "slot_size": 3}
KINDS: list[dict[str, Any]] = [
    {},
    {"controller": "feed-forward", "read_heads": 1},
    {"masked": True, "clip": 0.7},
    {"deallocate": True, "read_heads": 3},
    {"sharpen_links": True},
    {"masked": True, "deallocate": True, "sharpen_links": True},
    {"usage_gradient": False},
]


def slow_content(memory: Tensor, key: Tensor, strength: Tensor, mask: Tensor | None) -> Tensor:
    """C(M, k, beta)(i) = exp(beta cos(k, M(i))) / sum_j exp(beta cos(k, M(j))), both multiplied by the mask."""
    if mask is not None:
        memory, key = torch.stack([row * mask for row in memory]), key * mask
    near = [(key @ row) / ((key @ key).sqrt() * (row @ row).sqrt()) for row in memory]
    total = sum(torch.exp(strength * one) for one in near)
    return torch.stack([torch.exp(strength * one) / total for one in near])


def slow_allocation(usage: Tensor) -> Tensor:
    """a(phi_j) = (1 - u(phi_j)) prod_i<j u(phi_i)."""
    order = sorted(range(len(usage)), key=lambda i: round(usage[i].item() * 2**40))
    found = list(usage)
    for j, slot in enumerate(order):
        found[slot] = 1 - usage[slot]
        for other in order[:j]:
            found[slot] = found[slot] * usage[other]
    return torch.stack(found)


def slow_sharpen(weights: Tensor, power: Tensor) -> Tensor:
    relative = [one / (weights.max() + 1e-4) for one in weights]
    total = sum(one**power for one in relative)
    return torch.stack([one**power / (total + 1e-4) for one in relative])


def slow_emitted(dnc: DNC, hidden: Tensor) -> dict[str, Tensor]:
    heads, size = dnc.read_heads, dnc.slot_size
    sums = dnc.interface.weight @ hidden + dnc.interface.bias
    if dnc.clip is not None:
        sums = sums.clamp(-dnc.clip, dnc.clip)
    counts = [heads * size, size, size, size, heads, 1, 1]
    counts += [heads * size, size] if dnc.masked else []
    counts += [heads, 1] + ([heads, heads] if dnc.sharpen_links else []) + [3 * heads]
    parts = list(sums.split(counts))
    found = {"k": parts.pop(0).reshape(heads, size), "k_w": parts.pop(0), "v": parts.pop(0)}
    found |= {name: torch.sigmoid(parts.pop(0)) for name in ("e", "f", "g_a", "g_w")}
    if dnc.masked:
        found |= {"m": torch.sigmoid(parts.pop(0)).reshape(heads, size), "m_w": torch.sigmoid(parts.pop(0))}
    found |= {name: 1 + F.softplus(parts.pop(0)) for name in ("beta", "beta_w")}
    if dnc.sharpen_links:
        found |= {name: 1 + F.softplus(parts.pop(0)) for name in ("s_b", "s_f")}
    return found | {"pi": torch.softmax(parts.pop(0).reshape(heads, 3), 1)}


def slow_step(dnc: DNC, x: Tensor, state: Any, carried: Any) -> tuple[Any, ...]:
    """One step of one sequence by the equations of the paper, slot by slot."""
    memory, usage, link, precedence, read, write, reads = state
    hidden, carried = slow_controller(dnc, x, reads, carried)
    emitted, slots, heads = slow_emitted(dnc, hidden), range(dnc.slots), range(dnc.read_heads)
    kept, used = [], []
    for i in slots:
        psi = torch.ones((), dtype=torch.float64)
        for h in heads:
            psi = psi * (1 - emitted["f"][h] * read[h, i])
        kept.append(psi)
        last = write[i] if dnc.usage_gradient else write[i].detach()
        used.append((usage[i] + last - usage[i] * last) * psi)
    usage = torch.stack(used)
    content = slow_content(memory, emitted["k_w"], emitted["beta_w"][0], emitted.get("m_w"))
    g_a, g_w, free = emitted["g_a"][0], emitted["g_w"][0], slow_allocation(usage)
    write = torch.stack([g_w * (g_a * free[i] + (1 - g_a) * content[i]) for i in slots])
    held = [memory[i] * kept[i] if dnc.deallocate else memory[i] for i in slots]
    memory = torch.stack([held[i] * (1 - write[i] * emitted["e"]) + write[i] * emitted["v"] for i in slots])
    rows = [
        [(1 - write[i] - write[j]) * link[i, j] + write[i] * precedence[j] if i != j else 0 * link[i, j] for j in slots]
        for i in slots
    ]
    link = torch.stack([torch.stack(row) for row in rows])
    precedence = torch.stack([(1 - sum(write)) * precedence[i] + write[i] for i in slots])
    new = []
    for h in heads:
        forward = torch.stack([sum(link[i, j] * read[h, j] for j in slots) for i in slots])
        backward = torch.stack([sum(link[j, i] * read[h, j] for j in slots) for i in slots])
        if dnc.sharpen_links:
            forward, backward = slow_sharpen(forward, emitted["s_f"][h]), slow_sharpen(backward, emitted["s_b"][h])
        content = slow_content(memory, emitted["k"][h], emitted["beta"][h], emitted["m"][h] if dnc.masked else None)
        pi = emitted["pi"][h]
        new.append(torch.stack([pi[0] * backward[i] + pi[1] * content[i] + pi[2] * forward[i] for i in slots]))
    read = torch.stack(new)
    reads = torch.stack([sum(read[h, i] * memory[i] for i in slots) for h in heads])
    output = dnc.output.weight @ torch.cat([reads.flatten(), hidden]) + dnc.output.bias
    return output, (memory, usage, link, precedence, read, write, reads), carried


def slow_dnc(dnc: DNC, inputs: Tensor, state: DNCState) -> tuple[Tensor, ...]:
    outputs, last = [], []
    for b, sequence in enumerate(inputs):
        here: Any = [part[b] for part in state[:-1]]
        carried: Any = tuple(part[b] for part in state.controller)
        found = []
        for x in sequence:
            output, here, carried = slow_step(dnc, x, here, carried)
            found.append(output)
        outputs.append(torch.stack(found))
        last.append((*here, *carried))
    return torch.stack(outputs), *(torch.stack(parts) for parts in zip(*last, strict=True))


def flat(outputs: Tensor, state: DNCState) -> tuple[Tensor, ...]:
    return outputs, *state[:-1], *state.controller


def make_dnc(**options: Any) -> DNC:
    return randomised(DNC(INPUT, OUTPUT, **SIZES, **options))


def some_state(dnc: DNC) -> tuple[Callable[[], DNCState], list[Tensor]]:
    """A state that could be in the middle of a sequence, made anew from its leaves."""
    slots, heads = dnc.slots, dnc.read_heads
    shapes = {"memory": (slots, dnc.slot_size), "usage": (slots,), "link": (slots, slots), "precedence": (slots + 1,)}
    shapes |= {"read_weights": (heads, slots + 1), "write_weights": (slots + 1,), "reads": (heads, dnc.slot_size)}
    raw = {name: leaf(BATCH, *shape) for name, shape in shapes.items()}
    hidden = [leaf(BATCH, SIZES["hidden_size"]) for _ in range(2 * (dnc.controller.kind == "lstm"))]

    def made() -> DNCState:
        below_one = {name: raw[name].softmax(-1)[..., :-1] for name in ("precedence", "read_weights", "write_weights")}
        link = raw["link"].sigmoid() / slots * (1 - torch.eye(slots, dtype=torch.float64))
        state = raw | below_one | {"usage": raw["usage"].sigmoid(), "link": link}
        return DNCState(**state, controller=LSTMState(*hidden) if hidden else ())

    return made, [*raw.values(), *hidden]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at_once", [True, False])
def test_it_equals_its_slow_twin(kind: dict[str, Any], at_once: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saccade.memory.dnc.own_backward", lambda: at_once)
    dnc, inputs = make_dnc(**kind), leaf(BATCH, STEPS, INPUT)
    state, leaves = some_state(dnc)
    if not dnc.usage_gradient:
        del leaves[5]  # the last write weights reach nothing but the usage
    wrt = [inputs, *leaves, *dnc.parameters()]
    # the powers of sharp links lose some digits
    tolerance = 1e-11 if dnc.sharpen_links else 1e-12
    assert_twins(lambda: flat(*dnc(inputs, state())), lambda: slow_dnc(dnc, inputs, state()), wrt, tolerance)


def test_the_interface_has_the_size_of_the_paper() -> None:
    dnc = DNC(3, 2, slots=5, slot_size=7, read_heads=4)
    assert dnc.interface.out_features == 7 * 4 + 3 * 7 + 5 * 4 + 3


def test_a_trace_of_two_writes_by_hand() -> None:
    """Slot 0 is written whole, then slot 2: usage, allocation, precedence and links follow by hand."""
    empty = torch.zeros(1, 3, dtype=torch.float64)
    assert allocation(empty).tolist() == [[1, 0, 0]]  # equal usages: the first slot
    first, second = torch.eye(3, dtype=torch.float64)[[0, 2]].unsqueeze(1)
    link, precedence = torch.zeros(1, 3, 3, dtype=torch.float64), empty
    link, precedence = link_after(link, first, precedence), precedence_after(precedence, first)
    assert not link.any()
    assert precedence.tolist() == [[1, 0, 0]]
    usage = usage_after(empty, first, torch.ones_like(empty))
    assert usage.tolist() == [[1, 0, 0]]
    assert allocation(usage).tolist() == [[0, 1, 0]]
    link, precedence = link_after(link, second, precedence), precedence_after(precedence, second)
    assert link.tolist() == [[[0, 0, 0], [0, 0, 0], [1, 0, 0]]]  # slot 2 was written after slot 0
    assert precedence.tolist() == [[0, 0, 1]]
    assert (link @ first[..., None])[0, :, 0].tolist() == [0, 0, 1]
    assert (link.mT @ second[..., None])[0, :, 0].tolist() == [1, 0, 0]


@pytest.mark.parametrize("usage", [[0.0, 0.0, 0.0], [0.0, 0.5, 0.0, 1.0], [1.0, 1.0], [0.7], [0.3, 0.3, 0.9]])
def test_allocation_of_zeros_ones_and_equal_usages(usage: list[float]) -> None:
    given = torch.tensor([usage], dtype=torch.float64, requires_grad=True)
    assert_twins(lambda: allocation(given), lambda: slow_allocation(given[0])[None], [given])
    assert allocation(given).sum() <= 1
    if max(usage) == 1 == min(usage):
        assert not allocation(given).any()  # a full memory allocates nothing


def test_one_slot_is_a_gate() -> None:
    """With N = 1 and nothing used, the write weight is the write gate, and a read is the slot times a mode."""
    dnc, x = randomised(DNC(INPUT, OUTPUT, hidden_size=5, slots=1, slot_size=3)), leaf(BATCH, INPUT)
    _, state = dnc.step(x, dnc.initial_state(BATCH))
    hidden = state.controller[0]
    emitted = dnc.emit(hidden)
    torch.testing.assert_close(state.write_weights, emitted.write_gate)
    torch.testing.assert_close(state.memory[:, 0], emitted.write_gate * emitted.write_vector)
    torch.testing.assert_close(state.reads, emitted.modes[..., 1:2] * state.memory)
    assert not state.link.any()


def test_the_authors_code_stops_the_gradient_of_the_usage() -> None:
    whole, stopped = make_dnc(), make_dnc(usage_gradient=False)
    stopped.load_state_dict(whole.state_dict())
    inputs = leaf(BATCH, STEPS, INPUT)
    state, _ = some_state(whole)
    (one, _), (other, _) = whole(inputs, state()), stopped(inputs, state())
    assert torch.equal(one, other)
    assert not torch.allclose(*(torch.autograd.grad(each.sum(), inputs)[0] for each in (one, other)))


def test_links_that_are_none_stay_none_when_sharpened() -> None:
    weights = torch.tensor([[[0.0, 0.0, 0.0], [0.2, 0.1, 0.0]]], dtype=torch.float64, requires_grad=True)
    sharp = sharpen_links(weights, torch.tensor([[3.0, 3.0]], dtype=torch.float64))
    assert sharp[0, 0].max() < 1e-100
    torch.testing.assert_close(sharp[0, 1], torch.tensor([8.0, 1, 0]).double() / 9, rtol=0, atol=1e-4)
    (slope,) = torch.autograd.grad(sharp[0, :, 0].sum(), weights)
    assert slope.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_state_keeps_the_invariants(kind: dict[str, Any]) -> None:
    dnc = make_dnc(**kind, debug=True)
    outputs, _ = dnc(torch.randn(BATCH, 30, INPUT, dtype=torch.float64))
    assert outputs.isfinite().all()


@pytest.mark.parametrize(
    ("name", "broken", "message"),
    [
        ("usage", 1.5, "usage is above 1"), ("usage", -0.1, "usage is negative"), ("link", 0.3, "link sums to more"),
        ("write_weights", 0.4, "write_weights sums to more"), ("read_weights", torch.nan, "read_weights is not finite"),
        ("link", 0.1, "linked with itself"),
    ],
)  # fmt: skip
def test_broken_invariants_are_found(name: str, broken: float, message: str) -> None:
    state = make_dnc().initial_state(BATCH)
    with pytest.raises(AssertionError, match=message):
        check_invariants(state._replace(**{name: torch.full_like(getattr(state, name), broken)}))


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_may_be_read_in_two_parts(kind: dict[str, Any]) -> None:
    dnc, inputs = make_dnc(**kind), torch.randn(BATCH, STEPS, INPUT, dtype=torch.float64)
    whole, final = dnc(inputs)
    first, state = dnc(inputs[:, :1])
    second, state = dnc(inputs[:, 1:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(state.link, final.link, rtol=1e-13, atol=1e-13)


def test_no_time_step_leaves_the_state_as_it_is() -> None:
    dnc = make_dnc()
    state = some_state(dnc)[0]()
    outputs, after = dnc(torch.zeros(BATCH, 0, INPUT, dtype=torch.float64), state)
    assert outputs.shape == (BATCH, 0, OUTPUT)
    assert after is state


@pytest.mark.parametrize("kind", KINDS)
def test_forward_changes_nothing_on_the_module(kind: dict[str, Any]) -> None:
    dnc, inputs = make_dnc(**kind), leaf(BATCH, STEPS, INPUT)
    with unchanged(dnc):
        outputs, state = dnc(inputs)
        dnc.step(inputs[:, 0], state)
        outputs.sum().backward(inputs=[inputs])


def test_its_weights_usage_and_links_can_be_seen() -> None:
    dnc, inputs = make_dnc(), torch.randn(BATCH, STEPS, INPUT, dtype=torch.float64)
    outputs, state = dnc(inputs)
    with capture(dnc) as seen:
        heard, _ = dnc(inputs)
    assert torch.equal(heard, outputs)
    assert {name: (len(found), tuple(found[0].shape[1:])) for name, found in seen.items()} == {
        "read_weights": (STEPS, (2, 7)), "write_weights": (STEPS, (7,)), "usage": (STEPS, (7,)),
        "link": (STEPS, (7, 7)), "memory": (STEPS, (7, 3)), "reads": (STEPS, (2, 3)), "free_gates": (STEPS, (2,)),
        "allocation_gate": (STEPS, (1,)), "write_gate": (STEPS, (1,)), "modes": (STEPS, (2, 3)),
    }  # fmt: skip
    for name in ("memory", "link", "usage", "read_weights", "write_weights", "reads"):
        torch.testing.assert_close(seen[name][-1], getattr(state, name), rtol=0, atol=0)
    with capture(dnc, only="write_gate", replace=lambda _, gate: torch.zeros_like(gate)):
        _, state = dnc(inputs)
    assert not state.memory.any()  # nothing is written through closed gates


@pytest.mark.unhooked
@pytest.mark.parametrize("size", ["slots", "slot_size", "read_heads", "hidden_size", "input_size", "output_size"])
def test_sizes_below_one_raise(size: str) -> None:
    with pytest.raises(InvalidInput, match=f"{size} must be at least 1, not 0"):
        DNC(**({"input_size": INPUT, "output_size": OUTPUT} | {size: 0}))


@pytest.mark.unhooked
def test_inputs_of_another_size_raise() -> None:
    with pytest.raises(InvalidInput, match="inputs must have 3 features, not 5"):
        make_dnc()(torch.zeros(BATCH, STEPS, 5, dtype=torch.float64))
