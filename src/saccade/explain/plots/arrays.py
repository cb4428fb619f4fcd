"""Checking the arrays that pictures are made from."""

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from saccade.core.errors import InvalidInput


def numbers(weights: Any) -> Any:
    """As a numpy array, in float64."""
    plain = weights.detach().double().cpu() if hasattr(weights, "detach") else weights
    return np.asarray(plain, dtype=np.float64)


def read(values: Any, what: str) -> Any:
    """As a numpy array, in float64, of any shape.

    Raises:
        InvalidInput: it is not an array.
    """
    try:
        return numbers(values)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"expected {what}, all rows of one length") from error


def checked(values: Any, axes: str, what: str = "weights", least: float = -np.inf) -> Any:
    """As a float64 numpy array with these axes, none of them empty: each a letter, or the size it must have.

    Raises:
        InvalidInput: the wrong shape, or a number that is below the least or not finite.
    """
    names = axes.split()
    found = read(values, f"{what} ({', '.join(names)})")
    sizes = [int(name) if name.isdigit() else size for name, size in zip(names, found.shape, strict=False)]
    if list(found.shape) != sizes or found.ndim != len(names) or 0 in found.shape:
        raise InvalidInput(f"expected {what} ({', '.join(names)}), at least one; got the shape {found.shape}")
    if not (np.isfinite(found) & (found >= least)).all():
        raise InvalidInput(f"expected {what} that are finite{'' if least == -np.inf else f' and not below {least:g}'}")
    return found


def named(names: Any, size: int, what: str) -> list[str]:
    """A name for each; by default the numbers from 0.

    Raises:
        InvalidInput: the wrong number of names.
    """
    if len(names) not in (0, size):
        raise InvalidInput(f"expected a name for each of {size} {what}, got {len(names)}")
    return [str(name) for name in names] or [str(i) for i in range(size)]


def rounded(values: Any, digits: int = 3) -> Any:
    """Nested lists of the numbers, rounded to this many decimals; zeros become 0, and non-finite numbers None."""
    if np.ndim(values):
        return [rounded(part, digits) for part in values]
    return (round(float(values), digits) or 0) if math.isfinite(values) else None


def packed(values: Any) -> dict[str, Any]:
    """An array for a page: its shape, its range, and its numbers quantised to 65,535 steps of that range, in base64."""
    found = np.asarray(values, dtype=np.float64)
    least, most = (float(found.min()), float(found.max())) if found.size else (0.0, 0.0)
    steps = np.round((found - least) / ((most - least) or 1.0) * 65535).astype("<u2")
    return {
        "shape": list(found.shape), "least": least, "most": most,
        "steps": base64.b64encode(steps.tobytes()).decode("ascii"),
    }  # fmt: skip


def pooled(values: Any, size: int, axis: int) -> Any:
    """The means of consecutive groups along an axis; the last group may be smaller."""
    starts = np.arange(0, values.shape[axis], size)
    counts = np.minimum(starts + size, values.shape[axis]) - starts
    sums = np.add.reduceat(values, starts, axis)
    return sums / counts.reshape([-1 if i == axis % values.ndim else 1 for i in range(values.ndim)])


def thinned(images: Any, most: int) -> dict[str, Any]:
    """Images (..., y, x) from 0 to 1, reduced to at most `most` pixels, as integers up to 255; `enlarged` is the
    inverse.

    Neighbouring pixels are averaged.
    """
    found, size = np.asarray(images, dtype=np.float64), 1
    for size in range(1, max(found.shape[-2:]) + 1):
        if math.prod(found.shape[:-2]) * math.prod(math.ceil(side / size) for side in found.shape[-2:]) <= most:
            break
    small = pooled(pooled(found, size, -1), size, -2)
    return {"size": list(found.shape[-2:]), "block": size, "pixels": np.round(255 * small).astype(int).tolist()}


def enlarged(kept: Mapping[str, Any]) -> Any:
    """Images (..., y, x) reduced by `thinned`, at their original size."""
    pixels, (high, wide), size = np.asarray(kept["pixels"], dtype=np.float64) / 255, kept["size"], kept["block"]
    return pixels.repeat(size, -2).repeat(size, -1)[..., :high, :wide]
