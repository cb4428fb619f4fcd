"""A series of a score as lines of text."""

from collections.abc import Iterator

from saccade.core.task import Series


def lines_of(series: Series) -> Iterator[str]:
    """A line for each point."""
    wide = max((len(str(x)) for x in series.x), default=0)
    for place, (x, y) in enumerate(zip(series.x, series.y, strict=True)):
        number = f"{y:.2f}" if isinstance(y, float) else str(y)
        count = f"  {series.counts[place]:>5} examples" if series.counts else ""
        yield f"  {x!s:>{wide}} {series.x_label}  {series.y_label} {number}{count}"
