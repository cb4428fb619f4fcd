"""Multi30k, task 1, from the hub: captions of photographs, translated. Elliott et al. 2016, arXiv:1605.00459.

29,000 training pairs, 1,014 validation pairs, and the 1,000 of the 2016 test set, as raw text. The captions are
licensed for non-commercial research.
"""

from collections.abc import Sequence
from typing import Any

from saccade.core.errors import InvalidInput, MissingExtra, require
from saccade.core.files import composed
from saccade.tasks.translation.parallel_text import Pair

HUB = "bentrevett/multi30k"
"""The data set on the hub, with the columns `de` and `en`; its test split is that of 2016."""


def from_hub(split: str, languages: Sequence[str]) -> list[Pair]:
    """The pairs of a split, from the first language to the second.

    Raises:
        MissingExtra: the hub's library is not installed.
        InvalidInput: it could not be read, or does not contain a language.
    """
    try:
        datasets: Any = require("datasets", "hub")
    except MissingExtra as error:
        raise MissingExtra(error.absent, "name the folder of Multi30k with --task.folder FOLDER") from None
    try:
        rows = datasets.load_dataset(HUB, split=split)
    except Exception as error:  # network, authentication and missing data sets raise different classes
        raise InvalidInput(
            f"Multi30k could not be downloaded from the hub ({type(error).__name__}: {error}); "
            "name a folder that contains it: --task.folder FOLDER"
        ) from error
    for language in languages:
        if language not in rows.column_names:
            raise InvalidInput(f"the hub's {HUB} has no {language!r}; there are: {', '.join(rows.column_names)}")
    source, target = (rows[language] for language in languages)
    sides = ([" ".join(composed(text).split()) for text in side] for side in (source, target))
    return list(zip(*sides, strict=True))
