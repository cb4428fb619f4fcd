"""A training from its configuration to its weights, as each of its processes goes through it."""

import json
import os
import shlex
import statistics
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch

from saccade import __version__
from saccade.app.runs import Run, assemble, dtype_of, resolved
from saccade.core.config import flatten, to_plain
from saccade.core.errors import InvalidInput
from saccade.training import require_engine
from saccade.training.device import peak_memory, pick_device
from saccade.training.evidence import Cost, commit
from saccade.training.memory import check_fits, numbers_kept
from saccade.training.random_state import seed_everything
from saccade.training.run_folder import RunFolder, one_writer

FREE = ("training.steps", "training.device", "training.precision", "training.strategy", "training.threads")
MOST = 10_000  # runs of one name


class Order(NamedTuple):
    """What is to be trained, where, and the arguments that said so."""

    path: Path
    named: bool
    """Whether the user named the path; otherwise a number may be appended to it."""
    system: str
    variant: str
    recipe: Any
    config: Any
    resumed: bool
    arguments: Sequence[str]


class Ready(NamedTuple):
    """A run that may begin, or go on: its folder, and what will be trained."""

    order: Order
    folder: RunFolder
    head: dict[str, Any]
    task: Any
    model: Any
    fingerprint: str


class Learned(NamedTuple):
    """What came to its end and is to be scored."""

    run: Run
    head: dict[str, Any]
    cost: Cost


def prepared(order: Order, processes: Any, held: ExitStack) -> Ready:
    """All that comes before the first step. A run that goes on is only read, so that it stays as it was if refused.

    Args:
        processes: those that train together; each calls this, and the first one writes.
        held: what is open until the run is done with.
    """
    recipe, config, folder = order.recipe, order.config, RunFolder(order.path)
    first, begun = processes.rank == 0, processes.agree(order.resumed and folder.last.exists())
    seed_everything(config.training.seed)
    with processes.common():
        # before the run is made: what is wrong with the data is told now
        if order.named and not order.resumed:
            folder.check_free()
        head = head_of(order, folder)
        task = recipe.task(resolved(config, head), folder.assets if begun else None)
        task.examples("train")
        require_engine()
        description = task.describe()
        fingerprint = json.dumps({**head["config"], "data": {"sha256": description["sha256"]}})
    with processes.common():
        processes.check_same(flatten(json.loads(fingerprint)))
    with processes.common():
        if order.resumed:
            check_begun(folder, fingerprint)
        kept = numbers_kept(config.training, processes.count)
        check_fits(lambda: recipe.build(config, task), config.training, kept, processes.local_count)
        if not begun:
            rehearse(recipe, config, task)
            seed_everything(config.training.seed)  # what the rehearsal drew is as if it had not been
        if first and not order.resumed:
            folder = claimed(order)
        if first:
            held.enter_context(one_writer(folder))
            if order.resumed:
                folder.make_folders()
            else:
                folder.write_head(head)
            if not begun:
                task.save(folder.assets)
    folder = RunFolder(Path(processes.agree(str(folder.path))))
    with processes.common():
        if not first and not begun:  # what each learned from the same data may differ, where symbols are equally common
            task = recipe.task(resolved(config, head), folder.assets)
        model = recipe.build(config, task)
    if first:
        parameters = sum(parameter.numel() for parameter in model.parameters())
        title = f"{order.system} {order.variant}: {parameters:,} parameters"
        print(f"{title}; {description['data']}; the run is {folder.path}", flush=True)
        if order.resumed and not begun:
            print("it has no checkpoint yet, and starts from its first step", flush=True)
    return Ready(order, folder, head, task, model, fingerprint)


def claimed(order: Order) -> RunFolder:
    """The folder of a new run, which no other process has; numbered where the name is taken and was not given."""
    folder = RunFolder(order.path)
    for number in range(2, MOST):
        try:
            folder.claim()
            return folder
        except InvalidInput:
            if order.named:
                raise
        folder = RunFolder(order.path.with_name(f"{order.path.name}-{number}"))
    raise InvalidInput(f"{order.path} and {MOST:,} names like it are taken; name the run with --out FOLDER")


def head_of(order: Order, folder: RunFolder) -> dict[str, Any]:
    """What config.yaml says of a run: how it was started, by which code, and its configuration."""
    command, started = "saccade train " + shlex.join(order.arguments), os.getcwd()
    if order.resumed:
        before = folder.head()
        begun, started = before.get("command", command), before.get("folder", "")
        changes = [argument for argument in order.arguments if argument.startswith("--") and argument[:8] != "--resume"]
        command = f"{begun}; {command}" if changes else begun
    # the commit of what runs, not of what the source has become when it ends
    made_by = {"folder": started, "command": command, "version": __version__, "commit": commit()}
    # who made it comes last, so that a file that is cut off lacks it
    return {"system": order.system, "variant": order.variant, "config": to_plain(order.config), **made_by}


def check_begun(folder: RunFolder, fingerprint: str) -> None:
    """Raise unless the run may go on."""
    from saccade.training.fit import check_resumable

    if folder.weights.exists() and not folder.last.exists():
        raise InvalidInput(
            f"{folder.path} came to its end before, and {folder.last} is gone, from which it could go on; "
            "to train anew give another --out"
        )
    check_resumable(folder, fingerprint, FREE)


def fitted(ready: Ready, processes: Any) -> tuple[bool, Learned | None]:
    """Train: whether it came to its end, and then, in the first process, what is to be scored, if it was not before."""
    from saccade.app.progress import progress
    from saccade.training.fit import fit

    order, folder, task = ready.order, ready.folder, ready.task
    first, recipe, config = processes.rank == 0, order.recipe, order.config

    def begin(steps_left: bool) -> None:
        # without steps to take, the code that ran is that of before
        folder.write_head(ready.head if steps_left else {**folder.head(), "config": ready.head["config"]})

    shown: Any = progress(config.training.steps) if first else nullcontext()
    with shown as report:
        objective = recipe.objective or task.objective
        outcome = fit(
            ready.model, objective, task, config.training, folder, ready.fingerprint, report, order.resumed, processes,
            begin if order.resumed else None,
        )  # fmt: skip
    memory = peak_memory(pick_device(config.training.device))  # before the scoring, which may take more
    if not outcome.done or not first or (outcome.steps == outcome.before and folder.scored()):
        return outcome.done, None
    if outcome.steps < config.training.steps:
        print(f"ended after {outcome.steps} steps: {config.training.patience} validations without a lower loss")
    model = recipe.build(config, task).to(dtype_of(config))  # the trained one may be in shards
    folder.load_weights(model)
    run = assemble(folder, order.system, order.variant, recipe, config, task, model)
    pace = [row["tokens_per_second"] for row in folder.read_metrics() if "tokens_per_second" in row]
    cost = Cost(outcome.seconds, statistics.median(pace) if pace else 0.0, memory)
    return True, Learned(run, folder.head(), cost)


def rehearse(recipe: Any, config: Any, task: Any) -> None:
    """Raise what would end the run long after its start: a sentence, or a search, that the model cannot take."""
    model = recipe.build(config, task).eval()
    objective = recipe.objective or task.objective
    with torch.inference_mode():
        for split in ("train", "validation", "test"):
            batch = task.collate([max(task.examples(split), key=lambda example: max(task.cost(example)))])
            try:
                objective(model, batch, 0)
            except InvalidInput as error:
                raise InvalidInput(f"the longest example of {split}: {error}") from None
        recipe.predict(model, batch, config)
