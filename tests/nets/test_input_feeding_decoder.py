import torch
from torch import Tensor

from saccade.attention import AdditiveAttention
from saccade.nets.input_feeding_decoder import InputFeedingDecoder
from tests.attention.test_additive import slow_look
from tests.checks import assert_twins, leaf, randomised
from tests.memory.test_gru import slow_step
from tests.nets.test_conditional_decoder import BATCH, HIDDEN, INPUT, KEY_SIZE, STEPS, WIDTH, Remembering, make_batch


def make_decoder() -> InputFeedingDecoder:
    return randomised(InputFeedingDecoder(AdditiveAttention(HIDDEN, KEY_SIZE, WIDTH), INPUT, KEY_SIZE, HIDDEN), 0.3)


def slow_decoder(
    decoder: InputFeedingDecoder, inputs: Tensor, keys: Tensor, mask: Tensor, hidden: Tensor
) -> tuple[Tensor, Tensor]:
    """s_i = f(s_{i-1}, [y_{i-1}; c_{i-1}]), c_i = read(s_i): states and contexts."""
    assert isinstance(decoder.attention, AdditiveAttention)
    all_states, all_contexts = [], []
    for sentence, h, allowed, s in zip(inputs, keys, mask.tolist(), hidden, strict=True):
        states, contexts = [], []
        context = torch.zeros(KEY_SIZE, dtype=torch.float64)
        for y in sentence:
            s = slow_step(decoder.cell, torch.cat([y, context]), s)
            context, _ = slow_look(decoder.attention, s, h, allowed, h)
            states.append(s)
            contexts.append(context)
        all_states.append(torch.stack(states))
        all_contexts.append(torch.stack(contexts))
    return torch.stack(all_states), torch.stack(all_contexts)


def test_it_equals_its_slow_twin() -> None:
    decoder, (inputs, keys, mask, hidden) = make_decoder(), make_batch()

    def fast() -> tuple[Tensor, Tensor, Tensor, Tensor]:
        prepared = decoder.mechanism.prepare(keys, mask)
        decoded, state = decoder(inputs, prepared, decoder.initial_state(hidden, prepared))
        return decoded.states, decoded.contexts, state.hidden.hidden, state.context

    def slow() -> tuple[Tensor, Tensor, Tensor, Tensor]:
        states, contexts = slow_decoder(decoder, inputs, keys, mask, hidden)
        return states, contexts, states[:, -1], contexts[:, -1]

    assert_twins(fast, slow, [inputs, keys, hidden, *decoder.parameters()])


def test_the_query_includes_the_previous_symbol() -> None:
    decoder, (inputs, keys, mask, hidden) = make_decoder(), make_batch()
    prepared = decoder.mechanism.prepare(keys, mask)
    start = decoder.initial_state(hidden, prepared)
    assert start.hidden.hidden is hidden
    assert torch.equal(start.context, torch.zeros(BATCH, KEY_SIZE, dtype=torch.float64))
    first, _ = decoder.step(inputs[:, 0], prepared, start)
    other, _ = decoder.step(inputs[:, 1], prepared, start)
    assert not torch.allclose(first, other)


def test_the_hypotheses_of_a_sentence_share_its_keys() -> None:
    decoder, (inputs, keys, mask, _) = make_decoder(), make_batch()
    beam, hidden = 3, leaf(3 * BATCH, HIDDEN)
    shared = decoder.mechanism.prepare(keys, mask)
    state = decoder.initial_state(hidden, shared)._replace(context=leaf(3 * BATCH, KEY_SIZE))
    context, after = decoder.step(inputs[:, :beam].flatten(0, 1), shared, state)
    for row in range(len(hidden)):
        one = slice(row, row + 1)
        own = decoder.mechanism.prepare(keys[row // beam][None], mask[row // beam][None])
        alone = decoder.initial_state(hidden[one], own)._replace(context=state.context[one])
        expected, later = decoder.step(inputs[:, :beam].flatten(0, 1)[one], own, alone)
        torch.testing.assert_close(context[one], expected, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(after.hidden.hidden[one], later.hidden.hidden, rtol=1e-13, atol=1e-13)


def test_the_query_is_the_state_after_the_step_and_the_attention_state_is_kept() -> None:
    mechanism = Remembering()
    decoder = randomised(InputFeedingDecoder(mechanism, INPUT, KEY_SIZE, HIDDEN), 0.3)
    inputs, keys, _, hidden = make_batch()
    prepared = mechanism.prepare(keys)
    decoded, state = decoder(inputs, prepared, decoder.initial_state(hidden, prepared))
    for t in range(STEPS):
        torch.testing.assert_close(decoded.contexts[:, t], prepared * ((t + 1) * (t + 2) / 2), rtol=1e-13, atol=1e-13)
        assert torch.equal(mechanism.asked[t], decoded.states[:, t])
    assert state.attention.count.tolist() == [[STEPS], [STEPS]]

    halves, later = decoder(inputs[:, :2], prepared, decoder.initial_state(hidden, prepared))
    rest, later = decoder(inputs[:, 2:], prepared, later)
    torch.testing.assert_close(torch.cat([halves.states, rest.states], 1), decoded.states, rtol=1e-13, atol=1e-13)
    assert torch.equal(later.attention.count, state.attention.count)
