"""`saccade list` in a window, in a pipe, and for one system."""

import pytest

from saccade.app.list_verb import GAP, table
from saccade.runs import catalogue
from saccade.runs.results import headline, headlines
from tests.conftest import Command

SYSTEMS = [name for name in catalogue.names() if catalogue.evidence(name)]


@pytest.mark.parametrize("width", [80, 120, 200])
def test_no_line_is_wider_than_the_window(saccade: Command, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for arguments in (["list"], *(["list", system] for system in SYSTEMS)):
        lines = saccade(*arguments).out.splitlines()
        assert max(map(len, lines)) <= width


def test_a_pipe_gets_one_line_for_each_system(saccade: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    lines = saccade("list").out.splitlines()
    for system in SYSTEMS:
        [row] = [line for line in lines if line.startswith(f"{system} ")]
        for group in headlines(catalogue.evidence(system)):
            assert headline(group) in row
            assert group[-1]["paper"]["number"] in row


def test_evidence_of_a_claim_is_never_left_out(saccade: Command) -> None:
    rows = saccade("list").out.splitlines()
    for system in SYSTEMS:
        if any(found["claims"] for found in catalogue.evidence(system)):
            assert not any(row.startswith(f"{system} ") and "no evidence yet" in row for row in rows)


def test_a_system_is_listed_with_its_paper_all_variants_and_claims(saccade: Command) -> None:
    system = max(SYSTEMS, key=lambda name: len(catalogue.evidence(name)))
    listed = saccade("list", system).out
    for found in catalogue.evidence(system):
        assert f"\n{found['variant']}" in listed
        assert found["paper"]["title"] in listed


def test_an_unknown_system_is_one_sentence(saccade: Command) -> None:
    wrong = f"{SYSTEMS[0]}x"
    failed = saccade("list", wrong)
    assert failed.status == 2
    assert f"there is no system '{wrong}'; did you mean '{SYSTEMS[0]}'?" in failed.err


def test_cells_are_wrapped_in_their_columns_and_nothing_is_lost() -> None:
    lines = table([["name", "text"], ["a", "one two three four five six seven eight"]], 24)
    assert lines == ["name  text", "a     one two three four", "      five six seven", "      eight"]
    assert table([["a", "b\nc"]], None) == ["a" + GAP * " " + "b; c"]
