"""The best and the worst captions of a run: "the good" and "the bad".

Photos are chosen by CIDEr-D. The worst scenes are those whose captions are not true, and the
first word that does not hold is marked. Elsewhere the marked word is the one whose weights are sharpest, and the image
is bright where they are large.
"""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from saccade.core.errors import InvalidInput
from saccade.explain.pictures.build_up import BuildUp
from saccade.explain.pictures.captioned import Captioned
from saccade.runs.run import Run, open_run
from saccade.studies import Found, Study
from saccade.tasks.captions import CaptionsTask
from saccade.tasks.captions.grammar import parsed, wrong_word
from saccade.tasks.metrics import cider_d

SHORTEST = 4  # letters of a word that can be the one looked at most sharply
MOST = 50  # images of each


class Chosen(NamedTuple):
    """A caption: the place of its image in the split, its CIDEr-D, and the place of the word that does not hold."""

    row: int
    cider: float
    wrong: int | None


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=6, metavar="N", help="images of each (default: 6)")


def find(options: argparse.Namespace, flags: Sequence[str], report: Callable[[str], None]) -> Found:
    split = options.split or "test"
    if not 1 <= options.count <= MOST:
        raise InvalidInput(f"--count takes a number from 1 to {MOST}, got {options.count}")
    run = open_run(options.run, *flags)
    task: Any = run.task
    if not isinstance(task, CaptionsTask):
        raise InvalidInput(f"{run.folder.path}: this study needs a run that captions images; {run.system} does not")
    examples = task.examples(split)
    predictions = run.predictions(examples)
    texts = [task.decode(one) for one in predictions]
    good, bad = chosen(task, examples, texts, options.count)
    kept: dict[str, Any] = {"split": split, "command": f"saccade {shlex.join(sys.argv[1:])}"}
    lines, pictures = [], []
    for name, rows in ("good", good), ("bad", bad):
        if not rows:
            lines.append(f"{name}: none")
            continue
        shown = picture(run, name, rows, examples, predictions)
        pictures.append(shown)
        lines.append(f"{name}:")
        lines += [f"  {one.cider:6.3f}  {texts[one.row]}{said(texts[one.row], one.wrong)}" for one in rows]
        kept[name] = [{**one._asdict(), "caption": texts[one.row]} for one in rows]
    return Found(run, split, kept, lines, pictures)


def chosen(
    task: CaptionsTask, examples: Sequence[Any], texts: Sequence[str], count: int
) -> tuple[list[Chosen], list[Chosen]]:
    """The best captions, best first, and the worst, worst first."""
    each = cider_d(texts, [example.references for example in examples])[1]
    found = [
        Chosen(row, round(score, 3), wrong_word(text, task.things(example)) if task.drawn else None)
        for row, (score, text, example) in enumerate(zip(each, texts, examples, strict=True))
    ]
    ranked = sorted(found, key=lambda one: (-one.cider, one.row))
    good = [one for one in ranked if one.wrong is None][:count]
    bad = [one for one in reversed(ranked) if one.wrong is not None] if task.drawn else ranked[::-1]
    return good, [one for one in bad if one not in good][:count]


def said(text: str, wrong: int | None) -> str:
    if wrong is None:
        return ""
    if not text:
        return "   (empty)"
    return f"   (wrong: {text.split()[wrong]})" if parsed(text) else "   (not a sentence of the grammar)"


def picture(
    run: Run, name: str, rows: Sequence[Chosen], examples: Sequence[Any], predictions: Sequence[Any]
) -> Captioned:
    """The images with their captions, lit by the weights of the marked words if the run has such weights."""
    task: Any = run.task
    captions, marked, maps = [], [], []
    for one in rows:
        text = task.decode(predictions[one.row])
        seen = [own for own in run.pictures(examples[one.row], predictions[one.row]) if isinstance(own, BuildUp)]
        words = text.split()
        place = one.wrong
        if place is None and seen:
            place = sharpest(words, seen[0])
        captions.append(text or "(nothing)")
        marked.append(words[place] if place is not None and words else "")
        if seen and place is not None and words:
            maps.append(torch.as_tensor(seen[0].weights[place]).reshape(seen[0].grid))
    images = task.pixels([examples[one.row] for one in rows])
    lit = torch.stack(maps) if len(maps) == len(rows) else None
    about = "wrong" if all(one.wrong is not None for one in rows) else ""
    return Captioned(f"captions-{name}", images, captions, marked, lit, about, f"The {name}: {run.title}")


def sharpest(words: Sequence[str], seen: BuildUp) -> int:
    """The place of the word that was looked at most sharply, of those that are long enough to mean something."""
    long = [place for place, word in enumerate(words) if len(word) >= SHORTEST] or list(range(len(words)))
    return max(long, key=lambda place: float(seen.weights[place].max())) if long else 0


STUDY = Study(title="the best and the worst captions", arguments=arguments, find=find)
