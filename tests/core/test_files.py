"""Files are replaced atomically, errors name them, and the unpacked size is limited."""

import errno
import gzip
import os
import threading
from pathlib import Path

import pytest

from saccade.core import files
from saccade.core.errors import InvalidInput, NotFound
from saccade.core.files import read_lines, read_record, write_atomically


def test_an_error_names_the_file_and_not_the_temporary_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    (tmp_path / "plain").write_text("")
    with pytest.raises(NotADirectoryError) as caught:
        write_atomically(tmp_path / "plain" / "file", b"")
    assert caught.value.filename == str(tmp_path / "plain" / "file")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as filled:
        write_atomically(path, b"after")
    assert (filled.value.errno, filled.value.filename) == (errno.ENOSPC, str(path))


def test_several_writers_can_replace_one_file(tmp_path: Path) -> None:
    """Like two processes with the same ID, on two machines that share the folder."""
    path, failed, start = tmp_path / "file", [], threading.Barrier(8)

    def write(number: int) -> None:
        start.wait()
        try:
            for _ in range(20):
                write_atomically(path, bytes([number]) * 1000)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(set(path.read_bytes())) == 1
    assert os.listdir(tmp_path) == ["file"]


def test_an_archive_is_unpacked_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "text.gz"
    monkeypatch.setattr(files, "UNPACKED", 5000)
    monkeypatch.setattr(files, "STEP", 1000)
    path.write_bytes(gzip.compress(b"ab\n" * 1500))
    assert read_lines(path) == ["ab"] * 1500
    # a gzip file may have several members
    path.write_bytes(gzip.compress(b"ab\n" * 1000) + gzip.compress(b"cd\n" * 500))
    assert read_lines(path) == ["ab"] * 1000 + ["cd"] * 500
    path.write_bytes(gzip.compress(b"\n" * 100_000))
    with pytest.raises(InvalidInput, match=r"text\.gz: the gzip archive unpacks to more than .* GB; unpack it"):
        read_lines(path)
    path.write_bytes(gzip.compress(b"ab\n" * 1500)[:-9])
    with pytest.raises(InvalidInput, match="broken or cut off"):
        read_lines(path)
    (tmp_path / "plain").write_bytes(b"ab\n" * 9000)  # its unpacked size is visible
    assert len(read_lines(tmp_path / "plain")) == 9000


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no device without an end")
def test_an_endless_file_is_read_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "UNPACKED", 2**21)
    with pytest.raises(InvalidInput, match=r"/dev/zero: more than .* GB from a pipe"):
        read_lines(Path("/dev/zero"))


def test_an_error_names_the_folder_of_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound) as caught:
        read_lines(Path("data.tsv"))
    assert str(caught.value) == f"data.tsv: there is no such file in {tmp_path}"


def test_a_deeply_nested_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("[" * 100_000)
    with pytest.raises(InvalidInput, match="damaged or cut off"):
        read_record(tmp_path / "record.json")
