"""A run killed at any moment ends as if it had not been (DESIGN.md, section 6)."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SHARED_MEMORY = Path("/dev/shm")


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "kill_and_resume.py"
    spec = importlib.util.spec_from_file_location("kill_and_resume", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_five_kills_leave_no_trace(benchmark: ModuleType, tmp_path: Path) -> None:
    elsewhere = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    found = benchmark.kill_and_resume(tmp_path, kills=5, temporary=elsewhere)
    assert found["kills"] == 5
    assert found["kills_before_the_first_checkpoint"] >= 1
    assert found["weights_identical"]
    assert found["metrics_identical"]
    if elsewhere is None or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("bit-identical; but there is no second file system for the temporary folder here")
