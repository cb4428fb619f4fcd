"""`saccade list`: the catalogue."""

from collections.abc import Sequence
from typing import Any

from saccade.app import catalogue
from saccade.app.arguments import Parser
from saccade.app.tables import described


def run(arguments: Sequence[str]) -> int:
    parser = Parser("list", "The systems, the number of their paper, and ours where a run's evidence was kept.")
    parser.parse_args(list(arguments))
    rows = [["system", "paper", "the paper's number", "ours", "seeds", "date"]]
    rows += [row(system, catalogue.evidence(system)) for system in catalogue.names()]
    widths = [max(len(cells[i]) for cells in rows) for i in range(len(rows[0]))]
    for cells in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
    print("\nnext: saccade train SYSTEM, or saccade train SYSTEM --help")
    return 0


def row(system: str, evidence: Sequence[dict[str, Any]]) -> list[str]:
    """The system's newest evidence of its default variant as it stands, else of any."""
    chosen = [found for found in evidence if described(found) == "default"] or list(evidence)
    if not chosen:
        return [system, catalogue.title(system), "", "no evidence kept yet", "", ""]
    newest = max(chosen, key=lambda found: found["date"])
    paper, figures = newest["paper"], newest["metrics"]["test"]
    ours = f"{figures['decisive']} {figures[figures['decisive']]:.2f} ({described(newest)}: {newest['data']['data']})"
    seeds = ",".join(map(str, newest["seeds"]))
    return [system, f"{paper['authors']} {paper['year']}", paper["number"], ours, seeds, newest["date"][:10]]
