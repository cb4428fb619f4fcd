"""One HTML file that shows every head of a capture: nothing from a network, no build step; it works from disk."""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files

import numpy as np
import torch
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.explain.plots.tokens import labels


def page(layers: Mapping[str, tuple[Tensor, Sequence[str], Sequence[str]]], title: str = "attention") -> str:
    """The file's text.

    Args:
        layers: name -> weights (h, q, k) or (q, k), tokens that look, tokens that are looked at.
        title: what the page is of.

    Raises:
        InvalidInput: no layers; weights of another shape than the tokens', below 0 or not finite.
    """
    if not layers:
        raise InvalidInput("expected at least one layer to show")
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
    # in a script no "<" may stand, or a token could end it
    data = json.dumps({"layers": shown}, ensure_ascii=False).replace("<", "\\u003c")
    template = files(__name__).joinpath("head_view.html").read_text(encoding="utf-8")
    before, _, after = template.partition("{{data}}")
    return before.replace("{{title}}", html.escape(title)) + data + after
