"""`saccade evaluate RUN`: the score of a run on a split, or the findings of a study."""

import json
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from saccade.app.arguments import Parser, run_first
from saccade.app.series import lines_of
from saccade.core.errors import InvalidInput, NotFound
from saccade.runs.catalogue import studies


def run(arguments: Sequence[str]) -> int:
    given = run_first("evaluate", arguments)
    name = study_named(given)
    parser = Parser(
        "evaluate",
        "Score a run on a split of its data, or run a study.\n"
        "Fields of the run's configuration are flags too, such as --device cpu or --task.test FILE; "
        "saccade train SYSTEM --help lists them.\n"
        f"Studies: {', '.join(studies())}. saccade evaluate RUN --study NAME --help explains one.",
        "Examples:\n  saccade evaluate RUN --split validation\n  saccade evaluate RUN --json\n"
        "  saccade evaluate RUN --study over training.seed 1 2 3",
    )
    parser.add_argument("run", help="the folder that saccade train made")
    parser.add_argument("--split", help="train, validation or test (default: test)")
    parser.add_argument("--study", metavar="NAME", help="a study of the run")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    parser.add_argument("--keep", action="store_true", help="store the findings of the study in RUN/evidence.json")
    parser.add_argument("--pictures", metavar="FOLDER", help="folder for pictures of a study (default: RUN/pictures)")
    if name is not None:
        from saccade.studies import study

        study(name).arguments(parser)
    options, rest = parser.parse_known_args(given)
    for flag, value in (("--keep", options.keep), ("--pictures", options.pictures)):
        if value and name is None:
            raise InvalidInput(f"{flag} needs --study NAME")
    return score(options, rest, parser.options()) if name is None else run_study(name, options, rest)


def study_named(arguments: Sequence[str]) -> str | None:
    """The name after --study, which determines the other arguments."""
    asked = [place for place, argument in enumerate(arguments) if argument.partition("=")[0] == "--study"]
    if not asked:
        return None
    if len(asked) > 1:
        raise InvalidInput("--study is given twice; run one study at a time")
    _, equals, name = arguments[asked[0]].partition("=")
    if not equals and asked[0] + 1 == len(arguments):
        raise InvalidInput(f"--study takes a name; there are: {', '.join(studies())}")
    return name if equals else arguments[asked[0] + 1]


def score(options: Namespace, flags: Sequence[str], known: Sequence[str]) -> int:
    """Print the score on a split, and its series."""
    from saccade.runs import scoring
    from saccade.runs.run import load

    split = options.split or "test"
    try:
        loaded, rest = load(options.run, flags, known)
    except NotFound:
        check_study_flags(flags)
        raise
    if rest:
        raise InvalidInput(f"unexpected argument {rest[0]!r}; flags begin with --")
    if not options.json:
        say(f"scoring the {split} split")
    begun = time.perf_counter()
    found, _, examples = scoring.score(loaded, split)
    seconds = time.perf_counter() - begun
    if options.json:
        series = {name: one._asdict() for name, one in found.series.items()}
        print(json.dumps({**scoring.plain(loaded, found), **series}, indent=1, ensure_ascii=False))
        return 0
    print(scoring.summary(loaded, split, found))
    print(f"{len(examples)} examples in {seconds:.1f} s")
    for one in found.series.values():
        print("\n".join(lines_of(one)))
    return 0


def check_study_flags(flags: Sequence[str]) -> None:
    """Raise if a flag belongs to a study that was not selected with --study."""
    from saccade.studies import study

    for name in studies():
        if f"--{name}" in flags:
            raise InvalidInput(f"--{name} is now --study {name}; evaluate RUN --study {name} --help explains it")
        parser = Parser("evaluate", "")
        study(name).arguments(parser)
        if own := [flag for flag in flags if flag.partition("=")[0] in parser.options()]:
            raise InvalidInput(f"{own[0]} needs --study {name}")


def run_study(name: str, options: Namespace, flags: Sequence[str]) -> int:
    """Run a study, and print its findings."""
    from saccade.runs.ending import check_evidence, draw, keep_study
    from saccade.studies import study

    if options.keep:
        check_evidence(Path(options.run))  # a run without evidence is reported first
    found = study(name).find(options, flags, (lambda line: None) if options.json else say)
    if options.keep:
        keep_study(found.run, name, found.key, found.kept)
    if options.json:
        print(json.dumps(found.kept, indent=1, ensure_ascii=False))
    else:
        print("\n".join(found.lines), end="\n" if found.lines else "")
    for path in draw(found.pictures, Path(options.pictures) if options.pictures else found.run.folder.pictures):
        if not options.json:
            print(f"picture: {path}")
    return 0


def say(line: str) -> None:
    print(line, flush=True)
