"""Evidence: one small JSON file per run, written by the program: the configuration, the hardware and data, and the
results."""

import copy
import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch

from saccade import __version__
from saccade.core.config import flatten, to_plain
from saccade.core.errors import NotFound
from saccade.core.recipe import Claim, Recipe
from saccade.core.task import Figure, Score

APART = (
    "training.seed", "training.device", "training.strategy", "training.tensor", "training.recompute",
    "training.threads", "task.folder",
)  # fmt: skip
LIBRARIES = ("torch", "numpy", "tokenizers", "sacrebleu")
MOST = 30_000
"""Bytes of a file."""


class Cost(NamedTuple):
    """The cost of a training."""

    seconds: float
    counted_per_second: float
    """The median of the logged rates, in symbols, frames or examples, as counted by the first part of the loss."""
    peak_memory: float | None
    """In megabytes."""


def commit() -> str | None:
    """The commit of the source, with "+" if it has changes; None outside a checkout."""
    package = Path(__file__).parent.parent

    def git(*arguments: str) -> str:
        # without locks, since a killed process would leave one behind, and git would then refuse to commit
        command = ["git", "--no-optional-locks", "-C", str(package), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", str(Path(__file__)))  # the environment may be inside an unrelated repository
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def hardware(device: str, threads: int | None = None) -> dict[str, Any]:
    """The hardware of a training; the number of threads is the configured one, or torch's default."""
    described: dict[str, Any] = {
        "machine": platform.machine(),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": threads or torch.get_num_threads(),
        "device": device,
    }
    if (processes := int(os.environ.get("WORLD_SIZE", "1"))) > 1:
        described["processes"] = processes
    if device.startswith("cuda"):
        described["gpu"] = torch.cuda.get_device_name(device)
    return described


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "saccade": __version__}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found


def verdict(claim: Claim, value: float, bound: float | None) -> dict[str, Any]:
    """A claim with the value found, the bound, and whether it holds; None if the bound is not known."""
    holds = None if bound is None else claim.holds(value, bound)
    return {**asdict(claim), "value": value, "bound": bound, "holds": holds}


def changed(config: Mapping[str, Any], variant: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a run that differ from its variant; seed, device and data are reported separately."""
    now, then = flatten(config), flatten(variant)
    return {name: now[name] for name in now if name not in APART and now[name] != then.get(name)}


def collect(
    recipe: Recipe,
    head: Mapping[str, Any],
    scores: Mapping[str, Score],
    decisive: str,
    data: Mapping[str, Any],
    parameters: int,
    cost: Cost,
    device: str,
    bounds: Callable[[Claim], float | None] = lambda claim: claim.bound,
) -> dict[str, Any]:
    """The evidence of a run. A run that changes its variant lists the changes, and the variant's claims do not apply.

    Args:
        head: the content of config.yaml.
        scores: the score of each split, including "test".
        decisive: the key of the decisive figure.
        bounds: the bound of a claim, including the factor if it compares with another variant; None if it is not known.

    Raises:
        NotFound: a claim about a figure that the score lacks.
    """
    differs = changed(head["config"], to_plain(recipe.variants[head["variant"]]))
    claims = [] if differs else [claim for claim in recipe.claims if claim.variant == head["variant"]]
    metrics: dict[str, dict[str, Any]] = {
        split: {"decisive": decisive, **{key: figure.value for key, figure in score.figures.items()}}
        for split, score in scores.items()
    }
    for claim in claims:
        if claim.metric not in metrics[claim.split]:
            there = ", ".join(metrics[claim.split])
            raise NotFound(
                f"{head['system']} claims {claim.metric!r}, which is no figure and no measure; it has: {there}"
            )
    return {
        "system": head["system"],
        "variant": head["variant"],
        "changed": differs,
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": head.get("command"),
        "commit": head.get("commit"),
        "versions": versions(),
        "hardware": hardware(device, head["config"]["training"].get("threads")),
        "seeds": [head["config"]["training"]["seed"]],
        "wall_seconds": round(cost.seconds, 1),
        "counted_per_second": round(cost.counted_per_second, 1),
        "peak_memory_mb": None if cost.peak_memory is None else round(cost.peak_memory),
        "parameters": parameters,
        "paper": asdict(recipe.paper),
        "data": dict(data),
        "metrics": metrics,
        "figures": named([score.figures for score in scores.values()]),
        "series": {name: series._asdict() for name, series in scores["test"].series.items()},
        "claims": [verdict(c, float(metrics[c.split][c.metric]), bounds(c)) for c in claims],
        "config": head["config"],
    }


def named(scores: Sequence[Mapping[str, Figure]]) -> dict[str, dict[str, str]]:
    """The names and units of the figures."""
    found: dict[str, dict[str, str]] = {}
    for key, figure in (pair for figures in scores for pair in figures.items()):
        said = {"name": figure.name, "unit": figure.unit}
        if any(said.values()):
            found[key] = {name: word for name, word in said.items() if word}
    return found


def written(evidence: Mapping[str, Any], most: int = MOST) -> bytes:
    """The evidence as JSON, with arrays on one line, in at most `most` bytes if that is possible.

    Until it fits, series are rounded and thinned, then the largest pictures of studies are left out, then the last
    pictures of the run. Figures are never changed.
    """
    found = {**evidence, "series": dict(evidence.get("series", {}))}
    if len(text := encoded(found)) <= most:
        return text
    found["series"] = series = {name: rounded(one) for name, one in found["series"].items()}
    while len(text := encoded(found)) > most and series:
        longest = max(series, key=lambda name: len(series[name]["x"]))
        if len(series[longest]["x"]) < 4:
            break
        series[longest] = rounded(thinned(series[longest]))
    found["studies"] = copy.deepcopy(found.get("studies", {}))
    found["pictures"] = list(found.get("pictures", []))
    drawn = sorted(holders(found["studies"]), key=lambda row: len(lines(row["picture"])))
    while len(text) > most and (drawn or found["pictures"]):
        if drawn:
            del drawn.pop()["picture"]
        else:
            found["pictures"].pop()
        found["thinned"] = True
        text = encoded(found)
    return text


def holders(value: Any) -> Iterator[dict[str, Any]]:
    """The rows of studies that have a picture."""
    if isinstance(value, dict):
        if "picture" in value:
            yield value
        value = value.values()
    if isinstance(value, Iterable) and not isinstance(value, str):
        for one in value:
            yield from holders(one)


def encoded(evidence: Mapping[str, Any]) -> bytes:
    return (lines(evidence) + "\n").encode("utf-8")


def rounded(series: Mapping[str, Any]) -> dict[str, Any]:
    """Round to six significant figures."""

    def short(number: Any) -> Any:
        return float(f"{number:.6g}") if isinstance(number, float) else number

    return {**series, "x": [short(x) for x in series["x"]], "y": [short(y) for y in series["y"]]}


def thinned(series: Mapping[str, Any]) -> dict[str, Any]:
    """Halve the points of a curve, or merge pairs of bars of a histogram."""

    def halved(numbers: Sequence[Any]) -> list[Any]:
        pairs = [numbers[place : place + 2] for place in range(0, len(numbers), 2)]
        return [sum(pair) if series["kind"] == "histogram" else pair[0] for pair in pairs]

    y, counts = halved(series["y"]), halved(series["counts"])
    return {**series, "x": series["x"][::2], "y": y, "counts": counts, "thinned": True}


def lines(value: Any, indent: str = "") -> str:
    """JSON with one line per entry of a dict, and per array that contains no dict or array."""
    inner = indent + " "
    if isinstance(value, Mapping) and value:
        rows = [f"{json.dumps(str(key), ensure_ascii=False)}: {lines(one, inner)}" for key, one in value.items()]
    elif isinstance(value, list | tuple) and any(isinstance(one, Mapping | list | tuple) for one in value):
        rows = [lines(one, inner) for one in value]
    else:
        return json.dumps(value, ensure_ascii=False)
    opening, closing = "{}" if isinstance(value, Mapping) else "[]"
    return opening + ",".join(f"\n{inner}{row}" for row in rows) + f"\n{indent}{closing}"
