"""Code that the benchmarks share: alternating timings, the machine's rate, and peak memory of a separate process."""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from saccade.core import products
from saccade.training.evidence import commit, processor

CUBE = 2048  # rows and columns of the matrices whose product measures the machine's rate
PRODUCTS = ("fastest product", "torch's product")


def alternate(
    forms: Mapping[str, Callable[[], object]],
    rounds: int,
    warm: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each form, run in turn so that a drift of the machine's speed affects all equally."""
    for _ in range(warm):
        for form in forms.values():
            form()
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(rounds):
        for name, form in forms.items():
            begun = clock()
            form()
            seconds[name].append(clock() - begun)
    return seconds


def ratio(slower: list[float], faster: list[float]) -> float:
    """The median of the ratios, round by round."""
    return statistics.median(a / b for a, b in zip(slower, faster, strict=True))


def matrix_products() -> dict[str, Callable[[], object]]:
    """Float32 products of square matrices, timed together with the forms: the fastest we know, and torch's own."""
    left, right, out = torch.randn(CUBE, CUBE), torch.randn(CUBE, CUBE), torch.empty(CUBE, CUBE)

    def fastest() -> None:
        with torch.inference_mode():
            products.linear(left, right)

    return dict(zip(PRODUCTS, (fastest, lambda: torch.mm(left, right, out=out)), strict=True))


def take_torchs_products() -> None:
    """From here on multiply as on a processor where oneDNN is not faster."""
    products.onednn_is_faster = lambda: False


def shares_of_the_floor(operations: float, seconds: Mapping[str, list[float]], form: str) -> dict[str, float]:
    """The share of a form's time that its operations would take at the rate of each of `matrix_products`."""
    return {
        product: round(ratio([operations / (2 * CUBE**3) * second for second in seconds[product]], seconds[form]), 3)
        for product in PRODUCTS
    }


def gflop_per_second(seconds: Mapping[str, list[float]]) -> dict[str, float]:
    """The rate of each of `matrix_products`."""
    return {product: round(2 * CUBE**3 / statistics.median(seconds[product]) / 1e9, 1) for product in PRODUCTS}


def percentages(shares: Mapping[str, float]) -> str:
    """Shares of the floor, as text for a table."""
    fastest, torchs = (shares[product] for product in PRODUCTS)
    return f"{fastest:.0%} (at the rate of torch's own product {torchs:.0%})"


def peak_memory(script: str, arguments: list[str]) -> float:
    """Peak memory of a separate process, in MB."""
    done = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def own_peak() -> float:
    """Peak memory of this process since its start, in MB, on Linux (`ru_maxrss` would include its parent's)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def straight(x: Sequence[float], y: Sequence[float]) -> float:
    """The share of the variance of y that a straight line over x explains."""
    return statistics.correlation(x, y) ** 2


def evidence(name: str, summary: Mapping[str, str], result: Mapping[str, Any]) -> Path:
    """Write the result beside the benchmarks; returns where.

    Args:
        name: the name of the benchmark's file.
        summary: measurement -> result, as text for the tables.
        result: all figures.
    """
    now = datetime.now(UTC)
    date = f"{now:%Y-%m-%d}"
    # existing files are not replaced, so that failed runs are kept
    path = Path(__file__).parent / "evidence" / f"{now:%Y%m%dT%H%M%SZ}-{name}.json"
    path.parent.mkdir(exist_ok=True)
    head = {
        "benchmark": name,
        "date": date,
        "commit": commit(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "summary": dict(summary),
    }
    path.write_text(json.dumps({**head, **result}, indent=1) + "\n")
    return path
