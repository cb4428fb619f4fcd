"""The read and write weights of a memory's heads over time. Figure 6 of Graves et al. 2014, arXiv:1410.5401."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saccade.core.errors import InvalidInput
from saccade.explain import plots
from saccade.explain.plots.arrays import checked, rounded
from saccade.explain.terminal import legend, narrowest, shades, titled
from saccade.explain.text import flow


@dataclass(frozen=True, eq=False)
class MemoryTrace:
    """The weights of each head over the slots of a memory.

    Raises:
        InvalidInput: no heads, weights of different shapes, below 0 or not finite.
    """

    name: str
    traces: Mapping[str, plots.Weights]
    """The name of a head, such as "write" or "read head 0" -> its weights (t, n)."""
    values: str = "weight"
    title: str = ""
    rows: str = "slot"
    """The name of a row, if it is not a slot."""

    def __post_init__(self) -> None:
        traces = {name: checked(trace, "t n", f"weights of {name}", 0.0) for name, trace in self.traces.items()}
        if len({trace.shape for trace in traces.values()}) != 1:
            got = ", ".join(f"{name} {trace.shape}" for name, trace in traces.items()) or "none"
            raise InvalidInput(f"expected at least one head, all with the same numbers of steps and slots; got {got}")
        object.__setattr__(self, "traces", traces)

    def figure(self) -> plots.Figure:
        return plots.memory_trace(self.traces, self.values, self.title, self.rows)

    def text(self, width: int) -> str:
        """A line for each slot, time to the right."""
        lines: list[str] = []
        largest = max(1.0, *(float(trace.max()) for trace in self.traces.values()))
        for name, trace in self.traces.items():
            left = len(str(trace.shape[1] - 1))
            lines += [f"{name}: {trace.shape[1]} {self.rows}s (rows), {len(trace)} steps (columns)"]
            lines += [
                f"{slot:{left}} {shades(weights / largest, narrowest(width) - left - 1)}"
                for slot, weights in enumerate(trace.T)
            ]
            lines += [""]
        cut = [line for text in lines for line in (flow([text], width) if len(text) > width else [text])]
        return titled(self.title, cut + flow(legend(largest), width), width)

    def page(self) -> dict[str, Any]:
        traces = {name: rounded(trace, 4) for name, trace in self.traces.items()}
        return {"traces": traces, "values": self.values, "rows": self.rows}

    def plain(self) -> dict[str, Any]:
        traces = {name: rounded(trace) for name, trace in self.traces.items()}
        # evidence that is older than this field has none
        rows = {} if self.rows == "slot" else {"rows": self.rows}
        return {"name": self.name, "title": self.title, "values": self.values, "traces": traces, **rows}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "MemoryTrace":
        return cls(**plain)

    def description(self) -> str:
        steps, slots = next(iter(self.traces.values())).shape
        said = self.title or self.values.capitalize()
        return f"{said} of {', '.join(self.traces)} over {steps} steps and {slots} {self.rows}s"
