"""The clips task: short clips in which two things happen, and sentences that tell both."""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, UInt8
from pydantic import Field
from torch import Tensor

from saccade.core.config import Seed, config
from saccade.core.errors import InvalidInput
from saccade.core.files import read_record, write_atomically
from saccade.core.task import Score
from saccade.tasks.captions import clips
from saccade.tasks.captions.batch import Said
from saccade.tasks.captions.clip_file import gif, read_clip
from saccade.tasks.captions.clips import Event
from saccade.tasks.captions.config import Scenes
from saccade.tasks.captions.fixed_points import COMPARED, best_constant, nearest, thumbnails
from saccade.tasks.captions.scenes import keys_of_scenes
from saccade.tasks.captions.score import score
from saccade.tasks.captions.sentences import Sentences
from saccade.tasks.captions.source import SPLITS, scaled
from saccade.tasks.captions.words import SPECIAL, Words

FILE = "clips.json"


@config
class ClipsConfig:
    """Clips that are drawn from a seed."""

    clips: Scenes = 4000
    """Training clips, each with five captions."""
    judged: Scenes = 500
    """Validation clips, and test clips."""
    draw: Seed = 1
    """Seed of the clips."""
    most: Annotated[int, Field(ge=1, le=1000)] = 26
    """The most frames of a user's clip; of more, as many that lie evenly are read (Yao et al. 2015: 26)."""

    @property
    def extras(self) -> tuple[str, ...]:
        """The extras that scoring needs."""
        return ("text",)


class ClipExample(NamedTuple):
    """A clip of a split with its captions, drawn when it is needed; or a user's clip."""

    split: str
    """"train", "validation" or "test"; "" for a user's clip."""
    row: int
    references: tuple[str, ...]
    """All of its captions, as words separated by spaces; () if they are unknown."""
    symbols: tuple[int, ...]
    """The caption to write, without start and end: in training each caption is an example, else this is the first."""
    frames: UInt8[Tensor, "f 3 y x"] | None = None
    """A user's clip."""
    notes: tuple[str, ...] = ()
    cut: bool = False
    """As in `batch.Example`."""


class ClipBatch(NamedTuple):
    """Clips and captions; tokens, mask and references are those of `Batch`."""

    frames: Float[Tensor, "b f 3 y x"]
    """(p - 127) / 128 of bytes p; 0 after the last frame of a clip."""
    frame_mask: Bool[Tensor, "b f"]
    """True for the frames of each clip."""
    tokens: Int[Tensor, "b t"]
    mask: Bool[Tensor, "b t"]
    references: Int[Tensor, "b r t"]


class ClipsTask(Sentences):
    """Clips with captions. The metric is the share of captions that tell both events rightly, in %.

    Args:
        config: how many clips are drawn, from which seed.
        assets: a run's folder; its vocabulary is used, and nothing is learned again.
    """

    metric, unit = "true", "%"
    direction: Literal["max"] = "max"
    accepts: tuple[str, ...] = ("image/*",)
    longest_answer = 20
    """The most words that a model may write; a caption has 11."""

    def __init__(self, config: ClipsConfig, assets: Path | None = None) -> None:
        self.config = config
        self._examples: dict[str, list[ClipExample]] = {}
        if assets is None:
            captions = self.captions("train")
            vocabulary = Words.learn((caption for five in captions for caption in five), 1, 10_000)
            self.constant = best_constant(captions)
        else:
            kept = read_record(assets / FILE, "words", "constant")
            vocabulary, self.constant = Words(kept["words"]), kept["constant"]
        super().__init__(vocabulary, self.longest_answer)

    def _keys(self, split: str, rows: Sequence[int] | None = None) -> Any:
        count = self.config.clips if split == "train" else self.config.judged
        return keys_of_scenes(self.config.draw, split, range(count) if rows is None else rows)

    @cached_property
    def happenings(self) -> dict[str, list[tuple[Event, Event]]]:
        """The events of each clip."""
        return {split: clips.events(clips.drawn(self._keys(split))) for split in SPLITS}

    def captions(self, split: str) -> list[tuple[str, ...]]:
        return clips.captions(self._keys(split), self.happenings[split])

    def examples(self, split: str) -> Sequence[ClipExample]:
        """One example for each caption in training, else one for each clip."""
        if split not in SPLITS:
            raise InvalidInput(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
        if split not in self._examples:
            each = slice(None) if split == "train" else slice(1)
            self._examples[split] = [
                ClipExample(split, row, own, self.symbols(caption))
                for row, own in enumerate(self.captions(split)) for caption in own[each]
            ]  # fmt: skip
        return self._examples[split]

    def collate(self, examples: Sequence[ClipExample], generator: Any = None) -> ClipBatch:
        """Clips are drawn here. With a generator, that is, in training, there are no references; nothing is
        augmented."""
        parts = self.frames(examples)
        counts = torch.tensor([len(part) for part in parts])
        frames = torch.zeros(len(parts), int(counts.max()), *parts[0].shape[1:])
        for row, part in enumerate(parts):
            frames[row, : len(part)] = scaled(part)
        return ClipBatch(frames, clips.mask(counts), *self.tokens(examples, judged=generator is None))

    def frames(self, examples: Sequence[ClipExample]) -> list[UInt8[Tensor, "f 3 y x"]]:
        """The frames of each clip, as bytes."""
        found: list[Any] = [example.frames for example in examples]
        for split in SPLITS:
            places = [place for place, example in enumerate(examples) if example.split == split]
            if places:
                keys = self._keys(split, [examples[place].row for place in places])
                drawn = clips.drawn(keys)
                for place, own, count in zip(places, clips.images(keys, drawn), drawn.frames.tolist(), strict=True):
                    found[place] = own[:count]
        return found

    def spans(self, example: ClipExample, symbols: Sequence[int]) -> list[range | None]:
        """For each symbol of a caption the frames of the event that it is about; None for other words, for events that
        are not in the clip, and for a user's clip."""
        caption = " ".join(self.vocabulary.decode(symbols))
        if not example.split:
            return [None] * len(symbols)
        return clips.spans(caption, self.happenings[example.split][example.row])

    def score(self, predictions: Sequence[Said], examples: Sequence[ClipExample]) -> Score:
        texts = [self.decode(prediction) for prediction in predictions]

        own = [self.happenings[example.split][example.row] for example in examples]

        def judge(said: Sequence[str]) -> list[dict[str, float]]:
            found = [clips.right(text, events) for text, events in zip(said, own, strict=True)]
            return [{"true": float(count == 2), "events_right": count / 2} for count in found]

        others = {"constant": [self.constant] * len(texts), "nearest": self._nearest(examples)}
        references = [example.references for example in examples]
        return score(predictions, references, texts, self.vocabulary, others, judge, "english")

    def _nearest(self, examples: Sequence[ClipExample]) -> list[str]:
        """The caption of the nearest training clip."""
        captions = self.captions("train")
        return [captions[row][0] for row in nearest(self.copies(examples), self.known)]

    @cached_property
    def known(self) -> Float[Tensor, "n d"]:
        """Small copies of the first training clips."""
        return self.copies([ClipExample("train", row, (), ()) for row in range(min(COMPARED, self.config.clips))])

    def copies(self, examples: Sequence[ClipExample]) -> Float[Tensor, "n d"]:
        """Small copies of the first frame of each clip, the middle one, and the last."""

        def three(rows: Sequence[int]) -> UInt8[Tensor, "m 3 y x"]:
            found = self.frames([examples[row] for row in rows])
            return torch.stack([frames[place] for frames in found for place in (0, len(frames) // 2, -1)])

        return thumbnails(three, range(len(examples))).view(len(examples), -1)

    def describe(self) -> dict[str, Any]:
        digest = hashlib.sha256(repr([self.captions(split) for split in SPLITS]).encode())
        for split in SPLITS:
            for frames in self.frames(self.examples(split)[:64]):
                digest.update(frames.contiguous().numpy().tobytes())
        return {
            "data": "clips of two shapes that move one after the other",
            "clips": {split: len(self.happenings[split]) for split in SPLITS},
            "words": len(self.words) - len(SPECIAL),
            "sha256": digest.hexdigest(),
        }

    def save(self, folder: Path) -> None:
        learned = {"words": self.words[len(SPECIAL) :], "constant": self.constant}
        write_atomically(folder / FILE, (json.dumps(learned, ensure_ascii=False) + "\n").encode("utf-8"))

    def check_trained(self, trained: ClipsConfig) -> None:
        """Clips of any number and seed fit a trained run."""

    def read(self, raw: str | bytes) -> ClipExample:
        """Make an example from the path or the bytes of an animated GIF; an image of one picture is a clip of one
        frame.

        Raises:
            NotFound: no such file.
            InvalidInput: not an image, damaged, or too large.
        """
        found = read_clip(raw, clips.SIDE, self.config.most)
        return ClipExample("", 0, (), (), found.frames, found.notes)

    def notes(self, example: ClipExample) -> list[str]:
        return list(example.notes)

    def examples_to_type(self, count: int) -> list[str | bytes]:
        """The bytes of GIF files."""
        return [gif(frames) for frames in self.frames(self.examples("test")[:count])]
