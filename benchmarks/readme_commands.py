"""Time both commands of the README from a fresh clone, including the installation.

python benchmarks/readme_commands.py
"""

import argparse
import json
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import evidence

ROOT = Path(__file__).parent.parent
NAMES = ("set-up and `saccade train rnnsearch`", "set-up and the whole test suite")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["train", "tests"])
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    parser.add_argument("--keep-run", type=Path, metavar="FOLDER", help="copy the run that was trained to this folder")
    options = parser.parse_args()
    commands = re.findall(r"^python3 -m venv .*$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    commands[0] += " && saccade train rnnsearch"
    result: dict[str, Any] = {}
    summary: dict[str, str] = {}
    earlier = sorted((ROOT / "benchmarks" / "evidence").glob("*-readme_commands.json"))
    if options.only and earlier:  # keep the newest figures of the other command
        kept = json.loads(earlier[-1].read_text())
        result, summary = {key: kept[key] for key in ("train", "tests") if key in kept}, kept["summary"]
    for key, name, command in zip(("train", "tests"), NAMES, commands, strict=True):
        if options.only not in (None, key):
            continue
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["git", "clone", "-q", str(ROOT), folder], check=True)
            begun = time.perf_counter()
            done = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=False)
            seconds = time.perf_counter() - begun
            if options.keep_run and key == "train":
                [run] = (Path(folder) / "runs").iterdir()
                shutil.copytree(run, options.keep_run)
        lines = [line for line in done.stdout.splitlines() if "bleu" in line or re.search(r"\d+ passed", line)]
        result[key] = {"command": command, "seconds": round(seconds), "status": done.returncode, "lines": lines}
        minutes = f"{int(seconds) // 60} min {int(seconds) % 60} s"
        summary[name] = minutes if done.returncode == 0 else f"FAILED after {minutes}"
        print(json.dumps(result[key], indent=1), *(done.stderr.splitlines()[-20:] if done.returncode else []), sep="\n")
    if options.write:
        print(evidence("readme_commands", summary, result))


if __name__ == "__main__":
    main()
