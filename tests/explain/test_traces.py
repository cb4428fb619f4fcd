"""Weights over time: of a memory, and on speech."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from saccade.core.errors import InvalidInput
from saccade.explain import plots
from tests.explain.pictures import assert_apart, assert_saved, assert_whole, texts

pytest.importorskip("matplotlib")


def test_a_trace_has_a_panel_per_head_with_steps_as_columns_and_slots_as_rows() -> None:
    write, read = torch.rand(7, 3), torch.rand(7, 3).bfloat16()
    figure = plots.memory_trace({"write": write, "read head 0": read}, title="T")
    for axes, weights, name in zip(figure.axes, (write, read), ("write", "read head 0"), strict=True):
        np.testing.assert_allclose(axes.images[0].get_array(), weights.double().T.numpy())
        assert axes.images[0].get_clim() == (0, 1)
        assert texts(axes.texts) == [name]
        assert axes.get_ylabel() == "slot"
        assert axes.get_ylim() == (2.5, -0.5)  # the first slot at the top
        assert axes.get_xlim() == (-0.5, 6.5)
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "time step"]
    assert figure.axes[0].get_title(loc="left") == "T"
    assert [len(axes.child_axes) for axes in figure.axes] == [1, 0]  # one scale
    upper, lower = (axes.get_window_extent() for axes in figure.axes)
    assert upper.y0 > lower.y1
    assert (upper.x0, upper.x1) == pytest.approx((lower.x0, lower.x1))


def test_one_scale_extends_to_the_largest_weight_of_all_heads() -> None:
    figure = plots.memory_trace({"a": [[0.5]], "b": [[3.5]]})
    assert {axes.images[0].get_clim() for axes in figure.axes} == {(0.0, 3.5)}


@pytest.mark.parametrize(
    ("heads", "steps", "slots"),
    [(1, 1, 1), (3, 1, 1), (1, 2, 128), (2, 20, 16), (5, 60, 500), (1, 500, 8), (9, 50, 70)],
)
def test_a_trace_is_whole_and_without_overlaps(heads: int, steps: int, slots: int, tmp_path: Path) -> None:
    weights = torch.rand(heads, steps, slots)
    figure = plots.memory_trace({f"read head {i}": each for i, each in enumerate(weights)}, title="Memory " * 12)
    assert_whole(figure)
    assert_apart(figure)
    assert max(figure.get_size_inches()) < 15
    assert_saved(figure, tmp_path)


@pytest.mark.parametrize(
    ("traces", "message"),
    [
        ({}, "at least one head, all with the same numbers of steps and slots; got none"),
        ({"a": torch.ones(2, 3), "b": torch.ones(3, 3)}, r"got a \(2, 3\), b \(3, 3\)"),
        ({"a": torch.ones(3)}, r"expected weights of a \(t, n\), at least one; got the shape \(3,\)"),
        ({"a": torch.ones(0, 3)}, "at least one"),
        ({"a": [[-1.0]]}, "weights of a that are finite and not below 0"),
        ({"a": [[float("nan")]]}, "finite"),
    ],
)
def test_a_trace_refuses(traces: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        plots.memory_trace(traces)


def test_speech_is_on_an_axis_in_seconds_above_its_sound() -> None:
    weights = torch.softmax(torch.randn(3, 10), 1)
    samples, bands = torch.sin(torch.arange(2400) / 7), torch.randn(29, 4)
    figure = plots.speech(
        weights, ["▁three", "▁one", "</s>"], 0.03, waveform=(samples, 8000.0), features=(bands, 0.01), title="T"
    )
    look, energies, sound = figure.axes
    assert texts(look.get_yticklabels()) == ["three", "one", "end"]
    np.testing.assert_allclose(look.images[0].get_array(), weights.numpy(), atol=1e-7)
    assert look.images[0].get_extent() == pytest.approx([0, 0.3, 3, 0])
    assert energies.images[0].get_extent() == pytest.approx([0, 0.29, -0.5, 3.5])
    np.testing.assert_allclose(energies.images[0].get_array()[-1], bands[:, 0].numpy())  # the first band is below
    assert [axes.get_xlim() for axes in figure.axes] == [pytest.approx((0, 0.3))] * 3
    outline = sound.collections[0].get_paths()[0].vertices
    assert (outline[:, 0].min(), outline[:, 0].max()) == pytest.approx((0, 0.3))
    assert outline[:, 1].max() == pytest.approx(float(samples.max()))
    assert [axes.get_ylabel() for axes in figure.axes] == ["token", "band", "amplitude"]
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", "time (seconds)"]
    boxes = [axes.get_window_extent() for axes in figure.axes]
    assert all(
        upper.y0 > lower.y1 and upper.x0 == pytest.approx(lower.x0) for upper, lower in itertools.pairwise(boxes)
    )


def test_the_outline_of_a_long_recording_keeps_its_peaks() -> None:
    samples = torch.zeros(100_003)
    samples[50_001], samples[99_999] = 1.0, -0.5
    figure = plots.speech(torch.ones(1, 10), ["a"], 1.25, waveform=(samples, 8000.0))
    outline = figure.axes[1].collections[0].get_paths()[0].vertices
    assert len(outline) < 10_000
    assert (outline[:, 1].min(), outline[:, 1].max()) == (-0.5, 1.0)
    loud = outline[outline[:, 1] == 1.0, 0]
    assert abs(loud - 50_001 / 8000).min() < 0.01
    assert figure.axes[1].get_xlim()[1] == pytest.approx(12.5004, abs=1e-3)  # nothing of the recording is cut off


@pytest.mark.parametrize(("tokens", "frames"), [(1, 1), (1, 300), (4, 40), (30, 200), (500, 500)])
@pytest.mark.parametrize("more", [False, True])
def test_speech_is_whole_and_without_overlaps(tokens: int, frames: int, more: bool, tmp_path: Path) -> None:
    sound: dict[str, Any] = (
        {"waveform": (torch.randn(frames * 80), 8000.0), "features": (torch.randn(frames, 40), 0.01)} if more else {}
    )
    figure = plots.speech(torch.rand(tokens, frames), ["▁seven"] * tokens, 0.01, title="Speech " * 12, **sound)
    assert_whole(figure)
    assert_apart(figure)
    assert_saved(figure, tmp_path)


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        (torch.ones(3, 4), {}, r"expected weights \(2, k\), at least one; got the shape \(3, 4\)"),
        (-torch.ones(2, 4), {}, "not below 0"),
        (torch.ones(2, 4), {"step": 0.0}, "above 0; got 0.0"),
        (torch.ones(2, 4), {"step": float("nan")}, "above 0; got nan"),
        (torch.ones(2, 4), {"waveform": (torch.ones(3), -1.0)}, "above 0; got 0.1, -1.0"),
        (torch.ones(2, 4), {"waveform": (torch.ones(3, 2), 8000.0)}, r"expected samples \(t\)"),
        (torch.ones(2, 4), {"features": (torch.ones(3), 0.1)}, r"expected features \(frames, bands\)"),
    ],
)
def test_speech_refuses(weights: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        plots.speech(weights, ["a", "b"], **{"step": 0.1, **options})


def test_several_alignments_with_a_recording_share_an_axis_in_seconds() -> None:
    figure = plots.speeches(
        [
            (torch.rand(2, 10), ["a", "b"], 0.5, "label", "weight", "one"),
            (torch.full((3, 20), 2.5), ["x"] * 3, 0.25, "symbol", "share", "two"),
        ]
    )
    above, below = figure.axes
    assert above.get_xlim() == below.get_xlim() == (0, 5)
    assert above.images[0].get_extent()[:2] == below.images[0].get_extent()[:2] == [0, 5]
    assert above.get_position().width == pytest.approx(below.get_position().width)
    assert (above.get_xlabel(), below.get_xlabel()) == ("", "time (seconds)")
    assert (above.get_ylabel(), below.get_ylabel()) == ("label", "symbol")
    assert [axes.images[0].get_clim() for axes in figure.axes] == [(0, 1), (0, 2.5)]
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["one", "two"]
    assert above.get_position().y0 > below.get_position().y1


@pytest.mark.parametrize(
    ("steps", "message"), [((), "at least one panel"), ((0.5, 0.0), r"seconds per frame above 0; got 0\.5, 0\.0")]
)
def test_invalid_alignments_with_a_recording_are_refused(steps: tuple[float, ...], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        plots.speeches([(torch.rand(1, 4), ["a"], step, "label", "weight", "") for step in steps])
