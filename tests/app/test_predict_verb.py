"""Answers do not depend on whether pictures can be written."""

import shutil
from pathlib import Path

import pytest

import saccade as package
from saccade.app.predict_verb import decoded
from tests.app.conftest import Command


@pytest.fixture
def closed(run: Path, tmp_path: Path) -> Path:
    """A run in whose folder nobody, not even root, can write pictures."""
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    shutil.rmtree(copy / "pictures")
    (copy / "pictures").write_text("")
    return copy


def test_a_read_only_run_answers_and_suggests_a_folder_for_pictures(saccade: Command, closed: Path) -> None:
    texts = ("Go home.", "He is sure.")
    done = saccade("predict", closed, *texts)
    assert done.status == 0
    assert done.err.count("\n") == 1
    assert done.err.startswith(f"saccade: note: no pictures were written to {closed / 'pictures'} (")
    assert "pass --pictures FOLDER" in done.err
    answers = [str(package.load(closed).predict(text)) for text in texts]
    assert [line for line in done.out.splitlines() if line in answers] == answers
    assert "picture: " not in done.out
    done = saccade("predict", closed, *texts, "--pictures", closed.parent / "elsewhere")
    assert (done.status, done.err) == (0, "")
    drawn = sorted(path.name.split("-")[0] for path in (closed.parent / "elsewhere").glob("*.png"))
    assert drawn == ["alignment", "alignment", "heads", "heads"]


def test_a_named_folder_that_cannot_be_written_is_an_error(saccade: Command, closed: Path) -> None:
    done = saccade("predict", closed, "Go home.", "--pictures", closed / "pictures")
    assert done.status == 2
    assert done.out.splitlines()[0] == str(package.load(closed).predict("Go home."))
    assert done.err.startswith("saccade: no pictures were written to ")
    assert done.err.rstrip().endswith("name another folder")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_line_is_read_without_its_line_break(end: bytes) -> None:
    """A task that reads a number or a path gets exactly that."""
    assert decoded(b"3" + end, 2) == "3"
    assert decoded(b"\xef\xbb\xbf a b " + end, 1) == " a b "
