"""Describing videos by exploiting temporal structure. Yao et al. 2015, arXiv:1502.08029, sections 3 and 4.

    v_i = [frame network(frame i); local network(frames around i)]       local: convolutions over time, rows and columns
    e_i = w . tanh(W h_{t-1} + U v_i),  alpha = softmax_i(e),  z_t = sum_i alpha_i v_i          temporal attention
    z_t = mean_i v_i                                                                            without attention

The decoder is that of `nets/caption_decoder.py`, an LSTM that attends to frames where that of Xu et al. attends to
regions. Frames that do not exist have no weight, and no part in means, in normalisation or in convolutions.
"""

from itertools import pairwise
from typing import Annotated, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.config import Size, config
from saccade.nets.caption_decoder import CaptionDecoder, CaptionDecoderConfig, CaptionState, Predictions
from saccade.nets.convolution import convolution, laid_out
from saccade.nets.image_encoder import ConvolutionalEncoder
from saccade.nets.projection import Projection
from saccade.tasks.captions import ClipBatch

NEAR = 3  # frames of a convolution over time


@config
class VideoDescriptionConfig(CaptionDecoderConfig):
    """The two encoders and the decoder."""

    frame_channels: Annotated[tuple[Size, ...], Field(min_length=1)] = (16, 32, 64)
    """Channels of the convolutions of a frame, each of stride 2."""
    local_channels: tuple[Size, ...] = (8, 16, 32)
    """Channels of the convolutions over time, rows and columns, 3 x 3 x 3, of stride 2 in rows and columns; none:
    without them."""
    attend: bool = True
    """Attend to frames at each word; false: their mean is the one context of all words."""
    gate: bool = False
    """Multiply each context by a number from 0 to 1 that the state determines, beta (Xu et al. 2015)."""


class Seen(NamedTuple):
    """A vector for each frame, or one for all; and which of them exist (None: all)."""

    annotations: Float[Tensor, "b k a"]
    mask: Bool[Tensor, "b k"] | None


class LocalEncoder(nn.Module):
    """Convolutions over time, rows and columns, each followed by batch norm and a rectifier; then the mean over places.

    Each is a convolution over rows and columns of three neighbouring frames, stacked as channels: the same sums, only
    for frames that exist, and several times as fast on a CPU.

    Args:
        channels: channels of each convolution.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        pairs = pairwise((3, *channels))
        self.convolutions = nn.ModuleList(convolution(NEAR * before, after, 3, 2) for before, after in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in channels)

    def forward(self, valid: Float[Tensor, "n 3 y x"], mask: Bool[Tensor, "b f"]) -> Float[Tensor, "n c"]:
        """The vectors of the frames that exist, clip after clip, from these frames."""
        for layer, norm in zip(self.convolutions, self.norms, strict=True):
            valid = F.relu(norm(layer(neighbours(valid, mask))))
        return valid.mean((2, 3))


def neighbours(valid: Float[Tensor, "n c y x"], mask: Bool[Tensor, "b f"]) -> Float[Tensor, "n d y x"]:
    """For each frame that exists the one before, itself and the one after, their channels one after the other; zeros
    beyond the ends of its clip."""
    earlier, later = torch.zeros_like(valid), torch.zeros_like(valid)
    clip = torch.arange(len(mask), device=mask.device)[:, None].expand_as(mask)[mask]
    joined = (clip[1:] == clip[:-1])[:, None, None, None]
    earlier[1:], later[:-1] = valid[:-1] * joined, valid[1:] * joined
    return torch.cat([earlier, valid, later], 1)


def spread(valid: Float[Tensor, "n a"], mask: Bool[Tensor, "b f"]) -> Float[Tensor, "b f a"]:
    """The vectors of the frames that exist at their places, with zeros elsewhere."""
    return valid.new_zeros(*mask.shape, valid.shape[-1]).masked_scatter(mask[..., None], valid)


class VideoDescription(nn.Module):
    """Describes clips with attention to frames (Yao et al. 2015)."""

    def __init__(self, config: VideoDescriptionConfig, symbols: int) -> None:
        super().__init__()
        self.frames = ConvolutionalEncoder(config.frame_channels, further=0)
        self.local = LocalEncoder(config.local_channels) if config.local_channels else None
        size = self.frames.channels + (config.local_channels[-1] if config.local_channels else 0)
        self.decoder = CaptionDecoder(config, symbols, size)
        self.config = config

    def encode(self, batch: ClipBatch) -> Seen:
        """The vectors of the frames; without attention, their mean."""
        mask = batch.frame_mask
        valid = laid_out(batch.frames[mask], self.decoder.embedding.weight.dtype)
        parts = [self.frames(valid).mean((2, 3))]
        if self.local is not None:
            parts.append(self.local(valid, mask))
        annotations = spread(torch.cat(parts, -1), mask)
        if self.config.attend:
            return Seen(annotations, mask)
        return Seen(annotations.sum(1, True) / mask.sum(1)[:, None, None], None)

    def start(self, seen: Seen) -> CaptionState:
        return self.decoder.start(seen.annotations, seen.mask)

    def step(self, tokens: Int[Tensor, " n"], state: CaptionState) -> tuple[Float[Tensor, "n v"], CaptionState]:
        """Log-probabilities of the next word, after this one."""
        return self.decoder.step(tokens, state)

    def project(self, tokens: Int[Tensor, " n"], state: CaptionState) -> tuple[Projection, CaptionState]:
        """The same as `step`, with the log-probabilities as a `Projection`."""
        return self.decoder.project(tokens, state)

    def forward(self, batch: ClipBatch) -> Predictions:
        """What predicts each word after those before it, and the weights of the frames."""
        predicted: Predictions = self.decoder(batch.tokens[:, :-1], self.start(self.encode(batch)))
        return predicted
