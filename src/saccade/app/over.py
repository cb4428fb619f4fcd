"""`saccade evaluate RUN --over FIELD VALUE...`: the score of a run as one field of its configuration changes.

Such as strings that are longer than those of the training (`task.times_as_long`), wider beams, other temperatures.
"""

import hashlib
import json
import re
import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from saccade.app.finish import draw_looks, first_look, scored, summary
from saccade.app.flags import flag
from saccade.app.runs import Run, configuration, open_run, resolved
from saccade.app.tables import axis, words
from saccade.core.config import to_plain
from saccade.core.errors import InvalidInput
from saccade.explain import plots
from saccade.training.evidence import changed
from saccade.training.run_folder import one_writer

LARGEST = 4000  # weights of a look that is kept


def evaluate(options: Namespace, flags: Sequence[str]) -> int:
    """What `saccade evaluate` does with --over; the flags are fields of the run's configuration."""
    field, *values = options.over
    field, split = field.removeprefix("--").replace("-", "_"), options.split or "test"
    if not values:
        raise InvalidInput(f"--over {field} wants values, such as --over task.times-as-long 1 2 4")
    name = flag(field.split("."))
    # all of them before the first one is scored: a value that does not fit is told at once
    runs = [open_run(options.run, *flags, name, value) for value in values]
    if options.keep:
        runs[0].folder.read_evidence()
    rows, folder, metric = [], runs[0].folder, runs[0].task.metric
    for run, value in zip(runs, values, strict=True):
        examples = run.task.examples(split)
        predictions = run.predictions(examples)
        figures = scored(run, predictions, examples)
        rows.append({"value": value, **{name: x for name, x in figures.items() if isinstance(x, int | float)}})
        if options.keep and (look := first_look(run, examples, LARGEST)):
            rows[-1]["look"] = look
        if not options.json:
            print(f"{field} {value}: {summary(run, split, figures)}", flush=True)
        longest = max(range(len(examples[:10])), key=lambda row: run.task.cost(examples[row])[-1])
        draw_looks(run.looks(examples[longest], predictions[longest]), folder.pictures, file_name(f"{field}-{value}"))
    key = field + "".join(f"+{name}={value}" for name, value in others(runs[0], field).items())
    found = {"split": split, "command": f"saccade {shlex.join(sys.argv[1:])}", "rows": rows}
    if options.keep:
        with one_writer(folder):
            folder.keep_beside("over", key, found)
    title = f"{runs[0].system} {runs[0].variant}"
    pictures = [
        plots.save(
            plots.curves({title: points(found, drawn)}, axis(field), axis(drawn), title),
            folder.pictures / f"{drawn}-over-{field}",
            f"{words(drawn)} of {title} over {words(field)}",
        )[0]
        for drawn in (metric, "aligned")
        if all(drawn in row for row in rows)
    ]
    print(
        json.dumps(found, indent=1, ensure_ascii=False)
        if options.json
        else "".join(f"picture: {p}\n" for p in pictures),
        end="",
    )
    return 0


def file_name(text: str) -> str:
    """The text as the name of a file: one that is a path, or long, is cut, and told apart by a digest."""
    name = re.sub(r"[^\w.-]+", "-", text)[:50]
    return name if name == text else f"{name}-{hashlib.sha256(text.encode('utf-8')).hexdigest()[:8]}"


def others(run: Run, field: str) -> dict[str, Any]:
    """What else is not as in the run's own configuration."""
    head = run.folder.head()
    trained = resolved(configuration(run.recipe, head, run.folder), head)
    differs = changed(to_plain(run.config), to_plain(trained))
    return {name: value for name, value in differs.items() if name != field}


def points(found: dict[str, Any], metric: str) -> list[tuple[str, float]]:
    """The curve: each value as it was typed, and the metric there."""
    return [(row["value"], row[metric]) for row in found["rows"]]
