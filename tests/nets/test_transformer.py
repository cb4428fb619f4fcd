"""The blocks against torch's with the same weights. tests/systems has the paper's equations word by word."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saccade.attention import MultiHeadAttention
from saccade.nets.transformer import DecoderBlock, EncoderBlock, Norm, TransformerDecoder, TransformerEncoder
from saccade.training.sharding import separate_layers
from tests.checks import assert_twins, leaf, randomised

BATCH, SOURCE, TARGET, SIZE, HEADS, HIDDEN = 2, 7, 5, 12, 3, 11
both_norms = pytest.mark.parametrize("norm", ["post", "pre"])


def copy_attention(ours: MultiHeadAttention, theirs: Any) -> None:
    theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
    theirs.in_proj_bias.zero_()
    theirs.out_proj.weight.copy_(ours.output.weight)
    theirs.out_proj.bias.zero_()


@torch.no_grad()
def copy_block(ours: Any, theirs: Any) -> None:
    copy_attention(ours.self_attention, theirs.self_attn)
    residuals = [ours.self_residual, ours.forward_residual]
    if isinstance(ours, DecoderBlock):
        copy_attention(ours.cross_attention, theirs.multihead_attn)
        residuals.insert(1, ours.cross_residual)
    theirs.linear1.load_state_dict(ours.feed_forward.hidden.state_dict())
    theirs.linear2.load_state_dict(ours.feed_forward.output.state_dict())
    for number, residual in enumerate(residuals, start=1):
        getattr(theirs, f"norm{number}").load_state_dict(residual.norm.state_dict())


def key_mask() -> Tensor:
    return torch.arange(SOURCE).expand(BATCH, SOURCE) < torch.tensor([[SOURCE], [3]])


@both_norms
def test_an_encoder_block_equals_torchs(norm: Norm) -> None:
    ours = randomised(EncoderBlock(SIZE, HEADS, HIDDEN, 0.0, norm))
    theirs = nn.TransformerEncoderLayer(SIZE, HEADS, HIDDEN, 0.0, batch_first=True, norm_first=norm == "pre").double()
    copy_block(ours, theirs)
    inputs, mask = leaf(BATCH, SOURCE, SIZE), key_mask()
    assert_twins(
        lambda: ours(inputs, mask)[mask],
        lambda: theirs(inputs, src_key_padding_mask=~mask)[mask],  # torch's masks are inverted
        [inputs],
    )


@both_norms
def test_a_decoder_block_equals_torchs(norm: Norm) -> None:
    ours = randomised(DecoderBlock(SIZE, HEADS, HIDDEN, 0.0, norm))
    theirs = nn.TransformerDecoderLayer(SIZE, HEADS, HIDDEN, 0.0, batch_first=True, norm_first=norm == "pre").double()
    copy_block(ours, theirs)
    inputs, memory, mask = leaf(BATCH, TARGET, SIZE), leaf(BATCH, SOURCE, SIZE), key_mask()
    hidden = torch.ones(TARGET, TARGET, dtype=torch.bool).triu(1)
    assert_twins(
        lambda: ours(inputs, memory, mask),
        lambda: theirs(inputs, memory, tgt_mask=hidden, memory_key_padding_mask=~mask),
        [inputs, memory],
    )


@both_norms
@pytest.mark.parametrize("parts", [[1, 1, 1, 1, 1], [2, 3], [5]])
def test_steps_with_a_cache_equal_the_full_sequence(norm: Norm, parts: list[int]) -> None:
    decoder = randomised(TransformerDecoder(2, SIZE, norm, heads=HEADS, hidden_size=HIDDEN, dropout=0.0))
    inputs, memory, mask = leaf(BATCH, TARGET, SIZE), leaf(BATCH, SOURCE, SIZE), key_mask()

    def piecewise() -> Tensor:
        prepared, past, found = decoder.prepare(memory, mask), None, []
        for part in inputs.split(parts, 1):
            outputs, past = decoder.advance(part, prepared, past)
            found.append(outputs)
        return torch.cat(found, 1)

    assert_twins(lambda: decoder(inputs, memory, mask), piecewise, [inputs, memory, *decoder.parameters()])


def test_positions_may_be_the_hypotheses_of_a_tree() -> None:
    """Two hypotheses that share their first symbol, stored in one sequence, with a mask for each."""
    decoder = randomised(TransformerDecoder(2, SIZE, heads=HEADS, hidden_size=HIDDEN, dropout=0.0))
    first, left, right = (leaf(BATCH, 1, SIZE) for _ in range(3))
    memory = leaf(BATCH, SOURCE, SIZE)
    prepared = decoder.prepare(memory)
    _, past = decoder.advance(first, prepared)
    own = torch.tensor([[[[True, True, False], [True, False, True]]]])
    both, _ = decoder.advance(torch.cat([left, right], 1), prepared, past, own)
    for place, second in enumerate((left, right)):
        alone = decoder(torch.cat([first, second], 1), memory)
        torch.testing.assert_close(both[:, place], alone[:, 1])


def test_the_stack_ends_in_a_norm_only_with_pre_norm() -> None:
    options: dict[str, Any] = {"heads": HEADS, "hidden_size": HIDDEN}
    for stack in (TransformerEncoder, TransformerDecoder):
        assert isinstance(stack(1, SIZE, "post", **options).norm, nn.Identity)
        assert isinstance(stack(1, SIZE, "pre", **options).norm, nn.LayerNorm)


def test_every_block_can_be_sharded_apart() -> None:
    model = nn.ModuleDict({
        "encoder": TransformerEncoder(2, SIZE, heads=HEADS, hidden_size=HIDDEN),
        "decoder": TransformerDecoder(2, SIZE, heads=HEADS, hidden_size=HIDDEN),
    })  # fmt: skip
    inputs = torch.randn(BATCH, TARGET, SIZE)
    found = separate_layers(model, lambda: model["decoder"](inputs, model["encoder"](inputs)))
    assert sorted(map(str, map(type, found))) == sorted(map(str, [EncoderBlock] * 2 + [DecoderBlock] * 2))
