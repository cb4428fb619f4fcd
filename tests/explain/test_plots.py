import itertools
import math
import os
import random
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from saccade.core.errors import InvalidInput
from saccade.explain import plots
from saccade.explain.pictures.alignment import Alignment
from saccade.explain.plots import canvas
from tests.explain.pictures import assert_apart, assert_whole, lightness, pixels, texts

matplotlib = pytest.importorskip("matplotlib")
FRENCH = ["▁Nous", "▁ne", "▁pouvons", "▁d'", "acheter", "▁une", "▁voiture", ".", "</s>"]
ENGLISH = ["▁We", "▁can'", "t", "▁buy", "▁a", "▁car", ".", "</s>"]
SIZES = [(1, 1), (3, 4), (12, 10), (1, 12), (12, 1), (30, 30), (60, 7), (130, 70)]
SVG = "{http://www.w3.org/2000/svg}"
DUBLIN = "{http://purl.org/dc/elements/1.1/}"


def soft(rows: int, columns: int) -> torch.Tensor:
    """A soft diagonal, rows summing to one."""
    at = torch.linspace(0, columns - 1, rows)[:, None] - torch.arange(columns)
    return torch.softmax(-(at**2) + 0.5 * torch.randn(rows, columns), dim=1)


def sentence(count: int, seed: int) -> list[str]:
    pick = random.Random(seed)
    words = ["▁I", "▁attention", "▁of", "▁translation", "▁Égypte", "ging", ",", "▁sentences"]
    return [pick.choice(words) for _ in range(count - 1)] + ["</s>"]


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (["▁want", "ed", ".", "</s>"], ["want", "·ed", ".", "end"]),
        (["▁d'", "acheter", "▁12", "3"], ["d'", "·acheter", "12", "·3"]),
        (["<s>", "We", "▁go"], ["start", "We", "go"]),
        (["ed", "▁we"], ["ed", "we"]),  # not preceded by text
        (["We", "are", "here", "</s>"], ["We", "are", "here", "end"]),  # words without marks are whole words
        (["▁a", "<unk>", "▁", "\x1b", "\n", "\ud800", "\uffff"], ["a", "<unk>", "▁", "�", "�", "�", "�"]),
    ],
)
def test_labels(tokens: list[str], expected: list[str]) -> None:
    assert plots.labels(tokens) == expected


@pytest.mark.parametrize("make", [torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.bfloat16, torch.nn.Parameter])
def test_matrix_takes_lists_arrays_and_tensors(make: Any) -> None:
    weights = torch.tensor([[0.25, 0.75, 0.0], [1.0, 0.0, 0.0]])
    assert plots.matrix(make(weights), ["a", "b"], ["c", "d", "e"]) == weights.tolist()


def test_weights_that_are_not_a_distribution_are_scaled_to_the_largest() -> None:
    for largest, expected in ((0.5, 1.0), (1.0005, 1.0), (3.5, 3.5)):
        figure = plots.alignments(
            [([[0.25, largest]], ["a"], ["b", "c"], "", "", ""), ([[0.5]], ["a"], ["b"], "", "", "")]
        )
        maps = [axes.collections[0] for axes in figure.axes if axes.collections]
        assert {heat.norm.vmax for heat in maps[:2]} == {expected}
        ticks = figure.axes[-1].child_axes[0].get_yticks() if figure.axes[-1].child_axes else []
        assert expected == 1.0 or max(ticks) > 1.0


@pytest.mark.parametrize(
    ("weights", "rows", "columns"),
    [
        (torch.zeros(2, 3), ["a", "b"], ["c", "d"]),
        (torch.zeros(2, 3), ["a", "b", "c"], ["c", "d"]),
        (torch.zeros(1, 2, 3), ["a"], ["c", "d"]),
        (torch.zeros(2), ["a", "b"], ["c"]),
        (torch.tensor(0.5), ["a"], ["b"]),
        ([[0.1, 0.2], [0.3]], ["a", "b"], ["c", "d"]),
        ([], [], ["c"]),
        ([[]], ["a"], []),
        ([[float("nan")]], ["a"], ["b"]),
        ([[float("inf")]], ["a"], ["b"]),
        ([[-0.1]], ["a"], ["b"]),
    ],
)
def test_matrix_refuses(weights: Any, rows: list[str], columns: list[str]) -> None:
    with pytest.raises(InvalidInput, match="expected"):
        plots.matrix(weights, rows, columns)
    with pytest.raises(InvalidInput, match="expected"):
        plots.alignment(weights, rows, columns)


def test_a_wrong_shape_is_reported_with_its_numbers() -> None:
    with pytest.raises(InvalidInput, match="2 rows of 3 columns, at least one of each; got 4 rows of 5"):
        plots.matrix(torch.zeros(4, 5), ["a", "b"], ["c", "d", "e"])


def test_alignment_shows_both_sentences_and_the_weights() -> None:
    weights = soft(9, 8)
    axes = plots.alignment(weights, FRENCH, ENGLISH, rows_label="français", columns_label="english", title="T").axes[0]
    assert texts(axes.get_yticklabels()) == ["Nous", "ne", "pouvons", "d'", "·acheter", "une", "voiture", ".", "end"]
    assert texts(axes.get_xticklabels()) == ["We", "can'", "·t", "buy", "a", "car", ".", "end"]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title(loc="left")) == ("english", "français", "T")
    assert axes.xaxis.get_ticks_position() == axes.xaxis.get_label_position() == "top"
    mesh = axes.collections[0]
    np.testing.assert_allclose(np.asarray(mesh.get_array()).reshape(9, 8), weights.numpy(), atol=1e-7)
    assert mesh.get_clim() == (0, 1)
    low, high = axes.transData.transform([(0.5, 8.5), (0.5, 0.5)])
    assert high[1] > low[1]  # the first row is at the top
    assert axes.child_axes[0].get_ylabel() == "attention weight"
    assert axes.child_axes[0].get_ylim() == (0, 1)


def test_only_special_tokens_are_distinguished_from_words() -> None:
    axes = plots.alignment(soft(2, 2), ["▁end", "</s>"], ["end", "</s>"]).axes[0]
    for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [tick.get_style() for tick in ticks] == ["normal", "italic"]


def test_the_scale_goes_from_white_to_dark_in_equal_steps_of_lightness() -> None:
    weights = torch.linspace(0, 1, 11)[None]
    mesh = plots.alignment(weights, ["a"], list("abcdefghijk")).axes[0].collections[0]
    colours = mesh.to_rgba(weights[0].numpy())[:, :3]
    np.testing.assert_allclose(colours[0], 1.0)
    np.testing.assert_allclose(lightness(colours), np.linspace(100, 20, 11), atol=2.0)


@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_alignment_is_whole_square_and_without_overlaps(rows: int, columns: int) -> None:
    figure = plots.alignment(soft(rows, columns), sentence(rows, 1), sentence(columns, 2), title="A title " * 12)
    axes = figure.axes[0]
    assert_whole(figure)
    box = axes.get_window_extent()
    cell = np.array([box.width / columns, box.height / rows])
    if max(rows, columns) <= 60:
        assert cell[0] == pytest.approx(cell[1], rel=1e-3)
        assert len(axes.get_yticks()) == rows
        assert len(axes.get_xticks()) == columns
    renderer = figure.canvas.get_renderer()
    down = [tick.get_window_extent(renderer) for tick in axes.get_yticklabels()]
    assert all(upper.y0 >= lower.y1 for upper, lower in itertools.pairwise(down))
    assert all(text.x1 <= box.x0 for text in down)
    # rotated by 45 degrees, neighbours are apart by their distance times the sine
    apart = np.diff(axes.get_xticks()) * cell[0] * np.sqrt(0.5)
    for tick in axes.get_xticklabels():
        assert tick.get_rotation() == 45
        tick.set_rotation(0)
        assert (apart >= tick.get_window_extent(renderer).height).all()


def test_the_longest_sentences_do_not_fail_and_name_every_nth_token() -> None:
    tokens = [f"▁{i}" for i in range(500)]
    figure = plots.alignment(torch.eye(500), tokens, tokens)
    named = texts(figure.axes[0].get_yticklabels())
    assert named[:2] == ["0", "9"]
    assert 40 <= len(named) <= 60
    assert max(figure.get_size_inches()) < 15


def test_very_long_words_are_shortened() -> None:
    words = ["▁Donaudampfschifffahrtsgesellschaftskapitänsmütze", "▁anticonstitutionnellement"]
    figure = plots.alignment(soft(2, 2), words, words)
    assert texts(figure.axes[0].get_xticklabels()) == [f"{words[0][1:40]}…", words[1][1:]]
    assert_whole(figure)


@pytest.mark.parametrize("foreign", ["漢字", "كتاب", "हिन्दी", "\U0001fae8", "$x^{$", "\\frac{", "a\x00b", "zero‌width"])
def test_any_character_is_drawn_without_a_warning(foreign: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plots.alignment(soft(2, 2), [f"▁{foreign}", "$y$"], ["▁a", foreign], title=foreign)
        _, svg = plots.save(figure, tmp_path / "picture", foreign)
    written = [element.text for element in ElementTree.parse(svg).iter(f"{SVG}text")]
    assert foreign.replace("\x00", "�") in written


def test_installed_fonts_supply_missing_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = pytest.importorskip("matplotlib.font_manager")
    # STIX, which also comes with matplotlib, has it; DejaVu Sans does not
    cursive = "\N{MATHEMATICAL SCRIPT CAPITAL A}"
    monkeypatch.setattr(
        manager.fontManager,
        "ttflist",
        [
            font
            for font in manager.fontManager.ttflist
            if font.name in ("DejaVu Sans", "Last Resort High-Efficiency", "STIXGeneral")
        ]
        + [manager.FontEntry(fname="/gone.ttf", name="Gone", style="normal", variant="normal", weight=400)],
    )
    axes = plots.alignment(soft(1, 1), [cursive], ["a"]).axes[0]
    assert axes.get_yticklabels()[0].get_fontfamily() == ["DejaVu Sans", "STIXGeneral", "sans-serif"]
    axes = plots.alignment(soft(1, 1), ["é"], ["a"]).axes[0]
    assert axes.get_yticklabels()[0].get_fontfamily() == ["DejaVu Sans", "sans-serif"]


def looks(target: int, source: int) -> list[plots.Panel]:
    """The three attentions of a Transformer: to the source, within the source, within the target."""
    written, read = sentence(target, 3), sentence(source, 4)
    before = ["<s>", *written[:-1]]
    causal = torch.softmax(torch.randn(target, target).masked_fill(torch.ones(target, target).triu(1) > 0, -1e9), 1)
    return [
        (soft(target, source), written, read, "target", "source", "decoder to encoder"),
        (soft(source, source), read, read, "source", "source", "encoder to itself"),
        (causal, before, before, "target so far", "target so far", "decoder to itself, causal"),
    ]


@pytest.mark.parametrize(("target", "source"), [(1, 1), (6, 5), (5, 30), (30, 28)])
def test_alignments_are_side_by_side_without_overlaps(target: int, source: int) -> None:
    panels = looks(target, source)
    figure = plots.alignments(panels)
    assert_whole(figure)
    renderer = figure.canvas.get_renderer()
    boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
    assert all(left.x1 + 20 <= right.x0 for left, right in itertools.pairwise(boxes))
    tops, cells, titles = [], [], []
    for axes, (weights, rows, columns, *words) in zip(figure.axes, panels, strict=True):
        assert [axes.get_ylabel(), axes.get_xlabel(), axes.get_title(loc="left")] == words
        np.testing.assert_allclose(np.ravel(axes.collections[0].get_array()), weights.flatten().numpy(), atol=1e-7)
        box = axes.get_window_extent()
        tops.append(box.y1)
        cells += [box.width / len(columns), box.height / len(rows)]
        titles.append(axes._left_title.get_window_extent(renderer).y0)
        assert len(axes.get_xticks()) == len(columns)
        down = [tick.get_window_extent(renderer) for tick in axes.get_yticklabels()]
        assert all(upper.y0 >= lower.y1 for upper, lower in itertools.pairwise(down))
        assert (np.diff(axes.get_xticks()) * cells[-2] * np.sqrt(0.5) >= 0.9 * down[0].height).all()
    # one scale, with its position and its range
    np.testing.assert_allclose(tops, tops[0], rtol=1e-6)
    np.testing.assert_allclose(cells, cells[0], rtol=1e-3)
    np.testing.assert_allclose(titles, titles[0], atol=4)
    assert [len(axes.child_axes) for axes in figure.axes] == [0, 0, 1]


def test_an_alignment_equals_alignments_of_one_panel() -> None:
    panel = looks(6, 5)[0]
    one = plots.alignment(*panel[:3], rows_label=panel[3], columns_label=panel[4], title=panel[5])
    assert (pixels(one) == pixels(plots.alignments([panel]))).all()


def test_alignments_refuse_invalid_panels() -> None:
    good = looks(6, 5)[0]
    with pytest.raises(InvalidInput, match="at least one panel"):
        plots.alignments([])
    with pytest.raises(InvalidInput, match="weights for 6 rows of 4 columns"):
        plots.alignments([good, (good[0], good[1], good[2][:-1], *good[3:])])


TRAINING = [{"step": 20 * i, "loss": 9 / i, "learning_rate": 1e-3, "tokens_per_second": 9e3} for i in range(1, 101)]
VALIDATION = [{"step": 500, "validation_loss": 3.25}, {"step": 1000, "validation_loss": 2.5}]


def test_a_pen_draws_strokes_and_dots_and_nothing_in_between(tmp_path: Path) -> None:
    points = torch.tensor([[0.0, 0, 0], [1, 2, 0], [2, 0, 1], [1, 3, 1], [4, 0, 0], [4, 2, 0]])
    figure = plots.pen(points, "x-heights")
    [axes] = figure.axes
    assert [line.get_xdata().tolist() if hasattr(line.get_xdata(), "tolist") else list(line.get_xdata())
            for line in axes.lines] == [[0, 1, 2], [1], [4, 4]]  # fmt: skip
    assert [line.get_marker() for line in axes.lines] == ["None", "o", "None"]
    assert axes.get_aspect() == 1
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x (x-heights)", "y (x-heights)")
    box = axes.get_position()
    width, height = figure.get_size_inches()
    assert box.width * width / (box.height * height) == pytest.approx(4.5 / 3.5, rel=0.01)
    assert all(path.is_file() for path in plots.save(figure, tmp_path / "pen", "a pen"))


@pytest.mark.parametrize("points", [[], [[0.0, 1.0]], [[0.0, math.nan, 1.0]], [[0.0, math.inf, 1.0]]])
def test_a_pen_refuses(points: list[list[float]]) -> None:
    with pytest.raises(InvalidInput, match="expected at least one point"):
        plots.pen(points)


def test_a_very_long_line_of_writing_fits_a_page() -> None:
    figure = plots.pen([[float(x), float(x % 2), float(x % 3 == 2)] for x in range(1009)])
    assert max(figure.get_size_inches()) < 18


def test_training_curves() -> None:
    figure = plots.training_curves([*VALIDATION, *TRAINING, {"step": 1500, "validation_loss": 2.75}], title="a run")
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("training step", "loss (nats per token)")
    training, validation = axes.lines
    assert list(training.get_xdata()) == [row["step"] for row in TRAINING]
    assert list(training.get_ydata()) == [row["loss"] for row in TRAINING]
    assert list(validation.get_xdata()) == [500, 1000, 1500]
    assert list(validation.get_ydata()) == [3.25, 2.5, 2.75]
    assert texts(axes.get_legend().get_texts()) == ["training", "validation (lowest 2.5 at step 1,000)"]
    assert training.get_color() != validation.get_color()
    assert_whole(figure)
    legend = axes.get_legend().get_window_extent(figure.canvas.get_renderer())
    assert legend.y0 >= axes.get_window_extent().y1 - 1  # above the curves, not on them
    assert axes._left_title.get_window_extent().y0 >= legend.y1


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        (TRAINING, ["training"]),
        (TRAINING[:1], ["training"]),
        (VALIDATION[:1], ["validation (lowest 3.25 at step 500)"]),
        ([{"step": 1, "loss": None}, {"step": 2, "loss": float("nan")}, {"step": 3, "loss": 1.5}], ["training"]),
        ([{"step": 1, "validation_loss": float("inf")}], ["validation"]),
    ],
)
def test_training_curves_with_few_points(rows: list[dict[str, Any]], names: list[str]) -> None:
    figure = plots.training_curves(rows)
    axes = figure.axes[0]
    assert texts(axes.get_legend().get_texts()) == names
    if len(rows) == 1:
        assert axes.lines[0].get_marker() == "o"  # a line of one point would be invisible
    assert_whole(figure)


@pytest.mark.parametrize("rows", [[], [{"step": 3, "learning_rate": 0.1}], [{"loss": 3.0}]])
def test_training_curves_without_points(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(InvalidInput, match=f"none among {len(rows)}"):
        plots.training_curves(rows)


LENGTHS = [
    {"words": "11-15", "sentences": 40, "bleu": 31.0},
    {"words": "1-2", "sentences": 1234, "bleu": 52.5},
    {"words": "31-", "sentences": 7, "bleu": 20.25},
]


def test_score_by_length() -> None:
    figure = plots.score_by_length(LENGTHS, title="by length")
    axes = figure.axes[0]
    assert texts(axes.get_xticklabels()) == ["1–2", "11–15", "31+"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("source length (words)", "BLEU")
    assert list(axes.lines[0].get_ydata()) == [52.5, 31.0, 20.25]
    assert texts(axes.texts) == ["sentences", "1,234", "40", "7"]
    assert [text.xy[0] for text in axes.texts[1:]] == list(axes.get_xticks())
    assert axes.get_legend() is None
    assert axes.get_ylim()[0] == 0
    assert_whole(figure)


def test_score_by_length_compares_systems() -> None:
    low = [{**row, "bleu": row["bleu"] / 2} for row in LENGTHS]
    figure = plots.score_by_length(LENGTHS, other={"RNNencdec": low}, name="RNNsearch")
    axes = figure.axes[0]
    assert texts(axes.get_legend().get_texts()) == ["RNNsearch", "RNNencdec"]
    assert list(axes.lines[1].get_ydata()) == [26.25, 15.5, 10.125]
    assert len(axes.texts) == 4  # the same sentences are counted once
    assert_whole(figure)
    figure = plots.score_by_length(LENGTHS, other={"RNNencdec": low[:2], "third": low}, name="RNNsearch")
    axes = figure.axes[0]
    found = texts(axes.texts)
    assert found[:8] == ["RNNsearch: sentences", "1,234", "40", "7", "RNNencdec: sentences", "1,234", "40", "–"]
    assert np.isnan(axes.lines[1].get_ydata()[2])
    assert [axes.texts[i].get_color() for i in (0, 4, 8)] == [line.get_color() for line in axes.lines]
    assert len({(line.get_color(), line.get_marker()) for line in axes.lines}) == 3
    renderer = figure.canvas.get_renderer()
    boxes = [axes.xaxis.label.get_window_extent(renderer)]
    boxes += [item.get_window_extent(renderer) for item in (*axes.texts, *axes.get_xticklabels())]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert_whole(figure)


def test_score_by_length_of_another_metric() -> None:
    axes = plots.score_by_length([{"words": "1-2", "sentences": 3, "chrf": 0.5}], metric="chrF").axes[0]
    assert axes.get_ylabel() == "chrF"
    assert list(axes.lines[0].get_ydata()) == [0.5]


@pytest.mark.parametrize("rows", [[], [{"words": "1-2", "sentences": 3}], [LENGTHS[0], {"words": "1-2", "bleu": 3.0}]])
def test_score_by_length_refuses(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(InvalidInput, match=r"this run: expected .* with words, sentences, bleu"):
        plots.score_by_length(rows)
    with pytest.raises(InvalidInput, match="second: expected"):
        plots.score_by_length(LENGTHS, other={"second": rows})


def test_score_by_length_requires_unique_names() -> None:
    with pytest.raises(InvalidInput, match="this run: expected a unique name"):
        plots.score_by_length(LENGTHS, other={"this run": LENGTHS})


def picture() -> Any:
    return plots.alignment([[0.25, 0.75]], ["▁Où"], ["▁wo", "ist"], title="A & <B>")


def test_save_writes_png_and_svg_with_alternative_text(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    said = 'Où looked at "wo" & 我 <most>'
    base = tmp_path / "pictures" / "v1.5"
    png, svg = plots.save(picture(), base, f"  {said}\n")
    assert (png, svg) == (tmp_path / "pictures" / "v1.5.png", tmp_path / "pictures" / "v1.5.svg")
    with image.open(png) as opened:
        assert opened.text["Description"] == said
        assert opened.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        assert np.allclose(opened.size, picture().get_size_inches() * 200, atol=1)
    root = ElementTree.parse(svg).getroot()
    assert [element.text for element in root.iter(f"{DUBLIN}description")] == [said]
    assert root.findtext(f"{SVG}title") == said
    assert {"Où", "wo", "·ist", "A & <B>"} <= {element.text for element in root.iter(f"{SVG}text")}  # text stays text
    assert sorted(path.name for path in base.parent.iterdir()) == ["v1.5.png", "v1.5.svg"]


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    first = plots.save(picture(), tmp_path / "first", "words")
    second = plots.save(picture(), str(tmp_path / "second"), "words")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_the_users_style_is_neither_used_nor_changed(tmp_path: Path) -> None:
    expected = plots.save(picture(), tmp_path / "plain", "words")[1].read_bytes()
    with matplotlib.rc_context({"font.size": 31, "axes.facecolor": "black", "svg.fonttype": "path", "savefig.dpi": 30}):
        before = dict(matplotlib.rcParams)
        assert plots.save(picture(), tmp_path / "styled", "words")[1].read_bytes() == expected
        assert dict(matplotlib.rcParams) == before


def test_existing_files_survive_if_a_picture_cannot_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    png, svg = plots.save(picture(), tmp_path / "kept", "words")
    before = png.read_bytes(), svg.read_bytes()

    def full(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        plots.save(plots.training_curves(TRAINING), tmp_path / "kept", "others")
    assert (png.read_bytes(), svg.read_bytes()) == before
    assert len(list(tmp_path.iterdir())) == 2  # no partial files remain
    with pytest.raises(InvalidInput, match="description"):
        plots.save(picture(), tmp_path / "mute", " \n")
    assert len(list(tmp_path.iterdir())) == 2


IMPORTED_LATE = """
import sys
from saccade.explain import plots, text

def imported(name):
    return any(module == name or module.startswith(name + ".") for module in sys.modules)

text.alignment_text([[1.0]], ["a"], ["b"])
assert not imported("matplotlib"), "matplotlib is imported before there is a picture"
"""
WITHOUT = """
from saccade.core.errors import MissingExtra
sys.modules["matplotlib"] = None
try:
    plots.alignment([[1.0]], ["a"], ["b"])
except MissingExtra as error:
    print(error)
"""
WITH = """
plots.save(plots.training_curves([{"step": 1, "loss": 2.0}]), sys.argv[1], "a point")
assert imported("matplotlib")
assert not imported("matplotlib.pyplot"), "pyplot is imported"
print("drawn")
"""


@pytest.mark.parametrize(("then", "said"), [(WITHOUT, "pip install 'torch-saccade[app]'"), (WITH, "drawn")])
def test_matplotlib_is_imported_with_the_first_picture_and_without_pyplot(then: str, said: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", IMPORTED_LATE + then, str(tmp_path / "point")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said in done.stdout, done.stderr
    assert done.stderr == ""


def test_a_grid_has_a_thumbnail_of_each_head_scaled_to_its_largest_weight() -> None:
    torch.manual_seed(1)
    layers = [torch.rand(3, 4, 9).bfloat16(), torch.rand(3, 4, 9) / 100]
    figure = plots.head_grid(layers, ["encoder 0", "encoder 1"])
    axes = figure.axes[0]
    mesh = np.ma.filled(axes.collections[0].get_array(), np.nan).reshape(4 * 2 + 1, 9 * 3 + 2)
    for layer, weights in enumerate(layers):
        for head in range(3):
            drawn = mesh[layer * 5 : layer * 5 + 4, head * 10 : head * 10 + 9]
            np.testing.assert_allclose(drawn, (weights[head].double() / weights[head].double().max()).numpy())
    assert np.isnan(mesh[4]).all()
    assert np.isnan(mesh[:, 9]).all()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["encoder 0", "encoder 1"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1", "2"]
    empty = plots.head_grid([torch.zeros(1, 2, 2)])  # a head without weights
    assert not np.ma.filled(empty.axes[0].collections[0].get_array(), 1.0).any()


def test_a_grid_of_maps_of_several_sizes_has_squares_of_one_size() -> None:
    small, large = torch.rand(3, 2, 3), torch.rand(1, 96, 7)
    figure = plots.head_grid([small, large], ["small", "large"])
    mesh = np.ma.filled(figure.axes[0].collections[0].get_array(), np.nan).reshape(48 * 2 + 6, (48 + 6) * 3 - 6)
    np.testing.assert_allclose(mesh[:24, :16], (small[0, 0, 0] / small[0].max()).item())
    pairs = large[0].reshape(48, 2, 7).amax(1) / large.max()  # the largest of each two rows
    np.testing.assert_allclose(mesh[54:, 0], pairs[:, 0].numpy(), rtol=1e-6)
    assert np.isnan(mesh[54:, 54:]).all()  # this layer has one head
    assert_whole(figure)


def test_a_grid_of_one_token_is_small() -> None:
    figure = plots.head_grid([torch.ones(4, 1, 1)])
    assert max(figure.get_size_inches()) < 3.5


def test_a_soft_map_has_a_scale_of_its_own_which_the_colour_bar_names() -> None:
    weights = torch.full((4, 10), 0.1)
    names = [f"▁{i}" for i in range(10)]
    fixed = plots.alignment(weights, names[:4], names).axes[0]
    assert fixed.collections[0].get_clim() == (0, 1)
    own = plots.alignment(weights, names[:4], names, scale="own").axes[0]
    assert own.collections[0].get_clim()[1] == pytest.approx(0.1)
    assert own.child_axes[0].get_ylabel() == "attention weight (scale of this map)"
    both = Alignment("map", weights, names[:4], names, "rows", "columns").figure()
    assert [round(axes.collections[0].get_clim()[1], 3) for axes in both.axes] == [1, 0.1]
    assert_whole(both)
    assert_apart(both)


@pytest.mark.unhooked
def test_another_scale_is_refused() -> None:
    with pytest.raises(InvalidInput, match="expected the scale fixed or own"):
        plots.alignment([[1.0]], ["a"], ["b"], scale="large")  # type: ignore[arg-type]


def test_a_weight_a_little_above_1_is_as_dark_blue_as_1() -> None:
    axes = plots.alignment([[1.0005, 0.5]], ["a"], ["b", "c"]).axes[0]
    assert axes.collections[0].get_clim() == (0, 1)
    assert axes.collections[0].cmap(1.5) == axes.collections[0].cmap(1.0)


def test_a_symbol_that_no_font_has_is_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas, "font_of", lambda character: None if character == "\U0001f600" else "DejaVu Sans")
    assert canvas.spelled("a \U0001f600\ufe0f b") == "a [grinning face] b"
    assert canvas.spelled("naïve → 語") == "naïve → 語"


@pytest.mark.parametrize(
    ("layers", "names", "message"),
    [
        ([], [], "got nothing and 0 names"),
        ([torch.rand(2, 3, 3), torch.rand(2, 0, 3)], [], r"got \(2, 0, 3\), \(2, 3, 3\) and 0 names"),
        ([torch.rand(3, 3)], [], r"got \(3, 3\)"),
        ([torch.rand(2, 3, 3)], ["a", "b"], "and 2 names"),
        ([torch.full((1, 2, 2), float("nan"))], [], "finite and not below 0"),
    ],
)
def test_a_grid_of_invalid_weights_is_refused(layers: Any, names: list[str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        plots.head_grid(layers, names)
