"""What one person's captions reach beside the others', on Flickr8k and MSVD; and how long the metrics take.

    python benchmarks/captions_metrics.py FOLDER

The folder has flickr8k (its text files suffice) and msvd_captions. The first caption of each of the 1,000 official
test photos, and of each of MSVD's 670 test videos, is judged by the others of the same photo or video.
"""

import argparse
import gzip
import json
import time
from collections import defaultdict
from pathlib import Path

from measure import evidence

from saccade.tasks.captions.flickr8k import CAPTIONS, names_of, one_of, read_captions
from saccade.tasks.captions.words import words_of
from saccade.tasks.meteor import meteor
from saccade.tasks.metrics import bleu_orders, cider_d, rouge_l


def flickr8k(folder: Path) -> list[list[str]]:
    captions = read_captions(one_of(folder, CAPTIONS))
    return [[" ".join(words_of(caption)) for caption in captions[name]] for name in names_of(folder, "test")]


def msvd(folder: Path) -> list[list[str]]:
    found = defaultdict(list)
    with gzip.open(folder / "sents_test_lc_nopunc.txt.gz", "rt", encoding="utf-8") as file:
        for line in file:
            video, caption = line.rstrip("\n").split("\t")
            found[video].append(" ".join(words_of(caption)))
    return list(found.values())


def judged(captions: list[list[str]]) -> dict[str, float]:
    person, others = [own[0] for own in captions], [own[1:] for own in captions]
    begun = time.perf_counter()
    orders = bleu_orders(person, others)
    found = {f"bleu_{order}": round(value, 1) for order, value in enumerate(orders, start=1)}
    found["rouge_l"] = round(rouge_l(person, others), 1)
    found["cider"] = round(cider_d(person, others)[0], 3)
    found["meteor"] = round(meteor(person, others)[0], 1)
    found["seconds"] = round(time.perf_counter() - begun, 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    judged([["a b", "b a"], ["b c", "c"]])  # imports
    result = {
        "Flickr8k, 1,000 official test photos": judged(flickr8k(options.folder / "flickr8k")),
        "MSVD, 670 test videos": judged(msvd(options.folder / "msvd_captions")),
    }
    print(json.dumps(result, indent=1))
    if options.write:
        summary = {
            f"one person beside the others, {name}": "BLEU-1 to 4 {bleu_1}, {bleu_2}, {bleu_3}, {bleu_4}; ROUGE-L "
            "{rouge_l}; CIDEr-D {cider}; METEOR {meteor}".format_map(found)
            for name, found in result.items()
        }
        seconds = result["Flickr8k, 1,000 official test photos"]["seconds"]
        summary["BLEU, ROUGE-L, CIDEr-D and METEOR of 1,000 captions with four references"] = f"{seconds} s"
        print(evidence("captions_metrics", summary, {"one person": result}))


if __name__ == "__main__":
    main()
