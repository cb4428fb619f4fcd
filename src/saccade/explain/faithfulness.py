"""Whether a heat map shows what the model uses: measures of maps, which need no opinion on how they look.

    Deletion, insertion    the probability of the class while pixels are deleted, or inserted into a blurred image, the
                           most important first, and the area below it           Petsiuk et al. 2018, arXiv:1806.07421
    Average drop           mean of max(0, Y - O) / Y, in %;  Y the probability of the class, O that of the image times
    Increase               the map, scaled to 0..1; share of O > Y, in %  Chattopadhay et al. 2018, arXiv:1710.11063
    Pointing game          share of maps whose largest value is on the object           Zhang et al. 2018,
                                                                            doi:10.1007/s11263-017-1059-x

A good map has a small deletion area, a large insertion area, a small drop and a large increase. All of them feed the
model images unlike those that it was trained on, so they compare maps of one model, and say little across models.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.explain.grids import scaled
from saccade.explain.seen import Targets, called_on, checked, classes_of, undisturbed

Maps = Float[Tensor, "b t v u"]
Baseline = Literal["blur"] | float | Tensor


class Curves(NamedTuple):
    """The probability of each target as pixels change."""

    shares: Float[Tensor, " s"]  # of the pixels that are deleted or inserted
    scores: Float[Tensor, "b t s"]
    areas: Float[Tensor, "b t"]


class Confidence(NamedTuple):
    """What is left of each target's probability where the image is masked by its map."""

    drops: Float[Tensor, "b t"]  # max(0, Y - O) / Y
    rises: Bool[Tensor, "b t"]  # O > Y

    @property
    def average_drop(self) -> float:
        """In %; smaller is better."""
        return 100 * float(self.drops.mean())

    @property
    def increase(self) -> float:
        """In %; larger is better."""
        return 100 * float(self.rises.double().mean())


def deletion(
    model: nn.Module,
    images: Float[Tensor, "b c y x"],
    maps: Maps,
    targets: Targets = None,
    *,
    steps: int = 50,
    baseline: Baseline = 0.0,
    batch_size: int = 32,
) -> Curves:
    """The probability of the targets while the most important pixels are deleted.

    Args:
        model, images, targets: as in `saccade.explain.cam.grad_cam`.
        maps: as it returns; enlarged to the images' size (bilinear). Equal pixels are taken row by row.
        steps: equal parts of the pixels, which are deleted one part after the other; at most one for each pixel.
        baseline: what a deleted pixel becomes: a number, "blur" (see `blurred`), or images.
        batch_size: images at once.

    Raises:
        InvalidInput: images, maps, targets or options as they cannot be.
    """
    return _changed(model, images, maps, targets, steps, baseline, batch_size, deleting=True)


def insertion(
    model: nn.Module,
    images: Float[Tensor, "b c y x"],
    maps: Maps,
    targets: Targets = None,
    *,
    steps: int = 50,
    baseline: Baseline = "blur",
    batch_size: int = 32,
) -> Curves:
    """The probability of the targets while the most important pixels are inserted into a blurred image; arguments as in
    `deletion`."""
    return _changed(model, images, maps, targets, steps, baseline, batch_size, deleting=False)


def confidence(
    model: nn.Module, images: Float[Tensor, "b c y x"], maps: Maps, targets: Targets = None, *, batch_size: int = 32
) -> Confidence:
    """How the probability of the targets changes where the image is multiplied by the map; arguments as in `deletion`.

    Each map is scaled to 0..1; one without contrast leaves nothing of the image.
    """
    _whole("batch_size", batch_size)
    images = checked(images)
    with undisturbed(model), torch.no_grad():
        before, classes = _probabilities(model, images, targets, batch_size)
        masks = scaled(_large(maps, images, classes), maps)
        masked = _scores(model, classes, 1, batch_size, lambda b, t, _: images[b] * masks[b, t, None].to(images))
        after = masked[..., 0]
        return Confidence((before - after).relu() / before.clamp(min=torch.finfo(before.dtype).tiny), after > before)


def hits(maps: Maps, truth: Bool[Tensor, "b Y X"], *, tolerance: float = 0.0) -> Bool[Tensor, "b t"]:
    """The pointing game: whether the largest value of each map is on the object, or near it.

    A map is enlarged to the size of the truth (bilinear); of equal pixels the first counts, row by row. A map without
    contrast points nowhere.

    Args:
        truth: the pixels of the object; of boxes see `of_boxes`.
        tolerance: the distance to the nearest pixel of the object that still counts; the paper has 15 pixels.

    Raises:
        InvalidInput: sizes that do not match, an image without an object, a tolerance below 0.
    """
    _check_maps(maps, len(maps))
    if not isinstance(truth, Tensor) or truth.dtype != torch.bool or truth.ndim != 3 or len(truth) != len(maps):
        raise InvalidInput(f"expected a truth of bool ({len(maps)}, rows, columns), not {_said(truth)}")
    if empty := [number for number, one in enumerate(truth) if not one.any()]:
        raise InvalidInput(f"image {empty[0]} has no pixel that is true, so that nothing can be on it")
    if not tolerance >= 0:
        raise InvalidInput(f"tolerance must be a distance from 0, not {tolerance}")
    large = F.interpolate(maps.double(), truth.shape[-2:], mode="bilinear", align_corners=False).flatten(2)
    places, wide = large.argmax(-1), truth.shape[-1]
    found = maps.amax((-2, -1)) > maps.amin((-2, -1))
    for number, one in enumerate(truth):
        there = one.nonzero().double()
        here = torch.stack([places[number] // wide, places[number] % wide], -1).double()
        found[number] &= torch.cdist(here, there).amin(-1) <= tolerance
    return found


def of_boxes(boxes: Int[Tensor, "b 4"], size: tuple[int, int]) -> Bool[Tensor, "b Y X"]:
    """The pixels in boxes (top, left, bottom, right), the last two excluded, of images (rows, columns).

    Raises:
        InvalidInput: boxes that are empty, or not within the image.
    """
    (high, wide), (top, left, bottom, right) = size, boxes.mT.unbind(0)
    if not bool(
        ((top >= 0) & (top < bottom) & (bottom <= high) & (left >= 0) & (left < right) & (right <= wide)).all()
    ):
        raise InvalidInput(f"expected boxes (batch, 4) of top, left, bottom and right within {high} x {wide} pixels")
    rows, columns = torch.arange(high, device=boxes.device), torch.arange(wide, device=boxes.device)
    down = (rows >= top[:, None]) & (rows < bottom[:, None])
    across = (columns >= left[:, None]) & (columns < right[:, None])
    return down[:, :, None] & across[:, None]


def blurred(images: Float[Tensor, "b c y x"], size: int = 11, sigma: float = 5.0) -> Float[Tensor, "b c y x"]:
    """Images blurred by a Gaussian of `size` x `size` pixels, with the pixels of the border repeated beyond it."""
    places = torch.arange(size, dtype=images.dtype, device=images.device) - (size - 1) / 2
    weights = torch.exp(-(places**2) / (2 * sigma**2))
    weights = (weights / weights.sum()).expand(images.shape[1], 1, 1, -1)
    half = (size - 1) // 2
    padded = F.pad(images, (half, size - 1 - half) * 2, mode="replicate")
    across = F.conv2d(padded, weights, groups=images.shape[1])
    return F.conv2d(across, weights.mT, groups=images.shape[1])


def _changed(
    model: nn.Module, images: Tensor, maps: Tensor, targets: Targets, steps: int, baseline: Baseline, batch_size: int,
    deleting: bool,
) -> Curves:  # fmt: skip
    _whole("steps", steps)
    _whole("batch_size", batch_size)
    images = checked(images)
    blank = _blank(images, baseline)
    pixels = images.shape[-2] * images.shape[-1]
    steps = min(steps, pixels)
    counts = [round(step * pixels / steps) for step in range(steps + 1)]
    with undisturbed(model), torch.no_grad():
        _, classes = _probabilities(model, images, targets, batch_size)
        order = _large(maps, images, classes).flatten(2).argsort(dim=-1, descending=True, stable=True)
        ranks = torch.empty_like(order).scatter_(-1, order, torch.arange(pixels, device=order.device).expand_as(order))
        ranks = ranks.unflatten(-1, images.shape[-2:])

        def image(b: int, t: int, step: int) -> Tensor:
            changed = ranks[b, t] < counts[step]
            return torch.where(changed, blank[b], images[b]) if deleting else torch.where(changed, images[b], blank[b])

        scores = _scores(model, classes, steps + 1, batch_size, image)
    shares = torch.tensor(counts, dtype=scores.dtype, device=scores.device) / pixels
    return Curves(shares, scores, torch.trapezoid(scores, shares))


def _scores(
    model: nn.Module, classes: Tensor, steps: int, batch_size: int, image: Callable[[int, int, int], Tensor]
) -> Float[Tensor, "b t s"]:
    """The targets' probabilities of an image for each image, target and step, made when its batch is due."""
    batch, targets = classes.shape
    every = [(b, t, step) for b in range(batch) for t in range(targets) for step in range(steps)]
    found = []
    for start in range(0, len(every), batch_size):
        part = every[start : start + batch_size]
        chances = called_on(model, torch.stack([image(*place) for place in part])).double().softmax(-1)
        wanted = torch.stack([classes[b, t] for b, t, _ in part])
        found.append(chances.gather(1, wanted[:, None])[:, 0])
    return torch.cat(found).view(batch, targets, steps)


def _probabilities(model: nn.Module, images: Tensor, targets: Targets, batch_size: int) -> tuple[Tensor, Tensor]:
    logits = torch.cat([called_on(model, part) for part in images.split(batch_size)])
    classes = classes_of(targets, logits)
    return logits.double().softmax(-1).gather(1, classes), classes


def _large(maps: Tensor, images: Tensor, classes: Tensor) -> Tensor:
    _check_maps(maps, len(images))
    if maps.shape[1] != classes.shape[1]:
        raise InvalidInput(f"got maps of {maps.shape[1]} targets, {tuple(maps.shape)}, for {classes.shape[1]} targets")
    maps = maps.to(images.device).double()
    return F.interpolate(maps, images.shape[-2:], mode="bilinear", align_corners=False)


def _check_maps(maps: Tensor, count: int) -> None:
    if not isinstance(maps, Tensor) or maps.ndim != 4 or len(maps) != count or not maps.numel():
        raise InvalidInput(f"expected maps (batch, targets, rows, columns) for {count} images, not {_said(maps)}")
    if not maps.isfinite().all():
        raise InvalidInput("expected maps of finite numbers")


def _blank(images: Tensor, baseline: Baseline) -> Tensor:
    if isinstance(baseline, str) and baseline == "blur":
        return blurred(images)
    if isinstance(baseline, int | float) and not isinstance(baseline, bool):
        return torch.full_like(images, baseline)
    if not isinstance(baseline, Tensor):
        raise InvalidInput(f'baseline must be "blur", a number, or images, not {baseline!r}')
    if baseline.shape != images.shape:
        raise InvalidInput(
            f"expected a baseline of the images' shape, {tuple(images.shape)}, not {tuple(baseline.shape)}"
        )
    return baseline.to(images)


def _whole(name: str, number: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise InvalidInput(f"{name} must be a whole number from 1, not {number!r}")


def _said(value: object) -> str:
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
