"""Local attention. Luong, Pham & Manning 2015, arXiv:1508.04025, section 3.2.

    monotonic    p_t = t                                    step t reads around key t, at most the last key
    predictive   p_t = S sigmoid(v . tanh(W s_t))           S keys; the decoder's state s determines the centre
    w_tk = softmax of the bilinear scores over the keys with |k - p_t| <= D
    w_tk = w_tk exp(-(k - p_t)^2 / (2 sigma^2))             predictive only, after the softmax; sigma = D / 2

Keys are counted from 1, without masked ones. The Gaussian passes a gradient to p_t, which the window does not. It comes
after the softmax, so the weights sum to less than 1.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor, nn

from saccade.attention.content import Prepared, check_query
from saccade.attention.luong import BilinearAttention
from saccade.attention.reading import Reading
from saccade.core.errors import InvalidInput
from saccade.core.masks import masked_softmax, places, score_mask


class Reads(NamedTuple):
    """The number of reads so far."""

    done: Int[Tensor, " b"]


def near(
    place: Int[Tensor, "*k"], centre: Num[Tensor, "b q"], half_width: int, mask: Bool[Tensor, "b #q k"] | None
) -> Bool[Tensor, "b q k"]:
    """True for the keys that may be attended within the window around each centre."""
    inside = (place - centre[..., None]).abs() <= half_width
    return inside if mask is None else inside & mask


def last_place(place: Int[Tensor, "*k"]) -> Int[Tensor, "..."]:
    """The position of the last key; 0 if there is none."""
    return place[..., -1:].sum(-1)


class LocalMonotonicAttention(BilinearAttention):
    """Local attention that moves on by one key per step (Luong et al. 2015, "local-m").

    Args:
        query_size: features of a query.
        key_size: features of a key.
        half_width: D, keys on either side of the centre.
    """

    def __init__(self, query_size: int, key_size: int, *, half_width: int = 10) -> None:
        super().__init__(query_size, key_size)
        if not half_width >= 0:
            raise InvalidInput(f"a half width must be at least 0 keys, not {half_width}")
        self.half_width = half_width

    def initial_state(self, prepared: Prepared) -> Reads:  # type: ignore[override]
        return Reads(torch.zeros(len(prepared.values), dtype=torch.long, device=prepared.values.device))

    def read(self, query: Float[Tensor, "b d"], prepared: Prepared, state: Reads) -> Reading:  # type: ignore[override]
        """Read with one query, from the state after the last read.

        Raises:
            InvalidInput: several queries per sequence; sizes that do not match.
        """
        check_query(query, self.query_size, len(prepared.values))
        queries, count = query[:, None], state.done + 1
        mask = score_mask(prepared.mask, self._shape(queries, prepared))
        weights = self.weights(self._weights(queries, prepared, mask, count[:, None]))
        return Reading(torch.bmm(weights, prepared.values)[:, 0], weights[:, 0], Reads(count))

    def weigh(
        self, queries: Float[Tensor, "b q d"], prepared: Prepared, mask: Bool[Tensor, "b #q k"] | None
    ) -> Float[Tensor, "b q k"]:
        """The weights in `forward`, which treats the queries as consecutive steps."""
        count = torch.arange(1, queries.shape[1] + 1, device=queries.device).expand(queries.shape[:2])
        return self._weights(queries, prepared, mask, count)

    def _weights(
        self, queries: Tensor, prepared: Prepared, mask: Tensor | None, count: Int[Tensor, "b q"]
    ) -> Float[Tensor, "b q k"]:
        place = places(mask, prepared.projected.shape[1], queries.device)
        centre = torch.minimum(count, last_place(place))
        return masked_softmax(self._scores(queries, prepared), near(place, centre, self.half_width, mask))


class LocalPredictiveAttention(BilinearAttention):
    """Local attention that predicts the centre of its window (Luong et al. 2015, "local-p").

    Args:
        query_size: features of a query.
        key_size: features of a key.
        half_width: D, keys on either side of the centre.
        sigma: standard deviation of the Gaussian, in keys; D / 2 by default.

    Raises:
        InvalidInput: a half width below 1, with which a window between two keys would be empty; a sigma that is not
            above 0.
    """

    def __init__(self, query_size: int, key_size: int, *, half_width: int = 10, sigma: float | None = None) -> None:
        super().__init__(query_size, key_size)
        if not half_width >= 1:
            raise InvalidInput(f"a half width must be at least 1 key, not {half_width}")
        self.half_width, self.sigma = half_width, half_width / 2 if sigma is None else sigma
        if not self.sigma > 0:
            raise InvalidInput(f"sigma must be above 0, not {self.sigma}")
        self.hidden = nn.Linear(query_size, query_size, bias=False)
        self.centre = nn.Linear(query_size, 1, bias=False)
        for projection in (self.hidden, self.centre):
            nn.init.xavier_uniform_(projection.weight)

    def weigh(
        self, queries: Float[Tensor, "b q d"], prepared: Prepared, mask: Bool[Tensor, "b #q k"] | None
    ) -> Float[Tensor, "b q k"]:
        place = places(mask, prepared.projected.shape[1], queries.device)
        ahead = self.centre(torch.tanh(self.hidden(queries)))[..., 0]
        # bfloat16 cannot distinguish positions beyond 256
        centre = last_place(place) * torch.sigmoid(ahead.to(torch.promote_types(ahead.dtype, torch.float32)))
        weights = masked_softmax(self._scores(queries, prepared), near(place, centre, self.half_width, mask))
        gaussian = torch.exp(-0.5 * ((place - centre[..., None]) / self.sigma).square())
        return weights * gaussian.to(weights.dtype)
