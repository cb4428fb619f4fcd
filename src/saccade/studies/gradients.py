"""How much of the gradient of an answer reaches each source symbol, by the number of symbols that follow it.

The gradient is that of a target symbol's log-probability with respect to the embedding of each source symbol. The more
symbols follow one, the longer a state has to remember it. Values are relative to the mean over all, so that systems can
be compared; the model is measured after training and before it.
"""

import argparse
import shlex
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from saccade.core.device import to_device
from saccade.core.errors import InvalidInput
from saccade.core.stream import in_order, sizes_of
from saccade.explain.gradients import gradient_norms
from saccade.explain.pictures.curve import Curve
from saccade.explain.plots.series import Line
from saccade.runs.run import Run, build, open_run
from saccade.studies import Found, Study
from saccade.tasks.translation.task import TranslationTask
from saccade.tasks.translation.vocabulary import PAD
from saccade.training.random_state import seed_everything

MEASURED, FEWEST = 200, 20  # number of examples; the fewest pairs of symbols per distance
METRIC = "relative_gradient"


def arguments(parser: argparse.ArgumentParser) -> None:
    pass


def find(options: argparse.Namespace, flags: Sequence[str], report: Callable[[str], None]) -> Found:
    run, split = open_run(options.run, *flags), options.split or "test"
    if not isinstance(run.task, TranslationTask):
        raise InvalidInput(f"{run.folder.path}: this study needs a run that translates; {run.system} does not")
    examples = run.task.examples(split)[:MEASURED]
    trained = by_distance(run, run.model, examples)
    seed_everything(run.config.training.seed)
    new = by_distance(run, build(run.recipe, run.config, run.task).to(run.device), examples)
    rows: list[dict[str, Any]] = [
        {"value": str(distance), METRIC: mean, f"{METRIC}_untrained": new[distance][0], "pairs": pairs}
        for distance, (mean, pairs) in trained.items()
    ]
    kept = {"split": split, "command": f"saccade {shlex.join(sys.argv[1:])}", "rows": rows}
    lines = ["symbols after it  gradient (1: mean)  untrained  pairs"]
    lines += [
        f"{row['value']:>16}  {row[METRIC]:>18.3f}  {row[f'{METRIC}_untrained']:>9.3f}  {row['pairs']:>5}"
        for row in rows
    ]
    lines_of = {
        name: Line([row["value"] for row in rows], [row[key] for row in rows])
        for name, key in (("trained", METRIC), ("untrained", f"{METRIC}_untrained"))
    }
    picture = Curve("gradients", lines_of, "symbols after it", "gradient (1: mean)", run.title)
    return Found(run, "symbols_after", kept, lines, [picture])


def by_distance(run: Run, model: nn.Module, examples: Sequence[Any]) -> dict[int, tuple[float, int]]:
    """The mean norm, and the number of pairs, by the number of later source symbols; distances with few pairs are left
    out."""
    task: Any = run.task
    sums: defaultdict[int, list[float]] = defaultdict(list)
    model.eval()
    for rows in in_order(sizes_of(task, examples), run.config.training.batch_size):
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


STUDY = Study(title="the norm of the gradient at each source symbol", arguments=arguments, find=find)
