"""Captures of a replicated or sharded model in two processes equal those of a single process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.explain.processes import BATCH, HEADS, LAYERS, LENGTH

pytestmark = pytest.mark.unhooked
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("found")
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         "-m", "tests.explain.processes", str(folder)],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.parametrize("form", ["replicated", "sharded"])
@pytest.mark.parametrize("kind", ["ours", "trained", "evaluated"])
def test_the_captures_are_equal(found: Path, kind: str, form: str) -> None:
    ranks = [torch.load(found / f"{kind}-{rank}.pt") for rank in (0, 1)]
    for rank in ranks:
        alone, other = rank["alone"], rank[form]
        assert list(other) == list(alone)
        assert len(alone) == 1 + LAYERS
        for name, expected in alone.items():
            torch.testing.assert_close(other[name], expected, msg=lambda text, name=name: f"{name}: {text}")
            if name != "out":
                assert expected.shape == (BATCH, HEADS, LENGTH, LENGTH)
    assert not torch.allclose(ranks[0]["alone"]["out"], ranks[1]["alone"]["out"])  # each had its own batch
