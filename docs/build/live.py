"""Real pages of the viewer, embedded in the docs: what `to_html` and `export HTML` write, in a frame."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shown import DEMO

import saccade
from saccade.core.errors import InvalidInput
from saccade.core.picture import Picture
from saccade.explain.page import View, page_of
from saccade.explain.pictures import load
from saccade.explain.pictures.heads import Heads

KEPT = Path(__file__).parents[1] / "guide" / "one-sentence.json"
SENTENCE = "I think that he is right."
LARGEST = 500_000  # bytes of an embedded page
TITLES = {"front": "A translator and where it looks", "story": "Two translators and where they look"}
HEIGHTS = {"front": 33, "story": 56}  # rem


def sentence() -> Mapping[str, Any]:
    """The sentence of the guide, with the answer and the pictures of each run."""
    found: Mapping[str, Any] = json.loads(KEPT.read_text(encoding="utf-8"))
    return found


def framed(name: str, path: Path, pictures: Path) -> str:
    """The frame of a live page.

    Raises:
        InvalidInput: no such page.
    """
    if name not in TITLES:
        raise InvalidInput(f"expected a live page, {' or '.join(TITLES)}; got {name!r}")
    # the page of a file is a folder of the site, unless it is an index
    start = path.parent if path.stem == "index" else path.with_suffix("")
    source = Path(os.path.relpath(pictures / f"live-{name}.html", start)).as_posix()
    return (
        f'<iframe class="live" src="{source}" title="{TITLES[name]}" loading="lazy" '
        f'style="height: {HEIGHTS[name]}rem" '
        'sandbox="allow-scripts allow-downloads"></iframe>\n'
    )


def draw(names: set[str], folder: Path) -> list[Path]:
    """Write the live pages; returns those that changed.

    Raises:
        InvalidInput: a page that is too large to embed.
    """
    changed = []
    for name in sorted(names):
        text = page_of(views(name), TITLES[name])
        if len(text.encode()) > LARGEST:
            raise InvalidInput(f"live page {name}: expected at most {LARGEST:,} bytes, got {len(text.encode()):,}")
        target = folder / f"live-{name}.html"
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            changed.append(target)
    return changed


def views(name: str) -> list[View]:
    if name == "front":
        answer = saccade.load(DEMO).predict(SENTENCE)
        said = f"“{SENTENCE}” in French, by the translator that comes with the package. Point at a word."
        return [View("", str(answer.text), said, [as_heads(picture) for picture in answer.pictures[:1]])]
    runs = sentence()["runs"]
    return [
        View(system, runs[system]["answer"], "", explored([load(picture) for picture in runs[system]["pictures"]]))
        for system in ("rnnsearch", "transformer")
    ]


def as_heads(picture: Any) -> Picture:
    """An alignment as the head that it is, so that the page draws its links."""
    return Heads("heads", {"decoder, attention to the source": (picture.weights, picture.rows, picture.columns)})


def explored(pictures: Sequence[Picture]) -> list[Picture]:
    """The picture to explore, if there is one: every head; else all."""
    return [picture for picture in pictures if isinstance(picture, Heads)] or list(pictures)
