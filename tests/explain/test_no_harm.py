"""A capture never makes a model fail, and reports operators that it cannot track."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.explain import capture
from saccade.explain.scores import Scores

BATCH, HEADS, LENGTH, SIZE = 2, 2, 5, 8
MODES = [torch.enable_grad, torch.no_grad, torch.inference_mode]
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)


class Fused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(SIZE * HEADS, SIZE * HEADS) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (each(x).unflatten(-1, (HEADS, SIZE)).transpose(1, 2) for each in (self.q, self.k, self.v))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2)


class Own(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x @ x.mT).softmax(-1) @ x


@modes
def test_jagged_tensors(mode: Any) -> None:
    model = nn.Sequential(Fused()).eval()
    with mode():
        rows = [torch.randn(n, SIZE * HEADS) for n in (3, LENGTH)]
        x = torch.nested.nested_tensor(rows, layout=torch.jagged)
        plain = model(x)
        with capture(model) as seen:
            found = model(x)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found.unbind(), plain.unbind(), strict=True))
    assert not seen
    assert "nested" in seen.unknown["0"]


def test_nested_tensors() -> None:
    x = torch.nested.nested_tensor([torch.randn(HEADS, n, SIZE) for n in (3, LENGTH)])

    class Nested(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.softmax(x @ x.transpose(-1, -2), -1) @ x

    for model in (Nested(), nn.Sequential(Nested())):
        with torch.no_grad(), capture(model) as seen:
            model(x)
        [why] = seen.unknown.values()
        assert "nested" in why


def test_sparse_tensors_and_others_without_memory() -> None:
    class Sparse(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.graph = torch.eye(LENGTH).to_sparse()
            self.own = Own()

        def forward(self, x: Tensor) -> Tensor:
            graph = self.graph.clone()
            graph.mul_(2.0)
            mixed = torch.stack([torch.sparse.mm(graph, row) for row in x])
            weights = torch.sparse.softmax(graph, 1)
            return self.own(mixed) + weights.to_dense() @ x

    model, x = Sparse(), torch.randn(BATCH, LENGTH, SIZE)
    with torch.no_grad():
        plain = model(x)
        with capture(model) as seen:
            assert torch.equal(model(x), plain)
    assert list(seen) == ["own"]


def test_tensors_without_data() -> None:
    model = nn.Sequential(Fused(), Own()).to("meta")
    with torch.no_grad(), capture(model) as seen:
        assert model(torch.empty(BATCH, LENGTH, SIZE * HEADS, device="meta")).is_meta
    assert list(seen) == ["0", "1"]


def test_higher_order_operators() -> None:
    model, x = Own(), torch.randn(BATCH, LENGTH, SIZE)
    batched = torch.func.vmap(lambda row: torch.func.functional_call(model, {}, (row,)))
    gradient = torch.func.grad(lambda x: model(x).square().sum())
    plain = batched(x), gradient(x)
    for run, expected in zip((batched, gradient), plain, strict=True):
        with capture(model) as seen:
            assert torch.equal(run(x), expected)
        assert seen or seen.unknown


@modes
def test_an_operator_that_cannot_be_tracked_is_reported(mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    followed = Scores.observe

    def broken(scores: Scores, operator: Any, name: str, *given: Any) -> Any:
        if name == "tanh":
            raise ArithmeticError("three\nlines\nof it")
        return followed(scores, operator, name, *given)

    monkeypatch.setattr(Scores, "observe", broken)
    model, x = nn.Sequential(Own(), nn.Tanh()), torch.randn(BATCH, LENGTH, SIZE)
    with mode():
        plain = model(x)
        with capture(model) as seen:
            assert torch.equal(model(x), plain)
    assert list(seen) == ["0"]
    assert seen.unknown == {"1": "aten::tanh cannot be tracked: three"}


@modes
def test_an_unreadable_softmax_does_not_affect_others(mode: Any) -> None:
    class Both(nn.Module):
        """As in ConvBERT: attention, and convolution kernels that are a softmax over another axis."""

        def __init__(self) -> None:
            super().__init__()
            self.kernel = nn.Linear(SIZE, 3)

        def forward(self, x: Tensor) -> Tensor:
            self.own = (x @ x.mT).softmax(-1)
            windows = F.pad(x, (0, 0, 1, 1)).unfold(1, 3, 1)
            return self.own @ x + (windows @ self.kernel(x)[..., None].softmax(-2))[..., 0]

    with mode(), capture(model := Both()) as seen:
        model(torch.randn(BATCH, LENGTH, SIZE))
    assert "not over the last axis" in seen.unknown[""]
    torch.testing.assert_close(seen[""][0], model.own)


@modes
def test_an_unreadable_kernel_does_not_affect_others(mode: Any) -> None:
    class Both(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            parts = x[:, None, None].expand(BATCH, 1, 1, LENGTH, SIZE).contiguous()
            return Own()(x) + F.scaled_dot_product_attention(parts, parts, parts)[:, 0, 0]

    with mode(), capture(model := Both()) as seen:
        model(x := torch.randn(BATCH, LENGTH, SIZE))
    assert "5 axes" in seen.unknown[""]
    torch.testing.assert_close(seen[""][0], (x @ x.mT).softmax(-1))


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("layer", [False, True])
def test_empty_rows_of_the_fast_path_have_its_values(layer: bool, asked: bool) -> None:
    """They are NaN, as without the fast path; with the fused kernel they are 0."""
    size = SIZE * HEADS
    model: nn.Module = (
        nn.TransformerEncoderLayer(size, HEADS, 32, batch_first=True, norm_first=True)
        if layer
        else nn.MultiheadAttention(size, HEADS, batch_first=True)
    ).eval()
    band = torch.ones(6, 6).triu(1).bool() | torch.ones(6, 6).tril(-2).bool()
    tail = torch.zeros(BATCH, 6, dtype=torch.bool)
    tail[1, 2:] = True
    x = torch.randn(BATCH, 6, size)
    given: Any = (x,) if layer else (x, x, x)
    options: dict[str, Any] = (
        {"src_mask": band, "src_key_padding_mask": tail}
        if layer
        else {"attn_mask": band, "key_padding_mask": tail, "need_weights": asked}
    )
    with torch.no_grad(), capture(model) as seen:
        found = model(*given, **options)
    found = found if layer else found[0]
    [weights] = next(iter(seen.values()))
    empty = found.isnan().any(-1)
    assert int(empty.sum()) == 3
    assert torch.equal(weights.isnan().all(-1), empty[:, None].expand(BATCH, HEADS, 6))
    assert torch.equal(weights.isnan().any(-1), weights.isnan().all(-1))
    some = weights[~weights.isnan().any(-1)]
    torch.testing.assert_close(some.sum(-1), torch.ones(len(some)))


@pytest.mark.parametrize("attention", [Fused, Own])
@pytest.mark.parametrize("queries", [LENGTH, 1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_programs_without_module_names_are_reported(attention: Any, queries: int) -> None:
    size = SIZE * HEADS
    model, x = nn.Sequential(attention(), attention()).eval(), torch.randn(BATCH, queries, size)
    with torch.no_grad(), capture(model) as whole:
        plain = model(x)
    assert list(whole) == ["0", "1"]
    for program in (
        torch.jit.trace(model, x), torch.export.export(model, (x,)).module(),
        *([torch.jit.script(model)] if attention is Own else []),
    ):  # fmt: skip
        for place, outer in (("", program), ("1", nn.Sequential(nn.Identity(), program))):
            with torch.no_grad(), capture(outer) as seen:
                torch.testing.assert_close(outer(x), plain)
            assert list(seen) == [place]
            assert "has no module names" in seen.unknown[place]
            maps = seen.in_turn(place)
            assert list(maps) == ["1, call 0", "1, call 1"] if place else ["call 0", "call 1"]
            for weights, expected in zip(maps.values(), whole.values(), strict=True):
                torch.testing.assert_close(weights, expected[0])
            with pytest.raises(InvalidInput, match="they are separate maps"):
                seen.joined(place)


def test_the_first_capture_imports_no_compiler() -> None:
    program = """
import sys, torch
from torch import nn
from saccade.explain import capture
model = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 1).eval()
before = set(sys.modules)
with torch.no_grad(), capture(model) as seen:
    model(torch.randn(2, 5, 16))
assert list(seen) == ["layers.0.self_attn"]
new = set(sys.modules) - before
assert len(new) < 20 and not any(name.startswith("torch._dynamo") for name in new), sorted(new)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.unhooked
def test_modules_compiled_within_the_block_are_captured() -> None:
    model, x = nn.Sequential(nn.Linear(SIZE, SIZE), Own()).eval(), torch.randn(BATCH, LENGTH, SIZE)
    with torch.no_grad():
        plain = model(x)
        with capture(model) as seen:
            compiled = torch.compile(model, backend="eager")
            torch.testing.assert_close(compiled(x), plain)
            torch.testing.assert_close(model(x), plain)
    assert len(seen["1"]) == 2
