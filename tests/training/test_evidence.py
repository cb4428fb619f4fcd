"""Evidence describes the run, and claims can fail."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from saccade.core.config import config, to_plain
from saccade.core.errors import NotFound
from saccade.core.recipe import Claim, Paper, Recipe
from saccade.core.task import Figure, Score, Series
from saccade.runs.results import contains
from saccade.training.config import TrainingConfig
from saccade.training.evidence import MOST, Cost, changed, collect, commit, verdict, written
from saccade.training.run_folder import RunFolder


@config
class Config:
    """A system."""

    training: TrainingConfig = TrainingConfig()


def claim(**changes: Any) -> Claim:
    return Claim(
        **{"metric": "bleu", "direction": "max", "bound": 42.0, "variant": "default", "why": "a test"} | changes
    )


def recipe(*claims: Claim) -> Recipe:
    def missing(*arguments: Any) -> Any: ...

    paper = Paper(title="A", authors="B", year=2026, doi="10.0/0", target="none", number="none")
    return Recipe(
        paper=paper, task=missing, build=missing, predict=missing, variants={"default": Config()}, claims=claims
    )


SCORE = Score(
    {"bleu": Figure(30.0, name="BLEU"), "delay": Figure(0.25, "s"), "sentences": Figure(7), "signature": Figure("13a")},
    {"by_length": Series([1, 2], [3.0, 4.0], "words", "BLEU", counts=[5, 6])},
)


def evidence(plain: dict[str, Any], *claims: Claim, **changes: Any) -> dict[str, Any]:
    head = {"system": "toy", "variant": "default", "commit": "abc1234", "config": plain}
    cost = Cost(2.04, 300.04, 512.4)
    return collect(recipe(*claims), head, {"test": SCORE}, "bleu", {"data": "made"}, 1, cost, "cpu", **changes)


@pytest.mark.parametrize(
    ("direction", "bound", "value", "holds"),
    [("max", 42.0, 42.0, True), ("max", 42.0, 41.9, False), ("min", 2.0, 2.0, True), ("min", 2.0, 2.1, False)],
)
def test_a_claim_holds_on_its_side_of_the_bound(direction: str, bound: float, value: float, holds: bool) -> None:
    row = verdict(claim(direction=direction, bound=bound), value, bound)
    assert (row["holds"], row["value"], row["bound"]) == (holds, value, bound)


def test_a_claim_about_a_missing_figure_raises() -> None:
    with pytest.raises(
        NotFound, match="toy claims 'blue', which is no figure and no measure; it has: decisive, bleu, "
    ):
        evidence(to_plain(Config()), claim(metric="blue"))


def test_a_claim_against_another_variant_uses_the_given_bound() -> None:
    against = claim(bound=None, against="tiny", factor=1.1)
    found = {"tiny": 20.0}
    [row] = evidence(to_plain(Config()), against, bounds=lambda c: found[c.against] * c.factor)["claims"]
    assert (row["bound"], row["holds"], row["against"]) == (pytest.approx(22.0), True, "tiny")
    [row] = evidence(to_plain(Config()), against, bounds=lambda c: None)["claims"]
    assert (row["bound"], row["holds"]) == (None, None)


def test_a_changed_run_lists_its_changes_and_has_no_claims() -> None:
    plain = to_plain(Config())
    assert changed(plain, plain) == {}
    as_it_stands = evidence(plain, claim())
    assert as_it_stands["changed"] == {}
    cost = [as_it_stands[name] for name in ("wall_seconds", "counted_per_second", "peak_memory_mb")]
    assert cost == [2.0, 300.0, 512]
    assert [row["holds"] for row in as_it_stands["claims"]] == [False]
    other = evidence({**plain, "training": {**plain["training"], "steps": 5, "seed": 7}}, claim())
    assert other["changed"] == {"training.steps": 5}
    assert other["claims"] == []
    assert other["seeds"] == [7]


def test_threads_are_reported_and_change_nothing_else() -> None:
    plain = to_plain(Config())
    found = evidence({**plain, "training": {**plain["training"], "threads": 3}})
    assert found["hardware"]["threads"] == 3
    assert found["changed"] == {}
    assert evidence(plain)["hardware"]["threads"] == torch.get_num_threads()


def test_figures_have_their_names_and_units_and_series_their_axes() -> None:
    found = json.loads(written(evidence(to_plain(Config()))))
    figures = {"bleu": 30.0, "delay": 0.25, "sentences": 7, "signature": "13a"}
    assert found["metrics"] == {"test": {"decisive": "bleu", **figures}}
    assert found["figures"] == {"bleu": {"name": "BLEU"}, "delay": {"unit": "s"}}
    series = {"x": [1, 2], "y": [3.0, 4.0], "x_label": "words", "y_label": "BLEU", "kind": "curve", "counts": [5, 6]}
    assert found["series"] == {"by_length": series}


def test_an_array_is_one_line() -> None:
    found = {"a": [1, 2.5, "three"], "b": {"c": [], "d": {}}, "e": [[1, 2], [3, 4]], "f": [{"g": None, "é": True}]}
    text = written(found).decode()
    assert json.loads(text) == {**found, "series": {}}
    rows = [line.strip() for line in text.splitlines()]
    assert '"a": [1, 2.5, "three"],' in rows
    assert "[1, 2]," in rows
    assert '"é": true' in rows


def test_long_series_are_thinned_to_the_size_limit() -> None:
    def series(length: int, kind: str) -> dict[str, Any]:
        x, y = list(range(length)), [place / 7 for place in range(length)]
        return Series(x, y, "steps", "nats", kind)._asdict()  # type: ignore[arg-type]

    drawn = {"long": series(9000, "curve"), "bars": series(4001, "histogram"), "short": series(9, "curve")}
    drawn["bars"]["counts"] = list(range(4001))
    found = {**evidence(to_plain(Config())), "series": drawn}
    text = written(found)
    assert MOST / 4 < len(text) <= MOST
    kept = json.loads(text)
    assert {name: one.get("thinned", False) for name, one in kept["series"].items()} == {
        "long": True, "bars": True, "short": False,
    }  # fmt: skip
    assert sum(kept["series"]["bars"]["y"]) == pytest.approx(sum(found["series"]["bars"]["y"]), rel=1e-4)
    assert sum(kept["series"]["bars"]["counts"]) == sum(range(4001))
    assert len(kept["series"]["long"]["x"]) == len(kept["series"]["long"]["y"])
    assert kept["series"]["short"]["y"][5] == float(f"{5 / 7:.6g}")
    assert {name: kept[name] for name in found if name != "series"} == {n: found[n] for n in found if n != "series"}
    assert written(kept) == text, "writing it again changes nothing"


def test_what_fits_is_kept_to_the_last_digit(tmp_path: Path) -> None:
    """Then a study stored later changes no number, and what was kept before is found in what is kept now."""
    third = Series([1 / 3], [2 / 3], "seconds", "nats", counts=[])._asdict()
    given = {**evidence(to_plain(Config())), "series": {"third": third}, "studies": {}, "pictures": []}
    folder = RunFolder(tmp_path)
    folder.write_evidence(given)
    assert folder.read_evidence()["series"]["third"] == third
    before = folder.read_evidence()
    folder.keep_study("gradients", "", {"lstm": 1 / 7})
    assert contains(folder.read_evidence(), {**before, "studies": {"gradients": {"lstm": 1 / 7}}})


def test_each_study_is_stored_under_its_name_and_key(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_evidence({**evidence(to_plain(Config())), "studies": {}, "pictures": []})
    folder.keep_study("alignments", "hansard", {"aer": 1.0})
    folder.keep_study("alignments", "news", {"aer": 2.0})
    folder.keep_study("gradients", "", {"lstm": 3.0})
    kept = folder.read_evidence()
    assert kept["studies"] == {
        "alignments": {"hansard": {"aer": 1.0}, "news": {"aer": 2.0}},
        "gradients": {"lstm": 3.0},
    }
    assert kept["metrics"]["test"]["bleu"] == 30.0


def test_the_commit_is_read_without_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a kill the lock would remain, and git would refuse the user's next commit."""
    asked: list[list[str]] = []

    def run(command: list[str], **options: Any) -> Any:
        asked.append(command)
        return SimpleNamespace(stdout="abc\n")

    monkeypatch.setattr(subprocess, "run", run)
    assert commit() == "abc+"
    assert all("--no-optional-locks" in command for command in asked)


def test_pictures_of_studies_are_left_out_first_and_figures_never() -> None:
    def picture(size: int) -> dict[str, Any]:
        return {"kind": "alignment", "weights": [[0.5] * 10] * size}

    rows = [{"value": str(size), "bleu": 1.0 / size, "picture": picture(size)} for size in (5, 40, 10)]
    evidence = {"series": {}, "studies": {"over": {"x": {"rows": rows}}}, "pictures": [picture(3), picture(90)]}
    whole = len(written(evidence, 10**6))
    assert json.loads(written(evidence, 10**6)) == evidence
    less = json.loads(written(evidence, whole - 100))
    assert ["picture" in row for row in less["studies"]["over"]["x"]["rows"]] == [True, False, True]
    assert less["pictures"] == evidence["pictures"]
    least = json.loads(written(evidence, 1500))
    assert not any("picture" in row for row in least["studies"]["over"]["x"]["rows"])
    assert [row["bleu"] for row in least["studies"]["over"]["x"]["rows"]] == [row["bleu"] for row in rows]
    assert least["pictures"] == [picture(3)]
    assert least["thinned"] is True
    assert len(rows[1]["picture"]["weights"]) == 40  # the argument is unchanged
