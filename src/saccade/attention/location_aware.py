"""Location-aware attention. Chorowski et al. 2015, arXiv:1506.07503, equations 8 to 12 and section 2.3.

    f_t = F * w_{t-1}                                     the last weights, convolved with several filters
    e_tk = v . tanh(W s_t + U h_k + V f_tk + b)
    w_tk = exp(beta e_tk) / sum_k' exp(beta e_tk')        beta = 1; a larger one, in evaluation, sharpens
    w_tk = sigmoid(e_tk) / sum_k' sigmoid(e_tk')          smoothing, in place of the softmax

s query, h keys. Without content, U h is omitted and the weights depend only on the previous weights and the query
(section 2.1). In evaluation the keys may be restricted to a window around the median of the previous weights. With
filters of zeros this is additive attention. The weights before the first read are one-hot on the first key that may be
attended. Sharpening multiplies the scores under either normalisation.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saccade.attention.additive import tanh_scores
from saccade.attention.content import Prepared, check_query, check_sizes, checked_values
from saccade.attention.reading import OneQuery, Reading
from saccade.core.errors import InvalidInput
from saccade.core.masks import masked_softmax
from saccade.core.tap import Tap


class LastWeights(NamedTuple):
    weights: Float[Tensor, "b k"]


def masked_sigmoid(scores: Float[Tensor, "b k"], mask: Bool[Tensor, "b k"] | None) -> Float[Tensor, "b k"]:
    """sigmoid(e_k) divided by its sum; rows with nothing to attend are zero."""
    # in log space, so that the sum of very small sigmoids does not vanish
    return masked_softmax(nn.functional.logsigmoid(scores), mask)


class LocationAwareAttention(OneQuery):
    """Additive attention that also sees its previous weights (Chorowski et al. 2015).

    Args:
        query_size: features of a query.
        key_size: features of a key.
        width: features of the hidden layer that computes the scores.
        filters: number of filters of the convolution.
        filter_width: keys that a filter covers, odd; the paper's is 201.
        smoothing: normalise sigmoids instead of exponentials, which spreads the weights over several keys.
        sharpening: beta, in evaluation only.
        content: score keys by content and position, as in the paper's hybrid; if False, by position only.
        window: in evaluation only, the number of keys on either side of the median of the previous weights that may be
            attended; all by default.

    Raises:
        InvalidInput: a size below 1, an even filter width, a sharpening that is not above 0, a window below 1; a mask
            that is not bool of shape (b, k); sizes that do not match.
    """

    def __init__(
        self,
        query_size: int,
        key_size: int,
        width: int,
        *,
        filters: int = 10,
        filter_width: int = 31,
        smoothing: bool = False,
        sharpening: float = 1.0,
        window: int | None = None,
        content: bool = True,
    ) -> None:
        super().__init__()
        check_sizes(query_size=query_size, key_size=key_size, width=width, filters=filters, filter_width=filter_width)
        if not 0 < sharpening < math.inf:
            raise InvalidInput(f"sharpening must be above 0 and finite, not {sharpening}")
        if filter_width % 2 == 0:
            raise InvalidInput(f"the width of a filter must be odd, not {filter_width}")
        if window is not None and window < 1:
            raise InvalidInput(f"a window must cover at least 1 key, not {window}")
        self.key_size, self.smoothing, self.sharpening, self.window = key_size, smoothing, sharpening, window
        self.query = nn.Linear(query_size, width, bias=False)
        self.key = nn.Linear(key_size, width) if content else None
        self.bias = None if content else nn.Parameter(torch.zeros(width))
        self.filters = nn.Conv1d(1, filters, filter_width, padding=filter_width // 2, bias=False)
        self.location = nn.Linear(filters, width, bias=False)
        self.v = nn.Parameter(torch.empty(width))
        self.weights = Tap("b q k")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for layer in (self.query, self.location, self.filters):
            nn.init.xavier_uniform_(layer.weight)
        if self.key is not None:
            nn.init.xavier_uniform_(self.key.weight)
            nn.init.zeros_(self.key.bias)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        bound = self.v.numel() ** -0.5
        nn.init.uniform_(self.v, -bound, bound)

    def prepare(
        self,
        keys: Float[Tensor, "b k d"],
        mask: Bool[Tensor, "b k"] | None = None,
        values: Float[Tensor, "b k c"] | None = None,
    ) -> Prepared:
        """Project the keys, once per sequence. Values default to the keys."""
        values = checked_values(self.key_size, keys, mask, values)
        if self.key is not None:
            return Prepared(self.key(keys), values, mask)
        assert self.bias is not None
        return Prepared(self.bias.expand(*keys.shape[:2], -1), values, mask)

    def initial_state(self, prepared: Prepared) -> LastWeights:
        weights = prepared.values.new_zeros(prepared.values.shape[:2])
        if prepared.mask is None:
            weights[:, :1] = 1.0
            return LastWeights(weights)
        return LastWeights(weights.masked_fill(prepared.mask & (prepared.mask.cumsum(1) == 1), 1.0))

    def read(self, query: Float[Tensor, "b d"], prepared: Prepared, state: LastWeights) -> Reading:
        """Read with one query, from the state after the last read.

        Raises:
            InvalidInput: several queries per sequence; sizes that do not match.
        """
        check_query(query, self.query.in_features, len(prepared.values))
        hidden = self.location(self._filtered(state.weights)) + prepared.projected
        scores = tanh_scores(hidden.add_(self.query(query)[:, None]), self.v)
        mask = prepared.mask
        if not self.training:
            scores = scores * self.sharpening
            mask = self._windowed(state.weights, mask)
        weights = masked_sigmoid(scores, mask) if self.smoothing else masked_softmax(scores, mask)
        weights = self.weights(weights[:, None])[:, 0]
        context = torch.bmm(weights[:, None], prepared.values)[:, 0]
        return Reading(context, weights, LastWeights(weights))

    def _filtered(self, last: Float[Tensor, "b k"]) -> Float[Tensor, "b k f"]:
        if not last.shape[1]:  # torch's convolution does not accept an empty axis
            return last[..., None].expand(-1, -1, self.filters.out_channels)
        found: Tensor = self.filters(last[:, None]).mT
        return found

    def _windowed(self, last: Float[Tensor, "b k"], mask: Bool[Tensor, "b k"] | None) -> Bool[Tensor, "b k"] | None:
        if self.window is None:
            return mask
        total = last.cumsum(1)
        median = (total < 0.5 * total[:, -1:]).sum(1, keepdim=True)
        away = torch.arange(last.shape[1], device=last.device) - median
        inside = (away >= -self.window) & (away < self.window)
        return inside if mask is None else inside & mask
