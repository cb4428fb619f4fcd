"""Parallel text is read, or the error names file and line."""

import gzip
from pathlib import Path

import pytest

from saccade.core.errors import InvalidInput, NotFound
from saccade.tasks.translation.parallel_text import SPLITS, embedded_pairs, hold_out, read_pairs


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)
    return path


def test_one_file_and_two_files_plain_and_gzip(tmp_path: Path) -> None:
    expected = [("a b", "c"), ("é", "日本")]
    table = "a b\tc\textra\r\né\t日本"
    assert read_pairs([write(tmp_path / "t.tsv", table)]) == expected
    assert read_pairs([write(tmp_path / "bom.tsv", b"\xef\xbb\xbf" + table.encode())]) == expected
    assert read_pairs([write(tmp_path / "t.gz", gzip.compress(table.encode()))]) == expected
    source, target = write(tmp_path / "s", "a b\né\n"), write(tmp_path / "t", gzip.compress("c\n日本\n".encode()))
    assert read_pairs([source, target]) == expected


BAD = {
    "empty": (b"", "the file is empty"),
    "one column": (b"a\tb\nno tab here\n", "line 2: expected source<tab>target"),
    "no target": (b"a\tb\nc\t \n", "line 2: the target side is empty"),
    "not utf-8": (b"a\tb\nc\td\n\xff\tx\n", r"line 3: not UTF-8 \(byte 0xff\)"),
    "broken gzip": (gzip.compress(b"a\tb\n" * 100)[:-9], "the gzip archive is broken or cut off"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_invalid_file_is_reported_with_its_line(tmp_path: Path, case: str) -> None:
    data, message = BAD[case]
    with pytest.raises(InvalidInput, match=f"pairs.tsv.*{message}"):
        read_pairs([write(tmp_path / "pairs.tsv", data)])


def test_files_that_are_missing_uneven_or_too_many(tmp_path: Path) -> None:
    source, target = write(tmp_path / "s", "a\nb\n"), write(tmp_path / "t", "a\n")
    with pytest.raises(NotFound, match="nowhere: there is no such file"):
        read_pairs([tmp_path / "nowhere"])
    with pytest.raises(InvalidInput, match=r"s has 2 lines, .*t has 1"):
        read_pairs([source, target])
    with pytest.raises(InvalidInput, match="not 3 files"):
        read_pairs([source, target, target])


def test_the_embedded_pairs_are_short_and_no_side_is_in_two_splits() -> None:
    splits = {split: embedded_pairs(split) for split in SPLITS}
    assert {split: len(pairs) for split, pairs in splits.items()} == {"train": 28473, "validation": 1000, "test": 1000}
    pairs = [pair for split in splits.values() for pair in split]
    assert len({source for source, _ in pairs}) == len({target for _, target in pairs}) == len(pairs)


def test_held_out_pairs_are_not_in_training() -> None:
    pairs = [(str(i % 90), str(i % 90)) for i in range(100)]
    kept, held = hold_out(pairs)
    assert len(held) == 4
    assert not set(kept) & set(held)
    assert set(kept) | set(held) == set(pairs)
    assert hold_out(pairs) == (kept, held)
    with pytest.raises(InvalidInput, match="too few"):
        hold_out(pairs[:7])


def sides(pairs: list[tuple[str, str]], side: int, lowercase: bool) -> set[str]:
    return {pair[side].lower() if lowercase else pair[side] for pair in pairs}


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_no_side_of_a_held_out_pair_is_in_training(turned: bool, lowercase: bool) -> None:
    """Tatoeba has several translations of a sentence, and the same translation of several sentences."""
    pairs = [(f"Sentence {i} .", f"phrase {i} , version {j} .") for i in range(100) for j in range(5)]
    pairs += [(source.upper(), target) for source, target in pairs[::7]]
    pairs = [pair[::-1] for pair in pairs] if turned else pairs
    kept, held = hold_out(pairs, lowercase=lowercase)
    assert len(held) == len(set(held)) == (len(pairs) if not lowercase else 500) // 20
    assert set(kept) < set(pairs)
    for side in (0, 1):
        assert not sides(kept, side, lowercase) & sides(held, side, lowercase)
    # and nothing else is dropped
    known = [sides(held, side, lowercase) for side in (0, 1)]
    gone = [pair for pair in pairs if pair not in kept]
    assert all(sides([pair], 0, lowercase) & known[0] or sides([pair], 1, lowercase) & known[1] for pair in gone)


def test_pairs_that_nearly_all_share_a_side_are_not_held_out() -> None:
    with pytest.raises(InvalidInput, match="only 0 of 400 pairs share no side with the 20 that would be held out"):
        hold_out([(f"sentence {i}", "yes" if i % 2 else "no") for i in range(400)])
