"""A dynamic memory network that answers questions about stories. Kumar et al. 2016, arXiv:1506.07285; DMN+: Xiong et
al. 2016, arXiv:1603.01417.

The equations are those of `saccade.memory.DynamicMemoryNetwork`; here are its sizes.
"""

from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from saccade.core.config import Parts, Size, config
from saccade.memory import DynamicMemoryNetwork
from saccade.tasks.babi import Batch


@config
class DMNConfig:
    """A dynamic memory network."""

    kind: Literal["dmn+", "dmn"] = "dmn+"
    """dmn+: input fusion and attention GRU (Xiong et al. 2016); dmn: a unit over all words, and gates (Kumar et al.
    2016)."""
    width: Size = 80
    """Features of words, sentences and memory."""
    passes: Parts = 3
    """Passes over the sentences."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout of the sentences' vectors, and of what the answer is read from."""


class DMN(nn.Module):
    """The network of a configuration."""

    def __init__(self, config: DMNConfig, symbols: int) -> None:
        super().__init__()
        self.memory = DynamicMemoryNetwork(
            symbols, config.width, passes=config.passes, kind=config.kind, dropout=config.dropout
        )

    def forward(self, batch: Batch) -> Float[Tensor, "b v"]:
        """The logits of the answers."""
        logits: Tensor = self.memory(batch.stories, batch.questions, batch.mask)
        return logits
