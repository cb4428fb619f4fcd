"""The figures of captions."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from saccade.core.task import Figure, Score
from saccade.tasks.bootstrap import interval
from saccade.tasks.captions.batch import Said
from saccade.tasks.captions.words import Words
from saccade.tasks.meteor import FUNCTION_WORDS, meteor
from saccade.tasks.metrics import References, bleu_interval, bleu_orders, cider_d, distinct, rouge_l

WHO = {
    "greedy": "greedy search",
    "constant": "the constant caption",
    "nearest": "the nearest training example's caption",
    "person": "a person",
}
TRUE = {"true": "captions true", "objects_right": "objects right", "events_right": "events right"}
Judge = Callable[[Sequence[str]], Sequence[Mapping[str, float]]]
"""Captions, one for each example -> what of each is right without references, from 0 to 1."""


def score(
    predictions: Sequence[Said],
    references: References,
    texts: Sequence[str],
    vocabulary: Words,
    others: Mapping[str, Sequence[str]],
    judge: Judge | None,
    language: str,
) -> Score:
    """What is true, if it can be judged; the likeness to captions of people; the perplexity a word. Beside them the
    same of greedy search, and of what needs no model.

    Args:
        predictions: what the model said.
        references: the captions of people.
        texts: the captions that the model said, as words separated by spaces.
        vocabulary: the words.
        others: captions that are not the model's, by their key in `WHO`, "constant" among them.
        judge: judges without references; None if nothing can.
        language: that of METEOR's stems.
    """
    figures = {**truth(judge, texts), **likeness(texts, references, language, intervals=judge is None)}
    nats = [one.reference_nats for one in predictions]
    if None not in nats and (words := sum(one.reference_words for one in predictions)):
        figures["perplexity"] = Figure(math.exp(sum(one for one in nats if one) / words), "", "perplexity a word")
    figures["distinct"] = Figure(distinct(texts), "%", "distinct captions")
    if all(one.greedy is not None for one in predictions):
        others = {"greedy": [" ".join(vocabulary.decode(one.greedy or ())) for one in predictions], **others}
    for who, said in others.items():
        figures |= brief(who, said, references, judge, language)
    if all(len(own) > 1 for own in references):
        figures |= brief("person", [own[0] for own in references], [own[1:] for own in references], judge, language)
    figures["constant_caption"] = Figure(others["constant"][0], "", "constant caption")
    figures["images"] = Figure(len(texts))
    return Score(figures)


def truth(judge: Judge | None, texts: Sequence[str]) -> dict[str, Figure]:
    """What is right without references, in %."""
    found = judge(texts) if judge else []
    return {
        key: Figure(100 * sum(one[key] for one in found) / len(found), "%", TRUE[key]) for key in (found or [{}])[0]
    }


def likeness(texts: Sequence[str], references: References, language: str, *, intervals: bool) -> dict[str, Figure]:
    """The likeness to people's captions; of BLEU-4 and CIDEr-D also intervals by bootstrap of the images."""
    found = {
        f"bleu_{order}": Figure(value, "", f"BLEU-{order}")
        for order, value in enumerate(bleu_orders(texts, references), start=1)
    }
    if intervals:
        found |= between("bleu_4", "BLEU-4", bleu_interval(texts, references))
    found["rouge_l"] = Figure(rouge_l(texts, references), "", "ROUGE-L")
    mean, each = cider_d(texts, references)
    found["cider"] = Figure(mean, "", "CIDEr-D" if len(texts) > 1 else "CIDEr-D (0 by definition, of one image)")
    if intervals:
        found |= between(
            "cider", "CIDEr-D", interval(np.array(each)[:, None], lambda sums: float(sums[0]) / len(each), 1)
        )
    found["meteor"] = Figure(meteor_of(texts, references, language), "", "METEOR")
    return found


def between(key: str, name: str, ends: tuple[float, float]) -> dict[str, Figure]:
    low, high = ends
    return {
        f"{key}_low": Figure(low, "", f"95 % interval of {name} from"),
        f"{key}_high": Figure(high, "", f"95 % interval of {name} to"),
    }


def meteor_of(texts: Sequence[str], references: References, language: str) -> float:
    return meteor(texts, references, FUNCTION_WORDS if language == "english" else (), language)[0]


def brief(
    who: str, texts: Sequence[str], references: References, judge: Judge | None, language: str
) -> Mapping[str, Figure]:
    """The figures that tell most, of captions that are not the model's: of what can be judged, what is true."""
    found = {key: figure for key, figure in truth(judge, texts).items() if key == "true"}
    found["cider"] = Figure(cider_d(texts, references)[0], "", "CIDEr-D")
    if judge is None:
        found["bleu_4"] = Figure(bleu_orders(texts, references)[3], "", "BLEU-4")
        found["meteor"] = Figure(meteor_of(texts, references, language), "", "METEOR")
    return {f"{who}_{key}": figure._replace(name=f"{figure.name} of {WHO[who]}") for key, figure in found.items()}
