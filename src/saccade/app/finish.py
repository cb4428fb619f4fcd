"""The end of a training: the score, the evidence, ten answers, the pictures, and what to do next."""

import json
import math
import shlex
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from saccade.app.runs import Look, Run
from saccade.core.files import write_atomically
from saccade.core.recipe import WEIGHT, Aligning
from saccade.explain import plots
from saccade.training.evidence import Cost, collect

SHOWN, DRAWN, MEASURED = 10, 3, 100
FEWEST, MOST = 5, 800  # rows and columns, and weights, of a look that is kept


def finish(run: Run, head: Mapping[str, Any], cost: Cost) -> None:
    """Score the run, write its evidence and pictures, and say what came out."""
    examples = run.task.examples("test")
    predictions = run.predictions(examples)
    metrics = {"test": scored(run, predictions, examples)}
    parameters = sum(weight.numel() for weight in run.model.parameters())
    evidence = collect(run.recipe, head, metrics, run.task.describe(), parameters, cost, str(run.device))
    evidence |= {"look": look} if (look := first_look(run, examples)) else {}
    write_atomically(run.folder.evidence, (json.dumps(evidence, indent=1, ensure_ascii=False) + "\n").encode("utf-8"))
    print(summary(run, "test", metrics["test"]) + f"; trained in {cost.seconds:.0f} s")
    for claim in evidence["claims"]:
        sign = ">=" if claim["direction"] == "max" else "<="
        print(f"claim: {claim['metric']} {sign} {claim['bound']}: {'holds' if claim['holds'] else 'DOES NOT HOLD'}")
    print()
    for example, prediction in list(zip(examples, predictions, strict=True))[:SHOWN]:
        for name, text in run.task.compare(example, prediction).items():
            print(f"  {name:<10} {text}")
        print()
    draw(run, examples, predictions, metrics["test"])
    print(f"pictures: {run.folder.pictures}")
    asked = run.task.typed(examples[0], run.folder.path)
    print(f"next: saccade predict {shlex.quote(str(run.folder.path))} {quoted(asked)}")


def scored(run: Run, predictions: Sequence[Any], examples: Sequence[Any]) -> dict[str, Any]:
    """The task's figures, with the name of the one that decides; and what is to be said of where the model looked."""
    figures = run.task.score(predictions, examples)
    return {"decisive": run.task.metric, **figures, **attention_figures(run, predictions, examples)}


def attention_figures(run: Run, predictions: Sequence[Any], examples: Sequence[Any]) -> dict[str, float]:
    """Of the first answers, where the recipe shows attention: what is to be said of the looks that it shows first.

    How widely they are spread: the mean entropy, in nats, of the weights of a look; those that are no distribution are
    made one. And where the task knows what should be looked at: the share of looks that go there, in per cent, while
    the model is given the right answer.
    """
    shows = [show for show in run.recipe.shows if show.values == WEIGHT][:1]
    pairs = list(zip(examples, predictions, strict=True))[:MEASURED] if shows else []
    rows = [look.weights.double() for looks in run.looks_of(pairs, shows) for look in looks]
    weights = [each / each.sum(-1, keepdim=True).clamp(min=1e-12) for each in rows]
    entropies = [entropy for each in weights for entropy in torch.special.entr(each).sum(-1).tolist()]
    figures = {"attention_entropy": statistics.fmean(entropies)} if entropies else {}
    if pairs and isinstance(run.task, Aligning):
        given = run.looks_of([(example, example.target) for example, _ in pairs], shows)
        right = [
            met for (example, _), [look] in zip(pairs, given, strict=True)
            for met in run.task.aligned(example, look.weights)
        ]  # fmt: skip
        figures |= {"aligned": 100 * statistics.fmean(right)} if right else {}
    return figures


def first_look(run: Run, examples: Sequence[Any], most: int = MOST) -> dict[str, Any] | None:
    """Where the model looks, given the right answer, in the first example that makes a small picture.

    The pages draw it beside those of other systems, which see the same example.
    """
    shows = [show for show in run.recipe.shows[:1] if show.picture == "alignment"]
    costs = [run.task.cost(example) for example in examples[:SHOWN]]
    small = [row for row, sizes in enumerate(costs) if math.prod(sizes) <= most]
    if not shows or not small:
        return None
    example = examples[next((row for row in small if min(costs[row]) >= FEWEST), small[0])]
    [(show, weights, rows, columns, heard)] = run.looks(example, example.target, shows)
    numbers = [[round(x, 3) or 0 for x in row] for row in weights.tolist()]
    labels = {"rows_label": show.rows, "columns_label": show.columns, "values": show.values}
    step = {"step": heard().step} if heard else {}
    return {"rows": list(rows), "columns": list(columns), **labels, **step, "weights": numbers}


def summary(run: Run, split: str, figures: Mapping[str, Any]) -> str:
    """One line: the figures that are numbers, and how they were counted."""
    numbers = [f"{name.replace('_', ' ')} {value:.2f}" for name, value in figures.items() if isinstance(value, float)]
    signature = f" ({figures['signature']})" if "signature" in figures else ""
    return f"{run.system} {run.variant}, {split}: {', '.join(numbers)}{signature}"


def quoted(text: str) -> str:
    """For a shell, in double quotes where they do, since an apostrophe is common in a sentence."""
    return f'"{text}"' if not set(text) & set('"$`\\!') else shlex.quote(text)


def draw(run: Run, examples: Sequence[Any], predictions: Sequence[Any], figures: Mapping[str, Any]) -> None:
    """Pictures: what the recipe shows, for the longest of the answers shown; the losses; the score by length."""
    shown = sorted(range(min(SHOWN, len(examples))), key=lambda row: -run.task.cost(examples[row])[-1])[:DRAWN]
    for number, row in enumerate(sorted(shown), start=1):
        draw_looks(run.looks(examples[row], predictions[row]), run.folder.pictures, str(number))
    title = f"{run.system} {run.variant}"
    plots.save(
        plots.training_curves(run.folder.read_metrics(), title=title),
        run.folder.pictures / "training",
        f"Loss against step of {title}",
    )
    if "latencies" in figures:
        figure = plots.histogram(figures["latencies"], "seconds", "labels", f"{title}: delay of a label")
        described = f"Seconds from the end of what was said until its label, of {title}"
        plots.save(figure, run.folder.pictures / "latency", described)
    if "by_length" in figures:
        metric = run.task.metric
        figure = plots.score_by_length(figures["by_length"], metric=metric.upper(), title=title)
        plots.save(figure, run.folder.pictures / f"{metric}-by-length", f"{metric.upper()} by length of {title}")


def draw_looks(looks: Sequence[Look], folder: Path, name: str) -> list[Path]:
    """PNG and SVG of what a pen drew, of the first map and, where there are several, of all; paths of the PNG."""
    pens = [look for look in looks if look.show.picture == "pen"]
    maps = [look for look in looks if look.show.picture != "pen"]
    drawn = [draw_pen(look, folder / f"pen-{name}") for look in pens]
    drawn += [draw_first(maps[0], folder / f"{maps[0].show.picture}-{name}")] if maps else []
    return drawn + ([draw_panels(maps, folder / f"attention-{name}")] if len(maps) > 1 else [])


def draw_pen(look: Look, path: Path) -> Path:
    strokes = int((look.weights[:, 2] > 0.5).sum())
    described = f"{len(look.rows)} points of a pen in {strokes} strokes"
    png: Path = plots.save(plots.pen(look.weights, look.show.values), path, described)[0]
    return png


def draw_first(look: Look, path: Path) -> Path:
    """The map that a recipe shows first; of a sound above what was heard, with an axis in seconds."""
    heard = look.heard and look.heard()
    if heard is None:
        return draw_panels([look], path)
    features, frame, step = heard
    figure = plots.speech(
        look.weights, look.rows, step, features=(features, frame), tokens_label=look.show.rows, values=look.show.values
    )
    described = (
        f"{look.show.values.capitalize()} of {' '.join(look.rows)} (rows) over {len(look.columns) * step:.1f} seconds "
        "of sound (columns), and its log-mel features"
    )
    png: Path = plots.save(figure, path, described)[0]
    return png


def draw_panels(looks: Sequence[Look], path: Path) -> Path:
    """One picture of these looks; each is titled where they are several."""
    titles = [look.show.title if len(looks) > 1 else "" for look in looks]
    panels = [
        (look.weights, look.rows, look.columns, look.show.rows, look.show.columns, title)
        for look, title in zip(looks, titles, strict=True)
    ]
    described = [
        f"{title or look.show.values.capitalize()} of {' '.join(look.rows)} (rows) "
        f"to {' '.join(look.columns)} (columns)"
        for look, title in zip(looks, titles, strict=True)
    ]
    png: Path = plots.save(plots.alignments(panels, looks[0].show.values), path, "; ".join(described))[0]
    return png
