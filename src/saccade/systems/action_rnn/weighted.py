"""The frames of a clip side by side, with a bar below each: its weight, or the probability of its name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from saccade.explain import plots
from saccade.explain.pictures.histogram import Histogram
from saccade.explain.pictures.strip import Strip
from saccade.explain.plots.arrays import checked, enlarged, named, rounded, thinned
from saccade.explain.plots.canvas import fit, our_style, page, write_title
from saccade.explain.plots.series import Line

MOST = 4096  # the most numbers of pixels that evidence stores
SIDE, HIGH, GAP, ROW = 0.62, 0.7, 0.08, 0.2  # inches: a frame, the bars, the space between, a row of names


@dataclass(frozen=True, eq=False)
class WeightedFrames:
    """Frames with a number for each.

    Raises:
        InvalidInput: the wrong shape, another number of numbers or names, or a number that is not finite or below 0.
    """

    name: str
    frames: plots.Weights
    """(f, y, x), with values in the form of `plots.brightness`."""
    weights: plots.Weights
    """A number for each frame."""
    names: Sequence[str] = ()
    """What each frame is named; () without names."""
    values: str = "weight"
    """The name of the numbers."""
    title: str = ""

    def __post_init__(self) -> None:
        frames = Strip(self.name, self.frames).images
        object.__setattr__(self, "frames", frames)
        object.__setattr__(self, "weights", checked(self.weights, str(len(frames)), "weights", 0.0))
        object.__setattr__(self, "names", tuple(named(self.names, len(frames), "frames") if self.names else ()))

    @property
    def labels(self) -> list[str]:
        """The number of each frame, and its name if it has one."""
        numbers = [str(number + 1) for number in range(len(self.frames))]
        return [f"{number} {name}" for number, name in zip(numbers, self.names, strict=True)] if self.names else numbers

    def figure(self) -> plots.Figure:
        """The frames, their bars below them, and names below the frames that they span."""
        count = len(self.frames)
        with our_style(self.title, *self.names):
            figure = page()
            for number, frame in enumerate(self.frames):
                axes = figure.add_axes((SIDE * (number + 0.04), GAP, SIDE * 0.92, SIDE * 0.92))
                axes.axis("off")
                axes.imshow(frame, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
            top = figure.axes[0]
            axes = figure.add_axes((0, -HIGH, SIDE * count, HIGH))
            axes.bar(range(count), self.weights, width=0.75, color="#2171b5")
            axes.set(xlim=(-0.5, count - 0.5), ylim=(0, 1.05 * (float(self.weights.max()) or 1.0)), ylabel=self.values)
            axes.set_xticks(range(count), [str(number + 1) for number in range(count)])
            axes.set_xlabel("frame", labelpad=4)
            if self.names:
                axes.xaxis.labelpad = 4 + 72 * ROW * self._name_runs(axes)
            write_title(top, self.title, pad=8, narrowest=60)
            return fit(figure)

    def _name_runs(self, axes: Any) -> int:
        """Write each name below the frames in a row that have it; returns the rows of names."""
        place, runs = 0, [(name, len(list(run))) for name, run in groupby(self.names)]
        crowded = any(0.085 * len(name) > SIDE * length for name, length in runs)
        for number, (name, length) in enumerate(runs):
            low = -0.36 - ROW / HIGH * (number % 2 if crowded else 0)
            across = axes.get_xaxis_transform()
            axes.plot([place - 0.4, place + length - 0.6], [-0.33, -0.33], color="#666666", linewidth=0.8,
                      transform=across, clip_on=False)  # fmt: skip
            axes.text(place + (length - 1) / 2, low, name, ha="center", va="top", transform=across)
            place += length
        return 1 + crowded

    def text(self, width: int) -> str:
        """A bar for each frame."""
        return self._bars().text(width)

    def _bars(self) -> Histogram:
        line = Line(self.labels, [round(float(weight), 3) for weight in self.weights])
        return Histogram(self.name, {"": line}, "frame", self.values, title=self.title)

    def page(self) -> dict[str, Any]:
        return {"strip": Strip(self.name, self.frames, labels=self.labels).page(), "bars": self._bars().page()}

    def plain(self) -> dict[str, Any]:
        return {
            "name": self.name, "title": self.title, "values": self.values, "names": list(self.names),
            "weights": rounded(self.weights), "frames": thinned(self.frames, MOST),
        }  # fmt: skip

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "WeightedFrames":
        return cls(**{**plain, "frames": enlarged(plain["frames"])})

    def description(self) -> str:
        said = ", ".join(f"{label} {weight:.3g}" for label, weight in zip(self.labels, self.weights, strict=True))
        return f"{self.title or 'A clip'}: {len(self.frames)} frames, and the {self.values} of each: {said}"
