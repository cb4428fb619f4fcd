"""The caption of the nearest training image by the features of an encoder."""

from typing import NamedTuple

import torch
from torch import Tensor

from saccade.nets.nearest_caption import NearestCaption, nearest_of


class Batch(NamedTuple):
    pixels: Tensor
    keys: tuple[str, ...]
    tokens: Tensor
    references: Tensor


class Encoder(torch.nn.Module):
    """The image itself is its map; counts the images."""

    seen = 0

    def forward(self, pixels: Tensor, keys: tuple[str, ...]) -> Tensor:
        self.seen += len(keys)
        return pixels


def test_the_image_with_the_largest_cosine_whatever_its_brightness() -> None:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(7, 3, 2, 2, generator=generator)
    keys, symbols = tuple("abcdefg"), [(number,) for number in range(7)]
    parts = [(images[:5], keys[:5], symbols[:5]), (images[5:], keys[5:], symbols[5:])]
    found, encoder = NearestCaption(lambda: parts), Encoder()
    queries = 3 * images[[6, 2]] + 0.01 * torch.randn(2, 3, 2, 2, generator=generator)
    means = images.mean((2, 3))
    slow = [
        max(range(7), key=lambda row: float(torch.cosine_similarity(query.mean((1, 2)), means[row], 0)))
        for query in queries
    ]
    assert slow == [6, 2]
    assert found.of(encoder, queries, ("x", "y")) == [(6,), (2,)]
    assert encoder.seen == 7 + 2
    found.of(encoder, queries, ("x", "y"))
    assert encoder.seen == 7 + 2 + 2  # the training images once


def test_only_images_with_captions_are_compared() -> None:
    images, tokens = torch.randn(2, 3, 2, 2), torch.zeros(2, 4, dtype=torch.long)
    without = Batch(images, ("x", "y"), tokens, torch.zeros(2, 0, 4, dtype=torch.long))
    found = NearestCaption(lambda: [(images, ("a", "b"), [(1,), (2,)])])
    assert nearest_of(found, Encoder(), without) == [None, None]
    beside = without._replace(references=torch.zeros(2, 3, 4, dtype=torch.long))
    assert nearest_of(None, Encoder(), beside) == [None, None]
    assert nearest_of(found, Encoder(), beside) == [(1,), (2,)]
