"""Metrics of captions: against slow loops, against values of pycocoevalcap, and against a person on Flickr8k."""

import gzip
import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from saccade.core.errors import InvalidInput
from saccade.tasks import meteor, metrics
from saccade.tasks.captions.words import words_of

SAID = (
    "a brown dog runs on the beach", "two children are playing with a red ball", "a man rides his bike",
    "a man rides his bike down a hill", "dog dogs running ran", "a a a a", "the girls jumped", "",
)  # fmt: skip
THEIRS = (
    ("a dog is running along the beach", "the brown dogs run on a sandy beach", "a wet dog runs by the sea"),
    ("two kids play with a ball", "children playing with the red balls in a park"),
    ("a man rides his bike", "someone is riding a bicycle on a street", "the cyclist rode his bikes"),
    ("a cyclist rides down the hill", "a man on a bike is going down a hill", "he rides"),
    ("a dog runs", "the running dogs", "dogs run and a dog runs"),
    ("a cat on a mat", "there is a cat"),
    ("a girl is jumping", "girls jump over the fence", "the jumping girl"),
    ("a tall house",),
)
# made once by pycocoevalcap 1.2 (Bleu(4), Cider, Rouge), and by meteor-1.5.jar with -l en -m "exact stem" -w "1.0 0.6"
# -s a file of our FUNCTION_WORDS
BLEU = (0.8247333884799887, 0.525666455169896, 0.35059166329569674, 0.2613705322484853)
CIDER = (1.3520153339001484, 1.6676885921228346, 3.626468213342804, 1.5660802131967544, 1.030734593241252, 0.0,
         0.2899161906980217, 0.0)  # fmt: skip
ROUGE = 0.48984464565332886
METEOR = (0.33279236566527987, 0.30760705106089636, 1.0, 0.33946067351840387, 0.3096774193548387, 0.09696969696969698,
          0.26285714285714284, 0.0)  # fmt: skip
METEOR_OF_ALL = 0.3035485829619408
VOCABULARY = ("a", "the", "dog", "dogs", "running", "runs", "ran")


def drawn(seed: int, images: int = 7) -> tuple[list[str], list[list[str]]]:
    draw = random.Random(seed)

    def caption(most: int = 6) -> str:
        return " ".join(draw.choices(VOCABULARY, k=draw.randint(1, most)))

    return [caption() for _ in range(images)], [[caption() for _ in range(draw.randint(1, 4))] for _ in range(images)]


class TestPublishedCode:
    def test_bleu(self) -> None:
        # there 1e-9 is added to denominators
        assert metrics.bleu_orders(SAID, THEIRS) == pytest.approx([100 * value for value in BLEU], rel=1e-9)

    def test_rouge_l(self) -> None:
        assert metrics.rouge_l(SAID, THEIRS) == pytest.approx(100 * ROUGE, rel=1e-9)

    def test_cider_d(self) -> None:
        whole, each = metrics.cider_d(SAID, THEIRS)
        assert each == pytest.approx(CIDER, rel=1e-9)
        assert whole == pytest.approx(sum(CIDER) / len(CIDER), rel=1e-9)

    def test_meteor(self) -> None:
        whole, each = meteor.meteor(SAID, THEIRS)
        assert each == pytest.approx([100 * value for value in METEOR], rel=1e-9)
        assert whole == pytest.approx(100 * METEOR_OF_ALL, rel=1e-9)


class TestSlowLoops:
    @pytest.mark.parametrize("seed", range(5))
    def test_cider_d(self, seed: int) -> None:
        captions, references = drawn(seed)
        whole, each = metrics.cider_d(captions, references)
        assert each == pytest.approx([self.cider(row, captions, references) for row in range(len(captions))], abs=1e-12)
        assert whole == pytest.approx(sum(each) / len(each))

    @staticmethod
    def cider(row: int, captions: list[str], references: list[list[str]]) -> float:
        def grams(text: str, n: int) -> list[tuple[str, ...]]:
            words = text.split()
            return [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]

        total = 0.0
        for n in (1, 2, 3, 4):
            for reference in references[row]:
                ours, theirs = grams(captions[row], n), grams(reference, n)
                dot = square = other = 0.0
                for gram in set(ours) | set(theirs):
                    images = sum(any(gram in grams(one, n) for one in own) for own in references)
                    weight = math.log(len(references) / max(1, images))
                    g, r = ours.count(gram) * weight, theirs.count(gram) * weight
                    dot, square, other = dot + min(g, r) * r, square + g * g, other + r * r
                difference = len(grams(captions[row], 2)) - len(grams(reference, 2))
                if square and other:
                    total += math.exp(-(difference**2) / 72) * dot / math.sqrt(square * other) / len(references[row])
        return 10 * total / 4

    def test_interval_of_bleu(self) -> None:
        """That of samples of the captions, scored as a whole; other random numbers than ours."""
        captions, references = drawn(1, 60)
        captions[::3] = [own[0] for own in references[::3]]  # else no four words are equal
        draw = random.Random(2)
        values = []
        for _ in range(400):
            rows = draw.choices(range(60), k=60)
            values.append(metrics.bleu_orders([captions[row] for row in rows], [references[row] for row in rows])[3])
        values.sort()
        low, high = metrics.bleu_interval(captions, references)
        assert low < metrics.bleu_orders(captions, references)[3] < high
        assert (low, high) == pytest.approx((values[10], values[-11]), rel=0.15)

    @pytest.mark.parametrize("seed", range(20))
    def test_longest_common_subsequence(self, seed: int) -> None:
        captions, references = drawn(seed)
        one, other = captions[0].split(), references[0][0].split()
        longest = max(
            size
            for size in range(len(one) + 1)
            for part in itertools.combinations(one, size)
            if any(part == own for own in itertools.combinations(other, size))
        )
        assert metrics.longest_common(one, other) == longest

    @pytest.mark.parametrize("seed", range(40))
    def test_alignments_of_meteor(self, seed: int) -> None:
        captions, references = drawn(seed, images=3)
        stem = meteor.stems("english")
        for caption, own in zip(captions, references, strict=True):
            one, other = caption.split()[:5], own[0].split()[:4]
            pairs, chunks = meteor.aligned(one, other, stem)
            assert len({place for place, _ in pairs}) == len({place for _, place in pairs}) == len(pairs)
            assert all(stem(one[place]) == stem(other[twin]) for place, twin in pairs)
            assert chunks == self.chunks(pairs)
            assert (self.equal(pairs, one, other), -chunks) == self.best(one, other, stem)

    @staticmethod
    def equal(pairs: list[tuple[int, int]], one: list[str], other: list[str]) -> int:
        return sum(one[place] == other[twin] for place, twin in pairs)

    @staticmethod
    def chunks(pairs: list[tuple[int, int]]) -> int:
        return sum((place - 1, twin - 1) not in pairs for place, twin in pairs)

    def best(self, one: list[str], other: list[str], stem: Callable[[str], str]) -> tuple[int, int]:
        """Of all alignments with the pairs that exclude no other: the most equal words, then the fewest chunks."""
        edges = [(i, j) for i in range(len(one)) for j in range(len(other)) if stem(one[i]) == stem(other[j])]
        rows, columns = Counter(i for i, _ in edges), Counter(j for _, j in edges)
        fixed = {(i, j) for i, j in edges if rows[i] == columns[j] == 1}
        found = []

        def extend(rest: list[tuple[int, int]], taken: list[tuple[int, int]]) -> None:
            if not rest:
                if fixed <= set(taken):
                    found.append((self.equal(taken, one, other), -self.chunks(taken)))
                return
            (i, j), *rest = rest
            extend(rest, taken)
            if all(i != a and j != b for a, b in taken):
                extend(rest, [*taken, (i, j)])

        extend(edges, [])
        return max(found)


class TestProperties:
    def test_a_reference_itself_is_perfect(self) -> None:
        captions = ["a dog runs on the long beach", "two girls look at a red ball", "a cat"]
        references = [[caption, "something else"] for caption in captions]
        assert metrics.bleu_orders(captions, references) == pytest.approx((100,) * 4)
        assert metrics.rouge_l(captions, references) == pytest.approx(100)
        assert meteor.meteor(captions, references) == (100, (100, 100, 100))

    def test_cider_d_of_one_image_is_0(self) -> None:
        assert metrics.cider_d(["a dog runs"], [["a dog runs"]]) == (0, (0,))

    def test_captions_without_anything_in_common(self) -> None:
        said, theirs = ["a dog", ""], [["some cats"], ["one two three"]]
        assert metrics.bleu_orders(said, theirs) == (0, 0, 0, 0)
        assert metrics.rouge_l(said, theirs) == metrics.cider_d(said, theirs)[0] == meteor.meteor(said, theirs)[0] == 0

    def test_a_word_repeated_a_hundred_times(self) -> None:
        said, theirs = ["dog " * 99 + "dog"] * 2, [["dog dogs " * 50], ["a dog"]]
        assert 0 < meteor.meteor(said, theirs)[0] < 100
        assert metrics.rouge_l(said, theirs) > 0

    def test_function_words_weigh_less(self) -> None:
        said, theirs = ["the blue dog"], [["the red dog"]]
        [plain], [weighed] = (meteor.meteor(said, theirs, words)[1] for words in ((), ("the",)))
        assert weighed < plain

    def test_another_language_has_another_stemmer(self) -> None:
        said, theirs = ["zwei kinder"], [["ein kind"]]
        german, english = (meteor.meteor(said, theirs, (), language)[0] for language in ("german", "english"))
        assert german > english

    def test_distinct(self) -> None:
        assert metrics.distinct(["a", "b", "a", "a"]) == 50

    def test_errors(self) -> None:
        for judge in (metrics.bleu_orders, metrics.rouge_l, metrics.cider_d, meteor.meteor):
            for said, theirs in (([], []), (["a"], []), (["a"], [[]]), (["a"], ["a"])):
                with pytest.raises(InvalidInput, match="references"):
                    judge(said, theirs)
        with pytest.raises(InvalidInput, match="no stemmer of 'klingon'; there are arabic"):
            meteor.meteor(["a"], [["a"]], language="klingon")


def flickr8k(folder: Path) -> list[list[str]]:
    """The captions of the 1,000 official test photos."""
    found = defaultdict(list)
    with gzip.open(folder / "Flickr8k.token.txt.gz", "rt", encoding="utf-8") as file:
        for line in file:
            name, caption = line.split("\t")
            found[name.split("#")[0]].append(" ".join(words_of(caption)))
    return [found[name] for name in (folder / "Flickr_8k.testImages.txt").read_text().split()]


@pytest.mark.unhooked
def test_a_person_on_flickr8k(real_data: Callable[[str], Path]) -> None:
    captions = flickr8k(real_data("flickr8k"))
    person, others = [own[0] for own in captions], [own[1:] for own in captions]
    assert [round(value, 1) for value in metrics.bleu_orders(person, others)] == [63.7, 44.7, 30.6, 21.0]
    assert round(metrics.rouge_l(person, others), 1) == 48.8
    assert round(metrics.cider_d(person, others)[0], 3) == 0.793
    assert round(meteor.meteor(person, others)[0], 1) == 23.5


@pytest.mark.unhooked
def test_a_person_on_msvd(real_data: Callable[[str], Path]) -> None:
    found = defaultdict(list)
    with gzip.open(real_data("msvd_captions") / "sents_test_lc_nopunc.txt.gz", "rt", encoding="utf-8") as file:
        for line in file:
            video, caption = line.rstrip("\n").split("\t")
            found[video].append(" ".join(words_of(caption)))
    person, others = [own[0] for own in found.values()], [own[1:] for own in found.values()]
    assert len(person) == 670
    assert [round(value, 1) for value in metrics.bleu_orders(person, others)] == [84.2, 72.0, 60.3, 49.5]
    assert round(metrics.cider_d(person, others)[0], 3) == 1.125
