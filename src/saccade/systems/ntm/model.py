"""A neural Turing machine with bits as its outputs. Graves et al. 2014, arXiv:1410.5401, section 4.

The equations are those of `saccade.memory.NTM`; here are its sizes.
"""

from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from saccade.core.config import Parts, Size, config
from saccade.memory import NTM
from saccade.tasks.algorithms import Algorithm, Batch


@config
class NTMConfig:
    """A neural Turing machine. The sizes are the paper's, of copy."""

    controller: Literal["lstm", "feed-forward"] = "lstm"
    """The net that emits what the heads do."""
    hidden_size: Size = 100
    """Units of the controller."""
    slots: Size = 128
    """Slots of the memory, N."""
    slot_size: Size = 20
    """Features of a slot, M."""
    read_heads: Parts = 1
    """Heads that read."""
    write_heads: Parts = 1
    """Heads that write."""
    shifts: Annotated[int, Field(ge=1, le=255)] = 3
    """Shifts that a head chooses among; odd, the middle one is to stay."""
    memory: Literal["constant", "learned", "random"] = "constant"
    """What an empty memory holds: 1e-6 in each place, learned values, or values drawn once."""
    read: Literal["before", "after"] = "after"
    """Whether a step reads before or after its own write."""
    clip: Annotated[float, Field(gt=0, le=1e6)] | None = 20.0
    """Largest magnitude of what the controller emits for the heads; none: not limited."""


class TuringMachine(nn.Module):
    """The machine over a batch of sequences."""

    def __init__(self, config: NTMConfig, algorithm: Algorithm) -> None:
        super().__init__()
        self.machine = NTM(
            algorithm.input_size, algorithm.output_size, hidden_size=config.hidden_size, slots=config.slots,
            slot_size=config.slot_size, read_heads=config.read_heads, write_heads=config.write_heads,
            shifts=config.shifts, controller=config.controller, memory=config.memory, read=config.read,
            clip=config.clip,
        )  # fmt: skip

    def forward(self, batch: Batch) -> Float[Tensor, "b t o"]:
        """The logits of the bits at each time step."""
        logits: Tensor = self.machine(batch.inputs.to(self.machine.output.weight.dtype))[0]
        return logits
