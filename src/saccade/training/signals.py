"""Ctrl-C and SIGTERM end a training after its step, with a checkpoint."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Stop:
    """Whether somebody asked this process to stop."""

    asked = False


@contextmanager
def interruptible(alone: bool) -> Iterator[Stop]:
    """The first signal is noted; a second one has its usual effect.

    Among several processes none has: each gets a signal more than once, from the terminal and from torchrun.
    """
    stop = Stop()

    def note(number: int, frame: Any) -> None:
        stop.asked = True
        if alone:
            signal.signal(number, previous[signal.Signals(number)])

    try:
        previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread, which alone gets signals
        yield stop
        return
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
