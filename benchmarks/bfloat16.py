"""Measure bfloat16 when a trained run answers its test split: sentences per second and BLEU.

    python benchmarks/bfloat16.py RUN [RUN ...]

Weights stay float32; products are bfloat16 (autocast). The run's own search is used.
"""

import argparse
import json
import statistics
from typing import Any

from measure import alternate, evidence, ratio

from saccade.runs.run import open_run

PRECISIONS = ("float32", "bfloat16")


def measured(path: str, rounds: int) -> dict[str, Any]:
    runs = {precision: open_run(path, "--precision", precision) for precision in PRECISIONS}
    examples = runs["float32"].task.examples("test")
    scores = {
        name: run.task.score(run.predictions(examples), examples).figures[run.task.metric].value
        for name, run in runs.items()
    }
    seconds = alternate({name: lambda run=run: run.predictions(examples) for name, run in runs.items()}, rounds, 0)
    return {
        "run": f"{runs['float32'].system} {runs['float32'].variant}",
        "data": runs["float32"].task.describe()["data"],
        "metric": runs["float32"].task.metric,
        "scores": scores,
        "sentences_per_second": {n: round(len(examples) / statistics.median(s)) for n, s in seconds.items()},
        "times_float32": round(ratio(seconds["float32"], seconds["bfloat16"]), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    found = [measured(path, options.rounds) for path in options.runs]
    print(json.dumps(found, indent=1))
    if options.write:
        summary = {
            f"answers of {run['run']} ({run['data']}) in bfloat16": (
                f"{run['times_float32']} x as fast as in float32 ({run['sentences_per_second']['bfloat16']} and "
                f"{run['sentences_per_second']['float32']} sentences a second); {run['metric'].upper()} "
                f"{run['scores']['bfloat16']:.2f} and {run['scores']['float32']:.2f}"
            )
            for run in found
        }
        print(evidence("bfloat16", summary, {"rounds": options.rounds, "runs": found}))


if __name__ == "__main__":
    main()
