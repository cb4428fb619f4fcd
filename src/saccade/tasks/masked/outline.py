"""The number of symbols of a masked text, without the text: for a planner."""

from saccade.core.recipe import Outline
from saccade.tasks.masked.config import MaskedConfig
from saccade.tasks.masked.special import NAMES
from saccade.tasks.masked.task import MaskedTask
from saccade.tasks.text import WordPieces
from saccade.tasks.text.outline import is_learned, missing, stand_in


def outline(config: MaskedConfig) -> Outline:
    """Learned pieces count as many as are asked for, special symbols included in those of words; which symbols are
    chosen depends on the text, so there are no batches."""
    symbols = config.symbols
    if is_learned(config.text):
        count = symbols.size if isinstance(symbols, WordPieces) else symbols.size + len(NAMES)
    else:
        count = len(MaskedTask(config).symbols.names)
    return Outline(stand_in(count), None, config.length, lambda batch_size: missing(config.text))
