"""Random configurations, weights and inputs of the external memories: the property tests, with more examples.

    python benchmarks/memory_robustness.py --examples 1000

Each example is an NTM, a DNC or a sparse access memory of random sizes and options, with weights and inputs from 0 to
30,000, in float32 or under bfloat16 autocast. Outputs, state and gradients have to be finite, and the invariants hold.
"""

import argparse
import os
import re
import subprocess
import sys
from typing import Any

from measure import evidence

TESTS = "tests/memory/test_robustness.py"
FOUND = re.compile(r"::test_(\w+):\n(?:.*\n)*?.*- (\d+) passing, (\d+) failing")
"""A test's name, and how many of its examples passed and failed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", TESTS, "-k", "stay_finite", "--hypothesis-show-statistics"],
        env=os.environ | {"SACCADE_EXAMPLES": str(options.examples)}, text=True, capture_output=True, check=False,
    )  # fmt: skip
    found = {name: (int(passed), int(failed)) for name, passed, failed in FOUND.findall(done.stdout)}
    if not found:
        raise SystemExit(done.stdout + done.stderr)
    result: dict[str, Any] = {name: {"passed": passed, "failed": failed} for name, (passed, failed) in found.items()}
    summary = {
        name.replace("_", " "): f"{passed:,} random configurations, {failed} failures"
        for name, (passed, failed) in found.items()
    }
    for name, says in summary.items():
        print(f"{name}: {says}")
    if options.write:
        print(evidence("memory_robustness", summary, result))
    if done.returncode:
        raise SystemExit(done.stdout)


if __name__ == "__main__":
    main()
