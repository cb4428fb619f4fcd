"""The masks, the examples and the counts of masked language models."""

import itertools
import json
import random
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from saccade.core.errors import InvalidInput
from saccade.runs import catalogue
from saccade.tasks.masked import Filled, LengthenedStream, MaskedConfig, MaskedStream, MaskedTask
from saccade.tasks.masked.counts import CountModel
from saccade.tasks.masked.masking import masked
from saccade.tasks.masked.segments import full_sentences, pairs
from saccade.tasks.masked.special import SpecialSymbols
from saccade.tasks.text import BytePieces, WordPieces
from saccade.tasks.text.pieces import BytePieceSymbols
from saccade.tasks.text.vocabulary import from_files, from_list

pytest.importorskip("tokenizers")
PAIRS = MaskedConfig(symbols=WordPieces(size=120), length=24)
FULL = MaskedConfig(symbols=BytePieces(size=300), examples="full-sentences", length=24, duplicates=None)
WORDS = ["the", "king", "is", "dead", "and", "all", "his", "men", "are", "here", "now", "O"]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lines of three to nine words."""
    draw = random.Random(1)
    path = tmp_path_factory.mktemp("masked") / "text.txt"
    lines = [" ".join(draw.choices(WORDS, k=draw.randint(3, 9))) + "." for _ in range(600)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tasks(text: Path) -> dict[str, MaskedTask]:
    return {"pairs": MaskedTask(replace(PAIRS, file=(text,))), "full": MaskedTask(replace(FULL, file=(text,)))}


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> SpecialSymbols:
    """A vocabulary in the form of BERT's."""
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "."]), encoding="utf-8")
    return SpecialSymbols(from_list(path))


class TestMasks:
    def test_fifteen_of_a_hundred_are_chosen_and_eight_of_ten_are_masked(self, words: SpecialSymbols) -> None:
        symbols = torch.cat([torch.tensor([2]), torch.arange(93) % 13 + 5, torch.tensor([3])])
        counts, size, draws = Counter[str](), len(words.names) - 5, 2000
        for number in range(draws):
            inputs, chosen = masked(symbols, words, PAIRS, f"1/{number}")
            assert torch.equal(inputs[~chosen], symbols[~chosen])
            assert words.known(symbols)[chosen].all()
            shown, right = inputs[chosen], symbols[chosen]
            assert ((shown == words.mask) | words.known(shown)).all(), "a random symbol is never special"
            counts["chosen"] += len(right)
            counts["mask"] += int((shown == words.mask).sum())
            counts["same"] += int((shown == right).sum())
        expected = 0.15 * 93 * draws
        assert counts["chosen"] == pytest.approx(expected, rel=0.01)
        assert counts["mask"] / counts["chosen"] == pytest.approx(0.8, abs=0.01)
        # a random symbol is the right one in one of its draws
        assert counts["same"] / counts["chosen"] == pytest.approx(0.1 + 0.1 / size, abs=0.01)

    def test_every_place_and_every_random_symbol_is_drawn_alike(self, words: SpecialSymbols) -> None:
        symbols = torch.full((20,), 7)
        places, drawn = torch.zeros(20), Counter[int]()
        for number in range(4000):
            inputs, chosen = masked(symbols, words, replace(PAIRS, masked=0.0, replaced=1.0), f"2/{number}")
            places += chosen
            drawn.update(inputs[chosen].tolist())
        assert places.sum() == pytest.approx(0.15 * 20 * 4000, rel=0.02)
        assert (places / places.sum() * 20 - 1).abs().max() < 0.15
        assert sorted(drawn) == list(range(5, 18))
        assert max(drawn.values()) < 1.25 * min(drawn.values())

    def test_one_is_chosen_in_a_short_text_and_none_among_special_symbols(self, words: SpecialSymbols) -> None:
        for number in range(50):
            assert masked(torch.tensor([2, 5, 3]), words, PAIRS, str(number)).chosen.tolist() == [False, True, False]
        assert not masked(torch.tensor([2, 1, 3]), words, PAIRS, "1").chosen.any()

    def test_masks_are_functions_of_their_key(self, words: SpecialSymbols) -> None:
        symbols = torch.arange(60) % 13 + 5
        one, same, other = (masked(symbols, words, PAIRS, key) for key in ("1/a", "1/a", "1/b"))
        assert torch.equal(one.inputs, same.inputs)
        assert not torch.equal(one.chosen, other.chosen)

    def test_shares_above_one_are_refused(self) -> None:
        with pytest.raises(ValidationError, match="their sum is at most 1"):
            MaskedConfig(masked=0.8, replaced=0.3)


class TestStream:
    def batches(self, task: MaskedTask) -> tuple[MaskedStream, int]:
        found = MaskedStream(task, batch_size=96, window=100, seed=1)
        return found, len(found.epoch(0))

    def drawn(self, stream: MaskedStream, batches: range) -> dict[tuple[int, ...], list[int]]:
        """What is read of each training text, in some batches."""
        found = {}
        for number in batches:
            batch = stream.share(number).batch
            for symbols, inputs in zip(batch.symbols, batch.inputs, strict=True):
                found[tuple(symbols.tolist())] = inputs.tolist()
        return found

    def test_static_masks_are_the_same_in_each_pass_and_others_are_not(self, tasks: dict[str, MaskedTask]) -> None:
        for kind, same in (("pairs", True), ("full", False)):
            stream, count = self.batches(tasks[kind])
            first, second = self.drawn(stream, range(count)), self.drawn(stream, range(count, 2 * count))
            texts = first.keys() & second.keys()  # texts are padded alike in both only where batches are alike
            assert len(texts) > 20
            equal = sum(first[text] == second[text] for text in texts) / len(texts)
            assert equal == 1 if same else equal < 0.1, kind

    def test_masks_do_not_depend_on_the_number_of_processes(self, tasks: dict[str, MaskedTask]) -> None:
        for task in tasks.values():
            stream, count = self.batches(task)
            number = count + 1
            whole = stream.share(number).batch.inputs
            for rank in range(2):
                part = stream.share(number, rank, 2).batch.inputs
                assert torch.equal(part, whole[rank::2, : part.shape[1]])

    def test_duplicates_have_other_pairs_and_masks(self, tasks: dict[str, MaskedTask]) -> None:
        task = tasks["pairs"]
        twice = MaskedTask(replace(task.config, duplicates=2))
        once, both = task.examples("train"), twice.examples("train")
        assert len(both) > 1.8 * len(once)
        texts = {tuple(one.symbols.tolist()) for one in once}
        assert sum(tuple(one.symbols.tolist()) in texts for one in both[len(once) :]) < 0.3 * len(once)
        assert len(task.examples("test")) == len(twice.examples("test"))


class TestExamples:
    def test_half_of_the_pairs_follow_and_the_others_do_not(self) -> None:
        lines = [[line * 10 + place for place in range(5)] for line in range(4000)]
        found = list(pairs(lines, 29, random.Random(1)))
        share = sum(pair.follows for pair in found) / len(found)
        assert share == pytest.approx(0.5, abs=0.04)
        for first, second, follows in found:
            assert first
            assert second
            assert len(first) + len(second) <= 29
            between = range(first[-1] + 1, second[0])
            if follows:  # but for what was cut to make room
                assert first == sorted(first)
                assert second == sorted(second)
                assert between.start <= between.stop <= between.start + 60
            elif second[0] - first[-1] < 60:
                assert second[0] // 10 != first[-1] // 10 + 1
        following = [pair for pair in found if pair.follows]
        assert sum(pair.second[0] // 10 == pair.first[-1] // 10 + 1 for pair in following) > 0.6 * len(following)

    def test_a_tenth_of_the_pairs_are_shorter(self) -> None:
        found = list(pairs([[1] * 5] * 4000, 100, random.Random(2)))
        short = sum(len(pair.first) + len(pair.second) < 80 for pair in found) / len(found)
        assert 0.03 < short < 0.15

    def test_full_sentences_hold_every_symbol_once_and_are_filled(self) -> None:
        draw = random.Random(3)
        lines = [[line] * draw.randint(1, 9) for line in range(500)] + [[7] * 45]
        found = list(full_sentences(lines, 20))
        assert [symbol for one in found for symbol in one] == [symbol for line in lines for symbol in line]
        assert all(len(one) <= 20 for one in found)
        for one, after in itertools.pairwise(found[:-3]):
            assert len(one) + len(lines[after[0]]) > 20, "there was room for one more line"
            assert one[-1] != after[0]

    def test_frames_and_segments(self, tasks: dict[str, MaskedTask]) -> None:
        for kind, segments in (("pairs", 2), ("full", 1)):
            task = tasks[kind]
            for example in task.examples("test"):
                symbols = example.symbols.tolist()
                assert symbols[0] == task.symbols.numbers["first"]
                assert symbols[-1] == task.symbols.separator
                assert symbols.count(task.symbols.separator) == segments
                ends = [place for place, symbol in enumerate(symbols) if symbol == task.symbols.separator]
                assert example.segments.tolist() == [int(segments > 1 and n > ends[0]) for n in range(len(symbols))]
                assert len(symbols) <= task.config.length

    def test_a_batch_pads_what_nothing_reads(self, tasks: dict[str, MaskedTask]) -> None:
        task = tasks["pairs"]
        batch = task.collate(task.examples("test")[:7])
        assert (batch.inputs[~batch.mask] == task.symbols.padding).all()
        assert not batch.chosen[~batch.mask].any()
        assert batch.chosen.any(1).all()
        assert torch.equal(batch.inputs[~batch.chosen], batch.symbols[~batch.chosen])

    def test_a_text_of_one_line_has_no_pairs(self, tmp_path: Path) -> None:
        path = tmp_path / "one.txt"
        path.write_text("the king is dead " * 30, encoding="utf-8")
        task = MaskedTask(replace(PAIRS, file=(path,)))
        with pytest.raises(InvalidInput, match="the test part of the text has 1 lines; pairs need two or more"):
            task.examples("test")


class TestSpecialSymbols:
    def test_those_of_berts_vocabulary_are_found(self, words: SpecialSymbols) -> None:
        assert (words.padding, words.numbers["first"], words.separator, words.mask, words.unknown) == (0, 2, 3, 4, 1)
        assert words.names[5:] == [*WORDS, "."]
        assert not words.ordinary[:5].any()
        assert words.ordinary[5:].all()

    def test_they_are_added_to_byte_level_pieces(self, tasks: dict[str, MaskedTask]) -> None:
        symbols = tasks["full"].symbols
        assert isinstance(symbols.pieces, BytePieceSymbols)
        assert symbols.names[-4:] == ["<pad>", "<s>", "</s>", "<mask>"]
        assert symbols.ordinary.tolist() == [True] * (len(symbols.names) - 4) + [False] * 4

    def test_those_of_robertas_vocabulary_are_found(self, tmp_path: Path) -> None:
        from saccade.tasks.text.pieces import BYTES

        names = ["<s>", "<pad>", "</s>", "<unk>", *sorted(BYTES), "<mask>"]
        (tmp_path / "vocab.json").write_text(json.dumps({name: n for n, name in enumerate(names)}), encoding="utf-8")
        (tmp_path / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
        symbols = SpecialSymbols(from_files(tmp_path / "vocab.json", tmp_path / "merges.txt"))
        assert symbols.names == names
        assert (symbols.numbers["first"], symbols.padding, symbols.separator, symbols.mask) == (0, 1, 2, 260)

    def test_a_typed_mask_takes_the_space_before_it(self, tasks: dict[str, MaskedTask]) -> None:
        for kind, text in (("pairs", "the king is [MASK] ."), ("full", "the king is <mask> .")):
            symbols = tasks[kind].symbols
            found = symbols.typed(text)
            assert found.count(symbols.mask) == 1
            place = found.index(symbols.mask)
            assert symbols.pieces.decode(found[:place]) == "the king is"
            assert symbols.pieces.decode(found[place + 1 :]).strip() == "."


class TestInput:
    @pytest.mark.parametrize(
        ("typed", "why"),
        [
            ("the king is dead", "there is no mask in it"),
            ("", "the input is empty"),
            (" \n", "the input is empty"),
            ("the [mask]", "there is no mask in it"),
            ("[MASK] " * 23, "has 25 symbols, special ones included, and the model reads at most 24"),
            ("the [SEP] king [SEP] [MASK]", "got 3 parts"),
            ("[MASK] [SEP] ", "got 2 parts"),
            ("[MASK]" + "a" * 20_000, "at most 20,000 characters"),
            (b"a file", "not a file"),
        ],
    )
    def test_what_cannot_be_filled_is_refused(self, tasks: dict[str, MaskedTask], typed: Any, why: str) -> None:
        with pytest.raises(InvalidInput, match=why):
            tasks["pairs"].read(typed)

    def test_a_typed_text_has_its_own_masks(self, tasks: dict[str, MaskedTask]) -> None:
        task = tasks["pairs"]
        example = task.read("the king [MASK] dead [SEP] all [MASK] men")
        assert task.labels(example)["symbols"] == (
            ["[CLS]", "the", "king", "[MASK]", "dead", "[SEP]", "all", "[MASK]", "men", "[SEP]"]
        )  # fmt: skip
        assert example.segments.tolist() == [0] * 6 + [1] * 4
        assert task.masked(example).chosen.nonzero()[:, 0].tolist() == [3, 7]
        assert task.notes(example) == []

    def test_nothing_but_masks_and_unknown_words_are_noted(self, tasks: dict[str, MaskedTask]) -> None:
        task = tasks["pairs"]
        [note] = task.notes(task.read("[MASK] [MASK]"))
        assert note.startswith("there is nothing but masks")
        [note] = task.notes(task.read("the 中 is [MASK]"))
        assert note == "the model does not know 1 of the words; it reads [UNK] in their place"

    def test_sample_inputs_have_a_mask(self, tasks: dict[str, MaskedTask]) -> None:
        for task in tasks.values():
            found = task.examples_to_type(3)
            assert len(found) == 3
            for raw in found:
                assert int(task.masked(task.read(raw)).chosen.sum()) == 1

    def test_an_answer_is_the_text_filled_in(self, tasks: dict[str, MaskedTask]) -> None:
        task = tasks["pairs"]
        example = task.read("the king [MASK] dead [SEP] all men")
        number = task.symbols.names.index("is")
        filled = tuple(number if symbol == task.symbols.mask else symbol for symbol in example.symbols.tolist())
        assert (
            task.decode(Filled(filled, 0.0, 0.25)) == "the king is dead [SEP] all men (the second part follows: 25 %)"
        )
        full = tasks["full"]
        assert (
            full.decode(Filled(tuple(full.read("the king<mask>.").symbols.tolist()), 0.0, None)) == "the king <mask>."
        )


def slow_probability(text: list[int], left: int | None, right: int | None, size: int) -> list[float]:
    """The equations at the head of counts.py."""
    alone = [(text.count(x) + 1) / (len(text) + size) for x in range(size)]

    def mixed(seen: list[int], below: list[float]) -> list[float]:
        distinct = len(set(seen))
        if not seen:
            return below
        return [(seen.count(x) + distinct * below[x]) / (len(seen) + distinct) for x in range(size)]

    places = range(len(text))
    after = [text[n] for n in places[1:] if text[n - 1] == left]
    before = [text[n] for n in places[:-1] if text[n + 1] == right]
    both = [text[n] for n in places[1:-1] if (text[n - 1], text[n + 1]) == (left, right)]
    one, other = mixed(after, alone), mixed(before, alone)
    products = [a * b / c for a, b, c in zip(one, other, alone, strict=True)]
    either = [product / sum(products) for product in products]
    return mixed(both, either)


class TestCounts:
    def test_probabilities_equal_loops(self) -> None:
        draw = random.Random(4)
        text, size = [draw.choice([0, 0, 1, 2, 4]) for _ in range(40)], 6
        model = CountModel(text, size)
        for left in (None, *range(size)):
            for right in (None, *range(size)):
                expected = slow_probability(text, left, right, size)
                found = model.probabilities(left, right)
                np.testing.assert_allclose(found, expected, rtol=1e-12)
                assert found.sum() == pytest.approx(1)

    def test_a_shown_symbol_is_kept_unless_it_is_improbable(self) -> None:
        model = CountModel([0, 1, 2] * 20 + [0, 3, 2] * 3, 50)
        assert model.best(0, 2, None, PAIRS) == 1
        assert model.best(0, 2, 3, PAIRS) == 3
        assert model.best(0, 2, 40, PAIRS) == 1
        assert model.best(0, 2, 3, replace(PAIRS, masked=0.8, replaced=0.2)) == 1

    def test_the_score_compares_over_the_same_places(self, tasks: dict[str, MaskedTask]) -> None:
        task = tasks["pairs"]
        examples = task.examples("test")
        right = [Filled(tuple(one.symbols.tolist()), 0.0, float(one.follows)) for one in examples]
        figures = task.score(right, examples).figures
        assert figures["masked_accuracy"].value == 100
        assert figures["next_accuracy"].value == 100
        chosen = sum(int(task.masked(one).chosen.sum()) for one in examples)
        assert figures["symbols"].value == chosen
        found = task.examples("test")[0]
        left = task.counted(found)
        assert len(left) == int(task.masked(found).chosen.sum())
        by_counts = []
        for one in examples:
            row = one.symbols.clone()
            row[task.masked(one).chosen] = torch.tensor(task.counted(one))
            by_counts.append(Filled(tuple(row.tolist()), 1.0, 0.0))
        figures = task.score(by_counts, examples).figures
        assert figures["masked_accuracy"].value == figures["count_accuracy"].value
        assert figures["above_counts"].value == 0
        full = tasks["full"].examples("test")[:1]
        assert (
            "next_accuracy"
            not in tasks["full"].score([Filled(tuple(full[0].symbols.tolist()), 0.0, None)], full).figures
        )


def test_what_was_learned_is_restored(tasks: dict[str, MaskedTask], tmp_path: Path) -> None:
    for kind, task in tasks.items():
        folder = tmp_path / kind
        folder.mkdir()
        task.save(folder)
        again = MaskedTask(task.config, folder)
        assert again.symbols.names == task.symbols.names
        again.check_trained(task.config)
        other = replace(task.config, symbols=BytePieces(size=400) if kind == "pairs" else WordPieces())
        with pytest.raises(InvalidInput, match="cannot be"):
            MaskedTask(other, folder).check_trained(task.config)


def test_a_training_may_begin_with_short_examples() -> None:
    task = MaskedTask(MaskedConfig(symbols=WordPieces(size=200), limit=20_000, length=40, early_length=12))
    make = partial(MaskedStream, batch_size=200, window=50, seed=1)
    short, whole = make(task.shortened(12)), make(task)
    stream = LengthenedStream(short, whole, 3)
    assert all(stream.share(batch).batch.symbols.shape[1] <= 12 for batch in range(3))
    assert any(stream.share(batch).batch.symbols.shape[1] > 12 for batch in range(3, 8))
    assert torch.equal(stream.share(3).batch.inputs, whole.share(0).batch.inputs)
    assert torch.equal(stream.share(4).batch.inputs, whole.share(1).batch.inputs)
    assert torch.equal(stream.share(1).batch.inputs, short.share(1).batch.inputs)
    assert task.shortened(12).symbols is task.symbols
    assert max(len(example.symbols) for example in task.examples("train")) > 12
    with pytest.raises(ValidationError, match=r"early-length 50 is more than --task\.length 40"):
        MaskedConfig(length=40, early_length=50)


def test_bert_reads_short_examples_first() -> None:
    recipe: Any = catalogue.recipe("bert")
    tiny = recipe.variants["tiny"]
    config = replace(tiny, task=replace(tiny.task, early_length=10), training=replace(tiny.training, accumulate=2))
    task = recipe.task(config, None)
    found = recipe.stream(config, task, None)
    assert (found.until, found.short.task.config.length) == (108, 10)
    assert isinstance(recipe.stream(tiny, task, None), MaskedStream)
    other = catalogue.recipe("roberta").variants["tiny"]
    with pytest.raises(ValidationError, match="early-length is of bert"):
        replace(other, task=replace(other.task, early_length=10))
