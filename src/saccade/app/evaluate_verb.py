"""`saccade evaluate RUN`: the score of a run on a split."""

import json
import time
from collections.abc import Sequence

from saccade.app.arguments import Parser, run_first


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "evaluate",
        "Score a run on a split of its data, or of other data given as flags of its configuration.",
        "Examples:\n  saccade evaluate RUN --search.beam 1\n  saccade evaluate RUN --task.test my.en my.fr --json",
    )
    parser.add_argument("run", help="the folder that saccade train made")
    parser.add_argument("--split", default="test", help="train, validation or test (default: test)")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    options, rest = parser.parse_known_args(run_first("evaluate", arguments))

    from saccade.app.finish import scored, summary
    from saccade.app.runs import open_run

    loaded = open_run(options.run, *rest)
    examples = loaded.task.examples(options.split)
    begun = time.perf_counter()
    figures = scored(loaded, loaded.predictions(examples), examples)
    seconds = time.perf_counter() - begun
    if options.json:
        print(json.dumps(figures, indent=1, ensure_ascii=False))
        return 0
    print(summary(loaded, options.split, figures))
    print(f"{len(examples)} examples in {seconds:.1f} s")
    for row in figures.get("by_length", []):
        score = row[loaded.task.metric]
        print(f"  {row['words']:>6} words  {row['sentences']:>5} sentences  {loaded.task.metric} {score:.2f}")
    return 0
