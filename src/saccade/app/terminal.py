"""What a command writes: what users typed, or a file holds, goes out without anything that steers a terminal."""

import os
import re
import shutil
import sys
from contextlib import suppress
from typing import Any

from saccade.core.printable import printable, shortened

STDOUT = "standard output"
ASCII = str.maketrans("·░▒▓█…–", ".-+*#~-")  # the shades of pictures


class Printed:
    """Standard output, on which control characters other than line feeds and tabs are written as "�"."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._named("write", printable(text, keep="\n\t"))
        return len(text)

    def flush(self) -> None:
        self._named("flush")

    def _named(self, method: str, *arguments: str) -> None:
        try:
            getattr(self._stream, method)(*arguments)
        except OSError as error:  # a full disk behind it, or nobody who reads: say which file it was
            raise OSError(error.errno, error.strerror, STDOUT) from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def complain(text: str) -> None:
    """A sentence on standard error: one line, cleaned and shortened, whatever the user's input in it was."""
    line = re.sub(r"\s*[\r\n]+\s*", " ", text.strip())
    with suppress(OSError):  # it may be closed, or be a full disk; there is nowhere else to say it
        sys.stderr.write(f"saccade: {shortened(printable(line))}\n")
        sys.stderr.flush()


def sentence(error: Exception) -> str:
    """What an error says; of an operating system's, with the file that it is about."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


def plain(stream: Any) -> bool:
    """Whether only lines may be written there: it is no terminal, or one that wants neither colour nor bars."""
    return not stream.isatty() or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") in ("dumb", "unknown")


def columns() -> int:
    """How wide the terminal is."""
    return shutil.get_terminal_size().columns


def drawable(text: str) -> str:
    """The text of a picture; in ASCII where standard output cannot write its shades."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return text.translate(ASCII).encode("ascii", "backslashreplace").decode()
    return text
