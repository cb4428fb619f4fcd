"""Readable labels of tokens, and their words."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saccade.core.errors import InvalidInput
from saccade.core.printable import printable
from saccade.explain import plots
from tests.explain.pictures import pixels


def gpt2(text: str) -> str:
    """The text as a byte-level tokenizer writes it (Radford et al. 2019, `bytes_to_unicode`)."""
    visible = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    other = [byte for byte in range(256) if byte not in visible]
    return "".join(chr(byte) if byte in visible else chr(256 + other.index(byte)) for byte in text.encode())


MARKED = [
    (["▁want", "ed", ".", "</s>"], ["want", "·ed", ".", "end"], ["wanted", ".", "</s>"]),
    (["▁don", "'", "t", "▁(", "ye", "t", ")."], ["don", "'", "·t", "(", "·ye", "·t", ")."],
     ["don't", "(", "yet", ")."]),
    (["▁", "(", "ed", "▁", "▁▁x"], ["▁", "(", "·ed", "▁", "▁x"], ["(", "ed", "␣", "x"]),
    (["▁", "私は", "猫", "です", "。"], ["▁", "私は", "猫", "です", "。"], ["私は", "猫", "です", "。"]),
    (["[CLS]", "un", "##believ", "##able", "."], ["[CLS]", "un", "·believ", "·able", "."],
     ["[CLS]", "unbelievable", "."]),
    (["hel", "lo</w>", "wor", "ld</w>", ".</w>"], ["hel", "·lo", "wor", "·ld", "."], ["hello", "world", "."]),
    (
        [gpt2(text) for text in ("I", " café", " la", "it", ".", "\n", "The", " “", "q", "”")],
        ["I", "café", "la", "·it", ".", "↵", "The", "“", "·q", "”"],
        ["I", "café", "lait", ".", "↵", "The", "“", "q", "”"],
    ),
    (["<s>", "We", "Ġgo", "</s>"], ["start", "We", "go", "end"], ["<s>", "We", "go", "</s>"]),
    (["We", "are", "#tag", "##", "###"], ["We", "are", "#tag", "##", "###"], ["We", "are", "#tag", "##", "###"]),
    (["Ġesù", "kien"], ["Ġesù", "kien"], ["Ġesù", "kien"]),  # Maltese; as bytes it would not be text
    (["ed"], ["ed"], ["ed"]),
    ([], [], []),
]  # fmt: skip


@pytest.mark.parametrize(("tokens", "labels", "words"), MARKED)
def test_the_marks_of_each_kind_of_tokenizer(tokens: list[str], labels: list[str], words: list[str]) -> None:
    assert plots.labels(tokens) == labels
    found, groups = plots.words(tokens)
    assert found == words
    assert [i for group in groups for i in group] == list(range(len(tokens)))
    assert plots.words(found)[0] == found  # a word has no marks left


def test_a_character_split_between_byte_level_tokens_is_restored() -> None:
    whole = gpt2(" naïve")
    tokens = [whole[:4], whole[4:], gpt2(" 日")[:2], gpt2(" 日")[2:]]  # cut within ï, and within 日
    assert plots.labels(tokens) == ["na�", "�ve", "�", "��"]
    assert plots.words(tokens) == (["naïve", "日"], [range(0, 2), range(2, 4)])


@given(st.lists(st.text(max_size=5)))
def test_any_text_has_labels_and_words(tokens: list[str]) -> None:
    assert len(plots.labels(tokens)) == len(tokens)
    found, groups = plots.words(tokens)
    assert len(found) == len(groups)
    assert all(found)
    assert [i for group in groups for i in group] == list(range(len(tokens)))


@given(st.text(st.characters(codec="utf-8"), max_size=12))
def test_byte_level_text_is_restored(text: str) -> None:
    said = f" a{text}"
    token = gpt2(said)
    shown = printable(said[1:].replace("\n", "↵").replace("\t", "⇥"))
    assert plots.labels([token]) == [shown]


def test_joined_weights_are_summed_over_keys_and_averaged_over_queries() -> None:
    weights = torch.softmax(torch.randn(2, 5, 7, dtype=torch.float64), -1)
    rows, columns = [range(0, 2), range(2, 3), range(3, 5)], [range(0, 1), range(1, 4), range(4, 7)]
    joined = plots.join(weights, rows, columns)
    assert joined.shape == (2, 3, 3)
    for h in range(2):
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                expected = sum(weights[h, q, k].item() for q in row for k in column) / len(row)
                assert joined[h, i, j] == pytest.approx(expected)
    np.testing.assert_allclose(joined.sum(-1), 1)
    np.testing.assert_array_equal(plots.join(weights.tolist()), weights.numpy())
    np.testing.assert_allclose(
        plots.join(weights, columns=columns)[:, 3], plots.join(weights[:, 3:4], None, columns)[:, 0]
    )


@pytest.mark.parametrize(
    "columns",
    [[], [range(0, 2)], [range(0, 2), range(3, 4)], [range(2, 3), range(0, 2)], [range(0, 3), range(3, 3)],
     [range(0, 4)]],
)  # fmt: skip
def test_groups_that_do_not_match_the_weights_are_refused(columns: list[range]) -> None:
    with pytest.raises(InvalidInput, match=r"expected groups of 3 columns of weights \(2, 3\)"):
        plots.join(torch.ones(2, 3), None, columns)
    with pytest.raises(InvalidInput, match="expected groups of 3 rows"):
        plots.join(torch.ones(3, 2), columns)


def written(text: str) -> np.ndarray:
    """The darkness of each column of pixels, from left to right."""
    figure = pytest.importorskip("matplotlib.figure").Figure(figsize=(6, 2))
    figure.text(0.1, 0.3, text, fontsize=40)
    across = (255.0 - pixels(figure).mean(-1)).sum(0)
    inked = np.flatnonzero(across)
    return across[inked[0] : inked[-1] + 1]


def test_the_letters_of_hebrew_go_from_right_to_left() -> None:
    word, alef, yod = (written(text) for text in ("אי", "א", "י"))
    assert alef.sum() > 1.5 * yod.sum()
    np.testing.assert_allclose(word[-len(alef) :].sum(), alef.sum(), rtol=0.05)  # the first letter is on the right
    np.testing.assert_allclose(word[: len(yod)].sum(), yod.sum(), rtol=0.05)


def test_the_letters_of_arabic_are_joined() -> None:
    assert len(written("كتاب")) < 0.9 * len(written("ك\u200cت\u200cا\u200cب"))
