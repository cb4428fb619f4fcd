"""A signal with several time scales: its samples, its error, bad input."""

import math

import pytest
import torch
from pydantic import ValidationError

from saccade.core.errors import InvalidInput
from saccade.core.task import Legible, Readable, Task
from saccade.tasks.waveform import WaveformConfig, WaveformTask
from saccade.tasks.waveform.task import nmse


def by_loops(config: WaveformConfig) -> list[float]:
    draw = torch.Generator().manual_seed(config.draw)
    place, size, phase = torch.rand(3, config.octaves, generator=draw, dtype=torch.float64).tolist()
    samples = []
    for t in range(config.steps):
        total = 0.0
        for k in range(config.octaves):
            period = config.shortest * 2 ** (k + place[k])
            assert config.shortest * 2**k <= period < config.shortest * 2 ** (k + 1)
            total += (0.5 + size[k] / 2) * math.sin(2 * math.pi * (t / period + phase[k]))
        samples.append(total)
    largest = max(map(abs, samples))
    return [sample / largest for sample in samples]


@pytest.mark.parametrize("config", [WaveformConfig(), WaveformConfig(steps=97, shortest=3.0, octaves=5, draw=7)])
def test_the_signal_is_one_sine_wave_an_octave(config: WaveformConfig) -> None:
    torch.testing.assert_close(WaveformTask(config).signal.tolist(), by_loops(config), rtol=0, atol=1e-6)


def test_it_is_the_same_in_every_split_and_another_for_another_seed() -> None:
    task, other = WaveformTask(WaveformConfig()), WaveformTask(WaveformConfig(draw=2))
    assert isinstance(task, Task)
    assert isinstance(task, Readable)
    assert isinstance(task, Legible)
    [signal] = task.examples("train")
    assert all(torch.equal(task.examples(split)[0], signal) for split in ("validation", "test"))
    assert not torch.allclose(other.signal, signal)
    assert task.describe()["sha256"] != other.describe()["sha256"]


def test_the_error_is_zero_for_the_signal_and_one_for_its_mean() -> None:
    task = WaveformTask(WaveformConfig())
    signal = task.signal.double()
    assert nmse(signal.tolist(), task.signal) == 0
    assert nmse([float(signal.mean())] * len(signal), task.signal) == pytest.approx(1, abs=1e-6)
    score = task.score([signal.tolist()], task.examples("test"))
    assert score.figures["nmse"].value == 0
    assert task.decode([0.0] * 320) == f"320 samples, normalised mean squared error {nmse([0.0] * 320, signal):.4g}"


def test_bad_settings_and_inputs_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"shortest x 2\^octaves = 640, must be at most the 320 steps"):
        WaveformConfig(octaves=6)
    with pytest.raises(ValidationError):
        WaveformConfig(shortest=1.0)
    with pytest.raises(InvalidInput, match="expected no input"):
        WaveformTask(WaveformConfig()).read("0.1 0.2")
