"""The pen task: lines of text and the points of the pen, offsets, batches, nats per step, legible letters."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from saccade.core.errors import InvalidInput
from saccade.core.files import composed, read_record, write_atomically
from saccade.core.masks import length_mask
from saccade.core.task import Figure, Score, Size
from saccade.tasks.pen import iam
from saccade.tasks.pen.batch import Batch, Example, Written
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


class PenTask:
    """Lines of handwriting. Densities are those of normalised offsets, in nats per step.

    A step is an offset and whether the stroke ends there. Offsets are normalised by their mean and standard deviation
    over the training lines; in other units the densities differ by a constant.
    """

    metric = "nats_per_step"
    direction: Literal["min"] = "min"
    unit = "nats"
    accepts = ("text",)
    longest_input = 500
    """The most characters of a typed text."""

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
                raise InvalidInput(f"{path}: the numbers have the wrong shape ({error})") from error
            self.memoryless = Memoryless(weights, means, covariances, ends)
            return
        rows = self._read("train")
        used = {character for text, _ in rows for character in text}
        self.alphabet = ALPHABET if config.corpus == "letters" else "".join(sorted(used))
        offsets = np.concatenate([offsets_of(placed(drawn, text)) for text, drawn in rows[:2000]])
        self.mean = offsets[:, :2].mean(0)
        # a coordinate that never changes keeps its scale
        self.deviation = np.maximum(offsets[:, :2].std(0), 1e-6)
        self.memoryless = fitted(self.normalised(offsets))

    @cached_property
    def _iam(self) -> iam.Corpus:
        assert self.config.folder is not None, "the configuration is validated"
        return iam.read_iam(self.config.folder)

    def _read(self, split: str) -> list[tuple[str, Line | Points]]:
        """Texts and drawings; read once."""
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
        """Offsets (points, 3), the first two columns with mean 0 and standard deviation 1 over the training lines."""
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

    def read(self, raw: str | bytes) -> Example:
        """Make an example from a typed text.

        Raises:
            InvalidInput: an empty text, one longer than `longest_input`, or a character not in the training lines.
        """
        if not isinstance(raw, str):
            raise InvalidInput("expected a text, not a file")
        text = " ".join(composed(raw).split())
        if len(text) > self.longest_input:
            raise InvalidInput(f"expected at most {self.longest_input:,} characters, got {len(text):,}; split it")
        check_characters(text, self.alphabet)
        return self.example(text, None)

    def notes(self, example: Example) -> list[str]:
        return []

    def size(self, example: Example) -> Size:
        return Size(len(example.text), max(1, example.steps))

    def collate(self, examples: Sequence[Example], generator: Any = None) -> Batch:
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
        """Characters as numbers. Characters of held-out lines that do not occur in training are dropped."""
        known = {character: index for index, character in enumerate(self.alphabet)}
        return torch.tensor([known[character] for character in text if character in known], dtype=torch.long)

    @cached_property
    def _prime(self) -> tuple[str, Float[Tensor, "1 p 3"]]:
        """The prime, which precedes a typed text, and its normalised points."""
        writer, text = self.config.prime, self.config.prime_text
        if writer is None:
            return "", torch.zeros(1, 0, 3)
        own = {x.character: x for split, who in WRITERS.items() if writer in who for x in letters(split)
               if x.writer == writer}  # fmt: skip
        drawn: list[Letter | None] = [own.get(character) for character in text]
        gap = (self.config.narrowest + self.config.widest) / 2
        points = points_of(set_side_by_side(drawn, np.full(len(drawn), gap), None))
        return f"{text} ", torch.from_numpy(self.normalised(offsets_of(points))).float()[None]

    def decode(self, prediction: Written) -> str:
        strokes = sum(point[2] > 0.5 for point in prediction.points)
        end = "" if prediction.ended else ", cut off at the limit of steps"
        return f"{self.text_of(prediction)}: {len(prediction.points)} points in {strokes} strokes{end}"

    def text_of(self, prediction: Written) -> str:
        return "".join(self.alphabet[character] for character in prediction.characters)

    def places_of(self, prediction: Written) -> Points:
        """(points, 3): positions of the pen, in the units of the data, and 1 where a stroke ends."""
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

    def examples_to_type(self, count: int) -> list[str | bytes]:
        return [example.text for example in self.examples("test")[:count]]

    def score(self, predictions: Sequence[Written], examples: Sequence[Example]) -> Score:
        """Nats per step of the examples, compared with a mixture without memory, and the share of legible letters."""
        steps = sum(example.steps for example in examples)
        nats = sum(prediction.nats for prediction in predictions) / steps
        offsets = [self.normalised(offsets_of(placed(one.drawn, one.text))) for one in examples if one.steps]
        memoryless = -float(np.concatenate([self.memoryless.log_density(rows) for rows in offsets]).sum()) / steps
        figures = {
            "nats_per_step": Figure(nats, "nats"),
            "memoryless": Figure(memoryless, "nats"),
            "gain": Figure(memoryless - nats, "nats"),
            "nats_per_line": Figure(nats * steps / len(examples), "nats"),
            "ended": Figure(100 * sum(prediction.ended for prediction in predictions) / len(predictions), "%"),
        }
        if self.config.corpus == "letters":
            figures |= self.readable(predictions)
        return Score({**figures, "lines": Figure(len(examples)), "steps": Figure(steps)})

    def readable(self, predictions: Sequence[Written]) -> dict[str, Figure]:
        """The share of written letters that a trained reader recognises, and its share on real letters of the test."""
        reader, real = trained_reader(), letters("test")
        found = read(reader, [letter.points for letter in real])
        cut = [
            (character, points if points is not None and legible(points) else None)
            for prediction in predictions
            for character, points in cut_letters(
                prediction.weights, self.text_of(prediction), self.places_of(prediction), prediction.begins
            )
        ]
        said = iter(read(reader, [points for _, points in cut if points is not None]))
        right = sum(points is not None and next(said) == character for character, points in cut)
        if not cut:  # without a window it is unknown which character the model writes
            return {}
        return {
            "read": Figure(100 * right / len(cut), "%"),
            "reader": Figure(100 * sum(a == b.character for a, b in zip(found, real, strict=True)) / len(real), "%"),
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

    def check_trained(self, trained: PenConfig) -> None:
        """Any lines may be scored, with the alphabet and the normalisation of the training."""

    def save(self, folder: Path) -> None:
        memoryless = [part.tolist() if isinstance(part, np.ndarray) else part for part in self.memoryless]
        kept = {"alphabet": self.alphabet, "mean": self.mean.tolist(), "std": self.deviation.tolist()}
        data = json.dumps({**kept, "memoryless": memoryless}, ensure_ascii=False)
        write_atomically(folder / "pen.json", (data + "\n").encode("utf-8"))
