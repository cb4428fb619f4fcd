"""Stored and listed evidence is validated; invalid files are reported in one sentence."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from saccade.core.errors import InvalidInput, NotFound
from saccade.runs import catalogue
from saccade.training import record

GOOD = catalogue.evidence("rnnsearch")[-1]
SERIES = {"x": [1.0, 2.0], "y": [3.0, 4.0], "x_label": "words", "y_label": "BLEU", "kind": "curve", "counts": []}
DEEP: Any = []
for _ in range(50):
    DEEP = [DEEP]


def test_all_stored_evidence_is_valid() -> None:
    for path in catalogue.SYSTEMS.glob("*/evidence/*.json"):
        found, data = record.read(path)
        assert found["system"] == path.parents[1].name
        assert path.name.split("-")[0] == record.check(data, path).file_name("0" * 64).split("-")[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"date": "../../../x"}, "date: expected a date such as 2026-01-31T12:00:00Z"),
        ({"date": "2026-02-30T00:00:00Z"}, "date: expected a date"),
        ({"date": "2026-2-3T00:00:00Z"}, "date: expected a date"),
        ({"date": "२०२६-०१-०१T00:00:00Z"}, "date: expected a date"),
        ({"date": None}, "date: "),
        ({"variant": "../x"}, "variant: "),
        ({"variant": ".."}, "variant: "),
        ({"variant": ["tiny"]}, "variant: "),
        ({"variant": "a" * 101}, "variant: "),
        ({"system": "rnn\x1b[2Jsearch"}, "system: "),
        ({"seeds": []}, "seeds: "),
        ({"seeds": [True]}, "seeds.0: "),
        ({"seeds": [10**400]}, "seeds.0: "),
        ({"parameters": "3"}, "parameters: "),
        ({"parameters": -1}, "parameters: "),
        ({"parameters": 10**400}, "parameters: "),
        ({"wall_seconds": float("nan")}, "wall_seconds: "),
        ({"paper": {**GOOD["paper"], "authors": None}}, "paper.authors: "),
        ({"paper": {**GOOD["paper"], "number": "\x1b[31m"}}, "paper.number: "),
        ({"hardware": {}}, "hardware.machine: "),
        ({"data": {"sha256": "a"}}, "data: "),
        ({"data": {"data": 3}}, "data: "),
        ({"metrics": {}}, "metrics: expected the figures of the test split"),
        ({"metrics": {"test": {"decisive": "bleu"}}}, "metrics: expected the figures"),
        ({"metrics": {"test": {"decisive": "bleu", "bleu": None}}}, "metrics: expected the figures"),
        ({"metrics": {"test": {"decisive": "bleu", "bleu": 1e300}}}, "metrics: bleu is 1e+300"),
        ({"metrics": {"test": {"decisive": "bleu", "bleu": 1.0, "more": {"x": float("inf")}}}}, "metrics.test.more.x"),
        ({"claims": [{}]}, "claims.0.metric: "),
        ({"changed": {"training.steps": {"a": 1}}}, "changed.training.steps"),
        ({"commit": "main"}, "commit: "),
        ({"config": {"a": DEEP}}, "at most 20 nested levels"),
        ({"config": {"a": 10**400}}, "bits"),
        ({"config": {"a": "x" * 20_001}}, "at most 20,000 characters, not 20,001"),
        ({"pictures": [{"look\n": 1}]}, "pictures.0."),
        ({"series": {"by_length": {**SERIES, "y": [1.0]}}}, "series.by_length: 2 x, 1 y and 0 counts"),
        ({"series": {"by_length": {**SERIES, "kind": "pie"}}}, "series.by_length.kind: "),
        ({"figures": {"bleu": {"unit": "\x1b"}}}, "figures.bleu.unit: "),
        ({"more": 1}, "more: "),
    ],
    ids=lambda value: str(value)[:50],
)
def test_invalid_evidence_is_reported_in_one_sentence(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "evidence.json"
    path.write_text(json.dumps({**GOOD, **change}))
    with pytest.raises(InvalidInput) as caught:
        record.read(path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}: not the evidence of a run; ")
    assert said in sentence
    assert "\n" not in sentence
    assert len(sentence) < 500


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b"{}", b"3", b'"text"', b"NaN", b"{", b"\xff\xfe\0", b"[" * 99_999, b'{"a":' * 99_999,
        b"[" + b"0," * 2**20 + b"0]", json.dumps(GOOD).encode().replace(b'"rnnsearch"', b'"\\ud800"'),
    ],
    ids=lambda data: str(data[:12]),
)  # fmt: skip
def test_invalid_json_is_reported_in_one_sentence(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "evidence.json"
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match=r"evidence\.json: not the evidence of a run; "):
        record.read(path)


def test_missing_fields_and_wrong_types_are_always_rejected_in_one_sentence(
    tmp_path: Path,
) -> None:
    """Each field, also nested ones, is removed or replaced by a wrong type."""
    path, fields = tmp_path / "evidence.json", ("paper", "hardware")
    places = [(name,) for name in GOOD] + [(name, inner) for name in fields for inner in GOOD[name]]
    taken = []
    for place in places:
        for value in ("missing", None, [], {}, "\x07", -1.5, True, [[[]]]):
            found = copy.deepcopy(GOOD)
            holder = found if len(place) == 1 else found[place[0]]
            if value == "missing":
                del holder[place[-1]]
            else:
                holder[place[-1]] = value
            path.write_text(json.dumps(found))
            try:
                record.read(path)
            except InvalidInput:
                continue
            taken.append((place, value))
    optional = {
        "command",
        "commit",
        "counted_per_second",
        "peak_memory_mb",
        "threads",
        "processes",
        "gpu",
        "step",
    }
    for place, value in taken:
        may_be_empty = ("changed", "claims", "versions", "config", "figures", "series", "studies", "pictures")
        empty = value in ([], {}) and place[-1] in may_be_empty
        doi = place[-1] in ("doi", "address") and value == "missing"
        said = place[-1] == "command" and value == "\x07"  # it is not printed
        assert (place[-1] in optional and value in ("missing", None)) or empty or doi or said, (place, value)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no such file"):
        record.read(tmp_path / "nothing.json")
    with pytest.raises(NotFound, match="there is no such file"):
        record.read(tmp_path)
