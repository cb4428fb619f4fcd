"""Attention over an image."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from saccade.core.errors import InvalidInput
from saccade.explain import plots
from saccade.explain.plots.canvas import colours
from saccade.explain.plots.tokens import broken
from tests.explain.pictures import assert_apart, assert_saved, assert_whole, texts

pytest.importorskip("matplotlib")


def looks(number: int, rows: int = 7, columns: int = 7) -> torch.Tensor:
    return torch.softmax(torch.randn(number, rows * columns), 1).reshape(number, rows, columns)


def test_each_word_has_the_image_with_its_weights_over_it() -> None:
    weights = torch.zeros(2, 2, 3)
    weights[0, 0, 0], weights[1, 1, 2] = 1.0, 0.5
    figure = plots.over_image(torch.ones(20, 30), weights, ["▁dog", "</s>"], title="T")
    dog, end = figure.axes
    assert [texts(axes.texts) for axes in figure.axes] == [["dog"], ["end"]]
    assert dog.get_title(loc="left") == "T"
    laid = np.asarray(dog.images[0].get_array())
    high, wide = laid.shape[:2]
    assert wide / high == pytest.approx(1.5, abs=0.02)
    scale = colours()
    np.testing.assert_allclose(laid[0, 0], scale(1.0)[:3], atol=0.02)  # the whole weight, in its corner
    np.testing.assert_allclose(laid[-1, -1], 1.0, atol=0.02)
    last = np.asarray(end.images[0].get_array())
    np.testing.assert_allclose(last[-1, -1], scale(0.5)[:3], atol=0.02)  # by the scale of all words
    steps = abs(np.diff(laid[0, :, 0]))
    assert steps.max() < 0.05  # smooth
    assert end.child_axes[0].get_ylim() == (0, 1)
    assert end.child_axes[0].get_ylabel() == "attention weight"


def test_a_name_is_broken_at_spaces_and_within_long_words() -> None:
    assert broken("resnet: dog (90\N{NO-BREAK SPACE}%)", 1.5) == "resnet: dog\n(90\N{NO-BREAK SPACE}%)"
    assert broken("0123456789abcdefghi jk", 1.5) == "0123456789abcdef\nghi jk"
    assert broken("a  b", 1.5) == "a  b"
    assert broken("", 1.5) == ""


def test_the_image_is_grey_below_the_weights_and_never_as_dark() -> None:
    image = torch.zeros(3, 8, 8)
    image[0, :, 4:] = 255  # red
    for given in (image, image.permute(1, 2, 0), (image / 255).numpy(), image.tolist()):
        axes = plots.over_image(given, torch.zeros(1, 2, 2), ["a"]).axes[0]
        laid = np.asarray(axes.images[0].get_array())
        np.testing.assert_allclose(laid[:, 0], 0.5)
        np.testing.assert_allclose(laid[:, -1], 0.5 + 0.5 * 0.299)


def test_an_enlarged_weight_never_exceeds_its_value() -> None:
    weights = torch.zeros(1, 5, 5)
    weights[0, 2, 2] = 1.0  # cubic interpolation goes below 0 next to it
    laid = np.asarray(plots.over_image(torch.ones(50, 50), weights, ["a"]).axes[0].images[0].get_array())
    assert laid.max() == 1.0
    np.testing.assert_allclose(laid[laid.shape[0] // 2, laid.shape[1] // 2], colours()(1.0)[:3], atol=0.02)


@pytest.mark.parametrize("words", [1, 2, 20, 25, 60])
@pytest.mark.parametrize("size", [(224, 224), (28, 90), (300, 40), (1, 1)])
def test_words_over_an_image_are_whole_and_without_overlaps(words: int, size: tuple[int, int]) -> None:
    names = ["▁a", "▁Donaudampfschifffahrtsgesellschaft", "▁climbing", "漢字漢字漢字漢字漢字"]
    figure = plots.over_image(torch.rand(size), looks(words), [names[i % 4] for i in range(words)], "Long titles " * 8)
    assert_whole(figure)
    assert_apart(figure)
    assert figure.get_size_inches()[0] < 13
    boxes = [axes.get_window_extent() for axes in figure.axes]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_many_words_over_a_large_photo(tmp_path: Path) -> None:
    figure = plots.over_image(torch.rand(3, 1500, 2000), looks(100), ["▁word"] * 100)
    assert_saved(figure, tmp_path)


@pytest.mark.parametrize("make", [lambda: plots.over_image(torch.rand(9, 9), looks(3), list("abc")),
                                  lambda: plots.glimpses(torch.rand(9, 9), [[3, 3], [5, 5]], 4),
                                  lambda: plots.drawing(torch.rand(5, 9, 9))])  # fmt: skip
def test_pictures_of_images_are_saved(make: Any, tmp_path: Path) -> None:
    assert_saved(make(), tmp_path)


@pytest.mark.parametrize(
    ("image", "weights", "message"),
    [
        (torch.ones(3), torch.ones(1, 2, 2), r"expected an image .* of 1 or 3 channels; got \(3,\)"),
        (torch.ones(4, 5, 6), torch.ones(1, 2, 2), r"got \(4, 5, 6\)"),
        (torch.ones(0, 5), torch.ones(1, 2, 2), r"got \(0, 5\)"),
        ([[1.0], [1.0, 2.0]], torch.ones(1, 2, 2), "all rows of one length"),
        (-torch.ones(2, 2), torch.ones(1, 2, 2), "from 0 to 1, or up to 255"),
        (torch.full((2, 2), 256.0), torch.ones(1, 2, 2), "from 0 to 1, or up to 255"),
        (torch.full((2, 2), float("nan")), torch.ones(1, 2, 2), "from 0 to 1, or up to 255"),
        (torch.ones(2, 2), torch.ones(2, 2, 2), r"expected weights \(1, rows, columns\)"),
        (torch.ones(2, 2), -torch.ones(1, 2, 2), "not below 0"),
    ],
)
def test_words_over_an_image_refuse(image: Any, weights: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        plots.over_image(image, weights, ["a"])


def rectangles(axes: Any) -> list[tuple[float, ...]]:
    return [(*patch.get_xy(), patch.get_width(), patch.get_height()) for patch in axes.patches]


def test_glimpses_are_boxes_in_order_and_a_path() -> None:
    centres = torch.tensor([[10.0, 5.0], [20.0, 15.0], [12.0, 18.0]])
    image = torch.rand(24, 32)
    figure = plots.glimpses(image, centres, 4, "T")
    axes = figure.axes[0]
    assert rectangles(axes) == [(8, 3, 4, 4), (18, 13, 4, 4), (10, 16, 4, 4)]
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), centres.numpy())
    assert texts(axes.texts) == ["1", "2", "3"]
    np.testing.assert_allclose(axes.images[0].get_array(), image.numpy())
    assert axes.images[0].get_extent() == [0, 32, 24, 0]
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 32), (24, 0))
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title(loc="left")) == ("x (pixels)", "y (pixels)", "T")
    box = axes.get_window_extent()
    assert box.width / box.height == pytest.approx(32 / 24)


def test_a_glimpse_may_have_several_scales_and_extend_beyond_the_image() -> None:
    figure = plots.glimpses(torch.rand(8, 8), [[4, 4], [8, 0]], [[2, 4], [2, 6]])
    axes = figure.axes[0]
    assert rectangles(axes) == [(3, 3, 2, 2), (2, 2, 4, 4), (7, -1, 2, 2), (5, -3, 6, 6)]
    assert axes.get_xlim()[1] >= 11
    assert axes.get_ylim()[1] <= -3
    assert_whole(figure)
    assert rectangles(plots.glimpses(torch.rand(8, 8), [[4, 4], [8, 0]], [2, 6]).axes[0])[1] == (5, -3, 6, 6)


def test_what_the_glimpses_saw_is_drawn_below_on_the_scale_of_the_image() -> None:
    seen = torch.rand(2, 5, 5) / 2
    figure = plots.glimpses(torch.rand(8, 8), [[4, 4], [8, 0]], 4, "T", seen, ["1: a", "2: b"])
    image, *tiles = figure.axes
    assert [texts(axes.texts) for axes in tiles] == [["1: a"], ["2: b"]]
    for axes, pixels in zip(tiles, seen, strict=True):
        np.testing.assert_allclose(axes.images[0].get_array(), pixels.numpy(), atol=1e-7)
        assert axes.images[0].get_clim() == (0, 1)
        assert axes.get_position().y1 < image.get_position().y0
    assert_whole(figure)
    assert_apart(figure)
    with pytest.raises(InvalidInput, match=r"seen \(2, y, x\)"):
        plots.glimpses(torch.rand(8, 8), [[4, 4], [8, 0]], 4, seen=seen[:1])
    with pytest.raises(InvalidInput, match="a name for each of 2 glimpses, got 1"):
        plots.glimpses(torch.rand(8, 8), [[4, 4], [8, 0]], 4, seen=seen, labels=["1"])


@pytest.mark.parametrize("number", [1, 2, 12, 500])
@pytest.mark.parametrize("size", [(28, 28), (30, 200), (1, 1)])
def test_glimpses_are_whole_and_without_overlaps(number: int, size: tuple[int, int]) -> None:
    centres = torch.rand(number, 2) * torch.tensor([size[1], size[0]])
    figure = plots.glimpses(torch.rand(size), centres, 8, "A title " * 9)
    assert_whole(figure)
    assert_apart(figure)
    shown = texts(figure.axes[0].texts)
    assert shown[0] == "1"
    assert len(shown) == number or number > 2
    assert len(rectangles(figure.axes[0])) == number


@pytest.mark.parametrize(
    ("centres", "sizes", "message"),
    [
        ([[1.0, 2.0, 3.0]], 4, r"expected centres \(t, 2\), at least one; got the shape \(1, 3\)"),
        (torch.ones(0, 2), 4, "at least one"),
        ([[1.0, float("inf")]], 4, "finite"),
        ([[1.0, 2.0]], -4, "not below 0"),
        ([[1.0, 2.0]], [[4], [4, 5]], "sizes, all rows of one length"),
        ([[1.0, 2.0]], [4, 4], r"expected sizes \(1, scales\), at least one; got the shape \(2, 1\)"),
    ],
)
def test_glimpses_refuse(centres: Any, sizes: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        plots.glimpses(torch.rand(4, 4), centres, sizes)


def test_a_drawing_has_its_canvas_after_each_step() -> None:
    canvases = torch.linspace(0, 1, 5)[:, None, None] * torch.rand(5, 6, 8)
    boxes = torch.tensor([[i, 1, 3, 2] for i in range(5)])
    figure = plots.drawing(canvases, boxes, title="T")
    assert [texts(axes.texts) for axes in figure.axes] == [["step 1"], ["2"], ["3"], ["4"], ["5"]]
    for step, axes in enumerate(figure.axes):
        np.testing.assert_allclose(axes.images[0].get_array(), canvases[step].numpy(), atol=1e-7)
        assert axes.images[0].get_clim() == (0, 1)  # one scale, with black as 0
        assert rectangles(axes) == [(step, 1, 3, 2)]
    assert figure.axes[0].get_title(loc="left") == "T"


@pytest.mark.parametrize("channels", [1, 3])
def test_a_drawing_may_be_in_colour_and_in_255_steps(channels: int) -> None:
    canvases = torch.rand(4, channels, 6, 8)
    canvases[3, 0, 0, 0] = 1.0
    figure = plots.drawing(255 * canvases)
    for step, axes in enumerate(figure.axes):
        expected = canvases[step].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(
            axes.images[0].get_array(), expected[..., 0] if channels == 1 else expected, atol=1e-6
        )


@pytest.mark.parametrize(("steps", "shown"), [(1, 1), (2, 2), (10, 10), (40, 40), (500, 40)])
@pytest.mark.parametrize("size", [(28, 28), (10, 60), (60, 10), (1, 1)])
def test_a_drawing_is_whole_without_overlaps_and_from_the_first_to_the_last(
    steps: int, shown: int, size: tuple[int, int]
) -> None:
    figure = plots.drawing(torch.rand(steps, *size), title="A drawing " * 12)
    assert_whole(figure)
    assert_apart(figure)
    assert len(figure.axes) == shown
    said = [axes.texts[0].get_text() for axes in figure.axes]
    assert said[0] == "step 1"
    assert steps == 1 or said[-1] == str(steps)
    assert figure.get_size_inches()[0] < 11


@pytest.mark.parametrize(
    ("canvases", "options", "message"),
    [
        (torch.ones(3, 4), {}, r"expected canvases \(t, y, x\), at least one; got the shape \(3, 4\)"),
        (torch.ones(0, 3, 4), {}, "at least one"),
        ([[[1.0]], [[1.0, 2.0]]], {}, "all rows of one length"),
        (torch.ones(2, 2, 3, 4), {}, "1 or 3 channels"),
        (-torch.ones(2, 3, 4), {}, "not below 0"),
        (torch.full((2, 3, 4), 300.0), {}, "or up to 255"),
        (torch.ones(2, 3, 4), {"boxes": torch.ones(3, 4)}, r"expected boxes \(2, 4\)"),
        (torch.ones(2, 3, 4), {"most": 1}, "at least two steps to draw, got 1"),
    ],
)
def test_a_drawing_refuses(canvases: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        plots.drawing(canvases, **options)
