"""A text read window by window from several places side by side, with a state that goes on from window to window."""

from typing import Any

import torch

from saccade.core.errors import InvalidInput
from saccade.core.recipe import Loss
from saccade.core.stream import Share
from saccade.tasks.text.task import Batch, TextTask


def symbols_of_batch(batch_size: int, window: int) -> int:
    """The symbols of the shortest text with a batch of that many symbols."""
    return 2 * max(1, batch_size // window) * window + 1


class Windows:
    """Batch number n is window n of every row; a row is a stretch of the training text. At the end of the rows the
    state is reset, and the next pass begins a little later in the text, so that windows end elsewhere.

    Args:
        task: the text.
        batch_size: symbols of a batch; it has as many rows as there is room for windows.

    Raises:
        InvalidInput: a text shorter than one batch.
    """

    def __init__(self, task: TextTask, batch_size: int) -> None:
        self.window = task.config.window
        self.text = task.part("train")
        rows = max(1, batch_size // self.window)
        self.count = (len(self.text) - 1) // rows // self.window - 1  # windows of a row; one is left for the shift
        if self.count < 1:
            need = symbols_of_batch(batch_size, self.window)
            raise InvalidInput(
                f"the training text has {len(self.text):,} symbols, and a batch of {rows:,} windows needs {need:,}; "
                "choose a smaller --training.batch-size or --task.window"
            )
        self.starts = torch.arange(rows)[:, None] * ((len(self.text) - 1) // rows)
        self.state: Any = None

    def share(self, batch: int, rank: int = 0, processes: int = 1) -> Share:
        passes, place = divmod(batch, self.count)
        shift = passes * 7919 % self.window  # a prime: every shift comes in turn
        at = (self.starts + shift + place * self.window + torch.arange(self.window + 1))[rank::processes]
        own = len(at) > 0
        symbols = self.text[at if own else self.starts[:1] + torch.arange(self.window + 1)]
        mask = torch.ones_like(symbols, dtype=torch.bool)
        scored = mask.clone()
        scored[:, 0] = False
        numbers = torch.zeros(len(symbols), dtype=torch.long)
        return Share(Batch(symbols, mask, scored, numbers, self.state if place and own else None), own)

    def after(self, batch: int, loss: Loss) -> None:
        self.state = loss.carry

    def state_dict(self) -> dict[str, Any]:
        return {} if self.state is None else {"state": self.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state = state.get("state")
