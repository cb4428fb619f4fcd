"""How far answers are from transcripts, and how late labels are said."""

import math
from collections.abc import Sequence
from typing import Any

from saccade.core.errors import require


def label_errors(said: Sequence[str], wanted: Sequence[str], words: bool) -> dict[str, Any]:
    """Label error rate in per cent (substitutions, deletions and insertions a label), and whole answers right.

    Args:
        said, wanted: answers and transcripts.
        words: whether a label is a word; else it is a character.
    """
    jiwer: Any = require("jiwer", "speech")
    found = (jiwer.process_words if words else jiwer.process_characters)(list(wanted), list(said))
    labels = found.hits + found.substitutions + found.deletions
    right = sum(ours == theirs for ours, theirs in zip(said, wanted, strict=True))
    return {
        "label_error_rate": 100 * (found.wer if words else found.cer),
        "right": 100 * right / len(wanted),
        **{name: 100 * getattr(found, name) / labels for name in ("substitutions", "deletions", "insertions")},
        "recordings": len(wanted),
        "labels": labels,
    }


def latencies(delays: Sequence[float]) -> dict[str, Any]:
    """Their mean, and how many labels there are in each tenth of a second."""
    places = [math.floor(delay * 10) for delay in delays]
    counted = [{"seconds": place / 10, "labels": places.count(place)} for place in range(min(places), max(places) + 1)]
    return {"latency": sum(delays) / len(delays), "latencies": counted}
