"""The loop: a model is trained on the batches of a stream until its end.

A run that is killed at any moment goes on from its last checkpoint and ends, on a CPU, bit-identical to one that was
not: stream, weights, optimizer, schedule, averages and random state are in the checkpoint.
"""

import copy
import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from saccade.core.errors import InvalidInput
from saccade.core.recipe import Objective
from saccade.core.stream import StatefulStream, Stream
from saccade.core.task import Task
from saccade.training.checkpoint import final_weights, read_last, write_checkpoint
from saccade.training.config import TrainingConfig
from saccade.training.device import threads
from saccade.training.metrics import Metrics, Report
from saccade.training.optimizers import MovingAverage, build_optimizer, rate_at
from saccade.training.processes import Processes
from saccade.training.random_state import derived, random_state, restore_random_state, seed_everything
from saccade.training.run_folder import RunFolder, ties
from saccade.training.sharding import shard_like, whole
from saccade.training.signals import interruptible
from saccade.training.update import Gradients
from saccade.training.validate import Evaluate, Validation

ALONE = Processes()


class Outcome(NamedTuple):
    """What a training came to."""

    done: bool
    """It has no steps left."""
    steps: int
    seconds: float
    """Earlier parts of the run included."""
    before: int
    """Steps of those earlier parts."""


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
) -> Outcome:
    """Train until `config.steps`, or until Ctrl-C; at the end the weights to keep are in the folder.

    Several processes call this with the same arguments; each takes its share of every batch, and the first writes.
    The model may be sharded afterwards: build it anew, and load the weights.

    Args:
        fingerprint: the configuration as text; `check_resumable` refuses a checkpoint of another one.
        report: called in the first process with each line of the metrics, which holds `step`.
        resume: go on from the last checkpoint, or from the start where there is none.
        evaluate: the decisive metric on the validation split; called where the objective has no loss in evaluation.
    """
    kept: dict[str, Any] | None = None
    if processes.rank:  # dropout of its own; the first draws what one process would
        seed_everything(derived(config.seed, processes.rank, 0))
    if resume and folder.last.exists():
        with processes.common():
            kept = read_last(model, config, folder)
    if kept and config.patience is not None and kept["waited"] >= config.patience:  # it ended early, and is done
        outcome = Outcome(True, kept["step"], kept["seconds"], kept["step"])
    else:
        with interruptible(processes.alone) as stop, threads(config.threads):
            validation = Validation(task, config, processes, evaluate)
            gradients = Gradients(model, objective, config, processes, lambda: stop.asked, validation.example)
            training = Training(gradients, stream, validation, config, folder, fingerprint, processes)
            outcome = training.run(kept, report)
    if processes.rank == 0:
        if outcome.done:
            folder.save_weights(model, final_weights(folder, config))
        folder.write_csv()
    return outcome


class Training:
    """A run under way."""

    def __init__(
        self,
        gradients: Gradients,
        stream: Stream,
        validation: Validation,
        config: TrainingConfig,
        folder: RunFolder,
        fingerprint: str,
        processes: Processes,
    ) -> None:
        self.gradients, self.stream, self.validation, self.config = gradients, stream, validation, config
        self.folder, self.fingerprint, self.processes = folder, fingerprint, processes
        self.stateful = stream if isinstance(stream, StatefulStream) else None
        self.optimizer = build_optimizer(config, gradients.weights)
        self.average = MovingAverage(gradients.model, config.ema) if config.ema is not None else None
        self.step = self.waited = 0  # updates; validations since the best one
        self.best: float | None = None
        self.seconds = 0.0
        self.ended = False

    def run(self, kept: Mapping[str, Any] | None, report: Report) -> Outcome:
        """Train from a checkpoint on, or from the start."""
        if kept is not None:
            self.restore(kept)
        before, first = self.step, self.processes.rank == 0
        self.metrics = Metrics(self.folder if first else None, report, before, kept["window"] if kept else [])
        if first:
            self.keep_earlier()
        if kept is not None:
            self.restore_random(kept)
        self.clock = time.perf_counter()
        try:
            self.loop()
        finally:
            self.metrics.close()
        return Outcome(self.ended, self.step, self.seconds, before)

    def loop(self) -> None:
        config, gradients, metrics = self.config, self.gradients, self.metrics
        rank, count = self.processes.data_rank, self.processes.data_count
        self.ended = self.step >= config.steps
        while not self.ended and not gradients.stopping:
            for batch in range(self.step * config.accumulate, (self.step + 1) * config.accumulate):
                loss = gradients.add(self.stream.share(batch, rank, count), self.step)
                if self.stateful is not None:
                    self.stateful.after(batch, loss)
            update = gradients.finish()
            if update.loss is not None:
                self.change(config.learning_rate * rate_at(config, self.step))
            gradients.begin()
            self.step += 1
            if self.average is not None:
                self.average.update(self.step)
            metrics.window.append(update)
            last = self.step == config.steps
            if self.step % config.log_every == 0 or last:
                self.log()
            if self.step % config.validate_every == 0 or last:
                self.validate()
            self.ended = last or (config.patience is not None and self.waited >= config.patience)
            if self.step % config.checkpoint_every == 0 or self.ended or gradients.stopping:
                self.checkpoint()

    def change(self, rate: float) -> None:
        """Clip the gradients, and change the weights."""
        if self.config.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.gradients.weights, self.config.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()

    def log(self) -> None:
        self.check_finite()
        rate = self.config.learning_rate * rate_at(self.config, self.step - 1)
        self.metrics.record(self.step, {**self.metrics.figures(), "learning_rate": rate})

    def validate(self) -> None:
        started = time.perf_counter()
        with self.average.in_place() if self.average is not None else nullcontext():
            found = self.validation(self.gradients, self.step)
        self.metrics.record(self.step, {found.name: found.value})
        cost = found.sign * found.value
        better = self.best is None or cost < self.best
        if better:
            self.best = cost
        self.waited = 0 if better else self.waited + 1
        if better and self.config.keep == "best":
            weights = self.weights()
            if self.processes.rank == 0:
                write_checkpoint(self.folder.best, {**weights, "step": self.step, "config": self.fingerprint})
        self.metrics.since += time.perf_counter() - started

    def check_finite(self) -> None:
        """Before a line is written, and before a good checkpoint is replaced."""
        if not self.metrics.finite():
            with self.processes.common():
                raise InvalidInput(
                    f"the loss is not finite at step {self.step}; "
                    "try a smaller --training.learning-rate or --training.clip"
                )

    def weights(self) -> dict[str, Any]:
        """The weights of the model, and their moving averages; whole on the first process."""
        return {"model": self.gradients.call.weights(), "average": self.average.state() if self.average else {}}

    def checkpoint(self) -> None:
        """Write all that a resumed run needs to go on as if it had not stopped."""
        now = time.perf_counter()
        self.seconds, self.clock = self.seconds + now - self.clock, now
        self.check_finite()
        weights, step, config = self.weights(), self.step, self.config
        streams = self.processes.gather(on_cpu(self.stateful.state_dict())) if self.stateful is not None else []
        state = {
            **weights,
            "step": step,
            "optimizer": whole(self.optimizer.state_dict()),
            "streams": streams,
            "random": self.processes.gather(random_state()),
            "best": self.best,
            "waited": self.waited,
            "seconds": self.seconds,
            "window": self.metrics.state(),
            "config": self.fingerprint,
        }
        if self.processes.rank:
            return
        if config.average > 1 and (self.ended or step % config.checkpoint_every == 0):
            # before the checkpoint itself: one that is there has its weights beside it
            self.folder.save_earlier(step, weights["model"], ties(self.gradients.model))
        write_checkpoint(self.folder.last, state)
        self.keep_earlier()

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Take up a checkpoint, the random state aside."""
        self.step, self.best, self.waited, self.seconds = (kept[name] for name in ("step", "best", "waited", "seconds"))
        self.gradients.call.load(kept["model"])
        if self.average is not None:
            self.average.load(kept["average"])
        weights = self.gradients.weights
        state = {
            number: {name: shard_like(value, weights[number]) for name, value in values.items()}
            for number, values in kept["optimizer"]["state"].items()
        }
        self.optimizer.load_state_dict({**kept["optimizer"], "state": state})
        if self.stateful is not None:
            count = len(kept["streams"])
            if count != self.processes.data_count:
                with self.processes.common():
                    raise InvalidInput(
                        f"{self.folder.path} was trained by {count} process{'es' * (count > 1)}, and each process carries a "
                        f"state from batch to batch; resume it with {count}, not {self.processes.data_count}"
                    )
            self.stateful.load_state_dict(copy.deepcopy(kept["streams"][self.processes.data_rank]))

    def restore_random(self, kept: Mapping[str, Any]) -> None:
        if len(kept["random"]) == self.processes.count:
            restore_random_state(kept["random"][self.processes.rank])
        else:  # as many processes as there were have their state; now there are more, or fewer
            seed_everything(derived(self.config.seed, self.processes.rank, self.step))

    def keep_earlier(self) -> None:
        """Keep the last weights to be averaged, up to this step: those that a run that was never stopped has."""
        files, config = self.folder.earlier(), self.config
        last = self.step if self.ended else config.steps
        kept = [at for at in files if at <= self.step and (at % config.checkpoint_every == 0 or at == last)]
        for at, path in files.items():
            if at not in kept[-config.average :]:
                path.unlink()


def on_cpu(state: Any) -> Any:
    return tree_map(lambda own: own.detach().cpu() if isinstance(own, Tensor) else own, state)
