"""External memories on random configurations, weights and inputs, most of them unreasonable: everything is finite, and
the invariants hold."""

import os
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from saccade.core.state import tensors
from saccade.memory import DNC, NTM, SparseAccessMemory
from saccade.memory.dnc import check_invariants
from tests.checks import assert_twins, leaf, randomised

EXAMPLES = int(os.environ.get("SACCADE_EXAMPLES", "100"))  # benchmarks/memory_robustness.py takes more
SCALES = st.sampled_from([0.0, 1e-3, 1.0, 30.0, 1e4])

sizes = {
    "hidden_size": st.integers(1, 5),
    "slots": st.integers(1, 9),
    "slot_size": st.integers(1, 5),
    "controller": st.sampled_from(["lstm", "feed-forward"]),
}
ntms = st.fixed_dictionaries(
    sizes
    | {
        "read_heads": st.integers(1, 3),
        "write_heads": st.integers(1, 3),
        "shifts": st.integers(0, 4),
        "memory": st.sampled_from(["constant", "learned", "random"]),
        "read": st.sampled_from(["before", "after"]),
        "clip": st.sampled_from([None, 20.0]),
    }
)
dncs = st.fixed_dictionaries(
    sizes
    | {"read_heads": st.integers(1, 3), "clip": st.sampled_from([None, 20.0])}
    | dict.fromkeys(("masked", "deallocate", "sharpen_links", "usage_gradient"), st.booleans())
)
sams = st.fixed_dictionaries(sizes | {"heads": st.integers(1, 3), "nearest": st.integers(1, 9)})
settled = st.fixed_dictionaries(
    {
        "batch": st.integers(1, 2),
        "steps": st.integers(1, 6),
        "weights": SCALES,
        "inputs": SCALES,
        "equal": st.booleans(),
        "bfloat16": st.booleans(),
        "seed": st.integers(0, 999),
    }
)


def run(memory: nn.Module, how: dict[str, Any]) -> Any:
    """The last state, after a check that outputs, state and gradients are finite."""
    with torch.no_grad():
        for parameter in memory.parameters():
            nn.init.constant_(parameter, how["weights"]) if how["equal"] else parameter.mul_(how["weights"])
    inputs = (how["inputs"] * torch.randn(how["batch"], how["steps"], 2)).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=how["bfloat16"]):
        outputs, state = memory(inputs)
    assert outputs.isfinite().all()
    assert all(part.isfinite().all() for part in tensors(state))
    outputs.float().mean().backward()
    learned: list[Tensor] = [inputs, *memory.parameters()]
    assert all(each.grad is None or each.grad.isfinite().all() for each in learned)
    assert inputs.grad is not None
    return state


def assert_distribution(weights: Tensor) -> None:
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]), rtol=0, atol=1e-4)


@settings(max_examples=EXAMPLES)
@given(options=ntms, how=settled)
def test_turing_machines_stay_finite_and_their_weights_distributions(options: Any, how: Any) -> None:
    torch.manual_seed(how["seed"])
    options["shifts"] = 2 * min(options["shifts"], (options["slots"] - 1) // 2) + 1
    state = run(NTM(2, 3, **options), how)
    assert_distribution(state.read_weights)
    assert_distribution(state.write_weights)


@settings(max_examples=EXAMPLES)
@given(options=dncs, how=settled)
def test_neural_computers_stay_finite_and_keep_their_invariants(options: Any, how: Any) -> None:
    torch.manual_seed(how["seed"])
    check_invariants(run(DNC(2, 3, **options), how))


@pytest.mark.parametrize("seed", [0, 1])
def test_sharpened_links_do_not_amplify_rounding_errors(seed: int) -> None:
    """A configuration whose gradients were NaN while links above 1e-6 counted; in float64 they are below 1e5."""
    torch.manual_seed(seed)
    options: Any = {"hidden_size": 1, "slots": 2, "slot_size": 2, "controller": "feed-forward", "read_heads": 3}
    how = {"batch": 1, "steps": 4, "weights": 1e4, "inputs": 1e-3, "equal": False, "bfloat16": False}
    check_invariants(run(DNC(2, 3, **options, masked=True, sharpen_links=True, usage_gradient=False), how))


@settings(max_examples=EXAMPLES)
@given(options=sams, how=settled)
def test_sparse_memories_stay_finite_and_read_slots_that_are_there(options: Any, how: Any) -> None:
    torch.manual_seed(how["seed"])
    options["heads"] = min(options["heads"], options["slots"])
    options["nearest"] = min(options["nearest"], options["slots"])
    state = run(SparseAccessMemory(2, 3, **options), how)
    assert_distribution(state.read_weights)
    assert ((state.read_slots >= 0) & (state.read_slots < options["slots"])).all()
    assert all(len(row.unique()) == options["slots"] for row in state.accessed)  # no two times are equal


@pytest.mark.parametrize("kind", [NTM, DNC, SparseAccessMemory])
def test_bfloat16_autocast_stays_near_float32_and_the_state_is_float32(kind: Any) -> None:
    memory, inputs = kind(2, 3, hidden_size=5, slots=7, slot_size=3), torch.randn(2, 5, 2)
    exact, _ = memory(inputs)
    with torch.autocast("cpu", torch.bfloat16):
        near, state = memory(inputs)
    assert all(part.dtype in (torch.float32, torch.long) for part in tensors(state))
    torch.testing.assert_close(near.float(), exact, rtol=0, atol=5e-2)
    assert not torch.equal(near.float(), exact)  # it did run in bfloat16


@pytest.mark.unhooked
@pytest.mark.parametrize("kind", [NTM, DNC, SparseAccessMemory])
def test_compiled_it_gives_the_same(kind: Any) -> None:
    memory, inputs = kind(2, 3, hidden_size=5, slots=7, slot_size=3).double(), leaf(2, 3, 2)
    torch.compiler.reset()
    compiled = torch.compile(memory, fullgraph=True, backend="aot_eager")
    assert_twins(lambda: compiled(inputs)[0], lambda: memory(inputs)[0], [inputs, *used(memory)])


@pytest.mark.parametrize("kind", [NTM, DNC, SparseAccessMemory])
def test_transforms_of_torch_func_see_through(kind: Any) -> None:
    memory, inputs = randomised(kind(2, 3, hidden_size=5, slots=7, slot_size=3)), leaf(2, 3, 2)
    jacobian = torch.func.jacrev(lambda x: memory(x)[0].sum((0, 1)))(inputs)
    for output in range(3):
        (slope,) = torch.autograd.grad(memory(inputs)[0][..., output].sum(), inputs)
        torch.testing.assert_close(jacobian[output], slope, rtol=1e-11, atol=1e-11)


def used(memory: nn.Module) -> list[Tensor]:
    """The weights that a short sequence reaches."""
    return [weight for name, weight in memory.named_parameters() if not name.startswith("initial")]
