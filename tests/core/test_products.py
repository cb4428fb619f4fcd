"""Products with weights: oneDNN's, on any machine, against the equation and against torch's own."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core import products as room
from saccade.core.products import Linear, add_linear, linear, onednn_is_faster
from saccade.nets.projection import Projection


def loops(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """sum_i inputs_i weight_oi + bias_o, one entry at a time, in float64."""
    rows = inputs.reshape(-1, inputs.shape[-1]).double()
    sums = [
        sum((row[i] * of[i] for i in range(len(row))), torch.zeros((), dtype=torch.float64))
        + (0 if bias is None else bias[o])
        for row in rows
        for o, of in enumerate(weight.double())
    ]
    return torch.stack(sums).view(*inputs.shape[:-1], len(weight))


@pytest.mark.parametrize("shape", [(6,), (5, 6), (2, 3, 6), (2, 1, 3, 6)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_the_equation_and_its_gradients(shape: tuple[int, ...], with_bias: bool, by_onednn: list[int]) -> None:
    inputs, weight = torch.randn(*shape, requires_grad=True), torch.randn(4, 6, requires_grad=True)
    bias = torch.randn(4, requires_grad=True) if with_bias else None
    wrt = [x for x in (inputs, weight, bias) if x is not None]
    fast, slow = linear(inputs, weight, bias), loops(inputs, weight, bias)
    assert by_onednn
    assert fast.dtype == torch.float32
    torch.testing.assert_close(fast.double(), slow, rtol=1e-5, atol=1e-5)
    slope = torch.randn_like(fast)
    for ours, theirs in zip(
        torch.autograd.grad(fast, wrt, slope), torch.autograd.grad(slow, wrt, slope.double()), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_the_gradient_of_a_gradient(by_onednn: list[int]) -> None:
    wrt = inputs, weight, bias = [torch.randn(*shape, requires_grad=True) for shape in ((7, 6), (4, 6), (4,))]
    found = []
    for form in (linear, F.linear):
        outputs = form(inputs, weight, bias)
        slopes = torch.autograd.grad(outputs.pow(3).sum(), wrt, create_graph=True)
        found.append(torch.autograd.grad(sum(slope.pow(2).sum() for slope in slopes), wrt))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sizes", [(6, 9), (9, 6)])
def test_onednn_sees_only_few_different_numbers_of_rows(sizes: tuple[int, int], by_onednn: list[int]) -> None:
    layer = Linear(*sizes)
    wide = nn.Linear(*sizes).double()
    wide.load_state_dict(layer.state_dict())
    for count in range(1, 300):
        shape = (count, sizes[0]) if count % 2 else (2, count // 2, sizes[0])
        inputs = torch.randn(*shape, requires_grad=True)
        wide_inputs = inputs.detach().double().requires_grad_()
        # in place, as in a feed-forward layer
        ours = torch.autograd.grad(layer(inputs).relu_().sum(), (inputs, *layer.parameters()))
        theirs = torch.autograd.grad(wide(wide_inputs).relu_().sum(), (wide_inputs, *wide.parameters()))
        for our, their in zip(ours, theirs, strict=True):
            torch.testing.assert_close(our.double(), their, rtol=1e-5, atol=1e-4)
    assert len(set(by_onednn)) < 100


def test_parts_of_tensors_and_their_transposes(by_onednn: list[int]) -> None:
    inputs, weight = torch.randn(9, 2, 8)[:, 1], torch.randn(5, 20)
    for rows, part in (
        (inputs, weight[:, :8]),
        (inputs, weight[:, 12:]),
        (inputs[:, ::2], weight[:, 3:7]),
        (inputs, torch.randn(8, 5).mT),
        (torch.randn(8, 9).mT, weight[:, 4:12]),
        (torch.randn(1, 8).expand(9, 8), weight[:, :8]),
    ):
        by_onednn.clear()
        torch.testing.assert_close(linear(rows, part), F.linear(rows, part), rtol=1e-5, atol=1e-5)
        assert len(by_onednn) == 1


def test_a_bias_that_is_part_of_a_tensor(by_onednn: list[int]) -> None:
    inputs, weight = torch.randn(9, 8), torch.randn(5, 8)
    for bias in (torch.randn(10)[::2], torch.randn(1).expand(5), torch.randn(5, 3)[:, 1]):
        torch.testing.assert_close(linear(inputs, weight, bias), F.linear(inputs, weight, bias), rtol=1e-5, atol=1e-5)
    assert len(by_onednn) == 3


@pytest.mark.parametrize("sizes", [(6, 9), (9, 6)])
def test_a_gradient_has_the_strides_of_its_tensor(sizes: tuple[int, int], by_onednn: list[int]) -> None:
    layer, inputs = Linear(*sizes), torch.randn(33, sizes[0], requires_grad=True)
    found = torch.autograd.grad(layer(inputs).sum(), (inputs, *layer.parameters()))
    assert all(gradient.is_contiguous() for gradient in found)
    assert len(by_onednn) == 3


def test_only_tensors_for_the_gradient_are_saved(by_onednn: list[int]) -> None:
    layer, inputs = Linear(6, 4), torch.randn(32, 6)
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        outputs = layer(inputs)
        layer.requires_grad_(False)(torch.randn(32, 6, requires_grad=True))
    assert [tensor.shape for tensor in kept] == [(32, 6), (4, 6)]
    with torch.no_grad():
        layer.weight.zero_()  # allowed for an optimizer, since no input requires a gradient
    outputs.sum().backward()


def test_a_layer_of_frozen_weights_still_passes_the_gradient_on(by_onednn: list[int]) -> None:
    layer = Linear(6, 4).requires_grad_(False)
    inputs = torch.randn(3, 6, requires_grad=True)
    (slope,) = torch.autograd.grad(layer(inputs).sum(), inputs)
    torch.testing.assert_close(slope, layer.weight.sum(0).expand(3, 6))
    assert isinstance(layer, nn.Linear)
    assert layer.weight.grad is None
    with torch.no_grad():
        assert not layer(inputs).requires_grad


def vmapped(inputs: Tensor, layer: Linear) -> Tensor:
    return torch.func.vmap(layer)(inputs)


def pushed_forward(inputs: Tensor, layer: Linear) -> Tensor:
    outputs, tangents = torch.func.jvp(layer, (inputs,), (torch.ones_like(inputs),))
    torch.testing.assert_close(tangents, layer.weight.sum(1).expand(5, 4))
    return outputs


def dual(inputs: Tensor, layer: Linear) -> Tensor:
    with torch.autograd.forward_ad.dual_level():
        made = torch.autograd.forward_ad.make_dual(inputs, torch.ones_like(inputs))
        outputs, tangents = torch.autograd.forward_ad.unpack_dual(layer(made))
        assert tangents is not None
    return outputs


def compiled(inputs: Tensor, layer: Linear) -> Tensor:
    return torch.compile(layer, fullgraph=True, backend="eager")(inputs)  # type: ignore[no-any-return]


def traced(inputs: Tensor, layer: Linear) -> Tensor:
    return torch.jit.trace(layer, (inputs,), check_trace=False)(inputs)  # type: ignore[no-any-return, no-untyped-call]


def symbolic(inputs: Tensor, layer: Linear) -> Tensor:
    return torch.fx.symbolic_trace(nn.Sequential(layer))(inputs)  # type: ignore[no-any-return]


def nested(inputs: Tensor, layer: Linear) -> Tensor:
    made = torch.nested.nested_tensor([inputs[:2], inputs[2:]])
    return torch.cat(layer(made).unbind())


def forbidden(inputs: Tensor, layer: Linear) -> Tensor:
    with torch.backends.mkldnn.flags(enabled=False):
        return layer(inputs)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "use",
    [vmapped, pushed_forward, dual, forbidden]
    + [pytest.param(use, marks=pytest.mark.unhooked) for use in (compiled, traced, symbolic, nested)],
)
def test_function_transforms_use_torchs_own_product(
    use: Callable[[Tensor, Linear], Tensor], by_onednn: list[int]
) -> None:
    layer, inputs = Linear(6, 4), torch.randn(5, 6)
    torch.testing.assert_close(use(inputs, layer), F.linear(inputs, layer.weight, layer.bias))
    assert not by_onednn


def test_other_dtypes_use_torchs_product(by_onednn: list[int]) -> None:
    for dtype in (torch.float64, torch.bfloat16):
        layer, inputs = Linear(6, 4).to(dtype), torch.randn(5, 6, dtype=dtype)
        assert torch.equal(layer(inputs), F.linear(inputs, layer.weight, layer.bias))
    with torch.autocast("cpu", torch.bfloat16):
        assert Linear(6, 4)(torch.randn(5, 6)).dtype == torch.bfloat16
    assert Linear(6, 4, device="meta")(torch.randn(5, 6, device="meta")).shape == (5, 4)
    assert linear(torch.randn(0, 6), torch.randn(4, 6)).shape == (0, 4)
    assert not by_onednn


@pytest.mark.unhooked
def test_mismatched_sizes_raise_torchs_error(by_onednn: list[int]) -> None:
    for inputs, weight, bias in (
        (torch.randn(5, 7), torch.randn(4, 6), None),
        (torch.randn(5, 6), torch.randn(4, 6), torch.randn(3)),
        (torch.randn(5, 6), torch.randn(4, 6), torch.randn(4, dtype=torch.float64)),
    ):
        with pytest.raises(RuntimeError):
            linear(inputs, weight, bias)
    assert not by_onednn


def test_a_loss_and_a_search_by_onednn(by_onednn: list[int]) -> None:
    parts = [torch.randn(*shape, requires_grad=True) for shape in ((30, 6), (40, 6), (40,))]
    targets = torch.randint(0, 40, (30,))
    loss = Projection(*parts).cross_entropy(targets, ignore=0, label_smoothing=0.1)
    ours = loss, *torch.autograd.grad(loss, parts)
    made = len(by_onednn)
    with torch.no_grad():
        values, symbols = Projection(*parts).largest(3)
    assert made == 3  # the logits, their gradient, and that of the weights
    assert len(by_onednn) == 4
    wide = [part.detach().double().requires_grad_() for part in parts]
    loss = Projection(*wide).cross_entropy(targets, ignore=0, label_smoothing=0.1)
    for our, their in zip(ours, (loss, *torch.autograd.grad(loss, wide)), strict=True):
        torch.testing.assert_close(our.double(), their, rtol=1e-4, atol=1e-5)
    expected = Projection(*wide).log_probs().topk(3)
    torch.testing.assert_close(values.double(), expected.values, rtol=1e-5, atol=1e-5)
    assert torch.equal(symbols, expected.indices)


def test_small_products_use_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "onednn_is_faster", lambda: True)
    inputs, weight = torch.randn(3, 8), torch.randn(5, 8)
    assert torch.equal(linear(inputs, weight), F.linear(inputs, weight))
    assert not room.by_onednn(inputs, weight)


@pytest.mark.parametrize(
    ("told", "faster"),
    [
        ("vendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t\t: 2\n", True),
        ("vendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n", False),
        ("vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\n", False),
        ("processor\t: 0\nCPU implementer\t: 0x41\n", False),
        ("", False),
        (None, False),
    ],
)
def test_which_processors(told: str | None, faster: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    faster = faster and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    if told is not None:
        (tmp_path / "cpuinfo").write_text(told)
    assert onednn_is_faster(tmp_path / "cpuinfo") is faster


def test_sums_and_a_product(by_onednn: list[int]) -> None:
    wrt = sums, inputs, weight = [torch.randn(*shape, requires_grad=True) for shape in ((33, 4), (33, 6), (4, 6))]
    before = sums.detach().clone()
    ours, theirs = add_linear(sums, inputs, weight), torch.addmm(sums, inputs, weight.mT)
    assert by_onednn == [34]
    assert torch.equal(sums, before)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    slope = torch.randn_like(ours)
    with pytest.raises(RuntimeError, match="dtype"):
        add_linear(sums.double(), inputs, weight)
    for our, their in zip(*(torch.autograd.grad(sum_, wrt, slope) for sum_ in (ours, theirs)), strict=True):
        torch.testing.assert_close(our, their, rtol=1e-5, atol=1e-5)
