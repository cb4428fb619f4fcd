"""The task of actions: clips of moving digits, and the names of their motions."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import groupby
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from saccade.core.errors import InvalidInput
from saccade.core.masks import length_mask
from saccade.core.task import Figure, Score
from saccade.tasks.actions import motions
from saccade.tasks.actions.clip import read, without_order
from saccade.tasks.actions.config import ActionsConfig
from saccade.tasks.actions.motions import MOTIONS, opposite
from saccade.tasks.captions.clip_file import gif
from saccade.tasks.digits.draws import keys_of
from saccade.tasks.digits.mnist import SPLITS, Digits, embedded, read_mnist


class Example(NamedTuple):
    """A clip of a digit of a split, drawn when it is needed; or a user's clip."""

    split: str
    """"train", "validation" or "test"; "" for a user's clip."""
    row: int
    """The digit."""
    backwards: bool
    """Each digit makes two clips: one, and the same backwards."""
    labels: tuple[int, ...]
    """The motion of the clip, or of each frame; () if unknown."""
    epoch: int = 0
    frames: UInt8[Tensor, "f y x"] | None = None
    """A user's clip."""
    notes: tuple[str, ...] = ()


class Batch(NamedTuple):
    frames: Float[Tensor, "b f 1 y x"]
    """From 0, black, to 1."""
    mask: Bool[Tensor, "b f"]
    """True for the frames of each clip."""
    labels: Int[Tensor, "b n"]
    """The motion of the clip (n = 1), or of each frame; -1 if unknown, and after the last frame."""


class Named(NamedTuple):
    """The motions that were named, one for the clip or one for each frame, and the probability of each."""

    labels: tuple[int, ...]
    probabilities: tuple[float, ...]


class ActionsTask:
    """Clips of moving digits. The metric is the share of right names, of clips or of frames, in %.

    The digits of validation and test are not those of training. Every clip of a split also occurs backwards, so who
    does not know the order of the frames has at most 50 % of clips right: both clips of a pair get the same name.
    """

    metric = "accuracy"
    direction: Literal["max"] = "max"
    unit = "%"
    accepts: tuple[str, ...] = ("image/*",)
    classes = MOTIONS

    def __init__(self, config: ActionsConfig) -> None:
        self.config = config
        self._examples: dict[str, list[Example]] = {}

    @cached_property
    def digits(self) -> dict[str, Digits]:
        """The digits of each split."""
        config = self.config
        found = embedded() if config.folder is None else read_mnist(config.folder)
        most = {"train": config.digits, "validation": config.judged, "test": config.judged}
        return {split: digits.part(slice(most[split])) for split, digits in found.items()}

    def examples(self, split: str) -> Sequence[Example]:
        """Two clips of each digit, the second one backwards."""
        if split not in SPLITS:
            raise InvalidInput(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
        if split not in self._examples:
            rows = range(len(self.digits[split].labels))
            both = [Example(split, row, back, ()) for row in rows for back in (False, True)]
            self._examples[split] = self._labelled(both)
        return self._examples[split]

    def _drawn(self, examples: Sequence[Example]) -> motions.Drawn:
        splits, rows, epochs = zip(*((SPLITS.index(one.split), one.row, one.epoch) for one in examples), strict=True)
        keys = keys_of(self.config.draw, splits, rows, epochs)
        return motions.drawn(keys, self.config.frames, changes=self.config.labels == "frame")

    def _labelled(self, examples: Sequence[Example]) -> list[Example]:
        """The examples with their labels."""
        forwards = self._drawn(examples).motions
        back = torch.tensor([one.backwards for one in examples])[:, None]
        found = torch.where(back, motions.backwards(forwards), forwards)
        labels = motions.of_frames(found) if self.config.labels == "frame" else found[:, :1]
        return [one._replace(labels=tuple(own)) for one, own in zip(examples, labels.tolist(), strict=True)]

    def collate(self, examples: Sequence[Example], generator: torch.Generator | None = None) -> Batch:
        """Clips are drawn here; with a generator, that is, in training, their motions are drawn anew."""
        if generator is not None:
            epoch = int(torch.randint(1, 2**62, (), generator=generator))
            examples = self._labelled([one._replace(epoch=epoch) for one in examples])
        clips = self.frames(examples)
        if self.config.order == "hidden":
            clips = [without_order(clip) for clip in clips]
        frames = pad_sequence(clips, True)
        mask = length_mask(torch.tensor([len(clip) for clip in clips]), frames.shape[1])
        unknown = [-1] * (frames.shape[1] if self.config.labels == "frame" else 1)
        labels = [torch.tensor(one.labels or unknown) for one in examples]
        return Batch(frames[:, :, None] / 255, mask, pad_sequence(labels, True, -1))

    def frames(self, examples: Sequence[Example]) -> list[UInt8[Tensor, "f y x"]]:
        """The frames of each clip in their order."""
        found: list[Any] = [one.frames for one in examples]
        for split in SPLITS:
            places = [place for place, one in enumerate(examples) if one.split == split]
            if places:
                own = [examples[place] for place in places]
                digits = self.digits[split].images[[one.row for one in own]]
                for place, one, clip in zip(places, own, motions.pictures(digits, self._drawn(own).poses), strict=True):
                    found[place] = clip.flip(0) if one.backwards else clip
        return found

    def score(self, predictions: Sequence[Named], examples: Sequence[Example]) -> Score:
        """The share of right names; of clips also that of reversed clips that got the opposite name."""
        pairs = [(ours, right) for one, example in zip(predictions, examples, strict=True)
                 for ours, right in zip(one.labels, example.labels, strict=True)]  # fmt: skip
        most = Counter(right for _, right in pairs).most_common(1)[0][1]
        per_frame = self.config.labels == "frame"
        figures = {
            "accuracy": Figure(100 * sum(ours == right for ours, right in pairs) / len(pairs), "%",
                               "frames named rightly" if per_frame else "accuracy", len(pairs) // len(examples)),
            "majority": Figure(100 * most / len(pairs), "%", "accuracy of the most frequent motion"),
            "clips": Figure(len(examples)),
        }  # fmt: skip
        if per_frame:
            whole = sum(one.labels == example.labels for one, example in zip(predictions, examples, strict=True))
            figures["whole"] = Figure(100 * whole / len(examples), "%", "clips with all frames named rightly")
        elif (found := reversals(predictions, examples)) is not None:
            figures["opposite"] = found
        return Score(figures)

    def describe(self) -> dict[str, Any]:
        digest = hashlib.sha256(repr([self.examples(split) for split in SPLITS]).encode())
        for split in SPLITS:
            for frames in self.frames(self.examples(split)[:64]):
                digest.update(frames.contiguous().numpy().tobytes())
        named = "a name for each frame" if self.config.labels == "frame" else "one name"
        return {
            "data": f"clips of moving digits, {named}",
            "clips": {split: len(self.examples(split)) for split in SPLITS},
            "sha256": digest.hexdigest(),
        }

    def read(self, raw: str | bytes) -> Example:
        """Make an example from the path or the bytes of an animated GIF.

        Raises:
            NotFound: no such file.
            InvalidInput: as for `clip.read`.
        """
        frames, notes = read(raw, self.config.frames)
        return Example("", 0, False, (), 0, frames, notes)

    def notes(self, example: Example) -> list[str]:
        return list(example.notes)

    def examples_to_type(self, count: int) -> list[str | bytes]:
        """The bytes of GIF files."""
        chosen = self.examples("test")[: 2 * count : 2]
        return [gif(clip[:, None].expand(-1, 3, -1, -1)) for clip in self.frames(chosen)]

    def decode(self, prediction: Named) -> str:
        """The name and its probability; of frames the names one after the other, with the numbers of their frames."""
        if self.config.labels == "clip":
            return f"{MOTIONS[prediction.labels[0]]} ({prediction.probabilities[0]:.2f})"
        return named_in_turn(prediction.labels)

    def compare(self, example: Example, prediction: Named) -> Mapping[str, str]:
        texts = {"ours": self.decode(prediction)}
        if not example.labels:
            return texts
        per_frame = self.config.labels == "frame"
        return texts | {"right": named_in_turn(example.labels) if per_frame else MOTIONS[example.labels[0]]}

    def answer(self, example: Example) -> Named:
        return Named(example.labels, (1.0,) * len(example.labels))


def reversals(predictions: Sequence[Named], examples: Sequence[Example]) -> Figure | None:
    """The share of clips whose run backwards got the opposite name; None without such a pair."""
    by_digit: dict[tuple[str, int], list[int]] = {}
    for one, example in zip(predictions, examples, strict=True):
        by_digit.setdefault((example.split, example.row), []).append(one.labels[0])
    pairs = [own for own in by_digit.values() if len(own) == 2]
    if not pairs:
        return None
    right = sum(one == opposite(other) for one, other in pairs)
    return Figure(100 * right / len(pairs), "%", "reversed clips with the opposite name")


def named_in_turn(labels: Sequence[int]) -> str:
    """Such as "frames 1 to 5: grows; 6 to 10: moves left"."""
    said, place = [], 1
    for label, run in groupby(labels):
        end = place + len(list(run)) - 1
        said.append(f"{place} to {end}: {MOTIONS[label]}" if end > place else f"{place}: {MOTIONS[label]}")
        place = end + 1
    return f"frames {'; '.join(said)}"
