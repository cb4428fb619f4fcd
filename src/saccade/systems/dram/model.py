"""The deep recurrent attention model: context, glimpse, two recurrent layers, location and classifier.

    r2_0 = context(coarse image)                           l_1 from r2_0
    g_n  = what(rho(x, l_n)) * where(l_n)                  * elementwise
    r1_n = lstm_1(g_n, r1_{n-1})                           the answer is read from r1 after the glimpses of each digit
    r2_n = lstm_2(r1_n, r2_{n-1})                          l_{n+1} ~ N(W r2_n + b, sigma^2 I)

The classifier sees the image through glimpses only: the context reaches the locations, and never r1.
"""

from typing import Annotated, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.score_function import ScoreFunction
from saccade.core.config import Size, config
from saccade.memory.lstm import LSTM, LSTMState
from saccade.vision.location import GaussianLocation
from saccade.vision.retina import Retina


@config
class DRAMConfig:
    """Deep recurrent attention model."""

    glimpses: Annotated[int, Field(ge=1, le=100)] = 6
    """Glimpses of each digit."""
    patch_size: Annotated[int, Field(ge=1, le=256)] = 12
    """Rows and columns of a patch."""
    scales: Annotated[int, Field(ge=1, le=8)] = 3
    """Patches of a glimpse, each of a window twice as wide as the one before."""
    coarse_size: Annotated[int, Field(ge=1, le=256)] = 12
    """Rows and columns of the coarse image that the context network sees."""
    glimpse_size: Size = 256
    """Features of a glimpse, and units of the layer before them."""
    hidden_size: Size = 256
    """Units of each recurrent layer."""
    deviation: Annotated[float, Field(gt=0, le=2)] = 0.1
    """Standard deviation of sampled locations, where the image reaches from -1 to 1."""
    reward_weight: Annotated[float, Field(gt=0, le=1000)] = 0.1
    """Factor on the score-function term, whose noise also reaches the layers that learn from the answers."""


class Looks(NamedTuple):
    """The glimpses of each image, in the order of the digits, and what was made of them."""

    logits: Float[Tensor, "b n classes"]
    """Of each digit, after its glimpses."""
    locations: Float[Tensor, "b t 2"]
    log_probs: Float[Tensor, "b t"]
    before: Float[Tensor, "b t h"]
    """The states of the second layer that chose the locations."""
    hidden: Float[Tensor, "b t h"]
    """The first layer after each glimpse."""


class ContextNetwork(nn.Module):
    """The coarse image, averaged over blocks, as the first state of the second layer."""

    def __init__(self, coarse_size: int, channels: int, hidden_size: int) -> None:
        super().__init__()
        self.coarse_size = coarse_size
        self.layer, self.output = nn.Linear(channels * coarse_size**2, hidden_size), nn.Linear(hidden_size, hidden_size)

    def forward(self, images: Float[Tensor, "b c y x"]) -> Float[Tensor, "b h"]:
        coarse = F.adaptive_avg_pool2d(images, self.coarse_size).flatten(1)
        return self.output(self.layer(coarse).relu()).tanh()  # type: ignore[no-any-return]


class GlimpseNetwork(nn.Module):
    """What is seen times where: g = relu(W relu(W rho + b) + b) * relu(W l + b)."""

    def __init__(self, seen: int, glimpse_size: int) -> None:
        super().__init__()
        self.what = nn.Sequential(nn.Linear(seen, glimpse_size), nn.ReLU(), nn.Linear(glimpse_size, glimpse_size))
        self.where = nn.Linear(2, glimpse_size)
        nn.init.ones_(self.where.bias)  # at first what is seen passes, wherever it is

    def forward(self, patches: Float[Tensor, "b seen"], locations: Float[Tensor, "b 2"]) -> Float[Tensor, "b g"]:
        return self.what(patches).relu() * self.where(locations).relu()  # type: ignore[no-any-return]


class Reader(nn.Module):
    """Reads the digits of an image in order, a few glimpses each (Ba et al. 2015)."""

    def __init__(self, config: DRAMConfig, classes: int, digits: int, channels: int = 1) -> None:
        super().__init__()
        self.config, self.digits = config, digits
        size = config.hidden_size
        self.retina = Retina(config.patch_size, scales=config.scales)
        self.context = ContextNetwork(config.coarse_size, channels, size)
        self.glimpse = GlimpseNetwork(config.scales * channels * config.patch_size**2, config.glimpse_size)
        self.first = LSTM(config.glimpse_size, size, peepholes=False)
        self.second = LSTM(size, size, peepholes=False)
        self.location = GaussianLocation(size, deviation=config.deviation)
        self.answer = nn.Linear(size, classes)
        self.score = ScoreFunction("learned", features=size, reward_weight=config.reward_weight)

    def forward(self, images: Float[Tensor, "b c y x"], generator: torch.Generator | None = None) -> Looks:
        """Look at the images; sampled locations, in training, follow the generator."""
        images = images.to(self.answer.weight.dtype)
        prepared, lower = self.retina.prepare(images), self.first.initial_state(len(images))
        context = self.context(images)
        upper = LSTMState(context, torch.zeros_like(context))
        before: list[Tensor] = []
        locations: list[Tensor] = []
        log_probs: list[Tensor] = []
        hidden: list[Tensor] = []
        for _ in range(self.digits * self.config.glimpses):
            before.append(upper.hidden)
            location, log_prob = self.location(upper.hidden, generator)
            patches = self.retina.look(prepared, location).flatten(1)
            output, lower = self.first.step(self.glimpse(patches, location), lower)
            _, upper = self.second.step(output, upper)
            locations.append(location)
            log_probs.append(log_prob)
            hidden.append(output)
        states = torch.stack(hidden, 1)
        logits = self.answer(states[:, self.config.glimpses - 1 :: self.config.glimpses])
        return Looks(logits, torch.stack(locations, 1), torch.stack(log_probs, 1), torch.stack(before, 1), states)
