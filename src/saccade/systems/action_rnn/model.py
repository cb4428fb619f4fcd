"""A convolutional and a recurrent net over the frames of a clip. Ng et al. 2015, arXiv:1503.08909, sections 3 and 3.2.

    x_t = relu(W CNN(frame_t) + b)
    h_t = LSTM(x_t, h_{t-1}),   or without one h_t = x_t
    v = sum_t w_t h_t by attention, or the last state, the mean, the maximum          many to one
    p(motion) = softmax(U v + c),   or softmax(U h_t + c) at each frame              many to many

CNN: convolutions of stride 2 with batch norm. A frame that does not exist has no part in it.
"""

from itertools import pairwise
from typing import Annotated, Literal

from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.config import Size, config
from saccade.nets.convolution import laid_out
from saccade.nets.dropout import Dropout
from saccade.nets.image_encoder import rectified
from saccade.nets.recurrent_stack import RecurrentStack
from saccade.nets.sequence_classifier import SequenceClassifier
from saccade.tasks.actions.motions import SIDE


@config
class ActionConfig:
    """Sizes of the net."""

    cell: Literal["lstm", "gru", "rnn", "none"] = "lstm"
    """The recurrent cell; none: frames are pooled as they are, one independent of the others."""
    pooling: Literal["attention", "mean", "maximum", "last"] = "attention"
    """How the states of the frames become one vector; where each frame is named, nothing is pooled."""
    directions: Literal["forward", "both"] = "forward"
    """Whether the frames are read forward only, or backward too."""
    layers: Annotated[int, Field(ge=1, le=8)] = 1
    """Recurrent layers."""
    channels: Annotated[tuple[Size, ...], Field(min_length=1, max_length=5)] = (8, 16, 32)
    """Channels of the convolutions of a frame, each of stride 2."""
    frame_size: Size = 64
    """Features of a frame."""
    hidden_size: Size = 64
    """Units of each direction."""
    attention_size: Size = 32
    """Features of the hidden layer of the attention."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout rate of the frames' features, between layers and of the vector."""


class ActionRNN(nn.Module):
    """Logits of the motions of clips.

    Args:
        config: sizes and pooling.
        classes: number of motions.
        per_frame: whether each frame is named, not the clip.
    """

    def __init__(self, config: ActionConfig, classes: int, *, per_frame: bool = False) -> None:
        super().__init__()
        self.per_frame, size = per_frame, config.frame_size
        layers = [layer for pair in pairwise((1, *config.channels)) for layer in rectified(*pair, 2)]
        self.convolutions = nn.Sequential(*layers)
        side = -(-SIDE // 2 ** len(config.channels))
        self.features = nn.Linear(config.channels[-1] * side * side, size)
        self.dropout = Dropout(config.dropout)
        self.recurrent: RecurrentStack | None = None
        if config.cell != "none":
            self.recurrent = RecurrentStack(
                size, config.hidden_size, cell=config.cell, layers=config.layers, directions=config.directions,
                dropout=config.dropout,
            )  # fmt: skip
            size = self.recurrent.output_size
        pooling, width = config.pooling, config.attention_size
        self.classifier: nn.Module
        if per_frame:
            self.classifier = nn.Linear(size, classes)
        else:
            self.classifier = SequenceClassifier(size, classes, pooling=pooling, width=width, dropout=config.dropout)

    def seen(self, frames: Float[Tensor, "b f 1 y x"], mask: Bool[Tensor, "b f"]) -> Float[Tensor, "b f d"]:
        """The features of each frame; zeros after the last one of a clip."""
        valid = laid_out(frames[mask], self.features.weight.dtype)  # so that padding has no part in batch norm
        found = F.relu(self.features(self.convolutions(valid).flatten(1)))
        return found.new_zeros(*mask.shape, found.shape[-1]).masked_scatter(mask[..., None], found)

    def forward(self, frames: Float[Tensor, "b f 1 y x"], mask: Bool[Tensor, "b f"]) -> Float[Tensor, "b n k"]:
        """The logits of the clip (n = 1), or of each frame (n = f).

        Args:
            mask: True for the frames of each clip.
        """
        outputs = self.dropout(self.seen(frames, mask))
        last = (mask.sum(1) - 1)[:, None, None].expand(-1, 1, outputs.shape[-1])
        final = outputs.gather(1, last)[:, 0]
        if self.recurrent is not None:
            outputs, state = self.recurrent(outputs, mask)
            final = self.recurrent.final(state)
        if self.per_frame:
            return self.classifier(self.dropout(outputs))  # type: ignore[no-any-return]
        logits: Tensor = self.classifier(outputs, mask, final)
        return logits[:, None]
