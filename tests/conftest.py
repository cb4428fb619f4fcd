"""Fixtures of all tests: one thread, one seed, memory that is poisoned until it is written; a browser, real data,
the command line, run in this process, and one tiny run of each system to run it on.

`SACCADE_BROWSER=required` turns a missing browser from a skip into a failure; `SACCADE_DATA` names the folder of the
real data sets.
"""

import io
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import pytest
import torch
from filelock import FileLock
from torch import Tensor

# the library is not imported here, since the hook that checks shapes must be installed before it

WHOLE = ("app", "docs", "runs", "studies")  # packages whose tests train whole runs
LONG = {"test_processes.py", "test_gpt2_processes.py", "test_translation_processes.py", "test_site.py", "test_toys.py"}
"""Files that take longest. They come first, so that no worker is left with one at the end."""
LONGEST = 180_000  # milliseconds before a test considers the browser hung, on a busy machine too

torch.set_num_threads(1)
hypothesis.settings.register_profile("saccade", max_examples=30, deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("saccade")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole trainings run without the hook that checks shapes, to save time; other tests cover the shapes. Long files
    come first."""
    items.sort(key=lambda item: item.path.name not in LONG)
    for item in items:
        if {Path(__file__).parent / room for room in WHOLE} & set(item.path.parents):
            item.add_marker("unhooked")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print one line per reason for skipping; pytest's own `-rs` prints one per location."""
    reports = terminalreporter.stats.get("skipped", [])
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in reports)
    for reason, number in reasons.most_common():
        terminalreporter.write_line(f"skipped {number}: {reason}")


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def poisoned_memory() -> Iterator[None]:
    """Fill uninitialised tensors with NaN or the largest integer, so that they cannot be mistaken for zeros."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def by_onednn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Use oneDNN for products of any size, as on a processor where it is faster; returns their numbers of rows."""
    # not at the top, since the hook that checks shapes must be installed before the library
    from saccade.core import products

    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        pytest.skip("this build of torch has no oneDNN")
    made: list[int] = []
    onednn = products._onednn

    def told(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        made.append(rows.shape[0])
        assert weight.is_contiguous() or weight.mT.is_contiguous(), "plain loops"
        return onednn(rows, weight, bias)

    monkeypatch.setattr(products, "onednn_is_faster", lambda: True)
    monkeypatch.setattr(products, "WORTH", 1)
    monkeypatch.setattr(products, "_onednn", told)
    return made


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's Chromium, since playwright's own would have to be downloaded."""
    missing = pytest.fail if os.environ.get("SACCADE_BROWSER") == "required" else pytest.skip
    found = [path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))]
    if not found:
        missing("no Chromium on the PATH to open the page in: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        missing("playwright is not installed: pip install playwright")
    with sync_playwright() as player:
        # --no-sandbox: root has none; a shared-memory folder of a container may be too small for Chromium
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = player.chromium.launch(executable_path=found[0], args=options, timeout=LONGEST)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """The path of a real data set, by its name in the folder `SACCADE_DATA`; skips the test if it is missing."""

    def path(name: str) -> Path:
        folder = os.environ.get("SACCADE_DATA")
        if not folder:
            pytest.skip(f"{name} is real data: python -m tests --data FOLDER, or set SACCADE_DATA")
        if not (found := Path(folder) / name).exists():
            pytest.skip(f"{name} is real data, and the folder SACCADE_DATA={folder} does not hold it")
        return found

    return path


class Done(NamedTuple):
    """The result of a command."""

    status: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def saccade(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command with this standard input."""
    from saccade.app.main import main

    monkeypatch.delenv("COLUMNS", raising=False)  # which processes of pytest-xdist have

    def run(*arguments: object, stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        found = capsys.readouterr()
        return Done(status, found.out, found.err)

    return run


class TinyRuns(dict[str, Path]):
    """A run per system, trained when first requested, by one of the workers that share the folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def __missing__(self, system: str) -> Path:
        from saccade.app.main import main

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
