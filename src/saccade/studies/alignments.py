"""Compare the attention of a translation run with words aligned by hand (Och & Ney 2003).

The hand-aligned target is fed as the answer (forced decoding), and attention weights are turned into links. The layer
or head is chosen on the first pairs and scored on the rest.
"""

import argparse
import fnmatch
import hashlib
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from saccade.core.device import to_device
from saccade.core.errors import InvalidInput
from saccade.core.stream import in_order, sizes_of
from saccade.core.tap import Tap
from saccade.explain.capture import capture
from saccade.runs.run import Run, open_run
from saccade.studies import Found, Study
from saccade.tasks.translation import word_alignment as words
from saccade.tasks.translation.task import Example, TranslationTask
from saccade.tasks.translation.vocabulary import END, check_direction
from saccade.tasks.translation.word_alignment import AlignedPair

DEVELOPMENT = 100
Links = Sequence[set[tuple[int, int]]]


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", metavar="FILE",
        help="one file `source ||| target` or two files of sentences, then one of links (3-4 sure, 3p4 possible)",
    )  # fmt: skip
    parser.add_argument("--reversed", action="store_true", help="the run translates the second language of FILE")
    parser.add_argument(
        "--reverse", metavar="RUN2",
        help="a run trained in the opposite direction; also scores the links that both agree on",
    )  # fmt: skip
    parser.add_argument("--hansard", action="store_true", help="FILE is English-French of the Canadian Hansards")


def find(options: argparse.Namespace, flags: Sequence[str], report: Callable[[str], None]) -> Found:
    if options.split:
        raise InvalidInput("--split does not apply: these pairs are not a split of the data")
    pairs = read(options.files, options.hansard)
    pairs = [pair.reversed_() for pair in pairs] if options.reversed else pairs
    if options.reverse and Path(options.reverse).resolve() == Path(options.run).resolve():
        raise InvalidInput(f"--reverse needs a run trained in the opposite direction; {options.reverse} is RUN itself")
    ours = open_run(options.run, *flags)
    theirs = open_run(options.reverse, *flags) if options.reverse else None
    figures = about(options, ours) | measure(ours, theirs, pairs)
    return Found(ours, "", figures, list(table(figures)))


def read(files: Sequence[str], hansard: bool) -> list[AlignedPair]:
    """The gold pairs in two or three files, the last of which has the links.

    Raises:
        NotFound, InvalidInput: naming the file and the line, if any; fewer than two pairs.
    """
    if len(files) not in (2, 3):
        raise InvalidInput(f"expected one or two files of sentences, then one of links, not {len(files)} files")
    gold = words.read_gold([Path(name) for name in files[:-1]], Path(files[-1]))
    if len(gold) < 2:
        raise InvalidInput(f"{files[-1]}: expected at least two pairs, one pair to choose a layer and one to score it")
    return words.as_read(gold, hansard)


def measure(ours: Run, theirs: Run | None, pairs: Sequence[AlignedPair]) -> dict[str, Any]:
    """All figures: for every reading of the weights, the chosen one, the diagonal, and both directions.

    Raises:
        InvalidInput: a run that does not translate, has no such attention, or translates in the other direction.
    """
    gold, turned = [pair.gold for pair in pairs], [pair.reversed_() for pair in pairs]
    first = min(DEVELOPMENT, len(pairs) // 2)
    check(ours, pairs, "add or remove --reversed")
    if theirs is not None:  # checked before the first one computes
        check(theirs, turned, "--reverse needs a run trained in the opposite direction")
    figures, links = choose(ours, pairs, first)
    diagonals = [words.diagonal(len(pair.source), len(pair.target)) for pair in gold]
    figures = {"pairs": len(pairs), "development": first, **figures, "diagonal": parts(diagonals, gold, first)}
    if theirs is not None:
        figures["reverse"], others = choose(theirs, turned, first)
        both = [here & {(i, j) for j, i in there} for here, there in zip(links, others, strict=True)]
        figures["intersection"] = parts(both, gold, first)
    return figures


def check(run: Run, pairs: Sequence[AlignedPair], hint: str) -> None:
    """Raise InvalidInput, naming the run, unless it can align these pairs."""
    if not isinstance(run.task, TranslationTask):
        raise InvalidInput(f"{run.folder.path}: this study needs a run that translates; {run.system} does not")
    attention_taps(run)
    if not run.task.config.check_direction:
        return
    try:
        check_direction(run.task.source, run.task.target, [(one.source.text, one.target.text) for one in pairs])
    except InvalidInput as error:
        raise InvalidInput(f"{run.folder.path}: {error}; {hint}") from None


def attention_taps(run: Run) -> str:
    """The pattern of the taps for attention from target to source: those of the decoder except its self-attention.

    Raises:
        InvalidInput: the model has none.
    """
    taps = [name for name, module in run.model.named_modules() if isinstance(module, Tap)]
    for pattern in ("*cross_attention.weights", "decoder*attention.weights"):
        if fnmatch.filter(taps, pattern):
            return pattern
    raise InvalidInput(f"{run.folder.path}: {run.system} has no attention from target to source to read links from")


def choose(run: Run, pairs: Sequence[AlignedPair], first: int) -> tuple[dict[str, Any], Links]:
    """The figures of each reading of the weights, and the links of the one that is best on the first pairs."""
    gold, found = [pair.gold for pair in pairs], links_of(run, pairs)
    scored = {name: parts(links, gold, first) for name, links in found.items()}
    best = min(scored, key=lambda name: scored[name]["first"]["aer"])
    chosen = {"reading": best, **scored[best]}
    return {"system": run.system, "variant": run.variant, "chosen": chosen, "readings": scored}, found[best]


def links_of(run: Run, pairs: Sequence[AlignedPair]) -> dict[str, Links]:
    """For each reading of the weights, the links of each pair, with the gold target fed as the answer."""
    task: Any = run.task
    examples = [
        Example(source.text, target.text, [*task.source.encode(source.text), END], task.target.encode(target.text))
        for _, source, target in pairs
    ]
    found: dict[int, dict[str, set[tuple[int, int]]]] = {}
    for rows in in_order(sizes_of(task, examples), run.config.training.batch_size):
        batch = to_device(task.collate([examples[row] for row in rows]), run.device)
        with run.running(), capture(run.model, attention_taps(run)) as seen:
            run.model(batch.source, batch.source_mask, batch.target_inputs)
            weights = {tap: seen.joined(tap).float().cpu() for tap in seen}
        for number, row in enumerate(rows):
            _, source, target = pairs[row]
            owners = words.word_of_piece(task.source, *source), words.word_of_piece(task.target, *target)
            # (heads, rows, columns), with one head if the tap has no axis of heads
            heads = {tap: heard[number].reshape(-1, *heard.shape[-2:]) for tap, heard in weights.items()}
            over_words = {tap: words.word_weights(each, *owners) for tap, each in heads.items()}
            found[row] = {name: words.links(read) for name, read in words.readings(over_words).items()}
    return {name: [found[row][name] for row in range(len(pairs))] for name in found[0]}


def parts(links: Links, gold: Sequence[words.GoldAlignment], first: int) -> dict[str, Any]:
    return {name: part._asdict() for name, part in words.in_parts(links, gold, first)._asdict().items()}


def about(options: argparse.Namespace, run: Run) -> dict[str, Any]:
    """The question, and the files by name and fingerprint, without their folders."""
    paths = [Path(name) for name in options.files]
    return {
        "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths},
        "reversed": options.reversed,
        "hansard": options.hansard,
        "precision": run.config.training.precision,
        "command": "saccade " + shlex.join(sys.argv[1:]),
    }


def table(figures: Mapping[str, Any]) -> Iterator[str]:
    """The figures as lines: each layer, the chosen reading, the baseline, and both directions."""
    first, every, best = figures["development"], figures["pairs"], figures["chosen"]["reading"]
    # of the many single heads only the chosen one
    rows = {name: row for name, row in figures["readings"].items() if ", head " not in name or name == best}
    rows = {("* " if name == best else "  ") + name: row for name, row in rows.items()} | {
        "  diagonal (baseline)": figures["diagonal"]
    }
    if "reverse" in figures:
        chosen = figures["reverse"]["chosen"]
        rows |= {f"  reverse run: {chosen['reading']}": chosen, "  links of both directions": figures["intersection"]}
    width = max(map(len, rows))
    run = f"{figures['system']} {figures['variant']}"
    yield f"{run}: alignment error rate (AER, lower is better), precision and recall in percent, {every} pairs"
    yield ""
    yield f"{'':<{width}}  {f'first {first}':>9}  {f'the other {every - first}':^24}  {f'all {every}':>8}"
    yield f"{'':<{width}}  {'AER':>9}  {'AER':>6} {'precision':>9} {'recall':>7}  {'AER':>8}"
    for name, row in rows.items():
        rest = row["rest"]
        cells = f"{row['first']['aer']:>9.2f}  {rest['aer']:>6.2f} {rest['precision']:>9.2f} {rest['recall']:>7.2f}"
        yield f"{name:<{width}}  {cells}  {row['all']['aer']:>8.2f}"
    yield ""
    ways = len(figures["readings"])
    yield f"* selected among {ways} ways to read the weights (layers, heads, means; unchanged, or as shares of the"
    yield f"  total weight of each source word; --json prints all), with the lowest error on the first {first} pairs;"
    yield f"  the other {every - first} were not used for the selection"
    if "reverse" in figures:
        yield "  the reading of the reverse run was selected separately, in the same way"


STUDY = Study(title="attention compared with words aligned by hand", arguments=arguments, find=find)
