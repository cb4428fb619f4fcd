"""Training of the recurrent attention model beside a loop that crops image by image, and its cost against image size.

    python benchmarks/ram.py

The loop is that of the most used port: pad the batch, round each location to a pixel, slice each image, stack, and
average the wider patches. All else is the same: weights, batches, objective, optimizer. At whole pixels both give the
same glimpses, which is checked first. A training step is forward, backward and an update by Adam. Then the time to
read an image is measured against the number of glimpses and the size of the image, beside a convolution of the whole
image. One thread.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from typing import Any

import torch
from measure import alternate, evidence, gflop_per_second, matrix_products, ratio, shares_of_the_floor
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.systems.ram.model import Glimpser, RAMConfig
from saccade.systems.ram.objective import loss
from saccade.tasks.digits import Batch
from saccade.vision.retina import Retina

BATCH = 128
FORMS = {"28 x 28, one scale": (28, RAMConfig()), "60 x 60, three scales": (60, RAMConfig(patch_size=12, scales=3))}
GLIMPSES, SIZES = (1, 2, 4, 6, 8, 12, 16), (28, 60, 100, 200, 400)


class Loop(Retina):
    """Glimpses image by image."""

    def prepare(self, images: Tensor) -> Any:
        return images

    def look(self, prepared: Any, locations: Tensor) -> Tensor:
        size = torch.tensor([prepared.shape[3], prepared.shape[2]])
        found = []
        for window in self.windows():
            padded = F.pad(prepared, (window,) * 4)
            starts = ((locations + 1) / 2 * size - window / 2).round().long().clamp(min=-window) + window
            starts = torch.minimum(starts, size + window)
            crops = [
                image[:, y : y + window, x : x + window] for image, (x, y) in zip(padded, starts.tolist(), strict=True)
            ]
            found.append(F.avg_pool2d(torch.stack(crops), window // self.patch_size))
        return torch.stack(found, 1)


def same(size: int, config: RAMConfig) -> None:
    """Raise unless both give the same glimpses at whole pixels."""
    images = torch.rand(BATCH, 1, size, size)
    locations = 2 * torch.randint(0, size, (BATCH, 2)) / size - 1
    one, other = (kind(config.patch_size, scales=config.scales)(images, locations) for kind in (Retina, Loop))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def training_step(size: int, config: RAMConfig, retina: type[Retina]) -> Callable[[], object]:
    """A whole update on the same images each time."""
    torch.manual_seed(1)
    model = Glimpser(config, 10).train()
    model.retina = retina(config.patch_size, scales=config.scales)
    optimizer = torch.optim.Adam(model.parameters(), 1e-6)
    batch = Batch(torch.rand(BATCH, 1, size, size), torch.arange(BATCH) % 10)

    def step() -> None:
        optimizer.zero_grad()
        loss(model, batch, 0).value.backward()
        optimizer.step()

    return step


def looking(size: int, config: RAMConfig, retina: type[Retina]) -> Callable[[], object]:
    """All glimpses of a batch, without the network."""
    eye = retina(config.patch_size, scales=config.scales)
    images, locations = torch.rand(BATCH, 1, size, size), 2 * torch.rand(config.glimpses, BATCH, 2) - 1

    def look() -> None:
        prepared = eye.prepare(images)
        for each in locations:
            eye.look(prepared, each)

    return look


def operations(config: RAMConfig) -> float:
    """Floating-point operations of a training step in products of matrices; the first layers need no gradient of
    their inputs."""
    seen, part, size, hidden = (
        config.scales * config.patch_size**2, config.part_size, config.glimpse_size, config.hidden_size,
    )  # fmt: skip
    inner = 2 * part * size + size * hidden + hidden**2
    return BATCH * 2 * (config.glimpses * (3 * inner + 2 * (seen + 2) * part) + 3 * 10 * hidden)


def reading(size: int, config: RAMConfig) -> Callable[[], object]:
    model, images = Glimpser(config, 10).eval(), torch.rand(BATCH, 1, size, size)

    def read() -> None:
        with torch.inference_mode():
            model.answer(model(images).hidden[:, -1])

    return read


def convolving(size: int) -> Callable[[], object]:
    """The paper's convolutional twin: eight filters of 10 x 10 at a stride of 5, and 256 units."""
    side = (size - 10) // 5 + 1
    model = nn.Sequential(nn.Conv2d(1, 8, 10, 5), nn.ReLU(), nn.Flatten(), nn.Linear(8 * side**2, 256), nn.ReLU())
    images = torch.rand(BATCH, 1, size, size)

    def read() -> None:
        with torch.inference_mode():
            model(images)

    return read


def per_image(seconds: list[float]) -> float:
    """Microseconds."""
    return round(1e6 * statistics.median(seconds) / BATCH, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    torch.set_num_threads(1)
    summary: dict[str, str] = {}
    result: dict[str, Any] = {"batch": BATCH, "rounds": options.rounds, "training": {}, "cost": {}}
    for name, (size, config) in FORMS.items():
        same(size, config)
        kinds = {"ours": Retina, "loop": Loop}
        forms = {f"step, {kind}": training_step(size, config, retina) for kind, retina in kinds.items()}
        forms |= {f"glimpses, {kind}": looking(size, config, retina) for kind, retina in kinds.items()}
        seconds = alternate({**forms, **matrix_products()}, options.rounds)
        faster = {
            what: round(ratio(seconds[f"{what}, loop"], seconds[f"{what}, ours"]), 2) for what in ("step", "glimpses")
        }
        rates = {form: round(BATCH / statistics.median(seconds[form])) for form in forms}
        result["training"][name] = {
            "images per second": rates, "times as fast": faster, "gflop per second": gflop_per_second(seconds),
            "share of the floor": shares_of_the_floor(operations(config), seconds, "step, ours"),
        }  # fmt: skip
        summary[f"RAM, {name}: training step"] = (
            f"{rates['step, ours']:,} images/s, {faster['step']} x the loop; its glimpses alone {faster['glimpses']} x"
        )
        print(name, json.dumps(result["training"][name]))
    series = {
        "glimpses": {str(count): reading(28, RAMConfig(glimpses=count)) for count in GLIMPSES},
        "size, one scale": {str(size): reading(size, RAMConfig(patch_size=12)) for size in SIZES},
        "size, three scales": {str(size): reading(size, RAMConfig(patch_size=12, scales=3)) for size in SIZES},
        "size, convolution": {str(size): convolving(size) for size in SIZES},
    }
    for name, made in series.items():
        seconds = alternate(made, options.rounds)
        result["cost"][name] = {point: per_image(seconds[point]) for point in made}
        print(name, "microseconds per image", json.dumps(result["cost"][name]))
    for name in ("size, three scales", "size, convolution"):
        costs = result["cost"][name]
        summary[f"reading an image of 400 x 400 over one of 28 x 28, {name.partition(', ')[2]}"] = (
            f"{costs['400'] / costs['28']:.1f} x the time"
        )
    if options.write:
        print(evidence("ram", summary, result))


if __name__ == "__main__":
    main()
