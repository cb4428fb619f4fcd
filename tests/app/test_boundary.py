"""The boundary of a command: invalid bytes, closed streams, signals, echoed input, limits."""

import io
import os
import shutil
import signal
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import saccade as package
from saccade.app.main import as_text, main
from saccade.app.progress import Lines, progress
from saccade.core.printable import shortened
from saccade.runs import catalogue, ending, learning, scoring
from saccade.tasks.translation.parallel_text import embedded_pairs
from saccade.training.fit import Training
from tests.app.conftest import Command
from tests.app.test_bad_input import TINY, refused

LONG = "a" * 10_000


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        (["predict", "RUN", "Go \udcff home"], 3),
        (["explain", "Go \udcff home", "--model", "bert"], 2),
        (["train", "rnnsearch", "tiny", "--out", "caf\udce9"], 5),
        (["li\udcffst"], 1),
    ],
)
def test_an_argument_that_is_not_utf8(saccade: Command, arguments: list[str], number: int) -> None:
    refused(saccade(*arguments), f"argument {number} is not UTF-8 (byte 0x")


def test_arguments_are_utf8_in_any_locale() -> None:
    assert as_text("caf\udcc3\udca9", 1) == "café"  # as Python decodes it in an ASCII locale
    assert as_text("café", 1) == "café"


def test_each_line_of_a_pipe_is_answered_regardless_of_its_content(saccade: Command, run: Path) -> None:
    stdin = b"\xef\xbb\xbfGo home.\n\xff\xfe\n" + b"a" * 4000 + b"\n" + b"b" * 2_000_000 + b"\nHe is sure."
    done = saccade("predict", run, stdin=stdin)
    loaded = package.load(run)
    assert done.status == 2
    assert done.out.split("\n") == [str(loaded.predict("Go home.")), "", "", "", str(loaded.predict("He is sure.")), ""]
    said = done.err.splitlines()
    assert [line.split(":")[1] for line in said] == [" line 2", " line 3", " line 4"]
    assert ["not UTF-8 (byte 0xff)" in said[0], "at most 2,000 characters, got 4,000" in said[1]] == [True, True]
    assert "at most 1,000,000 bytes" in said[2]


def test_other_lines_are_answered_if_a_recording_is_missing(saccade: Command, tiny_runs: dict[str, Path]) -> None:
    run = tiny_runs["ctc_speech"]
    sample = run / "assets" / "inputs" / "1.wav"
    done = saccade("predict", run, stdin=f"/nowhere.wav\n{LONG}\n{sample}\n".encode())
    assert done.out.split("\n") == ["", "", str(package.load(run).predict(sample)), ""]
    assert "line 1: /nowhere.wav: there is no such recording" in done.err
    assert "line 2: " in done.err


def test_closed_streams(saccade: Command, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with open(os.devnull, "w") as errors:
        monkeypatch.setattr(sys, "stderr", None)
        assert main(["list"]) == 2
        monkeypatch.setattr(sys, "stderr", errors)
    monkeypatch.undo()
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["predict", str(run), "--pictures", str(tmp_path)]) == 2


def test_closed_standard_output_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["--help"]) == 2
    assert capsys.readouterr().err == "saccade: standard output is closed: redirect it to a file, or to /dev/null\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("arguments", [["list"], ["--help"], ["evaluate", "--help"]])
def test_a_full_disk_behind_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(arguments) == 2
        monkeypatch.undo()
    assert capsys.readouterr().err == "saccade: standard output: No space left on device\n"


def test_a_reader_that_closed_the_pipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert main(["list"]) == 0
        monkeypatch.undo()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("text", ["\x1b]0;owned\x07\x1b[2J", "two\nlines\r\x9b2J", LONG, "many words " * 1000])
@pytest.mark.parametrize(
    "around",
    [
        lambda text: [text],
        lambda text: ["train", text],
        lambda text: ["train", "rnnsearch", text],
        lambda text: [*TINY, f"--{text}", "3"],
        lambda text: [*TINY, "--device", text],
        lambda text: [*TINY, "--training.steps", text],
        lambda text: [*TINY, "--config", text],
        lambda text: ["predict", text, "Go."],
        lambda text: ["evaluate", text],
        lambda text: ["explain", "Go.", "--model", f"/nowhere/{text}"],
        lambda text: ["serve", text],
        lambda text: ["report", "--keep", text],
    ],
)
def test_echoed_input_is_printable_and_short(saccade: Command, around: Callable[[str], list[str]], text: str) -> None:
    done = saccade(*around(text))
    assert done.status == 2
    assert done.err.startswith("saccade: ")
    assert done.err.endswith("\n")
    assert done.err[:-1].isprintable()
    assert len(done.err) < 2100


def test_the_input_of_a_model_is_echoed_without_control_characters(saccade: Command, run: Path, tmp_path: Path) -> None:
    text, pictures = "Go\x1b[31m home \x9b2J", ("--pictures", tmp_path)
    for arguments in (["predict", run, text, *pictures], ["explain", text, "--model", run, *pictures]):
        done = saccade(*arguments)
        assert done.status == 0, done.err
        assert done.out.replace("\n", "").isprintable()
        assert done.err.replace("\n", "").isprintable()


def test_a_long_path_is_shortened_in_the_middle() -> None:
    assert shortened("no " + "b" * 290 + " here") == "no " + "b" * 290 + " here"
    found = shortened(f"there is no 'first{LONG}last'; did you mean 'x'?")
    assert found.startswith("there is no 'firstaaa")
    assert found.endswith("aaalast'; did you mean 'x'?")
    assert len(found) < 400


def test_the_environment_of_a_shell(run: Path, tmp_path: Path) -> None:
    """In an ASCII locale, without standard input, with an unknown display."""
    command = [sys.executable, "-m", "saccade", "predict", str(run), "Un café.", "--pictures", str(tmp_path)]
    quoted = " ".join(f"'{word}'" for word in command)
    clean = {name: value for name, value in os.environ.items() if name not in ("LANG", "PYTHONUTF8")}
    done = subprocess.run(
        ["sh", "-c", f"{quoted} <&-"], env=clean | {"LC_ALL": "C", "MPLBACKEND": "nosuch"}, capture_output=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert str(package.load(run).predict("Un café.")) in done.stdout.decode("utf-8")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"RANK": "0"}, "has RANK, but lacks WORLD_SIZE"),
        ({"WORLD_SIZE": "2"}, "has WORLD_SIZE, but lacks RANK"),
        ({"RANK": "first", "WORLD_SIZE": "2"}, "RANK in the environment must be a whole number, not 'first'"),
        ({"RANK": "0", "WORLD_SIZE": "-2"}, "WORLD_SIZE in the environment must be a whole number, not '-2'"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "expected RANK from 0 to 1"),
        ({"RANK": "0", "WORLD_SIZE": "0"}, "WORLD_SIZE is 0"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "lacks MASTER_ADDR and MASTER_PORT"),
        ({"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "x", "MASTER_PORT": "1"}, "but lacks LOCAL_RANK"),
    ],
)
def test_incomplete_process_variables_in_the_environment(
    saccade: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: dict[str, str], said: str
) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    refused(saccade(*TINY, "--out", tmp_path / "run"), said)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("system", "most"), [("rnnsearch", 2000), ("handwriting", 500)])
def test_a_text_that_is_too_long_is_refused_before_the_work(
    saccade: Command, tiny_runs: dict[str, Path], system: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_runs[system]
    monkeypatch.setattr("saccade.runs.run.Run.predictions", lambda *_: pytest.fail("it was asked"))
    assert package.load(run).task.read("a" * most)
    refused(saccade("predict", run, "go", "a" * 4000), f"at most {most:,} characters, got 4,000")
    refused(saccade("explain", "a" * 4000, "--model", run), f"at most {most:,} characters, got 4,000")


def test_a_recording_that_is_too_long_is_refused_before_the_work(
    saccade: Command, tiny_runs: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "long.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 8000 * 121))
    refused(saccade("predict", tiny_runs["ctc_speech"], path), "long.wav: expected at most 120 seconds", "got 121")


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def terminated(*_: object, **__: object) -> None:
    signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize(
    ("place", "name", "stop"),
    [
        (ending, "score", terminated),
        (ending, "draw", interrupted),
        (learning, "fitted", interrupted),
        (Training, "log", interrupted),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_an_interruption_at_any_point_prints_how_to_resume(
    saccade: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, stop: Any
) -> None:
    out, before = tmp_path / "a run", signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(place, name, stop)
    done = saccade(*TINY, "--training.steps", 2, "--out", out)
    assert done.status == 130
    assert done.out.endswith(f"stopped; resume with: saccade train --resume '{out}'\n")
    assert signal.getsignal(signal.SIGTERM) == before
    if name == "score":
        monkeypatch.undo()
        assert saccade("train", "--resume", out).status == 0
        assert (out / "evidence.json").exists()


def test_an_interruption_before_the_run_exists(
    saccade: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "rehearse", interrupted)
    done = saccade(*TINY, "--out", tmp_path / "run")
    assert (done.status, done.out, done.err) == (130, "reading the data\n", "saccade: interrupted\n")
    assert saccade(*TINY, "--out", run).out in ("", "reading the data\n")  # another folder, whose run is not continued


def test_a_termination_of_evaluate_is_reported(saccade: Command, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "score", terminated)
    done = saccade("evaluate", run)
    assert (done.status, done.out, done.err) == (130, "scoring the test split\n", "saccade: stopped by SIGTERM\n")


def test_a_value_that_is_a_path_makes_no_folder(saccade: Command, run: Path, tmp_path: Path) -> None:
    copy, path = Path(shutil.copytree(run, tmp_path / "run")), tmp_path / "pairs.tsv"
    path.write_text("".join(f"{source}\t{target}\n" for source, target in embedded_pairs("test")[:5]))
    before = set((copy / "pictures").iterdir())
    done = saccade("evaluate", copy, "--study", "over", "task.test", path, tmp_path / "." / "pairs.tsv", "--json")
    assert done.status == 0, done.err
    new = set((copy / "pictures").iterdir()) - before
    assert all(made.is_file() for made in new)
    assert len([made for made in new if made.name.startswith("alignment-task.test-") and made.suffix == ".png"]) == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("names", "lines"), [({"TERM": "xterm"}, False), ({"NO_COLOR": "1"}, True), ({"TERM": "dumb"}, True)]
)
def test_progress_is_printed_as_lines_on_plain_terminals(
    monkeypatch: pytest.MonkeyPatch, names: dict[str, str], lines: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress(10) as report:
        report({"step": 5, "loss": 1.0})
    monkeypatch.undo()
    assert isinstance(report, Lines) == lines
    assert ("\x1b" in terminal.getvalue()) != lines


def test_help_has_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main([*TINY, "--help"]) == 0
    assert "--model.hidden-size" in terminal.getvalue()
    assert "\x1b" not in terminal.getvalue()


HINTS = [
    (["--hlep"], "did you mean '--help'"),
    (["--verion"], "did you mean '--version'"),
    ([*TINY, "--hlep"], "did you mean '--help'"),
    ([*TINY, "--otu", "x"], "did you mean '--out'"),
    ([*TINY, "--resme", "x"], "did you mean '--resume'"),
    ([*TINY, "--zzzzzzzz", "1"], "saccade train rnnsearch --help lists them"),
    (["train", "--resume", "RUN", "--out", "x"], "--out cannot be combined with --resume, which continues in RUN"),
    (["train", "--resume=RUN", "--out=x"], "--out cannot be combined with --resume"),
    (["predict", "RUN", "Go.", "--picturse", "x"], "did you mean '--pictures'"),
    (["evaluate", "RUN", "--hlep"], "did you mean '--help'"),
    (["evaluate", "RUN", "--splti", "test"], "did you mean '--split'"),
    (["evaluate", "RUN", "--study", "over", "zzzzzzzz", "1"], "saccade train rnnsearch --help lists them"),
    (["explain", "Go.", "--model", "RUN", "--hmtl", "x"], "did you mean '--html'"),
    ([*TINY, "--config", "RUN"], "RUN: a folder, not a file of YAML; a run's is RUN/config.yaml"),
]


@pytest.mark.parametrize(("arguments", "said"), HINTS, ids=[" ".join(given)[-40:] for given, _ in HINTS])
def test_hints(
    saccade: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "RUN").symlink_to(run)
    refused(saccade(*arguments), said)


def test_an_unknown_key_in_a_configuration_file_is_hinted_at(saccade: Command, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("training: {zzzzzzzz: 3}")
    refused(saccade(*TINY, "--config", file), "training.zzzzzzzz", "saccade train rnnsearch --help lists them")


def test_a_variant_among_many_is_hinted_at(saccade: Command) -> None:
    assert len(catalogue.recipe("rnnsearch").variants) > 12
    refused(saccade("train", "rnnsearch", "zzzzzzzz"), "saccade train rnnsearch --help lists them")
