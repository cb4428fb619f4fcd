"""The sizes of a text's training windows, without the text: what a planner needs."""

from types import SimpleNamespace

import torch

from saccade.core.recipe import Outline
from saccade.tasks.text.config import BytePieces, TextConfig, WordPieces
from saccade.tasks.text.task import Batch, TextTask


def outline(config: TextConfig) -> Outline:
    """Learned pieces count as many as are asked for, though a short text may have fewer; other symbols are counted."""
    symbols = config.symbols
    learned = isinstance(symbols, BytePieces | WordPieces) and symbols.vocabulary is None
    count = symbols.size if learned else len(TextTask(config).symbols.names)  # type: ignore[union-attr]

    def batch(examples: int) -> Batch:
        shape = (examples, config.window + 1)
        scored = torch.ones(shape, dtype=torch.bool)
        scored[:, 0] = False
        numbers = torch.zeros(examples, dtype=torch.long)
        return Batch(torch.zeros(shape, dtype=torch.long), torch.ones(shape, dtype=torch.bool), scored, numbers, None)

    return Outline(SimpleNamespace(symbols=SimpleNamespace(names=range(count))), batch, config.window)
