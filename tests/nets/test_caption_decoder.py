"""The decoder of Show, Attend and Tell against slow loops; what it becomes when its parts are off; its search."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from saccade.memory import LSTMState
from saccade.nets.attention_choice import Additive, Gumbel, Hard, StraightThrough
from saccade.nets.caption_decoder import CaptionDecoder, CaptionDecoderConfig
from saccade.nets.conditional_decoder import ConditionalDecoder
from saccade.nets.context_gate import ContextGate
from saccade.nets.input_feeding_decoder import InputFeedingDecoder
from saccade.nets.search import Symbols, beam_search
from tests.attention.test_additive import slow_look
from tests.checks import assert_twins, leaf, randomised, unchanged

BATCH, STEPS, REGIONS, ANNOTATION, HIDDEN, WORDS, WIDTH, EMBEDDING = 2, 5, 7, 11, 3, 17, 5, 13
CONFIG = CaptionDecoderConfig(
    attention=Additive(attention_size=WIDTH), embedding_size=EMBEDDING, hidden_size=HIDDEN, dropout=0.0
)
both_orders = pytest.mark.parametrize("order", ["look-first", "step-first"])


def make(**options: Any) -> CaptionDecoder:
    return randomised(CaptionDecoder(replace(CONFIG, **options), WORDS, ANNOTATION), 0.4)


def make_batch() -> tuple[Tensor, Tensor, Tensor]:
    mask = torch.arange(REGIONS) < torch.tensor([REGIONS, 3])[:, None]
    return torch.randint(WORDS, (BATCH, STEPS)), leaf(BATCH, REGIONS, ANNOTATION), mask


def slow_lstm_step(lstm: Any, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Equations 1 to 3, one unit at a time; the blocks are i, f, g, o."""
    new_h, new_c = [], []
    for n in range(HIDDEN):
        i, f, g, o = (
            lstm.weight_input[block * HIDDEN + n] @ x
            + lstm.weight_hidden[block * HIDDEN + n] @ h
            + lstm.bias[block * HIDDEN + n]
            for block in range(4)
        )
        new_c.append(torch.sigmoid(f) * c[n] + torch.sigmoid(i) * torch.tanh(g))
        new_h.append(torch.sigmoid(o) * torch.tanh(new_c[n]))
    return torch.stack(new_h), torch.stack(new_c)


def slow_decoder(decoder: CaptionDecoder, inputs: Tensor, annotations: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and weights, a caption, a word and a region at a time."""
    recurrent, readout = decoder.recurrent, decoder.readout
    gate = recurrent.attention
    logits, weights = [], []
    for words, a, allowed in zip(inputs, annotations, mask.tolist(), strict=True):
        mean = sum((a[i] for i, may in enumerate(allowed) if may), torch.zeros(ANNOTATION).double()) / sum(allowed)
        h = torch.tanh(decoder.initial_hidden.weight @ mean + decoder.initial_hidden.bias)
        c = torch.tanh(decoder.initial_cell.weight @ mean + decoder.initial_cell.bias)
        z = torch.zeros(ANNOTATION).double()
        for word in words:
            embedded = decoder.embedding.weight[word]
            if decoder.order == "step-first":
                h, c = slow_lstm_step(recurrent.cell, torch.cat([embedded, z]), h, c)
            context, alpha = slow_look(gate.attention, h, a, allowed, a)
            z = torch.sigmoid(gate.gate.weight[0] @ h + gate.gate.bias[0]) * context
            if decoder.order == "look-first":
                h, c = slow_lstm_step(recurrent.cell, torch.cat([embedded, z]), h, c)
            features = embedded + readout.hidden.weight @ h + readout.context.weight @ z
            logits.append(readout.output.weight @ features + readout.output.bias)
            weights.append(alpha)
    shape = BATCH, STEPS
    return torch.stack(logits).view(*shape, WORDS), torch.stack(weights).view(*shape, REGIONS)


@both_orders
def test_it_equals_its_slow_twin(order: str) -> None:
    decoder, (inputs, annotations, mask) = make(order=order), make_batch()

    def fast() -> tuple[Tensor, Tensor]:
        predicted = decoder(inputs, decoder.start(annotations, mask))
        return predicted.projection.logits(), predicted.weights

    def slow() -> tuple[Tensor, Tensor]:
        return slow_decoder(decoder, inputs, annotations, mask)

    assert_twins(fast, slow, [annotations, *decoder.parameters()])


@both_orders
@pytest.mark.parametrize("attention", [CONFIG.attention, Hard(attention_size=WIDTH)], ids=["soft", "hard"])
def test_all_steps_at_once_equal_single_steps(order: str, attention: Any) -> None:
    decoder, (inputs, annotations, mask) = make(order=order, attention=attention).eval(), make_batch()
    at_once = decoder(inputs, decoder.start(annotations, mask)).projection.log_probs()
    state = decoder.start(annotations, mask)
    for t in range(STEPS):
        log_probs, state = decoder.step(inputs[:, t], state)
        torch.testing.assert_close(log_probs, at_once[:, t], rtol=1e-12, atol=1e-12)


def test_regions_that_do_not_exist_change_nothing() -> None:
    decoder, (inputs, annotations, mask) = make(), make_batch()
    whole = decoder(inputs, decoder.start(annotations, mask))
    cut = decoder(inputs[1:], decoder.start(annotations[1:, :3]))
    torch.testing.assert_close(whole.projection.logits()[1:], cut.projection.logits(), rtol=1e-12, atol=1e-12)
    assert not whole.weights[1, :, 3:].any()


def test_without_any_region_it_is_a_language_model() -> None:
    decoder, (inputs, annotations, _) = make(), make_batch()
    nothing = torch.zeros(BATCH, REGIONS, dtype=torch.bool)
    one = decoder(inputs, decoder.start(annotations, nothing))
    other = decoder(inputs, decoder.start(torch.zeros(BATCH, 1, ANNOTATION).double(), nothing[:, :1]))
    assert torch.equal(one.projection.logits(), other.projection.logits())
    assert one.projection.logits().isfinite().all()
    assert not one.weights.any()


def test_an_open_gate_is_no_gate_and_a_closed_one_no_image() -> None:
    gated, plain, (inputs, annotations, _) = make(), make(gate=False), make_batch()
    weights = {name.replace("attention.attention", "attention"): value for name, value in gated.state_dict().items()}
    plain.load_state_dict({name: value for name, value in weights.items() if "attention.gate" not in name})
    gate: Any = gated.recurrent.attention.gate
    torch.nn.init.zeros_(gate.weight)
    torch.nn.init.constant_(gate.bias, 1e3)
    ours, theirs = (each(inputs, each.start(annotations)).projection.logits() for each in (gated, plain))
    assert torch.equal(ours, theirs)
    torch.nn.init.constant_(gate.bias, -1e3)
    mean = annotations.mean(1, True)  # from which the first state comes
    others = torch.cat([annotations[:, 1:], annotations[:, :1]], 1)
    closed, moved = (gated(inputs, gated.start(each)).projection.logits() for each in (annotations, others))
    torch.testing.assert_close(closed, moved, rtol=1e-12, atol=1e-12)
    alone = gated(inputs, gated.start(mean)).projection.logits()
    torch.testing.assert_close(closed, alone, rtol=1e-12, atol=1e-12)


@both_orders
def test_a_beam_is_the_same_in_a_batch_and_alone(order: str) -> None:
    decoder, (_, annotations, mask) = make(order=order), make_batch()

    class Searched:
        start = staticmethod(lambda encoded: decoder.start(*encoded))
        step, project = staticmethod(decoder.step), staticmethod(decoder.project)

    symbols, limits = Symbols(0, 1), torch.tensor([STEPS, STEPS])
    together = beam_search(Searched(), (annotations, mask), limits, symbols, beam=3)
    for row in range(BATCH):
        one = slice(row, row + 1)
        [alone] = beam_search(Searched(), (annotations[one], mask[one]), limits[one], symbols, beam=3)
        assert [found.tokens for found in alone] == [found.tokens for found in together[row]]


@both_orders
def test_forward_changes_nothing_on_the_module(order: str) -> None:
    decoder, (inputs, annotations, mask) = make(order=order), make_batch()
    with unchanged(decoder):
        predicted = decoder(inputs, decoder.start(annotations, mask))
        (predicted.projection.logits().sum() + predicted.weights.sum()).backward(inputs=[annotations])


def test_embeddings_and_the_features_before_the_logits_are_dropped_in_training() -> None:
    decoder, (inputs, annotations, mask), dropped = make(dropout=0.9), make_batch(), list[Tensor]()
    for layer in decoder.dropout, decoder.readout.dropout:
        layer.register_forward_hook(lambda layer, given, out: dropped.append(out))
    features = decoder.train()(inputs, decoder.start(annotations, mask)).projection.features
    assert [one.shape for one in dropped] == [(BATCH, STEPS, EMBEDDING)] * 2
    assert dropped[1] is features
    for one in dropped:
        assert abs((one == 0).double().mean().item() - 0.9) < 0.13  # five standard deviations of 130 elements
    dropped.clear()
    decoder.eval()(inputs, decoder.start(annotations, mask))
    assert all(one.all() for one in dropped)


@pytest.mark.parametrize("estimator", [StraightThrough(), Gumbel()])
def test_other_estimators_need_no_score_function(estimator: Any) -> None:
    decoder = make(attention=Hard(attention_size=WIDTH, estimator=estimator))
    inputs, annotations, mask = make_batch()
    assert decoder.score_function is None
    predicted = decoder(inputs, decoder.start(annotations, mask))
    assert torch.equal(predicted.weights.sort(-1).values[..., :-1], torch.zeros(BATCH, STEPS, REGIONS - 1).double())
    [slope] = torch.autograd.grad(predicted.projection.logits().sum(), decoder.recurrent.attention.attention.v)
    assert slope.any()


@pytest.mark.parametrize("kind", [ConditionalDecoder, InputFeedingDecoder])
def test_a_gated_recurrent_unit_is_what_it_was_to_the_last_bit(kind: Any) -> None:
    """The loops as they were when there was no other cell."""
    from saccade.attention import AdditiveAttention
    from saccade.memory.gru import Projected, gru_step, split

    torch.manual_seed(1)
    decoder = kind(AdditiveAttention(HIDDEN, ANNOTATION, WIDTH), EMBEDDING, ANNOTATION, HIDDEN)
    inputs, keys, hidden = torch.randn(2, 5, EMBEDDING), torch.randn(2, 7, ANNOTATION), torch.randn(2, HIDDEN)
    prepared, cell = decoder.mechanism.prepare(keys), decoder.cell
    found, last = decoder(inputs, prepared, decoder.initial_state(hidden, prepared))
    symbols, contexts = cell.weight_input.split([EMBEDDING, ANNOTATION], 1)
    gates, candidates = split(torch.nn.functional.linear(inputs, symbols, cell.bias))
    context = torch.zeros(2, ANNOTATION)
    for t in range(5):
        if kind is ConditionalDecoder:
            context = decoder.mechanism.read(hidden, prepared).context
        more = torch.nn.functional.linear(context, contexts.contiguous()).split([2 * HIDDEN, HIDDEN], -1)
        hidden = gru_step(Projected(gates[:, t] + more[0], candidates[:, t] + more[1]), hidden, cell.recurrent())
        if kind is InputFeedingDecoder:
            context = decoder.mechanism.read(hidden, prepared).context
        assert torch.equal(found.states[:, t], hidden)
        assert torch.equal(found.contexts[:, t], context)
    assert torch.equal(last.hidden.hidden, hidden)


@pytest.mark.parametrize("kind", [ConditionalDecoder, InputFeedingDecoder])
def test_the_cell_of_an_lstm_starts_at_zero_unless_it_is_given(kind: Any) -> None:
    gate = ContextGate(make().recurrent.attention.attention, HIDDEN).double()
    decoder = kind(gate, EMBEDDING, ANNOTATION, HIDDEN, cell="lstm").double()
    hidden, prepared = leaf(2, HIDDEN), gate.prepare(leaf(2, 7, ANNOTATION))
    state = decoder.initial_state(hidden, prepared)
    assert isinstance(state.hidden, LSTMState)
    assert not state.hidden.cell.any()
    assert torch.equal(decoder.initial_state(hidden, prepared, hidden).hidden.cell, hidden)


def test_a_start_that_is_dropped_knows_nothing_of_the_image() -> None:
    decoder = CaptionDecoder(CaptionDecoderConfig(start_dropout=0.4), 9, 7).train()
    states = decoder.start(torch.rand(3000, 2, 7)).decoder.hidden.hidden
    nothing = torch.tanh(decoder.initial_hidden.bias)
    dropped = (states == nothing).all(1)
    assert dropped.double().mean() == pytest.approx(0.4, abs=0.04)
    assert not (decoder.eval().start(torch.rand(50, 2, 7)).decoder.hidden.hidden == nothing).all(1).any()
