"""The words of a text, as in the data: punctuation apart, "don't" as "do n't", addresses and names of users whole."""

import re

from saccade.core.files import composed

NOT = re.compile(r"(?<=\w)(?=n't\b)", re.IGNORECASE)
WORD = re.compile(r"https?://\S+|[@#]\w+|n't|'\w+|\w+(?:[-.]\w+)*|[^\w\s]")


def words_of(text: str) -> list[str]:
    return WORD.findall(NOT.sub(" ", composed(text).replace("’", "'")))
