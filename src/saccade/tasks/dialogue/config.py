"""Which dialogues a model reads."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from saccade.core.config import Many, Seed, config


@config
class DialogueConfig:
    """Dialogues of a play."""

    file: Path | None = None
    """Your own play, plain or gzip, in UTF-8: a line with the speaker's name and a colon, the lines that are spoken,
    and an empty line after each turn. None: the embedded tinyshakespeare."""
    apart: Annotated[int, Field(ge=1, le=100)] = 4
    """Turns before and after a place that share no speaker where a new dialogue begins, as a scene does."""
    longest: Annotated[int, Field(ge=1, le=10_000)] = 80
    """Words of a turn; what follows is not read, and the end of such a turn is not predicted."""
    fewest: Annotated[int, Field(ge=1, le=1000)] = 2
    """Occurrences in training of each word of the vocabulary; other words are the unknown word, which is predicted as
    any."""
    limit: Many | None = None
    """The most dialogues of a split, the first of it; none: all of them."""
    draw: Seed = 1
    """Seed of the choice of other dialogues, for shuffled contexts, and of the bootstrap."""
