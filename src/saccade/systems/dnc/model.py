"""A differentiable neural computer with bits as its outputs. Graves et al. 2016, doi:10.1038/nature20101, Methods.

The equations are those of `saccade.memory.DNC`; here are its sizes.
"""

from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from saccade.core.config import Parts, Size, config
from saccade.memory import DNC
from saccade.tasks.algorithms import Algorithm, Batch


@config
class DNCConfig:
    """A differentiable neural computer."""

    controller: Literal["lstm", "feed-forward"] = "lstm"
    """The net that emits what the heads do."""
    hidden_size: Size = 100
    """Units of the controller."""
    slots: Size = 64
    """Slots of the memory, N; the link matrix has N x N entries."""
    slot_size: Size = 20
    """Features of a slot, W."""
    read_heads: Parts = 2
    """Heads that read, R; one head writes."""
    masked: bool = False
    """Whether content is compared under emitted masks (Csordas & Schmidhuber 2019, arXiv:1904.10278)."""
    deallocate: bool = False
    """Whether slots that are freed are erased (the same)."""
    sharpen_links: bool = False
    """Whether the forward and backward weights are sharpened (the same)."""
    usage_gradient: bool = True
    """Whether usage sends a gradient to the write weights, as in the paper; the authors' code stops it."""
    clip: Annotated[float, Field(gt=0, le=1e6)] | None = 20.0
    """Largest magnitude of what the controller emits for the heads; none: not limited."""


class Computer(nn.Module):
    """The computer over a batch of sequences."""

    def __init__(self, config: DNCConfig, algorithm: Algorithm) -> None:
        super().__init__()
        self.machine = DNC(
            algorithm.input_size, algorithm.output_size, hidden_size=config.hidden_size, slots=config.slots,
            slot_size=config.slot_size, read_heads=config.read_heads, controller=config.controller,
            masked=config.masked, deallocate=config.deallocate, sharpen_links=config.sharpen_links,
            usage_gradient=config.usage_gradient, clip=config.clip,
        )  # fmt: skip

    def forward(self, batch: Batch) -> Float[Tensor, "b t o"]:
        """The logits of the bits at each time step."""
        logits: Tensor = self.machine(batch.inputs.to(self.machine.output.weight.dtype))[0]
        return logits
