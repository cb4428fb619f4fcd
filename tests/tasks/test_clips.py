"""Clips: what is drawn, what is said of it, what is judged; GIF files."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.task import Answered, Learning, Legible, Readable, Replaying, Task
from saccade.tasks.captions import ClipsConfig, ClipsTask, Said, clips, grammar, scenes
from saccade.tasks.captions.clip_file import gif, read_clip
from saccade.tasks.captions.clips import Event, right, spans

Image = pytest.importorskip("PIL.Image")
OWN = (Event("red", "cross", "left", range(4)), Event("blue", "circle", "up", range(4, 10)))


@pytest.fixture(scope="module")
def task() -> ClipsTask:
    return ClipsTask(ClipsConfig(clips=40, judged=12))


class TestSentences:
    @pytest.mark.parametrize(
        ("caption", "count"),
        [
            ("a red cross moves left and a blue circle goes up", 2),
            ("a blue circle moves up and a red cross moves left", 2),
            ("a red cross moves right and a blue circle moves up", 1),
            ("a red cross moves left and a red cross moves left", 1),
            ("a red cross moves up and a blue circle moves left", 0),
            ("a blue cross moves left and a red circle moves up", 0),
            ("a red cross moves left", 0),
            ("a red cross moves left and a blue circle moves", 0),
            ("", 0),
        ],
    )
    def test_how_many_events_are_right(self, caption: str, count: int) -> None:
        assert right(caption, OWN) == count

    def test_the_frames_of_the_words_of_an_event(self) -> None:
        first, second = range(4), range(4, 10)
        found = spans("a blue circle moves down and a red cross goes left", OWN)
        assert found == [None, second, second, None, second, None, None, first, first, None, first]
        assert spans("a blue cross moves down and a red cross goes left", OWN)[:6] == [None] * 6
        assert spans("a red cross", OWN) == [None] * 3


class TestDrawing:
    keys = scenes.keys_of_scenes(1, "train", range(300))
    drawn = clips.drawn(keys)
    events = clips.events(drawn)
    frames = clips.images(keys, drawn)

    def test_two_different_shapes_one_after_the_other(self) -> None:
        for first, second in self.events:
            assert (first.colour, first.form) != (second.colour, second.form)
            assert first.frames.start == 0
            assert first.frames.stop == second.frames.start
            assert min(len(first.frames), len(second.frames)) >= clips.LEAST
            assert clips.FEWEST <= second.frames.stop <= clips.MOST

    def test_the_shape_of_each_frame_moves_as_it_is_said(self) -> None:
        for own, frames in zip(self.events[:80], self.frames.float(), strict=False):
            places = []
            for frame in frames[: own[1].frames.stop]:
                ink = (frame - frame.flatten(1).median(1).values[:, None, None]).abs().amax(0) > 8
                rows, columns = (ink.any(axis).nonzero().flatten() for axis in (1, 0))
                assert 9 <= len(rows) <= 13, "the whole shape is inside"
                assert 9 <= len(columns) <= 13
                places.append((int(rows[0]), int(columns[0])))
            for event in own:
                move = tuple(
                    clips.STEP * part for part in clips.MOVES[clips.DIRECTIONS.index(event.direction)].tolist()
                )
                for frame in event.frames[1:]:
                    assert tuple(b - a for a, b in zip(places[frame - 1], places[frame], strict=True)) == move
                colour = frames[event.frames.start].flatten(1)
                wanted = scenes.RGB[grammar.COLOURS.index(event.colour)]
                assert ((colour - wanted[:, None]).abs().amax(0) <= scenes.VARIATION).sum() >= 16

    def test_all_captions_are_true_and_tell_both_orders(self) -> None:
        found = clips.captions(self.keys, self.events)
        first = [right(caption, own) == 2 and caption.split()[1:3] == [own[0].colour, own[0].form]
                 for five, own in zip(found, self.events, strict=True) for caption in five]  # fmt: skip
        assert all(right(caption, own) == 2 for five, own in zip(found, self.events, strict=True) for caption in five)
        assert 0.4 < sum(first) / len(first) < 0.6

    def test_a_clip_is_a_function_of_seed_split_and_row(self) -> None:
        some = scenes.keys_of_scenes(1, "train", [5, 250])
        again = clips.drawn(some)
        assert clips.events(again) == [self.events[5], self.events[250]]
        images = clips.images(some, again)
        assert torch.equal(images, self.frames[[5, 250], : images.shape[1]])


class TestTask:
    def test_it_is_a_task_with_these_abilities(self, task: ClipsTask) -> None:
        for ability in (Task, Learning, Legible, Readable, Answered, Replaying):
            assert isinstance(task, ability)

    def test_a_batch(self, task: ClipsTask) -> None:
        examples = task.examples("train")[::7]
        batch = task.collate(examples, torch.Generator())
        assert batch.frames.shape[:2] == batch.frame_mask.shape
        assert not batch.frames[~batch.frame_mask].any()
        assert batch.frames[batch.frame_mask].any(-1).all()
        assert batch.references.shape[:2] == (len(examples), 0)
        for row, example in enumerate(examples):
            assert int(batch.frame_mask[row].sum()) == task.happenings["train"][example.row][1].frames.stop
        assert task.collate(task.examples("test")[:2]).references.shape[:2] == (2, 5)

    def test_a_users_clip_goes_the_way_of_the_others(self, task: ClipsTask) -> None:
        example = task.read(task.examples_to_type(2)[1])
        ours = task.collate(task.examples("test")[1:2])
        assert torch.equal(task.collate([example]).frames, ours.frames)
        assert task.spans(example, task.examples("test")[1].symbols) == [None] * 11
        both = task.collate([example, task.examples("test")[0]])
        assert torch.equal(both.frames[0, : ours.frames.shape[1]], ours.frames[0])

    def test_scores(self, task: ClipsTask) -> None:
        examples = task.examples("test")
        figures = task.score([task.answer(example) for example in examples], examples).figures
        assert figures["true"].value == figures["events_right"].value == figures["person_true"].value == 100
        wrong = task.score([Said(()) for _ in examples], examples).figures
        assert wrong["true"].value == wrong["events_right"].value == wrong["meteor"].value == 0

    def test_the_nearest_clip(self, task: ClipsTask) -> None:
        """A training clip, judged, is the nearest to itself."""
        known = task.examples("train")[:45:5]
        copies = task.copies(known)
        assert task.known.shape == (task.config.clips, copies.shape[1])
        assert torch.equal(copies, task.known[:9])
        nearest = task.score([task.answer(one) for one in known], known).figures["nearest_true"]
        assert (nearest.value, nearest.name) == (100, "captions true of the nearest training example's caption")

    def test_what_was_learned_is_kept(self, task: ClipsTask, tmp_path: Path) -> None:
        task.save(tmp_path)
        again = ClipsTask(task.config, tmp_path)
        assert (again.words, again.constant) == (task.words, task.constant)
        again.check_trained(task.config)
        with pytest.raises(InvalidInput, match="no split 'dev'"):
            again.examples("dev")


class TestFiles:
    frames = torch.randint(0, 256, (5, 3, 20, 30), dtype=torch.uint8)

    def test_a_gif_of_any_size(self) -> None:
        found = read_clip(gif(self.frames), 32, 26)
        assert found.frames.shape == (5, 3, 32, 32)
        assert found.notes == ()

    def test_of_too_many_frames_some_that_lie_evenly(self) -> None:
        shades = torch.arange(0, 200, 10, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 8, 8)
        found = read_clip(gif(shades), 8, 3)
        assert found.frames[:, 0, 0, 0].tolist() == [0, 100, 190]
        assert found.notes == ("3 of 20 frames",)

    def test_one_frame(self) -> None:
        with io.BytesIO() as file:
            Image.new("RGB", (9, 9)).save(file, "PNG")
            found = read_clip(file.getvalue(), 32, 26)
        assert found.frames.shape == (1, 3, 32, 32)
        assert found.notes == ("a clip of one frame, in which nothing moves",)

    def test_no_clip(self, tmp_path: Path) -> None:
        whole = gif(self.frames)
        for name, data in (("text.gif", b"no clip"), ("cut.gif", whole[: len(whole) // 3])):
            (tmp_path / name).write_bytes(data)
            with pytest.raises(InvalidInput, match=f"{name} is"):
                read_clip(str(tmp_path / name), 32, 26)
        with pytest.raises(NotFound, match=r"gone.gif'?: there is no such image"):
            read_clip(str(tmp_path / "gone.gif"), 32, 26)


def test_every_picture_of_a_clip_is_checked_and_upright(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = Image.new("RGB", (8, 8)), Image.new("RGB", (60, 50))
    with io.BytesIO() as file:
        small.save(file, "TIFF", save_all=True, append_images=[large])
        pages = file.getvalue()
    assert len(read_clip(pages, 8, 5).frames) == 2
    monkeypatch.setattr("saccade.tasks.captions.clip_file.PIXELS", 1000)
    with pytest.raises(InvalidInput, match="the clip has a picture of more than 1,000 pixels: make it smaller"):
        read_clip(pages, 8, 5)
    turned = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8).repeat(3).reshape(8, 8, 3))
    exif = turned.getexif()
    exif[0x0112] = 3  # upside down
    with io.BytesIO() as file:
        turned.save(file, "PNG", exif=exif)
        found = read_clip(file.getvalue(), 8, 5).frames[0, 0]
    assert torch.equal(found, torch.arange(64, dtype=torch.uint8).flip(0).view(8, 8))
