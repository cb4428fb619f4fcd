"""All kinds of pictures: drawn, printed, described, stored and loaded."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from saccade.core.errors import InvalidInput
from saccade.core.picture import Picture, kind_of
from saccade.core.task import Series
from saccade.explain import plots
from saccade.explain.pictures import kept, kinds, load
from saccade.explain.pictures.alignment import Alignment
from saccade.explain.pictures.build_up import BuildUp
from saccade.explain.pictures.curve import Curve
from saccade.explain.pictures.glimpses import Glimpses
from saccade.explain.pictures.graph import Graph
from saccade.explain.pictures.heads import Heads
from saccade.explain.pictures.histogram import Histogram
from saccade.explain.pictures.image_overlay import ImageOverlay
from saccade.explain.pictures.memory_trace import MemoryTrace
from saccade.explain.pictures.overlays import Overlays
from saccade.explain.pictures.sound import Sound
from saccade.explain.pictures.strip import Strip
from saccade.explain.pictures.strokes import Strokes
from saccade.explain.pictures.text import Text
from saccade.explain.plots import Line
from saccade.explain.terminal import in_ascii
from saccade.explain.text import cells
from saccade.runs.explained import captured
from tests.explain import kinds as samples
from tests.explain.pictures import assert_apart, assert_whole, texts

pytest.importorskip("matplotlib")

PICTURES = [*samples.one_of_each(), *samples.others()]
each = pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: f"{kind_of(picture)}-{picture.name}")


def test_each_kind_has_a_sample() -> None:
    assert sorted(map(kind_of, samples.one_of_each())) == kinds() == [
        "alignment", "build_up", "captioned", "characters", "curve", "glimpses", "graph", "head_habits", "heads",
        "histogram", "image_overlay", "memory_trace", "overlays", "sound", "strip", "strokes", "text",
    ]  # fmt: skip


@each
def test_stored_pictures_are_small_and_look_the_same(picture: Picture) -> None:
    assert isinstance(picture, Picture)
    plain = json.loads(json.dumps(kept(picture), allow_nan=False))
    again = load(plain)
    assert type(again) is type(picture)
    assert again.name == picture.name
    assert json.loads(json.dumps(kept(again), allow_nan=False)) == plain
    assert len(json.dumps(plain, separators=(",", ":"))) < 20_000
    if isinstance(picture, Alignment | MemoryTrace | Curve | Histogram | Graph):  # the others are thinned or rounded
        assert again.text(80) == picture.text(80)
        assert again.description() == picture.description()


@each
@pytest.mark.parametrize("width", [24, 60, 133])
def test_the_text_fits_the_terminal(picture: Picture, width: int) -> None:
    lines = picture.text(width).split("\n")
    assert any(line.strip() for line in lines)
    assert max(map(cells, lines)) <= width, max(lines, key=cells)
    assert not [line for line in lines if line != line.rstrip(" ")]
    assert in_ascii("\n".join(lines)).isascii()


@each
def test_a_terminal_that_is_too_narrow_is_refused(picture: Picture) -> None:
    with pytest.raises(InvalidInput, match="at least 24, got 23"):
        picture.text(23)


@each
def test_it_is_described_in_a_sentence(picture: Picture) -> None:
    assert len(picture.description().split()) >= 5
    assert "\n" not in picture.description()


@each
def test_page_returns_json(picture: Picture) -> None:
    json.dumps(picture.page(), allow_nan=False)


@each
def test_the_figure_is_whole_and_its_axes_are_named(picture: Picture) -> None:
    figure = picture.figure()
    assert_whole(figure)
    assert_apart(figure)
    last = figure.axes[-1]
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            shared = axis is axes.xaxis and axes is not last and axes.get_xlim() == last.get_xlim()
            seen = [label for label in axis.get_ticklabels() if label.get_text() and label.get_visible()]
            assert not seen or shared or axis.get_label_text(), (axes, axis, texts(seen))
    names = [axis.get_label_text() for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    names += [child.get_ylabel() + child.get_xlabel() for axes in figure.axes for child in axes.child_axes]
    assert any(names) or all(texts(axes.texts) for axes in figure.axes)  # images have names above them


@each
def test_a_title_is_in_figure_text_and_description(picture: Picture) -> None:
    titled = load({**kept(picture), "title": "A title"})
    drawn = [axes.get_title(loc="left") for axes in titled.figure().axes]
    assert "A title" in drawn or isinstance(picture, Strokes)
    assert titled.text(60).startswith("A title\n")
    assert titled.description().startswith("A title")


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({}, "expected a kind of picture"),
        ({"kind": "aligment"}, "did you mean 'alignment'?"),
        ({"kind": "os.path"}, r"there is no kind of picture 'os.path': No module named 'saccade.systems.os'"),
        ({"kind": "saccade.systems.rnnsearch.model"}, "SYSTEM.module"),
        ({"kind": "..core.files"}, "SYSTEM.module"),
        ({"kind": "a.b\n"}, "SYSTEM.module"),
        ({"kind": "rnnsearch.__init__"}, "SYSTEM.module"),
        ({"kind": "ünknown.b"}, "SYSTEM.module"),
        ({"kind": ["alignment"]}, "SYSTEM.module"),
        ({"kind": "alignment", "name": "x"}, "not a picture of the kind alignment: TypeError"),
        ({"kind": "strip", "name": "x"}, "not a picture of the kind strip: KeyError: 'images'"),
        ({**kept(samples.words()), "numbers": [1]}, r"the kind text: expected numbers \(17\)"),
        ({**kept(samples.words()), "more": 1}, "not a picture of the kind text: TypeError"),
    ],
)
def test_invalid_stored_pictures_are_refused(plain: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        load(plain)


def test_a_module_of_a_system_without_a_picture_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"one kind of picture in saccade\.systems\.transformer\.model, found 0"):
        load({"kind": "transformer.model"})


NAN = float("nan")
BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: Alignment("a", [[1.0]], ["a"], ["b", "c"], "r", "c"), r"expected attention weight \(1, 2\)"),
    (lambda: Alignment("a", [[-1.0]], ["a"], ["b"], "r", "c"), "not below 0"),
    (lambda: Alignment("a", [], [], [], "r", "c"), "at least one"),
    (lambda: Heads("a", {}), "at least one layer"),
    (
        lambda: Heads("a", {"x": ([[1.0]], ["a"], ["b", "c"])}),
        r"x: expected weights .* not \(1, 1\) for 1 and 2 tokens",
    ),
    (lambda: Heads("a", {"x": ([[NAN]], ["a"], ["b"])}), "finite"),
    (lambda: Sound("a", [[1.0]], ["a"], 0.0), "above 0; got 0"),
    (lambda: Sound("a", [[1.0]], ["a", "b"], 0.1), r"\(2, k\)"),
    (lambda: Sound("a", [[1.0]], ["a"], 0.1, waveform=[1.0]), "time of the waveform above 0"),
    (lambda: Sound("a", [[1.0]], ["a"], 0.1, features=[1.0]), r"features \(frames, bands\)"),
    (lambda: Strokes("a", [[1.0, 2.0]]), r"points \(t, 3\)"),
    (lambda: Strokes("a", [[1.0, NAN, 0.0]]), "finite"),
    (lambda: ImageOverlay("a", [[1.0]], [[[1.0]]], ["a", "b"]), r"maps \(2, rows, columns\)"),
    (lambda: ImageOverlay("a", [1.0], [[[1.0]]], ["a"]), "expected an image"),
    (lambda: ImageOverlay("a", [[NAN]], [[[1.0]]], ["a"]), "finite"),
    (lambda: ImageOverlay("a", [[1.0]], [[[-1.0]]], ["a"]), "not below 0"),
    (lambda: Overlays("a", [[1.0]], [], []), "at least one map, and a label for each"),
    (lambda: Overlays("a", [[1.0]], [[[1.0]]], ["a", "b"]), "at least one map, and a label for each"),
    (lambda: Overlays("a", [[1.0]], [[[-1.0]]], ["a"]), "not below 0"),
    (lambda: Overlays("a", [[NAN]], [[[1.0]]], ["a"]), "finite"),
    (lambda: Overlays("a", [[1.0]], [[[1.0]]], ["a"], ["b"], [1.5]), "a probability from 0 to 1"),
    (lambda: Overlays("a", [[1.0]], [[[1.0]]], ["a"], peaks=[1.0, 2.0]), "the largest value of each of 1 maps"),
    (lambda: Glimpses("a", [[1.0]], [[1.0]], 1), r"centres \(t, 2\)"),
    (lambda: Glimpses("a", [[1.0]], [[1.0, 1.0]], [[1.0], [2.0]]), r"sizes \(1, scales\)"),
    (lambda: Strip("a", [1.0]), "images"),
    (lambda: Strip("a", torch.rand(2, 2, 5, 5)), "1 or 3 channels"),
    (lambda: Strip("a", torch.rand(2, 5, 5), [[1, 1, 1, 1]]), r"boxes \(2, 4\)"),
    (lambda: Strip("a", torch.rand(2, 5, 5), labels=["one"]), "a name for each of 2 images"),
    (lambda: MemoryTrace("a", {}), "got none"),
    (lambda: MemoryTrace("a", {"r": [[1.0]], "w": [[1.0, 0.0]]}), r"r \(1, 1\), w \(1, 2\)"),
    (lambda: Curve("a", {}, "x", "y"), "at least one line"),
    (lambda: Curve("a", {"b": Line([1, 2], [1.0])}, "x", "y"), "b: expected at least one x, and an equal number of y"),
    (lambda: Curve("a", {"b": Line([1, NAN], [1.0, 2.0])}, "x", "y"), "finite numbers"),
    (lambda: Curve("a", {"b": Line([1], [NAN])}, "x", "y"), "finite numbers"),
    (lambda: Curve.of({}, "a"), "at least one line"),
    (lambda: Histogram("a", {"": Line([], [])}, "x", "y"), "at least one"),
    (lambda: Histogram("a", {"": Line([1, 2], [1.0, NAN])}, "x", "y"), "not below 0"),
    (lambda: Graph("a", [], [], layers=[]), "at least one node"),
    (lambda: Graph("a", ["a"], []), "either places or layers"),
    (lambda: Graph("a", ["a"], [], [[0, 0]], [0]), "either places or layers"),
    (lambda: Graph("a", ["a", "b"], [], layers=[0]), r"layers \(2\)"),
    (lambda: Graph("a", ["a"], [(0, 1)], layers=[0]), "edges .* between 1 nodes"),
    (lambda: Graph("a", ["a"], [(0,)], layers=[0]), "edges"),
    (lambda: Graph("a", ["a"], [(0, 0, NAN)], layers=[0]), "finite"),
    (lambda: Text("a", ["a"], [1.0, 2.0]), r"numbers \(1\)"),
    (lambda: Text("a", [], []), "at least one"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_invalid_values_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        make()


def test_an_image_may_have_any_range_and_form() -> None:
    noisy = torch.tensor([[-0.3, 0.5], [1.3, 0.1]])
    np.testing.assert_allclose(ImageOverlay("a", noisy, torch.ones(1, 2, 2), ["a"]).image, [[0, 0.5], [1, 0.25]])
    whole = torch.tensor([[0, 255], [51, 102]], dtype=torch.uint8)
    np.testing.assert_allclose(ImageOverlay("a", whole, torch.ones(1, 2, 2), ["a"]).image, [[0, 1], [0.2, 0.4]])
    white = torch.ones(3, 4, 5).bfloat16()
    np.testing.assert_allclose(ImageOverlay("a", white, torch.ones(1, 2, 2), ["a"]).image, np.ones((4, 5)), rtol=1e-2)
    assert ImageOverlay("a", white.permute(1, 2, 0), torch.ones(1, 2, 2), ["a"]).image.shape == (4, 5)
    flat = ImageOverlay("a", torch.full((3, 3), -2.0), torch.ones(1, 2, 2), ["a"])
    assert not flat.image.any()


def test_large_images_are_stored_small() -> None:
    photo, maps = samples.photo(224, 224), torch.rand(5, 224, 224)
    for picture in (ImageOverlay("a", photo, maps, list("abcde")), Glimpses("a", photo, [[3, 4]], 20),
                    Strip("a", torch.rand(40, 3, 64, 64))):  # fmt: skip
        plain = kept(picture)
        assert len(json.dumps(plain, separators=(",", ":"))) < 50_000
        again = load(plain)
        assert kept(again) == plain
        for name in ("image", "images"):
            if hasattr(picture, name):
                assert getattr(again, name).shape == getattr(picture, name).shape
                assert abs(getattr(again, name) - getattr(picture, name)).mean() < 0.26  # pixels of noise


def test_a_long_sound_is_stored_small_on_the_same_axis() -> None:
    wave, features = torch.sin(torch.arange(80_000) / 9) * torch.linspace(0, 1, 80_000), torch.rand(1000, 80)
    sound = Sound("a", torch.rand(3, 330).softmax(-1), list("abc"), 0.03, features, 0.01, wave, 8000)
    plain = kept(sound)
    assert len(json.dumps(plain, separators=(",", ":"))) < 40_000
    again: Any = load(plain)
    assert kept(again) == plain
    assert len(again.waveform) / again.rate == pytest.approx(10)
    assert len(again.features) * again.frame == pytest.approx(10, abs=0.5)
    assert abs(again.waveform).max() == pytest.approx(float(abs(wave).max()), abs=1e-3)


def test_a_training_curve_is_stored_thinned_with_gaps() -> None:
    steps = range(0, 20_000, 10)
    loss = [float("inf") if step == 19_990 else 5 / (1 + step / 500) for step in steps]
    curve = Curve("loss", {"training": Line(list(steps), loss)}, "step", "loss (nats)")
    plain = kept(curve)
    x, y, counts = plain["lines"]["training"]
    assert len(x) == len(y) == 200
    assert (x[0], x[-1], y[0], y[-1], counts) == (0, 19_990, 5, None, [])
    assert kept(load(plain)) == plain
    assert "0.1221 to 5, last None" in curve.text(100)
    [line] = curve.figure().axes[0].lines
    assert np.isnan(line.get_ydata()[-1])


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("size", [300, 301, 5003])
def test_a_histogram_of_many_bars_keeps_their_sum(size: int, named: bool) -> None:
    """Neighbouring bars are merged; the second has fewer, and the same groups."""
    places = [f"word{i}" if named else i / 4 for i in range(size)]
    heights = [float((7 * i) % 11) for i in range(size)]
    lines = {"ours": Line(places, heights, range(size)), "right": Line(places[:100], heights[:100])}
    histogram = Histogram("words", lines, "word", "times")
    for found in (kept(histogram), histogram.page()):
        x, y, counts = found["lines"]["ours"]
        assert len(x) == len(y) == len(counts) == (size if size <= 300 else math.ceil(size / math.ceil(size / 300)))
        assert (sum(y), sum(counts)) == (sum(heights), sum(range(size)))
        assert sum(found["lines"]["right"][1]) == sum(heights[:100])
        assert found["lines"]["right"][0] == x[: len(found["lines"]["right"][0])]
        assert x[0] == (places[0] if size <= 300 else "word0 … word1" if named and size == 301 else x[0])
    assert set(histogram.page()["names"] or ()) == set(x if named else ())


def test_series_of_a_score_become_curves_and_histograms() -> None:
    series = Series(["3-4", "1-2", "10-"], [5.0, 7.0, 1.0], "length (words)", "BLEU", counts=[10, 20, 3])
    figure = Curve.of(series, "bleu").figure()
    axes = figure.axes[0]
    assert texts(axes.get_xticklabels()) == ["1–2", "3–4", "10+"]  # by their numbers
    assert axes.lines[0].get_ydata().tolist() == [7, 5, 1]
    assert {"examples", "20", "10", "3"} <= set(texts(axes.texts))
    assert axes.get_ylim()[0] == 0
    assert axes.get_legend() is None
    both = Curve.of({"one": series, "two": series._replace(y=[1, 2, 3], counts=[10, 20, 4])}, "bleu").figure().axes[0]
    assert texts(both.get_legend().get_texts()) == ["one", "two"]
    assert {"one: examples", "two: examples"} <= set(texts(both.texts))
    bars = Histogram.of(Series([0.5, 1.0, 2.0], [3, 4, 0], "delay (s)", "labels", "histogram"), "delays").figure()
    patches = bars.axes[0].patches
    assert [(patch.get_x(), patch.get_width(), patch.get_height()) for patch in patches] == [
        (0.5, 0.5, 3), (1.0, 0.5, 4), (2.0, 0.5, 0),
    ]  # fmt: skip


def test_a_curve_high_above_zero_is_not_drawn_from_zero() -> None:
    high = Curve("a", {"": Line([0, 1], [90.0, 95.0])}, "x", "y")
    assert high.figure().axes[0].get_ylim()[0] > 80
    below = Curve("a", {"": Line([0, 1], [-1.0, 95.0])}, "x", "y")
    assert below.figure().axes[0].get_ylim()[0] < -1


def test_positions_of_nodes_from_layers() -> None:
    graph = Graph("a", list("abcd"), [(0, 1)], layers=[0, 1, 1, 1])
    assert graph.where() == [(0, 0), (1, 1), (1, 0), (1, -1)]
    assert graph.text(40) == "a -> b\nc\nd"


def test_every_edge_of_a_graph_is_an_arrow() -> None:
    axes = samples.graph().figure().axes[0]
    arrows = [text.arrow_patch for text in axes.texts if getattr(text, "arrow_patch", None) is not None]
    assert len(arrows) == 7
    assert sorted(texts(axes.texts)) == sorted([*samples.graph().nodes, *[""] * 7])
    loops = Graph("a", ["a"], [(0, 0)], layers=[0]).figure()
    assert_whole(loops)


def test_the_colours_of_words() -> None:
    from matplotlib.colors import to_rgb

    axes = Text("a", ["no", "much", "less"], [0.0, 2.0, -1.0], "gain").figure().axes[0]
    no, much, less = (to_rgb(text.get_bbox_patch().get_facecolor()) for text in axes.texts)
    assert no == pytest.approx((1, 1, 1), abs=0.01)
    assert much == pytest.approx(to_rgb("#08306b"), abs=0.01)
    assert less[0] > less[2]  # orange
    assert [text.get_style() for text in axes.texts] == ["normal", "normal", "italic"]


def test_a_memory_trace_is_printed_in_lines() -> None:
    assert MemoryTrace("a", {"write": [[1.0, 0.0], [0.3, 0.7]]}).text(40).split("\n")[:4] == [
        "write: 2 slots (rows), 2 steps (columns)", "0 █▒", "1 ·▓", "",
    ]  # fmt: skip


def test_a_build_up_is_printed_with_a_line_for_each_word() -> None:
    scores = torch.tensor([[0.1, 0.0, 2.0], [3.0, 0.0, 1.0]])
    picture = BuildUp("a", scores, torch.ones(2, 3), ["un", "chien"], torch.ones(3, 3), sources=["a", "dog", "."])
    assert picture.text(40).split("\n") == ["un     . 0.78, a 0.12, dog 0.11", "chien  a 0.84, . 0.11, dog 0.04"]


def test_a_build_up_keeps_the_colours_and_says_how_much_of_the_context_it_shows() -> None:
    photo = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])[:, None]  # purple, black
    picture = BuildUp("a", torch.zeros(1, 2), torch.ones(1, 64), ["un"], torch.ones(2, 64), photo, (1, 2))
    again: Any = load(json.loads(json.dumps(kept(picture))))
    for one in (picture, again):
        axes = one.figure().axes[0]
        assert np.asarray(axes.images[0].get_array())[0, 0].tolist() == [1, 0, 1]
        assert np.asarray(axes.images[2].get_array())[0, [0, -1]].tolist() == [[1, 0.5, 1], [0.5, 0.5, 0.5]]
        assert "8 of 64 features" in [text.get_text() for text in axes.texts]
        assert "12 of 64 features" in [text.get_text() for text in one.frames()[1].axes[0].texts]
    few = BuildUp("a", torch.zeros(1, 2), torch.ones(1, 8), ["un"], torch.ones(2, 12), photo, (1, 2))
    for figure in few.frames():
        assert not any("features" in text.get_text() for text in figure.axes[0].texts)


def test_a_build_up_shows_the_state_beside_the_context_and_before_the_word() -> None:
    states = torch.linspace(-1, 1, 24).reshape(2, 12)
    of = "a", torch.eye(2), torch.ones(2, 3), ["un", "chien"], torch.ones(2, 3)
    picture = BuildUp(*of, sources=["a", "dog"], states=states)
    again: Any = load(json.loads(json.dumps(kept(picture))))
    for one in (picture, again):
        frames = [[text.get_text() for text in figure.axes[0].texts] for figure in one.frames()]
        written = [frame for frame in frames if "8 of 12 features" in frame]
        assert written == [*frames[4:6], *frames[6:]]
        assert all({"state s", "context c"} <= set(frame) for frame in [frames[0], *frames[2:]])
        assert "-0.9" in frames[4]  # the second of the first state
        assert "0.7" in frames[6]
    with pytest.raises(InvalidInput):
        BuildUp(*of, sources=["a", "dog"], states=states[:1])


def test_heads_are_printed_with_their_entropy() -> None:
    weights = torch.stack([torch.eye(4), torch.full((4, 4), 0.25)])
    assert Heads("a", {"layer": (weights, "abcd", "abcd")}).text(40).split("\n") == [
        "entropy (nats)", "head      0     1", "layer  0.00  1.39",
    ]  # fmt: skip
    many = Heads("a", {"layer": (weights.repeat(8, 1, 1), "abcd", "abcd")})
    assert len(re.findall(r"\d\.\d\d", many.text(40))) == 16


def test_layers_are_named_as_a_person_reads_them() -> None:
    paths = ["encoder.blocks.0.self_attention.weights", "decoder.blocks.1.cross_attention.weights"]
    names = ["encoder 0, self-attention", "decoder 1, attention to the source"]
    picture = Heads("a", {path: (torch.eye(4).repeat(2, 1, 1), list("abcd"), list("abcd")) for path in paths})
    assert [label.get_text() for label in picture.figure().axes[0].get_yticklabels()] == names
    assert [line.split("  ")[0] for line in picture.text(80).split("\n")[2:]] == names
    assert picture.description() == (
        f"Weights of each head, heads by layer: 2 of {names[0]}, 2 of {names[1]}; strongest: a to a (1.00, {names[0]}, "
        f"head 0), b to b (1.00, {names[0]}, head 0), c to c (1.00, {names[0]}, head 0)"
    )
    assert list(picture.plain()["layers"]) == paths
    seen = captured(picture.layers)
    assert [label.get_text() for label in seen.plot().axes[0].get_yticklabels()] == names


def test_names_do_not_break_lines() -> None:
    curve = Curve("a", {"one\ntwo": Line([0, 1], [1.0, 2.0])}, "x\r", "y", "a\u2028title")
    assert curve.text(60).split("\n")[0] == "a�title"
    assert not re.search(r"[\r\u2028]|one\n", curve.text(60))


def test_braille_dots_follow_a_stroke() -> None:
    line = Strokes("a", [[0, 0, 0], [47, 0, 1]]).text(24)
    assert line == "\N{BRAILLE PATTERN DOTS-14}" * 24
    up = Strokes("a", [[0, 0, 0], [0, 3, 1]]).text(24).split("\n")
    assert {char for line in up for char in line} == {"\N{BRAILLE PATTERN DOTS-1237}"}
    assert len(up) == 24
    assert Strokes("a", [[5, 5, 1]]).text(24).strip()  # a dot


def test_pictures_import_no_matplotlib_until_they_are_drawn(tmp_path: Path) -> None:
    import subprocess
    import sys

    asked = """
import sys
from tests.explain.kinds import one_of_each
for picture in one_of_each():
    picture.text(80), picture.page(), picture.plain(), picture.description()
assert not any(name.split(".")[0] == "matplotlib" for name in sys.modules)
print("none")
"""
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=False)
    assert done.stdout == "none\n", done.stderr


def test_figures_are_saved(tmp_path: Path) -> None:
    for picture in samples.one_of_each()[-2:]:
        png, svg = plots.save(picture.figure(), tmp_path / picture.name, picture.description())
        assert png.exists()
        assert svg.exists()


def test_a_tall_alignment_draws_its_keys_down_and_keeps_its_queries() -> None:
    weights = [[0.9, 0.1, 0.0], [0.0, 0.2, 0.8]]
    sentences = ["John went to the kitchen.", "Mary took the milk there.", "John went back to the hallway."]
    wide = Alignment("a", weights, ["hop 1", "hop 2"], sentences, "hop", "sentence")
    tall = Alignment("a", weights, ["hop 1", "hop 2"], sentences, "hop", "sentence", tall=True)
    assert [line[:30].rstrip() for line in tall.text(80).split("\n")[1:4]] == sentences
    assert tall.panel[1:5] == (sentences, ["hop 1", "hop 2"], "sentence", "hop")
    assert tall.page()["rows"] == wide.page()["columns"] == sentences
    assert tall.description() == wide.description()
    assert "tall" not in wide.plain()
    assert load(json.loads(json.dumps(kept(tall)))).page() == tall.page()
