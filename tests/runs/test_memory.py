"""The memory of a model is known before it is built."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from saccade.core.errors import InvalidInput
from saccade.runs import memory
from saccade.runs.memory import check_fits, numbers_kept, sized
from saccade.training.config import SGD, TrainingConfig

CPU = TrainingConfig(device="cpu")


class Tied(nn.Module):
    """A weight under two names, and a buffer."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.first, self.second = nn.Embedding(7, size), nn.Linear(size, 7, bias=False)
        self.second.weight = self.first.weight
        self.register_buffer("table", torch.zeros(size))
        nn.init.orthogonal_(self.second.weight)


def test_a_meta_model_takes_no_memory_and_no_random_numbers() -> None:
    before = torch.random.get_rng_state()
    model = sized(lambda: nn.Sequential(*[Tied(1_000_000) for _ in range(1000)]))
    assert sum(weight.numel() for weight in model.parameters()) == 7_000_000_000
    assert torch.equal(before, torch.random.get_rng_state())


def test_it_imports_next_to_nothing() -> None:
    """On the meta device the first random number would import 800 modules."""
    sized(lambda: Tied(3))
    before = len(sys.modules)
    sized(lambda: nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.Embedding(3, 5), nn.LSTM(3, 5)))
    assert len(sys.modules) - before < 10


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, 4),
        ({"optimizer": "adadelta"}, 4),
        ({"optimizer": "sgd"}, 2),
        ({"optimizer": SGD(momentum=0.9)}, 3),
        ({"strategy": "fsdp2"}, 2),
    ],
)
def test_a_training_keeps_gradients_and_the_optimizers_state(settings: dict[str, object], kept: float) -> None:
    assert numbers_kept(TrainingConfig(**settings), 2) == kept  # type: ignore[arg-type]


def test_a_model_that_does_not_fit_is_reported_with_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "memory", lambda device: 1e9)
    numbers = 7 * 1_000_000
    check_fits(lambda: Tied(1_000_000), CPU, 4)
    for options in ((1000.0,), (4.0, 9)):
        with pytest.raises(
            InvalidInput, match=rf"has {numbers:,} weights, .* cpu has 1\.00 GB of memory; choose smaller"
        ):
            check_fits(lambda: Tied(1_000_000), CPU, *options)
    check_fits(lambda: Tied(4_000_000), CPU, 8)
    with pytest.raises(InvalidInput, match=r"28,000,000 weights, which take at least 1\.82 GB"):
        check_fits(lambda: Tied(4_000_000), TrainingConfig(device="cpu", precision="float64"), 8)


def test_a_model_whose_sizes_depend_on_values_is_not_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "memory", lambda device: 1)
    check_fits(lambda: nn.Linear(int(torch.ones(1)), 3), CPU)


def test_the_memory_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(memory, "LIMITS", ())
    whole = memory.memory(cpu)
    assert whole > 1e8
    (tmp_path / "max").write_text("max\n")
    (tmp_path / "few").write_text("4096\n")
    monkeypatch.setattr(memory, "LIMITS", (str(tmp_path / "max"), str(tmp_path / "none")))
    assert memory.memory(cpu) == whole
    monkeypatch.setattr(memory, "LIMITS", (str(tmp_path / "few"),))
    assert memory.memory(cpu) == 4096
