"""The alignment of tokens with a recording, over an axis in seconds, with the features or the waveform below."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saccade.core.errors import InvalidInput
from saccade.explain import plots
from saccade.explain.plots.arrays import checked, packed, pooled, rounded
from saccade.explain.plots.traces import Spoken
from saccade.explain.terminal import legend, narrowest, shades, titled
from saccade.explain.text import cells, fit, flow

KEPT, DRAWN = 1000, 8000  # the most feature values that evidence stores and a page draws
OUTLINE = 600  # the most samples that both store


@dataclass(frozen=True, eq=False)
class Sound:
    """Weights (q, k), a row for each token and a column for each frame of the encoder.

    Raises:
        InvalidInput: the wrong shape, no tokens, weights that are below 0 or not finite, or a time that is not above 0.
    """

    name: str
    weights: plots.Weights
    rows: Sequence[str]
    """Tokens, in the form of `plots.labels`."""
    step: float
    """Seconds per column."""
    features: plots.Weights | None = None
    """Log energies (frames, bands), such as log-mel."""
    frame: float = 0.01
    """Seconds per frame of the features."""
    waveform: plots.Weights | None = None
    """Samples (t,)."""
    rate: float = 0
    """Samples per second."""
    rows_label: str = "token"
    values: str = "attention weight"
    title: str = ""

    def __post_init__(self) -> None:
        weights = checked(self.weights, f"{len(self.rows)} k", self.values, 0.0)
        object.__setattr__(self, "weights", weights)
        for name, axes, time in (("features", "frames bands", self.frame), ("waveform", "t", self.rate)):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, checked(getattr(self, name), axes, name))
                if not 0 < time < math.inf:
                    raise InvalidInput(f"expected the time of the {name} above 0; got {time}")
        for name in ("step", "frame", "rate"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if not 0 < self.step < math.inf:
            raise InvalidInput(f"expected seconds per column above 0; got {self.step}")

    @property
    def seconds(self) -> float:
        return self.step * int(self.weights.shape[1])

    @property
    def panel(self) -> Spoken:
        """A panel for `plots.speeches`, which draws several one above another."""
        return self.weights, self.rows, self.step, self.rows_label, self.values, self.title

    def figure(self) -> plots.Figure:
        return plots.speech(
            self.weights, self.rows, self.step, tokens_label=self.rows_label, values=self.values, title=self.title,
            waveform=None if self.waveform is None else (self.waveform, self.rate),
            features=None if self.features is None else (self.features, self.frame),
        )  # fmt: skip

    def text(self, width: int) -> str:
        """A line for each token: its weights over time, and the time of the largest."""
        names, largest = plots.labels(self.rows), float(self.weights.max()) or 1.0
        left = min(max(map(cells, names)), narrowest(width) // 5)
        room = min(width - left - 17, self.weights.shape[1])
        lines = [
            f"{fit(name, left)}  {shades(row / largest, room)}  {row.argmax() * self.step:6.2f} s {row.max():.2f}"
            for name, row in zip(names, self.weights, strict=True)
        ]
        lines += [f"{'':{left}}  0 to {self.seconds:.2f} s", "", *flow(legend(largest), width)]
        return titled(self.title, lines, width)

    def page(self) -> dict[str, Any]:
        said = {"rows": plots.labels(self.rows), "rows_label": self.rows_label, "values": self.values}
        heard = {
            "features": self.features is not None and packed(self._features(DRAWN)[0]),
            "waveform": self.waveform is not None and rounded(self._outline(), 4),
        }
        ends = {
            "features_end": self._length("features", self.frame),
            "waveform_end": self._length("waveform", 1 / (self.rate or 1)),
        }
        return {**said, **heard, **ends, "step": self.step, "weights": rounded(self.weights, 4)}

    def plain(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "name": self.name, "title": self.title, "values": self.values, "rows_label": self.rows_label,
            "rows": list(self.rows), "step": self.step, "weights": rounded(self.weights),
        }  # fmt: skip
        if self.features is not None:
            features, frame = self._features(KEPT)
            found |= {"features": rounded(features, 1), "frame": frame}
        if self.waveform is not None:
            outline = self._outline()
            found |= {"waveform": rounded(outline), "rate": len(outline) / len(self.waveform) * self.rate}
        return found

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Sound":
        return cls(**plain)

    def description(self) -> str:
        said = " ".join(plots.labels(self.rows))
        below = ", and its features" if self.features is not None else ""
        return (
            f"{self.title or self.values.capitalize()} of {said} (rows) over {self.seconds:.1f} seconds of sound{below}"
        )

    def _length(self, name: str, each: float) -> float:
        return 0.0 if getattr(self, name) is None else len(getattr(self, name)) * each

    def _features(self, most: int) -> tuple[Any, float]:
        """The features, averaged over neighbours to at most `most` numbers; and seconds per frame."""
        assert self.features is not None
        found = self.features
        found = pooled(found, -(-found.shape[1] // 20), 1) if found.size > most else found
        size = -(-found.size // most)
        return pooled(found, size, 0), self.frame * size

    def _outline(self) -> Any:
        """The smallest and the largest sample of each interval, alternating, which keeps the outline of the
        waveform."""
        assert self.waveform is not None
        if len(self.waveform) <= OUTLINE:
            return self.waveform
        parts = np.array_split(self.waveform, OUTLINE // 2)
        return np.array([edge for part in parts for edge in (part.min(), part.max())])
