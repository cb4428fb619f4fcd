"""The data of the pages' pictures: series, pictures and findings of studies in stored evidence."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from saccade.core.errors import InvalidInput
from saccade.core.picture import Picture
from saccade.core.task import Series
from saccade.explain.pictures import load
from saccade.runs import catalogue
from saccade.runs.results import Evidence, described, figure, named, newest


def series(name: str, variants: Sequence[str]) -> dict[str, Series]:
    """A series of the score of each `system:variant` that was run: the mean over seeds, or the sum of counts.

    Raises:
        NotFound: no such system or variant.
        InvalidInput: no variant; runs without the series, or with different axes.
    """
    if not variants:
        raise InvalidInput("expected variants, such as rnnsearch:default")
    found = {}
    for variant in variants:
        group = named(variant)
        rows = [Series(**one["series"][name]) for one in group if name in one.get("series", {})]
        if len(rows) < len(group):
            raise InvalidInput(f"{variant}: expected runs whose score has the series {name}")
        if rows:
            found[variant] = together(rows)
    if len({(one.x_label, one.y_label) for one in found.values()}) > 1:
        raise InvalidInput(f"expected one pair of axes for the series {name} of all variants")
    return found


def together(rows: Sequence[Series]) -> Series:
    """Combine the series of several seeds: means of scores, sums of counts."""
    places: dict[Any, list[float]] = {}
    for one in rows:
        for x, y in zip(one.x, one.y, strict=True):
            places.setdefault(x, []).append(y)
    if rows[0].kind == "histogram":
        xs = sorted(places)
        return rows[0]._replace(x=xs, y=[sum(places[x]) for x in xs], counts=())
    return rows[0]._replace(x=list(places), y=[statistics.fmean(ys) for ys in places.values()], counts=rows[-1].counts)


def study(name: str, key: str, metric: str, variants: Sequence[str]) -> tuple[dict[str, Series], str]:
    """The findings of a study under a key, (value, metric) averaged over seeds; and the label of the metric.

    A variant may name other fields that were changed in the evaluation: `system:variant+search.beam=1`.

    Raises:
        NotFound: no such system or variant.
        InvalidInput: a metric that was not stored.
    """
    found, title = {}, metric.replace("_", " ")
    for variant in variants:
        plain, plus, rest = variant.partition("+")
        under = key + plus + rest

        def has(one: Evidence, under: str = under) -> bool:
            return under in one.get("studies", {}).get(name, {})

        group = holding(plain, has)
        rows = [row for one in group for row in one["studies"][name][under]["rows"]]
        if not all(metric in row for row in rows):
            raise InvalidInput(f"{variant}: {metric} over {key} was not stored; there are {', '.join(rows[0])}")
        if rows:
            title = axis(group[-1], metric)
            values = list(dict.fromkeys(row["value"] for row in rows))
            means = [statistics.fmean(row[metric] for row in rows if row["value"] == value) for value in values]
            found[variant] = Series(values, means, key.rpartition(".")[2].replace("_", " "), title)
    return found, title


def axis(found: Evidence, metric: str) -> str:
    """The axis label of a figure, with its unit."""
    shown = figure(found, metric)
    unit = shown.unit_after(metric)
    return f"{shown.name} ({unit})" if unit else shown.name


def pictures(variants: Sequence[str]) -> dict[str, Picture]:
    """The first stored picture of the newest run of each `system:variant`; `system:variant/NAME` asks for one by name.

    A variant may name fields that were changed in the evaluation, as in
    `system:variant+model.x.y=2@task.times_as_long=4`: the picture that the study `over` stored for that value.

    Raises:
        NotFound: no such system or variant.
        InvalidInput: no variant; runs without a stored picture.
    """
    if not variants:
        raise InvalidInput("expected variants, such as rnnsearch:default")
    found = {}
    for name in variants:
        variant, at, place = name.partition("@")
        variant, plus, rest = variant.partition("+")
        variant, _, picture = variant.partition("/")
        if not named(variant):
            continue
        field, _, value = place.partition("=")
        under = field + plus + rest

        def stored(
            one: Evidence, at: str = at, under: str = under, value: str = value, picture: str = picture
        ) -> list[Any]:
            if not at:
                return [kept for kept in one["pictures"] if picture in ("", kept["name"])][:1]
            rows = one.get("studies", {}).get("over", {}).get(under, {"rows": []})["rows"]
            return [row["picture"] for row in rows if row["value"] == value and "picture" in row]

        group = holding(variant, stored)
        if not group:
            raise InvalidInput(f"{name}: expected runs with a stored picture")
        found[name] = load(stored(group[-1])[0])
    return found


def holding(name: str, has: Callable[[Evidence], Any]) -> list[Evidence]:
    """The runs of `system:variant` that hold something: of each seed the newest that does, on the data that count.

    A variant is trained anew without each of its studies being repeated; until then the earlier finding stands.
    """
    group = named(name)
    if not group:
        return []
    system, _, variant = name.partition(":")
    data = group[-1]["data"].get("sha256")
    runs = [one for one in catalogue.evidence(system) if described(one) == variant and has(one)]
    runs = [one for one in runs if one["data"].get("sha256") == data]
    return newest(runs) if runs else []


def alike(shown: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all pictures show the same example: equal labels, an equal image, or sounds of the same length."""
    sides = {(tuple(one.get("columns", ())), str(one.get("image"))) for one in shown}
    seconds = [len(one["weights"][0]) * one["step"] for one in shown if "step" in one]
    longest = max((one["step"] for one in shown if "step" in one), default=0.0)
    return len(sides) <= 1 and max(seconds, default=0) - min(seconds, default=0) <= longest
