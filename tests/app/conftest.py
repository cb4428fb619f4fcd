"""The command line, run in this process, and one tiny run of each system to run it on."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from saccade.app import catalogue
from saccade.app.main import main


class Done(NamedTuple):
    status: int
    out: str
    err: str


Command = Callable[..., Done]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole trainings run without the hook: shapes are executed in the tests of the rooms, and here time counts."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("unhooked")


@pytest.fixture
def saccade(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command; `stdin` is what it reads."""

    def run(*arguments: object, stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        found = capsys.readouterr()
        return Done(status, found.out, found.err)

    return run


@pytest.fixture(scope="session")
def tiny_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of the tiny variant of every system. Tests that change one copy it."""
    runs = {}
    for system in catalogue.names():
        runs[system] = tmp_path_factory.mktemp("runs") / system
        assert main(["train", system, "tiny", "--out", str(runs[system])]) == 0
    return runs


@pytest.fixture(scope="session")
def run(tiny_runs: dict[str, Path]) -> Path:
    return tiny_runs["rnnsearch"]
