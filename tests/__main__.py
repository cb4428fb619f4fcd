"""The whole suite: `python -m tests`. Arguments go to pytest.

Two calls, since the hook that executes the shapes in annotations breaks `torch.compile`, would raise before our own
checks of shapes do, and slows whole trainings down.
"""

import os
import subprocess
import sys
from pathlib import Path

HOOK = "--jaxtyping-packages=saccade,beartype.beartype"
CALLS = (["-m", "not unhooked", HOOK], ["-m", "unhooked"])


def main() -> int:
    root = Path(__file__).parent.parent
    pytest = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile"]
    alone = os.environ | {"OMP_NUM_THREADS": "1"}  # two workers on two cores
    codes = [subprocess.call([*pytest, *call, *sys.argv[1:]], cwd=root, env=alone) for call in CALLS]
    # 5 is "no tests": one of the calls may have none of what the arguments chose, not both
    return int(any(code not in (0, 5) for code in codes) or all(code == 5 for code in codes))


if __name__ == "__main__":
    sys.exit(main())
