"""`saccade evaluate RUN --over FIELD VALUE...`."""

import json
import shutil
from pathlib import Path

import pytest

from saccade import load
from tests.app.conftest import Command


@pytest.fixture
def copied(tiny_runs: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_runs["ctc_speech"], tmp_path / "run"))


def test_each_value_is_scored_drawn_and_kept(saccade: Command, copied: Path) -> None:
    done = saccade("evaluate", copied, "--over", "task.times-as-long", "1", "2", "--keep")
    assert done.status == 0, done.err
    found = json.loads((copied / "evidence.json").read_text())["metrics"]["test"]
    rows = found["over"]["task.times_as_long"]["rows"]
    assert [row["value"] for row in rows] == ["1", "2"]
    assert rows[0]["label_error_rate"] == found["label_error_rate"]
    assert rows[1]["labels"] > 1.5 * rows[0]["labels"]
    looks = [row["look"] for row in rows]  # kept, given the right answer, over all symbols that there are
    assert looks[0]["rows"] == looks[1]["rows"] == list(load(copied).task.symbols)
    assert len(looks[1]["columns"]) > len(looks[0]["columns"])
    assert "task.times_as_long 2: ctc_speech tiny, test: label error rate" in done.out
    for name in ("label_error_rate-over-task.times_as_long", "alignment-task.times_as_long-2"):
        assert {path.suffix for path in (copied / "pictures").glob(f"{name}.*")} == {".png", ".svg"}
    # what else was changed is part of the name, and another field goes beside the first
    assert saccade("evaluate", copied, "--over", "decoding.beam", "2", "--task.draw", "2", "--keep").status == 0
    assert saccade("evaluate", copied, "--over", "decoding.beam", "1", "--keep").status == 0
    kept = json.loads((copied / "evidence.json").read_text())["metrics"]["test"]["over"]
    assert list(kept) == ["task.times_as_long", "decoding.beam+task.draw=2", "decoding.beam"]


def test_where_it_is_known_what_to_look_at_that_is_drawn_too(
    saccade: Command, tiny_runs: dict[str, Path], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(tiny_runs["attention_speech"], tmp_path / "run"))
    done = saccade("evaluate", run, "--over", "search.beam", "1", "2")
    assert done.status == 0, done.err
    drawn = [line.rpartition("/")[2] for line in done.out.splitlines() if line.startswith("picture: ")]
    assert drawn == ["label_error_rate-over-search.beam.png", "aligned-over-search.beam.png"]
    assert (run / "pictures" / drawn[1]).exists()


def test_json_is_all_that_is_printed(saccade: Command, copied: Path) -> None:
    before = (copied / "evidence.json").read_bytes()
    done = saccade("evaluate", copied, "--over", "decoding.beam", "2", "--split", "validation", "--json")
    found = json.loads(done.out)
    assert found["split"] == "validation"
    assert len(found["rows"]) == 1
    assert (copied / "evidence.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--over", "decoding.beam"], "--over decoding.beam wants values, such as"),
        (["--over", "decoding.bean", "1"], "no flag --decoding.bean; did you mean '--decoding.beam'"),
        (["--over", "decoding.beam", "1", "none"], "decoding.beam"),
        (["--over", "decoding.beam", "1", "--alignments", "a", "b"], "exclude each other"),
        (["--keep"], "--keep goes with --alignments FILE FILE, --over FIELD VALUE or --gradients"),
    ],
)
def test_what_does_not_fit_is_told_before_the_work(
    saccade: Command, copied: Path, arguments: list[str], said: str
) -> None:
    done = saccade("evaluate", copied, *arguments)
    assert done.status == 2
    assert said in done.err
    assert done.out == ""
