"""Evidence: one small JSON a run, written by the program. What was run, on what, with what result."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from saccade.core.recipe import Claim, Recipe

LIBRARIES = ("torch", "numpy", "lightning", "tokenizers", "sacrebleu")


def commit() -> str | None:
    """The commit of the source, with "+" where it was changed since; None outside a checkout."""
    try:
        git = ["git", "-C", str(Path(__file__).parent)]
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed.stdout.strip() else "")


def hardware(device: str) -> dict[str, Any]:
    described: dict[str, Any] = {
        "machine": platform.machine(),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "device": device,
    }
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
    found = {"python": platform.python_version(), "saccade": metadata.version("saccade")}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found


def verdicts(claims: Sequence[Claim], variant: str, metrics: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each claim on this variant, the value found, and whether it holds."""
    rows = []
    for claim in claims:
        value = metrics.get(claim.split, {}).get(claim.metric)
        if claim.variant == variant and value is not None:
            rows.append({**asdict(claim), "value": value, "holds": claim.holds(value)})
    return rows


def collect(
    recipe: Recipe,
    head: Mapping[str, Any],
    metrics: Mapping[str, Mapping[str, Any]],
    command: str,
    data: Mapping[str, Any],
    parameters: int,
    seconds: float,
    device: str,
) -> dict[str, Any]:
    """The evidence of a run."""
    return {
        "system": head["system"],
        "variant": head["variant"],
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": command,
        "commit": head.get("commit"),
        "versions": versions(),
        "hardware": hardware(device),
        "seeds": [head["config"]["training"]["seed"]],
        "wall_seconds": round(seconds, 1),
        "parameters": parameters,
        "paper": asdict(recipe.paper),
        "data": dict(data),
        "metrics": dict(metrics),
        "claims": verdicts(recipe.claims, head["variant"], metrics),
        "config": head["config"],
    }
