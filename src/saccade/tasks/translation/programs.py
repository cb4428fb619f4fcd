"""Lines of Python and what they print: sums and differences of numbers of few digits, drawn from a seed.

Zaremba & Sutskever 2014, arXiv:1410.4615, in small. Their programs have several lines, loops and conditions; these are
single lines, with at most one variable, in the forms

    print(412 - 87)        k = 412; print(k - 87)        k = 87; print(412 - k)

Every number below 10^digits is as likely as any other. No line is drawn twice, so those of the test are new.
"""

import random
from functools import lru_cache

from saccade.tasks.translation.parallel_text import SPLITS, Pair

FORMS = (
    "print({a} {sign} {b})",
    "{name} = {a}; print({name} {sign} {b})",
    "{name} = {b}; print({a} {sign} {name})",
)
NAMES = "abcdefghijklmnopqrstuvwxyz"
HELD_OUT = 1000
"""Lines of validation, and of the test."""


def line(draw: random.Random, digits: int) -> Pair:
    """A line, and what it prints."""
    a, b = draw.randrange(10**digits), draw.randrange(10**digits)
    sign, form, name = draw.choice("+-"), draw.choice(FORMS), draw.choice(NAMES)
    return form.format(a=a, b=b, sign=sign, name=name), str(a + b if sign == "+" else a - b)


@lru_cache(maxsize=4)
def programs(count: int, digits: int, seed: int) -> dict[str, list[Pair]]:
    """Different lines of each split: `count` of them for training, or fewer with numbers of one digit, so that at most
    half of all lines are drawn."""
    most = 100**digits * (1 + 2 * len(NAMES))  # half of them: there are two signs
    sizes = {"test": HELD_OUT, "validation": HELD_OUT, "train": min(count, most - 2 * HELD_OUT)}
    draw, drawn = random.Random(f"programs/{seed}"), dict[str, str]()
    while len(drawn) < sum(sizes.values()):
        source, target = line(draw, digits)
        drawn[source] = target
    pairs = iter(drawn.items())
    found = {split: [next(pairs) for _ in range(size)] for split, size in sizes.items()}
    return {split: found[split] for split in SPLITS}
