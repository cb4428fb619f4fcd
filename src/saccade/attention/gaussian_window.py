"""Gaussian window attention. Graves 2013, arXiv:1308.0850, section 5.1, equations 46 to 51.

    (a^, b^, k^)_t = W s_t + bias
    alpha_t = exp(a^),   beta_t = exp(b^),   kappa_t = kappa_{t-1} + exp(k^)
    phi(t, u) = sum_n alpha_tn exp(-beta_tn (kappa_tn - u)^2)
    c_t = sum_u phi(t, u) v_u

s query, u the position of a key, from 1, n the index of a Gaussian. Arguments of the exponentials are limited to 15, so
that nothing overflows. The weights depend on position only, not on content; kappa only grows, so the alignment is
monotonic. The weights phi are not a distribution and are not normalised.
"""

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.content import check_query, check_sizes, checked_values
from saccade.attention.reading import OneQuery, Reading
from saccade.core.errors import InvalidInput
from saccade.core.masks import places
from saccade.core.tap import Tap

LARGEST = 15.0  # limit on the arguments of exp, so that no product of the results overflows
LOG2E = 1 / math.log(2)  # exp(x) = 2^(LOG2E x)
FARTHEST = 1e6  # keys; the largest step of a softplus


class Prepared(NamedTuple):
    values: Float[Tensor, "b k c"]
    mask: Bool[Tensor, "b k"] | None
    place: Float[Tensor, "b k"]


class Window(NamedTuple):
    """The positions kappa of the Gaussians, in keys."""

    location: Float[Tensor, "b n"]


def gaussian_window(
    log_height: Float[Tensor, "b n"],
    sharpness: Float[Tensor, "b n"],
    location: Float[Tensor, "b n"],
    place: Float[Tensor, "*b k"],
) -> Float[Tensor, "b k"]:
    """phi: sum_n exp(log_height_n - sharpness_n (location_n - place)^2)."""
    away = location[..., None] - place[..., None, :]
    # a power of 2, since on a CPU exp is slow when it underflows, as it does for most keys
    power = torch.addcmul(LOG2E * log_height[..., None], sharpness[..., None], away.square(), value=-LOG2E)
    return power.exp2().sum(-2)


class GaussianWindowAttention(OneQuery):
    """A window of Gaussians that moves along the keys (Graves 2013, section 5.1).

    Args:
        query_size: features of a query.
        key_size: features of a key; the weights do not depend on them.
        components: number of Gaussians.
        offsets: "exp" as in the paper, or "softplus", which grows no faster than its input.
        pace: keys that a new model's window moves per step.

    Raises:
        InvalidInput: no components, a pace that is not above 0, other offsets; sizes that do not match.
    """

    def __init__(
        self,
        query_size: int,
        key_size: int,
        *,
        components: int = 10,
        offsets: Literal["exp", "softplus"] = "exp",
        pace: float = 1.0,
    ) -> None:
        super().__init__()
        check_sizes(query_size=query_size, key_size=key_size, components=components)
        if not 0 < pace <= math.exp(LARGEST):
            raise InvalidInput(f"a pace must be above 0, and at most {math.exp(LARGEST):,.0f} keys; not {pace}")
        if offsets not in ("exp", "softplus"):
            raise InvalidInput(f'offsets must be "exp" or "softplus", not {offsets!r}')
        self.key_size, self.offsets, self.pace = key_size, offsets, pace
        self.parameters_of = nn.Linear(query_size, 3 * components)
        self.weights = Tap("b q k")
        self.locations = Tap("b n")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.parameters_of.weight)
        bias = torch.zeros_like(self.parameters_of.bias)
        height, _, offset = bias.chunk(3)
        height.fill_(-math.log(len(height)))  # their heights sum to 1
        offset.fill_(math.log(self.pace) if self.offsets == "exp" else self.pace + math.log(-math.expm1(-self.pace)))
        with torch.no_grad():
            self.parameters_of.bias.copy_(bias)

    def prepare(
        self,
        keys: Float[Tensor, "b k d"],
        mask: Bool[Tensor, "b k"] | None = None,
        values: Float[Tensor, "b k c"] | None = None,
    ) -> Prepared:
        """Values default to the keys."""
        values = checked_values(self.key_size, keys, mask, values)
        place = places(mask, keys.shape[1], keys.device).to(torch.promote_types(keys.dtype, torch.float32))
        return Prepared(values, mask, place.expand(keys.shape[:2]))

    def initial_state(self, prepared: Prepared) -> Window:
        """All Gaussians before the first key."""
        components = self.parameters_of.out_features // 3
        dtype = torch.promote_types(prepared.values.dtype, torch.float32)  # positions accumulate over many steps
        return Window(torch.zeros(len(prepared.values), components, dtype=dtype, device=prepared.values.device))

    def read(self, query: Float[Tensor, "b d"], prepared: Prepared, state: Window) -> Reading:
        """Read with one query, from the state after the last read."""
        check_query(query, self.parameters_of.in_features, len(prepared.values))
        height, sharpness, offset = self.parameters_of(query).to(state.location.dtype).chunk(3, -1)
        height, sharpness = height.clamp(-LARGEST, LARGEST), sharpness.clamp(-LARGEST, LARGEST)
        if self.offsets == "exp":
            moved = offset.clamp(-LARGEST, LARGEST).exp()
        else:
            moved = F.softplus(offset.clamp(min=-LARGEST)).clamp(max=FARTHEST)
        location = self.locations(state.location + moved)
        weights = gaussian_window(height, sharpness.exp(), location, prepared.place)
        if prepared.mask is not None:
            weights = weights * prepared.mask
        weights = self.weights(weights.to(prepared.values.dtype)[:, None])
        return Reading(torch.bmm(weights, prepared.values)[:, 0], weights[:, 0], Window(location))
