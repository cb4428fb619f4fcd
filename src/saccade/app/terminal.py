"""Output of the commands, without control characters from users' input or files."""

import os
import re
import shutil
import sys
from contextlib import suppress
from typing import Any

from saccade.core.printable import printable, shortened

STDOUT = "standard output"
ASCII = str.maketrans("·░▒▓█…–", ".-+*#~-")  # the characters of pictures


class Printed:
    """Standard output, with control characters other than line feeds and tabs replaced by "�"."""

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
        except OSError as error:  # a full disk or a closed pipe: name the file
            raise OSError(error.errno, error.strerror, STDOUT) from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def complain(text: str) -> None:
    """Print a sentence to standard error, on one line, without control characters, and shortened."""
    line = re.sub(r"\s*[\r\n]+\s*", " ", text.strip())
    with suppress(OSError):  # it may be closed or on a full disk, and there is nowhere else to report
        sys.stderr.write(f"saccade: {shortened(printable(line))}\n")
        sys.stderr.flush()


def sentence(error: Exception) -> str:
    """The message of an error, with the file for an error of the operating system."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


def plain(stream: Any) -> bool:
    """Whether to write plain lines: it is not a terminal, or one without colour and bars."""
    return not stream.isatty() or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") in ("dumb", "unknown")


def columns() -> int:
    """The width of the terminal."""
    return shutil.get_terminal_size().columns


def drawable(text: str) -> str:
    """The text of a picture, in ASCII if standard output cannot encode its characters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return text.translate(ASCII).encode("ascii", "backslashreplace").decode()
    return text
