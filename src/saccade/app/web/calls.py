"""Calls of a model that can be cancelled, and that time out."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from torch.nn.modules.module import register_module_forward_pre_hook


class Stopped(Exception):
    """The call was cancelled or timed out."""


@contextmanager
def stoppable(stop: threading.Event, seconds: float) -> Iterator[None]:
    """Within the block, in this thread, the next module call raises after a stop request or the deadline."""
    mine, until = threading.get_ident(), time.monotonic() + seconds

    def check(*_: object) -> None:
        if threading.get_ident() == mine and (stop.is_set() or time.monotonic() > until):
            raise Stopped

    hook = register_module_forward_pre_hook(check)
    try:
        yield
    finally:
        hook.remove()
