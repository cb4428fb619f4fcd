"""What the pictures of pages show: curves, counts and looks of kept evidence."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from saccade.app.tables import named
from saccade.core.errors import InvalidInput


def by_length(names: Sequence[str]) -> tuple[str, dict[str, list[dict[str, Any]]]]:
    """The metric, and the scores by length of each `system:variant` that was run, the mean over its seeds.

    Raises:
        NotFound: no such system or variant.
        InvalidInput: no variant; runs that were not scored by length, or by another metric.
    """
    if not names:
        raise InvalidInput("expected variants, such as rnnsearch:default")
    found = {name: [one["metrics"]["test"] for one in group] for name in names if (group := named(name))}
    metrics = {figures["decisive"] for group in found.values() for figures in group}
    if len(metrics) > 1:
        raise InvalidInput(f"expected one metric for all; got {' and '.join(sorted(metrics))}")
    if any("by_length" not in figures for group in found.values() for figures in group):
        raise InvalidInput("expected runs that were scored by length")
    metric = next(iter(metrics), "")
    runs = {name: [figures["by_length"] for figures in group] for name, group in found.items()}
    return metric, {name: averaged(rows, metric) for name, rows in runs.items()}


def averaged(runs: Sequence[Sequence[Mapping[str, Any]]], metric: str) -> list[dict[str, Any]]:
    """The mean of the scores of each bucket; the sentences are the same, since the data are."""
    buckets: dict[str, list[Mapping[str, Any]]] = {}
    for row in (row for rows in runs for row in rows):
        buckets.setdefault(row["words"], []).append(row)
    return [{**rows[-1], metric: statistics.fmean(row[metric] for row in rows)} for rows in buckets.values()]


def over(field: str, metric: str, names: Sequence[str]) -> dict[str, list[tuple[str, float]]]:
    """(value of the field, metric) of each `system:variant` that was evaluated over it, the mean over its seeds.

    A name may go on with what else was changed in the evaluation, `system:variant+search.beam=1`.

    Raises:
        NotFound: no such system or variant.
        InvalidInput: a metric that was not kept.
    """
    series = {}
    for name in names:
        variant, plus, rest = name.partition("+")
        kept = [one["metrics"]["test"].get("over", {}).get(field + plus + rest) for one in named(variant)]
        rows = [row for found in kept if found for row in found["rows"]]
        if not all(metric in row for row in rows):
            raise InvalidInput(f"{name}: {metric} was not kept over {field}; there are {', '.join(rows[0])}")
        values = dict.fromkeys(row["value"] for row in rows)
        if rows:
            series[name] = [
                (value, statistics.fmean(row[metric] for row in rows if row["value"] == value)) for value in values
            ]
    return series


def latencies(names: Sequence[str]) -> list[dict[str, float]]:
    """How many labels of a `system:variant` came how many seconds after what was said, all its seeds together.

    Raises:
        NotFound: no such system or variant.
        InvalidInput: not one variant; runs that do not answer while somebody speaks.
    """
    if len(names) != 1:
        raise InvalidInput(f"expected one variant, such as online_speech:default; got {len(names)}")
    runs = [one["metrics"]["test"].get("latencies") for one in named(names[0])]
    if not all(runs):
        raise InvalidInput(f"{names[0]}: expected runs that kept how late their labels are")
    found: dict[float, int] = {}
    for row in (row for rows in runs for row in rows):
        found[row["seconds"]] = found.get(row["seconds"], 0) + row["labels"]
    return [{"seconds": seconds, "labels": found[seconds]} for seconds in sorted(found)]


def looks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Where the newest run of each `system:variant` looked in an example, the same of all.

    A name may go on with what was changed in the evaluation, `system:variant+model.x.y=2@task.times_as_long=4`: the
    look that `evaluate --over task.times-as-long` kept at that value.

    Raises:
        NotFound: no such system or variant.
        InvalidInput: no variant; runs that looked at different examples, or kept no look.
    """
    if not names:
        raise InvalidInput("expected variants, such as rnnsearch:default")
    found = {}
    for name in names:
        variant, at, place = name.partition("@")
        variant, plus, rest = variant.partition("+")
        if not (group := named(variant)):
            continue
        field, _, value = place.partition("=")
        rows = group[-1]["metrics"]["test"].get("over", {}).get(field + plus + rest, {"rows": []})["rows"]
        looked = [row for row in rows if row["value"] == value] if at else group[-1:]
        if not looked or "look" not in looked[0]:
            raise InvalidInput(f"{name}: expected runs that kept where they look")
        found[name] = looked[0]["look"]
    if not alike(list(found.values())):
        raise InvalidInput("expected runs that looked at the same example")
    return found


def alike(looks: Sequence[Mapping[str, Any]]) -> bool:
    """Whether these are looks at one example.

    An answer may be drawn as its own symbols, or as all that there are; a sound may be cut into longer steps.
    """
    steps = [look.get("step", 0.0) for look in looks]
    seconds = [len(look["columns"]) * step for look, step in zip(looks, steps, strict=True)]
    columns = {"" if step else tuple(look["columns"]) for look, step in zip(looks, steps, strict=True)}
    answers = {(look["rows_label"], tuple(look["rows"])) for look in looks}
    return (
        len(columns) <= 1
        and max(seconds, default=0) - min(seconds, default=0) <= max(steps, default=0)
        and len(answers) == len({label for label, _ in answers})
    )
