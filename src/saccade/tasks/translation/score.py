"""The figures of answers to pairs: BLEU, the share of exact answers, or ROUGE-L."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from saccade.core.task import Figure, Score, Series
from saccade.tasks.metrics import distinct, rouge_l
from saccade.tasks.translation.captions import BETWEEN, central
from saccade.tasks.translation.config import TranslationConfig
from saccade.tasks.translation.metric import BINS, bleu, bleu_by_length, chrf, tokenizer_for


class Judged(NamedTuple):
    """What is judged, a row for each pair."""

    answers: Sequence[str]
    sources: Sequence[str]
    references: Sequence[str]
    known: Sequence[int]
    """The rows without unknown symbols."""


def by_bleu(judged: Judged, config: TranslationConfig) -> Score:
    """BLEU, chrF, BLEU of the sentences without unknown words, and BLEU by source length.

    Lengths are in words, or in tokens for scripts without spaces.
    """
    hypotheses, sources, references, known = judged
    lower = config.lowercase
    tokenizer, note = tokenizer_for(references, config.bleu_tokenizer)
    score, signature = bleu(hypotheses, references, lower, tokenizer=tokenizer)
    some = [hypotheses[i] for i in known], [references[i] for i in known]
    known_score = bleu(*some, lower, tokenizer=tokenizer)[0] if known else None
    rows = bleu_by_length(hypotheses, references, sources, lower, tokenizer)
    by_length = Series(
        [row["words"] for row in rows], [row["bleu"] for row in rows], "words of the source", "BLEU",
        counts=[row["sentences"] for row in rows],
    )  # fmt: skip
    figures = {
        "bleu": Figure(score, name="BLEU"),
        "chrf": Figure(chrf(hypotheses, references, lower), name="chrF"),
        "bleu_no_unknown": Figure(known_score, name="BLEU without unknown words"),
        "sentences": Figure(len(references)),
        "sentences_no_unknown": Figure(len(known), name="sentences without unknown words"),
        "signature": Figure(signature + note),
    }
    return Score(figures, {"by_length": by_length})


def by_exact(judged: Judged, config: TranslationConfig) -> Score:
    """The share of answers that are the right one to the last character, and by the length of the right one."""
    answers, _, references, _ = judged
    pairs = [(cased(one, config), cased(other, config)) for one, other in zip(answers, references, strict=True)]
    x, y, counts = list[float | str](), list[float](), list[int]()
    for low, high in BINS:
        right = [one == other for one, other in pairs if low <= len(other) <= high]
        if right:
            x.append(f"{low}-{high}" if high < BINS[-1][1] else f"{low}-")
            y.append(100 * sum(right) / len(right))
            counts.append(len(right))
    figures = {
        "exact": Figure(100 * sum(one == other for one, other in pairs) / max(1, len(pairs)), "%", "exact answers"),
        "pairs": Figure(len(pairs)),
    }
    series = Series(x, y, "characters of the right answer", "exact answers (%)", counts=counts)
    return Score(figures, {"by_length": series})


def by_rouge(judged: Judged, config: TranslationConfig) -> Score:
    """ROUGE-L, and that of two answers which need no model: of several texts that are read, the first, or the one most
    like the others. A source that is a single text is both."""
    answers = [cased(one, config) for one in judged.answers]
    references = [[cased(one, config)] for one in judged.references]
    read = [cased(one, config).split(BETWEEN) for one in judged.sources]
    figures = {
        "rouge_l": Figure(rouge_l(answers, references), name="ROUGE-L"),
        "first_copied": Figure(rouge_l([texts[0] for texts in read], references), name="the first text copied"),
        "central_copied": Figure(rouge_l([central(texts) for texts in read], references), name="the most central one"),
        "distinct": Figure(distinct(answers), "%", "distinct answers"),
        "pairs": Figure(len(answers)),
    }
    return Score(figures)


def cased(text: str, config: TranslationConfig) -> str:
    return text.lower() if config.lowercase else text


JUDGES: dict[str, Callable[[Judged, TranslationConfig], Score]] = {
    "bleu": by_bleu,
    "exact": by_exact,
    "rouge-l": by_rouge,
}
