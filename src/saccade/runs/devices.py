"""Accelerators that a run can be planned for: peak rates, memory and links, each from the maker's data sheet."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch

from saccade.core.errors import InvalidInput, NotFound, nearest
from saccade.runs.memory import memory

GiB = 2**30
MOST = 64  # processes of a machine without accelerators
UNITS = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KIB": 2**10, "MIB": 2**20, "GIB": GiB, "TIB": 2**40}
COUNTS = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


class Device(NamedTuple):
    """One accelerator; rates in operations a second, by number format, dense; the others in bytes a second."""

    name: str
    rates: Mapping[str, float]
    memory: float
    """Bytes."""
    bandwidth: float
    """Of its memory."""
    link: float
    """To the others of its machine, in one direction."""
    network: float
    """Its part of the network between machines, in one direction."""
    machine: int
    """How many a machine has."""
    source: str


DEVICES = {
    each.name: each
    for each in (
        Device("p100", {"float64": 5.3e12, "float32": 10.6e12, "float16": 21.2e12}, 16 * GiB, 732e9, 80e9, 6.25e9, 8,
               "NVIDIA Tesla P100 (SXM2) and DGX-1 data sheets"),
        Device("v100", {"float64": 7.8e12, "float32": 15.7e12, "float16": 125e12}, 32 * GiB, 900e9, 150e9, 6.25e9, 8,
               "NVIDIA V100 (SXM2) and DGX-1 data sheets"),
        Device("a100", {"float64": 9.7e12, "float32": 19.5e12, "bfloat16": 312e12, "float16": 312e12}, 80 * GiB,
               2039e9, 300e9, 25e9, 8, "NVIDIA A100 (SXM, 80 GB) and DGX A100 data sheets"),
        Device("h100", {"float64": 34e12, "float32": 67e12, "bfloat16": 989e12, "float16": 989e12}, 80 * GiB, 3350e9,
               450e9, 50e9, 8, "NVIDIA H100 (SXM) and DGX H100 data sheets"),
        Device("h200", {"float64": 34e12, "float32": 67e12, "bfloat16": 989e12, "float16": 989e12}, 141e9, 4800e9,
               450e9, 50e9, 8, "NVIDIA H200 (SXM) and DGX H200 data sheets"),
    )
}  # fmt: skip


def device(name: str) -> Device:
    """A device by its name.

    Raises:
        NotFound: with the nearest name.
    """
    if name not in DEVICES:
        raise NotFound(f"there is no device {name!r}; {nearest(name, [*DEVICES, 'cpu'])}")
    return DEVICES[name]


def this_machine() -> Device:
    """The processor of this machine, whose rates are on no data sheet."""
    return Device("cpu", {}, memory(torch.device("cpu")), 0.0, 0.0, 0.0, MOST, "this machine")


def bytes_of(text: str, what: str) -> float:
    """Such as 32GB or 80GiB.

    Raises:
        InvalidInput: no number with a unit.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]*)", text)
    unit = found[2].upper() if found else ""
    if found is None or unit not in UNITS or float(found[1]) <= 0:
        example = f"{found[1]}GB" if found and not unit else "32GB"
        raise InvalidInput(f"{what} takes a size with its unit, such as {example} or 80GiB, not {text!r}")
    return float(found[1]) * UNITS[unit]


def count_of(text: str, what: str) -> float:
    """Such as 300B, 1.5T or 1e9.

    Raises:
        InvalidInput: no positive number.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?(?:[eE]\d+)?) ?([KMBTkmbt]?)", text)
    if found is None or not 0 < float(found[1]) < 1e30:
        raise InvalidInput(f"{what} takes a number, such as 300B (billions), 1.5T or 2e9, not {text!r}")
    return float(found[1]) * COUNTS[found[2].upper()]


def rate_of(text: str) -> float:
    """Operations a second, such as 39TFLOPS or 100GFLOP/s.

    Raises:
        InvalidInput: no positive number with a unit.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([GTP])FLOP(?:S|/S)", text.upper())
    if found is None or float(found[1]) <= 0:
        raise InvalidInput(f"--rate takes operations a second, such as 39TFLOPS or 100GFLOPS, not {text!r}")
    return float(found[1]) * {"G": 1e9, "T": 1e12, "P": 1e15}[found[2]]
