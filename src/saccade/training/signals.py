"""Ctrl-C and SIGTERM stop a training after the current step, with a checkpoint."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Stop:
    """Whether this process was asked to stop."""

    asked = False


@contextmanager
def interruptible(alone: bool) -> Iterator[Stop]:
    """The first signal is recorded; a second one has its usual effect.

    With several processes the second has no effect either, since each gets the signal from the terminal and from
    torchrun.
    """
    stop = Stop()

    def note(number: int, frame: Any) -> None:
        stop.asked = True
        if alone:
            signal.signal(number, previous[signal.Signals(number)])

    try:
        previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # only the main thread gets signals
        yield stop
        return
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
