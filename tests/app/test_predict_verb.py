"""Answers do not depend on whether pictures can be written."""

import io
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

import saccade as package
from saccade.app import predict_verb
from saccade.app.main import main
from saccade.app.predict_verb import decoded, files_of, text_waits
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
    assert drawn == ["alignment", "alignment"]


def test_a_named_folder_that_cannot_be_written_is_an_error(saccade: Command, closed: Path) -> None:
    done = saccade("predict", closed, "Go home.", "--pictures", closed / "pictures")
    assert done.status == 2
    assert done.out.splitlines()[0] == str(package.load(closed).predict("Go home."))
    assert done.err.startswith("saccade: no pictures were written to ")
    assert done.err.rstrip().endswith("name another folder")
    assert done.err.count("\n") == 1


def test_the_likeliest_symbols_of_each_step(saccade: Command, run: Path, tmp_path: Path) -> None:
    done = saccade("predict", run, "Go home.", "--best", "3", "--pictures", tmp_path)
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("written"))
    assert lines[first].endswith("log-probabilities of the likeliest symbols")
    table = lines[first + 1 : lines.index("", first)]
    loaded = package.load(run)
    example = loaded.read("Go home.")
    steps = loaded.steps(example, loaded.predictions([example])[0], 3)
    assert len(table) == len(steps)
    for line, step in zip(table, steps, strict=True):
        assert [f"{value:.2f}" for _, value in step.likeliest] == re.findall(r"-\d+\.\d\d", line)
    for best, said in (("0", "expected from 1 to 200 symbols, the vocabulary, got 0"), ("x", "--best")):
        done = saccade("predict", run, "Go home.", "--best", best)
        assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
        assert said in done.err
    done = saccade("predict", run, "--best", "3", stdin=b"Go home.\n")
    assert (done.status, done.out) == (2, "")
    assert "--best needs INPUT" in done.err


def test_a_captions_log_probability_and_further_ones(
    saccade: Command, tiny_runs: dict[str, Path], tmp_path: Path
) -> None:
    run, photo = tiny_runs["show_attend_tell"], tmp_path / "photo.png"
    loaded = package.load(run)
    photo.write_bytes(loaded.to_type(1)[0])  # type: ignore[arg-type]
    [said] = loaded.predictions([loaded.read(str(photo))])
    [first, *others] = loaded.task.proposals(said)  # type: ignore[attr-defined]
    assert others
    done = saccade("predict", run, photo, "--pictures", tmp_path / "pictures")
    assert done.out.splitlines()[:2] == [first[0], f"log-probability {first[1]:.2f}"]
    assert (done.out.splitlines()[2], done.err) == ("", "")
    done = saccade("predict", run, photo, "--best", "9", "--pictures", tmp_path / "pictures")
    assert (done.status, done.out.splitlines()[2].split("  ")[-1]) == (0, others[0][0])
    assert f"{others[0][1]:.2f}" in done.out.splitlines()[2]
    found = len(others) + 1
    assert done.err == f"saccade: note: 9 answers were asked for; the search found {found}, a wider beam finds more\n"


def test_a_dash_is_the_file_on_standard_input(
    saccade: Command, tiny_runs: dict[str, Path], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, names = package.load(tiny_runs["show_attend_tell"]), list[str]()
    monkeypatch.setattr("saccade.runs.ending.draw", lambda pictures, folder, name: names.append(name) or [])
    monkeypatch.setattr(predict_verb, "LARGEST", 100_000)
    for photo in loaded.to_type(2):
        assert isinstance(photo, bytes)
        done = saccade("predict", loaded.folder.path, "-", stdin=photo)
        assert (done.status, done.err) == (0, "")
        assert done.out.splitlines()[0] == str(loaded.predict(photo))
    assert len(set(names)) == 2  # another image has other pictures
    assert all(name.startswith("predict-standard-input-") for name in names)
    for bad, said in ((b"", "the input is empty"), (b"no image", "the image"), (b"x" * 100_001, "at most 100,000")):
        done = saccade("predict", loaded.folder.path, "-", stdin=bad)
        assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
        assert said in done.err
    done = saccade("predict", run, "-", stdin=b"Go home.")  # a text, as any other
    assert (done.status, done.out.splitlines()[0]) == (0, str(package.load(run).predict("-")))


@pytest.mark.parametrize("system", ["show_attend_tell", "ctc_speech"])
def test_a_file_in_place_of_lines_is_refused_in_a_sentence_that_names_the_dash(
    saccade: Command, tiny_runs: dict[str, Path], system: str
) -> None:
    loaded = package.load(tiny_runs[system])
    data = loaded.to_type(1)[0]
    done = saccade("predict", loaded.folder.path, stdin=data if isinstance(data, bytes) else Path(data).read_bytes())
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.endswith(f"type saccade predict {loaded.folder.path} -\n")


def test_without_input_the_answer_comes_first(saccade: Command, tiny_runs: dict[str, Path], tmp_path: Path) -> None:
    run = tiny_runs["draw"]
    done = saccade("predict", run, "--pictures", tmp_path)
    assert (done.status, done.out.splitlines()[0]) == (0, str(package.load(run).predict("")))


def test_a_folder_stands_for_the_files_in_it_that_can_be_read(
    saccade: Command, tiny_runs: dict[str, Path], run: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    (folder / "more.png").mkdir(parents=True)
    loaded = package.load(tiny_runs["show_attend_tell"])
    for name, photo in zip(("b.png", "a.PNG", ".hidden.png", "notes.txt"), loaded.to_type(4), strict=False):
        (folder / name).write_bytes(photo)  # type: ignore[arg-type]
    done = saccade("predict", loaded.folder.path, folder, "--pictures", tmp_path)
    assert (done.status, done.err) == (0, "")
    named = [line for line in done.out.splitlines() if line.startswith(str(folder))]
    assert named == [f"{folder / 'a.PNG'}:", f"{folder / 'b.png'}:"]
    said = str(loaded.predict(str(folder / "a.PNG")))
    assert done.out.splitlines()[1] == said
    done = saccade("predict", loaded.folder.path, folder / "more.png")
    assert (done.status, done.out) == (2, "")
    assert "is a folder without a file of the kind image/*" in done.err
    assert files_of(str(folder), ("text",)) == [str(folder)]  # a text may be the name of a folder


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_line_is_read_without_its_line_break(end: bytes) -> None:
    """A task that reads a number or a path gets exactly that."""
    assert decoded(b"3" + end, 2) == "3"
    assert decoded(b"\xef\xbb\xbf a b " + end, 1) == " a b "


def test_the_help_says_that_some_systems_need_no_input(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    said = capsys.readouterr().out
    assert "Some systems need no input" in said
    assert "saccade predict RUN - < photo.png" in said


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are not asked there")
def test_text_that_waits_is_seen_and_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a\nb\n")
    with open(tmp_path / "text") as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert text_waits()
        assert file.read() == "a\nb\n"
        assert not text_waits()
    assert not text_waits()  # closed
    reading, writing = os.pipe()
    with open(reading) as pipe, open(writing, "w") as other:
        monkeypatch.setattr(sys, "stdin", pipe)
        assert not text_waits()  # open and empty
        other.write("a")
        other.flush()
        assert text_waits()
    with open(os.devnull) as null:
        monkeypatch.setattr(sys, "stdin", null)
        assert not text_waits()
    monkeypatch.setattr(sys, "stdin", io.StringIO("a"))
    assert not text_waits()  # no file
