"""One HTML file with pictures, which works offline and from disk, without a build step."""

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple

from saccade.core.errors import InvalidInput, SaccadeError
from saccade.core.picture import Picture, kind_of
from saccade.core.printable import printable
from saccade.explain.pictures.heads import Heads, Layers

Reads = Literal["", "text", "recording", "image", "MIDI file"]

NOTEBOOK = 3_000_000  # the most weights shown in a notebook: 8 MB of text

TOO_MANY = (
    f"<p>More than {NOTEBOOK:,} weights are too many for a notebook. "
    "<code>select(only, heads=...)</code> takes a part, <code>to_html(path)</code> writes all into a file.</p>"
)

EXAMPLES = 400_000  # the most bytes of the files that a page offers as examples

# each needs the previous ones
VENDORED = ("path", "shape", "array", "color", "interpolate", "format", "scale", "selection", "axis")
# the page's scripts before and after those of the kinds
FIRST, LAST = ("draw", "heat"), ("save", "offer", "pad", "page")
START = "start();"


class Offer(NamedTuple):
    """What a live page says of the model behind it, and offers to click."""

    about: str = ""
    """A line on the model: its data and its score."""
    examples: Sequence[str | bytes] = ()
    """Inputs: texts, or the bytes of recordings or images."""
    again: bool = False
    """Whether the model answers without an input, and may do so again."""
    choices: Mapping[str, Sequence[str]] = {}
    """What is chosen beside a file: the name of each choice -> its values, the default first."""
    pad: bool = True
    """Whether a page that reads images has a pad to draw on."""

    @property
    def lines(self) -> bool:
        """Whether a text may have several lines, as an example has."""
        return any(isinstance(one, str) and "\n" in one.strip() for one in self.examples)


class View(NamedTuple):
    """One view of a page, shown alone or beside another."""

    name: str = ""
    """The run or the file it shows."""
    answer: str = ""
    """The model's answer."""
    note: str = ""
    """A note for the reader."""
    pictures: Sequence[Picture] = ()
    """Shown one below another."""


def page(layers: Layers, title: str = "attention") -> str:
    """The text of a page for exploring every head.

    Args:
        layers: name -> weights (h, q, k) or (q, k), tokens of the queries, tokens of the keys.
        title: title of the page.

    Raises:
        InvalidInput: no layers; weights that do not match the tokens, are below 0 or not finite.
    """
    return page_of([View(pictures=[Heads("heads", layers)])], title)


def page_of(
    views: Sequence[View],
    title: str,
    live: Reads = "",
    largest: int = 0,
    longest: int = 2000,
    systems: Sequence[str] = (),
    offer: Offer | None = None,
) -> str:
    """The text of a page with one view, or with two side by side.

    Args:
        views: the views at first; a live page may have none.
        title: title of the page.
        live: the kind of input that it sends to its server, which answers with new views.
        largest: the most bytes of a file that its server accepts.
        longest: the most characters of a text that it accepts.
        systems: systems whose own kinds of pictures may be shown later; those of the views are included anyway.
        offer: what it says of the model, and examples to click.

    Raises:
        InvalidInput: a system that does not exist; a picture whose values are not JSON.
    """
    offer = offer or Offer()
    examples = offered(offer.examples)
    asked = examples[0] if views and examples and not offer.again else {}  # the first example is shown already
    text, sound = asked.get("text", ""), asked.get("file", "") if live == "recording" else ""
    shown = {
        "views": [packed(view) for view in views], "live": live, "largest": largest, "longest": longest,
        "about": printable(offer.about, "\n"),
        "examples": examples, "lines": offer.lines,
        "pad": offer.pad,
        "choices": [{"name": name, "values": list(values)} for name, values in offer.choices.items()],
        "text": text, "again": offer.again, "sound": sound, "rate": rate_of(offer.examples),
    }  # fmt: skip
    systems = sorted({*systems, *(kind.partition(".")[0] for kind in _kinds(views) if "." in kind)})
    # "<" is escaped, or a token could end the script
    data = json.dumps(shown, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    before, _, after = text_of("page.html").partition("{{data}}")
    before = before.replace("{{policy}}", policy(bool(live) or offer.again, systems)).replace(
        "{{style}}", text_of("style.css")
    )
    after = after.replace("{{scripts}}", "\n".join(f"<script>{script}</script>" for script in scripts(systems)))
    return before.replace("{{title}}", html.escape(printable(title))) + data + after


def offered(examples: Sequence[str | bytes]) -> list[dict[str, str]]:
    """Examples as JSON for the page; files beyond `EXAMPLES` bytes in all are left out."""
    found, size = [], 0
    for one in examples:
        if isinstance(one, str):
            found += [{"text": one}] if one.strip() else []
        elif (size := size + len(one)) <= EXAMPLES:
            found.append({"file": f"data:{kind_of_file(one)};base64,{base64.b64encode(one).decode('ascii')}"})
    return found


def kind_of_file(data: bytes) -> str:
    for begin, kind in ((b"RIFF", "audio/wav"), (b"MThd", "audio/midi")):
        if data.startswith(begin):
            return kind
    return "image/jpeg" if data[:2] == b"\xff\xd8" else "image/png"


def rate_of(examples: Sequence[str | bytes]) -> int:
    """The samples per second of the first wav file, in which the page records a voice; 0 if there is none."""
    waves = (one for one in examples if isinstance(one, bytes) and one[:4] == b"RIFF" and one[12:16] == b"fmt ")
    return next((int.from_bytes(one[24:28], "little") for one in waves), 0)


def packed(view: View) -> dict[str, Any]:
    """A view as JSON for the page.

    Raises:
        InvalidInput: a picture whose values are not JSON.
    """
    shown = []
    for picture in view.pictures:
        values = {
            "kind": kind_of(picture), "name": picture.name, "title": printable(str(getattr(picture, "title", ""))),
            "description": printable(picture.description()), "data": dict(picture.page()),
        }  # fmt: skip
        try:
            json.dumps(values, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"{picture.name}: the page form of a picture must be JSON: {error}") from error
        shown.append(values)
    return {
        "name": view.name, "answer": printable(view.answer), "note": printable(view.note), "pictures": shown,
    }  # fmt: skip


def _kinds(views: Sequence[View]) -> set[str]:
    return {kind_of(picture) for view in views for picture in view.pictures}


def framed(parts: Iterable[Layers], title: str = "attention") -> str:
    """A page in a sandboxed frame for a notebook, or a sentence that explains why there is none.

    Args:
        parts: layers, read one by one until there are too many weights.
        title: title of the page.
    """
    layers: dict[str, tuple[Any, Sequence[str], Sequence[str]]] = {}
    try:
        for part in parts:
            layers |= part
            if sum(weights.numel() for weights, *_ in layers.values()) > NOTEBOOK:
                return TOO_MANY
        text = html.escape(page(layers, title))
    except SaccadeError as error:
        return f"<p>There is no page of this capture: {html.escape(str(error))}</p>"
    return (
        f'<iframe srcdoc="{text}" sandbox="allow-scripts allow-downloads" title="{html.escape(title)}" '
        'style="width: 100%; height: 46rem; border: 0"></iframe>'
    )


@cache
def text_of(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


@cache
def vendored() -> str:
    """The parts of d3 that the page uses, with the licence."""
    parts = (text_of(f"vendor/d3-{part}.min.js") for part in VENDORED)
    return f"\n/*\n{text_of('vendor/LICENSE')}*/\n{''.join(parts)}"


@cache
def script() -> str:
    """The scripts of the page and of the kinds of pictures."""
    there = files("saccade.explain.pictures")
    kinds = sorted((path for path in there.iterdir() if path.name.endswith(".js")), key=lambda path: path.name)
    parts = [text_of(f"{part}.js") for part in FIRST] + [path.read_text(encoding="utf-8") for path in kinds]
    return "".join([*parts, *(text_of(f"{part}.js") for part in LAST)])


def scripts(systems: Sequence[str] = ()) -> list[str]:
    """All scripts of a page, in order; each system's script has its own scope.

    Raises:
        InvalidInput: a system that does not exist.
    """
    own = [f"(() => {{\n{text}\n}})();" for name in systems for text in scripts_of(name)]
    return [vendored(), script(), *own, START]


@cache
def scripts_of(system: str) -> list[str]:
    """The scripts in the folder of a system.

    Raises:
        InvalidInput: no such system.
    """
    try:
        there = files(f"saccade.systems.{system}" if system.isidentifier() else "")
    except (ModuleNotFoundError, ValueError) as error:
        raise InvalidInput(f"there is no system {system!r}, whose pictures a page could draw") from error
    paths = sorted((path for path in there.iterdir() if path.name.endswith(".js")), key=lambda path: path.name)
    return [path.read_text(encoding="utf-8") for path in paths]


@cache
def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"


def policy(live: bool = False, systems: Sequence[str] = ()) -> str:
    """The content security policy of a page with the pictures of these systems: only its own scripts and style, by
    digest."""
    sources = {
        "default-src": "'none'", "style-src": digest(text_of("style.css")),
        "script-src": " ".join(map(digest, scripts(sorted(set(systems))))), "img-src": "data:", "base-uri": "'none'",
        "form-action": "'none'", "media-src": "blob:", "connect-src": "'self'" if live else "'none'",
    }  # fmt: skip
    return "; ".join(f"{kind} {allowed}" for kind, allowed in sources.items())
