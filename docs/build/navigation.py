"""The menu of the site: the pages of mechanisms, systems and decks, listed in zensical.toml."""

import json
from collections.abc import Mapping, Sequence

Entries = Sequence[tuple[str, "str | Entries"]]
START, END = "  # <!-- listed -->", "  # <!-- /listed -->"


def menu(sections: Mapping[str, Entries]) -> str:
    """The lines of zensical.toml for these sections; a page without a title is the index of its section."""
    return "".join(
        f"  {{ {quoted(title)} = [\n{lines(entries, 2)}  ] }},\n" for title, entries in sections.items() if entries
    )


def lines(entries: Entries, depth: int) -> str:
    """A line for each page, and the lines of each section."""
    indent, found = "  " * depth, ""
    for title, page in entries:
        if isinstance(page, str):
            found += f"{indent}{{ {quoted(title)} = {quoted(page)} }},\n" if title else f"{indent}{quoted(page)},\n"
        else:
            found += f"{indent}{{ {quoted(title)} = [\n{lines(page, depth + 1)}{indent}] }},\n"
    return found


def listed(configuration: str, sections: Mapping[str, Entries]) -> str:
    """The text of zensical.toml with these sections in its menu."""
    before, start, rest = configuration.partition(START)
    first, _, rest = rest.partition("\n")
    return f"{before}{start}{first}\n{menu(sections)}{END}{rest.partition(END)[2]}"


def quoted(text: str) -> str:
    """A string of TOML."""
    return json.dumps(text, ensure_ascii=False)
