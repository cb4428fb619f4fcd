"""The same weights in Hugging Face's XLNet give the same results.

What its source (modeling_xlnet.py) does that the papers' equations do not say, and the authors' code does too: sines
and cosines stand in two halves, where Vaswani et al. let them alternate, which permutes the columns of W_kR; u and v
belong to a layer (Dai et al. share them); masked scores are lowered by 1e30, so that a query with nothing to see reads
all values, its own included; dropout of the distances and within the feed-forward layer. Its GELU is exact; the
authors' is the tanh. We leave out clamp_len, same_length, reuse_len and bi_data.
"""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from saccade.systems.xlnet.model import XLNet, XLNetConfig
from saccade.systems.xlnet.orders import Order, draw, masks
from tests.checks import randomised

SYMBOLS, MODEL, HEADS, HIDDEN, LENGTH, MEMORY = 13, 12, 3, 17, 7, 4
NAMES = {
    "query.weight": "rel_attn.q", "key.weight": "rel_attn.k", "value.weight": "rel_attn.v",
    "position.weight": "rel_attn.r", "output.weight": "rel_attn.o", "content_bias": "rel_attn.r_w_bias",
    "position_bias": "rel_attn.r_r_bias", "segment_bias": "rel_attn.r_s_bias", "segment": "rel_attn.seg_embed",
}  # fmt: skip
OTHERS = {
    "attention_residual.norm": "rel_attn.layer_norm", "forward_residual.norm": "ff.layer_norm",
    "feed_forward.hidden": "ff.layer_1", "feed_forward.output": "ff.layer_2",
}  # fmt: skip
HALVES = torch.stack([torch.arange(MODEL // 2), torch.arange(MODEL // 2) + MODEL // 2], 1).flatten()
"""The feature of theirs for each of ours, where sines and cosines alternate."""


def ours_of(theirs: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Their weights, or gradients of them, by our names."""
    found = {
        "embedding.weight": theirs["transformer.word_embedding.weight"],
        "unknown": theirs["transformer.mask_emb"].flatten(),
        "output_bias": theirs["lm_loss.bias"],
    }
    for number in range(layers):
        own, their = f"layers.{number}", f"transformer.layer.{number}"
        for name, other in NAMES.items():
            weight = theirs[f"{their}.{other}"]
            if name.endswith("weight"):
                weight = weight.flatten(1) if name.startswith("output") else weight.flatten(1).mT
            found[f"{own}.attention.{name}"] = weight[:, HALVES] if name.startswith("position.") else weight
        for name, other in OTHERS.items():
            found |= {f"{own}.{name}.{part}": theirs[f"{their}.{other}.{part}"] for part in ("weight", "bias")}
    return found


def pair(dtype: torch.dtype) -> tuple[XLNet, Any]:
    """The two nets with the same random weights."""
    from transformers import XLNetConfig as TheirConfig
    from transformers import XLNetLMHeadModel

    config = TheirConfig(
        vocab_size=SYMBOLS, d_model=MODEL, n_layer=2, n_head=HEADS, d_inner=HIDDEN, dropout=0.0, mem_len=MEMORY
    )
    theirs: Any = XLNetLMHeadModel(config)
    theirs = randomised(theirs, 0.3).to(dtype).eval()
    if dtype == torch.float64:  # theirs always computes the distances in float32

        def encodings(qlen: int, klen: int, bsz: int, device: Any = None) -> Tensor:
            frequencies = 10_000 ** -(torch.arange(0, MODEL, 2).double() / MODEL)
            angles = torch.arange(klen, -qlen, -1).double()[:, None] * frequencies
            return torch.cat([angles.sin(), angles.cos()], 1)[:, None].expand(-1, bsz, -1)

        theirs.transformer.relative_positional_encoding = encodings
    sizes = XLNetConfig(
        layers=2, model_size=MODEL, heads=HEADS, hidden_size=HIDDEN, memory=MEMORY, segments=True, dropout=0.0
    )
    ours = XLNet(sizes, SYMBOLS, 2 * LENGTH).to(dtype).eval()
    ours.load_state_dict(ours_of(theirs.state_dict(), 2))
    return ours, theirs


def gradients(net: torch.nn.Module) -> dict[str, Tensor]:
    return {
        name: torch.zeros_like(weight) if weight.grad is None else weight.grad
        for name, weight in net.named_parameters()
    }


def permutation(order: Order) -> tuple[Tensor, Tensor]:
    """Theirs: 1 where a position does not see another, and a row with a 1 at each target."""
    assert order.targets is not None
    seen = masks(order._replace(targets=None)).query[:, 0]
    return (~seen).double(), torch.nn.functional.one_hot(order.targets, order.ranks.shape[-1]).double()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("segmented", [False, True])
def test_two_windows_with_a_memory_between_them(dtype: torch.dtype, tolerance: float, segmented: bool) -> None:
    ours, theirs = pair(dtype)
    memory, mems = None, None
    segments = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1, 1]]) if segmented else None
    for padding in (0, 2):  # a memory has no padding
        symbols, order = torch.randint(SYMBOLS, (2, LENGTH)), draw(2, LENGTH, 3)
        mask = torch.arange(LENGTH) < torch.tensor([[LENGTH], [LENGTH - padding]])
        perm_mask, target_mapping = (part.to(dtype) for part in permutation(order))
        found = theirs(
            symbols, attention_mask=mask.to(dtype), mems=mems, perm_mask=perm_mask, target_mapping=target_mapping,
            token_type_ids=segments, use_mems=True, output_hidden_states=True,
        )  # fmt: skip
        before = 0 if memory is None else MEMORY  # theirs counts the memory as segment 0
        joined = None if segments is None else torch.cat([segments.new_zeros(2, before), segments], 1)
        streams, kept = ours.permuted(symbols, order, memory, mask, joined)
        logits = ours.project(streams.query).logits()
        pairs = [(logits, found.logits), (streams.query, found.hidden_states[-1])]
        pairs += [(streams.content[mask], found.hidden_states[-2][mask])]
        if not padding:
            pairs += [(kept[:, number], their.transpose(0, 1)) for number, their in enumerate(found.mems)]
        for own, their in pairs:
            torch.testing.assert_close(own, their, rtol=tolerance, atol=tolerance)
        memory, mems = kept, found.mems
    slope = torch.randn_like(logits)
    (logits * slope).sum().backward()
    (found.logits * slope).sum().backward()
    slopes, expected = gradients(ours), gradients(theirs)
    assert all(slope.any() or (not segmented and ".segment" in name) for name, slope in slopes.items())
    for name, slope in ours_of(expected, 2).items():
        torch.testing.assert_close(slopes[name], slope, rtol=tolerance, atol=tolerance)


def test_a_target_with_nothing_to_see_reads_its_own_symbol_in_theirs() -> None:
    """So our first symbol of an order differs, on purpose."""
    ours, theirs = pair(torch.float64)
    order = Order(torch.arange(LENGTH)[None], torch.tensor([[0]]))
    perm_mask, target_mapping = permutation(order)
    symbols = torch.randint(SYMBOLS, (1, LENGTH)).repeat(2, 1)
    symbols[1, 0] = (symbols[0, 0] + 1) % SYMBOLS
    with torch.no_grad():
        found = [theirs(row[None], perm_mask=perm_mask, target_mapping=target_mapping).logits for row in symbols]
        own = [ours.project(ours.permuted(row[None], order)[0].query).logits() for row in symbols]
    assert not torch.allclose(*found)
    assert torch.equal(*own)
