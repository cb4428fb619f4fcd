"""Parallel text: one tab-separated file, or two aligned files, plain or gzip, UTF-8."""

import random
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from saccade.core.errors import InvalidInput
from saccade.core.files import composed, read_lines

Pair = tuple[str, str]
SPLITS = ("train", "validation", "test")
OVERRIDE = "; if the direction is correct, type --task.check-direction false"


def composed_lines(path: Path) -> list[str]:
    """The lines of a text file, in composed form (NFC).

    Raises:
        NotFound, InvalidInput: as `read_lines`.
    """
    return [composed(line) for line in read_lines(path)]


def read_pairs(paths: Sequence[Path]) -> list[Pair]:
    """Sentence pairs from one file `source<tab>target` (further columns are ignored) or from two aligned files.

    Raises:
        NotFound, InvalidInput: naming the file and, if there is one, the line.
    """
    if len(paths) not in (1, 2):
        raise InvalidInput(
            f"expected one tab-separated file, or a source file and a target file, not {len(paths)} files"
        )
    if len(paths) == 2:
        sources, targets = composed_lines(paths[0]), composed_lines(paths[1])
        if len(sources) != len(targets):
            raise InvalidInput(
                f"{paths[0]} has {len(sources)} lines, {paths[1]} has {len(targets)}; they must be aligned"
            )
        rows = [[source, target] for source, target in zip(sources, targets, strict=True)]
    else:
        rows = [line.split("\t") for line in composed_lines(paths[0])]
    pairs = []
    for number, row in enumerate(rows, start=1):
        if len(row) < 2:
            raise InvalidInput(
                f"{paths[0]}, line {number}: expected source<tab>target, found one column: {row[0][:60]!r}"
            )
        pair = " ".join(row[0].split()), " ".join(row[1].split())
        if not all(pair):
            side, path = ("target", paths[-1]) if pair[0] else ("source", paths[0])
            raise InvalidInput(f"{path}, line {number}: the {side} side is empty")
        pairs.append(pair)
    if not pairs:
        raise InvalidInput(f"{paths[0]}: the file is empty")
    return pairs


def languages_of(paths: Sequence[Path]) -> tuple[str, str] | None:
    """The languages in the names of two aligned files, such as ("de", "en") for train.de.gz and train.en.gz; None if
    their names contain no languages."""
    if len(paths) != 2:
        return None
    source, target = (path.with_suffix("") if path.suffix == ".gz" else path for path in paths)
    endings = source.suffix[1:], target.suffix[1:]
    return endings if all(endings) and endings[0] != endings[1] else None


def check_order(train: Sequence[Pair], others: Sequence[Pair], name: str) -> None:
    """Check that other pairs do not translate in the opposite direction of the training pairs.

    Raises:
        InvalidInput: on both sides, at least a quarter of the words occur only on the other side of the training pairs,
            and at least twice as many as occur only on the same side.
    """
    known = [{word for pair in train for word in pair[side].split()} for side in (0, 1)]
    counts = []
    for side in (0, 1):
        words = [word for pair in others for word in pair[side].split()]
        straight, crossed = (sum(word in known[of] for word in words) for of in (side, 1 - side))
        counts.append((straight, crossed, len(words)))
    if all(crossed > max(2 * straight, words / 4) for straight, crossed, words in counts):
        straight, crossed, _ = (sum(column) for column in zip(*counts, strict=True))
        raise InvalidInput(
            f"the {name} pairs seem to translate from the target language to the source language: {crossed} of their "
            f"words occur on the other side of the training pairs, {straight} on the same side; swap the "
            f"sides{OVERRIDE}"
        )


def embedded_pairs(split: str) -> list[Pair]:
    """The English-French pairs of a split, from the data in the package (Tatoeba, CC BY 2.0)."""
    folder = resources.files("saccade.tasks.translation").joinpath("data")
    with resources.as_file(folder.joinpath(f"tatoeba_eng_fra.{split}.tsv.gz")) as path:
        return read_pairs([path])


def neighbours_joined(pairs: Sequence[Pair], most: int) -> list[Pair]:
    """Join consecutive pairs, from 1 to `most` at a time; the numbers are drawn with a fixed seed."""
    if most == 1:
        return list(pairs)
    draw, found, start = random.Random(1), [], 0
    while start < len(pairs):
        part = pairs[start : start + draw.randint(1, most)]
        found.append((" ".join(source for source, _ in part), " ".join(target for _, target in part)))
        start += len(part)
    return found


def hold_out(pairs: list[Pair], seed: int = 0, lowercase: bool = False) -> tuple[list[Pair], list[Pair]]:
    """(kept, held out): a twentieth of the distinct pairs, at most 1,000, is held out, drawn with a seed.

    No sentence occurs in both parts: kept pairs that share a side with a held-out pair, such as other translations of
    the same sentence, are dropped.

    Args:
        lowercase: whether sides that differ only in case count as equal, as in a lower-cased task.

    Raises:
        InvalidInput: too few pairs to hold any out, or too many that share a side.
    """

    def form(pair: Pair) -> Pair:
        return (pair[0].lower(), pair[1].lower()) if lowercase else pair

    different: dict[Pair, Pair] = {}
    for pair in pairs:
        different.setdefault(form(pair), pair)
    count = min(1_000, len(different) // 20)
    if count == 0:
        raise InvalidInput(
            f"{len(different)} distinct pairs are too few to hold some out (20 for a split, 21 for two); "
            "name files for the other splits"
        )
    chosen = set(random.Random(seed).sample(list(different), count))
    sources, targets = ({pair[side] for pair in chosen} for side in (0, 1))
    kept = [pair for pair in pairs if form(pair)[0] not in sources and form(pair)[1] not in targets]
    if 2 * len(kept) < len(pairs):
        raise InvalidInput(
            f"only {len(kept)} of {len(pairs)} pairs share no side with the {count} that would be held out; "
            "name files for the other splits"
        )
    return kept, [pair for shape, pair in different.items() if shape in chosen]
