"""`saccade list [SYSTEM]`: the catalogue, or all results of one system."""

import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from saccade.app.arguments import Parser
from saccade.app.terminal import columns
from saccade.runs import catalogue
from saccade.runs.results import described, groups, headline, headlines, result, seeds_of, verdict

GAP = 2
NARROWEST = 16  # the fewest characters of a wrapped column


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "list",
        "List the systems with the papers' numbers and ours, or all variants and results of one system.\n"
        "In a terminal the table is as wide as the window; in a pipe each row is one line.",
    )
    parser.add_argument("system", nargs="?", metavar="SYSTEM", help="the system whose results to list (default: all)")
    options = parser.parse_args(list(arguments))
    print("\n".join(one(options.system) if options.system else everything()))
    return 0


def everything() -> list[str]:
    """A row for each system, with the results of its variants."""
    rows = [["system", "the paper's number", "ours"]]
    for system in catalogue.names():
        evidence = headlines(catalogue.evidence(system))
        # the default variant first, then the others as they were first run
        evidence.sort(key=lambda group: group[-1]["variant"] != "default")
        ours = [f"{described(group[-1])}: {headline(group)}, {group[-1]['data']['data']}" for group in evidence]
        number = evidence[-1][-1]["paper"]["number"] if evidence else ""
        rows.append([system, number, "\n".join(ours) or f"{catalogue.title(system)}: no evidence yet"])
    width = window()
    then = "next: saccade list SYSTEM, saccade train SYSTEM, saccade train SYSTEM --help"
    return [*table(rows, width), "", *wrapped(then, width)]


def one(system: str) -> list[str]:
    """The paper, and each variant of a system with its results."""
    catalogue.check(system)
    width = window()
    evidence = catalogue.evidence(system)
    lines = wrapped(catalogue.title(system), width)
    if evidence:
        paper = evidence[-1]["paper"]
        source = f"arXiv:{paper['arxiv']}" if paper["arxiv"] else paper["doi"]
        cited = f"{paper['authors']} {paper['year']}, {paper['title']}, {source}"
        lines += ["", *wrapped(cited, width), *wrapped(f"The paper, {paper['target']}: {paper['number']}", width)]
    claims = []
    for group in groups(evidence):
        lines += [
            "",
            *wrapped(described(group[-1]), width),
            *(part for text in details(group) for part in wrapped(text, width, 4)),
        ]
        claims += [f"{described(group[-1])}: {verdict(group[-1], claim)}" for claim in group[-1]["claims"]]
    if not evidence:
        lines += ["", "No evidence yet."]
    if claims:
        lines += ["", "claims", *(part for claim in claims for part in wrapped(claim.replace("**", ""), width, 4))]
    then = f"next: saccade train {system}; saccade train {system} --help lists all variants and fields"
    return [*lines, "", *wrapped(then, width)]


def details(group: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """The results of a variant with their spread over seeds, and its data, size, training time and seeds."""
    newest = group[-1]
    minutes = sum(found["wall_seconds"] for found in group) / len(group) / 60
    seeds = seeds_of(group)
    seeds = f"seed{'s' if ',' in seeds else ''} {seeds}"
    about = [newest["data"]["data"], f"{newest['parameters']:,} parameters", f"{minutes:.1f} min", seeds]
    return result(group).replace("**", ""), "; ".join([*about, newest["date"][:10]])


def window() -> int | None:
    """The width of the terminal; None if the output is a file or a pipe."""
    return columns() if sys.stdout.isatty() or os.environ.get("COLUMNS") else None


def wrapped(text: str, width: int | None, indent: int = 0) -> list[str]:
    """The lines of a text, indented."""
    space = " " * indent
    return textwrap.wrap(text, width, initial_indent=space, subsequent_indent=space) if width else [space + text]


def table(rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """The rows in columns; the first row is the head. Cells are wrapped to fit the width.

    Args:
        width: the most characters of a line; None: no cell is wrapped, and line breaks become semicolons.
    """
    if width is None:
        rows = [[cell.replace("\n", "; ") for cell in cells] for cells in rows]
    sizes = [max(len(line) for cells in rows for line in cells[i].split("\n")) for i in range(len(rows[0]))]
    if width is not None:
        sizes = narrowed(sizes, width - GAP * (len(sizes) - 1))
    lines = []
    for cells in rows:
        blocks = [
            [part for line in cell.split("\n") for part in textwrap.wrap(line, size) or [""]]
            for cell, size in zip(cells, sizes, strict=True)
        ]
        for parts in zip_longest(*blocks, fillvalue=""):
            spaced = (part.ljust(size) for part, size in zip(parts, sizes, strict=True))
            lines.append((" " * GAP).join(spaced).rstrip())
    return lines


def narrowed(sizes: Sequence[int], width: int) -> list[int]:
    """Sizes whose sum is at most the width: the widest columns are cut first, to no less than `NARROWEST`."""
    found = list(sizes)
    while sum(found) > width and max(found) > NARROWEST:
        found[found.index(max(found))] -= 1
    return found
