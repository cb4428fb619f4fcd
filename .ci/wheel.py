"""Test the wheel without the source: its files, and whether it lists, trains, predicts and serves.

It uses the packages of the environment that runs this script.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import urllib.request
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
SENTENCE = "We can do that."


def ran(*arguments: object, cwd: Path) -> str:
    """The output of a command, which must not fail. Only the new environment determines where packages are found."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run([*map(str, arguments)], cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


def built(folder: Path) -> Path:
    """Build the wheel from a copy of the source, since an earlier build may have left obsolete files."""
    for name in ("src", "pyproject.toml", "README.md", "LICENSE"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, folder / name)
    ran(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, folder, cwd=folder)
    [wheel] = folder.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    missing = [str(path) for path in files(folder / "src") if path.as_posix() not in packed]
    if missing:
        sys.exit(f"{wheel.name} does not contain {', '.join(missing)}")
    return wheel


def files(folder: Path) -> list[Path]:
    """The package's files, relative to the folder; a build leaves metadata beside it."""
    return sorted(path.relative_to(folder) for path in (folder / "saccade").rglob("*") if path.is_file())


def installed(wheel: Path, folder: Path) -> Path:
    """Create a fresh environment with the wheel and access to the packages of this one; returns its folder of
    programs."""
    ran(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    [site] = folder.glob("lib/python*/site-packages")
    # a line in a .pth file adds the folder, but not the .pth files in it, so the source is not found
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    ran(folder / "bin" / "pip", "install", "-q", "--no-deps", "--force-reinstall", wheel, cwd=folder.parent)
    return folder / "bin"


def serves(saccade: Path, folder: Path) -> None:
    """Check that the server answers with its page, and stops cleanly."""
    serving = subprocess.Popen([saccade, "serve", "run", "--port", "0"], cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert serving.stdout is not None
        said = serving.stdout.readline()
        address = re.search(r"http://\S+:\d+/?", said)
        if address is None:
            sys.exit(f"serve: expected an address, got {said!r}")
        with urllib.request.urlopen(address[0], timeout=180) as page:
            if b"rnnsearch tiny" not in page.read():
                sys.exit("serve: the page does not name its run")
    finally:
        serving.terminate()
        serving.wait(timeout=180)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        (scratch / "source").mkdir()
        (scratch / "elsewhere").mkdir()
        wheel, elsewhere = built(scratch / "source"), scratch / "elsewhere"
        programs = installed(wheel, scratch / "venv")
        shutil.rmtree(scratch / "source")
        where = ran(programs / "python", "-c", "import saccade; print(saccade.__file__)", cwd=elsewhere).strip()
        if not where.startswith(str(scratch / "venv")):
            sys.exit(f"saccade was imported from {where}, not from the wheel")
        saccade = programs / "saccade"
        listed = ran(saccade, "list", cwd=elsewhere)
        systems = sorted(path.parent.name for path in (ROOT / "src" / "saccade" / "systems").glob("*/recipe.py"))
        if missing := [system for system in systems if system not in listed]:
            sys.exit(f"saccade list does not name {', '.join(missing)}:\n{listed}")
        ran(saccade, "train", "rnnsearch", "tiny", "--out", "run", cwd=elsewhere)
        if not ran(saccade, "predict", "run", SENTENCE, cwd=elsewhere).strip():
            sys.exit("saccade predict printed nothing")
        serves(saccade, elsewhere)
        print(f"{wheel.name}: lists, trains, predicts and serves without the source")


if __name__ == "__main__":
    main()
