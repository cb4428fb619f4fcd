"""`saccade report`: print the results tables; store a run's results."""

from collections.abc import Sequence
from pathlib import Path

from saccade.app.arguments import Parser
from saccade.runs import catalogue, results


def run(arguments: Sequence[str]) -> int:
    parser = Parser("report", "Print the results tables, as Markdown; or store the results of a run.")
    parser.add_argument("--keep", metavar="RUN", help="store the evidence of a run in its system's folder")
    options = parser.parse_args(list(arguments))
    if options.keep:
        print(f"kept: {results.keep(Path(options.keep))}")
        return 0
    print(results.overview())
    for system in catalogue.names():
        print(f"## {catalogue.title(system) or system}\n\n{results.runs(system)}")
    return 0
