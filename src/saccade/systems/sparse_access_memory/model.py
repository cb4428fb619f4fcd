"""A sparse access memory with bits as its outputs. Rae et al. 2016, arXiv:1610.09027, section 3.

The equations are those of `saccade.memory.SparseAccessMemory`; here are its sizes.
"""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.config import Parts, Size, config
from saccade.memory import SparseAccessMemory
from saccade.tasks.algorithms import Algorithm, Batch

Slots = Annotated[int, Field(ge=1, le=1 << 20)]


@config
class SparseAccessConfig:
    """A sparse access memory."""

    controller: Literal["lstm", "feed-forward"] = "lstm"
    """The net that emits what the heads do."""
    hidden_size: Size = 100
    """Units of the controller."""
    slots: Slots = 1024
    """Slots of the memory, N."""
    slot_size: Size = 20
    """Features of a slot."""
    heads: Parts = 1
    """Heads; each reads and writes."""
    nearest: Parts = 4
    """Slots that a head reads, K."""

    @model_validator(mode="after")
    def check_slots(self) -> "SparseAccessConfig":
        for name in ("heads", "nearest"):
            if getattr(self, name) > self.slots:
                raise ValueError(f"{name} must be at most the {self.slots} slots, not {getattr(self, name)}")
        return self


def nearest_in_order(
    memory: Float[Tensor, "b n m"], query: Float[Tensor, "b h m"], count: int, written: Tensor | None = None
) -> Int[Tensor, "b h k"]:
    """The slots nearest to each query by cosine, in steps of 2^-20; of equally near ones, the first.

    Slots that one write filled hold multiples of one vector, and empty slots are all alike. Their cosines are equal but
    for rounding, which depends on the batch; without the steps, so would the answer to a sequence.
    """
    cosine = F.normalize(query, dim=-1) @ F.normalize(memory, dim=-1).mT
    place = torch.arange(memory.shape[1], device=memory.device) / (2 * memory.shape[1])
    return ((cosine.double() * 2**20).round() - place).topk(count).indices


class SparseMachine(nn.Module):
    """The memory and its controller over a batch of sequences."""

    def __init__(self, config: SparseAccessConfig, algorithm: Algorithm) -> None:
        super().__init__()
        self.machine = SparseAccessMemory(
            algorithm.input_size, algorithm.output_size, hidden_size=config.hidden_size, slots=config.slots,
            slot_size=config.slot_size, heads=config.heads, nearest=config.nearest, controller=config.controller,
            search=nearest_in_order,
        )  # fmt: skip

    def forward(self, batch: Batch) -> Float[Tensor, "b t o"]:
        """The logits of the bits at each time step."""
        logits: Tensor = self.machine(batch.inputs.to(self.machine.output.weight.dtype))[0]
        return logits
