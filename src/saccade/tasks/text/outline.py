"""The sizes of a text's training windows, without the text, and what must be given to train on them: for a planner."""

from functools import partial
from types import SimpleNamespace

import torch

from saccade.core.recipe import Missing, Outline
from saccade.tasks.text.config import BytePieces, TextConfig, WordPieces
from saccade.tasks.text.corpus import embedded, parts
from saccade.tasks.text.stream import symbols_of_batch
from saccade.tasks.text.task import Batch, TextTask

MOST_PIECES = {"byte-pieces": 19_938, "word-pieces": 15_033}
"""Pieces that can be learned from the training part of the embedded text, words in small letters."""
LONGEST = 10
"""Characters: more than a symbol stands for on average."""


def outline(config: TextConfig) -> Outline:
    """Learned pieces count as many as are asked for, though a short text may have fewer; other symbols are counted."""

    def batch(examples: int) -> Batch:
        shape = (examples, config.window + 1)
        scored = torch.ones(shape, dtype=torch.bool)
        scored[:, 0] = False
        numbers = torch.zeros(examples, dtype=torch.long)
        return Batch(torch.zeros(shape, dtype=torch.long), torch.ones(shape, dtype=torch.bool), scored, numbers, None)

    return without_batches(config)._replace(batch=batch)


def without_batches(config: TextConfig) -> Outline:
    """The outline of a system that makes other batches of the windows, of which only the weights are known."""
    count = config.symbols.size if is_learned(config) else len(TextTask(config).symbols.names)  # type: ignore[union-attr]
    return Outline(stand_in(count), None, config.window, partial(missing, config))


def stand_in(count: int) -> SimpleNamespace:
    """Stands for a task with that many symbols."""
    return SimpleNamespace(symbols=SimpleNamespace(names=range(count)))


def is_learned(config: TextConfig) -> bool:
    """Whether its symbols are pieces that are learned from the text."""
    return isinstance(config.symbols, BytePieces | WordPieces) and config.symbols.vocabulary is None


def missing(config: TextConfig, batch_size: int = 0) -> Missing | None:
    """What must be given because the embedded text has too few pieces, or too few symbols for a batch; None if it is
    enough, or files are named.

    Args:
        batch_size: symbols of a batch of windows; 0: of any size.
    """
    if config.file:
        return None
    if is_learned(config) and config.symbols.size > MOST_PIECES[config.symbols.name]:  # type: ignore[union-attr]
        return too_few_pieces(config.symbols)  # type: ignore[arg-type]
    needed = symbols_of_batch(batch_size, config.window)
    if needed <= len(parts(len(embedded()[: config.limit]))["train"]) // LONGEST:
        return None  # in whatever symbols
    there = len(TextTask(config).part("train"))
    why = f"the embedded text has {there:,} symbols to train on, and a batch needs {needed:,}; give your own as TEXT"
    return None if needed <= there else Missing(("--task.file TEXT",), why)


def too_few_pieces(symbols: BytePieces | WordPieces) -> Missing:
    files = ["vocabulary", "merges"] if isinstance(symbols, BytePieces) else ["vocabulary"]
    flags = [f"--task.{symbols.name}.{name} {name.upper()}" for name in files]
    return Missing(
        ("--task.file TEXT", *flags),
        f"at most {MOST_PIECES[symbols.name]:,} pieces can be learned from the embedded text, not {symbols.size:,}; "
        f"give your own text as TEXT, and a vocabulary as {' and '.join(map(str.upper, files))}, or leave the "
        "vocabulary out to learn one from TEXT",
    )
