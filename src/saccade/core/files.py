"""Files are replaced whole, or left as they were; text is UTF-8, or the line that is not is named."""

import errno
import gzip
import json
import os
import unicodedata
import zlib
from pathlib import Path
from typing import Any

from saccade.core.errors import InvalidInput, NotFound


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the file, or leave it as it was where the disk is full or the process dies.

    Raises:
        OSError: naming the path.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    # beside the target: a temporary folder may be another file system, and a move across is a copy
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
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
    except ValueError as error:
        raise InvalidInput(f"{path}: damaged or cut off ({error})") from error
    if not isinstance(found, dict) or not set(keys) <= set(found):
        raise InvalidInput(f"{path}: expected a record of {', '.join(keys)}")
    return found


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, gzip if its first bytes say so.

    Raises:
        NotFound: there is no such file.
        InvalidInput: a broken archive, or bytes that are not UTF-8, with the line where they stand.
    """
    if path.is_dir():
        raise InvalidInput(f"{path}: a folder, not a file")
    if not path.exists():
        raise NotFound(f"{path}: there is no such file")
    raw = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (EOFError, OSError, zlib.error) as error:
            raise InvalidInput(f"{path}: the gzip archive is broken or cut off ({error})") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InvalidInput(f"{path}, line {line}: not UTF-8 (byte 0x{raw[error.start]:02x})") from error
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines
