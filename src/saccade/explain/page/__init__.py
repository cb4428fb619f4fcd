"""One HTML file that shows every head of a capture: nothing from a network, no build step; it works from disk."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.explain.plots.tokens import labels

Layers = Mapping[str, tuple[Tensor, Sequence[str], Sequence[str]]]


def page(layers: Layers, title: str = "attention", live: bool = False) -> str:
    """The file's text.

    Args:
        layers: name -> weights (h, q, k) or (q, k), tokens that look, tokens that are looked at.
        title: what the page is of.
        live: whether it asks its server for the looks at a text that is typed; then there may be no layers yet.

    Raises:
        InvalidInput: no layers; weights of another shape than the tokens', below 0 or not finite.
    """
    if not layers and not live:
        raise InvalidInput("expected at least one layer to show")
    # in a script no "<" may stand, or a token could end it
    data = json.dumps({"layers": packed(layers), "live": live}, ensure_ascii=False).replace("<", "\\u003c")
    template = files(__name__).joinpath("head_view.html").read_text(encoding="utf-8")
    template = template.replace("{{policy}}", policy(live))
    before, _, after = template.partition("{{data}}")
    return before.replace("{{title}}", html.escape(title)) + data + after


def packed(layers: Layers) -> list[dict[str, Any]]:
    """What the page is given of each layer: weights in steps of 1/65535 of the largest.

    Raises:
        InvalidInput: as of `page`.
    """
    shown = []
    for name, (weights, queries, keys) in layers.items():
        heads = weights.detach().float().cpu().reshape(-1, *weights.shape[-2:])
        if weights.ndim not in (2, 3) or heads.shape[1:] != (len(queries), len(keys)):
            came = f"{tuple(weights.shape)} for {len(queries)} and {len(keys)} tokens"
            raise InvalidInput(f"{name}: expected weights (h, q, k) or (q, k) of these tokens, not {came}")
        if not bool((heads.isfinite() & (heads >= 0)).all()):
            raise InvalidInput(f"{name}: expected attention weights that are finite and not below 0")
        largest = max(1.0, float(heads.max())) if heads.numel() else 1.0
        steps = (heads / largest * 65535).round().to(torch.int32).numpy().astype(np.dtype("<u2"))
        shown.append({
            "name": name, "heads": len(heads), "queries": labels(queries), "keys": labels(keys), "largest": largest,
            "weights": base64.b64encode(steps.tobytes()).decode("ascii"),
        })  # fmt: skip
    return shown


def policy(live: bool = False) -> str:
    """The content policy of the page: its own script and style, told by their digests, and nothing else."""
    template = files(__name__).joinpath("head_view.html").read_text(encoding="utf-8")

    def digests(tag: str) -> str:
        parts = re.findall(rf"<{tag}>(.*?)</{tag}>", template, flags=re.DOTALL)
        made = (base64.b64encode(hashlib.sha256(part.encode("utf-8")).digest()).decode("ascii") for part in parts)
        return " ".join(f"'sha256-{digest}'" for digest in made)

    sources = {
        "default-src": "'none'", "style-src": digests("style"), "script-src": digests("script"), "img-src": "data:",
        "base-uri": "'none'", "form-action": "'none'", "connect-src": "'self'" if live else "'none'",
    }  # fmt: skip
    return "; ".join(f"{kind} {allowed}" for kind, allowed in sources.items())
