"""One HTML file that shows every head of a capture: nothing from a network, no build step; it works from disk."""

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from saccade.core.errors import InvalidInput, SaccadeError
from saccade.core.printable import printable
from saccade.explain.plots.tokens import labels

Layers = Mapping[str, tuple[Tensor, Sequence[str], Sequence[str]]]
Reads = Literal["", "text", "recording"]

NOTEBOOK = 3_000_000  # weights that a notebook is given at most: 8 MB of text

TOO_MANY = (
    f"<p>More than {NOTEBOOK:,} weights are too many for a notebook. "
    "<code>select(only, heads=...)</code> takes a part, <code>to_html(path)</code> writes all into a file.</p>"
)

# each needs those before it
VENDORED = ("path", "shape", "array", "color", "interpolate", "format", "scale", "selection", "axis")
SCRIPTS = ("layers", "draw", "matrix", "overview", "pen", "view", "save", "page")


class Axes(NamedTuple):
    """What rows and columns of a layer are, and its numbers, where they are not those of attention."""

    rows: str
    columns: str
    values: str


class View(NamedTuple):
    """What stands beside another view, or alone."""

    layers: Layers
    name: str = ""
    """Of which run or file it is."""
    answer: str = ""
    """What the model says."""
    note: str = ""
    """What to know of it."""
    axes: Mapping[str, Axes] = {}
    """Of the layers that are no attention."""
    drawn: Tensor | None = None
    """(points, 3): what a pen wrote: x, y, which goes up, and whether a stroke ends there."""


def page(layers: Layers, title: str = "attention") -> str:
    """The file's text.

    Args:
        layers: name -> weights (h, q, k) or (q, k), tokens that look, tokens that are looked at.
        title: what the page is of.

    Raises:
        InvalidInput: no layers; weights of another shape than the tokens', below 0 or not finite.
    """
    if not layers:
        raise InvalidInput("expected at least one layer to show")
    return page_of([View(layers)], title)


def page_of(views: Sequence[View], title: str, live: Reads = "", largest: int = 0) -> str:
    """The text of a page of two views side by side, or of one.

    Args:
        views: what is seen at first; of a page that asks its server there may be none.
        title: what the page is of.
        live: what it sends to its server, to be shown the looks at it.
        largest: bytes of a recording that its server takes.

    Raises:
        InvalidInput: as of `page`.
    """
    shown = {"views": [packed(view) for view in views], "live": live, "largest": largest}
    # in a script no "<" may stand, or a token could end it
    data = json.dumps(shown, ensure_ascii=False).replace("<", "\\u003c")
    before, _, after = text_of("head_view.html").partition("{{data}}")
    before = before.replace("{{policy}}", policy(bool(live))).replace("{{style}}", text_of("style.css"))
    after = after.replace("{{vendor}}", vendored()).replace("{{view}}", script())
    return before.replace("{{title}}", html.escape(printable(title))) + data + after


def packed(view: View) -> dict[str, Any]:
    """What the page is given of a view.

    Raises:
        InvalidInput: as of `page`.
    """
    layers = [
        {"name": name, **packed_layer(name, *layer), **(view.axes[name]._asdict() if name in view.axes else {})}
        for name, layer in view.layers.items()
    ]
    drawn = None if view.drawn is None else (view.drawn * torch.tensor([1.0, -1.0, 1.0])).double().tolist()
    return {
        "name": view.name, "answer": printable(view.answer), "note": printable(view.note), "layers": layers,
        "drawn": drawn and [[round(number, 4) for number in point] for point in drawn],
    }  # fmt: skip


def packed_layer(name: str, weights: Tensor, queries: Sequence[str], keys: Sequence[str]) -> dict[str, Any]:
    """Weights in steps of 1/65535 of the largest, and what looks and is looked at."""
    heads = weights.detach().float().cpu().reshape(-1, *weights.shape[-2:])
    if weights.ndim not in (2, 3) or heads.shape[1:] != (len(queries), len(keys)):
        came = f"{tuple(weights.shape)} for {len(queries)} and {len(keys)} tokens"
        raise InvalidInput(f"{name}: expected weights (h, q, k) or (q, k) of these tokens, not {came}")
    if not bool((heads.isfinite() & (heads >= 0)).all()):
        raise InvalidInput(f"{name}: expected attention weights that are finite and not below 0")
    largest = max(1.0, float(heads.max())) if heads.numel() else 1.0
    steps = (heads / largest * 65535).round().to(torch.int32).numpy().astype(np.dtype("<u2"))
    return {
        "heads": len(heads), "queries": labels(queries), "keys": labels(keys), "largest": largest,
        "weights": base64.b64encode(steps.tobytes()).decode("ascii"),
    }  # fmt: skip


def framed(parts: Iterable[Layers], title: str = "attention") -> str:
    """A page in a frame for a notebook, which it can reach nothing of; or a sentence that says why there is none.

    Args:
        parts: layers, which are asked for one after the other while there is room.
        title: what the page is of.
    """
    layers: dict[str, tuple[Tensor, Sequence[str], Sequence[str]]] = {}
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
    """The parts of d3 that the page uses, with their licence."""
    parts = (text_of(f"vendor/d3-{part}.min.js") for part in VENDORED)
    return f"\n/*\n{text_of('vendor/LICENSE')}*/\n{''.join(parts)}"


@cache
def script() -> str:
    return "".join(text_of(f"{part}.js") for part in SCRIPTS)


@cache
def policy(live: bool = False) -> str:
    """The content policy of the page: its own scripts and style, told by their digests, and nothing else."""

    def digest(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"

    sources = {
        "default-src": "'none'", "style-src": digest(text_of("style.css")),
        "script-src": f"{digest(vendored())} {digest(script())}", "img-src": "data:", "base-uri": "'none'",
        "form-action": "'none'", "connect-src": "'self'" if live else "'none'",
    }  # fmt: skip
    return "; ".join(f"{kind} {allowed}" for kind, allowed in sources.items())
