"""The score of a run: the task's figures, the recipe's measures, and a one-line summary of both."""

import statistics
from collections.abc import Sequence
from typing import Any

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.task import Figure, Score, short
from saccade.runs.run import Run

MEASURED = 100  # test examples over which a recipe's measures are averaged


def score(run: Run, split: str = "test") -> tuple[Score, list[Any], Sequence[Any]]:
    """The score on a split, the predictions and the examples."""
    run.check_answers()
    examples = run.task.examples(split)
    if not examples:
        raise InvalidInput(f"{run.title}: there are no examples in the {split} split")
    predictions = run.predictions(examples)
    return scored(run, predictions, examples), predictions, examples


def scored(run: Run, predictions: Sequence[Any], examples: Sequence[Any]) -> Score:
    """The task's score with the recipe's measures added.

    Raises:
        NotFound: the score lacks the task's metric.
    """
    found = run.task.score(predictions, examples)
    if run.task.metric not in found.figures:
        there = ", ".join(found.figures) or "none"
        raise NotFound(
            f"{run.system}: the metric {run.task.metric!r} is no figure of its task's score, and a measure cannot be "
            f"the metric; the score's figures: {there}"
        )
    return Score({**found.figures, **measured(run, predictions, examples)}, found.series)


def measured(run: Run, predictions: Sequence[Any], examples: Sequence[Any]) -> dict[str, Figure]:
    """The recipe's measures, averaged over the first 100 examples and weighted by `Figure.over`."""
    found: dict[str, list[Figure]] = {}
    pairs = list(zip(examples, predictions, strict=True))[:MEASURED] if run.recipe.measures else []
    for example, prediction in pairs:
        for key, figure in run.measures(example, prediction).items():
            if isinstance(figure.value, int | float):
                found.setdefault(key, []).append(figure)
    return {key: mean_of(rows) for key, rows in found.items()}


def mean_of(rows: Sequence[Figure]) -> Figure:
    """Pool several figures, as if computed over all their items at once."""
    mean = statistics.fmean([float(row.value or 0) for row in rows], [row.over for row in rows])
    return rows[0]._replace(value=mean, over=sum(row.over for row in rows))


def plain(run: Run, found: Score) -> dict[str, Any]:
    """The figures by key, as in evidence and `--json`, with the name of the decisive one."""
    return {"decisive": run.task.metric, **{key: figure.value for key, figure in found.figures.items()}}


def said(key: str, figure: Figure) -> str:
    """Such as "BLEU 50.14" or "label error rate 0.403 %"."""
    number = short(figure.value).replace(",", "") if isinstance(figure.value, float) else figure.value
    return f"{figure.named(key)} {number} {figure.unit_after(key)}".rstrip()


def summary(run: Run, split: str, found: Score) -> str:
    """One line with the numeric figures, the decisive one first, and the metric's signature."""
    keys = sorted(found.figures, key=lambda key: key != run.task.metric)
    numbers = [said(key, found.figures[key]) for key in keys if isinstance(found.figures[key].value, float)]
    signature = found.figures.get("signature")
    counted = f" ({signature.value})" if signature else ""
    return f"{run.title}, {split}: {', '.join(numbers)}{counted}"
