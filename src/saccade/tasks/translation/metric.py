"""Translation metrics: BLEU (Papineni et al. 2002), chrF (Popovic 2015); by sacreBLEU (Post 2018, arXiv:1804.08771)."""

import re
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from saccade.core.errors import InvalidInput, require

BINS = ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 15), (16, 20), (21, 30), (31, 10_000))
HAN = re.compile("[\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
KANA = re.compile("[\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f]")
# Thai, Lao, Tibetan, Burmese and Khmer, which also have no spaces between words
UNSPACED = re.compile("[\u0e01-\u0fff\u1000-\u109f\u1780-\u17ff]")
MECAB = {"ja-mecab": ("ipadic", "ja"), "ko-mecab": ("mecab_ko", "ko")}
"""Tokenizers that need a package, and the extra of sacreBLEU that brings it."""


def tokenizer_for(texts: Sequence[str], setting: str = "auto") -> tuple[str, str]:
    """sacreBLEU's tokenizer for the script of these texts, and a note for the signature, or ""."""
    if setting != "auto":
        return setting, ""
    text = " ".join(texts)
    han, kana, unspaced = (len(script.findall(text)) for script in (HAN, KANA, UNSPACED))
    if 2 * (han + kana + unspaced) <= sum(map(str.isalpha, text)):
        return "13a", ""
    if 20 * kana > han + kana:  # a Chinese text may quote some Japanese
        if installed("ja-mecab"):
            return "ja-mecab", ""
        return "char", "; ja-mecab is not installed: pip install 'sacrebleu[ja]'"
    return ("zh" if han > unspaced else "char"), ""


def installed(tokenizer: str) -> bool:
    return tokenizer not in MECAB or find_spec(MECAB[tokenizer][0]) is not None


def check_tokenizer(setting: str) -> None:
    """Check, before a training instead of at its end, that the package that the tokenizer needs is installed.

    Raises:
        InvalidInput: with the pip command that installs it.
    """
    if not installed(setting):
        raise InvalidInput(
            f"--task.bleu-tokenizer {setting} needs a package: pip install 'sacrebleu[{MECAB[setting][1]}]'; "
            "or type --task.bleu-tokenizer auto"
        )


def bleu(
    hypotheses: Sequence[str],
    references: Sequence[str],
    lowercase: bool = False,
    short: bool = False,
    tokenizer: str = "auto",
) -> tuple[float, str]:
    """Corpus BLEU, in [0, 100], and its sacreBLEU signature.

    Args:
        short: ignore n-gram orders longer than all sentences (sacreBLEU's effective order).
        tokenizer: its name in sacreBLEU; auto: `tokenizer_for` the references.

    Raises:
        InvalidInput: a tokenizer whose package is not installed.
    """
    metrics: Any = require("sacrebleu.metrics", "text")
    check_tokenizer(tokenizer)
    name, note = tokenizer_for(references, tokenizer)
    metric = metrics.BLEU(lowercase=lowercase, effective_order=short, tokenize=name)
    score = metric.corpus_score(list(hypotheses), [list(references)])
    return float(score.score), str(metric.get_signature()) + note


def chrf(hypotheses: Sequence[str], references: Sequence[str], lowercase: bool = False) -> float:
    """Corpus chrF2, in [0, 100]."""
    metrics: Any = require("sacrebleu.metrics", "text")
    return float(metrics.CHRF(lowercase=lowercase).corpus_score(list(hypotheses), [list(references)]).score)


def lengths(texts: Sequence[str]) -> list[int]:
    """The number of words of each text, or of tokens if its script has no spaces between words."""
    name, _ = tokenizer_for(texts)
    if name == "13a":
        return [len(text.split()) for text in texts]
    metrics: Any = require("sacrebleu.metrics", "text")
    tokenize = metrics.BLEU(tokenize=name).tokenizer
    return [len(tokenize(text).split()) for text in texts]


def bleu_by_length(
    hypotheses: Sequence[str],
    references: Sequence[str],
    sources: Sequence[str],
    lowercase: bool = False,
    tokenizer: str = "auto",
) -> list[dict[str, Any]]:
    """BLEU for each range of source lengths that occurs, with the number of sentences."""
    name, _ = tokenizer_for(references, tokenizer)  # one tokenizer for all ranges
    counts = lengths(sources)
    rows = []
    for low, high in BINS:
        chosen = [i for i, count in enumerate(counts) if low <= count <= high]
        if chosen:
            some = [hypotheses[i] for i in chosen], [references[i] for i in chosen]
            score, _ = bleu(*some, lowercase, short=True, tokenizer=name)
            rows.append(
                {"words": f"{low}-{high}" if high < 10_000 else f"{low}-", "sentences": len(chosen), "bleu": score}
            )
    return rows
