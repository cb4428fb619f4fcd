"""The recurrent attention model: glimpse network, core, location and classifier, and their options."""

import zlib
from typing import Annotated, Literal, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from saccade.attention.score_function import ScoreFunction
from saccade.core.config import NAMED, Size, config
from saccade.memory.lstm import LSTM
from saccade.memory.rnn import RNN
from saccade.vision.location import GaussianLocation
from saccade.vision.retina import Retina


@config
class Right:
    """1 if the answer is right, otherwise 0; with the cross-entropy of the answer this is the paper's hybrid loss."""

    name: Literal["right"] = "right"


@config
class LogProbability:
    """log pi(a*), the log-probability of the right answer: the objective is then a lower bound on log p(a* | image)."""

    name: Literal["log-probability"] = "log-probability"


@config
class Learned:
    """A Gaussian around a learned mean, trained by REINFORCE; evaluation looks at the mean."""

    name: Literal["learned"] = "learned"
    deviation: Annotated[float, Field(gt=0, le=2)] = 0.1
    """Standard deviation of the Gaussian, where the image reaches from -1 to 1."""
    reward: Annotated[Right | LogProbability, Field(discriminator="name"), NAMED] = Right()
    """What the choice of locations is rewarded with."""
    baseline: Literal["learned", "moving", "none"] = "learned"
    """Expected reward that is subtracted: a function of the state, a moving average, or none."""


@config
class Random:
    """Uniform over the image: the control without a policy."""

    name: Literal["random"] = "random"
    draw: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Seed of the locations in evaluation, which are drawn for each image."""


@config
class RAMConfig:
    """Recurrent attention model."""

    glimpses: Annotated[int, Field(ge=1, le=100)] = 6
    """Glimpses of an image."""
    patch_size: Annotated[int, Field(ge=1, le=256)] = 8
    """Rows and columns of a patch."""
    scales: Annotated[int, Field(ge=1, le=8)] = 1
    """Patches of a glimpse, each of a window twice as wide as the one before."""
    part_size: Size = 128
    """Features of what is seen, and of where, before they are combined."""
    glimpse_size: Size = 256
    """Features of a glimpse."""
    core: Literal["rnn", "lstm"] = "rnn"
    """Core network: a simple recurrent network with rectified units, as in the paper's classifiers, or an LSTM."""
    hidden_size: Size = 256
    """Units of the core."""
    locations: Annotated[Learned | Random, Field(discriminator="name"), NAMED] = Learned()
    """How locations are chosen."""


class Looks(NamedTuple):
    """The glimpses of each image and what the core made of them."""

    hidden: Float[Tensor, "b t h"]
    """After each glimpse."""
    locations: Float[Tensor, "b t 2"]
    log_probs: Float[Tensor, "b t"] | None
    """Of the locations; None if they are not learned."""

    @property
    def before(self) -> Float[Tensor, "b t h"]:
        """The states that chose the locations, without gradient."""
        known = self.hidden[:, :-1].detach()
        return torch.cat([torch.zeros_like(self.hidden[:, :1]), known], 1)


class GlimpseNetwork(nn.Module):
    """What is seen and where: g = relu(W_g relu(W_rho rho + b) + W_l' relu(W_l l + b) + b)."""

    def __init__(self, seen: int, part_size: int, glimpse_size: int) -> None:
        super().__init__()
        self.what, self.where = nn.Linear(seen, part_size), nn.Linear(2, part_size)
        self.from_what, self.from_where = nn.Linear(part_size, glimpse_size), nn.Linear(part_size, glimpse_size)

    def forward(self, patches: Float[Tensor, "b seen"], locations: Float[Tensor, "b 2"]) -> Float[Tensor, "b g"]:
        what, where = self.what(patches).relu(), self.where(locations).relu()
        return (self.from_what(what) + self.from_where(where)).relu()  # type: ignore[no-any-return]


class Glimpser(nn.Module):
    """A network that looks at an image a few times and then says what it is (Mnih et al. 2014)."""

    def __init__(self, config: RAMConfig, classes: int, channels: int = 1) -> None:
        super().__init__()
        self.config = config
        self.retina = Retina(config.patch_size, scales=config.scales)
        seen = config.scales * channels * config.patch_size**2
        self.glimpse = GlimpseNetwork(seen, config.part_size, config.glimpse_size)
        self.core: RNN | LSTM = (
            RNN(config.glimpse_size, config.hidden_size, nonlinearity="relu")
            if config.core == "rnn"
            else LSTM(config.glimpse_size, config.hidden_size, peepholes=False)
        )
        self.answer = nn.Linear(config.hidden_size, classes)
        self.location: GaussianLocation | None = None
        self.score: ScoreFunction | None = None
        match config.locations:
            case Learned(deviation=deviation, baseline=baseline):
                self.location = GaussianLocation(config.hidden_size, deviation=deviation)
                self.score = ScoreFunction(baseline, features=config.hidden_size if baseline == "learned" else None)
            case Random():
                pass

    def forward(self, images: Float[Tensor, "b c y x"], generator: torch.Generator | None = None) -> Looks:
        """Look at the images, `glimpses` times each.

        Args:
            generator: makes sampled locations reproducible.
        """
        images = images.to(self.answer.weight.dtype)
        prepared, state = self.retina.prepare(images), self.core.initial_state(len(images))
        drawn = None if self.location is not None else self._random(images, generator)
        hidden, locations, log_probs = [], [], []
        for t in range(self.config.glimpses):
            if drawn is not None:
                location = drawn[:, t]
            else:
                assert self.location is not None
                # the core learns from the answers alone
                location, log_prob = self.location(state.hidden.detach(), generator)
                log_probs.append(log_prob)
            patches = self.retina.look(prepared, location).flatten(1)
            output, state = self.core.step(self.glimpse(patches, location), state)  # type: ignore[arg-type]
            hidden.append(output)
            locations.append(location)
        every = torch.stack(log_probs, 1) if log_probs else None
        return Looks(torch.stack(hidden, 1), torch.stack(locations, 1), every)

    def _random(self, images: Tensor, generator: torch.Generator | None) -> Float[Tensor, "b t 2"]:
        """Uniform locations; in evaluation those of an image depend on nothing but the image and the seed."""
        shape, how = (self.config.glimpses, 2), {"dtype": images.dtype, "device": images.device}
        if self.training:
            return 2 * torch.rand(len(images), *shape, generator=generator, **how) - 1  # type: ignore[call-overload, no-any-return]
        assert isinstance(self.config.locations, Random)
        found = []
        for image in images.float().cpu():
            seed = zlib.crc32(image.numpy().tobytes(), self.config.locations.draw)
            found.append(torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
        return 2 * torch.stack(found).to(**how) - 1  # type: ignore[call-overload, no-any-return]
