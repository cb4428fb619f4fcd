"""Reading and writing files. A file is replaced whole or not at all; text must be UTF-8, and errors name the line."""

import errno
import gzip
import json
import os
import secrets
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from saccade.core.errors import InvalidInput, NotFound

UNPACKED = 2**30
"""The most bytes read from an archive or a pipe, since a gzip file of 8 MB can unpack to 8 GB."""
STEP = 2**20


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Make every OSError raised within the block name this path. The error of a full disk names no file, or our
    temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the file as a whole; if the disk is full or the process dies, the old file is unchanged.

    Raises:
        OSError: naming the path.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    # beside the target, since a temporary folder may be on another file system, where a move is a copy; the process ID
    # alone is not unique where several machines or threads share the folder
    beside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    with naming(path):
        try:
            with beside.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


def composed(text: str) -> str:
    """The text in composed form (NFC). Everything that reads text calls it.

    Not for file names, which some systems store decomposed.
    """
    return unicodedata.normalize("NFC", text)


def read_record(path: Path, *keys: str) -> dict[str, Any]:
    """Read a JSON file that saccade wrote.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is damaged, or one of the keys is missing.
    """
    text = "\n".join(read_lines(path))
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path}: damaged or cut off ({error})") from error
    if not isinstance(found, dict) or not set(keys) <= set(found):
        raise InvalidInput(f"{path}: expected a JSON object with {', '.join(keys)}")
    return found


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, which may be a gzip archive.

    Raises:
        NotFound: there is no such file.
        InvalidInput: a broken archive, or one that unpacks to more than `UNPACKED` bytes; bytes that are not UTF-8,
            with their line number.
    """
    if path.is_dir():
        raise InvalidInput(f"{path}: expected a file, not a folder")
    if not path.exists():
        raise NotFound(f"{path}: there is no such file{against(path)}")
    raw = read_unpacked(path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InvalidInput(f"{path}, line {line}: not UTF-8 (byte 0x{raw[error.start]:02x})") from error
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def against(path: Path) -> str:
    """The folder that a relative path starts from, for an error message."""
    return "" if path.is_absolute() else f" in {Path.cwd()}"


def read_unpacked(path: Path) -> bytes | bytearray:
    """The bytes of a file, unpacked if it is a gzip archive.

    Raises:
        InvalidInput: a broken archive, or more than `UNPACKED` bytes from an archive or a pipe.
    """
    with naming(path), path.open("rb") as file:
        packed = file.peek(2)[:2] == b"\x1f\x8b"
        if path.is_file() and not packed:
            return file.read()
        source, found = gzip.GzipFile(fileobj=file) if packed else file, bytearray()
        while len(found) <= UNPACKED:
            try:
                part = source.read(STEP)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise InvalidInput(f"{path}: the gzip archive is broken or cut off ({error})") from error
            if not part:
                return found
            found += part
    much = f"more than {UNPACKED / 2**30:g} GB"
    raise InvalidInput(
        f"{path}: the gzip archive unpacks to {much}; unpack it yourself, or split it"
        if packed
        else f"{path}: {much} from a pipe; write it to a file first"
    )
