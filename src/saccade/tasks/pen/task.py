"""The pen task: lines of text and the pen's points, offsets, batches, nats a step, letters that can be read."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from saccade.core.errors import InvalidInput
from saccade.core.files import composed, read_record, write_atomically
from saccade.core.masks import length_mask
from saccade.core.recipe import Loss
from saccade.tasks.pen import iam
from saccade.tasks.pen.config import PenConfig, check_characters
from saccade.tasks.pen.letters import (
    ALPHABET,
    WRITERS,
    Letter,
    Line,
    Points,
    draw_lines,
    letters,
    points_of,
    set_side_by_side,
)  # fmt: skip
from saccade.tasks.pen.memoryless import Memoryless, fitted
from saccade.tasks.pen.places import offsets_of, placed, sizes_of
from saccade.tasks.pen.reader import cut_letters, legible, read, trained_reader

SPLITS = ("train", "validation", "test")


class Written(NamedTuple):
    """What a pen did for a text, and how likely the example's own points were."""

    characters: tuple[int, ...]
    points: tuple[tuple[float, ...], ...]
    """Normalised offsets, and 1 where a stroke ends."""
    looks: tuple[tuple[float, ...], ...]
    """How much the writer looked at each character when it drew each point; () where nobody knows."""
    begins: int
    """Characters of the text that were given, with their points, and not written."""
    ended: bool
    """Whether the writer found the end, and not only the limit."""
    nats: float
    """Minus the log-density of the example's points; NaN where it was not asked for."""


class Example(NamedTuple):
    """A text, and its points: those of a line, or given; none where a text is to be written."""

    text: str
    drawn: Line | Points | None
    steps: int
    target: Written


class Batch(NamedTuple):
    """Padded lines. An input is the point before its target; before the first stands none: zeros."""

    inputs: Float[Tensor, "b t 3"]
    targets: Float[Tensor, "b t 3"]
    """Normalised offsets, and 1 where a stroke ends."""
    mask: Bool[Tensor, "b t"]
    points: Float[Tensor, "b t 3"]
    """The same as places, in the data's own units."""
    characters: Int[Tensor, "b u"]
    lengths: Int[Tensor, " b"]
    asked: Int[Tensor, "b v"]
    """The characters that are to be written, behind those of the prime, where there is one."""
    asked_lengths: Int[Tensor, " b"]
    prime: Float[Tensor, "b p 3"]
    """Normalised points that are put before what is written."""
    begins: Int[Tensor, " b"]
    """Characters of the prime."""


class PenTask:
    """Lines of handwriting. A density is that of the normalised offsets, in nats a step: a point, and whether it ends.

    Offsets are normalised by their mean and deviation over the training lines, so that figures of other normalisations,
    or in other units, differ by a constant.
    """

    metric = "nats_per_step"
    direction: Literal["min"] = "min"
    longest_input = 500
    """Characters of a text that is to be written."""

    def __init__(self, config: PenConfig, assets: Path | None = None) -> None:
        self.config = config
        self._examples: dict[str, list[Example]] = {}
        self._rows: dict[str, list[tuple[str, Line | Points]]] = {}
        if assets is not None:
            path = assets / "pen.json"
            kept = read_record(path, "alphabet", "mean", "std", "memoryless")
            try:
                self.alphabet = kept["alphabet"]
                self.mean, self.deviation = (np.array(kept[name], float).reshape(2) for name in ("mean", "std"))
                *parts, ends = kept["memoryless"]
                weights, means, covariances = (np.array(part, float) for part in parts)
            except (TypeError, ValueError) as error:
                raise InvalidInput(f"{path}: expected numbers of another shape ({error})") from error
            self.memoryless = Memoryless(weights, means, covariances, ends)
            return
        rows = self._read("train")
        used = {character for text, _ in rows for character in text}
        self.alphabet = ALPHABET if config.corpus == "letters" else "".join(sorted(used))
        offsets = np.concatenate([offsets_of(placed(drawn, text)) for text, drawn in rows[:2000]])
        self.mean = offsets[:, :2].mean(0)
        # a coordinate that never changes is left as it is
        self.deviation = np.maximum(offsets[:, :2].std(0), 1e-6)
        self.memoryless = fitted(self.normalised(offsets))

    @cached_property
    def _iam(self) -> iam.Corpus:
        assert self.config.folder is not None, "the configuration was checked"
        return iam.read_iam(self.config.folder)

    def _read(self, split: str) -> list[tuple[str, Line | Points]]:
        """Texts and what was drawn; read once."""
        if split not in self._rows:
            self._rows[split] = list(self._iam[split]) if self.config.corpus == "iam" else self._lines(split)
        return self._rows[split]

    def _lines(self, split: str) -> list[tuple[str, Line | Points]]:
        config, train = self.config, split == "train"
        lines = draw_lines(
            letters(split), config.lines if train else max(1, config.lines // 60), (config.fewest, config.most),
            (config.narrowest, config.widest), config.draw + SPLITS.index(split), distort=train,
        )  # fmt: skip
        return [(line.text, line) for line in lines]

    def normalised(self, offsets: Points) -> Points:
        """Offsets (points, 3), their first two columns with mean 0 and deviation 1 over the training lines."""
        return np.concatenate([(offsets[:, :2] - self.mean) / self.deviation, offsets[:, 2:]], 1)

    def examples(self, split: str) -> Sequence[Example]:
        if split not in SPLITS:
            raise InvalidInput(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
        if split not in self._examples:
            self._examples[split] = [self.example(text, drawn) for text, drawn in self._read(split)]
        return self._examples[split]

    def example(self, text: str, drawn: Line | Points | None) -> Example:
        steps = 0 if drawn is None else sizes_of(drawn)
        known = tuple(self.encode(text).tolist())
        return Example(text, drawn, steps, Written(known, (), (), 0, True, float("nan")))

    def read(self, raw: str) -> Example:
        """A text to be written.

        Raises:
            InvalidInput: nothing, more than `longest_input`, or a character that the training lines lack.
        """
        text = " ".join(composed(raw).split())
        if len(text) > self.longest_input:
            raise InvalidInput(
                f"expected at most {self.longest_input:,} characters, got {len(text):,}: give it in parts"
            )
        check_characters(text, self.alphabet)
        return self.example(text, None)

    def notes(self, example: Example) -> list[str]:
        return []

    def cost(self, example: Example) -> tuple[int, int]:
        return max(1, example.steps), len(example.text)

    def collate(self, examples: Sequence[Example]) -> Batch:
        places = [np.zeros((0, 3)) if one.drawn is None else placed(one.drawn, one.text) for one in examples]
        offsets = [torch.from_numpy(self.normalised(offsets_of(points))).float() for points in places]
        inputs = [torch.cat([torch.zeros(1, 3), rows[:-1]])[: len(rows)] for rows in offsets]
        lengths = torch.tensor([len(rows) for rows in offsets])
        targets = pad_sequence(offsets, True)
        before, prime = self._prime
        texts, asked = ([self.encode(t + example.text) for example in examples] for t in ("", before))
        count = len(examples)
        return Batch(
            pad_sequence(inputs, True), targets, length_mask(lengths, targets.shape[1]),
            pad_sequence([torch.from_numpy(points).float() for points in places], True),
            pad_sequence(texts, True), torch.tensor([len(text) for text in texts]),
            pad_sequence(asked, True), torch.tensor([len(text) for text in asked]),
            prime.expand(count, -1, -1), torch.full((count,), len(before)),
        )  # fmt: skip

    def encode(self, text: str) -> Int[Tensor, " u"]:
        """Characters as numbers; those of held-out lines that training has not are left out."""
        known = {character: index for index, character in enumerate(self.alphabet)}
        return torch.tensor([known[character] for character in text if character in known], dtype=torch.long)

    @cached_property
    def _prime(self) -> tuple[str, Float[Tensor, "1 p 3"]]:
        """What stands before a text that is to be written, and its normalised points."""
        writer, text = self.config.prime, self.config.prime_text
        if writer is None:
            return "", torch.zeros(1, 0, 3)
        own = {x.character: x for split, who in WRITERS.items() if writer in who for x in letters(split)
               if x.writer == writer}  # fmt: skip
        drawn: list[Letter | None] = [own.get(character) for character in text]
        gap = (self.config.narrowest + self.config.widest) / 2
        points = points_of(set_side_by_side(drawn, np.full(len(drawn), gap), None))
        return f"{text} ", torch.from_numpy(self.normalised(offsets_of(points))).float()[None]

    def objective(self, model: nn.Module, batch: Batch, step: int) -> Loss:
        """Minus the mean log-density of a point, in nats; the model gives the distributions of all points."""
        return Loss(model(batch).nats(batch.targets, batch.mask), {"tokens": batch.mask.sum()})

    def decode(self, prediction: Written) -> str:
        strokes = sum(point[2] > 0.5 for point in prediction.points)
        end = "" if prediction.ended else ", cut off at the limit of steps"
        return f"{self.text_of(prediction)}: {len(prediction.points)} points in {strokes} strokes{end}"

    def text_of(self, prediction: Written) -> str:
        return "".join(self.alphabet[character] for character in prediction.characters)

    def places_of(self, prediction: Written) -> Points:
        """(points, 3): where the pen was, in the data's own units, and 1 where a stroke ends."""
        points = np.array(prediction.points, float).reshape(-1, 3)
        moved = np.cumsum(points[:, :2] * self.deviation + self.mean, 0)
        return np.concatenate([moved, points[:, 2:]], 1)

    def replay(self, example: Example, prediction: Written) -> Example:
        points = self.places_of(prediction)
        return Example(self.text_of(prediction), points, len(points), prediction)

    def labels(self, example: Example) -> Mapping[str, Sequence[str]]:
        steps = [str(number) for number in range(1, example.steps + 1)]
        characters = [*example.text.replace(" ", "␣"), "<end>"]
        return {"character": characters, "point": steps, "coordinate": ["x", "y", "end"]}

    def compare(self, example: Example, prediction: Written) -> Mapping[str, str]:
        return {"text": example.text, "ours": self.decode(prediction)}

    def typed(self, example: Example, folder: Path) -> str:
        return example.text

    def score(self, predictions: Sequence[Written], examples: Sequence[Example]) -> dict[str, Any]:
        """Nats a step of the examples, beside a mixture without memory; and what a reader reads of what was written."""
        steps = sum(example.steps for example in examples)
        nats = sum(prediction.nats for prediction in predictions) / steps
        offsets = [self.normalised(offsets_of(placed(one.drawn, one.text))) for one in examples if one.steps]
        memoryless = -float(np.concatenate([self.memoryless.log_density(rows) for rows in offsets]).sum()) / steps
        figures = {
            "nats_per_step": nats,
            "memoryless": memoryless,
            "gain": memoryless - nats,
            "nats_per_line": nats * steps / len(examples),
            "ended": 100 * sum(prediction.ended for prediction in predictions) / len(predictions),
        }
        if self.config.corpus == "letters":
            figures |= self.readable(predictions)
        return {**figures, "lines": len(examples), "steps": steps}

    def readable(self, predictions: Sequence[Written]) -> dict[str, float]:
        """In per cent: written letters that a reader of letters reads, and real letters of the test's writers."""
        reader, real = trained_reader(), letters("test")
        told = read(reader, [letter.points for letter in real])
        cut = [
            (character, points if points is not None and legible(points) else None)
            for prediction in predictions
            for character, points in cut_letters(
                prediction.looks, self.text_of(prediction), self.places_of(prediction), prediction.begins
            )
        ]
        said = iter(read(reader, [points for _, points in cut if points is not None]))
        right = sum(points is not None and next(said) == character for character, points in cut)
        if not cut:  # a net that does not say which character it writes has none that could be read
            return {}
        return {
            "read": 100 * right / len(cut),
            "reader": 100 * sum(a == b.character for a, b in zip(told, real, strict=True)) / len(real),
        }

    def describe(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for split in SPLITS:
            for text, drawn in self._read(split):
                digest.update(text.encode("utf-8"))
                digest.update(placed(drawn, text).round(6).tobytes())
        data = "lines of lower-case letters (Omniglot, 20 writers)"
        if self.config.corpus == "iam":
            count = self._iam.without_text
            data = "IAM-OnDB" + (f", {count} line{'s' * (count > 1)} without text left out" if count else "")
        return {
            "data": data,
            "lines": {split: len(self._read(split)) for split in SPLITS},
            "characters": len(self.alphabet),
            "deviation": [round(float(x), 6) for x in self.deviation],
            "sha256": digest.hexdigest(),
        }

    def save(self, folder: Path) -> None:
        memoryless = [part.tolist() if isinstance(part, np.ndarray) else part for part in self.memoryless]
        kept = {"alphabet": self.alphabet, "mean": self.mean.tolist(), "std": self.deviation.tolist()}
        data = json.dumps({**kept, "memoryless": memoryless}, ensure_ascii=False)
        write_atomically(folder / "pen.json", (data + "\n").encode("utf-8"))
