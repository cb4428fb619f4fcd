"""The figures of `saccade evaluate RUN --alignments` as a table for the terminal."""

from collections.abc import Iterator, Mapping
from typing import Any


def table(figures: Mapping[str, Any]) -> Iterator[str]:
    """The figures as a user reads them: each layer, the chosen reading, the baseline, and both directions."""
    first, every, best = figures["development"], figures["pairs"], figures["chosen"]["reading"]
    # single heads are many: of them the chosen one
    rows = {name: row for name, row in figures["readings"].items() if ", head " not in name or name == best}
    rows = {("* " if name == best else "  ") + name: row for name, row in rows.items()} | {
        "  diagonal (baseline)": figures["diagonal"]
    }
    if "reverse" in figures:
        chosen = figures["reverse"]["chosen"]
        rows |= {f"  reverse run: {chosen['reading']}": chosen, "  links of both directions": figures["intersection"]}
    width = max(map(len, rows))
    run = f"{figures['system']} {figures['variant']}"
    yield f"{run}: alignment error rate (AER, less is better) and its parts in percent, {every} pairs"
    yield ""
    yield f"{'':<{width}}  {f'first {first}':>9}  {f'the other {every - first}':^24}  {f'all {every}':>8}"
    yield f"{'':<{width}}  {'AER':>9}  {'AER':>6} {'precision':>9} {'recall':>7}  {'AER':>8}"
    for name, row in rows.items():
        rest = row["rest"]
        cells = f"{row['first']['aer']:>9.2f}  {rest['aer']:>6.2f} {rest['precision']:>9.2f} {rest['recall']:>7.2f}"
        yield f"{name:<{width}}  {cells}  {row['all']['aer']:>8.2f}"
    yield ""
    ways = len(figures["readings"])
    yield f"* of {ways} ways to read the weights (layers, heads, means; as they are, or as shares of what each source"
    yield "  word is given: --json prints all), the one with the least error on"
    yield f"  the first {first} pairs; the other {every - first} had no say"
    if "reverse" in figures:
        yield "  the reverse run's was chosen likewise, by itself"
