"""One number per head, and positions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from saccade.core.errors import InvalidInput
from saccade.explain import plots
from saccade.explain.plots.layers import BELOW_AND_ABOVE
from tests.explain.pictures import assert_apart, assert_saved, assert_whole, lightness, texts

matplotlib = pytest.importorskip("matplotlib")


def test_an_overview_has_a_cell_with_its_number_for_each_head() -> None:
    values = torch.tensor([[0.0, 1.5, 3.0], [2.25, 0.125, 1.0]])
    figure = plots.layer_overview(values, "entropy (nats)", layers=["encoder 0", "encoder 1"], title="T")
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), values.numpy())
    assert axes.images[0].get_clim() == (0, 3)
    assert texts(axes.texts) == ["0.00", "1.50", "3.00", "2.25", "0.12", "1.00"]
    assert [text.get_color() for text in axes.texts] == ["black", "black", "white", "white", "black", "black"]
    assert [text.get_position() for text in axes.texts[:4]] == [(0.5, 0.5), (1.5, 0.5), (2.5, 0.5), (0.5, 1.5)]
    assert texts(axes.get_xticklabels()) == ["0", "1", "2"]
    assert texts(axes.get_yticklabels()) == ["encoder 0", "encoder 1"]
    assert axes.get_ylim() == (2, 0)
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title(loc="left")) == ("head", "layer", "T")
    assert axes.child_axes[0].get_ylabel() == "entropy (nats)"


def test_the_scale_is_symmetric_around_grey_if_numbers_have_both_signs() -> None:
    axes = plots.layer_overview([[-2.0, 1.0]], "difference").axes[0]
    assert axes.images[0].get_clim() == (-2, 2)
    middle = axes.images[0].cmap(0.5)
    assert max(middle[:3]) - min(middle[:3]) < 0.01  # 0 is grey
    assert plots.layer_overview([[-2.0]], "difference").axes[0].images[0].get_clim() == (-2, 0)
    assert plots.layer_overview([[0.0]], "nothing").axes[0].images[0].get_clim() == (0, 1)


@pytest.mark.parametrize(("largest", "shown"), [(0.01234, "0.0123"), (99.96, "100.0"), (1e7, None), (1e-9, "0.0000")])
def test_numbers_are_written_if_they_fit(largest: float, shown: str | None) -> None:
    assert texts(plots.layer_overview([[largest]], "x").axes[0].texts) == ([shown] if shown else [])


@pytest.mark.parametrize("size", [(1, 1), (12, 12), (3, 40), (24, 16), (48, 64), (500, 500)])
@pytest.mark.parametrize("named", [False, True])
def test_an_overview_is_whole_and_without_overlaps(size: tuple[int, int], named: bool, tmp_path: Path) -> None:
    rows, columns = (
        [f"{what} {i}" for i in range(many)] if named else [] for what, many in zip(("layer", "h"), size, strict=True)
    )
    figure = plots.layer_overview(torch.rand(size), "entropy (nats)", layers=rows, heads=columns, title="Heads " * 15)
    assert_whole(figure)
    assert_apart(figure)
    axes = figure.axes[0]
    labels = axes.get_xticklabels()
    apart = np.diff(axes.get_xticks()) * axes.get_window_extent().width / size[1]
    for label in labels if labels[0].get_rotation() else ():
        label.set_rotation(0)
        assert (apart * np.sqrt(0.5) >= label.get_window_extent().height - 0.5).all()
    assert max(figure.get_size_inches()) < 16
    if size[0] < 40:
        assert_saved(figure, tmp_path)


@pytest.mark.parametrize(
    ("values", "names", "message"),
    [
        (torch.ones(3), [], r"expected numbers \(layers, heads\), at least one; got the shape \(3,\)"),
        (torch.ones(0, 3), [], "at least one"),
        ([[float("inf")]], [], "finite"),
        ([[1.0]], ["a", "b"], "a name for each of 1 layers, got 2"),
    ],
)
def test_an_overview_refuses(values: Any, names: list[str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        plots.layer_overview(values, "x", layers=names)


def test_positions_and_their_similarity() -> None:
    table = torch.randn(7, 4, dtype=torch.float64)
    figure = plots.positions(table, "T")
    encodings, alike = figure.axes
    np.testing.assert_array_equal(encodings.images[0].get_array(), table.numpy())
    np.testing.assert_allclose(alike.images[0].get_array(), (table @ table.T).numpy())
    most = float(table.abs().max())
    assert encodings.images[0].get_clim() == pytest.approx((-most, most))
    assert (encodings.get_xlabel(), encodings.get_ylabel()) == ("feature", "position")
    assert (alike.get_xlabel(), alike.get_ylabel()) == ("position", "position")
    assert [axes.child_axes[0].get_ylabel() for axes in figure.axes] == ["encoding", "dot product"]
    positive = plots.positions(table.abs()).axes[1].images[0]
    assert positive.get_clim()[0] == 0
    np.testing.assert_allclose(positive.cmap(0.0)[:3], 1.0)


def test_numbers_below_0_are_lighter_in_print_than_those_above() -> None:
    scale = matplotlib.colors.LinearSegmentedColormap.from_list("", BELOW_AND_ABOVE)(np.linspace(0, 1, 21))[:, :3]
    steps = np.diff(lightness(scale))
    assert (steps < -1).all()
    np.testing.assert_allclose(scale[10], scale[10].mean(), atol=0.01)  # 0 is grey


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (3, 7), (60, 128), (500, 500)])
def test_positions_are_whole_and_without_overlaps(size: tuple[int, int], tmp_path: Path) -> None:
    figure = plots.positions(torch.randn(size), "Positions " * 12)
    assert_whole(figure)
    assert_apart(figure)
    for axes in figure.axes:
        assert all(tick == int(tick) for tick in (*axes.get_xticks(), *axes.get_yticks()))
    assert_saved(figure, tmp_path)


@pytest.mark.parametrize("table", [torch.ones(3), torch.ones(0, 2), [[float("nan")]], [[1.0], [1.0, 2.0]]])
def test_positions_refuse(table: Any) -> None:
    with pytest.raises(InvalidInput, match="expected encodings"):
        plots.positions(table)
