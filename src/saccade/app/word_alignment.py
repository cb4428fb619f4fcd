"""`saccade evaluate RUN --alignments ...`: where a translation run looks, against words aligned by hand.

Forced decoding: the hand-aligned target is fed as if it were the answer, and the attention weights become links. Which
layer or head to read is chosen on the first pairs and scored on the rest.
"""

import hashlib
import json
import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saccade.app.alignment_table import table
from saccade.app.runs import Run, open_run
from saccade.core.errors import InvalidInput
from saccade.explain.capture import capture
from saccade.tasks.translation import word_alignment as words
from saccade.tasks.translation.task import Example, TranslationTask
from saccade.tasks.translation.vocabulary import END, check_direction
from saccade.tasks.translation.word_alignment import AlignedPair
from saccade.training.device import to_device
from saccade.training.run_folder import one_writer
from saccade.training.sampler import in_order

DEVELOPMENT = 100
Links = Sequence[set[tuple[int, int]]]


def evaluate(options: Namespace, flags: Sequence[str]) -> int:
    """What `saccade evaluate` does with --alignments; the flags are fields of the runs' configurations."""
    pairs = read(options.alignments, options.hansard)
    pairs = [pair.reversed_() for pair in pairs] if options.reversed else pairs
    if options.reverse and Path(options.reverse).resolve() == Path(options.run).resolve():
        raise InvalidInput(f"--reverse {options.reverse} is the run itself; it takes a run of the other direction")
    ours = open_run(options.run, *flags)
    theirs = open_run(options.reverse, *flags) if options.reverse else None
    if options.keep:
        ours.folder.read_evidence()  # where there is none, that is told before the work
    figures = about(options, ours) | measure(ours, theirs, pairs)
    if options.keep:
        with one_writer(ours.folder):
            ours.folder.keep_figures("alignment", figures)
    print(json.dumps(figures, indent=1, ensure_ascii=False) if options.json else "\n".join(table(figures)))
    return 0


def read(files: Sequence[str], hansard: bool) -> list[AlignedPair]:
    """The gold pairs of two or three files, the last of them the links.

    Raises:
        NotFound, InvalidInput: naming the file and, where there is one, the line; fewer than two pairs.
    """
    if len(files) not in (2, 3):
        raise InvalidInput(f"--alignments takes one or two files of sentences, then one of links, not {len(files)}")
    gold = words.read_gold([Path(name) for name in files[:-1]], Path(files[-1]))
    if len(gold) < 2:
        raise InvalidInput(f"{files[-1]}: one pair to choose a layer by and one to score it on are the least")
    return words.as_read(gold, hansard)


def measure(ours: Run, theirs: Run | None, pairs: Sequence[AlignedPair]) -> dict[str, Any]:
    """All figures: of every way to read the weights, of the chosen one, of the diagonal, and of both directions.

    Raises:
        InvalidInput: a run that does not translate, has no such attention, or goes the other way.
    """
    gold, turned = [pair.gold for pair in pairs], [pair.reversed_() for pair in pairs]
    first = min(DEVELOPMENT, len(pairs) // 2)
    check(ours, pairs, "add --reversed, or drop it")
    if theirs is not None:  # before the first one computes
        check(theirs, turned, "--reverse takes a run of the other direction")
    figures, links = choose(ours, pairs, first)
    diagonals = [words.diagonal(len(pair.source), len(pair.target)) for pair in gold]
    figures = {"pairs": len(pairs), "development": first, **figures, "diagonal": parts(diagonals, gold, first)}
    if theirs is not None:
        figures["reverse"], others = choose(theirs, turned, first)
        both = [here & {(i, j) for j, i in there} for here, there in zip(links, others, strict=True)]
        figures["intersection"] = parts(both, gold, first)
    return figures


def check(run: Run, pairs: Sequence[AlignedPair], hint: str) -> None:
    """Raise InvalidInput, in the run's name, unless it can align these pairs."""
    if not isinstance(run.task, TranslationTask):
        raise InvalidInput(f"{run.folder.path}: --alignments is for runs that translate, and {run.system} does not")
    shown_tap(run)
    if not run.task.config.check_direction:
        return
    try:
        check_direction(run.task.source, run.task.target, [(one.source.text, one.target.text) for one in pairs])
    except InvalidInput as error:
        raise InvalidInput(f"{run.folder.path}: {error}; {hint}") from None


def shown_tap(run: Run) -> str:
    """The tap, or pattern of taps, of target to source that the recipe shows first."""
    for show in run.recipe.shows:
        if (show.rows, show.columns) == ("target", "source"):
            return show.tap
    raise InvalidInput(f"{run.folder.path}: {run.system} has no attention from target to source to read links from")


def choose(run: Run, pairs: Sequence[AlignedPair], first: int) -> tuple[dict[str, Any], Links]:
    """The figures of each reading of the weights and of the best on the first pairs, and the links of that one."""
    gold, found = [pair.gold for pair in pairs], links_of(run, pairs)
    scored = {name: parts(links, gold, first) for name, links in found.items()}
    best = min(scored, key=lambda name: scored[name]["first"]["aer"])
    chosen = {"reading": best, **scored[best]}
    return {"system": run.system, "variant": run.variant, "chosen": chosen, "readings": scored}, found[best]


def links_of(run: Run, pairs: Sequence[AlignedPair]) -> dict[str, Links]:
    """Reading of the weights -> the links of each pair, the gold target fed as if it were the answer."""
    task: Any = run.task
    examples = [
        Example(source.text, target.text, [*task.source.encode(source.text), END], task.target.encode(target.text))
        for _, source, target in pairs
    ]
    found: dict[int, dict[str, set[tuple[int, int]]]] = {}
    for rows in in_order([task.cost(example) for example in examples], run.config.training.batch_tokens):
        batch = to_device(task.collate([examples[row] for row in rows]), run.device)
        with run.running(), capture(run.model, shown_tap(run)) as seen:
            run.objective(run.model, batch, 0)
            weights = {tap: seen.joined(tap).float().cpu() for tap in seen}
        for number, row in enumerate(rows):
            _, source, target = pairs[row]
            owners = words.word_of_piece(task.source, *source), words.word_of_piece(task.target, *target)
            # (heads, rows, columns), one head where the tap has none
            heads = {tap: heard[number].reshape(-1, *heard.shape[-2:]) for tap, heard in weights.items()}
            over_words = {tap: words.word_weights(each, *owners) for tap, each in heads.items()}
            found[row] = {name: words.links(read) for name, read in words.readings(over_words).items()}
    return {name: [found[row][name] for row in range(len(pairs))] for name in found[0]}


def parts(links: Links, gold: Sequence[words.GoldAlignment], first: int) -> dict[str, Any]:
    return {name: part._asdict() for name, part in words.in_parts(links, gold, first)._asdict().items()}


def about(options: Namespace, run: Run) -> dict[str, Any]:
    """What was asked, and the files by name and fingerprint: where they lie is this machine's matter."""
    paths = [Path(name) for name in options.alignments]
    return {
        "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths},
        "reversed": options.reversed,
        "hansard": options.hansard,
        "precision": run.config.training.precision,
        "command": "saccade " + shlex.join(sys.argv[1:]),
    }
