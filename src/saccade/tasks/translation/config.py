"""Which parallel text a translation is learned from, and in which vocabularies."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from saccade.core.config import Many, config, refuse_unchosen


@config
class TranslationConfig:
    """Parallel text and its vocabularies."""

    corpus: Literal["tatoeba", "multi30k", "folder"] = "tatoeba"
    """The embedded English-French pairs; Multi30k, from `folder` or else from the hub; whatever `folder` holds."""
    folder: Path | None = None
    """Aligned files, plain or gzip: train.de, train.en, val.de and so on; what lacks is held out of train."""
    languages: Annotated[tuple[str, ...], Field(min_length=2, max_length=2)] = ("de", "en")
    """Of Multi30k or the folder: from which to which."""
    train: tuple[Path, ...] = ()
    """Your own data in place of the corpus: one file source<tab>target, or two aligned files; plain or gzip."""
    validation: tuple[Path, ...] = ()
    """As train. None: a twentieth of the training pairs (at most 1,000) is held out."""
    test: tuple[Path, ...] = ()
    """As validation."""
    limit: Many | None = None
    """Keep only so many pairs of each split."""
    judged: Many | None = None
    """Keep only so many pairs of validation and of test, where they are more than a score needs."""
    joined: Annotated[int, Field(ge=1, le=1000)] = 1
    """Up to so many neighbouring training pairs are made one, so that longer sentences are learned than there are
    (Kondo et al. 2021, arXiv:2104.08478)."""
    vocabulary: Literal["bpe", "word"] = "bpe"
    """Byte-pair pieces, or whole words with an unknown symbol for the rest."""
    vocabulary_size: Annotated[int, Field(ge=8, le=1_000_000)] = 3000
    """Symbols of each language, at most; of both together where the vocabulary is shared."""
    shared_vocabulary: bool = False
    """One vocabulary for both languages, learned from both."""
    lowercase: bool = False
    """Lower-case both sides, and score so."""
    bleu_tokenizer: Literal["auto", "13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none"] = "auto"
    """sacreBLEU's tokenizer. auto: by the script of the references, zh for Chinese, ja-mecab (if installed, else char)
    for Japanese, char for other scripts without spaces, 13a for all others."""
    check_direction: bool = True
    """Refuse validation or test pairs that seem to go from the target language to the source language."""
    longest: Many = 100
    """Training pairs with more symbols on a side are left out."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Fraction of the target probability spread over the vocabulary (Szegedy et al. 2016)."""

    @property
    def extras(self) -> tuple[str, ...]:
        """The extras that reading and scoring these data need."""
        return ("text", "hub") if self.corpus == "multi30k" and not (self.folder or self.train) else ("text",)

    @model_validator(mode="after")
    def check_choices(self) -> "TranslationConfig":
        for field in ("folder", "languages"):
            refuse_unchosen(self, "corpus", dict.fromkeys(("multi30k", "folder"), field))
        if self.languages[0] == self.languages[1]:
            raise ValueError(f"languages must be two, not {self.languages[0]!r} twice")
        return self
