"""Reviews from a seeded grammar, in which the words that decide are known.

An opinion is a clause with an adjective; "not" turns it around. Of two clauses joined by "but" or "although" the main
one decides, which may come first or last. Sentences that say nothing stand around it.
"""

import random
from typing import NamedTuple

GOOD = ("good", "great", "funny", "moving", "brilliant", "charming", "clever", "gripping", "lovely", "superb")
BAD = ("bad", "awful", "dull", "boring", "clumsy", "tedious", "weak", "terrible", "silly", "dreadful")
THINGS = ("movie", "film", "plot", "acting", "ending", "story", "script", "music", "cast", "dialogue")
DEGREES = ("really", "very", "quite", "rather", "simply")
NOTHING = (
    "i saw it on {day} .", "we went there with {who} .", "it is about {topic} .", "{who} had the tickets .",
    "the screening began at {hour} .", "it was shown on {day} at {hour} .", "{who} told me about {topic} .",
)  # fmt: skip
FILL = {
    "day": ("monday", "friday", "sunday", "a rainy evening"), "hour": ("seven", "eight", "noon"),
    "who": ("my sister", "a friend", "the neighbours", "my father"),
    "topic": ("a train", "two brothers", "the sea", "a small town", "the war"),
}  # fmt: skip
ENDS = {True: (("i", "had", "fun", "."), "fun"), False: (("i", "was", "bored", "."), "bored")}


class Review(NamedTuple):
    """Words, whether they are in favour, and the places of the words that decide."""

    words: tuple[str, ...]
    positive: bool
    deciding: tuple[int, ...]


def clause(draw: random.Random, positive: bool) -> tuple[list[str], list[int]]:
    """A clause of an opinion, and the places of its adjective and its "not"."""
    turned = draw.random() < 0.4
    adjective = draw.choice(GOOD if positive != turned else BAD)
    thing = ["the", draw.choice(THINGS)]
    if not turned:
        degree = [draw.choice(DEGREES)] if draw.random() < 0.5 else []
        words = [*thing, "was", *degree, adjective]
        return words, [len(words) - 1]
    if draw.random() < 0.3:
        words = ["i", "would", "not", "say", "that", *thing, "was", adjective]
        return words, [2, len(words) - 1]
    more = draw.choice(([], [draw.choice(DEGREES)]))
    tail = ["at", "all"] if draw.random() < 0.4 else []
    words = [*thing, "was", "not", *more, adjective, *tail]
    return words, [3, 4 + len(more)]


def review(draw: random.Random) -> Review:
    """One review."""
    positive = draw.random() < 0.5
    words, deciding = clause(draw, positive)
    if draw.random() < 0.5:
        other, _ = clause(draw, not positive)
        form = draw.choice(("but", "although first", "although last"))
        ahead = {"but": [*other, ",", "but"], "although first": ["although", *other, ","], "although last": []}[form]
        words = [*ahead, *words, *([",", "although", *other] if form == "although last" else [])]
        deciding = [place + len(ahead) for place in deciding]
    words.append(".")
    if draw.random() < 0.2:
        end, word = ENDS[positive]
        deciding.append(len(words) + end.index(word))
        words += end
    before, after = ([filled(draw) for _ in range(draw.choice((0, 1, 1, 2)))] for _ in range(2))
    ahead = [word for sentence in before for word in sentence]
    behind = [word for sentence in after for word in sentence]
    return Review((*ahead, *words, *behind), positive, tuple(place + len(ahead) for place in deciding))


def filled(draw: random.Random) -> list[str]:
    """A sentence that says nothing about the film."""
    chosen = {name: draw.choice(choices) for name, choices in FILL.items()}
    return draw.choice(NOTHING).format(**chosen).split()


def generated(count: int, seed: int) -> dict[str, list[Review]]:
    """Reviews of each split; none occurs twice."""
    draw, seen = random.Random(f"reviews/{seed}"), set[tuple[str, ...]]()
    sizes = {"train": count, "validation": max(10, count // 4), "test": max(10, count // 4)}
    found: dict[str, list[Review]] = {}
    for split, size in sizes.items():
        own: list[Review] = []
        while len(own) < size:
            one = review(draw)
            if one.words not in seen:
                seen.add(one.words)
                own.append(one)
        found[split] = own
    return found
