"""A call of a model that can be ended, by whoever asked for it and by the clock."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from torch.nn.modules.module import register_module_forward_pre_hook


class Stopped(Exception):
    """The call was ended."""


@contextmanager
def stoppable(stop: threading.Event, seconds: float) -> Iterator[None]:
    """Within the block, in this thread, the next module to be called raises once it is told to stop, or is too late."""
    mine, until = threading.get_ident(), time.monotonic() + seconds

    def check(*_: object) -> None:
        if threading.get_ident() == mine and (stop.is_set() or time.monotonic() > until):
            raise Stopped

    hook = register_module_forward_pre_hook(check)
    try:
        yield
    finally:
        hook.remove()
