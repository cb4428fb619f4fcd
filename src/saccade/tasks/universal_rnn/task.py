"""Words of bits, and what a two-stack machine answers."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from saccade.core.config import Seed, config
from saccade.core.errors import InvalidInput
from saccade.core.task import Figure, Score
from saccade.tasks.universal_rnn.machine import MACHINES, Configuration, answer, run

LONGEST = 20  # bits of a word; float64 holds stacks of 26 symbols exactly
MOST = 10 * LONGEST  # steps of a machine


@config
class WordsConfig:
    """Words of bits for one machine."""

    machine: Literal["increment", "equal", "reverse"] = "increment"
    """increment: adds one to a binary number; equal: accepts n zeros and then n ones; reverse: reverses a word."""
    count: Annotated[int, Field(ge=1, le=1000)] = 100
    """Number of words."""
    longest: Annotated[int, Field(ge=1, le=LONGEST)] = 12
    """Most bits of a word."""
    seed: Seed = 1
    """Seed of the words."""


class Example(NamedTuple):
    word: str
    trace: tuple[Configuration, ...]
    """All configurations of the interpreter."""


class Batch(NamedTuple):
    words: list[str]
    steps: Tensor
    """Steps until the machine halts."""


class Prediction(NamedTuple):
    answer: str
    trace: tuple[Configuration, ...]
    """The configurations that the net has passed through."""


class WordsTask:
    """The metric is the share of words where the net passes through the interpreter's configurations, all of them."""

    metric = "equal_traces"
    direction: Literal["max"] = "max"
    unit = "%"
    accepts = ("text",)

    def __init__(self, config: WordsConfig) -> None:
        self.config = config

    def examples(self, split: str) -> list[Example]:
        if split != "test":
            return []
        draw = torch.Generator().manual_seed(self.config.seed)
        found = [self.read(word) for word in ("1011", "0011")]
        while len(found) < self.config.count:
            bits = int(torch.randint(1, self.config.longest + 1, (), generator=draw))
            word = torch.randint(0, 2, (bits,), generator=draw)
            if self.config.machine == "equal" and len(found) % 2:  # a random word is hardly ever accepted
                word = torch.arange(bits) >= bits // 2
            found.append(self.read("".join(str(int(bit)) for bit in word)))
        return found[: self.config.count]

    def collate(self, examples: Sequence[Example], generator: Any = None) -> Batch:
        return Batch(
            [example.word for example in examples], torch.tensor([len(example.trace) - 1 for example in examples])
        )

    def score(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Score:
        pairs = list(zip(predictions, examples, strict=True))
        traces = sum(ours.trace == example.trace for ours, example in pairs)
        right = sum(ours.answer == self.answer_of(example) for ours, example in pairs)
        steps = sum(len(example.trace) - 1 for example in examples)
        return Score({
            "equal_traces": Figure(100 * traces / len(pairs), "%", "traces equal to the interpreter's"),
            "right": Figure(100 * right / len(pairs), "%", "answers right"),
            "words": Figure(len(pairs)),
            "steps": Figure(steps),
        })  # fmt: skip

    def answer_of(self, example: Example) -> str:
        return answer(self.config.machine, example.trace[-1])

    def describe(self) -> dict[str, Any]:
        text = " ".join(example.word for example in self.examples("test"))
        return {
            "data": f"words of bits for the machine {self.config.machine}",
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        }

    def read(self, raw: str | bytes) -> Example:
        """A word of bits; the first test word if nothing is given."""
        word = "1011" if raw == "" else raw
        if not isinstance(word, str) or not set(word) <= {"0", "1"} or not 1 <= len(word) <= LONGEST:
            raise InvalidInput(f"expected 1 to {LONGEST} bits, such as 1011, not {raw!r}")
        return Example(word, tuple(run(MACHINES[self.config.machine], word, MOST)))

    def notes(self, example: Example) -> list[str]:
        return []

    def examples_to_type(self, count: int) -> list[str | bytes]:
        return [example.word for example in self.examples("test")[:count]]

    def decode(self, prediction: Prediction) -> str:
        return f"{prediction.answer} (after {len(prediction.trace) - 1} steps)"

    def compare(self, example: Example, prediction: Prediction) -> Mapping[str, str]:
        return {"word": example.word, "ours": prediction.answer, "right": self.answer_of(example)}
