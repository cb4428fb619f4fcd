"""The images and captions that a captioner is trained on."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from saccade.core.config import Seed, config, excluding

Scenes = Annotated[int, Field(ge=1, le=10_000_000)]
Side = Annotated[int, Field(ge=8, le=1024)]


@config
class CaptionsConfig:
    """Images with captions: scenes drawn from a seed, Flickr8k, or your own."""

    scenes: Scenes = 8000
    """Training scenes, each with five captions."""
    judged: Scenes = 500
    """Validation scenes, and test scenes."""
    draw: Seed = 1
    """Seed of the scenes."""
    largest_first: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The share of the captions of scenes that begin with the largest object; the others begin with any."""
    folder: Path | None = None
    """Flickr8k instead of scenes: a folder with Flickr8k.token.txt, Flickr_8k.trainImages.txt, .devImages.txt and
    .testImages.txt, and the photos in a folder or in a tar archive; those at hand are used."""
    train: Path | None = None
    """Your own photos instead: lines path<tab>caption, where lines of one photo are its captions and paths are relative
    to that file; or a dataset.json in Karpathy's form, with all splits."""
    validation: Path | None = None
    """The same for validation. None: a tenth of the training photos is held out."""
    test: Path | None = None
    """The same for the test."""
    photos: Path | None = None
    """The folder of the photos of a dataset.json; none: its own folder."""
    size: Side | None = None
    """Rows and columns of an image; none: 64 for scenes, 224 for photos, whose shorter side is scaled to this, and the
    middle is cut out."""
    rarest: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """The vocabulary has the words that occur at least this often in the training captions."""
    words: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """The most words of the vocabulary."""
    longest: Annotated[int, Field(ge=1, le=1000)] = 30
    """Longer training captions are cut to this many words, and teach no end there; a model writes at most as many."""
    language: Annotated[str, Field(min_length=1)] = "english"
    """The language of the captions, whose stems METEOR compares, such as "german"; only English has function words."""
    texts: bool = False
    """Take the captions of Flickr8k's training photos that are not at hand, too, for the vocabulary and to warm up the
    language part; never those of validation and test."""

    @property
    def extras(self) -> tuple[str, ...]:
        """The extras that reading and scoring these data need."""
        return ("text", "vision") if self.folder or self.train else ("text",)

    @model_validator(mode="after")
    def check_choices(self) -> "CaptionsConfig":
        if self.folder is not None and self.train is not None:
            raise excluding("folder and train are both set; choose one of them", "folder", "train")
        for name in ("validation", "test", "photos"):
            if getattr(self, name) is not None and self.train is None:
                raise excluding(f"{name} is set, but train is not; type --task.train FILE", name, "train")
        if self.texts and self.folder is None:
            said = "texts is true, but only Flickr8k has captions without photos; type --task.folder FOLDER"
            raise excluding(said, "texts", "folder", "train")
        return self


def check_texts_first(config: Any) -> None:
    """Raise if a training is to begin with captions without photos, and its task takes none."""
    if config.texts_first and not config.task.texts:
        said = f"texts_first is {config.texts_first}, but there are no captions without photos; type --task.texts true"
        raise excluding(said, "texts_first", "task.texts")
