"""A run, loaded: its model, task and configuration, and what it says and where it looks."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from saccade.app import catalogue, flags
from saccade.core.config import from_plain, placed
from saccade.core.errors import InvalidInput, together
from saccade.core.recipe import Heard, Hearing, Learning, Loss, Recipe, Show, Task
from saccade.explain.capture import capture
from saccade.training.device import autocast, pick_device, to_device
from saccade.training.memory import check_fits
from saccade.training.run_folder import RunFolder
from saccade.training.sampler import in_order


class Look(NamedTuple):
    """Where the model looked: weights (rows, columns), of several layers and heads their mean, and labels."""

    show: Show
    weights: Tensor
    rows: Sequence[str]
    columns: Sequence[str]
    heard: Callable[[], Heard] | None = None
    """Gives the sound whose steps the columns are, where they are that."""


class Prediction(NamedTuple):
    """The answer as a user reads it, where the model looked while it gave it, and what to know of the input."""

    text: str
    looks: list[Look]
    notes: list[str]

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Run:
    """A trained system: `run.model`, `run.task`, `run.config`, `run.predict(raw)`."""

    folder: RunFolder
    system: str
    variant: str
    recipe: Recipe
    config: Any
    task: Task
    model: nn.Module
    device: torch.device

    def predict(self, raw: str | os.PathLike[str]) -> Prediction:
        """Answer what a user typed, such as a sentence, or the path of a recording.

        Raises:
            InvalidInput: an input that the task cannot read, such as an empty one.
            TypeError: neither text nor a path.
        """
        example = self.task.read(os.fspath(raw))
        [prediction] = self.predictions([example])
        return Prediction(self.task.decode(prediction), self.looks(example, prediction), self.task.notes(example))

    def predictions(self, examples: Sequence[Any]) -> list[Any]:
        """The predictions for many examples, in their order."""
        answers: dict[int, Any] = {}
        # by the size of the input, which is the second; how long an answer becomes is not known
        costs = [self.task.cost(example)[::-1] for example in examples]
        with self.running():
            for rows in in_order(costs, 2 * self.config.training.batch_tokens):
                batch = to_device(self.task.collate([examples[row] for row in rows]), self.device)
                answers |= zip(rows, self.recipe.predict(self.model, batch, self.config), strict=True)
        return [answers[row] for row in range(len(examples))]

    def looks(self, example: Any, prediction: Any, shows: Sequence[Show] | None = None) -> list[Look]:
        """Where the model looks while it gives this prediction: the taps that the recipe shows, or some of them."""
        return self.looks_of([(example, prediction)], shows)[0]

    def looks_of(self, pairs: Sequence[tuple[Any, Any]], shows: Sequence[Show] | None = None) -> list[list[Look]]:
        """The looks of many examples and predictions, in their order."""
        replayed = [self.task.replay(*pair) for pair in pairs]
        found: list[list[Look]] = [[] for _ in pairs]
        for show in self.recipe.shows if shows is None else shows:
            for rows in in_order([self.task.cost(each) for each in replayed], 2 * self.config.training.batch_tokens):
                batch = to_device(self.task.collate([replayed[row] for row in rows]), self.device)
                with self.running(), capture(self.model, show.tap) as seen:
                    self.objective(self.model, batch, 0)
                maps = [seen.joined(tap).float().cpu() for tap in seen if seen.maps(tap)]
                if not maps:  # a net of the system that does without: a pen that no text leads looks at none
                    continue
                # (b, layers, ..., rows, columns): of all that match the pattern, and of all heads, the mean
                for row, weights in zip(rows, torch.stack(maps, 1), strict=True):
                    labels = self.task.labels(replayed[row])
                    rows_of, columns_of = labels[show.rows], labels[show.columns]
                    mean = weights.flatten(0, -3).mean(0)[: len(rows_of), : len(columns_of)]  # without padding
                    heard = partial(self.task.heard, replayed[row]) if isinstance(self.task, Hearing) else None
                    found[row].append(Look(show, mean, rows_of, columns_of, heard))
        return found

    def objective(self, model: nn.Module, batch: Any, step: int) -> Loss:
        return (self.recipe.objective or self.task.objective)(model, batch, step)

    def running(self) -> ExitStack:
        """Evaluation: no gradients, no dropout, the configured precision."""
        self.model.eval()
        stack = ExitStack()
        stack.enter_context(torch.inference_mode())
        stack.enter_context(autocast(self.config.training.precision, self.device))
        return stack


def load(path: str | Path, arguments: Sequence[str] = ()) -> tuple[Run, list[str]]:
    """Load a run folder; `saccade.load(path)` for the command line, which has flags.

    Args:
        path: the folder that `saccade train` made.
        arguments: flags as on the command line, e.g. ["--search.beam", "1"].

    Returns:
        The run, and the arguments that belong to no flag.

    Raises:
        NotFound: no such folder, no configuration, no weights.
        InvalidInput: a damaged file, or the weights of another model.
    """
    folder = RunFolder(Path(path))
    with together(*catalogue.extras_of(folder.path)):
        return opened(folder, arguments)


def opened(folder: RunFolder, arguments: Sequence[str]) -> tuple[Run, list[str]]:
    head = folder.head()
    recipe = catalogue.recipe(head["system"])
    trained = resolved(configuration(recipe, head, folder), head)
    config, rest = flags.separate(trained, arguments)
    task = recipe.task(config, folder.assets)
    if isinstance(task, Learning):
        task.check_trained(trained.task)
    check_fits(lambda: recipe.build(config, task), config.training)
    model = recipe.build(config, task).to(dtype_of(config))
    folder.load_weights(model)
    return assemble(folder, head["system"], head["variant"], recipe, config, task, model), rest


def open_run(path: str | Path, *arguments: str) -> Run:
    """Load a run folder, as `saccade.load`.

    Args:
        path: the folder that `saccade train` made.
        arguments: flags as on the command line, e.g. "--search.beam", "1".

    Raises:
        NotFound: no such folder, no configuration, no weights; an argument that is no flag.
        InvalidInput: a damaged file, or the weights of another model.
    """
    run, rest = load(path, arguments)
    if rest:
        raise InvalidInput(f"{rest[0]!r} is not a flag, such as --search.beam")
    return run


def resolved(config: Any, head: Mapping[str, Any]) -> Any:
    """The configuration of a run with its relative paths, which start from where the run was started.

    On another machine that folder may not be there; they then start from where we are.
    """
    folder = head.get("folder")
    there = isinstance(folder, str) and Path(folder).is_absolute() and Path(folder).is_dir()
    return placed(config, Path(str(folder))) if there else config


def configuration(recipe: Recipe, head: Mapping[str, Any], folder: RunFolder) -> Any:
    """The configuration that a run's config.yaml holds, as it stands there."""
    try:
        return from_plain(type(recipe.config), head["config"], reset=[])
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"{folder.config}: {flags.explain(error, type(recipe.config))}") from None


def assemble(
    folder: RunFolder, system: str, variant: str, recipe: Recipe, config: Any, task: Task, model: nn.Module
) -> Run:
    device = pick_device(config.training.device)
    return Run(folder, system, variant, recipe, config, task, model.to(device, dtype_of(config)), device)


def dtype_of(config: Any) -> torch.dtype:
    """Of the weights; bfloat16 is autocast over float32."""
    return torch.float64 if config.training.precision == "float64" else torch.float32
