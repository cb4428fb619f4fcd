"""The captions of scenes: a small grammar, its sentences about a scene, and the truth of any sentence.

    sentence = ["there is"] object ["is"] relation object ["and" relation object]
    object   = "a" [size] colour form
    relation = "to the left of" | "left of" | "to the right of" | "right of" | "above" | "over" | "below" | "under"

Both relations are those of the first object. b lies to the right of a if the centre of b is right of the centre of a,
by at least half of what it is above or below it: in a diagonal two relations hold.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from saccade.tasks.captions.batch import Box

SIZES = ("small", "large")
COLOURS = ("red", "yellow", "green", "blue", "purple", "black")
FORMS = ("square", "circle", "triangle", "cross")
PHRASES = {
    "to the left of": "left", "left of": "left", "to the right of": "right", "right of": "right",
    "above": "above", "over": "above", "below": "below", "under": "below",
}  # fmt: skip
SAYING = {direction: [phrase for phrase in PHRASES if PHRASES[phrase] == direction] for direction in PHRASES.values()}
WAYS = {word for phrase in PHRASES for word in phrase.split()} - {"to", "the", "of"}
OBJECT = rf"a (?:({'|'.join(SIZES)}) )?({'|'.join(COLOURS)}) ({'|'.join(FORMS)})"
RELATION = "|".join(PHRASES)
SENTENCE = re.compile(rf"(?:there is )?{OBJECT}(?: is)? ({RELATION}) {OBJECT}(?: and ({RELATION}) {OBJECT})?")
SAY_SIZE, SAY_ALL, THERE, IS = 0.6, 0.5, 0.2, 0.3  # the shares of captions that do so
DRAWS = 10
"""Numbers in [0, 1) that a caption is made of."""


class Thing(NamedTuple):
    """An object of a scene."""

    size: str
    colour: str
    form: str
    box: Box

    @property
    def centre(self) -> tuple[float, float]:
        return (self.box.top + self.box.bottom) / 2, (self.box.left + self.box.right) / 2

    def scaled(self, factor: float) -> "Thing":
        """The same object in an image whose sides are multiplied by a factor."""
        return self._replace(box=Box(*(factor * side for side in self.box)))


class Named(NamedTuple):
    """An object as a sentence names it."""

    size: str
    """"" if the sentence does not say it."""
    colour: str
    form: str
    words: range
    """The places of its words in the sentence, without the article."""

    def of(self, things: Sequence[Thing]) -> Thing | None:
        """The thing of this colour and form, of which a scene has at most one."""
        return next((thing for thing in things if (thing.colour, thing.form) == (self.colour, self.form)), None)


class Sentence(NamedTuple):
    """What a sentence says: its objects, and the direction of the first from each of the others."""

    objects: tuple[Named, ...]
    directions: tuple[str, ...]


class Judged(NamedTuple):
    """Whether a sentence is right."""

    objects: bool
    """It is a sentence of the grammar, and all its objects are in the scene, with the sizes that it says."""
    true: bool
    """The relations hold, too."""


def directions(first: Thing, second: Thing) -> list[str]:
    """Where the first lies from the second: one direction, or two in a diagonal."""
    (y, x), (other_y, other_x) = first.centre, second.centre
    down, right = y - other_y, x - other_x
    found = []
    if right and 2 * abs(right) >= abs(down):
        found.append("right" if right > 0 else "left")
    if down and 2 * abs(down) >= abs(right):
        found.append("below" if down > 0 else "above")
    return found


def true_sentence(things: Sequence[Thing], draws: Sequence[float], largest_first: bool = False) -> str:
    """A true sentence about a scene of at least two things, made of `DRAWS` numbers in [0, 1); it begins with the
    largest thing, or with any."""
    left = list(things)
    largest = max(range(len(left)), key=lambda place: (left[place].box.bottom - left[place].box.top, -place))
    chosen = [left.pop(largest if largest_first else int(draws[0] * len(left)))]
    chosen.append(left.pop(int(draws[1] * len(left))))
    if left and draws[2] < SAY_ALL:
        chosen.append(left[0])
    sizes = [thing.size + " " if draw < SAY_SIZE else "" for thing, draw in zip(chosen, draws[3:6], strict=False)]
    names = [f"a {size}{thing.colour} {thing.form}" for thing, size in zip(chosen, sizes, strict=True)]
    phrases = []
    for thing, draw in zip(chosen[1:], draws[6:8], strict=False):
        holding = [phrase for direction in directions(chosen[0], thing) for phrase in SAYING[direction]]
        phrases.append(holding[int(draw * len(holding))])
    there = draws[8] < THERE
    start = f"there is {names[0]}" if there else f"{names[0]} is" if draws[9] < IS else names[0]
    return start + " " + " and ".join(f"{phrase} {name}" for phrase, name in zip(phrases, names[1:], strict=True))


def parsed(caption: str) -> Sentence | None:
    """What a caption says; None if it is no sentence of the grammar."""
    found = SENTENCE.fullmatch(caption)
    if found is None:
        return None
    objects = []
    for group in (1, 5, 9):
        if found[group + 1]:
            size, colour, form = found[group] or "", found[group + 1], found[group + 2]
            last = caption[: found.end(group + 2)].count(" ") + 1
            objects.append(Named(size, colour, form, range(last - 2 - bool(size), last)))
    phrases = [phrase for phrase in (found[4], found[8]) if phrase]
    return Sentence(tuple(objects), tuple(PHRASES[phrase] for phrase in phrases))


def judged(caption: str, things: Sequence[Thing]) -> Judged:
    """Whether all that a caption says of a scene holds. A caption outside the grammar is wrong."""
    sentence = parsed(caption)
    if sentence is None:
        return Judged(False, False)
    meant = [named.of(things) for named in sentence.objects]
    there = [thing for thing in meant if thing is not None]
    fits = all(named.size in ("", thing.size) for named, thing in zip(sentence.objects, meant, strict=True) if thing)
    if len({thing.box for thing in there}) < len(meant) or not fits:
        return Judged(False, False)
    first, *others = there
    true = all(said in directions(first, other) for other, said in zip(others, sentence.directions, strict=True))
    return Judged(True, true)


def wrong_word(caption: str, things: Sequence[Thing]) -> int | None:
    """The place of the first word that does not hold; 0 of a caption outside the grammar, None if all holds."""
    if judged(caption, things).true:
        return None
    sentence = parsed(caption)
    if sentence is None:
        return 0
    meant = [named.of(things) for named in sentence.objects]
    words = caption.split()
    for place, (named, thing) in enumerate(zip(sentence.objects, meant, strict=True)):
        first, direction = meant[0], sentence.directions[place - 1]
        if place and first and thing and thing != first and direction not in directions(first, thing):
            between = range(sentence.objects[place - 1].words.stop, named.words.start)
            return next(word for word in between if words[word] in WAYS)
        if thing is None:
            form = any(one.form == named.form for one in things)
            return named.words[-2] if form else named.words[-1]
        if named.size not in ("", thing.size):
            return named.words[0]
        if thing in meant[:place]:
            return named.words[-1]
    raise AssertionError(f"{caption!r} is not true, and each of its words holds")


def boxes(caption: str, things: Sequence[Thing]) -> list[Box | None]:
    """For each word of a caption the box of the object that it names, such as "small", "red" and "cross"; None for
    other words, for objects that are not in the scene, and for all words of a caption outside the grammar."""
    found: list[Box | None] = [None] * len(caption.split())
    sentence = parsed(caption)
    for named in sentence.objects if sentence else ():
        thing = named.of(things)
        for place in named.words:
            found[place] = thing.box if thing else None
    return found
