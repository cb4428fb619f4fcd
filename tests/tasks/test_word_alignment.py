"""Word alignment: gold links are read, the error rate is that of Och & Ney, weights of symbols become links."""

import gzip
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saccade.core.errors import InvalidInput, NotFound
from saccade.tasks.translation.hansard import like_hansard
from saccade.tasks.translation.parallel_text import embedded_pairs
from saccade.tasks.translation.vocabulary import Vocabulary
from saccade.tasks.translation.word_alignment import (
    GoldAlignment,
    aer,
    as_read,
    diagonal,
    in_parts,
    links,
    read_gold,
    readings,
    shares,
    word_of_piece,
    word_weights,
)

LINK_SETS = st.frozensets(st.tuples(st.integers(0, 4), st.integers(0, 2)), max_size=9)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def pair(sure: set[tuple[int, int]], possible: set[tuple[int, int]]) -> GoldAlignment:
    return GoldAlignment(("s",) * 5, ("t",) * 3, frozenset(sure), frozenset(sure | possible))


# gold alignments


def test_gold_is_read_from_one_file_or_two(tmp_path: Path) -> None:
    one = write(tmp_path / "x.both", "a b c ||| d e  \né ||| f\n")
    two = [write(tmp_path / "x.s", "a b c\né\n"), write(tmp_path / "x.t", "d  e\nf\n")]
    gold = write(tmp_path / "x.gold", "3-1 1p2 2p2 2-2 \n\n")
    expected = [
        (("a", "b", "c"), ("d", "e"), {(2, 0), (1, 1)}, {(2, 0), (1, 1), (0, 1)}),
        (("é",), ("f",), set(), set()),
    ]
    assert read_gold([one], gold) == read_gold(two, gold) == expected
    other = read_gold([one], gold)[0].reversed_()
    assert other == (("d", "e"), ("a", "b", "c"), {(0, 2), (1, 1)}, {(0, 2), (1, 1), (1, 0)})
    assert other.reversed_() == expected[0]


BAD_LINKS = {
    "one line too many": ("1-1\n1-1\n1-1\n", r"x.both has 2 lines, .*x.gold has 3"),
    "source too far": ("1-1\n4p1\n", r"x.gold, line 2: 4p1 is out of range; the sentences have 3 and 2 words"),
    "target too far": ("1-2\n", r"x.gold, line 1: 1-2 is out of range; the sentences have 1 and 1 words"),
    "counted from 0": ("0-1\n\n", r"x.gold, line 1: 0-1 is out of range"),
    "another letter": ("1-1\n1s1\n", r"x.gold, line 2: expected a link such as 3-4 .* found '1s1'"),
    "negative": ("\n-1-1\n", r"x.gold, line 2: expected a link"),
}


@pytest.mark.parametrize("case", BAD_LINKS)
def test_invalid_links_are_reported_with_file_and_line(tmp_path: Path, case: str) -> None:
    text, message = BAD_LINKS[case]
    both = write(tmp_path / "x.both", "a ||| b\nc d e ||| f g\n")
    text = text if text.count("\n") > 1 else text + "\n"
    with pytest.raises(InvalidInput, match=message):
        read_gold([both], write(tmp_path / "x.gold", text))


@pytest.mark.parametrize("line", ["c d", "c ||| ", " ||| c", "c ||| d ||| e", "", "c\td"])
def test_a_sentence_without_translation_is_reported(tmp_path: Path, line: str) -> None:
    both, gold = write(tmp_path / "x.both", f"a ||| b\n{line}\n"), write(tmp_path / "x.gold", "1-1\n1-1\n")
    with pytest.raises(InvalidInput, match=r"x.both, line 2: expected words on both sides"):
        read_gold([both], gold)


def test_files_that_are_missing_uneven_or_too_many(tmp_path: Path) -> None:
    source, target = write(tmp_path / "s", "a\nb\n"), write(tmp_path / "t", "a\n")
    empty, gold = write(tmp_path / "e", "a\n \n"), write(tmp_path / "gold", "1-1\n1-1\n")
    with pytest.raises(NotFound, match="nowhere: there is no such file"):
        read_gold([source, source], tmp_path / "nowhere")
    with pytest.raises(InvalidInput, match=r"s has 2 lines, .*t has 1"):
        read_gold([source, target], gold)
    with pytest.raises(InvalidInput, match=r"line 2: expected words on both sides, found 'b \|\|\|"):
        read_gold([source, empty], gold)
    with pytest.raises(InvalidInput, match="not 3 files"):
        read_gold([source, source, source], gold)


# the error rate


def test_the_error_rate_of_a_manual_example() -> None:
    # A has 3 links: one is sure, one more is possible, one is wrong; S has 2. AER = 1 - (1 + 2) / (3 + 2)
    gold = pair({(0, 0), (1, 2)}, {(1, 1)})
    found = aer([{(0, 0), (1, 1), (2, 2)}], [gold])
    assert found == pytest.approx((40.0, 200 / 3, 50.0))
    # with a second pair of 2 links, 1 of them sure, where S has 1: 1 - (2 + 3) / (5 + 3), not the mean of two error
    # rates
    found = aer([{(0, 0), (1, 1), (2, 2)}, {(3, 1), (4, 1)}], [gold, pair({(4, 1)}, set())])
    assert found == pytest.approx((100 * 3 / 8, 60.0, 200 / 3))


@given(st.lists(st.tuples(LINK_SETS, LINK_SETS, LINK_SETS), min_size=1, max_size=5))
def test_the_error_rate_equals_slow_loops(rows: list[tuple[frozenset[tuple[int, int]], ...]]) -> None:
    found = sure = found_and_possible = found_and_sure = 0
    for ours, certain, maybe in rows:
        for i in range(5):
            for j in range(3):
                a, s = (i, j) in ours, (i, j) in certain
                p = s or (i, j) in maybe
                found, sure = found + a, sure + s
                found_and_possible, found_and_sure = found_and_possible + (a and p), found_and_sure + (a and s)
    gold = [pair(set(certain), set(maybe)) for _, certain, maybe in rows]
    if found + sure == 0:
        with pytest.raises(InvalidInput, match="the error rate is undefined"):
            aer([ours for ours, _, _ in rows], gold)
        return
    measured = aer([ours for ours, _, _ in rows], gold)
    assert measured.aer == pytest.approx(100 * (1 - (found_and_sure + found_and_possible) / (found + sure)))
    assert measured.precision == pytest.approx(100 * found_and_possible / found if found else 0)
    assert measured.recall == pytest.approx(100 * found_and_sure / sure if sure else 0)
    turned = [{(j, i) for i, j in ours} for ours, _, _ in rows]
    assert aer(turned, [row.reversed_() for row in gold]) == measured


def test_gold_links_have_no_error_and_no_links_have_full_error() -> None:
    gold = [pair({(0, 0)}, {(1, 1)}), pair({(2, 1)}, set())]
    assert aer([row.sure for row in gold], gold) == (0, 100, 100)
    assert aer([row.possible for row in gold], gold) == (0, 100, 100)
    assert aer([set(), set()], gold) == (100, 0, 0)
    with pytest.raises(InvalidInput, match="links for each of 2 pairs, not 1"):
        aer([set()], gold)
    with pytest.raises(InvalidInput, match="the error rate is undefined"):
        aer([], [])


def test_the_diagonal() -> None:
    assert diagonal(4, 4) == {(0, 0), (1, 1), (2, 2), (3, 3)}
    assert diagonal(2, 4) == {(0, 0), (0, 1), (1, 2), (1, 3)}
    assert diagonal(5, 2) == {(1, 0), (3, 1)}
    assert diagonal(5, 1) == {(2, 0)}
    for sources in range(1, 8):
        for targets in range(1, 8):
            found = diagonal(sources, targets)
            assert sorted(j for _, j in found) == list(range(targets))
            assert all(0 <= i < sources for i, _ in found)


# from symbols to words

SENTENCES = [pair[1] for pair in embedded_pairs("train")[:1000]]
ODD = [
    "l' été n' est pas aujourd' hui .",
    "« Été » , dit - il ! 1,122,000 $ ( ii )",
    "Noël ☃☃ , ÇA 日本 ; ☃",
    unicodedata.normalize("NFD", "à l'été déçu , Noël"),
    "İst ß </s> <unk> ▁ x",
]


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize(("kind", "size"), [("bpe", 90), ("bpe", 600), ("word", 5000)])
def test_the_pieces_of_a_word_spell_it(kind: str, size: int, lowercase: bool) -> None:
    vocabulary = Vocabulary.learn(SENTENCES, kind, size, lowercase)
    for sentence in SENTENCES[:200] + ODD:
        words = re.findall(r"\w+['’]?|[^\w\s]", sentence) if sentence in SENTENCES else sentence.split()
        for text in (" ".join(words), sentence):
            ids, owners = vocabulary.encode(text), word_of_piece(vocabulary, words, text)
            assert len(ids) == len(owners)
            # symbols are in the order of the words, and each word has at least one
            assert sorted(set(owners)) == list(range(len(words)))
            assert owners == sorted(owners)
            for index, word in enumerate(words):
                pieces = vocabulary.pieces(
                    [symbol for symbol, owner in zip(ids, owners, strict=True) if owner == index]
                )
                if "<unk>" not in pieces and word != "▁":
                    word = unicodedata.normalize("NFC", word)
                    assert "".join(pieces).replace("▁", "") == (word.lower() if lowercase else word)
    assert word_of_piece(vocabulary, ODD[0].split()) == word_of_piece(vocabulary, ODD[0].split(), ODD[0])


def test_marks_of_spaces_unknown_symbols_and_shared_symbols() -> None:
    letters = Vocabulary.learn(["a b"], "bpe", 7)
    # ▁ a ▁ <unk> <unk> ▁ b: the mark of a space, also the first, belongs to the next word
    assert word_of_piece(letters, ["a", "☃☃", "b"]) == [0, 0, 1, 1, 1, 2, 2]
    whole = Vocabulary.learn(["the members' house"], "word", 20)
    assert word_of_piece(whole, ["the", "☃", "house"]) == [0, 1, 2]
    assert word_of_piece(whole, ["members", "'", "house"], "members' house") == [0, 2]
    assert word_of_piece(whole, [], "") == [None] * len(whole.encode(""))
    assert word_of_piece(whole, ["the"], " the ")[0] == 0


@pytest.mark.parametrize("text", ["the cat", "cat the sat", "thecat sit", "the cat sat down", ""])
def test_a_text_with_other_words_is_refused(text: str) -> None:
    vocabulary = Vocabulary.learn(["the cat sat"], "word", 20)
    with pytest.raises(InvalidInput, match="the text does not consist of the words in order"):
        word_of_piece(vocabulary, ["the", "cat", "sat"], text)


def test_word_weights_equal_slow_sums_and_means() -> None:
    weights = torch.rand(7, 11, dtype=torch.float64).softmax(1)
    source: list[int | None] = [0, 0, 1, None, 2, 2, 2, 3, 4]  # two more columns: the end symbol, padding
    target: list[int | None] = [0, 1, 1, None, 3]  # word 2 has no symbol; two more rows
    found = word_weights(weights, source, target)
    assert found.shape == (4, 5)
    for t in range(4):
        for s in range(5):
            looks = []
            for q, owner in enumerate(target):
                if owner == t:
                    looks.append(sum(float(weights[q, k]) for k, word in enumerate(source) if word == s))
            assert float(found[t, s]) == pytest.approx(sum(looks) / len(looks) if looks else 0, abs=1e-12)
    assert word_weights(weights.float(), source, target).dtype == torch.float32
    torch.testing.assert_close(word_weights(weights, range(11), range(7)), weights)
    heads = torch.stack([weights, weights.flip(1)])
    apart = [word_weights(head, source, target) for head in heads]
    torch.testing.assert_close(word_weights(heads, source, target), torch.stack(apart))
    assert word_weights(weights, [None], []).shape == (0, 0)
    with pytest.raises(InvalidInput, match=r"at least 8 x 9 symbols, not \(7, 11\)"):
        word_weights(weights, source, list(range(8)))


def test_links_go_to_the_largest_weights() -> None:
    weights = torch.tensor([[0.1, 0.7, 0.2], [0.0, 0.0, 0.0], [0.5, 0.1, 0.4], [0.1, 0.6, 0.3]])
    assert links(weights) == {(1, 0), (0, 2), (1, 3)}
    assert links(torch.zeros(0, 0)) == links(torch.zeros(2, 0)) == set()


def test_all_readings_of_layers_and_heads_are_included() -> None:
    layers = {name: torch.rand(2, 3, 5, dtype=torch.float64) for name in ("x", "y")}
    found = readings(layers)
    as_they_are = [
        "x, mean of 2 heads", "y, mean of 2 heads", "x, head 0", "x, head 1", "y, head 0", "y, head 1",
        "mean of all 2 layers",
    ]  # fmt: skip
    assert list(found) == as_they_are + [f"{name}, as shares" for name in as_they_are]
    for t in range(3):
        for s in range(5):
            mean = (layers["x"][0, t, s] + layers["x"][1, t, s]) / 2
            assert float(found["x, mean of 2 heads"][t, s]) == pytest.approx(float(mean))
            every = sum(float(layers[name][h, t, s]) for name in layers for h in (0, 1)) / 4
            assert float(found["mean of all 2 layers"][t, s]) == pytest.approx(every)
    torch.testing.assert_close(found["y, head 1"], layers["y"][1])
    single = readings({"x": layers["x"][:1]})
    assert list(single) == ["x", "x, as shares"]
    torch.testing.assert_close(single["x"], layers["x"][0])


def test_shares_are_relative_to_the_weights_of_a_source_word() -> None:
    weights = torch.rand(3, 5, dtype=torch.float64)
    weights[:, 4] = 0  # no row has weights here
    found = shares(weights)
    for s in range(4):
        given = sum(float(weights[t, s]) for t in range(3))
        for t in range(3):
            assert float(found[t, s]) == pytest.approx(float(weights[t, s]) / given)
    assert (found[:, 4] == 0).all()
    # both rows have their largest weight on the full stop; as shares, the second row's is on its word
    resting = torch.tensor([[0.1, 0.0, 0.9], [0.0, 0.4, 0.6]])
    assert (links(resting), links(shares(resting))) == ({(2, 0), (2, 1)}, {(0, 0), (1, 1)})
    tiny = torch.full((2, 1), torch.finfo(torch.float32).tiny / 4)
    assert links(shares(tiny)) == links(tiny)


def test_parts_are_scored_separately_and_together() -> None:
    gold = [pair({(0, 0)}, set()), pair({(1, 1)}, set()), pair({(2, 2)}, set())]
    found = in_parts([{(0, 0)}, {(1, 0)}, {(2, 2)}], gold, 1)
    assert (found.first.aer, found.rest.aer, found.all.aer) == pytest.approx((0, 50, 100 / 3))


def test_pairs_are_read_unchanged_or_in_the_style_of_the_hansard() -> None:
    gold = GoldAlignment(("i", "see", "."), ("je", "le", "ai", "élu"), frozenset({(0, 0)}), frozenset({(0, 0), (1, 2)}))
    [plain], [hansard] = as_read([gold]), as_read([gold], hansard=True)
    assert plain == (gold, (gold.source, "i see ."), (gold.target, "je le ai élu"))
    assert hansard == (gold, (["I", "see", "."], "I see."), (["Je", "l'", "ai", "elu"], "Je l'ai elu"))
    assert hansard.reversed_() == (gold.reversed_(), hansard.target, hansard.source)


# the Hansard's text

WRITTEN = [
    ("en", "i think , Mr. Speaker , that i do .", "I think, Mr. Speaker, that I do."),
    (
        "en",
        "the member 's $ 98,355 ( ii ) is a deep - rooted one --",
        "The member's $98,355 (ii) is a deep-rooted one --",
    ),
    ("en", "oh , oh !", "Oh, oh!"),
    (
        "fr",
        "souvenons - nous , monsieur le Orateur , de notre société .",
        "Souvenons-nous, monsieur l'Orateur, de notre societe.",
    ),
    (
        "fr",
        "ce ne est que à le heure de la hausse que ce est dit ...",
        "Ce n'est qu'a l'heure de la hausse que c'est dit...",
    ),
    ("fr", "dites - le à il , si il se y fie .", "Dites-le a il, s'il s'y fie."),
    ("fr", "le onze , aujourd' hui , de le œuvre de les gens", "Le onze, aujourd'hui, de l'oeuvre de les gens"),
    ("fr", "1 . a ) « le hon. député »", "1. A) « l'hon. depute »"),
]


@pytest.mark.parametrize(("language", "tokens", "text"), WRITTEN)
def test_tokens_are_rewritten_in_the_style_of_the_hansard(language: str, tokens: str, text: str) -> None:
    words, written = like_hansard(tokens.split(), language)
    assert written == text
    assert len(words) == len(tokens.split())
    assert "".join(words) == written.replace(" ", "")


@given(st.lists(st.text(st.sampled_from("aehlyIÉœ'’-.$([)\u0301«9"), min_size=1, max_size=4), max_size=9))
def test_no_token_is_lost_or_moved(tokens: list[str]) -> None:
    vocabulary = Vocabulary.learn(["a e h l"], "bpe", 12)
    for language in ("en", "fr"):
        words, text = like_hansard(tokens, language)
        assert len(words) == len(tokens)
        assert all(words)
        word_of_piece(vocabulary, words, text)  # otherwise it would raise


# the files: counts as published (README of the data), and the score of the baseline


PUBLISHED = {
    "enfr": (447, 4038, 13400, 53.84),
    "roen": (248, 6198, 0, 71.07),
    "deen": (508, 9613, 921, 74.43),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_counts_and_the_diagonal(real_data: Callable[[str], Path], name: str) -> None:
    folder = real_data("word_alignment")
    files = [folder / "deen.de", folder / "deen.en"] if name == "deen" else [folder / f"{name}.src-tgt"]
    gold = read_gold(files, folder / f"{name}.gold.talp")
    pairs, sure, only_possible, error_rate = PUBLISHED[name]
    assert len(gold) == pairs
    assert sum(len(row.sure) for row in gold) == sure
    assert sum(len(row.possible - row.sure) for row in gold) == only_possible
    baseline = aer([diagonal(len(row.source), len(row.target)) for row in gold], gold)
    assert baseline.aer == pytest.approx(error_rate, abs=0.01)


@pytest.mark.parametrize(("language", "before", "after"), [("en", 7, 7), ("fr", 34, 9)])
def test_rewritten_gold_words_are_more_similar_to_the_hansard(
    real_data: Callable[[str], Path], language: str, before: float, after: float
) -> None:
    path, folder = real_data(f"hansard/train.{language}.gz"), real_data("word_alignment")
    lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")[:100_000]
    known = {word for line in lines for word in re.findall(r"\w+['’]?|[^\w\s]", line)}
    gold = read_gold([folder / "enfr.src-tgt"], folder / "enfr.gold.talp")
    sentences = [row[("en", "fr").index(language)] for row in gold]
    shares = []
    for written in (sentences, [like_hansard(sentence, language)[0] for sentence in sentences]):
        types = {word for sentence in written for word in sentence}
        unseen = [word for word in types if not known.issuperset(re.findall(r"\w+['’]?|[^\w\s]", word))]
        shares.append(100 * len(unseen) / len(types))
    assert shares[0] < before
    assert shares[1] < after
