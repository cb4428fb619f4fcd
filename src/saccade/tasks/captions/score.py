"""The figures of captions."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from saccade.core.task import Figure, Score
from saccade.tasks.captions.batch import Example, Said
from saccade.tasks.captions.fixed_points import nearest, thumbnails
from saccade.tasks.captions.grammar import judged
from saccade.tasks.meteor import FUNCTION_WORDS, meteor
from saccade.tasks.metrics import References, bleu_orders, cider_d, distinct, rouge_l

if TYPE_CHECKING:
    from saccade.tasks.captions.task import CaptionsTask

WHO = {"greedy": "greedy search", "constant": "the constant caption", "nearest": "the nearest image's caption",
       "person": "a person"}  # fmt: skip


def score(task: "CaptionsTask", predictions: Sequence[Said], examples: Sequence[Example]) -> Score:
    """Of scenes what is true; of all captions the likeness to those of people, and the perplexity a word; beside them
    the same of greedy search, and of what needs no model."""
    texts = [task.decode(prediction) for prediction in predictions]
    references = [example.references for example in examples]
    figures = {**truth(task, texts, examples), **likeness(texts, references, task.config.language)}
    nats = [one.reference_nats for one in predictions]
    if None not in nats and (words := sum(one.reference_words for one in predictions)):
        figures["perplexity"] = Figure(math.exp(sum(one for one in nats if one) / words), "", "perplexity a word")
    figures["distinct"] = Figure(distinct(texts), "%", "distinct captions")
    others: dict[str, Sequence[str]] = {}
    if all(one.greedy is not None for one in predictions):
        others["greedy"] = [" ".join(task.vocabulary.decode(one.greedy or ())) for one in predictions]
    others["constant"] = [task.constant] * len(examples)
    others["nearest"] = nearest_captions(task, predictions, examples)
    for who, said in others.items():
        figures |= brief(who, task, said, references, examples)
    if all(len(own) > 1 for own in references):
        person = [own[0] for own in references], [own[1:] for own in references]
        figures |= brief("person", task, *person, examples)
    figures["constant_caption"] = Figure(task.constant, "", "constant caption")
    figures["images"] = Figure(len(examples))
    return Score(figures)


def truth(task: "CaptionsTask", texts: Sequence[str], examples: Sequence[Example]) -> dict[str, Figure]:
    """Of scenes, the share of captions of which all holds, and of those whose objects are in the scene."""
    if not task.drawn:
        return {}
    found = [judged(text, task.things(example)) for text, example in zip(texts, examples, strict=True)]
    return {
        "true": Figure(100 * sum(one.true for one in found) / len(found), "%", "captions true"),
        "objects_right": Figure(100 * sum(one.objects for one in found) / len(found), "%", "objects right"),
    }


def likeness(texts: Sequence[str], references: References, language: str) -> dict[str, Figure]:
    """The likeness to people's captions."""
    orders = bleu_orders(texts, references)
    return {
        **{f"bleu_{order}": Figure(value, "", f"BLEU-{order}") for order, value in enumerate(orders, start=1)},
        "rouge_l": Figure(rouge_l(texts, references), "", "ROUGE-L"),
        "cider": Figure(cider_d(texts, references)[0], "", "CIDEr-D"),
        "meteor": Figure(meteor_of(texts, references, language), "", "METEOR"),
    }


def meteor_of(texts: Sequence[str], references: References, language: str) -> float:
    return meteor(texts, references, FUNCTION_WORDS if language == "english" else (), language)[0]


def brief(
    who: str, task: "CaptionsTask", texts: Sequence[str], references: References, examples: Sequence[Example]
) -> Mapping[str, Figure]:
    """The figures that tell most, of captions that are not the model's."""
    found = truth(task, texts, examples)
    found.pop("objects_right", None)
    found["cider"] = Figure(cider_d(texts, references)[0], "", "CIDEr-D")
    if not task.drawn:
        found["bleu_4"] = Figure(bleu_orders(texts, references)[3], "", "BLEU-4")
        found["meteor"] = Figure(meteor_of(texts, references, task.config.language), "", "METEOR")
    return {f"{who}_{key}": figure._replace(name=f"{figure.name} of {WHO[who]}") for key, figure in found.items()}


def nearest_captions(task: "CaptionsTask", predictions: Sequence[Said], examples: Sequence[Example]) -> Sequence[str]:
    """The caption of the training image that is nearest by the system's features, or by small copies of the images."""
    own = [one.nearest for one in predictions]
    if all(symbols is not None for symbols in own):
        return [" ".join(task.vocabulary.decode(symbols or ())) for symbols in own]
    ours = thumbnails(lambda rows: task.pixels([examples[row] for row in rows]), range(len(examples)))
    return [task.source.captions["train"][row][0] for row in nearest(ours, task.thumbnails)]
