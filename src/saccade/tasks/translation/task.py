"""The translation task: pairs of texts, vocabularies, batches, and how near an answer is."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.core.files import composed
from saccade.core.task import Score, Size
from saccade.tasks.translation.captions import caption_pairs
from saccade.tasks.translation.config import IN, TranslationConfig
from saccade.tasks.translation.folder import folder_pairs
from saccade.tasks.translation.metric import check_tokenizer
from saccade.tasks.translation.multi30k import from_hub
from saccade.tasks.translation.parallel_text import (
    OVERRIDE,
    SPLITS,
    Pair,
    check_order,
    embedded_pairs,
    hold_out,
    languages_of,
    neighbours_joined,
    read_pairs,
)
from saccade.tasks.translation.programs import programs
from saccade.tasks.translation.score import JUDGES, Judged
from saccade.tasks.translation.vocabulary import END, PAD, START, UNKNOWN, Vocabulary, check_direction


class Example(NamedTuple):
    """A pair as text and as symbols. The source ends with an end symbol, the target does not. A missing target is
    ""."""

    source_text: str
    target_text: str
    source: list[int]
    target: list[int]


class Batch(NamedTuple):
    """Padded symbols. The decoder reads the target after a start symbol and predicts it, followed by an end symbol."""

    source: Int[Tensor, "b s"]
    source_mask: Bool[Tensor, "b s"]
    target_inputs: Int[Tensor, "b t"]
    targets: Int[Tensor, "b t"]
    label_smoothing: float = 0.0
    """Share of the target probability that is spread over the vocabulary, in training."""


class TranslationTask:
    """Parallel text. Data are read when first needed, so a prediction requires only the vocabularies."""

    direction: Literal["max"] = "max"
    accepts = ("text",)
    longest_input = 2000
    """The most characters of a typed sentence."""

    def __init__(self, config: TranslationConfig, assets: Path | None = None) -> None:
        self.config = config
        self.metric = config.metric.replace("-", "_")
        self.unit = "%" if self.metric == "exact" else ""
        self._encoded: dict[str, list[Example]] = {}
        self._learned = assets is not None
        self._left_out = 0
        check_tokenizer(config.bleu_tokenizer)
        if assets is None:
            kind, size, lower = config.vocabulary, config.vocabulary_size, config.lowercase
            pairs = self.read_split("train")
            for split in ("validation", "test"):
                if config.check_direction and getattr(config, split):
                    check_order(pairs, self.read_split(split), split)
            if config.shared_vocabulary:
                self.source = self.target = Vocabulary.learn(chain.from_iterable(pairs), kind, size, lower)
                return
            self.source = Vocabulary.learn((pair[0] for pair in pairs), kind, size, lower)
            self.target = Vocabulary.learn((pair[1] for pair in pairs), kind, size, lower)
        else:
            self.source = Vocabulary.load(assets / "source.json")
            self.target = self.source if config.shared_vocabulary else Vocabulary.load(assets / "target.json")

    @cached_property
    def pairs(self) -> dict[str, list[Pair]]:
        """The pairs of every split."""
        return {split: self.read_split(split) for split in SPLITS}

    def read_split(self, split: str) -> list[Pair]:
        """The pairs of one split. Files of other splits are read only if this one is held out of them."""
        most = [size for size in (self.config.limit, split != "train" and self.config.judged) if size]
        found = self._read_split(split)[: min(most, default=None)]
        return neighbours_joined(found, self.config.joined) if split == "train" else found

    def _read_split(self, split: str) -> list[Pair]:
        own = self._own_pairs(split)
        if own is not None and split != "train":
            return own
        splits = {"train": own if own is not None else self._own_pairs("train") or []}
        for held_out in ("validation", "test"):
            if held_out == split or self._own_pairs(held_out) is None:
                splits["train"], splits[held_out] = hold_out(splits["train"], lowercase=self.config.lowercase)
        if split == "train" and len(splits) > 1:
            kept = {pair for pairs in splits.values() for pair in pairs}
            self._left_out = sum(pair not in kept for pair in own or [])
        return splits[split]

    def _own_pairs(self, split: str) -> list[Pair] | None:
        """The pairs of a split from its own files; None if it is held out of the training pairs."""
        config = self.config
        if given := getattr(config, split):
            if config.check_direction:
                self._check_languages(split, given)
            return read_pairs(given)
        if config.train:
            return None
        if config.corpus == "tatoeba":
            return embedded_pairs(split)
        if config.corpus == "programs":
            return programs(config.programs, config.digits, config.draw)[split]
        if config.corpus == "captions":
            if config.folder is None:
                raise InvalidInput("expected the folder of Flickr8k's captions: type --task.folder FOLDER")
            return caption_pairs(config.folder, split)
        if config.folder is not None:
            return folder_pairs(config.folder, split, config.languages)
        if config.corpus == "multi30k":
            return from_hub(split, config.languages)
        raise InvalidInput("expected sentence pairs: type --task.folder FOLDER or --task.train FILE FILE")

    def _check_languages(self, split: str, paths: Sequence[Path]) -> None:
        """Raise if, by their names, the files translate in the opposite direction of the training pairs."""
        corpus = None if self.config.corpus in IN else self.config.languages
        trained = languages_of(self.config.train) if self.config.train else corpus
        if trained is not None and languages_of(paths) == (trained[1], trained[0]):
            raise InvalidInput(
                f"{paths[0]} and {paths[1]} translate from {trained[1]} to {trained[0]}, but training from "
                f"{trained[0]} to {trained[1]}; type --task.{split} {paths[1]} {paths[0]}{OVERRIDE}"
            )

    def examples(self, split: str) -> Sequence[Example]:
        if split not in SPLITS:
            raise InvalidInput(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
        if split not in self._encoded:
            pairs = self.read_split(split)
            if split != "train" and self._learned and self.config.check_direction and getattr(self.config, split):
                self._check_sides(split, pairs)
            examples = list(self._encode(pairs))
            if split == "train":
                longest = self.config.longest
                examples = [e for e in examples if max(len(e.source) - 1, len(e.target)) <= longest]
                if not examples:
                    raise InvalidInput(f"no training pair has at most {longest} symbols on each side")
            self._encoded[split] = examples
        return self._encoded[split]

    def _check_sides(self, split: str, pairs: Sequence[Pair]) -> None:
        """Raise if a user's own pairs translate in the opposite direction of the training pairs."""
        if self.source is not self.target:
            check_direction(self.source, self.target, pairs)
            return
        try:
            trained = self.read_split("train")
        except InvalidInput:  # a shared vocabulary fits both directions, so it cannot tell them apart
            return
        check_order(trained, pairs, split)

    def check_trained(self, trained: TranslationConfig) -> None:
        """Check that the fields on which weights and vocabularies depend are those of the training.

        Raises:
            InvalidInput: naming the field.
        """
        names = ["vocabulary", "vocabulary_size", "shared_vocabulary", "lowercase"]
        if self.config.corpus == trained.corpus:
            names.append("languages")
        for name in names:
            asked, learned = getattr(self.config, name), getattr(trained, name)
            if asked != learned:
                raise InvalidInput(f"task.{name} was {learned!r} when this run was trained; it cannot be {asked!r} now")

    def _encode(self, pairs: Sequence[Pair]) -> Iterable[Example]:
        sources = self.source.encode_all([pair[0] for pair in pairs])
        targets = self.target.encode_all([pair[1] for pair in pairs])
        for pair, source, target in zip(pairs, sources, targets, strict=True):
            yield Example(*pair, [*source, END], target)

    def read(self, raw: str | bytes) -> Example:
        """Make an example from a typed sentence.

        Raises:
            InvalidInput: an empty sentence, or one longer than `longest_input`.
        """
        if not isinstance(raw, str):
            raise InvalidInput("expected a sentence, not a file")
        sentence = " ".join(composed(raw).split())
        if not sentence:
            raise InvalidInput("expected a sentence; the input is empty")
        if len(sentence) > self.longest_input:
            raise InvalidInput(f"expected at most {self.longest_input:,} characters, got {len(sentence):,}; split it")
        return Example(sentence, "", [*self.source.encode(sentence), END], [])

    def notes(self, example: Example) -> list[str]:
        unknown = self.source.unknown(example.source_text)
        return [f"not in the vocabulary: {', '.join(unknown)}"] if unknown else []

    def size(self, example: Example) -> Size:
        return Size(len(example.source), len(example.target) + 1)

    def collate(self, examples: Sequence[Example], generator: Any = None) -> Batch:
        source = pad([example.source for example in examples])
        target_inputs = pad([[START, *example.target] for example in examples])
        targets = pad([[*example.target, END] for example in examples])
        return Batch(source, source != PAD, target_inputs, targets, self.config.label_smoothing)

    def decode(self, prediction: Sequence[int]) -> str:
        return self.target.decode(prediction)

    def answer(self, example: Example) -> list[int]:
        return example.target

    def replay(self, example: Example, prediction: Sequence[int]) -> Example:
        return example._replace(target=list(prediction), target_text=self.decode(prediction))

    def labels(self, example: Example) -> Mapping[str, Sequence[str]]:
        return {
            "source": self.source.pieces(example.source),
            "target": self.target.pieces([*example.target, END]),
            "target so far": self.target.pieces([START, *example.target]),
        }

    def compare(self, example: Example, prediction: Sequence[int]) -> Mapping[str, str]:
        return {"source": example.source_text, "ours": self.decode(prediction), "reference": example.target_text}

    def examples_to_type(self, count: int) -> list[str | bytes]:
        return [example.source_text for example in self.examples("test")[:count]]

    def score(self, predictions: Sequence[Sequence[int]], examples: Sequence[Example]) -> Score:
        """The figures of the chosen metric. An unknown symbol counts as one wrong word (13a would split "<unk>" into
        three)."""
        answers = [self.target.decode(prediction, unknown="\N{REPLACEMENT CHARACTER}") for prediction in predictions]
        known = [i for i, e in enumerate(examples) if UNKNOWN not in e.source and UNKNOWN not in e.target]
        sources, references = [e.source_text for e in examples], [e.target_text for e in examples]
        return JUDGES[self.config.metric](Judged(answers, sources, references, known), self.config)

    def describe(self) -> dict[str, Any]:
        given = [path for split in SPLITS for path in getattr(self.config, split)]
        digest = hashlib.sha256(repr([self.pairs[split] for split in SPLITS]).encode("utf-8")).hexdigest()
        count = self._left_out
        left_out = f" ({count:,} training pairs that share a side with a held-out pair left out)" if count else ""
        return {
            "data": (", ".join(path.name for path in given) or self.corpus_name()) + left_out,
            "pairs": {split: len(self.pairs[split]) for split in SPLITS},
            "symbols": {"source": len(self.source), "target": len(self.target)},
            "sha256": digest,
        }

    def corpus_name(self) -> str:
        languages = "-".join(self.config.languages)
        if self.config.corpus == "programs":
            return f"lines of Python, numbers of up to {self.config.digits} digits, seed {self.config.draw}"
        if self.config.corpus == "captions":
            return "Flickr8k, four captions of a photo and the fifth"
        if self.config.corpus == "multi30k":
            return f"Multi30k {languages}, test 2016"
        if self.config.folder is not None:
            return f"{self.config.folder.name} {languages}"
        return "embedded English-French (Tatoeba)"

    def save(self, folder: Path) -> None:
        self.source.save(folder / "source.json")
        self.target.save(folder / "target.json")


def pad(rows: Sequence[Sequence[int]]) -> Int[Tensor, "b t"]:
    """The rows as one matrix, padded on the right."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows], dtype=torch.long)
