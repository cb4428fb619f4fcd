"""A loaded run: its model, task and configuration, its answers and their pictures."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from saccade.core.config import flatten, placed, to_plain
from saccade.core.device import autocast, pick_device, threads, to_device
from saccade.core.errors import InvalidInput, together
from saccade.core.picture import Picture
from saccade.core.products import install
from saccade.core.recipe import Answer, Recipe, Step
from saccade.core.stream import in_order, sizes_of
from saccade.core.task import Figure, Learning, Legible, Observing, Readable, Task
from saccade.runs import before, catalogue, flags, foreign, hub
from saccade.runs.flag_errors import explain
from saccade.runs.flag_fields import flag_of, names_of
from saccade.runs.memory import check_fits
from saccade.runs.places import is_checkpoint, place
from saccade.training.config import RunConfig
from saccade.training.run_folder import RunFolder

OFFER = 5  # number of sample inputs that a run stores


class Prediction(NamedTuple):
    """An answer as a person reads it, with pictures and notes on the input."""

    text: str
    pictures: list[Picture]
    notes: list[str]
    value: Any
    """The raw prediction, as the metric takes it."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, repr=False)
class Run:
    """A system with its weights: `run.model`, `run.task`, `run.config`, `run.predict(raw)`."""

    folder: RunFolder
    system: str
    variant: str
    recipe: Recipe
    config: Any
    task: Task
    model: nn.Module
    device: torch.device
    lacks: tuple[str, ...] = ()
    """Weights that a published checkpoint did not have."""
    silent: str = ""
    """Why it gives no answers; "" if it does."""

    @property
    def title(self) -> str:
        return f"{self.system} {self.variant}"

    def __repr__(self) -> str:
        return f"Run({self.title!r}, {str(self.folder.path)!r})"

    def predict(self, raw: str | bytes | os.PathLike[str] = "") -> Prediction:
        """Answer typed text, the path of a file, or a file's bytes.

        Raises:
            InvalidInput: an input that the task cannot read, or does not need; a task that reads none.
            TypeError: neither text, bytes nor a path.
        """
        self.check_answers()
        return self.shown(self.read(raw if isinstance(raw, bytes) else os.fspath(raw)))

    def check_answers(self) -> None:
        """Raise InvalidInput if the run gives no answers."""
        if self.silent:
            raise InvalidInput(self.silent)

    def observe(self, raw: str | bytes = "") -> Prediction:
        """As `predict`, for a look at the pictures: of an input that asks for no answer too, if the task reads it."""
        if not self.silent and not isinstance(self.task, Observing):
            return self.predict(raw)
        found = self.shown(self.task.observe(raw) if isinstance(self.task, Observing) else self.read(raw))
        return found._replace(notes=[*found.notes, self.silent]) if self.silent else found

    def shown(self, example: Any) -> Prediction:
        """The answer to an example, with its pictures."""
        [prediction] = self.predictions([example])
        notes = self.task.notes(example) if isinstance(self.task, Readable) else []
        return Prediction(self.said(prediction), self.pictures(example, prediction), notes, prediction)

    @property
    def needs_nothing(self) -> bool:
        """Whether the task answers without an input, and takes none."""
        return isinstance(self.task, Readable) and self.task.accepts == ("nothing",)

    @property
    def may_need_nothing(self) -> bool:
        """Whether the task also answers without an input."""
        return isinstance(self.task, Readable) and "nothing" in self.task.accepts

    def read(self, raw: str | bytes) -> Any:
        """The example of an input.

        Raises:
            InvalidInput: as for `predict`.
        """
        if not isinstance(self.task, Readable):
            raise InvalidInput(f"{self.system} reads no input; saccade evaluate scores it on its test split")
        if self.needs_nothing and raw:
            raise InvalidInput(f"{self.system} needs no input; leave {raw!r} out")
        return self.task.read(raw)

    def said(self, prediction: Any) -> str:
        """The prediction as readable text."""
        return self.task.decode(prediction) if isinstance(self.task, Legible) else str(prediction)

    def predictions(self, examples: Sequence[Any]) -> list[Any]:
        """The predictions for many examples, in order."""
        answers: dict[int, Any] = {}
        with self.running():
            for rows in in_order(sizes_of(self.task, examples), 2 * self.config.training.batch_size):
                batch = to_device(self.task.collate([examples[row] for row in rows]), self.device)
                answers |= zip(rows, self.recipe.predict(self.model, batch, self.config), strict=True)
        return [answers[row] for row in range(len(examples))]

    def answer(self, example: Any, prediction: Any) -> Answer:
        """The argument of the recipe's `pictures` and `measures`."""
        return Answer(self.model, self.task, self.config, example, prediction, self.device)

    def pictures(self, example: Any, prediction: Any) -> list[Picture]:
        """The recipe's pictures of an answer."""
        if self.recipe.pictures is None:
            return []
        with self.running():
            return list(self.recipe.pictures(self.answer(example, prediction)))

    def steps(self, example: Any, prediction: Any, count: int) -> Sequence[Step]:
        """The steps in which an answer was written, each with its likeliest symbols.

        Raises:
            InvalidInput: a system that does not write its answer symbol by symbol; a count below 1, or above the number
                of symbols.
        """
        if self.recipe.steps is None:
            raise InvalidInput(f"{self.system} has no likeliest symbols: it does not write its answer symbol by symbol")
        with self.running():
            return self.recipe.steps(self.answer(example, prediction), count)

    def measures(self, example: Any, prediction: Any) -> Mapping[str, Figure]:
        """The recipe's measures of an answer."""
        if self.recipe.measures is None:
            return {}
        with self.running():
            return self.recipe.measures(self.answer(example, prediction))

    def export(self, folder: str | os.PathLike[str]) -> Path:
        """Write a folder that transformers loads: config.json, model.safetensors and the tokenizer.

        Raises:
            InvalidInput: a system without a form there; symbols without a tokenizer there; a folder that is not empty.
        """
        from saccade.runs import exporting

        return exporting.export(self, Path(folder))

    def to_type(self, count: int = OFFER) -> list[str | bytes]:
        """Sample inputs: those stored with the run, or else those of the test split."""
        kept = self.folder.kept_inputs()
        if kept or not isinstance(self.task, Readable):
            return kept[:count]
        return self.task.examples_to_type(count)

    def running(self) -> ExitStack:
        """Evaluation: no gradients, no dropout, the configured precision and number of threads."""
        self.model.eval()
        stack = ExitStack()
        stack.enter_context(threads(self.config.training.threads))
        stack.enter_context(torch.inference_mode())
        stack.enter_context(autocast(self.config.training.precision, self.device))
        return stack


def load(path: str | Path, arguments: Sequence[str] = (), known: Sequence[str] = ()) -> tuple[Run, list[str]]:
    """Load a run folder, as `saccade.load`, with flags of the command line.

    Args:
        path: the folder that `saccade train` made, "demo", or a Hugging Face checkpoint: its folder, or its name on
            the hub.
        arguments: flags as on the command line, e.g. ["--search.beam", "1"].
        known: flags of the verb, to suggest if one is misspelt.

    Returns:
        The run, and the arguments that belong to no flag.

    Raises:
        NotFound: no such folder, no configuration, no weights.
        InvalidInput: a damaged file, or the weights of another model.
    """
    folder = RunFolder(hub.there(place(path)))
    if is_checkpoint(folder.path):
        from saccade.runs import published

        return published.load(folder.path, arguments, known)
    with together(*catalogue.extras_of(folder.path)):
        return opened(folder, arguments, known)


def opened(folder: RunFolder, arguments: Sequence[str], known: Sequence[str]) -> tuple[Run, list[str]]:
    """Load a run folder with its configuration."""
    head = folder.head()
    recipe = catalogue.recipe(head["system"])
    trained = resolved(configuration(recipe, head, folder), head)
    config, rest = flags.separate(trained, arguments, known)
    check_used(trained, config, head["system"], folder)
    config = foreign.resolved(config, folder)
    task = recipe.task(config, folder.assets)
    if isinstance(task, Learning):
        task.check_trained(trained.task)
    check_fits(lambda: recipe.build(config, task), config.training)
    model = build(recipe, config, task)
    folder.load_weights(model)
    return assemble(folder, head["system"], head["variant"], recipe, config, task, model), rest


def check_used(trained: Any, config: Any, system: str, folder: RunFolder) -> None:
    """Raise InvalidInput if a field was changed that has no effect on a trained run."""
    before, plain = flatten(to_plain(trained)), to_plain(config)
    copies, names = foreign.copied_fields(config, folder), names_of(type(config), plain)
    for path, value in flatten(plain).items():
        if path in before and value == before[path]:
            continue
        flag = flag_of(names.get(path, path))
        if path in copies and Path(value).resolve() != Path(before[path]).resolve():
            raise InvalidInput(
                f"{flag} cannot change here: {folder.path} holds a copy of the network that it was trained with; "
                f"to use {value}, train a new run: saccade train {system} {flag} {value}"
            )
        room, _, name = path.partition(".")
        if room == "training" and name.partition(".")[0] not in RunConfig.__pydantic_fields__:  # type: ignore[attr-defined]
            raise InvalidInput(f"{flag} is a setting of training and has no effect here; give it to saccade train")


def open_run(path: str | Path, *arguments: str) -> Run:
    """Load a run folder, as `saccade.load`.

    Args:
        path: the folder that `saccade train` made, or "demo".
        arguments: flags as on the command line, e.g. "--search.beam", "1".

    Raises:
        NotFound: no such folder, no configuration, no weights; an argument that is not a flag.
        InvalidInput: a damaged file, or the weights of another model.
    """
    run, rest = load(path, arguments)
    if rest:
        raise InvalidInput(f"{rest[0]!r} is not a flag, such as --search.beam")
    return run


def untrained(system: str, arguments: Sequence[str] = (), known: Sequence[str] = ()) -> tuple[Run, list[str]]:
    """A system that needs no training, as a run without weights, and the arguments that belong to no flag.

    Raises:
        NotFound: no such system.
        InvalidInput: the system must be trained first.
    """
    recipe = catalogue.recipe(system)
    if recipe.objective is not None:
        raise InvalidInput(f"{system} must be trained first: saccade train {system}; then give the run's folder")
    config, rest = flags.separate(recipe.config, arguments, known)
    config = foreign.resolved(config, None)
    task = recipe.task(config, None)
    nowhere = RunFolder(Path("runs") / system)
    return assemble(nowhere, system, "default", recipe, config, task, build(recipe, config, task)), rest


def run_folder(path: str | Path) -> RunFolder:
    """The folder of a run."""
    return RunFolder(place(path))


def configuration(recipe: Recipe, head: Mapping[str, Any], folder: RunFolder) -> Any:
    """The configuration in a run's config.yaml, with the names of earlier versions translated."""
    try:
        return before.from_plain(type(recipe.config), head["config"], head["version"])
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"{folder.config}: {explain(error, type(recipe.config))}") from None


def resolved(config: Any, head: Mapping[str, Any]) -> Any:
    """The configuration of a run with relative paths resolved against the folder where the run was started.

    If that folder does not exist, as on another machine, they are relative to the current folder.
    """
    folder = head.get("folder")
    there = isinstance(folder, str) and Path(folder).is_absolute() and Path(folder).is_dir()
    return placed(config, Path(str(folder))) if there else config


def build(recipe: Recipe, config: Any, task: Task) -> nn.Module:
    """Build the model in the dtype of its weights, with the faster products of this processor; bfloat16 is autocast."""
    model = recipe.build(config, task).to(dtype_of(config))
    install(model)
    return model


def assemble(
    folder: RunFolder, system: str, variant: str, recipe: Recipe, config: Any, task: Task, model: nn.Module
) -> Run:
    device = pick_device(config.training.device)
    model = model.to(device, dtype_of(config)).eval()  # a user's own calls compute as `Run.predict` does
    return Run(folder, system, variant, recipe, config, task, model, device)


def dtype_of(config: Any) -> torch.dtype:
    return torch.float64 if config.training.precision == "float64" else torch.float32
