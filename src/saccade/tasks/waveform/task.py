"""One signal with several time scales, to be generated without any input. After Koutnik et al. 2014, arXiv:1402.3511,
4.1, who take 320 samples of music.

    s(t) = sum_k a_k sin(2 pi t / p_k + q_k)          p_k one period for each octave, drawn log-uniformly
    NMSE = mean_t (y(t) - s(t))^2 / variance of s

a_k is uniform from 0.5 to 1, so that each octave has about the same power, as in music; q_k is uniform; s is scaled to
[-1, 1]. Nothing is held out, as in the paper: the weights encode the signal, and the error says how well.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from saccade.core.config import Seed, config
from saccade.core.errors import InvalidInput
from saccade.core.task import Figure, Score


@config
class WaveformConfig:
    """A signal with several time scales."""

    steps: Annotated[int, Field(ge=2, le=10_000)] = 320
    """Samples of the signal."""
    shortest: Annotated[float, Field(ge=2, le=10_000)] = 10.0
    """The shortest period, in samples."""
    octaves: Annotated[int, Field(ge=1, le=12)] = 5
    """Octaves above the shortest period; each has one sine wave."""
    draw: Seed = 1
    """Seed of the signal."""

    @model_validator(mode="after")
    def check_periods(self) -> "WaveformConfig":
        longest = self.shortest * 2**self.octaves
        if longest > self.steps:
            raise ValueError(
                f"the longest period, shortest x 2^octaves = {longest:g}, must be at most the {self.steps} steps"
            )
        return self


class Batch(NamedTuple):
    """A network reads only the shape of it."""

    signal: Float[Tensor, "b t"]


class WaveformTask:
    """The metric is the mean squared error over the variance of the signal: 1 for a constant, 0 for the signal."""

    metric = "nmse"
    direction: Literal["min"] = "min"
    unit = ""
    accepts = ("nothing",)

    def __init__(self, config: WaveformConfig) -> None:
        self.config = config
        self.signal = signal(config)

    def examples(self, split: str) -> Sequence[Float[Tensor, " t"]]:
        """The signal, in each split."""
        return [self.signal]

    def collate(self, examples: Sequence[Float[Tensor, " t"]], generator: Any = None) -> Batch:
        return Batch(torch.stack(list(examples)))

    def score(self, predictions: Sequence[Sequence[float]], examples: Sequence[Float[Tensor, " t"]]) -> Score:
        errors = [nmse(said, example) for said, example in zip(predictions, examples, strict=True)]
        return Score({
            "nmse": Figure(sum(errors) / len(errors), "", "normalised mean squared error"),
            "steps": Figure(len(self.signal), "", "samples"),
        })  # fmt: skip

    def describe(self) -> dict[str, Any]:
        digest = hashlib.sha256(self.signal.numpy().tobytes()).hexdigest()
        return {"data": f"one generated signal of {len(self.signal)} samples", "sha256": digest}

    def read(self, raw: str | bytes) -> Float[Tensor, " t"]:
        """The signal; nothing else can be asked for.

        Raises:
            InvalidInput: an input is given.
        """
        if raw:
            raise InvalidInput("expected no input: a network generates the signal that it learned from nothing")
        return self.signal

    def notes(self, example: Float[Tensor, " t"]) -> list[str]:
        return []

    def examples_to_type(self, count: int) -> list[str | bytes]:
        return [""]

    def decode(self, prediction: Sequence[float]) -> str:
        return f"{len(prediction)} samples, normalised mean squared error {nmse(prediction, self.signal):.4g}"

    def compare(self, example: Float[Tensor, " t"], prediction: Sequence[float]) -> Mapping[str, str]:
        return {"generated": self.decode(prediction)}


def signal(config: WaveformConfig) -> Float[Tensor, " t"]:
    """The signal of a configuration, in float32."""
    draw = torch.Generator().manual_seed(config.draw)
    place, size, phase = torch.rand(3, config.octaves, generator=draw, dtype=torch.float64)
    periods = config.shortest * 2 ** (torch.arange(config.octaves) + place)
    time = torch.arange(config.steps, dtype=torch.float64)
    waves = (0.5 + size / 2)[:, None] * torch.sin(2 * math.pi * (time / periods[:, None] + phase[:, None]))
    found: Tensor = waves.sum(0)
    largest: Tensor = found.abs().max()
    return (found / largest).float()


def nmse(said: Sequence[float], signal: Float[Tensor, " t"]) -> float:
    """The mean squared error over the variance of the signal."""
    truth = signal.double().cpu()
    return float((torch.tensor(said, dtype=torch.float64) - truth).square().mean() / truth.var(correction=0))
