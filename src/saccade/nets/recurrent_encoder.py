"""Recurrent encoder of padded sequences: forward, backward, or bidirectional.

Bidirectional: Schuster & Paliwal 1997, as in the encoder of Bahdanau et al. 2015, A.2.1. The annotation of position j
is the forward state after x_1..x_j concatenated with the backward state after x_T..x_j, T the length of the sequence
without padding.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saccade.core.masks import check_key_mask
from saccade.memory.gru import GRU, Projected, Recurrent, gru_step


class Encoded(NamedTuple):
    """Annotations (b, t, g h), zero at padding; mask (b, t); the state of each direction after its last input."""

    annotations: Float[Tensor, "b t gh"]
    mask: Bool[Tensor, "b t"]
    final: Float[Tensor, "b g h"]


class RecurrentEncoder(nn.Module):
    """Gated recurrent encoder; both directions share one product per step.

    Args:
        input_size: features of the input.
        hidden_size: features of the state of each direction.
        directions: "both", "forward", or "backward" (the reversed source of Sutskever et al. 2014).
    """

    def __init__(
        self, input_size: int, hidden_size: int, directions: Literal["both", "forward", "backward"] = "both"
    ) -> None:
        super().__init__()
        names = ["forward", "backward"] if directions == "both" else [directions]
        self.reads_backward = [name == "backward" for name in names]
        self.nets = nn.ModuleList(GRU(input_size, hidden_size) for _ in names)
        self.hidden_size = hidden_size

    def forward(self, inputs: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"]) -> Encoded:
        """Encode. The mask is True at the first `length` positions of each sequence.

        An empty sequence has no annotations, and final states of zero.

        Raises:
            InvalidInput: a mask that is not bool of shape (b, t).
        """
        check_key_mask(mask, inputs)
        size = self.hidden_size
        padding = (~mask)[:, :, None]
        streams = []
        for net, backward in zip(self.nets, self.reads_backward, strict=True):
            assert isinstance(net, GRU)
            gates, candidate = net.project(inputs)
            # an update gate of +inf before its sigmoid keeps the state, so padding has no effect
            keep = padding & (torch.arange(2 * size, device=inputs.device) >= size)
            stream = Projected(gates.masked_fill(keep, torch.inf), candidate)
            streams.append(Projected(*(part.flip(1) for part in stream)) if backward else stream)
        weights = [net.recurrent() for net in self.nets if isinstance(net, GRU)]
        recurrent = Recurrent(
            torch.stack([weight.gates for weight in weights]),
            torch.stack([weight.candidate for weight in weights]),
            None,
            weights[0].add,
        )
        hidden = torch.zeros_like(recurrent.gates[:, :1, :size]).repeat(1, inputs.shape[0], 1)
        steps = [torch.stack(parts).unbind(2) for parts in zip(*streams, strict=True)]
        states = []
        for gates, candidate in zip(*steps, strict=True):
            hidden = gru_step(Projected(gates, candidate), hidden, recurrent)
            states.append(hidden)
        outputs = (torch.stack(states, dim=2) if states else hidden[:, :, None][:, :, :0]).unbind(0)
        annotations = [
            output.flip(1) if backward else output
            for output, backward in zip(outputs, self.reads_backward, strict=True)
        ]
        return Encoded(torch.cat(annotations, -1).masked_fill(padding, 0.0), mask, hidden.transpose(0, 1))
