"""All missing packages are reported together, with a command that installs our extras."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from saccade.core import errors
from saccade.core.errors import DISTRIBUTION, EXTRAS, MissingExtra, together
from saccade.tasks.translation import multi30k
from saccade.training.run_folder import RunFolder
from tests.app.conftest import Command
from tests.app.test_bad_input import refused

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IMPORTED = {"pyyaml": "yaml", "pillow": "PIL"}  # distributions whose modules have other names


def test_the_extras_are_those_of_the_distribution() -> None:
    assert PROJECT["name"] == DISTRIBUTION == "torch-saccade"
    for extra, modules in EXTRAS.items():
        names = [re.split("[><=]", needed)[0] for needed in PROJECT["optional-dependencies"][extra]]
        assert list(modules) == [IMPORTED.get(name, name.replace("-", "_")) for name in names]
    assert set(PROJECT["optional-dependencies"]) - set(EXTRAS) == {"test", "docs"}


def test_no_page_names_the_package_of_another_project() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False).stdout.decode()
    named = listed.split("\0")[:-1] or [str(path.relative_to(ROOT)) for path in (ROOT / "src").rglob("*.*")]
    wrong = re.compile(r"(?<![\w-])saccade\[[a-z]|pip3? install[^\n&;|`]*[ '\"](?<!torch-)saccade(?![\w/.-])")
    for path in (ROOT / name for name in named if name.endswith((".py", ".md", ".toml", ".txt", ".yml", "run"))):
        text = path.read_text(encoding="utf-8") if path.is_file() and path != Path(__file__) else ""
        assert not wrong.search(text), f"{path.relative_to(ROOT)}: {wrong.search(text)}"
    for bad in ("pip install saccade", "pip install -U 'saccade'", "saccade[app]", "pip install 'saccade[app]'"):
        assert wrong.search(bad)
    for good in ("pip install torch-saccade", "pip install 'torch-saccade[app]'", "pip install -e . && saccade list"):
        assert not wrong.search(good)


def without(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    monkeypatch.setattr(errors, "installed", lambda module: module not in missing)


@pytest.mark.parametrize("system", ["rnnsearch", "ctc_speech"])
def test_a_training_reports_all_missing_packages(
    saccade: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    without(monkeypatch, "rich", "tensorboard", "tokenizers", "sacrebleu", "jiwer")
    done = saccade("train", system, "tiny", "--out", tmp_path / "run")
    own, extra = ("tokenizers, sacrebleu", "text") if system == "rnnsearch" else ("jiwer", "speech")
    command = f"pip install 'torch-saccade[app,{extra}]' (in a clone: pip install -e '.[app,{extra}]')"
    refused(done, f"tensorboard, rich, {own} are not installed; install with: {command}")
    assert not (tmp_path / "run").exists()


def test_a_run_reports_all_missing_packages(saccade: Command, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "yaml", "tokenizers", "uvicorn")

    def head(_: RunFolder) -> None:
        raise MissingExtra({"yaml": "app"})

    monkeypatch.setattr(RunFolder, "head", head)
    for arguments in (["predict", run, "Go."], ["evaluate", run], ["train", "--resume", run]):
        refused(saccade(*arguments), "yaml, tokenizers are not installed", "pip install 'torch-saccade[app,text]'")
    refused(saccade("serve", run), "uvicorn", "yaml", "tokenizers", "pip install 'torch-saccade[app,text,view]'")


def test_alternatives_to_a_missing_package_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def require(module: str, extra: str) -> None:
        raise MissingExtra({module: extra})

    monkeypatch.setattr(multi30k, "require", require)
    without(monkeypatch, "sacrebleu")
    with (
        pytest.raises(MissingExtra, match=r"\[hub,text\]'\); or name the folder of Multi30k with --task.folder FOLDER"),
        together("text"),
    ):
        multi30k.from_hub("train", ("de", "en"))


def test_packages_that_are_not_needed_are_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "yaml", "tokenizers")
    with together("app", "text"):
        pass
    with pytest.raises(MissingExtra, match=r"^yaml is not installed; .* 'torch-saccade\[app\]'"), together():
        raise MissingExtra({"yaml": "app"})
