"""Weights in eight bits."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from saccade.core.errors import InvalidInput
from saccade.training.packed import pack, unpack
from saccade.training.run_folder import RunFolder


def test_every_weight_is_within_half_a_step_and_vectors_within_float16() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(7, 5), nn.Linear(5, 3), nn.Conv2d(3, 2, 3))
    with torch.no_grad():
        model[0].weight[2] = 0  # a row without a scale
    weights = model.state_dict()
    again = unpack(pack(weights))
    assert again.keys() == weights.keys()
    for name, weight in weights.items():
        bound = weight.flatten(1).abs().amax(1) / 254 if weight.ndim > 1 else weight.abs() / 1024
        error = (again[name].float() - weight).abs()
        assert (error.reshape(len(weight), -1) <= bound.reshape(len(weight), -1) * 1.001 + 1e-7).all(), name


def test_a_run_folder_loads_packed_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, other = nn.Linear(5, 3), nn.Linear(5, 3)
    packed = pack(model.state_dict())
    assert packed["weight"].dtype == torch.int8
    save_file(packed, tmp_path / "model.safetensors")
    RunFolder(tmp_path).load_weights(other)
    torch.testing.assert_close(other.weight, unpack(packed)["weight"], rtol=0, atol=0)
    torch.testing.assert_close(other.weight, model.weight, rtol=0, atol=0.01)


def test_eight_bits_without_a_scale_are_refused(tmp_path: Path) -> None:
    packed = pack(nn.Linear(5, 3).state_dict())
    del packed["weight.scale"]
    save_file(packed, tmp_path / "model.safetensors")
    with pytest.raises(InvalidInput, match="weight"):
        RunFolder(tmp_path).load_weights(nn.Linear(5, 3))
