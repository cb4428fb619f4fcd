"""`saccade evaluate RUN`: the score of a run on a split."""

import json
import time
from argparse import Namespace
from collections.abc import Sequence

from saccade.app.arguments import Parser, run_first
from saccade.core.errors import InvalidInput


def run(arguments: Sequence[str]) -> int:
    options, rest, own = parsed(arguments)
    from saccade.app import flags

    with flags.also(own):
        return evaluated(options, rest)


def evaluated(options: Namespace, rest: Sequence[str]) -> int:
    """The status of what was asked for."""
    if options.over is not None:
        from saccade.app import over

        return over.evaluate(options, rest)
    if options.gradients:
        from saccade.app import gradients

        return gradients.evaluate(options, rest)
    if options.alignments is not None:
        from saccade.app import word_alignment

        return word_alignment.evaluate(options, rest)
    return score(options, rest)


def parsed(arguments: Sequence[str]) -> tuple[Namespace, list[str], list[str]]:
    """What was asked for, the flags of the configuration, and the verb's own flags.

    Raises:
        InvalidInput: options that do not go together.
    """
    parser = Parser(
        "evaluate",
        "Score a run on a split of its data.\n"
        "Fields of the run's configuration are flags here too: --search.beam 1, or --task.test for other data; "
        "saccade train SYSTEM --help lists them.",
        "Examples:\n  saccade evaluate RUN --search.beam 1\n  saccade evaluate RUN --task.test my.en my.fr --json\n"
        "  saccade evaluate RUN --alignments words.en words.fr links.talp --reverse RUN2\n"
        "  saccade evaluate RUN --over search.beam 1 5 10",
    )
    parser.add_argument("run", help="the folder that saccade train made")
    parser.add_argument("--split", help="train, validation or test (default: test)")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    parser.add_argument(
        "--alignments", nargs="+", metavar="FILE",
        help="score where a translation run looks on words aligned by hand: one file `source ||| target` or two files "
        "of sentences, then one of links (3-4 sure, 3p4 possible)",
    )  # fmt: skip
    parser.add_argument(
        "--over", nargs="+", metavar=("FIELD", "VALUE"),
        help="score the run as a field of its configuration changes, and draw the curve",
    )  # fmt: skip
    parser.add_argument(
        "--gradients", action="store_true",
        help="draw how much of the gradient of a translation reaches each symbol of the source, by its distance",
    )  # fmt: skip
    parser.add_argument(
        "--keep",
        action="store_true",
        help="keep the figures of --alignments, --over or --gradients in RUN/evidence.json",
    )
    alone = [
        parser.add_argument("--reversed", action="store_true", help="the run translates the second language of FILE"),
        parser.add_argument("--reverse", metavar="RUN2", help="a run of the other direction: also the links of both"),
        parser.add_argument("--hansard", action="store_true", help="FILE is English-French of the Canadian Hansards"),
    ]
    options, rest = parser.parse_known_args(run_first("evaluate", arguments))
    given = [action.option_strings[0] for action in alone if getattr(options, action.dest)]
    if options.alignments is None and given:
        raise InvalidInput(f"{given[0]} goes with --alignments FILE FILE")
    ways = [f"--{way}" for way in ("alignments", "over", "gradients") if getattr(options, way)]
    if options.keep and not ways:
        raise InvalidInput("--keep goes with --alignments FILE FILE, --over FIELD VALUE or --gradients")
    if len(ways) > 1:
        raise InvalidInput(f"{' and '.join(ways)} exclude each other; give them one after the other")
    if options.alignments is not None and options.split:
        raise InvalidInput("--split and --alignments exclude each other: these pairs are no split of the data")
    return options, rest, parser.options()


def score(options: Namespace, flags: Sequence[str]) -> int:
    """The score on a split, by length where there is such a thing."""
    from saccade.app.finish import scored, summary
    from saccade.app.runs import open_run

    split = options.split or "test"
    loaded = open_run(options.run, *flags)
    examples = loaded.task.examples(split)
    begun = time.perf_counter()
    figures = scored(loaded, loaded.predictions(examples), examples)
    seconds = time.perf_counter() - begun
    if options.json:
        print(json.dumps(figures, indent=1, ensure_ascii=False))
        return 0
    print(summary(loaded, split, figures))
    print(f"{len(examples)} examples in {seconds:.1f} s")
    metric = loaded.task.metric
    for row in figures.get("by_length", []):
        print(f"  {row['words']:>6} words  {row['sentences']:>5} sentences  {metric} {row[metric]:.2f}")
    return 0
