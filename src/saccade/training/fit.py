"""The training loop over the batches of a stream.

A run that is killed at any moment resumes from its last checkpoint, and on a CPU ends bit-identical to an uninterrupted
one: stream, weights, optimizer, schedule, averages and random state are in the checkpoint.
"""

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.utils._pytree import tree_map

from saccade.core.device import threads
from saccade.core.recipe import Objective, Split
from saccade.core.stream import StatefulStream, Stream
from saccade.core.task import Task
from saccade.training.checkpoint import final_weights, read_last, restore_optimizer, restore_tensors, write_checkpoint
from saccade.training.config import TrainingConfig
from saccade.training.metrics import Metrics, Report
from saccade.training.optimizers import MovingAverage, build_optimizer, rate_at, state_of
from saccade.training.processes import Processes
from saccade.training.random_state import derived, random_state, restore_random_state, seed_everything
from saccade.training.run_folder import RunFolder
from saccade.training.sharding import clip, recompute, shared_loss, whole
from saccade.training.signals import interruptible
from saccade.training.tensors import ties
from saccade.training.update import Gradients
from saccade.training.validate import Evaluate, Validation

ALONE = Processes()


class Outcome(NamedTuple):
    """The outcome of a training; the seconds are those of the whole run, `before` is the number of steps of its earlier
    parts."""

    done: bool
    steps: int
    seconds: float
    before: int


def fit(
    model: nn.Module,
    *,
    objective: Objective,
    task: Task,
    stream: Stream,
    config: TrainingConfig,
    folder: RunFolder,
    fingerprint: str,
    report: Report,
    resume: bool = False,
    processes: Processes = ALONE,
    evaluate: Evaluate | None = None,
    begin: Callable[[bool], None] | None = None,
    shards: Mapping[str, Split] | None = None,
    blocks: Sequence[str] = (),
) -> Outcome:
    """Train until `config.steps` or Ctrl-C; at the end the final weights are in the folder.

    Several processes call this with the same arguments; each computes its share of every batch, and the first one
    writes. The model may be sharded afterwards: build a new one, and load the weights.

    Args:
        fingerprint: the configuration as text; `check_resumable` compares it with that of the checkpoint.
        report: called in the first process with each line of the metrics, which contains `step`.
        resume: continue from the last checkpoint, or start from the beginning if there is none.
        evaluate: the decisive metric on the validation split; called if the objective has no loss in evaluation.
        begin: called in the first process after all checks, with whether there are steps to take.
        shards: how groups of processes split the layers, by patterns of names, if there are such groups.
        blocks: patterns of the modules that are computed again in the backward pass, if the configuration says so.
    """
    kept: dict[str, Any] | None = None
    # each process has its own dropout, but a group has the same; the first draws the same as a single process
    if processes.data_rank:
        seed_everything(derived(config.seed, processes.data_rank, 0))
    if config.recompute == "blocks":
        recompute(model, blocks)
    if resume and folder.last.exists():
        with processes.common():
            kept = read_last(model, config, folder)
    early = bool(kept and config.patience is not None and kept["waited"] >= config.patience)
    ended = early or (kept is not None and kept["step"] >= config.steps)
    if kept and ended and processes.agree(folder.scored()):
        return Outcome(True, kept["step"], kept["seconds"], kept["step"])
    if begin is not None and processes.rank == 0:
        begin(not ended)
    if kept and early:
        outcome = Outcome(True, kept["step"], kept["seconds"], kept["step"])
    else:
        with interruptible(processes.alone) as stop, threads(config.threads), shared_loss(processes):
            validation = Validation(task, config, processes, evaluate)
            gradients = Gradients(model, objective, config, processes, stop, validation.example, shards)
            training = Training(gradients, validation, stream, folder, fingerprint)
            outcome = training.run(kept or {"step": 0, "window": []}, report)
    if processes.rank == 0:
        if outcome.done:
            folder.save_weights(model, final_weights(folder, config))
        folder.write_csv()
    return outcome


class Training:
    """A training in progress."""

    def __init__(
        self, gradients: Gradients, validation: Validation, stream: Stream, folder: RunFolder, fingerprint: str
    ) -> None:
        self.gradients, self.validation, self.stream = gradients, validation, stream
        self.folder, self.fingerprint = folder, fingerprint
        self.config, self.processes = gradients.config, gradients.processes
        self.stateful = stream if isinstance(stream, StatefulStream) else None
        self.optimizer = build_optimizer(self.config, gradients.weights)
        self.average = MovingAverage(gradients.model, self.config.ema) if self.config.ema is not None else None
        self.step = self.waited = 0  # number of updates; validations since the best one
        self.best, self.seconds, self.ended = math.inf, 0.0, False

    def run(self, kept: Mapping[str, Any], report: Report) -> Outcome:
        """Train, from a checkpoint or from the beginning."""
        before, first = kept["step"], self.processes.rank == 0
        self.metrics = Metrics(self.folder if first else None, report, before, kept["window"])
        if before:
            self.restore(kept)
        if first:
            self.prune()
        self.clock = time.perf_counter()
        try:
            self.loop()
        finally:
            self.metrics.close()
        return Outcome(self.ended, self.step, self.seconds, before)

    def loop(self) -> None:
        config, gradients = self.config, self.gradients
        rank, count = self.processes.data_rank, self.processes.data_count
        self.ended = self.step >= config.steps
        while not self.ended and not gradients.stopping:
            gradients.begin()
            for batch in range(self.step * config.accumulate, (self.step + 1) * config.accumulate):
                loss = gradients.add(self.stream.share(batch, rank, count), self.step)
                if self.stateful is not None:
                    self.stateful.after(batch, loss)
            update = gradients.finish()
            if update.loss is not None:
                if config.clip is not None:
                    clip(gradients.weights, config.clip)
                for group in self.optimizer.param_groups:
                    group["lr"] = config.learning_rate * rate_at(config, self.step)
                self.optimizer.step()
            self.step += 1
            if self.average is not None:
                self.average.update(self.step)
            self.metrics.window.append(update)
            last = self.step == config.steps
            if self.step % config.log_every == 0 or last:
                self.log()
            if self.step % config.validate_every == 0 or last:
                self.validate()
            self.ended = last or (config.patience is not None and self.waited >= config.patience)
            if self.step % config.checkpoint_every == 0 or self.ended or gradients.stopping:
                self.checkpoint()

    def log(self) -> None:
        self.check_finite()
        rate = self.config.learning_rate * rate_at(self.config, self.step - 1)
        self.metrics.record(self.step, {**self.metrics.figures(), "learning_rate": rate})

    def validate(self) -> None:
        started = time.perf_counter()
        with self.average.in_place() if self.average is not None else nullcontext():
            name, value, cost = self.validation(self.gradients, self.step)
        self.metrics.record(self.step, {name: value})
        better = cost < self.best
        self.best, self.waited = min(self.best, cost), 0 if better else self.waited + 1
        if better and self.config.keep == "best":
            self.write(self.folder.best, self.weights())
        self.metrics.since += time.perf_counter() - started

    def check_finite(self) -> None:
        """Called before a line is written, and before a good checkpoint is replaced."""
        if not self.metrics.finite():
            self.processes.refuse(
                f"the loss is not finite at step {self.step}; try a smaller --training.learning-rate or --training.clip"
            )

    def weights(self) -> dict[str, Any]:
        """The weights of the model, and their moving averages, in shards if they are sharded."""
        return {"model": self.gradients.call.weights(), "average": self.average.means if self.average else {}}

    def write(self, path: Path, state: Mapping[str, Any]) -> None:
        named = {**state, "step": self.step, "config": self.fingerprint}
        write_checkpoint(path, named, self.processes.rank == 0)

    def checkpoint(self) -> None:
        """Write a checkpoint with everything that a resumed run needs."""
        now = time.perf_counter()
        self.seconds, self.clock = self.seconds + now - self.clock, now
        self.check_finite()
        weights, config = self.weights(), self.config
        state = {
            "optimizer": {"state": state_of(self.optimizer, self.gradients.weights)},
            "streams": self.processes.gather_data(on_cpu(self.stateful.state_dict())) if self.stateful else [],
            "random": self.processes.gather_data(random_state()),
            "best": self.best,
            "waited": self.waited,
            "seconds": self.seconds,
            "window": self.metrics.state(),
        }
        first = self.processes.rank == 0
        if config.average > 1 and (self.ended or self.step % config.checkpoint_every == 0):
            # before the checkpoint itself, so that an existing checkpoint always has its weights
            complete = whole(weights["model"])
            if first:
                self.folder.save_earlier(self.step, complete, ties(self.gradients.model))
        self.write(self.folder.last, weights | state)
        if first:
            self.prune()

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.step, self.best, self.waited, self.seconds = (kept[name] for name in ("step", "best", "waited", "seconds"))
        path, processes = self.folder.last, self.processes
        restore_tensors(path, kept, "model", self.gradients.call.weights())
        if self.average is not None:
            restore_tensors(path, kept, "average", self.average.means)
        restore_optimizer(path, kept, self.optimizer, self.gradients.weights)
        if self.stateful is not None:
            states = kept["streams"] if any(kept["streams"]) else [{}] * processes.data_count
            if (count := len(states)) != processes.data_count:
                processes.refuse(
                    f"{self.folder.path} was trained by {count} process{'es' * (count > 1)}, and each process carries "
                    f"a state from batch to batch; resume it with {count}, not {processes.data_count}"
                )
            self.stateful.load_state_dict(copy.deepcopy(states[processes.data_rank]))
        if len(kept["random"]) == processes.data_count:
            restore_random_state(kept["random"][processes.data_rank])
        else:  # the number of processes has changed
            seed_everything(derived(self.config.seed, processes.data_rank, self.step))

    def prune(self) -> None:
        config = self.config
        last = self.step if self.ended else config.steps
        self.folder.prune_earlier(self.step, config.checkpoint_every, last, config.average)


def on_cpu(state: Any) -> Any:
    return tree_map(lambda own: own.detach().cpu() if isinstance(own, Tensor) else own, state)
