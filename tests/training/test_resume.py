"""A run killed at any moment and resumed is bit-identical (DESIGN.md, section 6), for any stream."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from saccade.training.run_folder import RunFolder

pytestmark = pytest.mark.unhooked
ROOT = Path(__file__).parents[2]
SHARED_MEMORY = Path("/dev/shm")
ALONE = os.environ | {"OMP_NUM_THREADS": "1"}


def lines(run: Path) -> list[dict[str, Any]]:
    """The metrics, without times."""
    rows = RunFolder(run).read_metrics()
    return [{name: value for name, value in row.items() if name != "counted_per_second"} for row in rows]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("name", ["toy_stream", "toy_text", "toy_corridor"])
def test_a_killed_and_resumed_toy_is_bit_identical(tmp_path: Path, name: str) -> None:
    """Killed before the first checkpoint, just after one, and just before one."""
    kills = ["3", "20", "34"]
    subprocess.run([sys.executable, "-m", "tests.training.toys", name, str(tmp_path), *kills], check=True, cwd=ROOT)
    left, killed = RunFolder(tmp_path / "left"), RunFolder(tmp_path / "killed")
    assert left.weights.read_bytes() == killed.weights.read_bytes()
    assert lines(left.path) == lines(killed.path)
    assert len(lines(left.path)) == 12


def test_kills_at_random_moments_leave_no_trace(tmp_path: Path) -> None:
    """At the start, between two steps, during a checkpoint; the temporary folder is on another file system."""
    temporary = {"TMPDIR": str(SHARED_MEMORY)} if SHARED_MEMORY.is_dir() else {}

    program = (
        "import sys, torch; from pathlib import Path; from tests.training.trainings import Reversals, train; "
        "torch.set_num_threads(1); train(Path(sys.argv[1]), Reversals(), steps=500, checkpoint_every=20, ema=0.9)"
    )

    def started(run: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", program, str(tmp_path / run)], env=ALONE | temporary, cwd=ROOT)

    left, draw, kills = started("left"), random.Random(0), 0
    process, checkpoint = started("killed"), RunFolder(tmp_path / "killed").last
    while kills < 2:
        seen = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        while process.poll() is None and (not checkpoint.exists() or checkpoint.stat().st_mtime_ns == seen):
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.3))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        process = started("killed")
    assert process.wait() == left.wait() == 0
    assert kills
    left_folder, killed_folder = RunFolder(tmp_path / "left"), RunFolder(tmp_path / "killed")
    assert left_folder.weights.read_bytes() == killed_folder.weights.read_bytes()
    assert lines(left_folder.path) == lines(killed_folder.path)
