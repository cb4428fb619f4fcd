"""The steps of one head, whose numbers are those of the equation; and animations."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from saccade.core.errors import InvalidInput
from saccade.explain import plots


def texts(figure: Any) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_the_numbers_are_those_of_the_equation() -> None:
    torch.manual_seed(0)
    queries, keys, values = torch.randn(2, 3), torch.randn(2, 3), torch.randn(2, 5)
    figure = plots.attention_steps(queries, keys, values, ["Thinking", "Machines"], inputs=torch.randn(2, 4), query=1)
    said = texts(figure)
    scores = keys @ queries[1]
    weights = (scores / 3**0.5).softmax(-1)
    result = weights @ values
    for number in [*scores, *(scores / 3**0.5), *weights, *(weights[:, None] * values).flatten(), *result]:
        assert f"{float(number):.2f}" in said
    assert {"Thinking", "Machines", "input", "query", "softmax", "sum: the result"} <= set(said)


def test_what_does_not_fit_is_refused() -> None:
    two = torch.randn(2, 3)
    for queries, keys, query in ((two, torch.randn(2, 4), 0), (two, two, 2), (torch.randn(2, 7), torch.randn(2, 7), 0)):
        with pytest.raises(InvalidInput):
            plots.attention_steps(queries, keys, two, ["a", "b"], query=query)
    with pytest.raises(InvalidInput):
        plots.attention_steps(two, two, two, ["a"])


def test_an_animation_shows_each_figure_in_turn(tmp_path: Path) -> None:
    figures = [plots.alignment(torch.eye(n), [*"abc"][:n], [*"abc"][:n]) for n in (1, 2, 3)]
    target = plots.animate(figures, tmp_path / "new" / "growing", "A growing map", seconds=0.5)
    assert target == tmp_path / "new" / "growing.gif"
    with Image.open(io.BytesIO(target.read_bytes())) as found:
        assert (found.n_frames, found.info["duration"], found.info["loop"]) == (3, 500, 0)
        assert b"A growing map" in target.read_bytes()
        first = found.convert("RGB")
        assert first.getpixel((first.width - 1, 0)) == (255, 255, 255)  # the smallest is padded
        found.seek(2)
        assert found.convert("RGB").tobytes() != first.tobytes()
    again = plots.animate(figures, tmp_path / "again", "A growing map", seconds=0.5)
    assert again.read_bytes() == target.read_bytes()
    for bad in ({"figures": []}, {"description": " "}, {"seconds": 0.0}):
        with pytest.raises(InvalidInput):
            plots.animate(**{"figures": figures, "path": tmp_path / "bad", "description": "A map", **bad})
