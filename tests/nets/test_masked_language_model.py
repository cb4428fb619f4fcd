"""The net against loops, and against Hugging Face's BERT and RoBERTa built locally with random weights."""

from typing import Any

import pytest
import torch
from torch import Tensor

from saccade.attention.self_attention import joined
from saccade.core.errors import InvalidInput
from saccade.core.masks import length_mask
from saccade.nets.masked_language_model import MaskedLanguageModel, MaskedLanguageModelConfig, fill, likeliest
from tests.checks import assert_twins, randomised
from tests.nets.test_language_model import gelu, norm, slow_block

SYMBOLS, BATCH, LENGTH, SIZE, HEADS, HIDDEN, LAYERS, POSITIONS = 23, 3, 7, 12, 3, 29, 2, 11
SIZES = MaskedLanguageModelConfig(
    layers=LAYERS, model_size=SIZE, heads=HEADS, hidden_size=HIDDEN, positions=POSITIONS, dropout=0.0
)
PADDING = 1


def make(pairs: bool = True, dtype: torch.dtype = torch.float64) -> MaskedLanguageModel:
    model = MaskedLanguageModel(SIZES, SYMBOLS, pairs=pairs, unused=0 if pairs else 2, epsilon=1e-12 if pairs else 1e-5)
    return randomised(model, 0.3).to(dtype).eval()


def texts(lengths: tuple[int, ...] = (LENGTH, 5, 2)) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Symbols, mask, segments and chosen places; at least one place of each text is chosen."""
    symbols = torch.randint(4, SYMBOLS, (BATCH, LENGTH))
    mask = length_mask(torch.tensor(lengths), LENGTH)
    segments = (torch.arange(LENGTH) > 2).long().expand(BATCH, LENGTH)
    chosen = (torch.rand(BATCH, LENGTH) < 0.4) & mask
    chosen[:, 1] = True
    return symbols.masked_fill(~mask, PADDING), mask, segments, chosen


def slow(model: MaskedLanguageModel, symbols: Tensor, segments: Tensor) -> tuple[Tensor, Tensor | None]:
    """The equations at the head of the file, for one text (t,) without padding: logits (t, v), and scores (2,)."""
    encoder = model.encoder
    rows = [
        norm(
            encoder.norm,
            encoder.symbols.weight[symbol]
            + encoder.positions.weight[place + encoder.unused]
            + encoder.segments.weight[kind],
        )
        for place, (symbol, kind) in enumerate(zip(symbols.tolist(), segments.tolist(), strict=True))
    ]
    features = torch.stack(rows)
    for block in encoder.stack.blocks:
        features = slow_block(block, features, False, True, False)
    logits = [
        torch.stack(
            [
                row @ norm(model.norm, gelu(model.transform.weight @ x + model.transform.bias, True))
                for row in encoder.symbols.weight
            ]
        )
        + model.bias
        for x in features
    ]
    if model.pooler is None or model.follows is None:
        return torch.stack(logits), None
    pooled = torch.tanh(model.pooler.weight @ features[0] + model.pooler.bias)
    return torch.stack(logits), model.follows.weight @ pooled + model.follows.bias


@pytest.mark.parametrize("pairs", [True, False])
def test_a_text_equals_its_loops(pairs: bool) -> None:
    torch.manual_seed(1)
    model = make(pairs)
    symbols, _, segments, _ = texts()
    own = segments[0] if pairs else torch.zeros_like(segments[0])

    def fast() -> tuple[Tensor, ...]:
        projection, scores = model(symbols[:1], None, segments[:1])
        return (projection.logits()[0],) if scores is None else (projection.logits()[0], scores[0])

    def loops() -> tuple[Tensor, ...]:
        logits, scores = slow(model, symbols[0], own)
        return (logits,) if scores is None else (logits, scores)

    assert_twins(fast, loops, list(model.parameters()))


@pytest.mark.parametrize("pairs", [True, False])
def test_padding_never_changes_a_text(pairs: bool) -> None:
    torch.manual_seed(2)
    model = make(pairs)
    symbols, mask, segments, _ = texts()
    together, scores = model(symbols, mask, segments)
    for row, length in enumerate(mask.sum(1).tolist()):
        for left in (0, 3):  # on either side
            padded = [torch.nn.functional.pad(part[row, :length], (left, 1)) for part in (symbols, mask, segments)]
            alone, own = model(*(part[None] for part in padded))
            torch.testing.assert_close(alone.logits()[0, left:-1], together.logits()[row, :length])
            if scores is not None and own is not None and not left:
                torch.testing.assert_close(own[0], scores[row])


def test_the_pooler_reads_the_first_symbol_and_chosen_places_are_rows_of_all() -> None:
    torch.manual_seed(3)
    model = make()
    symbols, mask, segments, chosen = texts()
    every, _ = model(symbols, mask, segments)
    some, _ = model(symbols, mask, segments, chosen)
    torch.testing.assert_close(some.logits(), every.logits()[chosen])


def their_config(kind: str) -> Any:
    transformers = pytest.importorskip("transformers")
    sizes = {
        "vocab_size": SYMBOLS, "hidden_size": SIZE, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "intermediate_size": HIDDEN, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
        "attn_implementation": "eager", "pad_token_id": PADDING,
    }  # fmt: skip
    if kind == "bert":
        return transformers.BertConfig(max_position_embeddings=POSITIONS, **sizes)
    return transformers.RobertaConfig(
        max_position_embeddings=POSITIONS + PADDING + 1, type_vocab_size=1, layer_norm_eps=1e-5, **sizes
    )  # fmt: skip


def pairs_of_weights(ours: MaskedLanguageModel, theirs: Any) -> list[tuple[Tensor, list[Tensor]]]:
    """Each of our weights, with theirs; three where ours joins three."""
    body = theirs.bert if hasattr(theirs, "bert") else theirs.roberta
    head = theirs.cls.predictions if hasattr(theirs, "cls") else theirs.lm_head
    rows: list[tuple[Any, Any]] = [
        (ours.encoder.symbols, body.embeddings.word_embeddings),
        (ours.encoder.positions, body.embeddings.position_embeddings),
        (ours.encoder.segments, body.embeddings.token_type_embeddings),
        (ours.encoder.norm, body.embeddings.LayerNorm),
        (ours.transform, head.transform.dense if hasattr(theirs, "cls") else head.dense),
        (ours.norm, head.transform.LayerNorm if hasattr(theirs, "cls") else head.layer_norm),
    ]
    if ours.pooler is not None:
        rows += [(ours.pooler, body.pooler.dense), (ours.follows, theirs.cls.seq_relationship)]
    blocks: Any = ours.encoder.stack.blocks
    found: list[tuple[Tensor, list[Tensor]]] = [(ours.bias, [head.bias])]
    for block, layer in zip(blocks, body.encoder.layer, strict=True):
        three = layer.attention.self
        for name in ("weight", "bias"):
            parts = [getattr(part, name) for part in (three.query, three.key, three.value)]
            found.append((getattr(block.attention.projection, name), parts))
        rows += [
            (block.attention.output, layer.attention.output.dense),
            (block.attention_residual.norm, layer.attention.output.LayerNorm),
            (block.feed_forward.hidden, layer.intermediate.dense),
            (block.feed_forward.output, layer.output.dense),
            (block.forward_residual.norm, layer.output.LayerNorm),
        ]
    for our, their in rows:
        found += [(getattr(our, name), [weight]) for name, weight in their.named_parameters()]
    return found


def as_ours(parts: list[Tensor]) -> Tensor:
    if len(parts) == 1:
        return parts[0]
    query, key, value = parts
    return joined(query, key, value, HEADS)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_the_same_weights_give_hugging_faces_outputs_and_gradients(
    kind: str, dtype: torch.dtype, tolerance: float
) -> None:
    config = their_config(kind)
    import transformers

    torch.manual_seed(4)
    made: Any = transformers.BertForPreTraining if kind == "bert" else transformers.RobertaForMaskedLM
    theirs = randomised(made(config), 0.2).to(dtype).eval()
    ours = make(kind == "bert", dtype)
    weights = pairs_of_weights(ours, theirs)
    assert {id(weight) for weight, _ in weights} == {id(weight) for weight in ours.parameters()}
    assert {id(part) for _, parts in weights for part in parts} == {id(weight) for weight in theirs.parameters()}
    with torch.no_grad():
        for weight, parts in weights:
            weight.copy_(as_ours(parts))

    symbols, mask, segments, _ = texts()
    kinds = {"token_type_ids": segments} if kind == "bert" else {}
    their = theirs(input_ids=symbols, attention_mask=mask.long(), output_hidden_states=True, **kinds)
    their_logits = their.prediction_logits if kind == "bert" else their.logits
    projection, scores = ours(symbols, mask, segments)
    hidden = [ours.encoder.embedded(symbols, mask, segments if kind == "bert" else None)]
    for block in ours.encoder.stack.blocks:
        hidden.append(block(hidden[-1], mask))
    for our, want in zip(hidden, their.hidden_states, strict=True):
        torch.testing.assert_close(our[mask], want[mask], rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(projection.logits()[mask], their_logits[mask], rtol=tolerance, atol=tolerance)
    slope = torch.randn(int(mask.sum()), SYMBOLS, dtype=dtype)
    loss, their_loss = (projection.logits()[mask] * slope).sum(), (their_logits[mask] * slope).sum()
    if scores is not None:
        torch.testing.assert_close(scores, their.seq_relationship_logits, rtol=tolerance, atol=tolerance)
        loss, their_loss = loss + scores[:, 0].sum(), their_loss + their.seq_relationship_logits[:, 0].sum()
    loss.backward()
    their_loss.backward()
    for weight, parts in weights:
        assert weight.grad is not None
        want = as_ours([part.grad for part in parts])  # type: ignore[misc]
        scale = max(1.0, float(want.abs().max()))
        torch.testing.assert_close(weight.grad / scale, want / scale, rtol=tolerance, atol=tolerance)


def test_chosen_places_are_filled_with_the_most_probable_symbols() -> None:
    torch.manual_seed(5)
    model = make()
    symbols, mask, segments, chosen = texts()
    found = fill(model, symbols, mask, segments, chosen, symbols)
    assert torch.equal(found.symbols[~chosen], symbols[~chosen])
    for row, length in enumerate(mask.sum(1).tolist()):
        logits, scores = slow(model, symbols[row, :length], segments[row, :length])
        places = chosen[row, :length]
        assert found.symbols[row, :length][places].tolist() == logits.argmax(1)[places].tolist()
        nats = -logits.log_softmax(1).gather(1, symbols[row, :length, None])[:, 0][places].sum()
        assert float(found.nats[row]) == pytest.approx(nats.item())
        assert found.follows is not None
        assert scores is not None
        assert float(found.follows[row]) == pytest.approx(scores.softmax(0)[0].item())
    [step, *rest] = likeliest(model, symbols[0], segments[0], chosen[0], list(map(str, range(SYMBOLS))), SYMBOLS)
    assert len(rest) == int(chosen[0].sum()) - 1
    assert step.symbol == str(int(found.symbols[0][chosen[0]][0]))
    assert sum(torch.tensor(value).exp() for _, value in step.likeliest) == pytest.approx(1)
    assert fill(model, symbols, mask, segments, chosen & False, symbols).nats.tolist() == [0.0] * BATCH


def test_a_longer_text_and_too_many_candidates_are_refused() -> None:
    model = make()
    with pytest.raises(InvalidInput, match="12 symbols is longer than the 11 positions"):
        model(torch.ones(1, 12, dtype=torch.long))
    with pytest.raises(InvalidInput, match="from 1 to 23"):
        likeliest(model, torch.ones(2).long(), torch.zeros(2).long(), torch.ones(2).bool(), ["a"] * SYMBOLS, 24)
