"""Contracts of every mechanism in the listed packages. A new file is covered automatically."""

import importlib
import inspect
import pkgutil
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.core.tap import Tap
from tests.checks import assert_twins, leaf, randomised

SIZES = {
    "query_size": 5, "key_size": 7, "width": 11, "input_size": 3, "hidden_size": 13, "output_size": 17,
    "module_size": 3, "model_size": 12, "heads": 3,
    "channels": 12, "channels_in": 12, "channels_out": 16,
}  # fmt: skip


def listed(room: str, method: str) -> list[type[nn.Module]]:
    package = importlib.import_module(f"saccade.{room}")
    found = []
    for module in pkgutil.iter_modules(package.__path__, f"saccade.{room}."):
        for _, thing in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if inspect.isabstract(thing):
                continue
            if issubclass(thing, nn.Module) and thing.__module__ == module.name and hasattr(thing, method):
                found.append(thing)
    return found


def on_maps() -> list[type[nn.Module]]:
    """What is called with maps (b, c, y, x) alone, and is made of sizes alone."""

    def required(function: Any) -> list[inspect.Parameter]:
        return [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]

    return [
        kind
        for kind in listed("vision", "forward")
        if [p.name for p in required(kind.forward)[1:]] in (["maps"], ["images"])
        and all(p.annotation is int for p in required(kind))
    ]


def make(kind: type[nn.Module]) -> Any:
    """An instance, with required arguments filled by name; add missing names to SIZES."""
    required = [p for p in inspect.signature(kind).parameters.values() if p.default is p.empty]
    # in evaluation mode mechanisms that sample select the most probable key
    return kind(**{parameter.name: SIZES[parameter.name] for parameter in required}).double().eval()


def sizes(kind: type[nn.Module]) -> tuple[int, int]:
    """Features of a query and of a key."""
    if "model_size" in inspect.signature(kind).parameters:
        return SIZES["model_size"], SIZES["model_size"]
    return SIZES["query_size"], SIZES["key_size"]


@pytest.mark.parametrize("kind", listed("attention", "prepare"), ids=lambda kind: kind.__name__)
class TestAttention:
    @pytest.mark.parametrize("kept", [slice(0, 4), slice(3, 7)], ids=["behind", "before"])
    def test_masked_keys_equal_keys_cut_off(self, kept: slice, kind: type[nn.Module]) -> None:
        attention, (query_size, key_size) = make(kind), sizes(kind)
        keys, mask = torch.randn(2, 7, key_size).double(), torch.zeros(2, 7, dtype=torch.bool)
        mask[:, kept] = True
        prepared, cut = attention.prepare(keys, mask), attention.prepare(keys[:, kept], mask[:, kept])
        states = attention.initial_state(prepared), attention.initial_state(cut)
        for query in torch.randn(3, 2, query_size).double():
            long, short = attention.read(query, prepared, states[0]), attention.read(query, cut, states[1])
            states = long.state, short.state
            torch.testing.assert_close(long.context, short.context, rtol=0, atol=1e-14)
            torch.testing.assert_close(long.weights[:, kept], short.weights, rtol=0, atol=1e-14)
            assert (long.weights.masked_select(~mask) == 0).all()

    def test_nothing_to_attend_is_zero_with_zero_gradient(self, kind: type[nn.Module]) -> None:
        attention, (query_size, key_size) = make(kind), sizes(kind)
        keys = torch.randn(2, 7, key_size).double().requires_grad_()
        query = torch.randn(2, query_size).double().requires_grad_()
        mask = torch.tensor([[True], [False]]).expand(2, 7)
        prepared = attention.prepare(keys, mask)
        reading = attention.read(query, prepared, attention.initial_state(prepared))
        assert (reading.context[1] == 0).all()
        # a choice has no gradient, but its log-probability has one
        chosen = getattr(reading.state, "log_prob", torch.zeros(2).double())
        assert chosen[1] == 0
        gradients = torch.autograd.grad(reading.context.square().sum() + chosen.sum(), [keys, query])
        assert all((gradient[1] == 0).all() and gradient.isfinite().all() for gradient in gradients)
        assert any((gradient[0] != 0).any() for gradient in gradients)

    @pytest.mark.parametrize("masked", [False, True])
    @pytest.mark.parametrize("training", [False, True])
    def test_a_source_without_keys_has_nothing_to_attend(
        self, training: bool, masked: bool, kind: type[nn.Module]
    ) -> None:
        attention, (query_size, key_size) = make(kind).train(training), sizes(kind)
        keys = torch.randn(2, 0, key_size).double().requires_grad_()
        query = torch.randn(2, query_size).double().requires_grad_()
        prepared = attention.prepare(keys, torch.ones(2, 0, dtype=torch.bool) if masked else None)
        state = attention.initial_state(prepared)
        for _ in range(2):
            shapes = [part.shape for part in state]
            reading = attention.read(query, prepared, state)
            state = reading.state
            assert reading.context.shape == (2, key_size)
            assert not reading.context.any()
            assert reading.weights.shape == (2, 0)
            assert [part.shape for part in state] == shapes
        (gradient,) = torch.autograd.grad(reading.context.sum(), query)
        assert not gradient.any()

    @pytest.mark.unhooked
    def test_keys_and_values_of_another_rank_raise(self, kind: type[nn.Module]) -> None:
        attention, (_, key_size) = make(kind), sizes(kind)
        with pytest.raises(InvalidInput, match=rf"keys must be \(batch, keys, .*\), not \(4, {key_size}\)"):
            attention.prepare(torch.randn(4, key_size).double())
        with pytest.raises(InvalidInput, match=r"values must be \(.*\), .*not \(3, 4\)"):
            attention.prepare(torch.randn(3, 4, key_size).double(), None, torch.randn(3, 4).double())

    def test_the_context_is_the_weighted_mean_of_the_values(self, kind: type[nn.Module]) -> None:
        attention, (query_size, key_size) = make(kind), sizes(kind)
        if hasattr(attention, "output"):
            pytest.skip("it projects its values and its context; its own test has a slow twin")
        keys, values = torch.randn(2, 7, key_size).double(), torch.randn(2, 7, 3).double()
        prepared = attention.prepare(keys, None, values)
        reading = attention.read(torch.randn(2, query_size).double(), prepared, attention.initial_state(prepared))
        torch.testing.assert_close(reading.context, torch.einsum("bk,bkd->bd", reading.weights, values))

    def test_it_fits_the_recurrent_decoder(self, kind: type[nn.Module]) -> None:
        from saccade.nets.conditional_decoder import ConditionalDecoder

        query_size, key_size = sizes(kind)
        decoder = ConditionalDecoder(make(kind), input_size=3, context_size=key_size, hidden_size=query_size)
        decoder = decoder.double().eval()
        prepared = decoder.mechanism.prepare(torch.randn(2, 7, key_size).double())
        inputs, state = (
            torch.randn(2, 11, 3).double(),
            decoder.initial_state(torch.randn(2, query_size).double(), prepared),
        )
        decoded, _ = decoder(inputs, prepared, state)
        for t in range(11):
            context, state = decoder.step(inputs[:, t], prepared, state)
            torch.testing.assert_close(context, decoded.contexts[:, t])

    @pytest.mark.unhooked
    def test_a_call_takes_many_queries_or_explains_how_to_read(self, kind: type[nn.Module]) -> None:
        attention, (query_size, key_size) = make(kind), sizes(kind)
        query, keys = torch.randn(2, 3, query_size).double(), torch.randn(2, 7, key_size).double()
        try:
            contexts = attention(query, keys)
        except InvalidInput as error:
            assert "one query at a time" in str(error)  # noqa: PT017
        else:
            assert contexts.shape == (2, 3, key_size)

    @pytest.mark.unhooked
    def test_sizes_below_one_raise_and_are_named(self, kind: type[nn.Module]) -> None:
        parameters = inspect.signature(kind).parameters
        required = [name for name, parameter in parameters.items() if parameter.default is parameter.empty]
        counts = {*required, "filters", "components", "memory_size", "longest"} & set(parameters)
        for name in sorted(counts):
            given = {each: SIZES[each] for each in required} | {name: 0}
            with pytest.raises(InvalidInput, match=name.replace("_", ".")):
                kind(**given)

    @pytest.mark.unhooked
    def test_the_compiled_module_gives_the_same_results(self, kind: type[nn.Module]) -> None:
        attention, (query_size, key_size) = make(kind), sizes(kind)
        keys, query = leaf(2, 7, key_size), leaf(2, query_size)
        mask = torch.arange(7) < torch.tensor([[5], [0]])

        def looks(keys: Tensor, query: Tensor) -> tuple[Tensor, ...]:
            prepared = attention.prepare(keys, mask)
            first = attention.read(query, prepared, attention.initial_state(prepared))
            second = attention.read(query.tanh(), prepared, first.state)
            return first.context, second.context

        torch.compiler.reset()
        # only the graph, without breaks, is tested, not the compiler's kernels
        compiled = torch.compile(looks, fullgraph=True, backend="aot_eager")
        used = [keys, query] if kind.__name__ != "HardAttention" else [keys]  # a choice gives the query no gradient
        assert_twins(lambda: compiled(keys, query), lambda: looks(keys, query), used)

    def test_bfloat16_is_close(self, kind: type[nn.Module]) -> None:
        attention, (query_size, key_size) = make(kind).float(), sizes(kind)
        keys, query, mask = torch.randn(2, 7, key_size), torch.randn(2, query_size), torch.arange(7) < 5
        found = []
        for wanted in (False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=wanted):
                prepared = attention.prepare(keys, mask.expand(2, 7))
                found.append(attention.read(query, prepared, attention.initial_state(prepared)).weights.float())
        torch.testing.assert_close(*found, rtol=0, atol=0.05)

    def test_it_has_a_tap_and_no_state(self, kind: type[nn.Module]) -> None:
        from saccade.explain import capture

        attention, (query_size, key_size) = make(kind), sizes(kind)
        before = {name: id(value) for name, value in vars(attention).items()}
        prepared = attention.prepare(torch.randn(2, 7, key_size).double())
        with capture(attention) as seen:
            attention.read(torch.randn(2, query_size).double(), prepared, attention.initial_state(prepared))
        assert any(seen.values())
        assert before == {name: id(value) for name, value in vars(attention).items()}
        assert not any(name.split(".")[0] == "weights" for name in attention.state_dict())


@pytest.mark.parametrize("kind", listed("memory", "initial_state"), ids=lambda kind: kind.__name__)
class TestMemory:
    def test_many_steps_at_once_equal_single_steps(self, kind: type[nn.Module]) -> None:
        memory = make(kind)
        inputs, state = torch.randn(2, 11, 3).double(), memory.initial_state(2)
        outputs, last = memory(inputs)
        for t in range(11):
            output, state = memory.step(inputs[:, t], state)
            torch.testing.assert_close(output, outputs[:, t])
        for found, expected in zip(state, last, strict=True):
            torch.testing.assert_close(found, expected)

    def test_the_state_is_a_named_tuple_and_the_module_has_none(self, kind: type[nn.Module]) -> None:
        memory = make(kind)
        before = {name: id(value) for name, value in vars(memory).items()}
        _, state = memory(torch.randn(2, 3, 3).double())
        assert state._fields
        assert before == {name: id(value) for name, value in vars(memory).items()}


@pytest.mark.parametrize("kind", on_maps(), ids=lambda kind: kind.__name__)
class TestVision:
    def test_an_image_does_not_depend_on_the_others(self, kind: type[nn.Module]) -> None:
        module, maps = randomised(make(kind)), leaf(3, 12, 7, 5)
        made = module(maps)
        torch.testing.assert_close(module(maps[1:2]), made[1:2])
        assert len(module(maps[:0])) == 0
        (slope,) = torch.autograd.grad(made[1].square().sum(), maps)
        assert slope[1].any()
        assert not slope[0].any()
        assert not slope[2].any()

    @pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 1)])
    def test_maps_of_any_size(self, size: tuple[int, int], kind: type[nn.Module]) -> None:
        module, maps = make(kind), leaf(2, 12, *size)
        made = module(maps)
        assert made.isfinite().all()
        assert torch.autograd.grad(made.square().sum(), maps)[0].isfinite().all()

    @pytest.mark.unhooked
    def test_other_maps_and_sizes_below_one_raise_and_are_named(self, kind: type[nn.Module]) -> None:
        for wrong in ((12, 7, 5), (2, 12, 0, 5)):
            with pytest.raises(InvalidInput, match=r"rows, columns|at least one pixel"):
                make(kind)(torch.randn(wrong).double())
        parameters = inspect.signature(kind).parameters
        required = [name for name, parameter in parameters.items() if parameter.default is parameter.empty]
        for name in sorted({*required, "heads", "window", "stride", "reduction", "kernel"} & set(parameters)):
            with pytest.raises(InvalidInput, match=f"{name.replace('_', '.')} must be at least 1"):
                kind(**{each: SIZES[each] for each in required} | {name: 0})

    def test_taps_are_heard_and_there_is_no_state(self, kind: type[nn.Module]) -> None:
        from saccade.explain import capture

        module, maps = make(kind), leaf(2, 12, 7, 5)
        before, made = {name: id(value) for name, value in vars(module).items()}, module(maps)
        with capture(module) as seen:
            torch.testing.assert_close(module(maps), made, rtol=0, atol=0)
        assert any(seen.values())
        assert before == {name: id(value) for name, value in vars(module).items()}
        taps = {name for name, part in module.named_modules() if isinstance(part, Tap)}
        assert not any(name.startswith(tuple(taps)) for name in module.state_dict())
