"""The tensors of Transformer blocks in checkpoints of Hugging Face.

The names are those of transformers' modeling_gpt2.py (`GPT2Block`: ln_1, attn.c_attn, attn.c_proj, ln_2, mlp.c_fc,
mlp.c_proj) and modeling_bert.py (`BertLayer`: attention.self.query, key and value, attention.output, intermediate,
output). GPT-2's linear layers are `Conv1D`, whose weight is the transpose of ours.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal, NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from saccade.attention.self_attention import joined
from saccade.core.checkpoint import Weight

BOTH = ("weight", "bias")
Role = Literal["net", "answer", "extra"]


class Linear(NamedTuple):
    """A linear layer or a norm: our name, and theirs."""

    ours: str
    theirs: str


def plain(layers: list[Linear], role: Role = "net") -> Iterator[Weight]:
    """Weights and biases that both sides keep in one form."""
    yield from (Weight(f"{one.ours}.{end}", (f"{one.theirs}.{end}",), role=role) for one in layers for end in BOTH)


def apart(tensor: Float[Tensor, "m *d"], heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value of a joined projection, the inverse of `joined`."""
    query, key, value = rearrange(tensor, "(h n c) ... -> n (h c) ...", n=3, h=heads)
    return query, key, value


def transposed(tensor: Float[Tensor, "m n"]) -> Float[Tensor, "n m"]:
    return tensor.T.contiguous()


def in_thirds(tensor: Tensor, heads: int) -> Tensor:
    """GPT-2's c_attn, weight (d, 3 d) or bias, as the projection of ours."""
    query, key, value = tensor.chunk(3, -1)
    return joined(query.T, key.T, value.T, heads) if tensor.ndim == 2 else joined(query, key, value, heads)


def of_thirds(tensor: Tensor, heads: int) -> tuple[Tensor, ...]:
    """The inverse of `in_thirds`."""
    whole = torch.cat(apart(tensor, heads))
    return (transposed(whole) if whole.ndim == 2 else whole,)


def turned(layers: list[Linear]) -> Iterator[Weight]:
    """Linear layers that are transposed there."""
    for one in layers:
        yield Weight(f"{one.ours}.weight", (f"{one.theirs}.weight",), transposed, lambda tensor: (transposed(tensor),))
        yield Weight(f"{one.ours}.bias", (f"{one.theirs}.bias",))


def gpt2_blocks(layers: int, heads: int, ours: str, theirs: str) -> Iterator[Weight]:
    """The tensors of pre-norm blocks, as GPT-2's.

    Args:
        layers: number of blocks.
        heads: heads of each.
        ours, theirs: the names of the lists of blocks.
    """
    for layer in range(layers):
        own, other = f"{ours}.{layer}", f"{theirs}.{layer}"
        yield from plain([
            Linear(f"{own}.attention_residual.norm", f"{other}.ln_1"),
            Linear(f"{own}.forward_residual.norm", f"{other}.ln_2"),
        ])  # fmt: skip
        for end in BOTH:
            yield Weight(
                f"{own}.attention.projection.{end}", (f"{other}.attn.c_attn.{end}",),
                partial(in_thirds, heads=heads), partial(of_thirds, heads=heads),
            )  # fmt: skip
        yield from turned([
            Linear(f"{own}.attention.output", f"{other}.attn.c_proj"),
            Linear(f"{own}.feed_forward.hidden", f"{other}.mlp.c_fc"),
            Linear(f"{own}.feed_forward.output", f"{other}.mlp.c_proj"),
        ])  # fmt: skip


def bert_blocks(layers: int, heads: int, ours: str, theirs: str) -> Iterator[Weight]:
    """The tensors of post-norm blocks, as BERT's. Arguments as for `gpt2_blocks`."""
    join: Callable[..., Tensor] = partial(joined, heads=heads)
    for layer in range(layers):
        own, other = f"{ours}.{layer}", f"{theirs}.{layer}"
        for end in BOTH:
            parts = tuple(f"{other}.attention.self.{part}.{end}" for part in ("query", "key", "value"))
            yield Weight(f"{own}.attention.projection.{end}", parts, join, partial(apart, heads=heads))
        yield from plain([
            Linear(f"{own}.attention.output", f"{other}.attention.output.dense"),
            Linear(f"{own}.attention_residual.norm", f"{other}.attention.output.LayerNorm"),
            Linear(f"{own}.feed_forward.hidden", f"{other}.intermediate.dense"),
            Linear(f"{own}.feed_forward.output", f"{other}.output.dense"),
            Linear(f"{own}.forward_residual.norm", f"{other}.output.LayerNorm"),
        ])  # fmt: skip
