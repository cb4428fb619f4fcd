"""Attention over an image for each word; the path of glimpses; and the steps of a drawing."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from saccade.core.errors import InvalidInput, require
from saccade.explain.plots.arrays import checked, named, read
from saccade.explain.plots.canvas import Figure, Weights, colour_bar, colours, fit, our_style, page, write_title
from saccade.explain.plots.charts import COLOURS
from saccade.explain.plots.tokens import NARROWEST, broken, short_labels

FEW, DOTS = 24, 200  # the most images that are drawn large; dots per inch, as in `save`
GREY_OF = (0.299, 0.587, 0.114)  # brightness of red, green and blue; ITU-R BT.601
PATH = COLOURS[2]  # of glimpses
PALEST = 0.5  # grey level of an image's black, so that it is not mistaken for a weight


def over_image(
    image: Weights, weights: Weights, words: Sequence[str], title: str = "", values: str = "attention weight"
) -> Figure:
    """For each word the image in grey, overlaid with its smoothly enlarged weights; figure 3 of Xu et al. 2015.

    White is 0 and dark blue the largest weight of all words; up to about twenty words are readable.

    Args:
        image: (y, x), or in colour (3, y, x) or (y, x, 3); from 0 to 1, or to 255 where any value is above 1.
        weights: (n, rows, columns), a map for each word, covering the whole image.
        words: in the form of `labels`.
        values: the name of the weights.

    Raises:
        InvalidInput: the wrong shape, no words, a number that is not finite, or a weight below 0.
    """
    found = checked(weights, f"{len(words)} rows columns", "weights", 0.0)
    shades = grey_of(pixels_of(image))
    inch = (1.5 if len(words) <= FEW else 0.8) / max(shades.shape)  # fractions of a pixel
    high, wide = (max(1, round(DOTS * inch * size)) for size in shades.shape)
    smaller = max(shades.shape) > max(high, wide)
    shades = resized(shades[None], (high, wide), "bilinear" if smaller else "nearest")[0]
    largest = float(found.max())
    # cubic interpolation may go below 0 and above the word's largest weight
    most = found.max((1, 2), keepdims=True)
    spread = np.clip(resized(found, (high, wide), "bicubic"), 0, most) / (largest or 1.0)
    texts = [broken(text, wide / DOTS) for text in short_labels(words)]
    lines = max(text.count("\n") for text in texts) + 1
    with our_style(title, *words):
        figure = page()
        tiles = _tiles(figure, len(texts), (wide / DOTS, high / DOTS), 0.12 + 0.16 * lines)
        for axes, text, weight in zip(tiles, texts, spread, strict=True):
            # white in the image shows the pure colour of the scale
            laid = (PALEST + (1 - PALEST) * shades[..., None]) * colours()(weight)[..., :3]
            axes.imshow(laid, aspect="auto", interpolation="nearest")
            name_above(axes, text)
        normal = require("matplotlib.colors", "app").Normalize(0, largest or 1.0)
        mappable = require("matplotlib.cm", "app").ScalarMappable(normal, colours())
        # beside the last image of the first row
        colour_bar(max(tiles, key=lambda axes: axes.get_position().corners()[2].tolist()), mappable, values)
        _entitle(figure, title, pad=12 + 12 * lines)
        return fit(figure)


def brightness(image: Weights) -> Any:
    """An image (y, x), (c, y, x) or (y, x, c) with 1 or 3 channels as grey (y, x) from 0 to 1.

    Values from 0 to 1 are unchanged; integers up to 255 are divided by 255; other values are scaled so that the
    smallest becomes 0 and the largest 1.

    Raises:
        InvalidInput: another shape, or a number that is not finite.
    """
    return grey_of(pixels_of(stretched(image, "an image (y, x), (c, y, x) or (y, x, c)")))


def stretched(values: Weights, what: str) -> Any:
    """Numbers as pixels from 0 to 1, as in `brightness`.

    Raises:
        InvalidInput: not an array, an empty one, or a number that is not finite.
    """
    found = read(values, what)
    if 0 in found.shape or not np.isfinite(found).all():
        raise InvalidInput(f"expected {what} of finite numbers, not empty; got the shape {found.shape}")
    least, most = float(found.min()), float(found.max())
    if least >= 0 and most <= 1.001:
        return np.minimum(found, 1)
    if least >= 0 and most <= 255 and (found == np.round(found)).all():
        return found / 255
    return (found - least) / ((most - least) or 1.0)


def pixels_of(image: Weights) -> Any:
    """An image (y, x), (3, y, x), (1, y, x) or (y, x, 3) as (y, x) or (y, x, 3), from 0 to 1."""
    found = read(image, "an image (y, x), (c, y, x) or (y, x, c)")
    if found.ndim == 3 and found.shape[-1] not in (1, 3) and found.shape[0] in (1, 3):
        found = np.moveaxis(found, 0, -1)
    if found.ndim not in (2, 3) or 0 in found.shape or (found.ndim == 3 and found.shape[-1] not in (1, 3)):
        raise InvalidInput(f"expected an image (y, x), (c, y, x) or (y, x, c) of 1 or 3 channels; got {found.shape}")
    if not (np.isfinite(found) & (found >= 0) & (found <= 255)).all():
        raise InvalidInput("expected an image with values from 0 to 1, or up to 255")
    found = found[..., 0] if found.ndim == 3 and found.shape[-1] == 1 else found
    return found / 255 if found.max() > 1.001 else np.minimum(found, 1)


def coloured(image: Weights) -> Any:
    """An image in the form of `pixels_of` as (3, y, x), from 0 to 1."""
    pixels = pixels_of(image)
    return np.stack([pixels] * 3) if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def _show(axes: Any, pixels: Any) -> None:
    """Draw an image on axes in pixels."""
    extent = (0, pixels.shape[1], pixels.shape[0], 0)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, aspect="auto", extent=extent, interpolation="nearest")


def grey_of(pixels: Any) -> Any:
    return pixels if pixels.ndim == 2 else pixels @ np.array(GREY_OF)


def resized(maps: Any, size: tuple[int, int], mode: str) -> Any:
    """Maps (n, y, x) resized."""
    more: Any = {} if mode == "nearest" else {"align_corners": False, "antialias": True}
    return F.interpolate(torch.from_numpy(np.ascontiguousarray(maps))[:, None], size, mode=mode, **more)[:, 0].numpy()


def _tiles(figure: Figure, number: int, size: tuple[float, float], above: float, top: float = 0.0) -> list[Any]:
    """A grid of axes without ticks, each with room above it, in inches, the first at this height."""
    wide, high = size
    step = max(wide, NARROWEST) + 0.1
    across = math.ceil(number / math.ceil(number * step / 9.6))
    made = []
    for i in range(number):
        axes = figure.add_axes((i % across * step, top - high - (i // across) * (high + above), wide, high))
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(True)
        made.append(axes)
    return made


def name_above(axes: Any, text: str) -> None:
    """Write a name above an image, below the title of the picture."""
    style = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center", "va": "bottom"}
    axes.annotate(text, (0.5, 1), (0, 3), **style)


def _entitle(figure: Figure, title: str, pad: int) -> None:
    """Write the title over the width of all images."""
    wide = max(axes.get_position().x1 for axes in figure.axes)
    write_title(figure.axes[0], title, pad, narrowest=max(30, int(13 * wide)))


def glimpses(
    image: Weights,
    centres: Weights,
    sizes: Weights,
    title: str = "",
    seen: Weights | None = None,
    labels: Sequence[str] = (),
) -> Figure:
    """An image with its glimpses: boxes, numbered from 1 in order, and the path from each centre to the next; below,
    what each glimpse saw (figure 3 of Mnih et al. 2014). A number is omitted if there is no room for it.

    Args:
        image: (y, x), or in colour (3, y, x) or (y, x, 3); from 0 to 1, or to 255 where any value is above 1.
        centres: (t, 2), x to the right and y down, in pixels; (0, 0) is the corner of the first pixel.
        sizes: sizes of the boxes, in pixels: one number for all, (t,), or (t, scales).
        seen: (t, y, x), or in colour (t, 3, y, x): what the glimpses saw, on the scale of the image.
        labels: names of the glimpses, written above what they saw; by default their numbers.

    Raises:
        InvalidInput: the wrong shape, a number that is not finite, or a size below 0.
    """
    pixels = pixels_of(image)
    path = checked(centres, "t 2", "centres")
    given = read(sizes, "sizes")
    given = np.broadcast_to(given, (len(path), 1)) if given.ndim == 0 else given
    boxes = checked(given[:, None] if given.ndim == 1 else given, f"{len(path)} scales", "sizes", 0.0)
    crops = None if seen is None else _grey_crops(seen, len(path))
    names = named(labels, len(path), "glimpses") if labels else [str(number + 1) for number in range(len(path))]
    high, wide = pixels.shape[:2]
    inch = 3.6 / max(high, wide)
    with our_style(title, *names):
        axes = page().add_axes((0, -high * inch, wide * inch, high * inch))
        _show(axes, grey_of(pixels))
        axes.spines[:].set_visible(True)
        axes.set(xlabel="x (pixels)", ylabel="y (pixels)")
        for (x, y), scales in zip(path, boxes, strict=True):
            for size in scales:
                _box(axes, x - size / 2, y - size / 2, size, size, PATH)
        axes.plot(*path.T, "o-", color=PATH, ms=3.5, lw=1.2, path_effects=_halo(), zorder=3)
        # a box may extend beyond the image
        reach = boxes.max(1, keepdims=True) / 2
        low, far = np.minimum((path - reach).min(0), 0), np.maximum((path + reach).max(0), (wide, high))
        inch = min(inch, 5 / max(far - low))
        if (low < 0).any() or (far > (wide, high)).any():
            low, far = low - 0.25 / inch, far + 0.25 / inch  # room for a number
        axes.set(xlim=(low[0], far[0]), ylim=(far[1], low[1]))
        axes.set_position((0, -inch * (far - low)[1], *(inch * (far - low))))
        _number(axes, path, boxes.min(1), inch)
        write_title(axes, title)
        if crops is not None:
            _lay_below(axes.figure, crops, names, -inch * (far - low)[1])
        return fit(axes.figure)


def _grey_crops(seen: Weights, count: int) -> Any:
    found = read(seen, "seen (t, y, x)")
    found = checked(found, f"{count} c y x" if found.ndim == 4 else f"{count} y x", "seen", 0.0)
    found = _pixels_of_all(found)
    return found if found.ndim == 3 else grey_of(found)


def _lay_below(figure: Figure, crops: Any, names: Sequence[str], top: float) -> None:
    """What each glimpse saw, in rows below the image, whose lower edge is at this height."""
    high, wide = crops.shape[1:]
    small = 1.1 / max(high, wide)
    texts = [broken(name, wide * small) for name in names]
    above = 0.12 + 0.16 * (max(text.count("\n") for text in texts) + 1)
    tiles = _tiles(figure, len(crops), (wide * small, high * small), above, top - above - 0.55)
    for axes, crop, text in zip(tiles, crops, texts, strict=True):
        _show(axes, crop)
        name_above(axes, text)


def _halo() -> list[Any]:
    """An outline, which makes a line visible on any image."""
    effects = require("matplotlib.patheffects", "app")
    return [effects.withStroke(linewidth=2.8, foreground="white")]


def _box(axes: Any, x: float, y: float, wide: float, high: float, colour: str = COLOURS[1], clip: bool = False) -> None:
    style = {"fill": False, "edgecolor": colour, "lw": 1.0, "path_effects": _halo(), "zorder": 2, "clip_on": clip}
    axes.add_patch(require("matplotlib.patches", "app").Rectangle((x, y), wide, high, **style))


def _number(axes: Any, path: Any, sizes: Any, inch: float) -> None:
    """Write each glimpse's number at or near a corner of its smallest box, without overlaps."""
    taken: list[tuple[float, float, float, float]] = []
    (least, most), (bottom, above) = axes.get_xlim(), axes.get_ylim()
    for number, ((x, y), size) in enumerate(zip(path, sizes, strict=True), start=1):
        wide, high = (0.085 * len(str(number)) + 0.05) / inch, 0.15 / inch  # pixels
        near = size / 2
        for away, (right, down) in [(a, d) for a in (0, 1, 2) for d in ((1, -1), (-1, -1), (1, 1), (-1, 1))]:
            left = x + right * (near + away * wide) + (0 if right > 0 else -wide)
            top = y + down * (near + away * high) + (0 if down > 0 else -high)
            place = left, top, left + wide, top + high
            if not (least <= left and place[2] <= most and above <= top and place[3] <= bottom):
                continue
            if all(place[2] <= o[0] or place[0] >= o[2] or place[3] <= o[1] or place[1] >= o[3] for o in taken):
                taken.append(place)
                axes.text(left + wide / 2, top + high / 2, str(number), ha="center", va="center", fontsize=8,
                          weight="bold", color=PATH, path_effects=_halo(), zorder=4)  # fmt: skip
                break


def drawing(
    canvases: Weights,
    boxes: Weights | None = None,
    most: int = 40,
    title: str = "",
    names: Sequence[str] = (),
    inches: float = 0.85,
    lines: Sequence[Weights] = (),
) -> Figure:
    """The steps of a drawing: the canvas after each step, from 1, side by side; figure 7 of Gregor et al. 2015.

    Args:
        canvases: (t, y, x), or (t, c, y, x) of 1 or 3 channels; from 0 to 1, or to 255 where any value is above 1.
        boxes: (t, 4), the box that each step drew in: x and y of a corner, width and height, in pixels, which may be
            negative.
        most: the largest number of steps to draw; if there are more, evenly spaced steps, including the first and the
            last.
        names: names of the canvases; by default "step 1", "2", "3", ...
        inches: the longer side of a canvas.
        lines: lines over each canvas, (lines, points, 2): x and y in pixels; none, or as many as canvases.

    Raises:
        InvalidInput: the wrong shape, a number that is not finite or not from 0 to 255, a `most` below 2.
    """
    found = read(canvases, "canvases (t, y, x)")
    found = checked(found, "t c y x" if found.ndim == 4 else "t y x", "canvases", 0.0)
    placed = None if boxes is None else checked(boxes, f"{len(found)} 4", "boxes")
    if most < 2:
        raise InvalidInput(f"expected at least two steps to draw, got {most}")
    laid = lines_of(lines, len(found))
    texts = (
        named(names, len(found), "canvases") if names else [f"{'' if i else 'step '}{i + 1}" for i in range(len(found))]
    )
    found = _pixels_of_all(found)
    chosen = np.unique(np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int))
    high, wide = found.shape[1:3]
    small = inches / max(high, wide)  # inches per pixel
    with our_style(title, *texts):
        figure = page()
        texts = [broken(text, wide * small) for text in texts] if names else texts
        above = 0.12 + 0.16 * (max(texts[step].count("\n") for step in chosen) + 1)
        for axes, step in zip(_tiles(figure, len(chosen), (wide * small, high * small), above), chosen, strict=True):
            _show(axes, found[step])
            name_above(axes, texts[step])
            if placed is not None:
                x, y, across, down = placed[step]
                _box(axes, x, y, across, down, clip=True)  # it may extend beyond the canvas
            for line in laid[step] if laid else ():
                axes.plot(*line.T, color=COLOURS[1], lw=1.0, path_effects=_halo(), zorder=3)
            axes.set(xlim=(0, wide), ylim=(high, 0))
        _entitle(figure, title, pad=8 + round(72 * (above - 0.09)))
        return fit(figure)


def lines_of(lines: Sequence[Weights], images: int) -> list[Any]:
    """Lines over images: for each image (lines, points, 2), x and y in pixels; none, or as many as images.

    Raises:
        InvalidInput: lines for another number of images, the wrong shape, a number that is not finite.
    """
    if lines and len(lines) != images:
        raise InvalidInput(f"expected lines for each of the {images} images, or none; got {len(lines)}")
    return [checked(one, "lines points 2", "lines") if len(one) else np.zeros((0, 2, 2)) for one in lines]


def _pixels_of_all(found: Any) -> Any:
    """Canvases as (t, y, x) or (t, y, x, 3), from 0 to 1 with one scale."""
    frames, height, width = len(found), found.shape[-2], found.shape[-1]
    if found.ndim == 4:
        found = np.moveaxis(found, 1, -1)
    flat = pixels_of(found.reshape(frames * height, width, *found.shape[3:]))
    return flat.reshape(frames, height, width, *flat.shape[2:])
