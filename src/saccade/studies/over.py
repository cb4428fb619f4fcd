"""The score of a run as a function of one field of its configuration.

Examples: strings longer than in training (`task.times_as_long`), wider beams, other temperatures. The pictures show the
model's own answer to the longest of the first examples; evidence stores a small example, given the right answer.
"""

import argparse
import dataclasses
import hashlib
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any

from saccade.core.config import to_plain
from saccade.core.picture import Picture
from saccade.core.task import Figure, Score
from saccade.explain.pictures import kept
from saccade.explain.pictures.curve import Curve
from saccade.explain.plots.series import Line
from saccade.runs.ending import longest, small_pictures
from saccade.runs.flag_fields import flag_of, names_of
from saccade.runs.run import Run, configuration, open_run, resolved
from saccade.runs.scoring import measured, summary
from saccade.studies import Found, Study
from saccade.training.evidence import changed

LARGEST = 4000  # the most numbers of a stored picture


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("field", help="a field of the configuration, such as search.beam")
    parser.add_argument("values", nargs="+", help="its values, such as 1 5 10")


def find(options: argparse.Namespace, flags: Sequence[str], report: Callable[[str], None]) -> Found:
    field, split = options.field.removeprefix("--").replace("-", "_"), options.split or "test"
    # all values are checked before the first is scored
    runs = [open_run(options.run, *flags, flag_of(field), value) for value in options.values]
    rows: list[dict[str, Any]] = []
    pictures: list[Picture] = []
    drawn: dict[str, Figure] = {}
    for run, value in zip(runs, options.values, strict=True):
        examples = run.task.examples(split)
        predictions = run.predictions(examples)
        found, measures = run.task.score(predictions, examples), measured(run, predictions, examples)
        figures = {**found.figures, **measures}
        drawn = {key: figures[key] for key in (run.task.metric, *measures)}
        rows.append(
            {"value": value, **{key: f.value for key, f in figures.items() if isinstance(f.value, int | float)}}
        )
        if small := small_pictures(run, examples, LARGEST):
            rows[-1]["picture"] = kept(small[0])
        row = longest(run, examples)[0]
        pictures += [named_after(picture, field, value) for picture in run.pictures(examples[row], predictions[row])]
        report(f"{field} {value}: {summary(run, split, Score(figures))}")
    run = runs[0]
    pictures += [
        curve(run, field, key, figure, rows)
        for key, figure in drawn.items()
        if all(isinstance(row.get(key), int | float) for row in rows)
    ]
    key = field + "".join(f"+{name}={value}" for name, value in others(run, field).items())
    command = f"saccade {shlex.join(sys.argv[1:])}"
    return Found(run, key, {"split": split, "command": command, "rows": rows}, [], pictures)


def curve(run: Run, field: str, key: str, figure: Figure, rows: Sequence[dict[str, Any]]) -> Curve:
    """A figure as a function of the field."""
    across, up = field.rpartition(".")[2].replace("_", " "), figure.named(key)
    up = f"{up} ({unit})" if (unit := figure.unit_after(key)) else up
    line = Line([row["value"] for row in rows], [row[key] for row in rows])
    return Curve(f"{key}-over-{field}", {"": line}, across, up, run.title)


def named_after(picture: Any, field: str, value: str) -> Any:
    """The picture, named after the value; a path or a long value is shortened, and made unique by a digest."""
    text = f"{field}-{value}"
    name = re.sub(r"[^\w.-]+", "-", text)[:50]
    if name != text:
        name = f"{name}-{hashlib.sha256(text.encode('utf-8')).hexdigest()[:8]}"
    return dataclasses.replace(picture, name=f"{picture.name}-{name}")


def others(run: Run, field: str) -> dict[str, Any]:
    """The other fields that differ from the run's configuration, by the names of their flags."""
    head = run.folder.head()
    trained = resolved(configuration(run.recipe, head, run.folder), head)
    plain = to_plain(run.config)
    names = names_of(type(run.config), plain)
    differs = {names.get(path, path): value for path, value in changed(plain, to_plain(trained)).items()}
    return {name: value for name, value in differs.items() if name != field}


STUDY = Study(title="the score as one field of the configuration changes", arguments=arguments, find=find)
