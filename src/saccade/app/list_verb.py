"""`saccade list`: the catalogue."""

from collections.abc import Mapping, Sequence
from typing import Any

from saccade.app.arguments import Parser
from saccade.runs import catalogue
from saccade.runs.results import described, headlines, result, seeds_of


def run(arguments: Sequence[str]) -> int:
    parser = Parser("list", "List the systems with the papers' numbers and ours.")
    parser.parse_args(list(arguments))
    rows = [["system", "paper", "the paper's number", "ours", "data", "parameters", "seeds", "date"]]
    for system in catalogue.names():
        rows += lines(system, headlines(catalogue.evidence(system)))
    widths = [max(len(cells[i]) for cells in rows) for i in range(len(rows[0]))]
    for cells in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
    print("\nnext: saccade train SYSTEM, or saccade train SYSTEM --help")
    return 0


def lines(system: str, groups: Sequence[Sequence[Mapping[str, Any]]]) -> list[list[str]]:
    """A line for each variant that was run, with the spread over seeds."""
    found = []
    for group in groups:
        newest, paper = group[-1], group[-1]["paper"]
        cited, data = f"{paper['authors']} {paper['year']}", f"{described(newest)}: {newest['data']['data']}"
        ours, parameters = result(group).replace("**", ""), f"{newest['parameters']:,}"
        found.append([system, cited, paper["number"], ours, data, parameters, seeds_of(group), newest["date"][:10]])
    return found or [[system, catalogue.title(system), "", "no evidence yet", "", "", "", ""]]
