"""`saccade list`: the catalogue."""

from collections.abc import Sequence
from typing import Any

from saccade.app import catalogue
from saccade.app.arguments import Parser
from saccade.app.tables import described, groups, result, seeds_of


def run(arguments: Sequence[str]) -> int:
    parser = Parser("list", "The systems, the number of their paper, and ours where a run's evidence was kept.")
    parser.parse_args(list(arguments))
    rows = [["system", "paper", "the paper's number", "ours", "parameters", "seeds", "date"]]
    rows += [row(system, catalogue.evidence(system)) for system in catalogue.names()]
    widths = [max(len(cells[i]) for cells in rows) for i in range(len(rows[0]))]
    for cells in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
    print("\nnext: saccade train SYSTEM, or saccade train SYSTEM --help")
    return 0


def row(system: str, evidence: Sequence[dict[str, Any]]) -> list[str]:
    """The system's default variant as it stands, else what was run last, with its spread over the seeds."""
    found = groups(evidence)
    chosen = [group for group in found if described(group[-1]) == "default"] or found
    if not chosen:
        return [system, catalogue.title(system), "", "no evidence kept yet", "", "", ""]
    group = max(chosen, key=lambda runs: str(runs[-1]["date"]))
    newest, paper = group[-1], group[-1]["paper"]
    ours = f"{result(group).replace('**', '')}; {described(newest)}: {newest['data']['data']}"
    cited, parameters, date = f"{paper['authors']} {paper['year']}", f"{newest['parameters']:,}", newest["date"][:10]
    return [system, cited, paper["number"], ours, parameters, seeds_of(group), date]
