"""Tables with a paper's numbers beside ours, and charts over all systems."""

import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from saccade.core.errors import InvalidInput, nearest
from saccade.core.files import read_record
from saccade.explain import plots
from saccade.explain.plots.canvas import fit
from saccade.runs import catalogue, results

QUOTED: dict[str, Any] = tomllib.loads((Path(__file__).parent / "quoted.toml").read_text(encoding="utf-8"))


def table(name: str) -> str:
    """The paper's number and ours for each row; a row that we did not run says so.

    Raises:
        InvalidInput: no such table.
    """
    if "heads" not in QUOTED.get(name, {}):
        raise InvalidInput(f"there is no quoted table {name!r}; {nearest(name, QUOTED)}")
    found = QUOTED[name]
    ours_too = found.get("heads_ours", found["heads"])
    rows = [["row", *(f"{head}, paper" for head in found["heads"]), "our variant", *(f"{h}, ours" for h in ours_too)]]
    for row in found["rows"]:
        group, metrics = results.named(row["ours"]) if row["ours"] else [], row.get("metrics", found["metrics"])
        ours = results.compared(group, metrics)[: len(metrics)] if group else ["–"] * len(metrics)
        variant = f"`{row['ours'].replace(':', ' ')}`" if group else "quoted, not run"
        rows.append([row["name"], *row["paper"], variant, *ours])
    return results.markdown(rows) + f"\nThe paper's numbers: {found['source']}.\n"


class Chart(NamedTuple):
    described: str
    draw: Callable[[], Any]


def chart(name: str) -> Chart:
    """A chart by its name.

    Raises:
        InvalidInput: no such chart.
    """
    charts = {
        "accuracy-by-parameters": partial(of_width, "parameters", "weights (millions)"),
        "accuracy-by-multiply-adds": partial(of_width, "multiply_adds", "multiply-adds of an image (millions)"),
        "growth": growth, "bleu-by-year": by_year, "bleu-by-weights": by_weights, "cost-of-looking": cost_of_looking,
        "time-of-length": partial(of_length, "memory_length", "milliseconds", "milliseconds a training step"),
        "memory-of-length": partial(of_length, "memory_length", "megabytes", "MB of a training step"),
        "memory-of-context": partial(of_length, "gpt2_length", "megabytes", "MB of a training step"),
    }  # fmt: skip
    if name not in charts:
        raise InvalidInput(f"there is no chart {name!r}; {nearest(name, charts)}")
    return charts[name]()


def growth() -> Chart:
    """Weights of our runs and of the papers' models over the year of the paper."""
    groups = [group for system in catalogue.names() for group in results.headlines(catalogue.evidence(system))]
    ours = [(group[-1]["paper"]["year"], group[-1]["parameters"]) for group in groups]
    theirs = [(row["year"], row["millions"] * 1e6) for row in QUOTED["growth"]["rows"]]
    found = {"ours, counted": sorted(ours), "the papers', quoted": sorted(theirs)}

    def draw() -> Any:
        lines = {
            name: plots.Line([float(x) for x, _ in points], [y for _, y in points]) for name, points in found.items()
        }
        figure = plots.lines(lines, "year of the paper", "weights")
        axes = figure.axes[0]
        for line in axes.lines:
            line.set(linestyle="none", marker="o", markersize=5)
        axes.set(yscale="log", ylim=(1e5, 3e10))
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value / 1e6:,g} M")
        return fit(figure)

    return Chart("Weights of models over the year of their paper, on a logarithmic axis: ours and the papers'", draw)


def by_year() -> Chart:
    """BLEU on one test set of the systems of three years."""
    found = {}
    for variant in ("rnnencdec:multi30k", "rnnsearch:multi30k", "transformer:multi30k"):
        if group := results.named(variant):
            bleu = [one["metrics"]["test"]["bleu"] for one in group]
            found[f"{variant.partition(':')[0]} {group[-1]['paper']['year']}"] = sum(bleu) / len(bleu)
    line = plots.Line(list(found), list(found.values()))
    described = "BLEU on Multi30k, German to English, of a system of each year, our runs: " + ", ".join(
        f"{name} {value:.1f}" for name, value in found.items()
    )
    return Chart(described, lambda: plots.bars({"": line}, "system and year of its paper", "BLEU"))


def by_weights() -> Chart:
    """BLEU of the small Transformers over their weights."""
    names = ("base", "c-n2", "c-n4", "c-n8", "c-d256", "c-d1024", "c-ff1024", "c-ff4096")
    found = [group[-1] for name in names if (group := results.named(f"transformer:small-row-{name}"))]
    points = sorted((one["parameters"] / 1e6, one["metrics"]["test"]["bleu"]) for one in found)
    line = plots.Line([x for x, _ in points], [y for _, y in points])
    described = "BLEU of small Transformers over their weights, the rows C of the paper at a small scale, one seed each"

    def draw() -> Any:
        figure = plots.lines({"": line}, "weights (millions)", "BLEU")
        for drawn in figure.axes[0].lines:
            drawn.set(linestyle="none", marker="o", markersize=5)
        return figure

    return Chart(described, draw)


def of_width(cost: str, label: str) -> Chart:
    """Accuracy of residual networks of three widths over what they cost, with convolutions and with local attention."""
    lines = {}
    for system, named in (("resnet", "convolutions"), ("local_attention_resnet", "local attention in the last stage")):
        groups = [results.named(f"{system}:width-{width}") for width in ("half", "one", "double")]
        scores = [group[-1]["metrics"]["test"] for group in groups if group]
        if not scores:
            continue
        costs = [score.get(f"{cost}_in_windows", score[cost]) for score in scores]  # of attention, as the paper counts
        lines[named] = plots.Line(costs, [score["accuracy"] for score in scores])
    said = [
        f"{name} {', '.join(f'{y:.1f} % at {x:.3g}' for x, y in zip(line.x, line.y, strict=True))}"
        for name, line in lines.items()
    ]
    described = f"Accuracy on CIFAR-10 over {label}, ResNet-20 of three widths: {'; '.join(said)}"

    def draw() -> Any:
        figure = plots.lines(lines, label, "accuracy (%)")
        for drawn in figure.axes[0].lines:
            drawn.set(marker="o", markersize=5)
        return figure

    return Chart(described, draw)


def cost_of_looking() -> Chart:
    """The time to read an image through glimpses over its size, beside a convolution of the whole image."""
    folder = Path(__file__).parents[2] / "benchmarks" / "evidence"
    cost = read_record(sorted(folder.glob("*-ram.json"))[-1], "cost")["cost"]
    found = {name.removeprefix("size, "): one for name, one in cost.items() if name.startswith("size, ")}
    named = {"one scale": "6 glimpses", "three scales": "6 glimpses of three scales", "convolution": "one convolution"}
    lines = {
        named[name]: plots.Line([int(side) for side in one], [time / 1000 for time in one.values()])
        for name, one in found.items()
    }
    said = [f"{name} {line.y[0]:.2g} to {line.y[-1]:.2g} ms" for name, line in lines.items()]
    described = f"Time to read an image from 28 x 28 to 400 x 400: {', '.join(said)}"

    def draw() -> Any:
        figure = plots.lines(lines, "rows and columns of the image", "milliseconds an image")
        figure.axes[0].set(xscale="log", yscale="log", xticks=[28, 60, 100, 200, 400], ylim=(0.001, 10))
        figure.axes[0].xaxis.set_major_formatter("{x:.0f}")
        figure.axes[0].xaxis.set_minor_formatter("")
        figure.axes[0].yaxis.set_major_formatter("{x:g}")
        return fit(figure)

    return Chart(described, draw)


def of_length(benchmark: str, measured: str, label: str) -> Chart:
    """What a training step of each form costs over the length of a sequence."""
    folder = Path(__file__).parents[2] / "benchmarks" / "evidence"
    found = read_record(sorted(folder.glob(f"*-{benchmark}.json"))[-1], "lengths", measured)
    lengths = found["lengths"]
    lines = {form: plots.Line(lengths, costs) for form, costs in found[measured].items()}
    said = [f"{form} {line.y[0]:g} to {line.y[-1]:g}" for form, line in lines.items()]
    span = f"from {lengths[0]:,} to {lengths[-1]:,} steps or symbols"
    described = f"{label[0].upper()}{label[1:]}, {span}: {', '.join(said)}"
    return Chart(described, lambda: plots.lines(lines, "length of the sequence", label))
