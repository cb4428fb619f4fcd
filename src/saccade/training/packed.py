"""Weights in eight bits: each row of a matrix as integers from -127 to 127 and one scale.

w_ij ~ s_i q_ij,   s_i = max_j |w_ij| / 127,   q_ij = round(w_ij / s_i)
"""

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ".scale"  # after the name of a packed tensor
LARGEST = 127


def pack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matrices in eight bits with a float32 scale for each row; other floating-point tensors in float16.

    The error of a weight is at most half a step, s_i / 2.
    """
    packed = {}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.ndim >= 2:
            rows = tensor.float().flatten(1)
            scale = rows.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny) / LARGEST
            steps = torch.round(rows / scale[:, None]).clamp(-LARGEST, LARGEST)
            packed[name], packed[name + SCALE] = steps.to(torch.int8).reshape(tensor.shape), scale
        else:
            packed[name] = tensor.half() if tensor.is_floating_point() else tensor
    return packed


def unpack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a packed file; other tensors are unchanged."""
    found = {}
    for name, tensor in tensors.items():
        if name.endswith(SCALE) and is_packed(tensors, name.removesuffix(SCALE)):
            continue
        if is_packed(tensors, name):
            scale = tensors[name + SCALE].reshape(-1, *[1] * (tensor.ndim - 1))
            tensor = tensor.float() * scale
        found[name] = tensor
    return found


def is_packed(tensors: Mapping[str, Tensor], name: str) -> bool:
    """Whether this tensor is in eight bits, with a scale for each row."""
    tensor, scale = tensors.get(name), tensors.get(name + SCALE)
    return tensor is not None and tensor.dtype == torch.int8 and scale is not None and scale.shape == tensor.shape[:1]
