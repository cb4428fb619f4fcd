"""A training step of DRAW with attention, beside a plain port with a matrix product for each image; and its filters.

    python benchmarks/draw_step.py

Ten steps of drawing, 128 images of 28 x 28, 256 cells, patches of 5 x 5: forward, backward, clipping and an update by
Adam. The plain port has the same weights; it divides the filters by their sums, and reads and writes one image at a
time. Its bound and its gradients are compared before anything is timed. Then one read and one write of the grid alone,
without gradients, over N and over the side of the image: beside the time in which the machine copies as many bytes as
are read and written at least (the images, twice), and as many multiplications as the two products have.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from typing import Any

import torch
from measure import alternate, evidence, ratio
from torch import Tensor, nn

from saccade.core.products import install
from saccade.systems.draw.model import Draw, DrawConfig, Drawn, Windowed, Windows, drawn
from saccade.systems.draw.objective import bound, negative_log_likelihood
from saccade.tasks.digits import Batch
from saccade.vision.gaussian_grid import bank_of, grid_of, read, write

SIDE, IMAGES = 28, 128
SIZES, SIDES = (2, 5, 12, 24), (28, 64, 128)
TINIEST = 1e-8  # added to the sums of filters in the plain port


class Plain(nn.Module):
    """The equations one image at a time, with the weights of ours."""

    def __init__(self, ours: Draw) -> None:
        super().__init__()
        self.ours = ours

    def filters(self, outputs: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """F_X, F_Y and gamma of one image."""
        x, y, log_variance, log_stride, log_gamma = outputs
        stride = (SIDE - 1) / (size - 1) * log_stride.exp()
        places, steps = torch.arange(1.0, SIDE + 1), torch.arange(1.0, size + 1) - size / 2 - 0.5
        found = []
        for centre in (x, y):
            means = (SIDE + 1) / 2 * (centre + 1) + steps * stride
            heights = torch.exp(-((places - means[:, None]) ** 2) / (2 * log_variance.exp()))
            found.append(heights / (heights.sum(1, keepdim=True) + TINIEST))
        return found[0], found[1], log_gamma.exp()

    def forward(self, images: Tensor, noise: Tensor) -> Drawn:
        ours, look, rows = self.ours, self.ours.look, range(len(images))
        assert isinstance(look, Windowed)
        canvas, encoder, decoder = ours.start(len(images))
        canvas = canvas.view(-1, SIDE, SIDE)
        means, log_deviations = [], []
        for epsilon in noise.unbind(1):
            error = images - canvas.sigmoid()
            placed, patches = look.read_grid.parameters_of(decoder.hidden), []
            for row in rows:
                across, down, gamma = self.filters(placed[row], look.read_grid.size)
                both = [gamma * (down @ image @ across.T) for image in (images[row], error[row])]
                patches.append(torch.stack(both).flatten())
            read_features = torch.cat([torch.stack(patches), decoder.hidden], 1)
            hidden, encoder = ours.encoder.step(read_features, encoder)
            mean, log_deviation = ours.posterior(hidden).chunk(2, 1)
            hidden, decoder = ours.decoder.step(mean + log_deviation.exp() * epsilon, decoder)
            size, written = look.write_grid.size, []
            placed, patch = look.write_grid.parameters_of(hidden), look.patch(hidden).view(-1, size, size)
            for row in rows:
                across, down, gamma = self.filters(placed[row], size)
                written.append(down.T @ patch[row] @ across / gamma)
            canvas = canvas + torch.stack(written)
            means.append(mean)
            log_deviations.append(log_deviation)
        return drawn(canvas, torch.stack(means, 1), torch.stack(log_deviations, 1), noise)

    @property
    def steps(self) -> int:
        return self.ours.steps

    @property
    def latent_size(self) -> int:
        return self.ours.latent_size


def training_step(model: nn.Module, images: Tensor) -> Callable[[], Tensor]:
    """A whole update on the same images each time."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-6)
    batch = Batch(images[:, None], torch.zeros(len(images), dtype=torch.long))

    def step() -> Tensor:
        optimizer.zero_grad()
        value = bound(model.train(), batch, 0).value
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        return value.detach()

    return step


def same(ours: Draw, plain: Plain) -> None:
    """Raise unless both give the same bound and gradients."""
    images, noise = (torch.rand(3, SIDE, SIDE) > 0.8).float(), torch.randn(3, ours.steps, ours.latent_size)
    weights, slopes = list(ours.parameters()), []
    for model in (ours, plain):
        found = model(images, noise)
        value = (negative_log_likelihood(found.canvas, images) + found.divergence.sum(1)).mean()
        slopes.append([value.detach()[None], *torch.autograd.grad(value, weights)])
    for one, other in zip(*slopes, strict=True):
        assert (one - other).norm() <= 1e-3 * other.norm() + 1e-6, "the forms differ"


def training(batch: int, rounds: int) -> dict[str, Any]:
    torch.manual_seed(0)
    ours = Draw(DrawConfig(mechanism=Windows()), SIDE, SIDE)
    plain = Plain(ours)
    same(ours, plain)
    install(ours)
    images = (torch.rand(batch, SIDE, SIDE) > 0.8).float()
    seconds = alternate({"saccade": training_step(ours, images), "plain": training_step(plain, images)}, rounds)
    median = {form: round(1000 * statistics.median(times), 2) for form, times in seconds.items()}
    return {"milliseconds": median, "times": round(ratio(seconds["plain"], seconds["saccade"]), 2)}


def grid(size: int, side: int, rounds: int) -> dict[str, Any]:
    """One read and one write of a batch, beside a copy of its images into others and back."""
    images, patches, outputs = (
        torch.rand(IMAGES, 1, side, side),
        torch.rand(IMAGES, 1, size, size),
        torch.randn(IMAGES, 5),
    )
    other = torch.empty_like(images)
    side_of = 512
    left, right, out = torch.rand(side_of, side_of), torch.rand(side_of, side_of), torch.empty(side_of, side_of)

    def ours() -> None:
        with torch.inference_mode():
            bank = bank_of(grid_of(outputs, side, side, size), side, side, size)
            read(images, bank)
            write(patches, bank)

    def copy() -> None:
        other.copy_(images)

    seconds = alternate({"grid": ours, "copy": copy, "product": lambda: torch.mm(left, right, out=out)}, rounds)
    multiplications = 2 * IMAGES * size * side * (side + size)
    floors = {
        "copying": ratio(seconds["copy"], seconds["grid"]),
        "multiplying": ratio([multiplications / side_of**3 * one for one in seconds["product"]], seconds["grid"]),
    }
    return {
        "microseconds": round(1e6 * statistics.median(seconds["grid"]), 1),
        "share of its time that the machine needs for": {name: round(share, 3) for name, share in floors.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=IMAGES)
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    found = training(options.batch, options.rounds)
    print("training step", json.dumps(found))
    result: dict[str, Any] = {f"training step, {options.batch} images": found}
    summary = {
        f"training step of DRAW, {options.batch} images, beside a plain port with a product an image": (
            f"{found['times']} x"
        )
    }
    for size, side in [*((size, SIDES[0]) for size in SIZES), *((5, side) for side in SIDES[1:])]:
        name = f"read and write, {size} x {size} filters, {side} x {side} pixels, {IMAGES} images"
        result[name] = grid(size, side, 5 * options.rounds)
        shares = result[name]["share of its time that the machine needs for"]
        summary[name] = (
            f"{result[name]['microseconds']:,.0f} microseconds; copying the images takes {shares['copying']:.0%}, "
            f"multiplying {shares['multiplying']:.0%}"
        )
        print(name, json.dumps(result[name]))
    if options.write:
        print(evidence("draw_step", summary, result))


if __name__ == "__main__":
    main()
