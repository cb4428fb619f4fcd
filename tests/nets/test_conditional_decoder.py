from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from saccade.attention import AdditiveAttention, Reading
from saccade.memory import GRUState
from saccade.nets.attending_decoder import AttendingDecoder
from saccade.nets.conditional_decoder import ConditionalDecoder
from saccade.nets.input_feeding_decoder import InputFeedingDecoder
from tests.attention.test_additive import slow_look
from tests.checks import assert_twins, leaf, randomised, unchanged
from tests.memory.test_gru import slow_step

BATCH, STEPS, KEYS, INPUT, KEY_SIZE, HIDDEN, WIDTH = 2, 5, 7, 3, 11, 13, 17


both_orders = pytest.mark.parametrize("kind", [ConditionalDecoder, InputFeedingDecoder])


def make_decoder(kind: type[AttendingDecoder] = ConditionalDecoder) -> Any:
    return randomised(kind(AdditiveAttention(HIDDEN, KEY_SIZE, WIDTH), INPUT, KEY_SIZE, HIDDEN), 0.3)


def make_batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    mask = torch.arange(KEYS) < torch.tensor([KEYS, 2])[:, None]
    return leaf(BATCH, STEPS, INPUT), leaf(BATCH, KEYS, KEY_SIZE), mask, leaf(BATCH, HIDDEN)


def slow_decoder(
    decoder: ConditionalDecoder, inputs: Tensor, keys: Tensor, mask: Tensor, hidden: Tensor
) -> tuple[Tensor, Tensor]:
    """c_i = read(s_{i-1}), s_i = f(s_{i-1}, [y_{i-1}; c_i]): states and contexts."""
    assert isinstance(decoder.attention, AdditiveAttention)
    all_states, all_contexts = [], []
    for sentence, h, allowed, s in zip(inputs, keys, mask.tolist(), hidden, strict=True):
        states, contexts = [], []
        for y in sentence:
            context, _ = slow_look(decoder.attention, s, h, allowed, h)
            s = slow_step(decoder.cell, torch.cat([y, context]), s)
            states.append(s)
            contexts.append(context)
        all_states.append(torch.stack(states))
        all_contexts.append(torch.stack(contexts))
    return torch.stack(all_states), torch.stack(all_contexts)


def test_it_equals_its_slow_twin() -> None:
    decoder, (inputs, keys, mask, hidden) = make_decoder(), make_batch()

    def fast() -> tuple[Tensor, Tensor, Tensor]:
        prepared = decoder.mechanism.prepare(keys, mask)
        decoded, state = decoder(inputs, prepared, decoder.initial_state(hidden, prepared))
        return decoded.states, decoded.contexts, state.hidden.hidden

    def slow() -> tuple[Tensor, Tensor, Tensor]:
        states, contexts = slow_decoder(decoder, inputs, keys, mask, hidden)
        return states, contexts, states[:, -1]

    assert_twins(fast, slow, [inputs, keys, hidden, *decoder.parameters()])


@both_orders
def test_all_steps_at_once_equal_single_steps(kind: type[AttendingDecoder]) -> None:
    decoder, (inputs, keys, mask, hidden) = make_decoder(kind), make_batch()

    def at_once() -> tuple[Tensor, Tensor]:
        prepared = decoder.mechanism.prepare(keys, mask)
        decoded, _ = decoder(inputs, prepared, decoder.initial_state(hidden, prepared))
        return decoded.states, decoded.contexts

    def singly() -> tuple[Tensor, Tensor]:
        prepared = decoder.mechanism.prepare(keys, mask)
        state = decoder.initial_state(hidden, prepared)
        states, contexts = [], []
        for t in range(STEPS):
            context, state = decoder.step(inputs[:, t], prepared, state)
            contexts.append(context)
            states.append(state.hidden.hidden)
        return torch.stack(states, 1), torch.stack(contexts, 1)

    assert_twins(at_once, singly, [inputs, keys, hidden, *decoder.parameters()], 1e-13)


def test_it_starts_from_the_given_hidden_state() -> None:
    decoder, (_, keys, _, hidden) = make_decoder(), make_batch()
    state = decoder.initial_state(hidden, decoder.mechanism.prepare(keys))
    assert isinstance(state.hidden, GRUState)
    assert state.hidden.hidden is hidden
    assert state.attention == ()


def test_the_hypotheses_of_a_sentence_share_its_keys() -> None:
    decoder, (inputs, keys, mask, _) = make_decoder(), make_batch()
    beam, hidden = 3, leaf(3 * BATCH, HIDDEN)
    symbols = inputs[:, :beam].flatten(0, 1)
    shared = decoder.mechanism.prepare(keys, mask)
    context, state = decoder.step(symbols, shared, decoder.initial_state(hidden, shared))
    for row in range(len(hidden)):
        one = slice(row, row + 1)
        own = decoder.mechanism.prepare(keys[row // beam][None], mask[row // beam][None])
        alone, after = decoder.step(symbols[one], own, decoder.initial_state(hidden[one], own))
        torch.testing.assert_close(context[one], alone, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(state.hidden.hidden[one], after.hidden.hidden, rtol=1e-13, atol=1e-13)


class Looks(NamedTuple):
    count: Tensor
    last: Tensor


class Remembering(nn.Module):
    """An attention with a state: it counts its reads, and returns the mean of the values times the count."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Tensor] = []

    def prepare(self, keys: Tensor, mask: Tensor | None = None, values: Tensor | None = None) -> Tensor:
        return keys.mean(1)

    def initial_state(self, prepared: Tensor) -> Looks:
        return Looks(torch.zeros(len(prepared), 1, dtype=prepared.dtype), torch.zeros_like(prepared))

    def read(self, query: Tensor, prepared: Tensor, state: Looks) -> Reading:
        self.asked.append(query)
        context = prepared * (state.count + 1) + state.last
        return Reading(context, torch.ones(len(query), 1, dtype=query.dtype), Looks(state.count + 1, context))


def test_the_query_is_the_state_before_the_step_and_the_attention_state_is_kept() -> None:
    mechanism = Remembering()
    decoder = randomised(ConditionalDecoder(mechanism, INPUT, KEY_SIZE, HIDDEN), 0.3)
    inputs, keys, _, hidden = make_batch()
    prepared = mechanism.prepare(keys)
    decoded, state = decoder(inputs, prepared, decoder.initial_state(hidden, prepared))
    # counts 1, 2, 3, ... summed up: the triangular numbers
    for t in range(STEPS):
        torch.testing.assert_close(decoded.contexts[:, t], prepared * ((t + 1) * (t + 2) / 2), rtol=1e-13, atol=1e-13)
        before = hidden if t == 0 else decoded.states[:, t - 1]
        assert torch.equal(mechanism.asked[t], before)
    assert state.attention.count.tolist() == [[STEPS], [STEPS]]

    halves, later = decoder(inputs[:, :2], prepared, decoder.initial_state(hidden, prepared))
    rest, later = decoder(inputs[:, 2:], prepared, later)
    torch.testing.assert_close(torch.cat([halves.states, rest.states], 1), decoded.states, rtol=1e-13, atol=1e-13)
    assert torch.equal(later.attention.count, state.attention.count)


@both_orders
def test_forward_changes_nothing_on_the_module(kind: type[AttendingDecoder]) -> None:
    decoder, (inputs, keys, mask, hidden) = make_decoder(kind), make_batch()
    with unchanged(decoder):
        prepared = decoder.mechanism.prepare(keys, mask)
        decoded, state = decoder(inputs, prepared, decoder.initial_state(hidden, prepared))
        decoder.step(inputs[:, 0], prepared, state)
        decoded.states.sum().backward(inputs=[inputs])


@both_orders
def test_its_only_parameters_are_those_of_the_attention_and_the_cell(kind: type[AttendingDecoder]) -> None:
    decoder = make_decoder(kind)
    attention = {f"attention.{name}" for name in ("query.weight", "key.weight", "key.bias", "v")}
    assert set(decoder.state_dict()) == attention | {"cell.weight_input", "cell.weight_hidden", "cell.bias"}


@both_orders
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision_stays_near_float64(kind: type[AttendingDecoder], dtype: torch.dtype) -> None:
    decoder, (inputs, keys, mask, hidden) = make_decoder(kind), make_batch()

    def run(kind: torch.dtype) -> Tensor:
        prepared = decoder.mechanism.prepare(keys.to(kind), mask)
        decoded, _ = decoder(inputs.to(kind), prepared, decoder.initial_state(hidden.to(kind), prepared))
        assert decoded.states.dtype == decoded.contexts.dtype == kind
        return decoded.states.double()

    exact = run(torch.float64)
    decoder.to(dtype)
    torch.testing.assert_close(run(dtype), exact, rtol=0, atol={torch.float32: 1e-5, torch.bfloat16: 0.1}[dtype])


@both_orders
def test_dropped_contexts_are_dropped_whole_in_training(kind: type[AttendingDecoder]) -> None:
    decoder = kind(AdditiveAttention(HIDDEN, KEY_SIZE, WIDTH), INPUT, KEY_SIZE, HIDDEN, context_dropout=0.3)
    contexts = torch.rand(4000, KEY_SIZE) + 1
    fed = decoder.fed(contexts)
    dropped = (fed == 0).all(1)
    assert dropped.double().mean() == pytest.approx(0.3, abs=0.03)
    assert torch.equal(fed[~dropped], contexts[~dropped])
    assert decoder.eval().fed(contexts) is contexts


@both_orders
def test_with_every_context_dropped_the_state_depends_on_no_key(kind: type[AttendingDecoder]) -> None:
    decoder: Any = make_decoder(kind).train()
    inputs, keys, mask, hidden = make_batch()

    def states(rate: float, keys: Tensor) -> Tensor:
        decoder.context_dropout = rate
        prepared = decoder.mechanism.prepare(keys, mask)
        decoded, _ = decoder(inputs, prepared, decoder.initial_state(hidden, prepared))
        return decoded.states  # type: ignore[no-any-return]

    assert torch.equal(states(1.0, keys), states(1.0, 2 * keys))
    assert not torch.allclose(states(0.0, keys), states(0.0, 2 * keys))
