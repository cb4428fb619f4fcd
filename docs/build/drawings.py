"""The pictures that pages ask for: of kept evidence, drawn anew where they changed."""

import hashlib
import os
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from saccade.app import series, tables
from saccade.core.errors import InvalidInput

KINDS = ("by-length", "over", "looks", "latency")


class Drawing(NamedTuple):
    """A picture of kept runs: what it is called for who cannot see it, the runs in it, and how it is made."""

    described: str
    found: Collection[str]
    draw: Callable[[], Any]


def drawing(kind: str, asked: Sequence[str]) -> Drawing:
    """What a mark asks for: of each named variant that was run, a curve."""
    from saccade.explain import plots

    if kind == "by-length":
        metric, lengths = series.by_length(asked)

        def by_length() -> Any:
            (first, own), *others = ((name.replace(":", " "), found) for name, found in lengths.items())
            return plots.score_by_length(own, metric=metric.upper(), other=dict(others), name=first)

        described = f"{metric.upper()} by length of the source, mean over the seeds: {', '.join(lengths)}"
        return Drawing(described, lengths, by_length)
    if kind == "looks":
        return looks(asked)
    if kind == "latency":
        late = series.latencies(asked)
        described = f"Seconds from the end of what was said until its label, all seeds: {', '.join(asked)}"
        rows = [{"delay of a label (seconds)": row["seconds"], "labels": row["labels"]} for row in late]
        return Drawing(described, asked if late else [], lambda: plots.histogram(rows, *rows[0]))
    if len(asked) < 3:
        raise InvalidInput("expected a field, a metric and variants")
    field, metric, *names = asked
    found = series.over(field, metric, names)
    # system:variant+model.local.half_width=3 -> system variant, half_width 3
    named = {
        re.sub(r"\+(?:[\w.]*\.)?(\w+)=", lambda other: f", {other[1]} ", name).replace(":", " "): points
        for name, points in found.items()
    }
    described = f"{tables.words(metric)} over {tables.words(field)}, mean over the seeds: {', '.join(found)}"
    return Drawing(described, found, lambda: plots.curves(named, tables.axis(field), tables.axis(metric)))


def looks(names: Sequence[str]) -> Drawing:
    """Where the models look in one example: side by side, or one above another where that is a sound."""
    from saccade.explain import plots

    found = series.looks(names)
    first: dict[str, Any] = next(iter(found.values()), {"rows": (), "columns": (), "values": ""})
    rows, columns = (" ".join(plots.labels(first[side])) for side in ("rows", "columns"))
    if "step" in first:
        columns = f"{len(first['columns']) * first['step']:.1f} seconds of sound"
    systems = {name.partition(":")[0] for name in found}
    titles = [
        re.sub(r"@(?:[\w.]*\.)?(\w+)=", lambda at: f", {tables.words(at[1])}: ", name).replace(":row-", ":")
        for name in found
    ]
    titles = [title.replace(":", " ", 1) if len(systems) > 1 else title.partition(":")[2] for title in titles]

    def draw() -> Any:
        shown = list(zip(found.values(), titles, strict=True))
        if "step" in first:
            return plots.speeches(
                [
                    (look["weights"], look["rows"], look["step"], look["rows_label"], look["values"], title)
                    for look, title in shown
                ]
            )
        panels = [
            (look["weights"], look["rows"], look["columns"], look["rows_label"], look["columns_label"], title)
            for look, title in shown
        ]
        return plots.alignments(panels, first["values"])

    described = f"{first['values'].capitalize()} of {rows} (rows) to {columns} (columns): {', '.join(found)}"
    return Drawing(described, found, draw)


def linked(kind: str, asked: Sequence[str], path: Path, pictures: Path) -> str:
    """The picture that a mark asks for, and what it lacks."""
    described, found, _ = drawing(kind, asked)
    lacking = [f"`{name}`" for name in asked if ":" in name and name not in found]
    parts = []
    if found:
        target = Path(os.path.relpath(pictures / f"{picture(kind, asked)}.svg", path.parent)).as_posix()
        parts.append(f"![{described}]({target})\n")
    if lacking:
        parts.append(f"Not run yet: {', '.join(lacking)}.\n")
    return "\n".join(parts)


def picture(kind: str, asked: Sequence[str]) -> str:
    """The name of the picture's file; a long one, which not every file system takes, is cut."""
    name = re.sub(r"[^\w-]+", "-", f"{kind}-{'-'.join(asked)}")
    return name if len(name) <= 120 else f"{name[:100]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def drawn_anew(kind: str, asked: Sequence[str], folder: Path) -> Path | None:
    """Draw one picture; its path where it changed."""
    described, found, make = drawing(kind, asked)
    if not found:
        return None
    from saccade.explain import plots

    svg = folder / f"{picture(kind, asked)}.svg"
    before = svg.read_bytes() if svg.exists() else None
    plots.save(make(), svg.with_suffix(""), described)
    return svg if svg.read_bytes() != before else None
