from typing import Any

import numpy as np
import pytest
import torch

from saccade.core.errors import InvalidInput
from saccade.explain import plots

IMAGE = torch.rand(5, 7)


def test_each_grid_has_a_row_with_the_image_its_filters_and_its_patch() -> None:
    centres, found = 7 * torch.rand(2, 9, 2), torch.rand(2, 3, 3)
    figure = plots.patches(IMAGE, centres, [0.5, 2.0], found, ["one", "two"], "Two grids")
    first, patch, second, _ = figure.axes
    assert [axes.texts[0].get_text() for axes in (first, second)] == ["one", "two"]
    np.testing.assert_allclose(first.lines[0].get_xydata(), centres[0])
    np.testing.assert_allclose(patch.images[0].get_array(), found[0])
    assert first.get_xlim() == (0, 7)
    assert first.get_ylim() == (5, 0)
    circles = second.collections[0]
    np.testing.assert_allclose(circles.get_offsets(), centres[1])
    assert first.get_title(loc="left") == "Two grids"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"centres": torch.rand(2, 9)}, "centres"),
        ({"deviations": [-1.0, 1.0]}, "deviations"),
        ({"deviations": [1.0]}, "deviations"),
        ({"patches": torch.full((2, 3, 3), 2.0)}, "values from 0 to 1, got 2"),
        ({"patches": torch.full((2, 3, 3), float("nan"))}, "finite"),
        ({"names": ["one"]}, "a name for each of 2 grids"),
    ],
)
def test_other_arrays_raise(changed: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"centres": torch.rand(2, 9, 2), "deviations": [1.0, 1.0], "patches": torch.rand(2, 3, 3)}
    with pytest.raises(InvalidInput, match=message):
        plots.patches(IMAGE, **{**given, **changed})
