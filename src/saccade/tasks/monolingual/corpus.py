"""The sentences of each split: Tatoeba's, or those of files, in words."""

import random
from collections.abc import Sequence
from pathlib import Path

from saccade.core.errors import InvalidInput
from saccade.core.files import composed, read_lines
from saccade.tasks.entities.tokens import words_of
from saccade.tasks.monolingual.config import MonolingualConfig
from saccade.tasks.translation.parallel_text import embedded_pairs

Words = tuple[str, ...]
SPLITS = ("train", "validation", "test")
LEAST = 60
"""Different sentences, of which some are to be held out."""


def sentences(config: MonolingualConfig) -> dict[str, list[Words]]:
    """The sentences of each split. No sentence that is held out from a text is in another split.

    Raises:
        NotFound, InvalidInput: a file that is missing, without a word, or too short to hold out validation and test.
    """
    if not config.train:
        lines = {split: [source for source, _ in embedded_pairs(split)][: config.limit] for split in SPLITS}
        found = {split: parted(rows, config) for split, rows in lines.items()}
    else:
        found = {"train": [row for path in config.train for row in read(path, config)]}
        for number, split in enumerate(SPLITS[1:]):
            path = config.validation if split == "validation" else config.test
            if path is None:
                found["train"], found[split] = hold_out(found["train"], number)
            else:
                found[split] = read(path, config)
    return {split: found[split][: config.limit] for split in SPLITS}


def read(path: Path, config: MonolingualConfig) -> list[Words]:
    """The sentences of a file; empty lines are none."""
    rows = parted(read_lines(path), config)
    if not rows:
        raise InvalidInput(f"{path}: the file has no word")
    return rows


def tokens(text: str, config: MonolingualConfig) -> list[str]:
    return composed(text).split() if config.tokenized else words_of(text)


def parted(lines: Sequence[str], config: MonolingualConfig) -> list[Words]:
    """The words of each line that has any, in parts of at most `longest`."""
    found, most = list[Words](), config.longest
    for line in lines:
        words = tokens(line, config)
        found += [tuple(words[start : start + most]) for start in range(0, len(words), most)]
    return found


def hold_out(rows: Sequence[Words], seed: int) -> tuple[list[Words], list[Words]]:
    """(kept, held out): a twentieth of the different sentences, at most 1,000, drawn with a seed."""
    different = list(dict.fromkeys(rows))
    if len(different) < LEAST:
        raise InvalidInput(
            f"expected at least {LEAST} different sentences, of which some are held out, not {len(different)}; type "
            "--task.validation FILE.txt --task.test FILE.txt"
        )
    chosen = set(random.Random(seed).sample(different, min(1_000, len(different) // 20)))
    return [row for row in rows if row not in chosen], [row for row in different if row in chosen]
