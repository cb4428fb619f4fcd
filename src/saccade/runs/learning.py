"""A complete training, from configuration to weights, as each of its processes runs it."""

import json
import os
import shlex
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch

from saccade import __version__
from saccade.core.config import flatten, to_plain
from saccade.core.device import peak_memory, pick_device, to_device
from saccade.core.errors import InvalidInput
from saccade.core.products import install
from saccade.core.recipe import Objective, Recipe
from saccade.core.stream import ExampleStream, Stream, sizes_of
from saccade.core.task import Learning, Readable
from saccade.runs import beginning, foreign
from saccade.runs.ending import finish
from saccade.runs.memory import check_fits, numbers_kept, sized
from saccade.runs.run import OFFER, Run, assemble, build, resolved
from saccade.runs.scoring import score
from saccade.training.checkpoint import check_resumable
from saccade.training.config import TrainingConfig
from saccade.training.evidence import Cost, commit
from saccade.training.fit import Outcome, fit
from saccade.training.metrics import Report
from saccade.training.processes import Processes, launched
from saccade.training.random_state import seed_everything
from saccade.training.run_folder import RunFolder, one_writer
from saccade.training.splits import planned

FREE = (
    "training.steps", "training.device", "training.precision", "training.strategy", "training.tensor",
    "training.recompute", "training.threads",
)  # fmt: skip
Say = Callable[[str], None]


MOST = 10_000  # the most runs with the same name


class Order(NamedTuple):
    """The system to train, the folder, and the command's arguments."""

    path: Path
    named: bool
    """Whether the user named the path; otherwise a number may be appended."""
    system: str
    variant: str
    recipe: Recipe
    config: Any
    resumed: bool
    arguments: Sequence[str]


class Ready(NamedTuple):
    """A run that is ready to start or resume."""

    order: Order
    folder: RunFolder
    head: dict[str, Any]
    task: Any
    model: Any
    fingerprint: str


class Learned(NamedTuple):
    """A training that has ended and is to be scored."""

    run: Run
    head: dict[str, Any]
    cost: Cost


def carry_out(order: Order, say: Say, progress: Callable[[int], Any]) -> bool:
    """Train with all processes that were started, and score in the first one; returns whether the training ended.

    Args:
        say: prints a line.
        progress: steps -> a context manager whose value `fit` reports to.

    Raises:
        KeyboardInterrupt: it was interrupted before there was a run to resume.
    """
    device = order.config.training.device
    pick_device(device)
    processes = launched()
    with processes.alike():
        processes = laid_out(order, processes)
    ready: Ready | None = None
    try:
        with ExitStack() as held:
            with processes.joined(device):
                # the name contains the time, so all use that of the first process
                order = order._replace(path=Path(processes.agree(str(order.path))))
                with processes.watched(shlex.quote(str(order.path)) if order.resumed else None):
                    ready = prepared(order, processes, held, say)
                with processes.watched(shlex.quote(str(ready.folder.path))):
                    done, learned = trained(ready, processes, say, progress)
            # from here on the first process is alone, and the others do not wait for its score
            if processes.rank == 0 and done:
                if learned is None:
                    say(f"{ready.folder.path} has already finished; its evidence is unchanged")
                else:
                    finish(learned.run, learned.head, learned.cost, say)
    except KeyboardInterrupt:
        if ready is None:
            raise
        done = False
    if processes.rank == 0 and not done and ready is not None:
        start = "saccade" if processes.alone else "torchrun ... -m saccade"
        say(f"stopped; resume with: {start} train --resume {shlex.quote(str(ready.folder.path))}")
    return done


def laid_out(order: Order, processes: Processes) -> Processes:
    """The processes in the groups that the configuration describes.

    Raises:
        InvalidInput: the system, its sizes or the number of processes does not allow it.
    """
    recipe, training = order.recipe, order.config.training
    if not isinstance(training, TrainingConfig):
        return processes
    if training.tensor > 1:
        if recipe.shards is None:
            raise InvalidInput(
                f"{order.system} does not say how its layers can be split, so --training.tensor must be 1; "
                "--training.strategy fsdp2 shards any system"
            )
        recipe.shards(order.config)
    if training.recompute == "blocks" and not recipe.blocks:
        raise InvalidInput(
            f"{order.system} does not say what its blocks are, so --training.recompute must be none; "
            "a smaller --training.batch-size with --training.accumulate takes less memory, too"
        )
    return processes.in_groups(training.tensor)


def prepared(order: Order, processes: Any, held: ExitStack, say: Say) -> Ready:
    """Prepare the run, before the first step. A resumed run is only read, so it is unchanged if an error is found.

    Args:
        processes: the processes of this run; each calls this, and the first one writes.
        held: contexts to close at the end of the run.
    """
    recipe, folder = order.recipe, RunFolder(order.path)
    first, begun = processes.rank == 0, processes.agree(order.resumed and folder.last.exists())
    seed_everything(order.config.training.seed)
    with processes.common():
        # before the run is created, to report faults in the data now
        if order.named and not order.resumed:
            folder.check_free()
        head = head_of(order, folder)
        if first:
            say("reading the data")
        config = foreign.resolved(resolved(order.config, head), folder if order.resumed else None)
        task = recipe.task(config, folder.assets if begun else beginning.assets_of(config))
        description = task.describe()
        fingerprint = json.dumps({**head["config"], "data": {"sha256": description["sha256"]}})
    with processes.common():
        processes.check_same(flatten(json.loads(fingerprint)))
    with processes.common():
        if order.resumed:
            check_begun(folder, fingerprint, recipe.objective is not None)
        if not begun:
            kept = numbers_kept(config.training, processes.count)
            check_fits(lambda: recipe.build(config, task), config.training, kept, processes.local_count)
            rehearse(recipe, config, task)
            seed_everything(config.training.seed)  # restored, as if the rehearsal had drawn no random numbers
        if processes.tensor > 1 and recipe.shards is not None:
            planned(sized(lambda: recipe.build(config, task)), recipe.shards(config), processes.tensor)
        if first and not order.resumed:
            folder = claimed(order)
        if first:
            held.enter_context(one_writer(folder))
            if order.resumed:
                folder.make_folders()
            else:
                folder.write_head(head)
            if not begun:
                keep_assets(task, config, folder)
    folder = RunFolder(Path(processes.agree(str(folder.path))))
    with processes.common():
        if not first and not begun:  # equally frequent symbols may be in another order
            task = recipe.task(config, folder.assets)
        model = recipe.build(config, task)
        if not begun:
            beginning.start(model, config, task, order.system)
        install(model)
    if first:
        parameters = sum(parameter.numel() for parameter in model.parameters())
        title = f"{order.system} {order.variant}: {parameters:,} parameters"
        say(f"{title}; {description['data']}; the run is {folder.path}")
        if order.resumed and not begun and recipe.objective is not None:
            say("there is no checkpoint yet; training starts from the first step")
    return Ready(order._replace(config=config), folder, head, task, model, fingerprint)


def claimed(order: Order) -> RunFolder:
    """Create the folder of a new run; a default name that is taken gets a number."""
    folder = RunFolder(order.path)
    for number in range(2, MOST):
        try:
            folder.claim()
            return folder
        except InvalidInput:
            if order.named:
                raise
        folder = RunFolder(order.path.with_name(f"{order.path.name}-{number}"))
    raise InvalidInput(f"{order.path} and {MOST:,} similar names are taken; name the run with --out FOLDER")


def keep_assets(task: Any, config: Any, folder: RunFolder) -> None:
    """Write the assets: what the task learned, pretrained networks, and sample inputs."""
    if isinstance(task, Learning):
        task.save(folder.assets)
    foreign.keep(config, folder)
    if isinstance(task, Readable):
        folder.keep_inputs(task.examples_to_type(OFFER))


def head_of(order: Order, folder: RunFolder) -> dict[str, Any]:
    """The content of config.yaml: the command, the code's version, and the configuration."""
    command, started = "saccade train " + shlex.join(order.arguments), os.getcwd()
    if order.resumed:
        before = folder.head()
        begun, started = before.get("command", command), before.get("folder", "")
        changes = [argument for argument in order.arguments if argument.startswith("--") and argument[:8] != "--resume"]
        command = f"{begun}; {command}" if changes else begun
    # the commit at the start of the training, not at its end
    made_by = {"folder": started, "command": command, "version": __version__, "commit": commit()}
    # the version comes last, so that it is missing in an incomplete file
    return {"system": order.system, "variant": order.variant, "config": to_plain(order.config), **made_by}


def check_begun(folder: RunFolder, fingerprint: str, trains: bool) -> None:
    """Check that the run can be resumed; one that does not train has no checkpoint."""
    if trains and folder.weights.exists() and not folder.last.exists():
        raise InvalidInput(
            f"{folder.path} has already finished, and {folder.last} is missing, so it cannot be resumed; "
            "to train again, name another folder with --out"
        )
    check_resumable(folder, fingerprint, FREE)


def stream_of(recipe: Recipe, config: Any, task: Any, model: Any) -> Stream:
    """The training batches."""
    if recipe.stream is not None:
        return recipe.stream(config, task, model)
    training = config.training
    return ExampleStream(task, batch_size=training.batch_size, window=training.window, seed=training.seed)


def trained(ready: Ready, processes: Any, say: Say, progress: Callable[[int], Any]) -> tuple[bool, Learned | None]:
    """Train. Returns whether the training ended, and, in the first process, the run to score, unless it had ended
    before."""
    order, folder, task = ready.order, ready.folder, ready.task
    first, recipe, config = processes.rank == 0, order.recipe, order.config
    if recipe.objective is None:  # a run of zero steps
        if not first or folder.scored():
            return True, None
        folder.save_weights(ready.model)
        run = assemble(folder, order.system, order.variant, recipe, config, task, ready.model)
        return True, Learned(run, folder.head(), Cost(0.0, 0.0, peak_memory(run.device)))
    with progress(config.training.steps) if first else nullcontext(silent) as report:
        outcome = fitted(ready, recipe.objective, processes, report)
    memory = peak_memory(pick_device(config.training.device))  # before scoring, which may use more memory
    if not outcome.done or not first or (outcome.steps == outcome.before and folder.scored()):
        return outcome.done, None
    if outcome.steps < config.training.steps:
        say(f"ended after {outcome.steps} steps: {config.training.patience} validations without improvement")
    model = build(recipe, config, task)  # the trained model may be sharded
    folder.load_weights(model)
    run = assemble(folder, order.system, order.variant, recipe, config, task, model)
    pace = [row["counted_per_second"] for row in folder.read_metrics() if "counted_per_second" in row]
    cost = Cost(outcome.seconds, statistics.median(pace) if pace else 0.0, memory)
    return True, Learned(run, folder.head(), cost)


def fitted(ready: Ready, objective: Objective, processes: Any, report: Report) -> Outcome:
    """Call `fit`."""
    order, folder, task = ready.order, ready.folder, ready.task
    recipe, config = order.recipe, order.config

    def begin(steps_left: bool) -> None:
        # without new steps, the recorded commit remains
        folder.write_head(ready.head if steps_left else {**folder.head(), "config": ready.head["config"]})

    def evaluate(model: Any) -> float:
        """The decisive metric on the validation split, for an objective without a loss in evaluation."""
        run = Run(folder, order.system, order.variant, recipe, config, task, model, pick_device(config.training.device))
        return float(score(run, "validation")[0].figures[task.metric].value or 0)

    stream = stream_of(recipe, config, task, ready.model)
    return fit(
        ready.model, objective=objective, task=task, stream=stream, config=config.training, folder=folder,
        fingerprint=ready.fingerprint, report=report, resume=order.resumed, processes=processes, evaluate=evaluate,
        begin=begin if order.resumed else None, shards=recipe.shards(config) if recipe.shards else None,
        blocks=recipe.blocks,
    )  # fmt: skip


def silent(figures: Any) -> None:
    """The `report` of the other processes, which do not print."""


def rehearse(recipe: Recipe, config: Any, task: Any) -> None:
    """Find errors now that would otherwise end the run late: an example or a search that the model does not support."""
    model = recipe.build(config, task)
    with torch.no_grad():
        model.eval()
        for split in ("train", "validation", "test"):
            examples = task.examples(split)
            if not examples:
                continue
            sizes = sizes_of(task, examples)
            longest = max(range(len(examples)), key=lambda row: max(sizes[row]))
            batch = to_device(task.collate([examples[longest]]), torch.device("cpu"))
            try:
                if recipe.objective is not None:
                    recipe.objective(model, batch, 0)
            except InvalidInput as error:
                raise InvalidInput(f"the longest example of {split}: {error}") from None
            if split == "test":
                recipe.predict(model, batch, config)
        if recipe.objective is not None:  # last, since an example that does not fit is named above
            recipe.objective(model, stream_of(recipe, config, task, model).share(0).batch, 0)
