"""The caption of the training image that is nearest by the features of an encoder: what needs no decoder.

nearest = argmax_j cos(v, v_j),   v = mean over the regions of the encoder's map
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

Known = Callable[[], Iterable[tuple[Tensor, tuple[str, ...], Sequence[tuple[int, ...]]]]]
"""Gives the training images in parts: pixels, keys, and the symbols of a caption of each."""


class NearestCaption:
    """Finds captions of training images; their features are computed once, when the first is asked for.

    Args:
        known: the training images.
    """

    def __init__(self, known: Known) -> None:
        self._known = known
        self._features: Tensor | None = None
        self._symbols: list[tuple[int, ...]] = []

    @torch.no_grad()
    def of(self, encoder: nn.Module, pixels: Float[Tensor, "b 3 y x"], keys: tuple[str, ...]) -> list[tuple[int, ...]]:
        """The captions of the nearest training images.

        Args:
            encoder: a frozen encoder, called with images and their keys; always the same one.
            pixels, keys: the images.
        """
        if self._features is None:
            parts = []
            for images, names, symbols in self._known():
                parts.append(features(encoder(images.to(pixels.device), names)))
                self._symbols += symbols
            self._features = torch.cat(parts)
        best = (features(encoder(pixels, keys)) @ self._features.mT).argmax(1)
        return [self._symbols[row] for row in best.tolist()]


def features(maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c"]:
    """The mean over the regions, of length 1."""
    return F.normalize(maps.float().mean((2, 3)), dim=1)


def nearest_of(nearest: NearestCaption | None, encoder: nn.Module, batch: Any) -> list[tuple[int, ...] | None]:
    """The nearest captions of a batch of images; None where they are not to be scored, since the images have no
    captions or the encoder is trained with the rest."""
    if nearest is None or not batch.references.shape[1]:
        return [None] * len(batch.tokens)
    return [*nearest.of(encoder, batch.pixels, batch.keys)]
