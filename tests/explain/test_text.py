import unicodedata

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saccade.core.errors import InvalidInput
from saccade.explain.text import alignment_text

FRENCH = ["▁Nous", "▁pouvons", "▁acheter", "▁une", "▁voiture", "</s>"]
ENGLISH = ["▁We", "▁can'", "t", "▁buy", "▁a", "▁car", "</s>"]
SHADES = "·░▒▓█"


def cells(text: str) -> int:
    """An independent implementation: the cells of each character in a terminal."""
    total = 0
    for character in text:
        if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
            continue
        total += 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
    return total


def soft(rows: int, columns: int) -> torch.Tensor:
    at = torch.linspace(0, columns - 1, rows)[:, None] - torch.arange(columns)
    return torch.softmax(-2 * at**2, dim=1)


def test_words_are_above_if_they_fit() -> None:
    weights = [[0.8, 0.02, 0.05], [0.3, 0.1, 0.6], [0.0, 0.0, 0.0]]
    text = alignment_text(weights, ["▁Je", "▁voi", "ture"], ["▁I", "▁drive", "</s>"], width=80)
    assert text.split("\n") == [
        "       I drive end",
        "Je     █   ·   ░░░  I     0.80",
        "voi    ▒ ░░░░░ ▓▓▓  end   0.60",
        "·ture  ·   ·    ·   –",
        "",
        "░ from 0.05  ▒ from 0.25  ▓ from 0.50  █ from 0.75",
    ]


def test_columns_are_numbered_or_continued_in_further_tables_if_words_do_not_fit() -> None:
    columns = [f"▁word{i}" for i in range(1, 31)]
    text = alignment_text(torch.eye(30)[[0, 29]], ["▁a", "▁b"], columns, width=40)
    assert text.split("\n")[:13] == [
        "            1         2",
        "   123456789012345678901234",
        "a  █·······················  word1  1.00",
        "b  ························  word30 1.00",
        "",
        "        3",
        "   567890",
        "a  ······  word1  1.00",
        "b  ·····█  word30 1.00",
        "",
        "1 word1  2 word2  3 word3  4 word4",
        "5 word5  6 word6  7 word7  8 word8",
        "9 word9  10 word10  11 word11  12 word12",
    ]
    assert "30 word30" in text


def test_each_line_names_the_column_with_the_largest_weight() -> None:
    weights = soft(6, 7)
    for width in (30, 60, 100):
        lines = alignment_text(weights, FRENCH, ENGLISH, width=width).split("\n")
        shown = ["We", "can'", "·t", "buy", "a", "car", "end"]
        for name, row in zip(["Nous", "pou", "ach", "une", "voi", "end"], weights, strict=True):
            ends = [line.split()[-2:] for line in lines if line.startswith(name)]
            assert ends
            assert all(end == [shown[int(row.argmax())], f"{float(row.max()):.2f}"] for end in ends)


@pytest.mark.parametrize(
    ("weight", "shade"),
    [
        (0.049, "·"),
        (0.05, "░"),
        (0.249, "░"),
        (0.25, "▒"),
        (0.499, "▒"),
        (0.5, "▓"),
        (0.749, "▓"),
        (0.75, "█"),
        (1, "█"),
    ],
)
def test_shades(weight: float, shade: str) -> None:
    assert alignment_text([[weight]], ["a"], ["b"], width=40).split("\n")[1].split()[1] == shade


WORD = st.text(st.characters(codec="utf-8"), max_size=15) | st.sampled_from(
    ["▁漢字漢字", "▁e\u0301te\u0301", "ed", "</s>"]
)


@given(st.data(), st.integers(24, 130), st.booleans())
def test_no_line_is_wider_than_the_terminal(data: st.DataObject, width: int, ascii_only: bool) -> None:
    rows = data.draw(st.lists(WORD, min_size=1, max_size=8))
    columns = data.draw(st.lists(WORD, min_size=1, max_size=60))
    text = alignment_text(soft(len(rows), len(columns)), rows, columns, width=width, ascii_only=ascii_only)
    lines = text.split("\n")
    assert max(map(cells, lines)) <= width
    assert lines == text.splitlines()  # nothing in a token breaks a line
    assert text.isascii() or not ascii_only


def test_a_token_without_width_has_a_cell() -> None:
    lines = alignment_text(torch.eye(3), ["a", "b", "c"], ["", "\u0301", "d"], width=60).split("\n")
    assert len({cells(line) for line in lines[1:4]}) == 1
    assert cells(lines[0][: lines[0].index("d")]) == lines[3].index("█")


def test_wide_and_combining_characters_keep_the_columns_in_line() -> None:
    columns = ["▁e\u0301te\u0301", "▁東京", "▁x\u200d", "</s>"]
    lines = alignment_text(torch.eye(4), ["▁我", "喜欢", "▁a\u0301", "</s>"], columns, width=60).split("\n")
    where = [
        cells(line[: line.index(full)]) for line, full in zip(lines[1:5], ["███", "████", "█", "███"], strict=True)
    ]
    head = [cells(lines[0][: lines[0].index(word)]) for word in ("e\u0301te\u0301", "東京", "x", "end")]
    assert where == head
    assert len({cells(line[: line.rindex(" ")]) for line in lines[1:5]}) == 1


def test_ascii_only() -> None:
    text = alignment_text([[0.9, 0.02], [0.1, 0.3]], ["▁été", "ed"], ["▁東", "</s>"], width=80, ascii_only=True)
    assert text.split("\n") == [
        r"           \u6771 end",
        r"\xe9t\xe9  ######  .   \u6771 0.90",
        r"+ed        ------ +++  end    0.30",
        "",
        "- from 0.05  + from 0.25  * from 0.50  # from 0.75",
    ]


def test_the_width_of_the_terminal_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = []
    for columns in (30, 90, 1):
        monkeypatch.setenv("COLUMNS", str(columns))
        text = alignment_text(soft(6, 7), FRENCH, ENGLISH)
        longest.append(max(map(cells, text.split("\n"))))
    assert longest[0] <= 30 < longest[1] <= 90
    assert longest[2] <= 24


def test_refuses() -> None:
    with pytest.raises(InvalidInput, match="at least 24, got 23"):
        alignment_text([[1.0]], ["a"], ["b"], width=23)
    with pytest.raises(InvalidInput, match="1 rows of 2 columns"):
        alignment_text([[1.0]], ["a"], ["b", "c"])
