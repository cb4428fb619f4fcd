"""Summaries in small: four captions of a photo are read, the fifth is written. Flickr8k, Hodosh et al. 2013,
10.1613/jair.3994.

Five people described each of 8,000 photos; the split is the usual one of 6,000, 1,000 and 1,000. In training each of
the five is written in turn, from the other four; in validation and test the last one. The captions are words in lower
case without punctuation, separated by " | ". They are licensed for research and education.
"""

from pathlib import Path

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.files import against
from saccade.tasks.captions.flickr8k import CAPTIONS, NAMES, names_of, one_of, read_captions
from saccade.tasks.metrics import rouge_l
from saccade.tasks.translation.parallel_text import Pair

BETWEEN = " | "
"""Between the captions that are read."""


def caption_pairs(folder: Path, split: str) -> list[Pair]:
    """The pairs of a split.

    Raises:
        NotFound: no such folder, or one without the text files of Flickr8k.
        InvalidInput: a broken file, or a photo with fewer than two captions.
    """
    if not folder.is_dir():
        raise NotFound(f"{folder}: there is no such folder{against(folder)}")
    captions = read_captions(one_of(folder, CAPTIONS))
    photos = names_of(folder, split)
    if few := [name for name in photos if len(captions.get(name, ())) < 2]:
        raise InvalidInput(f"{folder / NAMES[split]}: {few[0]} needs at least two captions in {CAPTIONS}")
    most = max(len(captions[name]) for name in photos)
    turns = range(1, most + 1) if split == "train" else (1,)
    return [summary(captions[name], turn) for turn in turns for name in photos if turn <= len(captions[name])]


def summary(captions: tuple[str, ...], turn: int) -> Pair:
    """(the others, the caption that is `turn`-th from the end)."""
    place = len(captions) - turn
    return BETWEEN.join(captions[:place] + captions[place + 1 :]), captions[place]


def central(texts: list[str]) -> str:
    """The text that is most like the others, by the mean of their ROUGE-L; the first of them if there are several."""
    return max(texts, key=lambda text: sum(rouge_l([text], [[other]]) for other in texts if other is not text))
