"""Adding a system adds one folder and touches nothing else: a toy is copied into a copy of the tree, and is there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import saccade as package

TOY = Path(__file__).parents[1] / "fixtures" / "toy"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source with the toy's folder in it."""
    root = tmp_path_factory.mktemp("tree")
    shutil.copytree(
        Path(package.__file__).parent, root / "src" / "saccade", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(TOY, root / "src" / "saccade" / "systems" / "toy", ignore=shutil.ignore_patterns("__pycache__"))
    return root


def command(tree: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_new_folder_is_listed_trained_evaluated_and_predicts(tree: Path) -> None:
    saccade = ["-m", "saccade"]
    assert "toy" in command(tree, *saccade, "list")
    assert "claim: bleu >= 0.0: holds" in command(tree, *saccade, "train", "toy", "--out", "run")
    assert "toy default, test: bleu" in command(tree, *saccade, "evaluate", "run")
    assert command(tree, *saccade, "predict", "run", "Go home.").strip()
    assert "kept" in command(tree, *saccade, "report", "--keep", "run")
    assert "Nobody 2026" in command(tree, *saccade, "list")


def test_it_passes_the_contracts(tree: Path) -> None:
    tests = Path(__file__).parents[1]
    where = "import saccade; print(saccade.__file__)"
    assert str(tree) in command(tree, "-c", where)
    printed = command(
        tree, "-m", "pytest", "-q", "-k", "toy", "-p", "no:cacheprovider", f"--rootdir={tests.parent}",
        f"-c{tests.parent / 'pyproject.toml'}", str(tests / "contracts"),
    )  # fmt: skip
    assert "passed" in printed
    assert "failed" not in printed
