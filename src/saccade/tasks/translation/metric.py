"""Translation metrics: BLEU (Papineni et al. 2002), chrF (Popovic 2015); by sacreBLEU (Post 2018, arXiv:1804.08771)."""

from collections.abc import Sequence
from typing import Any

from saccade.core.errors import require

BINS = ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 15), (16, 20), (21, 30), (31, 10_000))


def bleu(
    hypotheses: Sequence[str], references: Sequence[str], lowercase: bool = False, short: bool = False
) -> tuple[float, str]:
    """Corpus BLEU, 13a tokens, in [0, 100], and the signature that says how it was counted.

    With `short`, n-grams that no sentence is long enough for do not count (sacreBLEU's effective order).
    """
    metrics: Any = require("sacrebleu.metrics", "text")
    metric = metrics.BLEU(lowercase=lowercase, effective_order=short)
    score = metric.corpus_score(list(hypotheses), [list(references)])
    return float(score.score), str(metric.get_signature())


def chrf(hypotheses: Sequence[str], references: Sequence[str], lowercase: bool = False) -> float:
    """Corpus chrF2, in [0, 100]."""
    metrics: Any = require("sacrebleu.metrics", "text")
    return float(metrics.CHRF(lowercase=lowercase).corpus_score(list(hypotheses), [list(references)]).score)


def bleu_by_length(
    hypotheses: Sequence[str], references: Sequence[str], sources: Sequence[str], lowercase: bool = False
) -> list[dict[str, Any]]:
    """BLEU of the sentences in each range of source words, where there are any, with their number."""
    lengths = [len(source.split()) for source in sources]
    rows = []
    for low, high in BINS:
        chosen = [i for i, length in enumerate(lengths) if low <= length <= high]
        if chosen:
            score, _ = bleu([hypotheses[i] for i in chosen], [references[i] for i in chosen], lowercase, short=True)
            rows.append(
                {"words": f"{low}-{high}" if high < 10_000 else f"{low}-", "sentences": len(chosen), "bleu": score}
            )
    return rows
