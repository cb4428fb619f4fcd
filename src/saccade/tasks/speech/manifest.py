"""A manifest of a user's own recordings: a line with path and transcript for each."""

from pathlib import Path

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.files import composed, read_lines


def read_manifest(path: Path) -> list[tuple[Path, str]]:
    """Lines path<tab>transcript; paths are relative to the manifest, transcripts are composed (NFC).

    Raises:
        NotFound: no such file, or a recording that does not exist.
        InvalidInput: a line without two columns, or not UTF-8; an empty file.
    """
    rows = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        columns = line.split("\t")
        if len(columns) != 2 or not all(column.strip() for column in columns):
            raise InvalidInput(f"{path}, line {number}: expected a path, a tab and a transcript, not {line!r}")
        recording = path.parent / columns[0].strip()
        if not recording.is_file():
            raise NotFound(f"{path}, line {number}: there is no recording {recording}")
        rows.append((recording, composed(columns[1].strip())))
    if not rows:
        raise InvalidInput(f"{path} is empty")
    return rows
