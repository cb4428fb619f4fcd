"""What pictures are given, as numpy arrays that fit."""

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
        InvalidInput: it is none.
    """
    try:
        return numbers(values)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"expected {what}, all rows of one length") from error


def checked(values: Any, axes: str, what: str = "weights", least: float = -np.inf) -> Any:
    """As a numpy array in float64 with these axes, none of them empty: a letter each, or a size that it must have.

    Raises:
        InvalidInput: another shape, or a number that is below the least or not finite.
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
    """A name for each; without any, the numbers from 0.

    Raises:
        InvalidInput: another number of names.
    """
    if len(names) not in (0, size):
        raise InvalidInput(f"expected a name for each of {size} {what}, got {len(names)}")
    return [str(name) for name in names] or [str(i) for i in range(size)]
