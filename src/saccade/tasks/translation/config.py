"""The parallel text that a translation model is trained on, and its vocabularies."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from saccade.core.config import Many, config

LANGUAGES = ("de", "en")


@config
class TranslationConfig:
    """Parallel text and its vocabularies."""

    corpus: Literal["tatoeba", "multi30k", "folder"] = "tatoeba"
    """tatoeba: the embedded English-French pairs; multi30k: Multi30k, from `folder` or from the hub; folder: the files
    in `folder`."""
    folder: Path | None = None
    """A folder of aligned files, plain or gzip: train.de, train.en, val.de and so on. Missing splits are held out of
    the training data."""
    languages: Annotated[tuple[str, ...], Field(min_length=2, max_length=2)] = LANGUAGES
    """Source and target language of Multi30k or of the folder."""
    train: tuple[Path, ...] = ()
    """Your own training data instead of the corpus: one file source<tab>target, or two aligned files; plain or gzip."""
    validation: tuple[Path, ...] = ()
    """The same for validation. None: a twentieth of the training pairs (at most 1,000) is held out."""
    test: tuple[Path, ...] = ()
    """The same for the test."""
    limit: Many | None = None
    """Largest number of pairs of each split; none: all."""
    judged: Many | None = None
    """Largest number of validation and of test pairs; none: all."""
    joined: Annotated[int, Field(ge=1, le=1000)] = 1
    """Join up to this many neighbouring training pairs into one, to train on longer sentences than those of the data
    (Kondo et al. 2021, arXiv:2104.08478)."""
    vocabulary: Literal["bpe", "word"] = "bpe"
    """Byte-pair pieces, or whole words, with one symbol for all unknown words."""
    vocabulary_size: Annotated[int, Field(ge=8, le=1_000_000)] = 3000
    """Largest number of symbols of each language, or of both together if the vocabulary is shared."""
    shared_vocabulary: bool = False
    """One vocabulary for both languages, learned from both."""
    lowercase: bool = False
    """Lower-case both sides, in training and in the score."""
    bleu_tokenizer: Literal["auto", "13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none"] = "auto"
    """sacreBLEU's tokenizer. auto: by the script of the references, zh for Chinese, ja-mecab (if installed, else char)
    for Japanese, char for other scripts without spaces, 13a for all others."""
    check_direction: bool = True
    """Refuse validation or test pairs that seem to go from the target language to the source language."""
    longest: Many = 100
    """Drop training pairs with more symbols on either side."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target probability that is spread over the vocabulary (Szegedy et al. 2016)."""

    @property
    def extras(self) -> tuple[str, ...]:
        """The extras that reading and scoring these data need."""
        return ("text", "hub") if self.corpus == "multi30k" and not (self.folder or self.train) else ("text",)

    @model_validator(mode="after")
    def check_choices(self) -> "TranslationConfig":
        if self.corpus == "tatoeba" and self.folder is not None:
            raise ValueError("folder is set, but corpus is 'tatoeba'; type --task.corpus folder (or multi30k)")
        if self.corpus == "tatoeba" and self.languages != LANGUAGES:
            raise ValueError(
                f"languages are {' '.join(self.languages)}, but corpus is 'tatoeba', which is English-French; type "
                "--task.corpus folder (or multi30k)"
            )
        if self.languages[0] == self.languages[1]:
            raise ValueError(f"languages must differ; both are {self.languages[0]!r}")
        return self
