"""Clips of moving digits: motions, pairs of clips, users' clips, scores."""

import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.task import Classifying, Legible, Readable, Task
from saccade.tasks.actions import MOTIONS, ActionsConfig, ActionsTask, Named, motions, opposite
from saccade.tasks.actions.clip import without_order
from saccade.tasks.captions.clip_file import gif
from saccade.tasks.digits.draws import keys_of

Image = pytest.importorskip("PIL.Image")
KEYS = keys_of(1, [0] * 300, range(300), [0] * 300)


def task(**options: Any) -> ActionsTask:
    return ActionsTask(ActionsConfig(**{"digits": 40, "judged": 30, **options}))


def test_it_is_a_task_with_abilities() -> None:
    for ability in (Task, Legible, Readable, Classifying):
        assert isinstance(task(), ability)


class TestMotions:
    def test_each_has_its_opposite(self) -> None:
        named = {MOTIONS[motion]: MOTIONS[opposite(motion)] for motion in range(len(MOTIONS))}
        assert named["moves left"] == "moves right"
        assert named["moves up"] == "moves down"
        assert named["grows"] == "shrinks"
        assert named["turns clockwise"] == "turns counter-clockwise"
        assert all(named[other] == one for one, other in named.items())

    def test_a_pose_changes_only_as_its_motion_says(self) -> None:
        drawn = motions.drawn(KEYS, 10)
        axis = {"moves right": (0, 1), "moves left": (0, -1), "moves down": (1, 1), "moves up": (1, -1),
                "grows": (2, 1), "shrinks": (2, -1), "turns clockwise": (3, -1),
                "turns counter-clockwise": (3, 1)}  # fmt: skip
        for poses, own in zip(drawn.poses, drawn.motions, strict=True):
            assert len(set(own.tolist())) == 1
            place, sign = axis[MOTIONS[int(own[0])]]
            steps = poses.diff(dim=0)
            assert (sign * steps[:, place] > 0).all()
            assert steps[:, place].std() < 1e-9, "even steps"
            assert not steps[:, [other for other in range(4) if other != place]].any()
        assert set(drawn.motions[:, 0].tolist()) == set(range(8))

    def test_the_whole_way_stays_within_the_bounds(self) -> None:
        for changes in (False, True):
            poses = motions.drawn(KEYS, 10, changes=changes).poses[..., :3]
            assert (poses > motions.LEAST[:3] - 1e-6).all()
            assert (poses < motions.MOST[:3] + 1e-6).all()

    def test_the_motion_changes_once_in_the_middle_third(self) -> None:
        found = motions.drawn(KEYS, 10, changes=True)
        cuts = [row.diff().nonzero().flatten().tolist() for row in found.motions]
        assert all(len(own) == 1 for own in cuts)
        assert {own[0] + 1 for own in cuts} == {3, 4, 5, 6}

    def test_the_digit_is_where_its_pose_says(self) -> None:
        """A dot in the middle of the digit lies at (x, y); one beside it shows the size and the angle."""
        digit = torch.zeros(1, 28, 28, dtype=torch.uint8)
        digit[0, 13:15, 13:15] = 255
        poses = torch.tensor([[[10.0, 14.0, 0.0, 0.0], [18.0, 12.0, 0.0, 0.0]]], dtype=torch.float64)
        frames = motions.pictures(digit, poses)[0].double()
        steps = torch.arange(motions.SIDE, dtype=torch.float64)
        for frame, pose in zip(frames, poses[0], strict=True):
            assert float((frame.sum(0) * steps).sum() / frame.sum()) == pytest.approx(float(pose[0]), abs=0.05)
            assert float((frame.sum(1) * steps).sum() / frame.sum()) == pytest.approx(float(pose[1]), abs=0.05)
        beside = torch.zeros(1, 28, 28, dtype=torch.uint8)
        beside[0, 13:15, 21:23] = 255  # 8 pixels to the right of the middle
        for size, angle, wanted in ((0.0, 0.0, (8, 0)), (math.log(0.5), 0.0, (4, 0)), (0.0, -math.pi / 2, (0, 8))):
            pose = torch.tensor([[[15.5, 15.5, size, angle]]], dtype=torch.float64)
            frame = motions.pictures(beside, pose)[0, 0].double()
            x = float((frame.sum(0) * steps).sum() / frame.sum()) - 15.5
            y = float((frame.sum(1) * steps).sum() / frame.sum()) - 15.5
            assert (x, y) == pytest.approx(wanted, abs=0.3), "clockwise is from the right to below"


class TestPairs:
    @pytest.mark.parametrize("labels", ["clip", "frame"])
    def test_every_clip_also_occurs_backwards_with_opposite_names(self, labels: str) -> None:
        made = task(labels=labels)
        for split in ("train", "validation", "test"):
            examples = made.examples(split)
            frames = made.frames(examples)
            for one, other, clip, back in zip(examples[::2], examples[1::2], frames[::2], frames[1::2], strict=True):
                assert torch.equal(back, clip.flip(0))
                assert sorted(set(one.labels)) == sorted({opposite(label) for label in other.labels})
        if labels == "frame":
            one, other = made.examples("test")[:2]
            # the motion to a frame is, backwards, that from it
            assert [opposite(label) for label in one.labels[:0:-1]] == list(other.labels[1:])

    def test_digits_of_test_are_unseen(self) -> None:
        found = {split: {digit.numpy().tobytes() for digit in part.images} for split, part in task().digits.items()}
        assert not found["train"] & found["test"]
        assert [len(found[split]) for split in ("train", "validation", "test")] == [40, 30, 30]

    def test_without_order_a_clip_and_its_reverse_are_one_input(self) -> None:
        made, kept = task(order="hidden"), task()
        examples = made.examples("test")
        frames = made.collate(examples).frames
        assert torch.equal(frames[::2], frames[1::2])
        before = kept.collate(examples).frames
        assert not torch.equal(frames, before)
        assert torch.allclose(frames.sum((1, 2)), before.sum((1, 2))), "the same frames"
        clip = made.frames(examples[:1])[0]
        assert torch.equal(without_order(clip), without_order(clip[torch.randperm(len(clip))]))
        # so whoever names the input has at most half of the clips right
        said = [Named((int(frames[row].sum()) % 8,), (1.0,)) for row in range(len(examples))]
        figures: Any = made.score(said, examples).figures
        assert figures["accuracy"].value <= 50
        assert figures["opposite"].value == 0

    def test_motions_are_drawn_anew_in_training_only(self) -> None:
        made = task()
        examples = made.examples("train")[:8]
        one, other = (made.collate(examples, torch.Generator().manual_seed(seed)) for seed in (1, 2))
        assert not torch.equal(one.frames, other.frames)
        assert not torch.equal(one.labels, other.labels)
        assert torch.equal(one.frames[::2], one.frames[1::2].flip(1))
        assert torch.equal(made.collate(examples).labels[:, 0], torch.tensor([one.labels[0] for one in examples]))


class TestScores:
    def test_accuracy_and_opposite_names(self) -> None:
        made = task()
        examples = made.examples("test")
        right = [made.answer(one) for one in examples]
        figures = made.score(right, examples).figures
        assert figures["accuracy"].value == figures["opposite"].value == 100
        half = [one if row % 2 else one._replace(labels=((one.labels[0] + 2) % 8,)) for row, one in enumerate(right)]
        figures = made.score(half, examples).figures
        assert (figures["accuracy"].value, figures["opposite"].value) == (50, 0)
        assert "opposite" not in made.score(right[:1], examples[:1]).figures

    def test_frames(self) -> None:
        made = task(labels="frame")
        examples = made.examples("test")
        wrong = [made.answer(one) for one in examples]
        wrong[0] = wrong[0]._replace(labels=(opposite(wrong[0].labels[0]), *wrong[0].labels[1:]))
        figures = made.score(wrong, examples).figures
        assert figures["accuracy"].value == pytest.approx(100 - 100 / (10 * len(examples)))
        assert figures["whole"].value == pytest.approx(100 - 100 / len(examples))
        assert figures["accuracy"].over == 10

    def test_answers_are_read(self) -> None:
        assert task().decode(Named((4,), (0.871,))) == "grows (0.87)"
        per_frame = task(labels="frame")
        assert per_frame.decode(Named((4,) * 5 + (1,), (1.0,) * 6)) == "frames 1 to 5: grows; 6: moves left"
        assert set(per_frame.compare(per_frame.examples("test")[0], Named((4,), (1.0,)))) == {"ours", "right"}
        with pytest.raises(InvalidInput, match="no split 'dev'"):
            per_frame.examples("dev")


class TestUsersClips:
    def test_a_clip_goes_the_way_of_the_others(self) -> None:
        made = task()
        raw = made.examples_to_type(2)[1]
        example = made.read(raw)
        assert torch.equal(made.collate([example]).frames, made.collate(made.examples("test")[2:3]).frames)
        assert made.collate([example]).labels.tolist() == [[-1]]
        assert made.notes(example) == []

    def test_dark_ink_and_more_frames(self) -> None:
        clip = torch.full((30, 3, 40, 40), 255, dtype=torch.uint8)
        for number, frame in enumerate(clip):
            frame[:, 10:16, number : number + 6] = 0
        example = task().read(gif(clip))
        assert task().notes(example) == ["10 of 30 frames", "dark ink on a light background: read as white on black"]
        assert example.frames is not None
        assert example.frames.shape == (10, 32, 32)
        assert int(example.frames[0, 0, 31]) == 0
        assert int(example.frames.max()) > 200

    def test_clips_of_other_lengths_are_padded(self) -> None:
        made, frames = task(labels="frame"), torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
        for number, frame in enumerate(frames):
            frame[:, 10:16, 3 * number : 3 * number + 6] = 255
        batch = made.collate([made.read(gif(frames)), made.examples("test")[0]])
        assert batch.mask.sum(1).tolist() == [4, 10]
        assert batch.labels[0].tolist() == [-1] * 10

    def test_bad_clips_are_refused_in_a_sentence(self, tmp_path: Path) -> None:
        with io.BytesIO() as file:
            Image.new("RGB", (9, 9)).save(file, "PNG")
            alone = file.getvalue()
        dot = torch.zeros(3, 3, 16, 16, dtype=torch.uint8)
        dot[:, :, 5:9, 5:9] = 200
        still = gif(torch.cat([dot, dot]))
        blank = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
        blank[1, :, 0, 0] = 3
        for name, raw, why in (
            ("one.png", alone, "has one frame, in which nothing moves"),
            ("text.gif", b"no clip", "is not an image, or is damaged"),
            ("blank.gif", gif(blank), "shows nothing"),
            ("still.gif", still, "one frame, in which nothing moves|nothing moves in"),
        ):
            (tmp_path / name).write_bytes(raw)
            with pytest.raises(InvalidInput, match=why):
                task().read(str(tmp_path / name))
        with pytest.raises(NotFound, match="there is no such image"):
            task().read(str(tmp_path / "none.gif"))
        with pytest.raises(InvalidInput, match=r"expected the path|is not an image"):
            task().read(b"")

    def test_bad_settings_are_refused_in_a_sentence(self, tmp_path: Path) -> None:
        with pytest.raises(ValidationError, match="order is 'hidden', in which a frame has no motion"):
            ActionsConfig(labels="frame", order="hidden")
        with pytest.raises(ValidationError, match="at least 6 frames for two motions, not 5"):
            ActionsConfig(labels="frame", frames=5)
        with pytest.raises(NotFound, match="there is no such folder"):
            task(folder=tmp_path / "none").examples("test")
