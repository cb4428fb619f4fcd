"""The net against loops, and against Hugging Face's GPT-2 built locally with random weights."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.core.masks import length_mask
from saccade.explain import capture
from saccade.nets.blocks import Block, Blocks
from saccade.nets.language_model import LanguageModel, LanguageModelConfig
from saccade.training.sharding import separate_layers
from tests.checks import assert_twins, leaf, randomised

SYMBOLS, BATCH, LENGTH, SIZE, HEADS, HIDDEN, LAYERS, POSITIONS = 23, 3, 7, 12, 3, 29, 2, 11
SIZES = LanguageModelConfig(
    layers=LAYERS, model_size=SIZE, heads=HEADS, hidden_size=HIDDEN, positions=POSITIONS, dropout=0.0
)


def make(dtype: torch.dtype = torch.float64) -> LanguageModel:
    return randomised(LanguageModel(SIZES, SYMBOLS), 0.3).to(dtype).eval()


def norm(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    deviation = ((x - x.mean()).square().mean() + layer.eps).sqrt()
    return (x - x.mean()) / deviation * layer.weight + layer.bias


def gelu(x: Tensor, exact: bool) -> Tensor:
    if exact:
        return x * (1 + torch.erf(x / math.sqrt(2))) / 2
    return x / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def attend(block: Any, rows: list[Tensor], causal: bool) -> list[Tensor]:
    """Self-attention, one query and one head at a time."""
    attention, size, found = block.attention, SIZE // HEADS, []
    joined = [attention.projection.weight @ row + attention.projection.bias for row in rows]
    for t in range(len(rows)):
        contexts = []
        for head in range(HEADS):
            start = 3 * head * size
            scores = [
                joined[t][start : start + size] @ other[start + size : start + 2 * size] / math.sqrt(size)
                for other in joined[: t + 1 if causal else None]
            ]
            weights = [score.exp() / sum(other.exp() for other in scores) for score in scores]
            values = [other[start + 2 * size : start + 3 * size] for other in joined]
            contexts.append(torch.stack([w * v for w, v in zip(weights, values, strict=False)]).sum(0))
        found.append(attention.output.weight @ torch.cat(contexts) + attention.output.bias)
    return found


def slow_block(block: Any, inputs: Tensor, pre: bool, exact: bool, causal: bool) -> Tensor:
    """The equations at the head of the file, for one text (t, d)."""
    rows, feed = list(inputs.unbind()), block.feed_forward

    def forward(x: Tensor) -> Tensor:
        hidden = gelu(feed.hidden.weight @ x + feed.hidden.bias, exact)
        outputs: Tensor = feed.output.weight @ hidden + feed.output.bias
        return outputs

    first, second = block.attention_residual.norm, block.forward_residual.norm
    if pre:
        attended = attend(block, [norm(first, row) for row in rows], causal)
        rows = [row + more for row, more in zip(rows, attended, strict=True)]
        return torch.stack([row + forward(norm(second, row)) for row in rows])
    attended = attend(block, rows, causal)
    rows = [norm(first, row + more) for row, more in zip(rows, attended, strict=True)]
    return torch.stack([norm(second, row + forward(row)) for row in rows])


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("place", "activation", "epsilon"), [("pre", "gelu-tanh", 1e-5), ("post", "gelu", 1e-12)])
def test_a_block_equals_its_loops(place: Any, activation: Any, epsilon: float, causal: bool) -> None:
    block = Block(SIZE, HEADS, HIDDEN, dropout=0.0, norm=place, activation=activation, epsilon=epsilon)
    randomised(block, 0.4)
    inputs = leaf(1, LENGTH, SIZE)
    assert_twins(
        lambda: block(inputs, None, causal),
        lambda: slow_block(block, inputs[0], place == "pre", activation == "gelu", causal)[None],
        [inputs, *block.parameters()],
    )


def test_a_stack_ends_in_a_norm_only_with_pre_norm() -> None:
    options: dict[str, Any] = {"heads": HEADS, "hidden_size": HIDDEN}
    assert isinstance(Blocks(1, SIZE, "pre", 1e-12, **options).norm, nn.LayerNorm)
    assert isinstance(Blocks(1, SIZE, "post", **options).norm, nn.Identity)


def test_projections_that_add_to_the_sum_begin_smaller() -> None:
    torch.manual_seed(0)
    model = LanguageModel(LanguageModelConfig(layers=8, model_size=96, heads=3, positions=300), 500)
    for name, weight in model.named_parameters():
        expected = 0.02 / 4 if name.endswith("output.weight") else 0.02  # sqrt(2 x 8) = 4
        if name.endswith("bias"):
            assert not weight.any()
        elif "norm" in name:
            assert bool((weight == 1).all())
        else:
            assert float(weight.detach().std()) == pytest.approx(expected, rel=0.05), name
    assert sum(name.endswith("output.weight") for name, _ in model.named_parameters()) == 16


def weights_of(ours: LanguageModel, peer: Any) -> dict[str, tuple[Tensor, Tensor]]:
    """Our name -> our weight and a view of theirs, in one shape. Their projection has all queries first, then all keys,
    then all values, and their matrices are transposed."""
    own, body = dict(ours.named_parameters()), peer.transformer
    found = {
        "embedding.weight": body.wte.weight, "positions.table": body.wpe.weight,
        "stack.norm.weight": body.ln_f.weight, "stack.norm.bias": body.ln_f.bias,
    }  # fmt: skip
    for layer, block in enumerate(body.h):
        for name, part in (
            ("attention.projection", block.attn.c_attn), ("attention.output", block.attn.c_proj),
            ("feed_forward.hidden", block.mlp.c_fc), ("feed_forward.output", block.mlp.c_proj),
            ("attention_residual.norm", block.ln_1), ("forward_residual.norm", block.ln_2),
        ):  # fmt: skip
            found |= {f"stack.blocks.{layer}.{name}.{kind}": getattr(part, kind) for kind in ("weight", "bias")}
    assert found.keys() == own.keys()
    return {name: (own[name], found[name]) for name in own}


def alike(name: str, ours: Tensor, peers: Tensor) -> tuple[Tensor, Tensor]:
    """Both in one shape."""
    if peers.ndim == 2 and "blocks" in name:
        peers = peers.mT
    if ".projection." in name:
        size = SIZE // HEADS
        return ours.unflatten(0, (HEADS, 3, size)), peers.unflatten(0, (3, HEADS, size)).transpose(0, 1)
    return ours, peers


def theirs(ours: LanguageModel, dtype: torch.dtype) -> Any:
    """Hugging Face's GPT-2 with our weights."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=SYMBOLS, n_positions=POSITIONS, n_embd=SIZE, n_layer=LAYERS, n_head=HEADS, n_inner=HIDDEN,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).to(dtype).eval()
    with torch.no_grad():
        for name, pair in weights_of(ours, model).items():
            own, peers = alike(name, *pair)
            peers.copy_(own)
    return model


def hidden_states(model: LanguageModel, symbols: Tensor, mask: Tensor | None) -> tuple[list[Tensor], Tensor]:
    """The outputs of the embedding, of each block but the last, and of the last norm; and the logits."""
    found: list[Tensor] = []
    hooks = [block.register_forward_pre_hook(lambda _, given: found.append(given[0])) for block in model.stack.blocks]
    projection = model(symbols, mask)
    for hook in hooks:
        hook.remove()
    return [*found, projection.features], projection.logits()


KINDS = [(torch.float32, 1e-5), (torch.float64, 1e-10)]


def masks(side: str) -> Tensor:
    """Texts of 7, 4 and 1 symbols, with the padding behind or before them."""
    behind = length_mask(torch.tensor([7, 4, 1]), LENGTH)
    return behind if side == "behind" else behind.flip(1)


@pytest.mark.parametrize("side", ["none", "behind", "before"])
@pytest.mark.parametrize(("dtype", "tolerance"), KINDS)
def test_it_equals_hugging_faces_gpt2(dtype: torch.dtype, tolerance: float, side: str) -> None:
    ours = make(dtype)
    peer, symbols = theirs(ours, dtype), torch.randint(SYMBOLS, (BATCH, LENGTH))
    mask = None if side == "none" else masks(side)
    real = torch.ones(BATCH, LENGTH, dtype=torch.bool) if mask is None else mask
    places = (real.cumsum(1) - 1).clamp(min=0)
    states, logits = hidden_states(ours, symbols, mask)
    expected = peer(symbols, attention_mask=real.long(), position_ids=places, output_hidden_states=True)
    for our, their in zip(states, expected.hidden_states, strict=True):
        torch.testing.assert_close(our[real], their[real], rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(logits[real], expected.logits[real], rtol=tolerance, atol=tolerance)
    slopes = torch.randn_like(logits) * real[..., None]
    ((logits * slopes).sum() + (expected.logits * slopes).sum()).backward()
    for name, pair in weights_of(ours, peer).items():
        assert all(weight.grad is not None for weight in pair)
        found, wanted = alike(name, *(weight.grad for weight in pair))
        scale = float(wanted.abs().max())
        torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance * max(1.0, scale))


@pytest.mark.parametrize(("dtype", "tolerance"), KINDS)
def test_it_equals_hugging_face_with_a_cache(dtype: torch.dtype, tolerance: float) -> None:
    ours = make(dtype)
    peer, symbols = theirs(ours, dtype), torch.randint(SYMBOLS, (BATCH, LENGTH))
    with torch.no_grad():
        features, past = ours.advance(symbols[:, :4])
        found = peer(symbols[:, :4], use_cache=True)
        for place in range(4, LENGTH):
            own = torch.full((BATCH, 1), place)
            features, past = ours.advance(symbols[:, place : place + 1], own, past)
            found = peer(symbols[:, place : place + 1], past_key_values=found.past_key_values, use_cache=True)
            logits = features @ ours.embedding.weight.mT
            torch.testing.assert_close(logits, found.logits, rtol=tolerance, atol=tolerance)


def test_padding_on_either_side_is_as_none() -> None:
    model, symbols = make(), torch.randint(SYMBOLS, (BATCH, LENGTH))
    for side in ("behind", "before"):
        mask = masks(side)
        whole = model(symbols, mask).logits()
        for row in range(BATCH):
            alone = model(symbols[row][mask[row]][None]).logits()[0]
            torch.testing.assert_close(whole[row][mask[row]], alone, rtol=0, atol=1e-12)


def test_the_loss_in_blocks_is_that_of_the_logits() -> None:
    model, symbols = make(), torch.randint(SYMBOLS, (BATCH, LENGTH + 1))
    targets = symbols[:, 1:].masked_fill(torch.rand(BATCH, LENGTH) < 0.3, -100)
    model_weights = list(model.parameters())
    assert_twins(
        lambda: model(symbols[:, :-1]).cross_entropy(targets, -100),
        lambda: nn.functional.cross_entropy(model(symbols[:, :-1]).logits().flatten(0, 1), targets.flatten()),
        model_weights,
    )


def test_its_heads_are_captured_and_each_block_can_be_sharded_apart() -> None:
    model, symbols = make(), torch.randint(SYMBOLS, (1, LENGTH))
    silent = model(symbols).logits()
    with capture(model) as seen:
        assert torch.equal(model(symbols).logits(), silent)
    assert list(seen) == [f"stack.blocks.{layer}.attention.weights" for layer in range(LAYERS)]
    found = separate_layers(model, lambda: model(symbols).cross_entropy(symbols, -100))
    assert set(found) == set(model.stack.blocks)


@pytest.mark.unhooked
def test_a_text_longer_than_its_positions_is_refused() -> None:
    model, symbols = make(), torch.zeros(1, POSITIONS + 1, dtype=torch.long)
    with pytest.raises(InvalidInput, match="12 symbols is longer than the 11 positions"):
        model(symbols)
    with pytest.raises(InvalidInput, match="12 symbols is longer than the 11 positions"):
        model(symbols, torch.arange(POSITIONS + 1)[None] > 3)


@pytest.mark.unhooked
def test_it_compiles_without_graph_breaks() -> None:
    model, symbols = make(torch.float32), torch.randint(SYMBOLS, (BATCH, LENGTH))
    compiled = torch.compile(lambda x: model(x).features, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(symbols), model(symbols).features)
