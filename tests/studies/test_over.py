"""`saccade evaluate RUN --study over FIELD VALUE...`."""

import json
import shutil
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from saccade import load
from saccade.explain.pictures.sound import Sound
from saccade.runs.run import open_run
from saccade.studies import over
from tests.app.conftest import Command

OVER = ("--study", "over")


@pytest.fixture
def copied(tiny_runs: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_runs["ctc_speech"], tmp_path / "run"))


def test_each_value_is_scored_drawn_and_stored(saccade: Command, copied: Path) -> None:
    done = saccade("evaluate", copied, *OVER, "task.times-as-long", "1", "2", "--keep")
    assert done.status == 0, done.err
    evidence = json.loads((copied / "evidence.json").read_text())
    found, rows = evidence["metrics"]["test"], evidence["studies"]["over"]["task.times_as_long"]["rows"]
    assert [row["value"] for row in rows] == ["1", "2"]
    assert rows[0]["label_error_rate"] == found["label_error_rate"]
    assert rows[1]["labels"] > 1.5 * rows[0]["labels"]
    pictures = [row["picture"] for row in rows]  # stored, with the right answer, over the whole alphabet
    assert [picture["kind"] for picture in pictures] == ["sound", "sound"]
    assert pictures[0]["rows"] == pictures[1]["rows"] == list(load(copied).task.symbols)
    assert len(pictures[1]["weights"][0]) > len(pictures[0]["weights"][0])
    assert "task.times_as_long 2: ctc_speech tiny, test: label error rate" in done.out
    for name in ("label_error_rate-over-task.times_as_long", "sound-task.times_as_long-2"):
        assert {path.suffix for path in (copied / "pictures").glob(f"{name}.*")} == {".png", ".svg"}
    # other changes are part of the name, and another field is stored separately
    assert saccade("evaluate", copied, *OVER, "prefix-beam.beam", "2", "--task.draw", "2", "--keep").status == 0
    assert saccade("evaluate", copied, *OVER, "prefix-beam.beam", "1", "--keep").status == 0
    kept = json.loads((copied / "evidence.json").read_text())["studies"]["over"]
    assert list(kept) == ["task.times_as_long", "prefix_beam.beam+task.draw=2", "prefix_beam.beam"]


def test_the_models_own_answer_to_the_longest_of_ten_is_drawn(tiny_runs: dict[str, Path]) -> None:
    """Given the right answer, the pictures of a wider beam would all be the same."""
    options = Namespace(run=tiny_runs["attention_speech"], split=None, field="search.beam", values=["1", "3"])
    found = over.find(options, [], lambda line: None)
    sounds = [picture for picture in found.pictures if isinstance(picture, Sound)]
    assert [picture.name for picture in sounds] == ["sound-search.beam-1", "sound-search.beam-3"]
    for beam, picture in zip(options.values, sounds, strict=True):
        run = open_run(options.run, "--search.beam", beam)
        examples = run.task.examples("test")[:10]
        longest = max(examples, key=lambda example: len(run.task.frames(example)))  # type: ignore[attr-defined]
        [own] = run.pictures(longest, run.predictions([longest])[0])
        assert isinstance(own, Sound)
        assert list(picture.rows) == list(own.rows)
        np.testing.assert_allclose(picture.weights, own.weights, atol=1e-5)


def test_measures_with_a_known_answer_are_also_drawn(
    saccade: Command, tiny_runs: dict[str, Path], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(tiny_runs["attention_speech"], tmp_path / "run"))
    done = saccade("evaluate", run, *OVER, "search.beam", "1", "2")
    assert done.status == 0, done.err
    drawn = [line.rpartition("/")[2] for line in done.out.splitlines() if line.startswith("picture: ")]
    assert drawn == [
        "sound-search.beam-1.png", "sound-search.beam-2.png", "label_error_rate-over-search.beam.png",
        "attention_entropy-over-search.beam.png", "aligned-over-search.beam.png",
    ]  # fmt: skip
    assert all((run / "pictures" / name).exists() for name in drawn)


def test_with_json_nothing_else_is_printed(saccade: Command, copied: Path) -> None:
    before = (copied / "evidence.json").read_bytes()
    done = saccade("evaluate", copied, *OVER, "prefix-beam.beam", "2", "--split", "validation", "--json")
    found = json.loads(done.out)
    assert found["split"] == "validation"
    assert [row["value"] for row in found["rows"]] == ["2"]
    assert (copied / "evidence.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*OVER, "prefix-beam.beam"], "the following arguments are required: values"),
        ([*OVER, "prefix-beam.bean", "1"], "no flag --prefix-beam.bean; did you mean '--prefix-beam.beam'"),
        ([*OVER, "decoding.beam", "1"], "no flag --decoding.beam; that field is --prefix-beam.beam"),
        ([*OVER, "prefix-beam.beam", "1", "none"], "--prefix-beam.beam must be a whole number, not 'none'"),
        ([*OVER, "prefix-beam.beam", "1", "--study", "gradients"], "--study is given twice"),
        (["--study", "ovr", "decoding.beam", "1"], "there is no study 'ovr'; did you mean 'over'"),
        (["--study"], "--study takes a name; there are: alignments, captions, gradients, over"),
        (["--keep"], "--keep needs --study NAME"),
    ],
)
def test_invalid_values_are_reported_before_scoring(
    saccade: Command, copied: Path, arguments: list[str], said: str
) -> None:
    done = saccade("evaluate", copied, *arguments)
    assert done.status == 2
    assert said in done.err
    assert done.out == ""
