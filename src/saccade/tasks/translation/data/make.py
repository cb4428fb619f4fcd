"""Make the embedded English-French pairs from Tatoeba's export: `python make.py fra-eng.zip`.

The zip is from manythings.org/anki (`fra.txt`: English, tab, French), version 2017-09-29. A pair is kept if its English
side has at most 8 words and all words are among the 1,200 most frequent English and the 2,000 most frequent French
words (counted over the distinct sentences of each side). If several pairs share a sentence, only the first is kept, so
that no sentence occurs in two splits. White space, including narrow and non-breaking spaces, becomes one space.
"""

import gzip
import random
import re
import sys
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
ENGLISH_WORDS, FRENCH_WORDS, LONGEST, HELD_OUT, SEED = 1_200, 2_000, 8, 1_000, 20_170_929


def words(sentence: str) -> list[str]:
    return WORD.findall(sentence.lower())


def frequent(sentences: Iterable[str], count: int) -> set[str]:
    counts = Counter(word for sentence in dict.fromkeys(sentences) for word in words(sentence))
    return {word for word, _ in counts.most_common(count)}


def select(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs whose words are frequent and whose sides have not been seen."""
    english = frequent((source for source, _ in pairs), ENGLISH_WORDS)
    french = frequent((target for _, target in pairs), FRENCH_WORDS)
    chosen: dict[str, str] = {}
    seen: set[str] = set()
    for source, target in pairs:
        if source in chosen or target in seen or len(words(source)) > LONGEST:
            continue
        if english.issuperset(words(source)) and french.issuperset(words(target)):
            chosen[source] = target
            seen.add(target)
    return list(chosen.items())


def main(archive: str) -> None:
    text = zipfile.ZipFile(archive).read("fra.txt").decode("utf-8")
    rows = [unicodedata.normalize("NFC", line).split("\t") for line in text.split("\n") if line]
    pairs = select([(" ".join(row[0].split()), " ".join(row[1].split())) for row in rows])
    random.Random(SEED).shuffle(pairs)
    splits = {"test": pairs[:HELD_OUT], "validation": pairs[HELD_OUT : 2 * HELD_OUT], "train": pairs[2 * HELD_OUT :]}
    for split, kept in splits.items():
        lines = "".join(f"{source}\t{target}\n" for source, target in kept)
        # the archive contains no time stamp, so that making it again gives the same bytes
        path = Path(__file__).with_name(f"tatoeba_eng_fra.{split}.tsv.gz")
        path.write_bytes(gzip.compress(lines.encode("utf-8"), compresslevel=9, mtime=0))
        sys.stdout.write(f"{path.name}: {len(kept)} pairs, {path.stat().st_size} bytes\n")


if __name__ == "__main__":
    main(sys.argv[1])
