"""Local attention on feature maps, forward and backward, beside its unfolded form.

    python benchmarks/local_attention.py

Maps of 56 x 56 pixels, windows of 7 x 7, 8 heads of 64 features, relative rows and columns; float32, one thread,
process time. The unfolded form copies the keys and values of every window with `unfold` and multiplies by einsum, in
the faster of two layouts; weights, outputs and gradients are the same, and are compared before anything is timed.

The floor is the operations that the equation needs: for each pixel and head, 49 products with a key and a value, once
forwards and twice backwards, at the rate of the machine's matrix product. Ours computes 4 times as many, and the
weights once more. Memory is the peak of a process that makes one forward and backward pass, above one that makes none.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from measure import alternate, evidence, gflop_per_second, matrix_products, own_peak, peak_memory, percentages, ratio
from measure import shares_of_the_floor as shares
from torch import Tensor
from torch.nn import functional as F

from saccade.vision.local_attention import local_attention

SIDE, WINDOW, HEADS, FEATURES = 56, 7, 8, 64
Given = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def given(batch: int) -> Given:
    """Queries, keys and values (b, h, y, x, d), as projections of maps lay them out; vectors of rows and of columns."""
    torch.manual_seed(0)
    pixels = [torch.randn(batch, SIDE, SIDE, HEADS, FEATURES).permute(0, 3, 1, 2, 4) for _ in range(3)]
    pixels[0] = pixels[0] / FEATURES**0.5
    tables = [torch.randn(HEADS, WINDOW, FEATURES // 2) for _ in range(2)]
    query, keys, values, rows, columns = (tensor.requires_grad_() for tensor in (*pixels, *tables))
    return query, keys, values, rows, columns


def ours(query: Tensor, keys: Tensor, values: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return local_attention(query, keys, values, WINDOW, rows, columns)


def unfolded(maps: Tensor) -> Tensor:
    """The features of every window (b, h, d, k, q): k^2 copies of the maps."""
    batch = len(maps)
    channels = maps.permute(0, 1, 4, 2, 3).flatten(1, 2)
    return F.unfold(channels, WINDOW, padding=WINDOW // 2).view(batch, HEADS, FEATURES, WINDOW**2, SIDE**2)


def form(query_first: bool) -> Callable[..., Tensor]:
    """The unfolded form; with the queries before the features in memory, or as `unfold` returns them."""

    def attend(query: Tensor, keys: Tensor, values: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        windows, contents = unfolded(keys), unfolded(values)
        if query_first:
            windows, contents = (copies.permute(0, 1, 4, 3, 2).contiguous() for copies in (windows, contents))
        places = "bhqkd" if query_first else "bhdkq"
        asking = query.flatten(2, 3)
        offsets = torch.cat(
            [rows[:, :, None].expand(-1, -1, WINDOW, -1), columns[:, None].expand(-1, WINDOW, -1, -1)], -1
        ).flatten(1, 2)
        scores = torch.einsum(f"bhqd,{places}->bhqk", asking, windows) + asking @ offsets.mT
        inside = F.unfold(torch.ones(1, 1, SIDE, SIDE), WINDOW, padding=WINDOW // 2)[0].mT > 0
        weights = scores.masked_fill(~inside, -torch.inf).softmax(-1)
        return torch.einsum(f"bhqk,{places}->bhqd", weights, contents).unflatten(2, (SIDE, SIDE))

    return attend


FORMS = {"saccade": ours, "unfold": form(False), "unfold, queries first": form(True)}


def both_passes(attend: Callable[..., Tensor], batch: int) -> Callable[[], tuple[Tensor, ...]]:
    inputs = given(batch)
    slope = torch.randn(batch, HEADS, SIDE, SIDE, FEATURES)

    def step() -> tuple[Tensor, ...]:
        read = attend(*inputs)
        return read.detach(), *torch.autograd.grad(read, inputs, slope)

    return step


def same(steps: dict[str, Callable[[], tuple[Tensor, ...]]]) -> None:
    """Raise unless all forms give the same outputs and gradients."""
    expected = steps["saccade"]()
    for name, step in steps.items():
        for one, other in zip(step(), expected, strict=True):
            assert (one - other).norm() < 1e-4 * other.norm(), f"{name} differs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--peak", choices=[*FORMS, "nothing"], help="print the peak memory of one form alone")
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak:
        if options.peak != "nothing":
            both_passes(FORMS[options.peak], options.batch)()
        else:
            both_passes(ours, options.batch)
        print(own_peak())
        return
    steps = {name: both_passes(attend, options.batch) for name, attend in FORMS.items()}
    same(steps)
    seconds = alternate({**steps, **matrix_products()}, options.rounds, clock=time.process_time)
    operations = 3 * 2 * (2 * WINDOW**2 * FEATURES) * options.batch * HEADS * SIDE**2
    peaks = {
        name: peak_memory(sys.argv[0], ["--peak", name, "--batch", str(options.batch)]) for name in ("nothing", *FORMS)
    }
    memory = {name: peaks[name] - peaks["nothing"] for name in FORMS}
    fastest = min(list(FORMS)[1:], key=lambda name: statistics.median(seconds[name]))
    least = min(list(FORMS)[1:], key=lambda name: memory[name])
    result: dict[str, Any] = {
        "milliseconds": {name: round(1000 * statistics.median(seconds[name]), 1) for name in FORMS},
        "times": round(ratio(seconds[fastest], seconds["saccade"]), 1),
        "beside": fastest,
        "peak MB": {name: round(value, 1) for name, value in memory.items()},
        "share of memory": round(memory["saccade"] / memory[least], 3),
        "share of the floor": shares(operations, seconds, "saccade"),
        "GFLOP/s": gflop_per_second(seconds),
    }
    print(json.dumps(result, indent=1))
    size = f"{SIDE} x {SIDE}, window {WINDOW} x {WINDOW}, {HEADS} heads of {FEATURES}, batch {options.batch}"
    summary = {
        f"local attention, {size}, forward and backward, beside the unfolded form": f"{result['times']} x",
        "its peak memory, beside the unfolded form": f"{result['share of memory']:.1%}",
        "its share of the floor": percentages(result["share of the floor"]),
    }
    if options.write:
        print(evidence("local_attention", summary, result))


if __name__ == "__main__":
    main()
