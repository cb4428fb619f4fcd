"""`saccade evaluate RUN --gradients`: how much of the gradient of an answer reaches a symbol of the source.

Of a symbol's log-probability, with respect to the embedding of each symbol of the source; by how many symbols follow
that one, which is how long a state has to remember it. 1 is the mean over all, so that systems can be compared. Once of
the trained model, and once of the same one before its training.
"""

import json
import shlex
import sys
from argparse import Namespace
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from torch import nn

from saccade.app.runs import Run, dtype_of, open_run
from saccade.core.errors import InvalidInput
from saccade.explain import plots
from saccade.explain.gradients import gradient_norms
from saccade.tasks.translation.task import TranslationTask
from saccade.tasks.translation.vocabulary import PAD
from saccade.training.device import to_device
from saccade.training.random_state import seed_everything
from saccade.training.run_folder import one_writer
from saccade.training.sampler import in_order

FIELD, MEASURED, FEWEST = "symbols_after", 200, 20
METRIC = "relative_gradient"


def evaluate(options: Namespace, flags: Sequence[str]) -> int:
    """What `saccade evaluate` does with --gradients; the flags are fields of the run's configuration."""
    run, split = open_run(options.run, *flags), options.split or "test"
    if not isinstance(run.task, TranslationTask):
        raise InvalidInput(f"{run.folder.path}: --gradients is for runs that translate, and {run.system} does not")
    if options.keep:
        run.folder.read_evidence()
    examples = run.task.examples(split)[:MEASURED]
    trained = by_distance(run, run.model, examples)
    seed_everything(run.config.training.seed)
    new = by_distance(run, run.recipe.build(run.config, run.task).to(run.device, dtype_of(run.config)), examples)
    rows: list[dict[str, Any]] = [
        {"value": str(distance), METRIC: mean, f"{METRIC}_untrained": new[distance][0], "pairs": pairs}
        for distance, (mean, pairs) in trained.items()
    ]
    found = {"split": split, "command": f"saccade {shlex.join(sys.argv[1:])}", "rows": rows}
    if options.keep:
        with one_writer(run.folder):
            run.folder.keep_beside("over", FIELD, found)
    title = f"{run.system} {run.variant}"
    series = {
        name: [(row["value"], row[metric]) for row in rows]
        for name, metric in (("trained", METRIC), ("untrained", f"{METRIC}_untrained"))
    }
    picture = plots.save(
        plots.curves(series, "symbols after it", "gradient (1: mean)", title),
        run.folder.pictures / "gradients",
        f"Norm of the gradient with respect to a symbol of the source, by how many follow it, of {title}",
    )
    if options.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return 0
    print("symbols after it  gradient (1: mean)  untrained  pairs")
    for row in rows:
        print(f"{row['value']:>16}  {row[METRIC]:>18.3f}  {row[f'{METRIC}_untrained']:>9.3f}  {row['pairs']:>5}")
    print(f"picture: {picture[0]}")
    return 0


def by_distance(run: Run, model: nn.Module, examples: Sequence[Any]) -> dict[int, tuple[float, int]]:
    """How many symbols of the source follow the one -> mean norm over all pairs, and pairs; few pairs are left out."""
    task: Any = run.task
    sums: defaultdict[int, list[float]] = defaultdict(list)
    model.eval()
    for rows in in_order([task.cost(example) for example in examples], run.config.training.batch_tokens):
        batch = to_device(task.collate([examples[row] for row in rows]), run.device)

        def answers(batch: Any = batch) -> Any:
            log_probs = model(batch.source, batch.source_mask, batch.target_inputs).log_probs()
            return log_probs.gather(2, batch.targets[..., None])[..., 0]

        norms = gradient_norms(model, "source", answers)
        lengths, wanted = batch.source_mask.sum(1).tolist(), (batch.targets != PAD).sum(1).tolist()
        for norm, length, count in zip(norms, lengths, wanted, strict=True):
            for place in range(length):
                sums[length - 1 - place] += norm[:count, place].tolist()
    every = [value for values in sums.values() for value in values]
    mean = sum(every) / len(every)
    return {
        distance: (sum(values) / len(values) / mean, len(values))
        for distance, values in sorted(sums.items())
        if len(values) >= FEWEST
    }
