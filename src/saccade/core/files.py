"""Files are replaced whole, or left as they were."""

import errno
import os
from pathlib import Path


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
