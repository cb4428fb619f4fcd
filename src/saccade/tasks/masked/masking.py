"""The masks of a masked language model. Devlin et al. 2019, arXiv:1810.04805, section 3.1 and appendix A.1.

    15 % of the symbols are chosen; in their place is [MASK] for 80 %, a random symbol for 10 %, itself for 10 %

Special symbols are never chosen, and random symbols are never special. Masks are a function of their key.
"""

import random
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from saccade.tasks.masked.config import MaskedConfig
from saccade.tasks.masked.special import SpecialSymbols


class Masked(NamedTuple):
    inputs: Int[Tensor, " n"]
    """What the model reads."""
    chosen: Bool[Tensor, " n"]
    """True at the symbols that it is to predict."""


def masked(symbols: Int[Tensor, " n"], special: SpecialSymbols, config: MaskedConfig, key: str) -> Masked:
    """Choose symbols, and mask them. At least one is chosen if any is not special.

    Args:
        symbols: an example.
        special: the vocabulary.
        config: the shares.
        key: seed, split, example and pass.
    """
    generator = torch.Generator().manual_seed(random.Random(key).getrandbits(63))
    places = special.known(symbols).nonzero()[:, 0]
    # rounded up as often as it takes for the share to be exact on average
    count = int(config.chosen * len(places) + float(torch.rand((), generator=generator)))
    places = places[torch.randperm(len(places), generator=generator)[: max(1, count)]]
    kinds = torch.rand(len(places), generator=generator, dtype=torch.float64)
    ordinary = special.ordinary.nonzero()[:, 0]
    drawn = ordinary[torch.randint(len(ordinary), (len(places),), generator=generator)]
    shown = torch.where(kinds < config.masked + config.replaced, drawn, symbols[places])
    shown = torch.where(kinds < config.masked, special.mask, shown)
    chosen = torch.zeros(len(symbols), dtype=torch.bool)
    chosen[places] = True
    return Masked(symbols.scatter(0, places, shown), chosen)
