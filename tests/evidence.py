"""Synthetic evidence, and a checkout that contains only such evidence."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from saccade.runs import catalogue

ROOT = Path(__file__).parents[1]
FIGURES = {"bleu": {"name": "BLEU", "unit": ""}, "chrf": {"name": "chrF", "unit": ""}}


def series(y: list[float], x: list[Any], **more: Any) -> dict[str, Any]:
    """A series of a score."""
    return {"x": x, "y": y, "x_label": "words of the source", "y_label": "BLEU", "kind": "curve", "counts": [], **more}


def evidence(
    seed: int, bleu: float, day: int = 1, variant: str = "default", changed: dict[str, Any] | None = None,
    data: str = "a", system: str = "rnnsearch", decisive: str = "bleu", figures: dict[str, Any] | None = None,
    named: dict[str, Any] | None = None, **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """The evidence of a run with this seed and score.

    Args:
        figures: further figures of the test.
        named: their names and units.
        more: further parts of the evidence, such as series.
    """
    test = {"decisive": decisive, "bleu": bleu, "chrf": bleu + 20, "sentences": 14, **(figures or {})}
    by_length = series([bleu + 1, bleu - 1], ["1-2", "3-"], counts=[7, 7])
    return {
        "system": system, "variant": variant, "changed": changed or {}, "date": f"2026-01-{day:02}T00:00:00Z",
        "command": None, "commit": "c0ffee0", "versions": {}, "seeds": [seed], "wall_seconds": 60.0 * seed,
        "hardware": {"machine": "m", "processor": "a processor", "cores": 2, "device": "cpu"},
        "parameters": 1234, "data": {"data": "some pairs", "sha256": data},
        "paper": {
            "title": "None", "authors": "Nobody", "year": 2026, "arxiv": "0000.00000", "target": "table 1",
            "number": "26.75 BLEU",
        },
        "metrics": {"test": test}, "figures": FIGURES | (named or {}), "series": {"by_length": by_length},
        "studies": {}, "pictures": [], "claims": [], "config": {}, **more,
    }  # fmt: skip


def keep(found: dict[str, Any]) -> None:
    """Put it into the folder of its system."""
    folder = catalogue.SYSTEMS / found["system"] / "evidence"
    folder.mkdir(exist_ok=True)
    (folder / f"{len(list(folder.iterdir()))}.json").write_text(json.dumps(found))


def checkout(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """A checkout with the real systems, whose evidence is three seeds of RNNsearch and nothing else."""
    systems = folder / "src" / "saccade" / "systems"
    shutil.copytree(catalogue.SYSTEMS, systems, ignore=shutil.ignore_patterns("evidence", "__pycache__"))
    monkeypatch.setattr(catalogue, "SYSTEMS", systems)
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    for seed, bleu in ((1, 40.0), (2, 41.0), (3, 42.0)):
        keep(evidence(seed, bleu, studies={"alignments": {"aer": bleu / 100}}))
    return folder
