"""Tables of evidence, as Markdown. What README and docs say of results is rendered here and nowhere else."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from saccade.app import catalogue
from saccade.core.errors import InvalidInput

OPEN, CLOSE = "<!-- evidence -->", "<!-- /evidence -->"


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
            data = f"{found['data']['data']}, {found['variant']}"
            seeds = ", ".join(map(str, found["seeds"]))
            rows.append([f"`{system}`", cited, paper["number"], result(found), data, seeds, found["date"]])
    return markdown(rows) if len(rows) > 1 else "No evidence has been kept yet.\n"


def runs(system: str) -> str:
    """A row for each run of a system, failures too."""
    evidence = catalogue.evidence(system)
    if not evidence:
        return "No evidence has been kept yet.\n"
    rows = [["variant", "test", "claims", "weights", "training", "processor", "seeds", "commit", "date"]]
    for found in evidence:
        claims = [f"{c['metric']} {'>=' if c['direction'] == 'max' else '<='} {c['bound']}: {'holds' if c['holds'] else '**fails**'}" for c in found["claims"]]
        hardware = found["hardware"]
        where = hardware.get("gpu") or f"{hardware['processor']}, {hardware['cores']} cores"
        rows.append(
            [
                found["variant"], result(found), "; ".join(claims) or "none", f"{found['parameters']:,}",
                f"{found['wall_seconds']:.0f} s", where, ", ".join(map(str, found["seeds"])),
                (found["commit"] or "")[:8], found["date"],
            ]
        )  # fmt: skip
    return markdown(rows)


def result(found: Mapping[str, Any]) -> str:
    """The figure that decides and its companions."""
    figures = found["metrics"]["test"]
    decisive = figures["decisive"]
    others = [f"{name.replace('_', ' ')} {value:.1f}" for name, value in figures.items() if isinstance(value, float) and name != decisive]
    return f"**{decisive.upper() if len(decisive) < 5 else decisive} {figures[decisive]:.2f}**" + (f" ({', '.join(others)})" if others else "")


def newest(evidence: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The newest run of each variant."""
    latest: dict[str, dict[str, Any]] = {}
    for found in evidence:
        latest[found["variant"]] = found
    return list(latest.values())


def fill(page: str, table: str, path: Path) -> str:
    """The page with the table between its marks."""
    if page.count(OPEN) != 1 or page.count(CLOSE) != 1:
        raise InvalidInput(f"{path}: expected one pair of marks {OPEN} and {CLOSE}")
    before, rest = page.split(OPEN)
    return f"{before}{OPEN}\n{table}{CLOSE}{rest.split(CLOSE)[1]}"
