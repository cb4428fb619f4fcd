"""An end-to-end memory network that answers questions about stories. Sukhbaatar et al. 2015, arXiv:1503.08895, 4.

The equations are those of `saccade.memory.EndToEndMemoryNetwork`; here are its sizes and its linear start.
"""

from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from saccade.core.config import Parts, Size, config
from saccade.memory import EndToEndMemoryNetwork
from saccade.tasks.babi import Batch


@config
class MemN2NConfig:
    """An end-to-end memory network."""

    width: Size = 50
    """Features of a memory, d."""
    hops: Parts = 3
    """Reads of the memory, one after the other, K."""
    encoding: Literal["position", "bag"] = "position"
    """How a sentence becomes a vector: position encoding, or a bag of words."""
    tying: Literal["adjacent", "layer-wise"] = "adjacent"
    """Which hops share which weights."""
    filled: bool = True
    """Whether a hop may read nothing: places of the memory without a sentence take part in the softmax."""
    linear_start: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """Training steps without the softmax of the hops; 0: none."""


class MemN2N(nn.Module):
    """The memory network, without its softmax in the first training steps."""

    def __init__(self, config: MemN2NConfig, symbols: int, memories: int) -> None:
        super().__init__()
        self.linear_start = config.linear_start
        self.memory = EndToEndMemoryNetwork(
            symbols, config.width, hops=config.hops, memories=memories, encoding=config.encoding, tying=config.tying,
            filled=config.filled,
        )  # fmt: skip

    def forward(self, batch: Batch, step: int = 0) -> Float[Tensor, "b v"]:
        """The logits of the answers.

        Args:
            step: the training step, which counts in training only.
        """
        linear = self.training and step < self.linear_start
        logits: Tensor = self.memory(batch.stories, batch.questions, batch.mask, linear=linear)
        return logits
