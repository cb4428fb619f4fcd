"""Make the embedded sample from the whole bAbI set: `python make.py tasks_1-20_v1-2` (the folder that holds en/).

Whole stories of the training and of the test files of `en/` (1,000 questions each), drawn with a fixed seed until a
task has as many questions as below; the lines are as they were. Long stories give fewer.
"""

import gzip
import random
import re
import sys
from pathlib import Path

QUESTIONS = {"train": 400, "test": 50}
CHARACTERS = {"train": 60_000, "test": 10_000}
"""The most of a task and a split; stories of task 3 have up to 228 lines."""


def stories(text: str) -> list[str]:
    """The stories of a file, each with its questions."""
    return re.split(r"(?m)^(?=1 )", text)[1:]


def main(folder: str) -> None:
    parts = []
    for task in range(1, 21):
        for split, most in QUESTIONS.items():
            [path] = Path(folder, "en").glob(f"qa{task}_*_{split}.txt")
            found = stories(path.read_text(encoding="ascii"))
            random.Random(f"{task}/{split}").shuffle(found)
            chosen, questions = "", 0
            for story in found:
                if questions < most and len(chosen) + len(story) <= CHARACTERS[split]:
                    chosen, questions = chosen + story, questions + story.count("\t") // 2
            parts.append(f"= {task} {split}\n{chosen}")
            sys.stdout.write(f"task {task} {split}: {questions} questions\n")
    path = Path(__file__).with_name("babi_sample.txt.gz")
    # no time of day in the archive, so that making it again gives the same bytes
    path.write_bytes(gzip.compress("".join(parts).encode("ascii"), compresslevel=9, mtime=0))
    sys.stdout.write(f"{path.name}: {path.stat().st_size} bytes\n")


if __name__ == "__main__":
    main(sys.argv[1])
