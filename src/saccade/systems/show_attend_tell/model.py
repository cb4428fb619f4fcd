"""Show, attend and tell. Xu et al. 2015, arXiv:1502.03044.

    a_1..L = encoder(image)                       a vector for each region: the maps of a convolutional network
    p(y_t | y_1..t-1, a)                          `nets/caption_decoder.py`: an LSTM that attends to the regions

The encoder is a small network that is trained with the rest, or a published one that is frozen.
"""

from typing import Annotated, Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from saccade.attention.hard import HardAttention
from saccade.core.config import config
from saccade.nets.caption_decoder import CaptionDecoder, CaptionDecoderConfig, CaptionState, Predictions
from saccade.nets.image_encoder import Convolutional, Encoder, build_encoder
from saccade.nets.nearest_caption import NearestCaption
from saccade.nets.projection import Projection
from saccade.tasks.captions import Batch


@config
class ShowAttendTellConfig(CaptionDecoderConfig):
    """The encoder and the decoder."""

    encoder: Encoder = Convolutional()
    """What makes a vector of each region."""
    penalty: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """Weight of the doubly stochastic term, lambda: the weights of a region, summed over a caption, should be tau. With
    hard attention the weights are the probabilities of the choices."""
    tau: Literal["one", "even"] = "one"
    """1 (Xu et al. 2015), or the caption's words divided by the regions, which even weights reach."""


class Regions(NamedTuple):
    """The annotations of the images, which of them exist, and how many rows and columns of regions there are."""

    annotations: Float[Tensor, "b k a"]
    mask: Bool[Tensor, "b k"] | None
    grid: tuple[int, int]


class ShowAttendTell(nn.Module):
    """Writes captions with attention to regions (Xu et al. 2015)."""

    def __init__(self, config: ShowAttendTellConfig, symbols: int) -> None:
        super().__init__()
        encoder: Any = build_encoder(config.encoder)
        self.nearest: NearestCaption | None = None  # of a frozen encoder: what its features give without a decoder
        self.encoder: Any = encoder
        self.decoder = CaptionDecoder(config, symbols, encoder.channels)
        self.config = config

    def encode(self, batch: Batch) -> Regions:
        """The regions of the images; of captions without images one that does not exist."""
        if not len(batch.pixels):
            nothing = torch.zeros(len(batch.tokens), 1, self.encoder.channels, device=batch.tokens.device)
            mask = torch.zeros(nothing.shape[:2], dtype=torch.bool, device=nothing.device)
            return Regions(nothing.to(self.decoder.embedding.weight.dtype), mask, (1, 1))
        maps = self.encoder(batch.pixels, batch.keys)
        maps = maps.to(self.decoder.embedding.weight.dtype)
        return Regions(maps.flatten(2).mT.contiguous(), None, (maps.shape[2], maps.shape[3]))

    def start(self, regions: Regions) -> CaptionState:
        return self.decoder.start(regions.annotations, regions.mask)

    def step(self, tokens: Int[Tensor, " n"], state: CaptionState) -> tuple[Float[Tensor, "n v"], CaptionState]:
        """Log-probabilities of the next word, after this one."""
        return self.decoder.step(tokens, state)

    def project(self, tokens: Int[Tensor, " n"], state: CaptionState) -> tuple[Projection, CaptionState]:
        """The same as `step`, with the log-probabilities as a `Projection`."""
        return self.decoder.project(tokens, state)

    def probabilities(self, predicted: Predictions, state: CaptionState) -> Float[Tensor, "b t k"]:
        """The weights; with hard attention, the probabilities from which a region is chosen."""
        mechanism = self.decoder.mechanism
        if not isinstance(mechanism, HardAttention):
            return predicted.weights
        return mechanism.weigh(predicted.queries, state.prepared.value, None)

    def forward(self, batch: Batch) -> Predictions:
        """What predicts each word after those before it, and the weights of the regions."""
        predicted: Predictions = self.decoder(batch.tokens[:, :-1], self.start(self.encode(batch)))
        return predicted
