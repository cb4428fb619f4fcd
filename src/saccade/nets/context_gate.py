"""Gating scalar of a context. Xu et al. 2015, arXiv:1502.03044, section 4.2.1.

    beta_t = sigmoid(f_beta(h)),   z_t = beta_t sum_i alpha_ti a_i

h the query of the attention, which in the paper is h_{t-1}; alpha its weights, a annotations, f_beta linear. A small
beta lets the decoder write a word from the words before it. The paper's gate is one number a word; many later
implementations use one per feature.
"""

from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor, nn

from saccade.attention.reading import Reading
from saccade.core.tap import Tap


class ContextGate(nn.Module):
    """Any attention, with its context multiplied by a number that the query determines. The tap `beta` shows it.

    Args:
        attention: any mechanism of `saccade.attention`.
        query_size: features of a query.
    """

    def __init__(self, attention: nn.Module, query_size: int) -> None:
        super().__init__()
        self.attention: Any = attention
        self.gate = nn.Linear(query_size, 1)
        self.beta = Tap("b q")

    def prepare(
        self,
        keys: Float[Tensor, "b k d"],
        mask: Bool[Tensor, "b k"] | None = None,
        values: Float[Tensor, "b k c"] | None = None,
    ) -> Any:
        return self.attention.prepare(keys, mask, values)

    def initial_state(self, prepared: Any) -> Any:
        return self.attention.initial_state(prepared)

    def read(self, query: Float[Tensor, "b *q d"], prepared: Any, state: Any = (), **options: Any) -> Reading:
        """Read as the mechanism does, whose options these are, with the context gated."""
        reading: Reading = self.attention.read(query, prepared, state, **options)
        gate = self.gate(query).sigmoid()
        gate = self.beta(gate) if query.ndim == 2 else self.beta(gate[..., 0])[..., None]
        return reading._replace(context=gate * reading.context)
