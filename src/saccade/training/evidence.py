"""Evidence: one small JSON a run, written by the program. What was run, on what, with what result."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch

from saccade import __version__
from saccade.core.config import flatten, to_plain
from saccade.core.recipe import Claim, Recipe

APART = ("training.seed", "training.device", "training.strategy", "training.threads", "task.folder")
LIBRARIES = ("torch", "numpy", "lightning", "tokenizers", "sacrebleu")


class Cost(NamedTuple):
    """What a training took: seconds, tokens a second (the middle of what was logged), and the most memory in MB."""

    seconds: float
    tokens_per_second: float
    peak_memory: float | None


def commit() -> str | None:
    """The commit of the source, with "+" where it was changed since; None where it is not a checkout's own."""
    package = Path(__file__).parent.parent

    def git(*arguments: str) -> str:
        # without locks: a kill would leave one behind, and then git refuses to commit
        command = ["git", "--no-optional-locks", "-C", str(package), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", str(Path(__file__)))  # an environment may lie within somebody's repository
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def hardware(device: str, threads: int | None = None) -> dict[str, Any]:
    """What a training ran on; the threads are those that it asked for, or torch's own number."""
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


def verdicts(claims: Sequence[Claim], metrics: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each claim, the value found, and whether it holds."""
    rows = []
    for claim in claims:
        value = float(metrics[claim.split][claim.metric])
        rows.append({**asdict(claim), "value": value, "holds": claim.holds(value)})
    return rows


def changed(config: Mapping[str, Any], variant: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a run that are not those of its variant; seed, device and data are reported by themselves."""
    now, then = flatten(config), flatten(variant)
    return {name: now[name] for name in now if name not in APART and now[name] != then.get(name)}


def collect(
    recipe: Recipe,
    head: Mapping[str, Any],
    metrics: Mapping[str, Mapping[str, Any]],
    data: Mapping[str, Any],
    parameters: int,
    cost: Cost,
    device: str,
) -> dict[str, Any]:
    """The evidence of a run. What was changed from the variant is said, and then nothing is claimed of the variant."""
    differs = changed(head["config"], to_plain(recipe.variants[head["variant"]]))
    claims = [] if differs else [claim for claim in recipe.claims if claim.variant == head["variant"]]
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
        "tokens_per_second": round(cost.tokens_per_second, 1),
        "peak_memory_mb": None if cost.peak_memory is None else round(cost.peak_memory),
        "parameters": parameters,
        "paper": asdict(recipe.paper),
        "data": dict(data),
        "metrics": dict(metrics),
        "claims": verdicts(claims, metrics),
        "config": head["config"],
    }
