"""The demo: a trained translator that comes with the package."""

import json
from pathlib import Path

import pytest

import saccade
from saccade.runs.scoring import scored

FOLDER = Path(saccade.__file__).parent / "demo"


@pytest.mark.unhooked
def test_it_translates_as_well_as_its_evidence_says() -> None:
    run = saccade.load(FOLDER)
    evidence = json.loads((FOLDER / "evidence.json").read_text(encoding="utf-8"))
    examples = run.task.examples("test")[:100]
    found = scored(run, run.predictions(examples), examples)
    assert found.figures["bleu"].value == pytest.approx(evidence["metrics"]["test"]["bleu"], abs=8)  # of 100 sentences
    answer = run.predict("I want another beer.")
    assert answer.text
    assert {picture.name for picture in answer.pictures} >= {"alignment"}


def test_a_run_prints_its_name_and_its_folder_only() -> None:
    assert repr(saccade.load(FOLDER)) == f"Run('rnnsearch demo', '{FOLDER}')"


def test_it_takes_less_than_a_megabyte() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= 1_000_000
