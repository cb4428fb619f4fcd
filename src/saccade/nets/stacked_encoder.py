"""A stack of recurrent layers, each reading the outputs of the one below.

    h^0 = x,   h^l = encode_l(dropout(h^{l-1}))

As in Graves, Mohamed & Hinton 2013, arXiv:1303.5778, equations 11 and 12: each direction of a layer reads both
directions of the layer below.
"""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor, nn

from saccade.nets.dropout import Dropout
from saccade.nets.recurrent_encoder import Encoded, RecurrentEncoder


class StackedEncoder(nn.Module):
    """Several gated recurrent layers (Graves et al. 2013).

    Args:
        input_size: features of the input.
        hidden_size: units of each direction of a layer.
        layers: number of layers.
        dropout: share of each layer's outputs dropped in training.
        directions: "both", or "forward", which can run before the sequence is complete.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        layers: int,
        dropout: float = 0.0,
        directions: Literal["both", "forward"] = "both",
    ) -> None:
        super().__init__()
        self.output_size = 2 * hidden_size if directions == "both" else hidden_size
        sizes = [input_size, *[self.output_size] * (layers - 1)]
        self.layers = nn.ModuleList(RecurrentEncoder(size, hidden_size, directions) for size in sizes)
        self.dropout = Dropout(dropout)

    def forward(self, inputs: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"]) -> Encoded:
        """The annotations and final states of the last layer. The mask is False at padding."""
        hidden = inputs
        for layer in self.layers:
            encoded: Encoded = layer(hidden, mask)
            hidden = self.dropout(encoded.annotations)
        return encoded._replace(annotations=hidden)
