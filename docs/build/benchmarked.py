"""The table of benchmark results."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saccade.core.files import read_record
from saccade.runs.results import markdown


def benchmarks(folder: Path, names: Sequence[str] | None = None) -> str:
    """A table of the newest run of each benchmark in each precision; by default of all benchmarks."""
    latest: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted(folder.glob("*.json")):
        found = read_record(path, "benchmark", "summary", "processor", "cores", "torch", "date")
        if names is None or found["benchmark"] in names:
            latest[found["benchmark"], found.get("precision", "")] = found
    if not latest:
        return "Nothing has been measured yet.\n"
    rows = [["measured", "found", "by", "on", "date"]]
    for (name, _), found in latest.items():
        where = f"{found['processor']}, {found['cores']} cores, torch {found['torch']}"
        rows += [
            [what, value, f"`benchmarks/{name}.py`", where, found["date"]] for what, value in found["summary"].items()
        ]
    return markdown(rows)
