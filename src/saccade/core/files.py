"""Files are replaced whole, or left as they were; text is UTF-8, or the line that is not is named."""

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
"""The most bytes that are read from an archive or a pipe: a gzip file of 8 MB can hold 8 GB."""
STEP = 2**20


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Within, an OSError names this path; a full disk names none, and a temporary file is not the user's."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the file, or leave it as it was where the disk is full or the process dies.

    Raises:
        OSError: naming the path.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    # beside the target: a temporary folder may be another file system, and a move across is a copy
    # and the number of a process is not its own where machines or threads share the folder
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
    """The text with letters and their marks composed (NFC), however they were typed. Readers of text call it.

    Not for names of files, which some systems keep decomposed.
    """
    return unicodedata.normalize("NFC", text)


def read_record(path: Path, *keys: str) -> dict[str, Any]:
    """What a JSON file that we wrote holds.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is damaged, or lacks one of the keys.
    """
    text = "\n".join(read_lines(path))
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path}: damaged or cut off ({error})") from error
    if not isinstance(found, dict) or not set(keys) <= set(found):
        raise InvalidInput(f"{path}: expected a record of {', '.join(keys)}")
    return found


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, gzip if its first bytes say so.

    Raises:
        NotFound: there is no such file.
        InvalidInput: a broken archive, or one that unpacks to more than `UNPACKED`; bytes that are not UTF-8, with the
            line where they stand.
    """
    if path.is_dir():
        raise InvalidInput(f"{path}: a folder, not a file")
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
    """For an error: the folder from which a relative path starts."""
    return "" if path.is_absolute() else f" in {Path.cwd()}"


def read_unpacked(path: Path) -> bytes | bytearray:
    """The bytes of a file, unpacked where it is a gzip archive.

    Raises:
        InvalidInput: a broken archive, or more than `UNPACKED` bytes of an archive or a pipe.
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
