"""Which stories and questions a model is trained on, and how much of a story it remembers."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from saccade.core.config import config

NAMES = (
    "one supporting fact", "two supporting facts", "three supporting facts", "two-argument relations",
    "three-argument relations", "yes/no questions", "counting", "lists and sets", "simple negation",
    "indefinite knowledge", "basic coreference", "conjunction", "compound coreference", "time reasoning",
    "basic deduction", "basic induction", "positional reasoning", "size reasoning", "path finding",
    "agents' motivations",
)  # fmt: skip
"""The tasks, numbered from 1 (Weston et al. 2015, arXiv:1502.05698, section 3)."""
ALL = tuple(range(1, len(NAMES) + 1))


@config
class BabiConfig:
    """Stories with questions."""

    folder: Path | None = None
    """The whole bAbI set: its folder tasks_1-20_v1-2, a folder that holds it, or its archive (.tar.gz); none: the
    embedded sample."""
    hub: str = ""
    """The whole set on the hub, such as facebook/babi_qa; it is read in place of `folder`."""
    tasks: Annotated[tuple[Annotated[int, Field(ge=1, le=20)], ...], Field(min_length=1, max_length=20)] = ALL
    """The numbers of the tasks, learned jointly; the error is the mean over them."""
    questions: Literal["1k", "10k"] = "1k"
    """Training questions of each task of the whole set: 1,000 or 10,000, a tenth of which are for validation."""
    most_sentences: Annotated[int, Field(ge=1, le=1000)] = 50
    """The most sentences of a story that are remembered, the latest (Sukhbaatar et al. 2015, 4.2)."""
    empty_memories: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Empty memories that training inserts at random, as a share of the sentences (Sukhbaatar et al. 2015, 4.1)."""
    grams: Annotated[int, Field(ge=1, le=3)] = 1
    """The longest sequence of words that is a symbol of its own: with 3, a sentence is its words, pairs and triples
    (Weston et al. 2015, 4)."""

    @property
    def extras(self) -> tuple[str, ...]:
        """The extras that these data need."""
        return ("hub",) if self.hub else ()

    @model_validator(mode="after")
    def check_choices(self) -> "BabiConfig":
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"tasks names a task twice: {' '.join(map(str, self.tasks))}")
        if self.folder is None and not self.hub and self.questions == "10k":
            raise ValueError("questions is '10k', which needs the whole set; type --task.folder FOLDER")
        return self
