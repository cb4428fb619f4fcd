"""One sentence through three trained systems, kept for the guide: `python docs/build/one_sentence.py RUN RUN RUN`.

Writes docs/guide/one-sentence.json: for each run its system, commit, score, answer and the pictures of the answer.
Trained runs are too large for the repository; this file is what a page needs of them.
"""

import json
import sys
from pathlib import Path
from typing import Any

import saccade
from saccade.explain.pictures import kept
from saccade.training.record import read

SENTENCE = "She told me that she had bought a new car."
TARGET = Path(__file__).parents[1] / "guide" / "one-sentence.json"


def main(runs: list[str]) -> None:
    found: dict[str, Any] = {}
    for path in runs:
        run, evidence = saccade.load(path), read(Path(path) / "evidence.json")[0]
        answer = run.predict(SENTENCE)
        test = evidence["metrics"]["test"]
        found[evidence["system"]] = {
            "command": f"saccade train {evidence['system']}", "commit": evidence["commit"],
            test["decisive"]: round(test[test["decisive"]], 2), "parameters": evidence["parameters"],
            "answer": answer.text, "pictures": [kept(picture) for picture in answer.pictures if small(picture)],
        }  # fmt: skip
    TARGET.write_text(
        json.dumps({"sentence": SENTENCE, "runs": found}, ensure_ascii=False, separators=(",", ":")) + "\n",
        encoding="utf-8",
    )


def small(picture: Any) -> bool:
    return len(json.dumps(kept(picture))) < 120_000


if __name__ == "__main__":
    main(sys.argv[1:])
