"""The parallel text that a translation model is trained on, and its vocabularies."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from saccade.core.config import Many, Seed, config

LANGUAGES = ("de", "en")
IN = {"tatoeba": "English-French", "programs": "Python", "captions": "English"}
"""The languages of corpora that have no choice of them."""


@config
class TranslationConfig:
    """Parallel text and its vocabularies."""

    corpus: Literal["tatoeba", "multi30k", "folder", "programs", "captions"] = "tatoeba"
    """tatoeba: the embedded English-French pairs; multi30k: Multi30k, from `folder` or from the hub; folder: the files
    in `folder`; programs: lines of Python and what they print, drawn from a seed; captions: four captions of a photo
    and the fifth, from Flickr8k in `folder`."""
    folder: Path | None = None
    """A folder of aligned files, plain or gzip: train.de, train.en, val.de and so on. Missing splits are held out of
    the training data. For captions: a folder with Flickr8k.token.txt and the lists of its splits."""
    programs: Many = 100_000
    """Training lines of Python, fewer if there are not as many; 1,000 others are for validation, and for the test."""
    digits: Annotated[int, Field(ge=1, le=9)] = 3
    """The most digits of a number in a line of Python."""
    draw: Seed = 1
    """Seed of the lines of Python."""
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
    vocabulary: Literal["bpe", "word", "character"] = "bpe"
    """Byte-pair pieces, whole words, with one symbol for all unknown words, or characters."""
    vocabulary_size: Annotated[int, Field(ge=8, le=1_000_000)] = 3000
    """Largest number of symbols of each language, or of both together if the vocabulary is shared."""
    shared_vocabulary: bool = False
    """One vocabulary for both languages, learned from both."""
    lowercase: bool = False
    """Lower-case both sides, in training and in the score."""
    metric: Literal["bleu", "exact", "rouge-l"] = "bleu"
    """How answers are judged: BLEU, the share of answers that equal the right one, or ROUGE-L (Lin 2004)."""
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
        if self.corpus in ("tatoeba", "programs") and self.folder is not None:
            raise ValueError(
                f"folder is set, but corpus is {self.corpus!r}; type --task.corpus folder (or multi30k, captions)"
            )
        if self.corpus in IN and self.languages != LANGUAGES:
            raise ValueError(
                f"languages are {' '.join(self.languages)}, but corpus is {self.corpus!r}, which is {IN[self.corpus]}; "
                "type --task.corpus folder (or multi30k)"
            )
        if self.languages[0] == self.languages[1]:
            raise ValueError(f"languages must differ; both are {self.languages[0]!r}")
        return self
