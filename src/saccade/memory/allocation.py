"""Dynamic memory allocation. Graves et al. 2016, doi:10.1038/nature20101, Methods.

    psi      = prod_i (1 - f^i wr^i')                  retention: f free gates, wr' read weights of the step before
    u        = (u' + ww' - u' * ww') * psi             usage, from that before and the last write weights
    a(phi_j) = (1 - u(phi_j)) prod_i<j u(phi_i)        allocation, phi the slots by ascending usage

b batch, h read heads, n slots.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def retention(free_gates: Float[Tensor, "b h"], read_weights: Float[Tensor, "b h n"]) -> Float[Tensor, "b n"]:
    """psi: how much of each slot's usage is left by the free gates."""
    kept = 1 - free_gates[..., None] * read_weights
    # not torch.prod, whose gradient looks for zeros
    product = kept[:, 0]
    for other in kept.unbind(1)[1:]:
        product = product * other
    return product


def usage_after(
    usage: Float[Tensor, "b n"], write_weights: Float[Tensor, "b n"], kept: Float[Tensor, "b n"]
) -> Float[Tensor, "b n"]:
    """u: what was written is used, what was freed is not."""
    return (usage + write_weights - usage * write_weights) * kept


def allocation(usage: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """a: weights of the unused slots, the least used one first.

    Usages that differ by less than rounding errors are equal, and their slots are in order. The paper's sort would let
    rounding decide, although the weights jump if two slots change places. The order has no gradient; the usages have.
    """
    order = (usage.detach() * (2.0**40 if usage.dtype == torch.float64 else 2.0**20)).round().argsort(stable=True)
    sorted_usage = usage.gather(1, order)
    before = torch.cat([torch.ones_like(usage[:, :1]), sorted_usage[:, :-1].cumprod(-1)], 1)
    return torch.zeros_like(usage).scatter(1, order, (1 - sorted_usage) * before)
