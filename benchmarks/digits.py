"""Count the images of digits that one core makes in a second, for each kind, beside a loop over single images.

    python benchmarks/digits.py

Batches of 128 images in one thread, through `DigitsTask.collate`, as in training; the time is the processor time of the
process, so that other processes on the machine matter little. The loop makes cluttered images of 60 x 60 one by one
with numpy, as the generators in use do, and draws its random numbers from numpy's generator. The copy is that of as
many floats as the images have, the least that any generator must do.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from measure import evidence

from saccade.tasks.digits import DigitsConfig, DigitsTask
from saccade.tasks.digits.kinds import (
    Binarised,
    Cluttered,
    Elastic,
    Kind,
    Plain,
    Projective,
    Rotated,
    RotatedTranslatedScaled,
    Translated,
    TwoDigits,
)
from saccade.tasks.digits.mnist import SIDE, embedded

BATCH, SECONDS = 128, 0.2
KINDS: tuple[Any, ...] = (
    Cluttered(), Cluttered(size=100, pieces=8), Translated(), TwoDigits(), Plain(), Rotated(),
    RotatedTranslatedScaled(), Projective(), Elastic(), Binarised(pixels="dynamic"),
)  # fmt: skip
CLUTTERED, LOOP, COPY = "cluttered, 60 x 60", "cluttered, 60 x 60, a loop over images", "copy of 60 x 60 floats"


def rate(make: Callable[[], object]) -> float:
    """Images a second of the processor."""
    begun, made = time.process_time(), 0
    while (spent := time.process_time() - begun) < SECONDS:
        make()
        made += BATCH
    return made / spent


def ours(kind: Kind) -> Callable[[], object]:
    task = DigitsTask(DigitsConfig(kind=kind))  # type: ignore[arg-type]
    examples, epochs = task.examples("train"), iter(range(10**9))

    def make() -> object:
        rows = [example.row for example in examples[:BATCH]]
        return task.collate(task.drawn("train", rows, next(epochs)))

    return make


def loop() -> Callable[[], object]:
    """Cluttered images, one after the other."""
    digits, kind = embedded()["train"].images.numpy() / np.float32(255), Cluttered()
    generator = np.random.default_rng(1)

    def make() -> object:
        made = np.zeros((BATCH, kind.size, kind.size), np.float32)
        for row, image in enumerate(made):
            top, left = generator.integers(kind.size - SIDE + 1, size=2)
            image[top : top + SIDE, left : left + SIDE] += digits[row]
            for _ in range(kind.pieces):
                other = digits[generator.integers(len(digits))]
                y, x = generator.integers(SIDE - kind.piece + 1, size=2)
                top, left = generator.integers(kind.size - kind.piece + 1, size=2)
                piece = other[y : y + kind.piece, x : x + kind.piece]
                image[top : top + kind.piece, left : left + kind.piece] += piece
            np.minimum(image, 1, out=image)
        return torch.from_numpy(made)

    return make


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    forms: dict[str, Callable[[], object]] = {f"{kind.name}, {kind.size} x {kind.size}": ours(kind) for kind in KINDS}
    source, target = torch.rand(BATCH, 60, 60), torch.empty(BATCH, 60, 60)
    forms |= {LOOP: loop(), COPY: lambda: target.copy_(source)}
    for form in forms.values():
        form()
    rates: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(options.rounds):  # in turn, so that a drift of the machine's speed affects all
        for name, form in forms.items():
            rates[name].append(rate(form))
    medians = {name: round(statistics.median(found)) for name, found in rates.items()}
    faster = statistics.median(a / b for a, b in zip(rates[CLUTTERED], rates[LOOP], strict=True))
    result = {"batch": BATCH, "images_per_second": medians, "times_the_loop": round(faster, 2)}
    print(json.dumps(result, indent=1))
    if options.write:
        summary = {name: f"{found:,} images a second" for name, found in medians.items()}
        print(evidence("digits", summary | {"faster than the loop": f"{faster:.1f} times"}, result))


if __name__ == "__main__":
    main()
