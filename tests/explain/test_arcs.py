"""The head view as a figure."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from saccade.core.errors import InvalidInput, require
from saccade.explain import plots
from saccade.explain.plots.arcs import MOST
from tests.explain.pictures import assert_apart, assert_saved, assert_whole, texts

matplotlib = pytest.importorskip("matplotlib")
WORDS = ["▁The", "▁cat", "▁s", "at", ".", "</s>"]


def drawn(figure: Any) -> list[tuple[int, int, tuple[float, ...]]]:
    """The start row, the end row and the colour of each arc."""
    [collection] = figure.axes[0].collections
    ends = [(int(path.vertices[0, 1]), int(path.vertices[-1, 1])) for path in collection.get_paths()]
    return [(*rows, tuple(colour)) for rows, colour in zip(ends, collection.get_edgecolors(), strict=True)]


def test_an_arc_goes_from_query_to_key_with_its_weight_as_opacity() -> None:
    weights = torch.softmax(2 * torch.randn(2, 6, 5), -1)
    figure = plots.arcs(weights, WORDS, WORDS[:5], rows_label="français", columns_label="english", title="T")
    left, right = figure.axes
    assert texts(left.get_yticklabels()) == ["The", "cat", "s", "·at", ".", "end"]
    assert texts(right.get_yticklabels()) == ["The", "cat", "s", "·at", "."]
    assert (left.get_ylabel(), right.get_ylabel(), left.get_title(loc="left")) == ("français", "english", "T")
    assert texts(left.get_legend().get_texts()) == ["head 0", "head 1"]
    of_head = {
        handle.get_label(): matplotlib.colors.to_rgb(handle.get_color()) for handle in left.get_legend().legend_handles
    }
    largest = weights.max()
    expected = {
        (i, j, of_head[f"head {h}"]): float(weights[h, i, j] / largest)
        for h in range(2) for i in range(6) for j in range(5) if weights[h, i, j] >= largest / 100
    }  # fmt: skip
    found = {(i, j, colour[:3]): colour[3] for i, j, colour in drawn(figure)}
    assert found == pytest.approx(expected, abs=1e-6)
    opacities = [colour[3] for *_, colour in drawn(figure)]
    assert opacities == sorted(opacities)  # the strongest lie on top
    bar = left.child_axes[0]
    assert bar.get_xlabel() == "attention weight (opacity)"
    assert bar.get_xlim() == pytest.approx((0, float(largest)))


def test_rows_of_both_columns_are_aligned() -> None:
    figure = plots.arcs(torch.eye(3).repeat(1, 2)[:, :5], ["a", "b", "c"], list("vwxyz"))
    left, right = figure.axes
    ticks = [[axes.transData.transform((0, y))[1] for y in axes.get_yticks()] for axes in (left, right)]
    np.testing.assert_allclose(ticks[0], ticks[1][:3])
    assert ticks[0][0] > ticks[0][1]  # the first is at the top


def test_arcs_of_several_heads_between_the_same_tokens_are_side_by_side() -> None:
    figure = plots.arcs(torch.ones(12, 1, 1), ["a"], ["b"])
    [collection] = figure.axes[0].collections
    starts = [path.vertices[0, 1] for path in collection.get_paths()]
    assert len(set(starts)) == 12
    assert min(starts) > 0.1
    assert max(starts) < 0.9
    looks = list(zip(map(tuple, collection.get_edgecolors()), map(str, collection.get_linestyles()), strict=True))
    assert len(set(looks)) == 12  # a colour and a dash for each


def test_heads_and_one_query_can_be_selected() -> None:
    weights = torch.zeros(4, 3, 3)
    weights[1, 2, 0], weights[3, 2, 1], weights[3, 0, 0], weights[0] = 0.5, 0.25, 1.0, 1.0
    figure = plots.arcs(weights, ["a", "b", "c"], ["x", "y", "z"], heads=[3, 1], query=2)
    assert texts(figure.axes[0].get_legend().get_texts()) == ["head 3", "head 1"]
    assert [(i, j, colour[3]) for i, j, colour in drawn(figure)] == [(2, 1, 0.5), (2, 0, 1.0)]
    assert [label.get_weight() for label in figure.axes[0].get_yticklabels()] == ["normal", "normal", "bold"]


@pytest.mark.parametrize(("rows", "columns", "heads"), [(1, 1, 1), (13, 13, 4), (4, 30, 8), (30, 1, 18), (120, 70, 2)])
def test_a_head_view_is_whole_and_without_overlaps(rows: int, columns: int, heads: int, tmp_path: Path) -> None:
    weights = torch.softmax(torch.randn(heads, rows, columns), -1)
    names = [f"▁token{i}" for i in range(120)]
    figure = plots.arcs(weights, names[:rows], names[:columns], title="A title " * 9)
    assert_whole(figure)
    assert_apart(figure)
    assert_saved(figure, tmp_path)


def said(figure: Any) -> str:
    """All texts of a figure, of colour bars too."""
    return " ".join(text.get_text() for text in figure.findobj(match=require("matplotlib.text", "app").Text))


def test_arcs_are_thinned_only_if_there_are_too_many() -> None:
    names = [f"▁{i}" for i in range(40)]
    figure = plots.arcs(torch.rand(1, 40, 40) + 0.1, names, names)
    assert len(drawn(figure)) == 1600
    assert "strongest of each query" not in said(figure)
    figure = plots.arcs(torch.rand(2, 40, 40) + 0.1, names, names)
    assert len(drawn(figure)) == 80 * (MOST // 80)


def test_five_hundred_tokens_are_labelled_at_ticks(tmp_path: Path) -> None:
    names = [f"▁{i}" for i in range(500)]
    figure = plots.arcs(torch.rand(3, 500, 500), names, names)
    assert_saved(figure, tmp_path)
    assert len(drawn(figure)) == 3 * 500 <= MOST  # the strongest key of each query and head, and a note
    assert min(colour[3] for *_, colour in drawn(figure)) > 0.9
    assert "the 1 strongest of each query and head" in said(figure)
    assert_apart(figure)
    assert max(figure.get_size_inches()) < 17
    figure = plots.arcs(torch.rand(1, 500, 500), names, names, query=13)
    assert "13" in texts(figure.axes[0].get_yticklabels())  # always labelled
    assert_apart(figure)


def test_heads_without_weights_have_no_arcs() -> None:
    assert drawn(plots.arcs(torch.zeros(2, 3, 3), list("abc"), list("abc"))) == []


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        (torch.ones(2, 3, 3), {}, r"expected weights \(h, 2, 2\), at least one; got the shape \(2, 3, 3\)"),
        (torch.ones(2), {}, r"got the shape \(2,\)"),
        ([[1.0], [1.0, 2.0]], {}, "all rows of one length"),
        ("ab", {}, "all rows of one length"),
        (torch.full((2, 2), float("nan")), {}, "finite and not below 0"),
        (-torch.ones(2, 2), {}, "finite and not below 0"),
        (torch.ones(0, 2, 2), {}, "at least one"),
        (torch.ones(3, 2, 2), {"heads": [3]}, r"from 0 to 2, each once; got \[3\]"),
        (torch.ones(3, 2, 2), {"heads": [0, 0]}, "each once"),
        (torch.ones(3, 2, 2), {"heads": []}, r"got \[\]"),
        (torch.ones(19, 2, 2), {}, "19 heads cannot be distinguished; select at most 18"),
        (torch.ones(3, 2, 2), {"query": 2}, "a query from 0 to 1; got 2"),
        (torch.ones(3, 2, 2), {"query": -1}, "got -1"),
    ],
)
def test_a_head_view_refuses(weights: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        plots.arcs(weights, ["a", "b"], ["a", "b"], **options)
