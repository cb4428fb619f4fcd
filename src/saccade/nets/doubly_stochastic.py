"""Doubly stochastic attention. Xu et al. 2015, arXiv:1502.03044, section 4.2.1, equation 14.

    penalty = sum_i (tau - sum_t alpha_ti)^2

alpha the weights of word t on region i, which sum to 1 over the regions; the penalty makes their sum over the words of
a caption nearly tau, so that the caption looks at every region. The sum runs over the caption's own words, its end
included. With tau = 1, as in the paper, it cannot be 0 unless a caption has as many words T as there are regions L;
with tau = T / L it is 0 for weights that are spread evenly.
"""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor


def doubly_stochastic(
    weights: Float[Tensor, "b t k"],
    valid: Bool[Tensor, "b t"],
    tau: Literal["one", "even"] = "one",
) -> Float[Tensor, " b"]:
    """The penalty of each caption.

    Args:
        weights: alpha.
        valid: the steps of the caption; others change neither value nor gradient.
        tau: 1 ("one"), or the caption's steps divided by the regions ("even").
    """
    # masked_fill, since a weight of a step that does not count may be anything, and NaN times 0 is NaN
    looked = weights.masked_fill(~valid[:, :, None], 0.0).sum(1)
    wanted = 1.0 if tau == "one" else valid.sum(1, True).to(looked.dtype) / weights.shape[2]
    return (wanted - looked).square().sum(1)
