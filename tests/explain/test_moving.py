"""Pictures that are also written as animations."""

from pathlib import Path

import torch

from saccade.core.picture import Moving
from saccade.explain.pictures import kept, load
from saccade.explain.pictures.glimpses import Glimpses
from saccade.explain.pictures.strip import Strip
from saccade.runs.ending import draw

BOXES = [[0, 0, 2, 2], [1, 1, 3, 3], [-1, 0, 2, 5]]


def test_a_strip_moves_if_it_has_a_time(tmp_path: Path) -> None:
    images = torch.rand(3, 5, 5)
    moving, still = Strip("moving", images, BOXES, seconds=0.2), Strip("still", images)
    assert isinstance(moving, Moving)
    assert not isinstance(Glimpses("glimpses", images[0], [[1, 2]], 2), Moving)
    assert [path.name for path in draw([moving, still], tmp_path)] == ["moving.png", "moving.gif", "still.png"]
    assert (tmp_path / "moving.gif").read_bytes().startswith(b"GIF89a")
    assert moving.description().encode() in (tmp_path / "moving.gif").read_bytes()


def test_each_frame_is_one_image_with_its_box_and_the_last_stays() -> None:
    frames = Strip("strip", torch.rand(3, 5, 5), BOXES, labels=["a", "b", "c"], seconds=0.2).frames()
    assert [frame.axes[0].texts[0].get_text() for frame in frames] == ["a", "b", "c", "c", "c", "c"]
    assert all(len(frame.axes) == len(frame.axes[0].patches) == 1 for frame in frames)
    assert [frame.axes[0].patches[0].get_width() for frame in frames[:3]] == [2, 3, 2]
    assert not Strip("strip", torch.rand(3, 5, 5)).frames()[0].axes[0].patches


def test_the_time_is_stored_if_there_is_one() -> None:
    moving, still = (Strip("strip", torch.rand(3, 5, 5), seconds=seconds) for seconds in (0.2, 0.0))
    restored = load(kept(moving))
    assert isinstance(restored, Strip)
    assert restored.seconds == 0.2
    assert "seconds" not in kept(still)
