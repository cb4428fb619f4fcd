"""What a page shows in place of code: names of layers for the paths of modules, words for the pieces of a tokenizer."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from saccade.explain import plots

ACROSS = "attention to the source"
CROSS = re.compile(r"cross|enc_?dec|encoder_attn|source")
WITHIN = re.compile(r"self|(^|\.)attn?(\.|$)")
QUIET = {"weights", "attention", "attn", "blocks", "block", "layer", "layers", "h", "model", "module"}


def readable(paths: Sequence[str]) -> list[str]:
    """A name for each layer, such as "decoder 1, attention to the source" for
    "decoder.blocks.1.cross_attention.weights".

    The number is the module's, so it counts from 0. Where two layers would have one name, and where a path has no
    number and no known part, the name is the path's own words.
    """
    coders = {part for path in paths for part in ("encoder", "decoder") if part in path.lower().split(".")}
    found = [_readable(path, len(coders) > 1 or "decoder" in coders) for path in paths]
    twice = Counter(found)
    return [name if twice[name] == 1 else path for name, path in zip(found, paths, strict=True)]


def _readable(path: str, both: bool) -> str:
    parts = path.lower().split(".")
    number = next((part for part in parts if part.isdigit()), "")
    if not number:
        across = "decoder" in parts and "attention" in path.lower() and not WITHIN.search(path.lower())
        return f"decoder, {ACROSS}" if across else _spoken(path)
    coder = next((part for part in parts if part in ("encoder", "decoder")), "")
    place = f"{coder if both and coder else 'layer'} {number}"
    rest = parts[parts.index(number) + 1 :]
    text = ".".join(rest)
    if CROSS.search(text):
        return f"{place}, {ACROSS}"
    if WITHIN.search(text):
        return f"{place}, self-attention"
    further = " ".join(_spoken(part) for part in rest if part not in QUIET)
    return f"{place}, {further}" if further else place


def _spoken(path: str) -> str:
    parts = path.split(".")
    kept = parts[:-1] if len(parts) > 1 and parts[-1] == "weights" else parts
    return " ".join(kept).replace("_", " ")


def grouped(tokens: Sequence[str]) -> list[list[Any]] | None:
    """The words of a sentence, each with the number of its tokens; None if every token is a word."""
    words, groups = plots.words(tokens)
    if len(groups) == len(tokens):
        return None
    labels = [label.removeprefix("·") for label in plots.labels(tokens)]
    return [
        [word if len(group) > 1 else labels[group.start], len(group)] for word, group in zip(words, groups, strict=True)
    ]
