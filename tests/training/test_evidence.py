"""Evidence says what was run, and a claim can fail."""

import subprocess
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from saccade.app import catalogue
from saccade.core.config import to_plain
from saccade.core.recipe import Claim
from saccade.training.evidence import Cost, changed, collect, commit, verdicts


def claim(direction: Any, bound: float) -> Claim:
    return Claim(metric="bleu", direction=direction, bound=bound, split="test", variant="default", why="a test")


@pytest.mark.parametrize(
    ("direction", "bound", "value", "holds"),
    [("max", 42.0, 42.0, True), ("max", 42.0, 41.9, False), ("min", 2.0, 2.0, True), ("min", 2.0, 2.1, False)],
)
def test_a_claim_holds_on_its_side_of_the_bound(direction: str, bound: float, value: float, holds: bool) -> None:
    [verdict] = verdicts([claim(direction, bound)], {"test": {"bleu": value}})
    assert verdict["holds"] is holds
    assert verdict["value"] == value


def test_a_claim_about_a_figure_that_is_not_there_is_not_dropped() -> None:
    with pytest.raises(KeyError, match="bleu"):
        verdicts([claim("max", 42.0)], {"test": {"blue": 50.0}})


def evidence(config: dict[str, Any], bleu: float) -> dict[str, Any]:
    head = {"system": "rnnsearch", "variant": "default", "commit": "abc", "config": config}
    metrics = {"test": {"bleu": bleu}}
    return collect(catalogue.recipe("rnnsearch"), head, metrics, {}, 1, Cost(2.04, 300.0, 512.4), "cpu")


def test_a_changed_run_is_named_so_and_claims_nothing() -> None:
    plain = to_plain(catalogue.recipe("rnnsearch").config)
    assert changed(plain, plain) == {}
    as_it_stands = evidence(plain, 30.0)
    assert as_it_stands["changed"] == {}
    cost = [as_it_stands[name] for name in ("wall_seconds", "tokens_per_second", "peak_memory_mb")]
    assert cost == [2.0, 300.0, 512]
    assert [verdict["holds"] for verdict in as_it_stands["claims"]] == [False]
    shorter = {**plain, "training": {**plain["training"], "steps": 5, "seed": 7}}
    other = evidence(shorter, 50.0)
    assert other["changed"] == {"training.steps": 5}
    assert other["claims"] == []
    assert other["seeds"] == [7]


def test_threads_are_said_and_change_nothing_else() -> None:
    plain = to_plain(catalogue.recipe("rnnsearch").config)
    threads = {**plain, "training": {**plain["training"], "threads": 3}}
    found = evidence(threads, 50.0)
    assert found["hardware"]["threads"] == 3
    assert found["changed"] == {}
    assert evidence(plain, 50.0)["hardware"]["threads"] == torch.get_num_threads()


def test_the_source_is_asked_for_its_commit_without_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill would leave the lock behind, and the user's next commit would be refused."""
    asked: list[list[str]] = []

    def run(command: list[str], **options: Any) -> Any:
        asked.append(command)
        return SimpleNamespace(stdout="abc\n")

    monkeypatch.setattr(subprocess, "run", run)
    assert commit() == "abc+"
    assert all("--no-optional-locks" in command for command in asked)
