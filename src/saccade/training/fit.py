"""A model is trained on examples until its end, by the training engine. It knows a model, an objective and examples.

A run that is killed at any moment goes on from its last checkpoint and ends, on a CPU, bit-identical to one that was
not: the batch of a step is a function of seed and step, and weights, optimizer, schedule and random state are in the
checkpoint.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from saccade.core.config import flatten
from saccade.core.errors import InvalidInput
from saccade.core.recipe import Task
from saccade.training.checkpoint import read_checkpoint
from saccade.training.config import TrainingConfig
from saccade.training.device import threads
from saccade.training.engine import quiet, trainer_for
from saccade.training.keeper import Keeper, Objective, Report
from saccade.training.module import Fit, Share, interruptible
from saccade.training.processes import Processes
from saccade.training.random_state import derived, seed_everything
from saccade.training.run_folder import RunFolder, check_fit, read_tensors
from saccade.training.sampler import BatchSampler, in_order
from saccade.training.sharding import separate_layers

ALONE = Processes()


class Outcome(NamedTuple):
    """Of a training: whether it came to its end, its steps, and its seconds, earlier parts of the run included."""

    done: bool
    steps: int
    seconds: float
    before: int
    """Steps of those earlier parts."""


def fit(
    model: nn.Module,
    objective: Objective,
    task: Task,
    config: TrainingConfig,
    folder: RunFolder,
    fingerprint: str,
    report: Report,
    resume: bool = False,
    processes: Processes = ALONE,
    begin: Callable[[bool], None] | None = None,
) -> Outcome:
    """Train until `config.steps`, or until Ctrl-C; then the weights to keep are in the folder.

    Of several processes each calls this with the same arguments, and takes its share of every batch; the first writes.
    The model may be in shards afterwards: build it anew, and load the weights.

    Args:
        fingerprint: the configuration as text; a checkpoint of another one is refused by `check_resumable`.
        report: called with each line of the metrics, which holds `step`, in the first process.
        resume: go on from the last checkpoint, or from the start where there is none.
        begin: called in the first process once nothing can be refused any more, with whether there are steps to take.
    """
    quiet()
    checkpoint = folder.last if resume and folder.last.exists() else None
    if processes.rank:  # dropout of its own; the first draws what one process would
        seed_everything(derived(config.seed, processes.rank, 0))
    kept: Mapping[str, Any] = {"global_step": 0, "saccade": {}}
    if checkpoint is not None:
        with processes.common():
            kept = readable(model, config, folder)
    before, earlier = kept["global_step"], kept["saccade"]
    early = config.patience is not None and earlier.get("waited", 0) >= config.patience
    ended = early or before >= config.steps
    if ended and processes.agree(folder.scored()):
        return Outcome(True, before, earlier["seconds"], before)
    if early:
        outcome = Outcome(True, before, earlier["seconds"], before)
    else:
        module = Fit(model, objective, config, processes)
        if config.strategy == "fsdp2" and not processes.alone:
            batch = task.collate(task.examples("train")[:1])
            module.layers = separate_layers(model, lambda: objective(model, batch, 0))
        keeper = Keeper(folder, validation_batches(task, config), fingerprint, report, processes)
        trainer = trainer_for(config, keeper, before)
        batches = training_batches(task, config, processes, before)
        processes.hurry()
        if begin is not None and processes.rank == 0:
            begin(not ended)
        with interruptible(module), threads(config.threads):
            trainer.fit(module, batches, ckpt_path=checkpoint, weights_only=True)
        steps = trainer.global_step
        outcome = Outcome(keeper.ended or steps >= config.steps, steps, keeper.tick(), before)
    if processes.rank == 0:
        if outcome.done:
            folder.save_weights(model, final_weights(folder, config))
        folder.write_csv()
    return outcome


def readable(model: nn.Module, config: TrainingConfig, folder: RunFolder) -> dict[str, Any]:
    """The last checkpoint.

    Raises:
        InvalidInput: it is of another model, or of a step behind the end; the metrics, or other weights that the end
            will read, are damaged.
    """
    kept = read_checkpoint(folder.last)
    weights = {name.removeprefix("model."): tensor for name, tensor in kept["state_dict"].items()}
    check_fit(model, weights, str(folder.last))
    if kept["global_step"] > config.steps:
        raise InvalidInput(f"{folder.path} has done {kept['global_step']} steps; it cannot end after {config.steps}")
    # what the end will read is read now, before steps are taken in vain
    folder.read_metrics()
    if config.average > 1:
        for path in folder.earlier().values():
            read_tensors(path)
    if config.keep == "best" and folder.best.exists():
        read_checkpoint(folder.best)
    return kept


def training_batches(task: Task, config: TrainingConfig, processes: Processes, done: int) -> Any:
    """A loader of this process's shares of the batches after so many steps."""
    examples, rank, count = task.examples("train"), processes.rank, processes.count
    batches = config.steps * config.accumulate
    sampler = BatchSampler([task.cost(e) for e in examples], config.batch_tokens, config.window, config.seed, batches)
    sampler.start = done * config.accumulate

    def share(rows: list[Any]) -> Share:
        own = rows[rank::count]
        return Share(task.collate(own or rows[:1]), len(own))

    return DataLoader(Examples(examples), batch_sampler=sampler, collate_fn=share, generator=torch.Generator())


def validation_batches(task: Task, config: TrainingConfig) -> list[Share]:
    """All of them, whole: each process looks at its own share of them."""
    examples = task.examples("validation")
    batches = in_order([task.cost(example) for example in examples], config.batch_tokens)
    return [Share(task.collate([examples[i] for i in batch]), len(batch)) for batch in batches]


def final_weights(folder: RunFolder, config: TrainingConfig) -> dict[str, Tensor]:
    """The weights to keep, of a run that came to its end."""
    if config.average > 1:
        return folder.mean_of_earlier(config.average)
    best = config.keep == "best" and folder.best.exists()
    weights = read_checkpoint(folder.best if best else folder.last)["state_dict"]
    return {name.removeprefix("model."): tensor for name, tensor in weights.items()}


class Examples(torch.utils.data.Dataset[Any]):
    def __init__(self, examples: Sequence[Any]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Any:
        return self.examples[index]


def check_resumable(folder: RunFolder, fingerprint: str, free: Sequence[str]) -> None:
    """Raise where the run was made under another configuration, or on other data.

    Raises:
        InvalidInput: naming what differs, the free fields aside.
    """
    made = [flatten(folder.head()["config"])]
    if folder.last.exists():
        made.append(flatten(json.loads(read_checkpoint(folder.last)["saccade"]["config"])))
    now = flatten(json.loads(fingerprint))
    for then in made:
        for name in sorted(set(then) & set(now)):
            if name not in free and then[name] != now[name]:
                raise InvalidInput(
                    f"{folder.path} was trained with {name} = {then[name]}, not {now[name]}; "
                    f"only {', '.join(free)} may change in a run that goes on"
                )
