"""Adding a system adds one folder, and one of data where they are new, and touches nothing else.

Seven toys of seven kinds are copied into a copy of the tree: an endless stream, images with augmentation, an
environment, one long text, no training at all, a picture of its own kind, and a network that takes another's run.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import saccade as package

TESTS = Path(__file__).parents[1]
TOYS = TESTS / "fixtures" / "toys"
NAMES = sorted(path.name for path in TOYS.iterdir() if path.is_dir())
UNTRAINED = {"toy_filter"}
UNREADABLE = ("no such input", "??")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source with the folders of the toys in it."""
    root, skip = tmp_path_factory.mktemp("tree"), shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(package.__file__).parent, root / "src" / "saccade", ignore=skip)
    for name in NAMES:
        for room in ("systems", "tasks"):
            shutil.copytree(TOYS / name / room / name, root / "src" / "saccade" / room / name, ignore=skip)
    return root


def run(tree: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def told(tree: Path) -> dict[str, dict[str, Any]]:
    """What `toy_life.py` did with each toy, one process each; the images first, whose run another toy takes."""
    found = {}
    for name in sorted(NAMES, key=lambda name: name != "toy_images"):
        lines = run(tree, str(Path(__file__).parent / "toy_life.py"), name).splitlines()
        found[name] = json.loads(lines[-1])
    return found


@pytest.mark.parametrize("name", NAMES)
class TestToy:
    def test_it_is_listed_before_and_after_its_evidence_is_kept(self, told: Any, name: str) -> None:
        assert name in told[name]["list"]
        assert "Nobody 2026" in told[name]["listed"]
        assert "kept" in told[name]["report"]

    def test_it_trains_or_writes_a_run_of_no_steps(self, told: Any, name: str) -> None:
        found = told[name]
        assert found["evidence"]["system"] == name
        assert found["steps"] == (0 if name in UNTRAINED else 40)
        assert found["evidence"]["metrics"]["test"]["decisive"]

    def test_killed_and_resumed_it_is_the_same_to_the_last_bit(self, told: Any, name: str) -> None:
        if name in UNTRAINED:
            assert told[name]["killed"] is None
            return
        assert told[name]["killed"] == {"signal": 9, "same_weights": True, "same_metrics": True}

    def test_it_is_evaluated(self, told: Any, name: str) -> None:
        assert f"{name} default, test: " in told[name]["evaluate"]

    def test_it_predicts_and_refuses_what_it_cannot_read(self, told: Any, name: str) -> None:
        assert told[name]["predict"].strip()
        if told[name]["accepts"] != ["nothing"]:
            assert told[name]["refused"][0] == 2
            assert told[name]["refused"][1].startswith("saccade: ")

    def test_it_is_explained_by_the_pictures_of_its_recipe(self, told: Any, name: str) -> None:
        kinds = {"toy_images": ["image_overlay"], "toy_filter": ["image_overlay"], "toy_dial": ["toy_dial.dial"]}
        assert told[name]["pictures"] == kinds.get(name, [])
        assert all(Path(file).suffix == ".png" for file in told[name]["drawn"])
        assert bool(told[name]["drawn"]) == (name in kinds)

    def test_it_is_served_where_it_reads_something(self, told: Any, name: str) -> None:
        served = told[name]["served"]
        assert served["answer"]
        if name == "toy_dial":
            assert "toy-hand" in served["page"]


def test_an_untrained_system_is_explained_without_a_run(told: Any) -> None:
    assert "vertical" in told["toy_filter"]["explained_system"]


def test_augmentation_differs_by_epoch_and_not_in_evaluation(tree: Path) -> None:
    code = """
import torch
from saccade.core.stream import ExampleStream
from saccade.tasks.toy_images.task import BarsConfig, BarsTask
task = BarsTask(BarsConfig())
stream = ExampleStream(task, batch_size=16, window=64, seed=1)
of_image = {}
for batch in range(8):  # two epochs of four batches
    share = stream.share(batch)
    for row, image in zip(stream.rows(batch), share.batch.images, strict=True):
        of_image.setdefault(row, []).append(image)
assert all(len(images) == 2 for images in of_image.values())
assert sum(not torch.equal(*images) for images in of_image.values()) > 48
again = ExampleStream(task, batch_size=16, window=64, seed=1)
assert torch.equal(stream.share(3).batch.images, again.share(3).batch.images)
examples = task.examples("test")
assert torch.equal(task.collate(examples).images, task.collate(examples).images)
"""
    run(tree, "-c", code)


def test_they_pass_the_contracts(tree: Path) -> None:
    printed = run(
        tree, "-m", "pytest", "-q", "-k", "toy", "-p", "no:cacheprovider", f"--rootdir={TESTS.parent}",
        f"-c{TESTS.parent / 'pyproject.toml'}", str(TESTS / "contracts"),
    )  # fmt: skip
    assert "passed" in printed
    assert "failed" not in printed
