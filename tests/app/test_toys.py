"""Adding a system adds one folder, and a task folder if its data are new, and changes nothing else.

Seven toys of different kinds are copied into a copy of the tree: an endless stream, images with augmentation, an
environment, one long text, no training at all, a picture of its own kind, and a network that takes another's run.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import saccade as package

TESTS = Path(__file__).parents[1]
TOYS = TESTS / "fixtures" / "toys"
NAMES = sorted(path.name for path in TOYS.iterdir() if path.is_dir())
UNTRAINED = {"toy_filter"}
Told = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source with the folders of the toys in it."""
    root, skip = tmp_path_factory.mktemp("tree"), shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(package.__file__).parent, root / "src" / "saccade", ignore=skip)
    for name in NAMES:
        for room in ("systems", "tasks"):
            shutil.copytree(TOYS / name / room / name, root / "src" / "saccade" / room / name, ignore=skip)
    return root


@pytest.fixture(scope="module")
def found(tree: Path) -> dict[str, Any]:
    """The results of `toy_life.py` for the toys; the images come first, since another toy uses their run."""
    names = sorted(NAMES, key=lambda name: name != "toy_images")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "toy_life.py"), str(TESTS), *names],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.fixture(scope="module")
def told(found: dict[str, Any]) -> Told:
    """The results of a toy, by name."""

    def life(name: str) -> dict[str, Any]:
        told: dict[str, Any] = found["lives"][name]
        assert "failed" not in told, told["failed"]
        return told

    return life


@pytest.mark.parametrize("name", NAMES)
class TestToy:
    def test_it_is_listed_before_and_after_its_evidence_is_kept(self, found: Any, told: Told, name: str) -> None:
        assert "kept" in told(name)["report"]
        before, after = ([line for line in found[when].splitlines() if line.startswith(f"{name} ")]
                         for when in ("list", "listed"))  # fmt: skip
        assert len(before) == len(after) == 1
        assert "no evidence yet" in before[0]
        assert "no evidence yet" not in after[0]

    def test_it_trains_or_writes_a_run_of_zero_steps(self, told: Told, name: str) -> None:
        found = told(name)
        assert found["evidence"]["system"] == name
        assert found["steps"] == (0 if name in UNTRAINED else 40)
        assert found["evidence"]["metrics"]["test"]["decisive"]

    def test_after_kill_and_resume_it_is_bit_identical(self, told: Told, name: str) -> None:
        if name in UNTRAINED:
            assert told(name)["killed"] is None
            return
        assert told(name)["killed"] == {"signal": 9, "same_weights": True, "same_metrics": True}

    def test_it_is_evaluated(self, told: Told, name: str) -> None:
        assert f"{name} default, test: " in told(name)["evaluate"]

    def test_it_predicts_and_refuses_unreadable_input(self, told: Told, name: str) -> None:
        assert told(name)["predict"].strip()
        assert told(name)["refused"][0] == 2
        assert told(name)["refused"][1].startswith("saccade: ")
        if told(name)["accepts"] == ["nothing"]:
            assert told(name)["refused"][1] == f"saccade: {name} needs no input; leave '??' out\n"
            piped, closed = told(name)["piped"]
            assert piped[:2] == closed[:2] == [0, told(name)["predict"]]
            assert piped[2] == f"saccade: note: {name} needs no input; standard input is not read\n"
            assert closed[2] == ""

    def test_it_is_explained_by_the_pictures_of_its_recipe(self, told: Told, name: str) -> None:
        kinds = {"toy_images": ["image_overlay"], "toy_filter": ["image_overlay"], "toy_dial": ["toy_dial.dial"]}
        assert told(name)["pictures"] == kinds.get(name, [])
        assert all(Path(file).suffix == ".png" for file in told(name)["drawn"])
        assert bool(told(name)["drawn"]) == (name in kinds)

    def test_it_is_served_if_it_accepts_input(self, told: Told, name: str) -> None:
        served = told(name)["served"]
        assert served["answer"]
        if name == "toy_dial":
            assert "toy-hand" in served["page"]


def test_an_untrained_system_is_explained_without_a_run(told: Told) -> None:
    assert "vertical" in told("toy_filter")["explained_system"]


def test_a_trained_run_keeps_the_network_that_it_took(told: Told) -> None:
    probe = told("toy_probe")
    assert probe["same"] == 0
    status, out, err = probe["other"]
    assert (status, out) == (2, "")
    assert "--model.features cannot change here: toy_probe holds a copy" in err
    assert "saccade train toy_probe --model.features toy_filter" in err


def test_augmentation_differs_by_epoch_and_not_in_evaluation(found: Any) -> None:
    assert found["augmented"] == dict.fromkeys(
        ("each image twice", "differs by epoch", "function of the seed", "not in evaluation"), True
    )


def test_they_pass_the_contracts(found: Any) -> None:
    contracts = found["contracts"]
    assert contracts["status"] == 0, contracts["printed"][-3000:]
    for name in NAMES:
        assert any(test.endswith(f"[systems/{name}/recipe.py]") for test in contracts["passed"])
        assert sum(test.endswith(f"[{name}]") for test in contracts["passed"]) >= 5
