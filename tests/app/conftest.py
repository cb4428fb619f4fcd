"""The command line, run in this process, and one tiny run of each system to run it on."""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from filelock import FileLock

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


class TinyRuns(dict[str, Path]):
    """Runs by their system, each trained when it is first asked for, by one of the workers that share the folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def __missing__(self, system: str) -> Path:
        path, done = self.folder / system, self.folder / f"{system}.done"
        with FileLock(self.folder / f"{system}.lock"):
            if not done.exists():
                assert main(["train", system, "tiny", "--out", str(path)]) == 0
                done.touch()
        self[system] = path
        return path


@pytest.fixture(scope="session")
def tiny_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of the tiny variant of every system. Tests that change one copy it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "tiny-runs"
    folder.mkdir(exist_ok=True)
    return TinyRuns(folder)


@pytest.fixture(scope="session")
def run(tiny_runs: dict[str, Path]) -> Path:
    return tiny_runs["rnnsearch"]
