from typing import Any

import torch

from saccade.tasks.captions import CaptionsConfig, CaptionsTask, Example
from saccade.tasks.captions.stream import CaptionStream


def make(alone: int = 0, texts: tuple[str, ...] = ()) -> CaptionStream:
    task: Any = CaptionsTask(CaptionsConfig(scenes=20, judged=2, size=16))
    task.__dict__["texts"] = [Example("texts", row, (text,), (4, 5)) for row, text in enumerate(texts)]
    return CaptionStream(task, batch_size=7, window=1000, seed=1, alone=alone)


def test_an_epoch_has_each_caption_once_in_batches_of_like_length() -> None:
    stream, seen, gaps = make(), 0, []
    for number in range(15):
        batch = stream.share(number).batch
        lengths = batch.mask.sum(1)
        seen += len(lengths)
        gaps.append(int(lengths.max() - lengths.min()))
    assert seen == 100
    assert sum(gaps) / len(gaps) < 2


def test_captions_without_images_come_first() -> None:
    stream = make(3, ("a cross", "a square"))
    for number in range(5):
        batch = stream.share(number).batch
        assert (len(batch.pixels) == 0) == (number < 3)
    assert torch.equal(stream.share(3).batch.tokens, make().share(0).batch.tokens)
    assert len(make(3).share(0).batch.pixels)  # there are none
