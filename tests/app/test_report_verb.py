"""`report --keep` validates every file, and one invalid file does not hide others."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from saccade.runs import catalogue
from tests.app.conftest import Command
from tests.app.test_bad_input import refused

GOOD = catalogue.evidence("rnnsearch")[-1]


@pytest.fixture
def systems(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A writable copy of the systems' folder."""
    copy = Path(shutil.copytree(catalogue.SYSTEMS, tmp_path / "systems"))
    monkeypatch.setattr(catalogue, "SYSTEMS", copy)
    return copy


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A run folder with evidence that was not stored before."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "evidence.json").write_text(json.dumps({**GOOD, "seeds": [97]}))
    return tmp_path / "run"


def everything(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "change",
    [
        {"date": "/../../../victim"},
        {"date": "/../../../../victim"},
        {"variant": "/../../../victim"},
        {"system": "../victim"},
        {"date": ["2026"]},
        {"date": None},
        {"variant": None, "system": None},
        {"system": ["rnnsearch"]},
        {"paper": None},
        {"metrics": []},
    ],
    ids=str,
)
def test_evidence_with_a_path_or_a_wrong_type_is_refused_without_side_effects(
    saccade: Command, systems: Path, made: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    for folder in (tmp_path, systems, systems / "rnnsearch"):
        (folder / "victim.json").write_text(json.dumps({"system": "rnnsearch"}))
    (made / "evidence.json").write_text(json.dumps({**GOOD, **change}))
    before = everything(tmp_path)
    refused(saccade("report", "--keep", made), f"{made / 'evidence.json'}: not the evidence of a run; ")
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    "data", [b"", b"null", b"[1]", b"\xff", b"[" * 99_999, b'{"system": "rnnsearch", "variant": "a"}']
)
def test_a_file_that_is_not_evidence_is_refused(saccade: Command, systems: Path, made: Path, data: bytes) -> None:
    (made / "evidence.json").write_bytes(data)
    before = everything(systems)
    refused(saccade("report", "--keep", made), "evidence.json: not the evidence of a run; ")
    assert everything(systems) == before


def test_evidence_of_an_unknown_system_is_refused(saccade: Command, systems: Path, made: Path) -> None:
    (made / "evidence.json").write_text(json.dumps({**GOOD, "system": "rnnserch"}))
    refused(saccade("report", "--keep", made), "no system 'rnnserch'")


def test_a_full_disk_leaves_no_partial_file(
    saccade: Command, systems: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = everything(systems)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        done = saccade("report", "--keep", made)
    refused(done, "No space left on device", str(systems / "rnnsearch" / "evidence"))
    assert everything(systems) == before
    assert saccade("report", "--keep", made).status == 0
    assert len(everything(systems)) == len(before) + 1


BAD = {
    "a-empty": b"",
    "b-null": b"null",
    "c-cut": json.dumps(GOOD).encode()[:900],
    "d-bytes": b"\xff\xfe\0",
    "e-deep": b"[" * 99_999,
    "f-fields": b'{"date": "2026-01-01T00:00:00Z"}',
    "g-system": json.dumps({**GOOD, "system": "transformer"}).encode(),
    "h-figure": json.dumps({**GOOD, "metrics": {"test": {"decisive": "bleu", "bleu": "high"}}}).encode(),
}


@pytest.mark.parametrize("verb", ["list", "report"])
def test_one_invalid_file_does_not_hide_others(saccade: Command, systems: Path, verb: str) -> None:
    before = saccade(verb)
    assert (before.status, before.err) == (0, "")
    folder = systems / "rnnsearch" / "evidence"
    for name, data in BAD.items():
        (folder / f"{name}.json").write_bytes(data)
    (folder / "i-folder.json").mkdir()
    done = saccade(verb)
    assert (done.status, done.out) == (0, before.out)
    lines = done.err.splitlines()
    assert len(lines) == len(BAD) + 1
    for name, line in zip(sorted([*BAD, "i-folder"]), lines, strict=True):
        assert line.startswith(f"saccade: note: skipped: {folder / name}.json: ")


def test_a_run_with_different_figures_does_not_break_the_listing(saccade: Command, systems: Path, made: Path) -> None:
    """Evidence of another version may have other figures, or text."""
    [*_, figures] = [
        found["metrics"]["test"] for found in catalogue.evidence("rnnsearch") if found["variant"] == "default"
    ]
    for number, changed in enumerate(
        ({"decisive": "other", "other": 3.0}, {name: "much" for name in figures if name not in ("decisive", "bleu")})
    ):
        test = {"decisive": "bleu", "bleu": 40.0} | changed
        newer = {**GOOD, "variant": "default", "seeds": [90 + number], "metrics": {"test": test}, "changed": {}}
        newer["data"] = catalogue.evidence("rnnsearch")[-1]["data"]
        for date in ("2020-01-01", "2090-01-01"):
            (made / "evidence.json").write_text(json.dumps({**newer, "date": f"{date}T00:00:0{number}Z"}))
            assert saccade("report", "--keep", made).status == 0
            for verb in ("list", "report"):
                assert saccade(verb).status == 0
