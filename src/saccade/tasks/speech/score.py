"""Errors of transcripts, and the delay of labels."""

import math
from collections.abc import Sequence
from typing import Any

from saccade.core.errors import require
from saccade.core.task import Figure, Series


def label_errors(said: Sequence[str], wanted: Sequence[str], words: bool) -> dict[str, Figure]:
    """Label error rate (substitutions, deletions and insertions per label), and the share of answers without errors.

    Args:
        said: answers.
        wanted: transcripts.
        words: whether labels are words; otherwise they are characters.
    """
    jiwer: Any = require("jiwer", "speech")
    found = (jiwer.process_words if words else jiwer.process_characters)(list(wanted), list(said))
    labels = found.hits + found.substitutions + found.deletions
    right = sum(ours == theirs for ours, theirs in zip(said, wanted, strict=True))
    errors = {name: getattr(found, name) for name in ("substitutions", "deletions", "insertions")}
    return {
        "label_error_rate": Figure(100 * (found.wer if words else found.cer), "%"),
        "right": Figure(100 * right / len(wanted), "%", "answers right"),
        **{name: Figure(100 * count / labels, "%") for name, count in errors.items()},
        "recordings": Figure(len(wanted)),
        "labels": Figure(labels),
    }


def latencies(delays: Sequence[float]) -> Series:
    """The number of labels emitted in each tenth of a second after the end of their word."""
    places = [math.floor(delay * 10) for delay in delays]
    bins = range(min(places), max(places) + 1)
    return Series(
        [place / 10 for place in bins], [places.count(place) for place in bins], "delay of a label (seconds)", "labels",
        kind="histogram",
    )  # fmt: skip
