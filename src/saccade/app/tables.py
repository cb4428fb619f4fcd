"""Tables of evidence, as Markdown. What README and docs say of results is rendered here and nowhere else."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from saccade.app import catalogue
from saccade.core.errors import InvalidInput


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """The rows, the first the head, as a Markdown table."""
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def overview() -> str:
    """A row for each system: the paper's number beside that of our newest run of each variant."""
    rows = [["system", "paper", "the paper's number", "ours", "data", "seeds", "date"]]
    for system in catalogue.names():
        for found in newest(catalogue.evidence(system)):
            paper = found["paper"]
            cited = f"[{paper['authors']} {paper['year']}](https://arxiv.org/abs/{paper['arxiv']})"
            data = f"{found['data']['data']}, {described(found)}"
            seeds = ", ".join(map(str, found["seeds"]))
            rows.append([f"`{system}`", cited, paper["number"], result(found), data, seeds, found["date"][:10]])
    return markdown(rows) if len(rows) > 1 else "No evidence has been kept yet.\n"


def runs(system: str) -> str:
    """A row for each run of a system, failures too."""
    evidence = catalogue.evidence(system)
    if not evidence:
        return "No evidence has been kept yet.\n"
    rows = [["variant", "test", "claims", "parameters", "training", "processor", "seeds", "commit", "date"]]
    for found in evidence:
        claims = [verdict(claim) for claim in found["claims"]]
        hardware = found["hardware"]
        where = hardware.get("gpu") or f"{hardware['processor']}, {hardware['cores']} cores"
        rows.append(
            [
                described(found), result(found), "; ".join(claims) or "none", f"{found['parameters']:,}",
                f"{found['wall_seconds']:.0f} s", where, ", ".join(map(str, found["seeds"])),
                (found["commit"] or "")[:8], found["date"][:10],
            ]
        )  # fmt: skip
    return markdown(rows)


def described(found: Mapping[str, Any]) -> str:
    """The variant of a run, and what was changed from it."""
    differs = ", ".join(f"{name} = {value}" for name, value in found["changed"].items())
    return f"{found['variant']} with {differs}" if differs else str(found["variant"])


def verdict(claim: Mapping[str, Any]) -> str:
    sign = ">=" if claim["direction"] == "max" else "<="
    return f"{claim['metric']} {sign} {claim['bound']}: {'holds' if claim['holds'] else '**fails**'}"


def result(found: Mapping[str, Any]) -> str:
    """The figure that decides, and its companions."""
    figures = found["metrics"]["test"]
    decisive = figures["decisive"]
    numbers = {name: value for name, value in figures.items() if isinstance(value, float) and name != decisive}
    others = ", ".join(f"{name.replace('_', ' ')} {value:.1f}" for name, value in numbers.items())
    return f"**{decisive} {figures[decisive]:.2f}**" + (f" ({others})" if others else "")


def newest(evidence: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The newest run of each variant, and of each change to one."""
    latest: dict[str, dict[str, Any]] = {}
    for found in evidence:
        latest[described(found)] = found
    return list(latest.values())


def benchmarks(folder: Path) -> str:
    """What the newest run of each benchmark found."""
    latest: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        latest[found["benchmark"]] = found
    if not latest:
        return "Nothing has been measured yet.\n"
    rows = [["measured", "found", "by", "on", "date"]]
    for name, found in latest.items():
        where = f"{found['processor']}, {found['cores']} cores, torch {found['torch']}"
        rows += [
            [what, value, f"`benchmarks/{name}.py`", where, found["date"]] for what, value in found["summary"].items()
        ]
    return markdown(rows)


def fill(page: str, mark: str, table: str, path: Path) -> str:
    """The page with the table between its marks."""
    start, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    if page.count(start) != 1 or page.count(end) != 1:
        raise InvalidInput(f"{path}: expected one pair of marks {start} and {end}")
    before, rest = page.split(start)
    return f"{before}{start}\n{table}{end}{rest.split(end)[1]}"
