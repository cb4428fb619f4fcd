"""What captions reach without a model: those of a person, the best constant caption, those of the nearest image."""

import math
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from saccade.tasks.metrics import cider_d, grams

LEARNED, CANDIDATES, JUDGED = 500, 10, 200  # images that words are counted in; captions judged; by how many images
THUMB = 8  # rows and columns of the images that are compared
COMPARED = 2000  # the most training images
CHUNK = 256


def best_constant(captions: Sequence[Sequence[str]]) -> str:
    """The training caption that is most like the captions of all training images, by CIDEr-D.

    Ten candidates, which have the largest mean product with the others' n-gram vectors, are judged on 200 images.
    """
    some = captions[:LEARNED]
    counted = [[grams(one) for one in own] for own in some]
    images: Counter[tuple[str, ...]] = Counter()
    for own in counted:
        images.update({gram for orders in own for order in orders for gram in order})
    most = math.log(len(some)) if len(some) > 1 else 1.0
    weights = {gram: most - math.log(count) for gram, count in images.items()}
    vectors: dict[str, list[dict[tuple[str, ...], float]]] = {}
    mean: list[Counter[tuple[str, ...]]] = [Counter() for _ in range(4)]
    for texts, own in zip(some, counted, strict=True):
        for text, orders in zip(texts, own, strict=True):
            found = [unit({gram: count * weights[gram] for gram, count in order.items()}) for order in orders]
            vectors[text] = found
            for total, vector in zip(mean, found, strict=True):
                total.update(vector)
    near = {
        text: sum(
            value * total[gram] for total, vector in zip(mean, own, strict=True) for gram, value in vector.items()
        )
        for text, own in vectors.items()
    }
    candidates = sorted(near, key=lambda text: (-near[text], text))[:CANDIDATES]
    judges = captions[:JUDGED]
    return max(candidates, key=lambda text: cider_d([text] * len(judges), judges)[0])


def unit(vector: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    norm = math.sqrt(sum(value * value for value in vector.values()))
    return {gram: value / norm for gram, value in vector.items()} if norm else {}


def thumbnails(
    pixels: Callable[[Sequence[int]], UInt8[Tensor, "b 3 y x"]], rows: Sequence[int]
) -> Float[Tensor, "n d"]:
    """Small copies of images, as vectors."""
    parts = [
        F.interpolate(pixels(rows[first : first + CHUNK]).float(), (THUMB, THUMB), mode="area").flatten(1)
        for first in range(0, len(rows), CHUNK)
    ]
    return torch.cat(parts)


def nearest(queries: Float[Tensor, "q d"], keys: Float[Tensor, "k d"]) -> list[int]:
    """For each query the key at the least distance."""
    found: list[int] = torch.cdist(queries, keys).argmin(1).tolist()
    return found
