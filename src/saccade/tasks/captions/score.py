"""The figures of captions."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from saccade.core.task import Figure, Score
from saccade.tasks.captions.batch import Example, Said
from saccade.tasks.captions.grammar import judged

if TYPE_CHECKING:
    from saccade.tasks.captions.task import CaptionsTask


def score(task: "CaptionsTask", predictions: Sequence[Said], examples: Sequence[Example]) -> Score:
    """Of scenes what is true; of all captions the likeness to those of people, and the perplexity a word."""
    texts = [task.decode(prediction) for prediction in predictions]
    figures = {}
    if task.drawn:
        found = [judged(text, task.things(example)) for text, example in zip(texts, examples, strict=True)]
        figures["true"] = Figure(100 * sum(one.true for one in found) / len(found), "%", "captions true")
        figures["objects_right"] = Figure(100 * sum(one.objects for one in found) / len(found), "%", "objects right")
    nats = [one.reference_nats for one in predictions]
    if None not in nats:
        words = sum(one.reference_words for one in predictions)
        figures["perplexity"] = Figure(math.exp(sum(filter(None, nats)) / words), "", "perplexity a word")
    figures["images"] = Figure(len(examples))
    return Score(figures)
