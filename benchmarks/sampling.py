"""Count the bytes that ways of looking at an image move in a second, as a share of the machine's copy.

    python benchmarks/sampling.py [--threads 1] [--write]

A way of looking reads its input once and writes its output once, so the time of copying as many bytes is the least that
it can take. The copy is of an array much larger than the caches, in the same run, in turn with the forms. The peer of
the sampler is four gathers of pixels, the plain way to write it. To add another way, write a function that returns a
`Form`, and add it to `forms`.

Time is the processor time of the process, so with one thread other processes matter little.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from measure import evidence
from torch import Tensor

from saccade.vision import AffineGrid, SplineGrid
from saccade.vision.spatial_transformer import sample

BATCH, SIDE, LARGE, COPIED = 1024, 28, 128, 1 << 26  # images, their pixels a side, and the numbers of the copy


class Form(NamedTuple):
    look: Callable[[], Tensor]
    bytes: int
    """Of what it reads and writes, once each."""


def size(*tensors: Tensor) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def thetas(count: int, grid: AffineGrid | SplineGrid) -> Tensor:
    return torch.tensor(grid.identity) + 0.1 * torch.randn(count, len(grid.identity))


def sampler(count: int, side: int, channels: int = 1) -> Form:
    """The sampler alone, at the places of an affine grid."""
    grid = AffineGrid((side, side))
    images, places = torch.rand(count, channels, side, side), grid(thetas(count, grid))
    return Form(lambda: sample(images, places), size(images, places, images))


def grids(kind: type[AffineGrid] | type[SplineGrid]) -> Form:
    """The places of a grid, and the sampler."""
    grid = kind((SIDE, SIDE))
    images, theta = torch.rand(BATCH, 1, SIDE, SIDE), thetas(BATCH, grid)
    return Form(lambda: sample(images, grid(theta)), size(images, theta, images))


def gathers() -> Form:
    """The sampler as four gathers, each weighted; outside the image is zero."""
    grid = AffineGrid((SIDE, SIDE))
    images, places = torch.rand(BATCH, 1, SIDE, SIDE), grid(thetas(BATCH, grid))

    def look() -> Tensor:
        at = (places + 1) / 2 * (SIDE - 1)
        low = at.floor()
        part, low = at - low, low.long()
        output = torch.zeros_like(images)
        for x in (0, 1):
            for y in (0, 1):
                m, n = low[..., 0] + x, low[..., 1] + y
                inside = (m >= 0) & (m < SIDE) & (n >= 0) & (n < SIDE)
                index = (n.clamp(0, SIDE - 1) * SIDE + m.clamp(0, SIDE - 1)).flatten(1)
                found = images.flatten(2).gather(2, index[:, None]).view_as(images)
                weight = (part[..., 0] if x else 1 - part[..., 0]) * (part[..., 1] if y else 1 - part[..., 1])
                output += found * (weight * inside)[:, None]
        return output

    return Form(look, size(images, places, images))


def copy() -> Form:
    source, target = torch.rand(COPIED), torch.empty(COPIED)
    return Form(lambda: target.copy_(source), size(source, target))


def forms() -> dict[str, Form]:
    return {
        "copy": copy(),
        f"sampler, {BATCH} images of {SIDE} x {SIDE}": sampler(BATCH, SIDE),
        f"sampler, 64 images of {LARGE} x {LARGE}": sampler(64, LARGE),
        f"sampler, 64 images of {LARGE} x {LARGE}, 16 channels": sampler(64, LARGE, 16),
        "affine grid and sampler": grids(AffineGrid),
        "spline grid and sampler": grids(SplineGrid),
        f"four gathers, {BATCH} images of {SIDE} x {SIDE}": gathers(),
    }


def rate(form: Form, seconds: float) -> float:
    """Bytes a second of the processor."""
    begun, made = time.process_time(), 0
    while (spent := time.process_time() - begun) < seconds:
        form.look()
        made += form.bytes
    return made / spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each form in each round")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    made = forms()
    with torch.inference_mode():
        for form in made.values():
            form.look()
        rates: dict[str, list[float]] = {name: [] for name in made}
        for _ in range(options.rounds):  # in turn, so that a drift of the machine's speed affects all
            for name, form in made.items():
                rates[name].append(rate(form, options.seconds) * options.threads)
    shares = {
        name: statistics.median(a / b for a, b in zip(found, rates["copy"], strict=True))
        for name, found in rates.items()
        if name != "copy"
    }
    rounded = {name: round(share, 3) for name, share in shares.items()}
    copied = statistics.median(rates["copy"]) / 1e9
    result = {"copy_gigabytes_per_second": round(copied, 2), "shares_of_the_copy": rounded}
    print(json.dumps(result, indent=1))
    if options.write:
        summary = {name: f"{share:.0%} of the copy's rate" for name, share in shares.items()}
        print(evidence("sampling", {"copy": f"{copied:.1f} GB a second"} | summary, result))


if __name__ == "__main__":
    main()
