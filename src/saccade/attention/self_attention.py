"""Multi-head self-attention with joined projections. Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2.

    [q_1; k_1; v_1; ...; q_h; k_h; v_h] = W x + b,   head_i = softmax(q_i k_i^T / sqrt(d)) v_i,
    y = W_O [head_1; ...; head_h] + b_O

The same function as `MultiHeadAttention(x, x)`, with one product where that has three. The rows of W are sorted by
head, as in Megatron-LM (Shoeybi et al. 2019, arXiv:1909.08053), so that a slice of them is a group of whole heads.
"""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saccade.attention.content import check_sizes
from saccade.attention.multi_head import Cache, Heads, attended
from saccade.core.errors import InvalidInput
from saccade.core.growing import Growing
from saccade.core.tap import Tap


class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2.2), by the fused kernel, with one projection for
    queries, keys and values.

    Args:
        model_size: features in and out, d_model.
        heads: number of heads, h.
        bias: whether the projections have biases.
        dropout: share of the attention weights dropped in training; on a CPU the fused kernel requires 0.

    Raises:
        InvalidInput: heads that do not divide the width; inputs of another width; a mask that is not bool of shape (b,
            k) or (b, h, q, k).
    """

    def __init__(self, model_size: int, heads: int, *, bias: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        check_sizes(model_size=model_size, heads=heads)
        if model_size % heads:
            raise InvalidInput(f"{heads} heads do not divide a width of {model_size}")
        self.head_size, self.dropout = model_size // heads, dropout
        self.projection = nn.Linear(model_size, 3 * model_size, bias)
        self.output = nn.Linear(model_size, model_size, bias)
        self.weights = Tap("b h q k")
        for linear, gain in ((self.projection, 2**-0.5), (self.output, 1.0)):  # as of `MultiHeadAttention`
            bound = gain * (3 / model_size) ** 0.5
            nn.init.uniform_(linear.weight, -bound, bound)
            if linear.bias is not None:
                nn.init.zeros_(linear.bias)

    def forward(
        self, inputs: Float[Tensor, "b t d"], mask: Bool[Tensor, "..."] | None = None, causal: bool = False
    ) -> Float[Tensor, "b t d"]:
        """The outputs of all positions.

        Args:
            mask: of the keys (b, k), or of the scores (b, h, q, k), where h and q may be 1; True = may be attended.
            causal: hide from each position the later ones.
        """
        query, keys, values = self.project(inputs)
        return self._attend(query, Heads(keys, values, None), mask, causal)

    def advance(
        self, inputs: Float[Tensor, "b t d"], past: Cache | None, mask: Bool[Tensor, "..."] | None = None
    ) -> tuple[Float[Tensor, "b t d"], Cache]:
        """The outputs of one or more positions after those of `past`, and the cache extended by them. A position sees
        the past and those up to its own; the mask, as in `forward`, is over the past and the new ones.
        """
        query, keys, values = self.project(inputs)
        if past is None:
            kept = Cache(Growing(keys, 2), Growing(values, 2))
        else:
            kept = Cache(past.keys.extended(keys), past.values.extended(values))
        return self._attend(query, kept.heads, mask, True), kept

    def project(self, inputs: Float[Tensor, "b t d"]) -> tuple[Float[Tensor, "b h t c"], ...]:
        """Queries, keys and values of each head. A slice of the projection's rows gives its own heads."""
        if inputs.ndim != 3 or inputs.shape[-1] != self.projection.in_features:
            wanted = f"(batch, positions, {self.projection.in_features})"
            raise InvalidInput(f"expected inputs {wanted}, not {tuple(inputs.shape)}")
        # by the size of a head, not by their number, since a shard of the weights has fewer heads; the three are taken
        # apart in place, so that their gradients are joined by one copy
        joined = rearrange(self.projection(inputs), "b t (h n c) -> b t h n c", n=3, c=self.head_size)
        return tuple(part.transpose(1, 2) for part in joined.unbind(3))

    def _attend(
        self, query: Float[Tensor, "b h q c"], heads: Heads, mask: Tensor | None, causal: bool
    ) -> Float[Tensor, "b q d"]:
        dropout = self.dropout if self.training else 0.0
        contexts = attended(self.weights, query, heads, mask, causal, dropout)
        merged: Tensor = self.output(rearrange(contexts, "b h q c -> b q (h c)"))
        return merged


def joined(
    query: Float[Tensor, "n *d"], key: Float[Tensor, "n *d"], value: Float[Tensor, "n *d"], heads: int
) -> Float[Tensor, "m *d"]:
    """Weights or biases of three projections, their rows sorted by head, as those of one."""
    parts = [rearrange(part, "(h c) ... -> h c ...", h=heads) for part in (query, key, value)]
    return rearrange(torch.stack(parts, 1), "h n c ... -> (h n c) ...")
