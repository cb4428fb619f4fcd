"""The colours of heads are told apart with and without full colour vision, and in grey."""

import itertools
import re
from importlib.resources import files

import numpy as np
import pytest
from numpy.typing import NDArray

from saccade.explain.plots.charts import COLOURS

# how dichromats see linear RGB: Machado, Oliveira & Fernandes 2009, doi:10.1109/TVCG.2009.113, severity 1
SEEN = {
    "full": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]


def lab(colours: list[str], seen: str) -> NDArray[np.float64]:
    """CIELAB of colours as somebody sees them."""
    parts = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in colours])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    xyz = np.clip(linear @ np.array(SEEN[seen]).T, 0, 1) @ np.array(TO_XYZ).T / np.array(TO_XYZ).sum(1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


def nearest(colours: list[str], seen: str) -> float:
    """The distance of the two colours that are most alike; of lightness alone, in grey."""
    places = lab(colours, "full")[:, :1] if seen == "grey" else lab(colours, seen)
    return min(float(np.linalg.norm(one - other)) for one, other in itertools.combinations(places, 2))


def palette(name: str) -> list[str]:
    script = files("saccade.explain.pictures").joinpath("heads_drawn.js").read_text(encoding="utf-8")
    [listed] = re.findall(rf"const {name} = \[(.*?)\];", script)
    return re.findall(r"#[0-9a-f]{6}", listed)


@pytest.mark.parametrize("name", ["HEADS_LIGHT", "HEADS_DARK"])
def test_no_two_heads_look_alike(name: str) -> None:
    colours = palette(name)
    assert len(colours) == 6
    plots = min(nearest(list(COLOURS), seen) for seen in SEEN)
    assert plots == pytest.approx(17.9, abs=0.1)
    for seen in SEEN:
        assert nearest(colours, seen) > plots + 7, seen
    assert nearest(colours, "grey") > 6.5


def test_further_heads_are_dashed() -> None:
    script = files("saccade.explain.pictures").joinpath("heads_drawn.js").read_text(encoding="utf-8")
    [listed] = re.findall(r"const DASHES = \[(.*)\];", script)
    assert listed == "[], [8, 4], [2, 3]"


def test_heads_are_seen_on_their_page() -> None:
    for name, paper in (("HEADS_LIGHT", "#ffffff"), ("HEADS_DARK", "#16181c")):
        for colour in palette(name):
            assert nearest([colour, paper], "grey") > 30
