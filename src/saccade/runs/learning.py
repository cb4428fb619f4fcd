"""A training from its configuration to its weights, as each of its processes goes through it."""

import json
import shlex
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import torch

from saccade import __version__
from saccade.core.config import flatten, to_plain
from saccade.core.device import to_device
from saccade.core.errors import InvalidInput
from saccade.core.recipe import Recipe
from saccade.core.stream import ExampleStream, Stream, sizes_of
from saccade.core.task import Learning, Readable
from saccade.runs import foreign
from saccade.runs.run import OFFER, Run, assemble, build
from saccade.runs.scoring import score
from saccade.training.device import peak_memory, pick_device
from saccade.training.evidence import Cost, commit
from saccade.training.fit import Outcome, Report, check_resumable, fit
from saccade.training.random_state import seed_everything
from saccade.training.run_folder import RunFolder, one_writer

FREE = ("training.steps", "training.device", "training.precision", "training.strategy", "training.threads")
Say = Callable[[str], None]


class Order(NamedTuple):
    """What is to be trained, where, and the arguments that said so."""

    path: Path
    system: str
    variant: str
    recipe: Recipe
    config: Any
    resumed: bool
    arguments: Sequence[str]


class Learned(NamedTuple):
    """A training that came to its end and is to be scored."""

    run: Run
    head: dict[str, Any]
    cost: Cost


def learn(
    order: Order, processes: Any, held: ExitStack, say: Say, progress: Callable[[int], Any]
) -> tuple[bool, Learned | None]:
    """Whether the training came to its end; and in the first process, what is to be scored, unless it was before.

    Args:
        processes: those that train together; each calls this, and the first one writes.
        held: what stays open until the run is done with.
        say: prints a line, in the first process.
        progress: steps -> a context manager that gives what `fit` reports to.
    """
    recipe, folder = order.recipe, RunFolder(order.path)
    first, begun = processes.rank == 0, processes.agree(order.resumed and folder.last.exists())
    seed_everything(order.config.training.seed)
    with processes.common():
        # before the run is made: faults of the data are reported now
        config = foreign.resolved(order.config, folder if order.resumed else None)
        task = recipe.task(config, folder.assets if begun else None)
        head, description = head_of(order, folder), task.describe()
        fingerprint = json.dumps({**head["config"], "data": {"sha256": description["sha256"]}})
    with processes.common():
        processes.check_same(flatten(json.loads(fingerprint)))
    with processes.common():
        if not begun:
            rehearse(recipe, config, task)
            seed_everything(config.training.seed)  # as if the rehearsal had drawn nothing
        open_folder(order, folder, head, fingerprint, first, held)
        if first and not begun:
            keep_assets(task, config, folder)
    with processes.common():
        if not first and not begun:  # what each learned from the same data may differ where symbols are equally common
            task = recipe.task(config, folder.assets)
        model = recipe.build(config, task)
    if first:
        parameters = sum(parameter.numel() for parameter in model.parameters())
        title = f"{order.system} {order.variant}: {parameters:,} parameters"
        say(f"{title}; {description['data']}; the run is {order.path}")
        if order.resumed and not begun:
            say("it has no checkpoint yet, and starts from its first step")
    order = order._replace(config=config)
    if recipe.objective is None:
        return True, untrained(order, folder, head, task, model) if first else None
    return fitted(order, folder, head, task, model, fingerprint, processes, say, progress)


def keep_assets(task: Any, config: Any, folder: RunFolder) -> None:
    """What a prediction needs: what the task learned, networks from elsewhere, and inputs to try."""
    if isinstance(task, Learning):
        task.save(folder.assets)
    foreign.keep(config, folder)
    if isinstance(task, Readable):
        folder.keep_inputs(task.examples_to_type(OFFER))


def head_of(order: Order, folder: RunFolder) -> dict[str, Any]:
    """What config.yaml says of a run: how it was started, by which code, and its configuration."""
    command = "saccade train " + shlex.join(order.arguments)
    if order.resumed:
        begun = folder.head().get("command", command)
        changes = [argument for argument in order.arguments if argument.startswith("--") and argument[:8] != "--resume"]
        command = f"{begun}; {command}" if changes else begun
    # the commit of what runs, not of what the source has become when it ends
    made_by = {"command": command, "version": __version__, "commit": commit()}
    # who made it comes last, so that a file that is cut off lacks it
    return {"system": order.system, "variant": order.variant, "config": to_plain(order.config), **made_by}


def open_folder(
    order: Order, folder: RunFolder, head: dict[str, Any], fingerprint: str, first: bool, held: ExitStack
) -> None:
    """Make the folder, or check that the run in it may go on; the first process holds it from here on."""
    if order.resumed:
        if folder.weights.exists() and not folder.last.exists():
            raise InvalidInput(
                f"{folder.path} came to its end before, and {folder.last} is gone, from which it could go on; "
                "to train anew give another --out"
            )
        folder.checkpoints.mkdir(exist_ok=True)
        check_resumable(folder, fingerprint, FREE)
    elif first:
        folder.create(head)
    if first:
        held.enter_context(one_writer(folder))
        if order.resumed:
            folder.write_head(head)


def stream_of(recipe: Recipe, config: Any, task: Any, model: Any) -> Stream:
    """The training batches."""
    if recipe.stream is not None:
        return recipe.stream(config, task, model)
    training = config.training
    return ExampleStream(task, batch_size=training.batch_size, window=training.window, seed=training.seed)


def untrained(order: Order, folder: RunFolder, head: dict[str, Any], task: Any, model: Any) -> Learned | None:
    """A run of no steps."""
    if folder.evidence.is_file():
        return None
    folder.save_weights(model)
    run = assemble(folder, order.system, order.variant, order.recipe, order.config, task, model)
    return Learned(run, head, Cost(0.0, 0.0, peak_memory(run.device)))


def fitted(
    order: Order, folder: RunFolder, head: dict[str, Any], task: Any, model: Any, fingerprint: str, processes: Any,
    say: Say, progress: Callable[[int], Any],
) -> tuple[bool, Learned | None]:  # fmt: skip
    """Train, and load the weights that are kept."""
    recipe, config, first = order.recipe, order.config, processes.rank == 0
    assert recipe.objective is not None

    def evaluate(trained: Any) -> float:
        """The decisive metric on validation, where no loss says how good the model is."""
        run = assemble(folder, order.system, order.variant, recipe, config, task, trained)
        return float(score(run, "validation")[0].figures[task.metric].value or 0)

    def train(report: Report) -> Outcome:
        device = pick_device(config.training.device)
        stream = stream_of(recipe, config, task, model.to(device))
        return fit(
            model, objective=recipe.objective, task=task, stream=stream, config=config.training, folder=folder,
            fingerprint=fingerprint, report=report, resume=order.resumed, processes=processes, evaluate=evaluate,
        )  # fmt: skip

    if first:
        with progress(config.training.steps) as report:
            outcome = train(report)
    else:
        outcome = train(lambda figures: None)
    memory = peak_memory(pick_device(config.training.device))  # before the scoring, which may take more
    scored = folder.evidence.is_file() and outcome.steps == outcome.before
    if not outcome.done or not first or scored:
        return outcome.done, None
    if outcome.steps < config.training.steps:
        better = "lower loss" if task.direction == "min" else "better validation"
        say(f"ended after {outcome.steps} steps: {config.training.patience} validations without a {better}")
    model = build(recipe, config, task)  # the trained one may be in shards
    folder.load_weights(model)
    run = assemble(folder, order.system, order.variant, recipe, config, task, model)
    pace = [row["counted_per_second"] for row in folder.read_metrics() if "counted_per_second" in row]
    cost = Cost(outcome.seconds, statistics.median(pace) if pace else 0.0, memory)
    return True, Learned(run, head, cost)


def rehearse(recipe: Recipe, config: Any, task: Any) -> None:
    """Raise now what would end the run long after its start: an example, or a search, that the model cannot take."""
    model = recipe.build(config, task)
    with torch.no_grad():
        if recipe.objective is not None:
            batch = stream_of(recipe, config, task, model).share(0).batch
            recipe.objective(model.eval(), batch, 0)
        for split in ("train", "validation", "test"):
            examples = task.examples(split)
            if not examples:
                continue
            sizes = sizes_of(task, examples)
            longest = max(range(len(examples)), key=lambda row: max(sizes[row]))
            batch = to_device(task.collate([examples[longest]]), torch.device("cpu"))
            try:
                if recipe.objective is not None:
                    recipe.objective(model.eval(), batch, 0)
            except InvalidInput as error:
                raise InvalidInput(f"the longest example of {split}: {error}") from None
            if split == "test":
                recipe.predict(model, batch, config)
