"""The systems as cards: a picture, the paper, its number and ours."""

import html
from collections.abc import Iterator
from textwrap import shorten
from typing import Any

import diagrams
import drawings

from saccade.core.recipe import Paper
from saccade.explain.pictures import kinds, load
from saccade.runs import catalogue, results

LONGEST = 240  # characters of a picture's description, which is read as a part of the card's link


def cards() -> str:
    """A card for each system, with a link to its page."""
    return f'<div class="cards">\n{"".join(map(card, catalogue.names()))}</div>\n'


def card(system: str) -> str:
    paper, evidence = catalogue.recipe(system).paper, catalogue.evidence(system)
    source, said = f"diagram-{system}", diagrams.described(system)
    if picture := picture_of(system):
        source, said = drawings.file_name("pictures", [picture]), load(kept_of(system, picture)).description()
    alternative = html.escape(shorten(said, LONGEST, placeholder=" …"), quote=True)
    figures = f"<span>paper</span><b>{html.escape(number(paper))}</b>"
    if groups := results.headlines(evidence):
        figures += f"<span>ours</span><b>{html.escape(results.headline(groups[0]))}</b>"
    title = catalogue.title(system).partition(":")[2].strip() or catalogue.title(system)
    return (
        f'<a class="card" href="systems/{system}/"><img src="pictures/{source}.svg" alt="{alternative}" width="240">'
        f'<span class="body"><span class="name">{system}</span>{html.escape(title)}'
        f'<span class="paper">{html.escape(paper.authors)} {paper.year}</span>'
        f'<span class="figures">{figures}</span></span></a>\n'
    )


def number(paper: Paper) -> str:
    """The paper's number without its remarks."""
    return paper.number.partition(" (")[0].partition(";")[0]


def picture_of(system: str) -> str:
    """The `system:variant` whose kept picture stands on the card: the first of the overview that kept one, whose figure
    the card shows, or else the newest run; "" if no run kept one."""
    evidence = catalogue.evidence(system)
    for group in [*results.headlines(evidence), *reversed(results.groups(evidence))]:
        found, variant = group[-1], f"{system}:{group[-1]['variant']}"
        kept = found["pictures"][:1]
        if kept and not found["changed"] and kept[0]["kind"] in kinds():
            return variant
    return ""


def kept_of(system: str, picture: str) -> Any:
    """The kept picture of a `system:variant`."""
    groups = results.groups(catalogue.evidence(system))
    return next(group[-1] for group in reversed(groups) if f"{system}:{group[-1]['variant']}" == picture)["pictures"][0]


def marks() -> Iterator[tuple[str, list[str]]]:
    """The marks of the pictures on the cards."""
    for system in catalogue.names():
        if picture := picture_of(system):
            yield "pictures", [picture]
