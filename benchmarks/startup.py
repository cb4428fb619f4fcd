"""Time imports, `--help` and a plan, each in a separate process.

python benchmarks/startup.py
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

from measure import evidence

PLAN = "plan gpt2 xl --devices 64 --device v100 --memory 32GB --tensor 8 --tokens 300B"
COMMANDS = {
    "import torch": ["-c", "import torch"],
    "import torch, saccade": ["-c", "import torch, saccade"],
    "import torch and saccade's mechanisms": ["-c", "import torch, saccade.attention, saccade.memory, saccade.explain"],
    "saccade --help": ["-m", "saccade", "--help"],
    "saccade list": ["-m", "saccade", "list"],
    "saccade train rnnsearch --help": ["-m", "saccade", "train", "rnnsearch", "--help"],
    "saccade plan gpt2 xl": ["-m", "saccade", *PLAN.split()],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for round_ in range(options.rounds + 1):
        for name, arguments in COMMANDS.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            if round_:  # the first round fills the caches
                seconds[name].append(time.perf_counter() - begun)
    median = {name: round(statistics.median(values), 3) for name, values in seconds.items()}
    pairs = zip(seconds["import torch, saccade"], seconds["import torch"], strict=True)
    added = statistics.median(both - alone for both, alone in pairs)
    result = {"seconds": median, "import_saccade_adds_ms": round(1000 * added, 1)}
    print(json.dumps(result, indent=1))
    if options.write:
        summary = {
            "`import saccade` adds to `import torch`": f"{1000 * added:.0f} ms",
            "`saccade --help`": f"{median['saccade --help']:.2f} s",
            "`saccade train rnnsearch --help`": f"{median['saccade train rnnsearch --help']:.1f} s",
            f"`saccade {PLAN}`": f"{median['saccade plan gpt2 xl']:.1f} s",
        }
        print(evidence("startup", summary, result))


if __name__ == "__main__":
    main()
