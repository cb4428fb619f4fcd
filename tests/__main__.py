"""Run the whole suite: `python -m tests [--data FOLDER]`. Other arguments are passed to pytest.

Two calls, since the hook that executes the shapes in annotations breaks `torch.compile`, would raise before our own
checks of shapes do, and slows whole trainings down. Each ends with the reasons for skipped tests.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

HOOK = "--jaxtyping-packages=saccade,tests.typed"
CALLS = (["-m", "not unhooked", HOOK], ["-m", "unhooked"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__, add_help=False, allow_abbrev=False)
    parser.add_argument("--data", type=Path, default=os.environ.get("SACCADE_DATA") or None)
    options, arguments = parser.parse_known_args()
    alone = os.environ | {"OMP_NUM_THREADS": "1"}  # two workers on two cores
    if options.data is None:
        print("real data: none; --data FOLDER or SACCADE_DATA names the folder that holds them", flush=True)
    elif options.data.is_dir():
        print(f"real data: {options.data.resolve()}", flush=True)
        alone["SACCADE_DATA"] = str(options.data.resolve())
    else:
        parser.error(f"--data or SACCADE_DATA: {options.data} is no folder")
    pytest = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    root = Path(__file__).parent.parent
    codes = [subprocess.call([*pytest, *call, *arguments], cwd=root, env=alone) for call in CALLS]
    # 5 is "no tests": one of the calls, but not both, may have no selected tests
    return int(any(code not in (0, 5) for code in codes) or all(code == 5 for code in codes))


if __name__ == "__main__":
    sys.exit(main())
