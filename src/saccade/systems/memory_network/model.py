"""A memory network that answers questions about stories. Weston et al. 2014, arXiv:1410.3916; 2015, arXiv:1502.05698.

The equations are those of `saccade.memory.MemoryNetwork`; here are its sizes, for bAbI.
"""

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from saccade.core.config import Size, config
from saccade.memory import MemoryNetwork
from saccade.memory.memory_network import Found
from saccade.tasks.babi import Batch


@config
class MemoryNetworkConfig:
    """A memory network."""

    width: Size = 50
    """Features of an embedding."""
    facts: Annotated[int, Field(ge=1, le=50)] = 10
    """The most supporting facts of an answer; bAbI has up to 8."""
    adaptive: bool = True
    """Whether the network decides when it has all facts."""
    times: bool = True
    """Whether memories are also compared by age."""
    latest: bool = True
    """Whether the last fact has a dictionary of its own, apart from the facts before it."""
    nonlinear: bool = True
    """Whether the matching function is tanh(W tanh(U z))."""
    encoding: Literal["bag", "position"] = "bag"
    """How a sentence becomes a vector: a bag of words (with task.grams also of pairs and triples), or position
    encoding."""
    margin: Annotated[float, Field(gt=0, le=100)] = 0.1
    """The margin by which the right one must win."""


class MemoryNetworkSystem(nn.Module):
    """The memory network of a configuration."""

    def __init__(self, config: MemoryNetworkConfig, symbols: int, answers: int) -> None:
        super().__init__()
        self.memory = MemoryNetwork(
            symbols, config.width, answers=answers, facts=config.facts, adaptive=config.adaptive, times=config.times,
            latest=config.latest, nonlinear=config.nonlinear, encoding=config.encoding, margin=config.margin,
        )  # fmt: skip

    def forward(self, batch: Batch) -> Found:
        """The facts that it chooses, and the scores of the answers."""
        found: Found = self.memory(batch.stories, batch.questions, batch.mask)
        return found
