"""Evidence on the pages of the site: a line for each run, and what more there is to say folded below it."""

import html
from collections.abc import Iterable, Sequence

from saccade.core.recipe import Paper
from saccade.runs import catalogue
from saccade.runs.results import (
    Evidence,
    described,
    groups,
    headline,
    headlines,
    machine,
    result,
    seeds_of,
    verdict,
)

Details = Sequence[tuple[str, str]]


def runs(system: str) -> str:
    """All runs of a system, the newest of each variant first, failures included."""
    evidence = catalogue.evidence(system)
    if not evidence:
        return "No evidence has been kept yet.\n"
    counted = [id(one) for group in groups(evidence) for one in group]
    now = [one for one in evidence if id(one) in counted]
    earlier = [one for one in evidence if id(one) not in counted]
    found = folded(["variant", "result", "claims", "date"], map(run, now))
    if earlier:
        found += f"\nEarlier runs of the same variants and seeds ({len(earlier)}), counted in no table:\n\n"
        found += folded(["variant", "result", "claims", "date"], map(run, earlier))
    return found


def run(found: Evidence) -> tuple[Sequence[str], Details]:
    """The line of a run, and its details."""
    claims = [verdict(found, claim) for claim in found["claims"]]
    failed = sum(not claim["holds"] for claim in found["claims"])
    judged = f'<span class="fails">{failed} fails</span>' if failed else "hold" if claims else "none"
    versions = found.get("versions", {})
    minutes = f"{found['wall_seconds'] / 60:.1f} minutes" if found["wall_seconds"] >= 60 else "under a minute"
    details = [
        ("all figures", bold(result([found]))),
        ("claims", bold("; ".join(claims)) or "none"),
        ("command", f"<code>{html.escape(found['command'])}</code>" if found["command"] else ""),
        ("data", html.escape(str(found["data"]["data"]))),
        ("weights", f"{found['parameters']:,}"),
        ("training", f"{minutes} on {html.escape(machine(found['hardware']))}"),
        ("seed", seeds_of([found])),
        ("commit", f"<code>{(found['commit'] or '')[:8]}</code>" if found["commit"] else ""),
        ("versions", html.escape(", ".join(f"{name} {version}" for name, version in versions.items()))),
    ]
    line = [html.escape(described(found)), f'<span class="decisive">{headline([found])}</span>', judged]
    return [*line, found["date"][:10]], details


def overview() -> str:
    """A line for each system and variant of the overview: ours, and the paper's number."""
    rows = []
    for system in catalogue.names():
        for group in headlines(catalogue.evidence(system)):
            found, paper = group[-1], group[-1]["paper"]
            cited = f'<a href="{Paper(**paper).link}">{html.escape(paper["authors"])} {paper["year"]}</a>'
            line = [
                f'<a href="{system}/">{system}</a>', f'<span class="decisive">{headline(group)}</span>',
                html.escape(described(found)), found["date"][:10],
            ]  # fmt: skip
            details = [
                ("paper", f"{cited}: <em>{html.escape(paper['title'])}</em>"),
                ("its number", html.escape(paper["number"])), ("ours", bold(result(group))),
                ("data", html.escape(found["data"]["data"])), ("weights", f"{found['parameters']:,}"),
                ("seeds", seeds_of(group)),
            ]  # fmt: skip
            rows.append((line, details))
    return folded(["system", "ours", "variant", "date"], rows) if rows else "No evidence has been kept yet.\n"


def folded(head: Sequence[str], rows: Iterable[tuple[Sequence[str], Details]]) -> str:
    """A line for each row, with its details folded below it; without a blank line, as Markdown needs it."""
    names = "".join(f"<span>{name}</span>" for name in head)
    lines = [f'<div class="runs">\n<div class="head">{names}</div>']
    for cells, details in rows:
        line = "".join(f"<span>{cell}</span>" for cell in cells)
        said = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in details if value)
        lines.append(f"<details><summary>{line}</summary><dl>{said}</dl></details>")
    return "\n".join([*lines, "</div>\n"])


def bold(text: str) -> str:
    """Escaped, with the stars of Markdown as HTML."""
    parts = html.escape(text).split("**")
    return "".join(f"<strong>{part}</strong>" if place % 2 else part for place, part in enumerate(parts))
