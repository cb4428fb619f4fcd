"""Train a toy of `tests/fixtures/toys` twice: uninterrupted, and killed with SIGKILL at some steps and resumed.

    python -m tests.training.toys toy_stream FOLDER 3 12 27

Each training runs in a forked process that starts like a new one.
"""

import importlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # the first optimizer imports these; done once before the fork
import torch.utils.tensorboard

import saccade.systems
import saccade.tasks
from saccade.core.config import to_plain
from saccade.core.recipe import Loss
from saccade.core.stream import ExampleStream
from saccade.training.fit import fit
from saccade.training.random_state import seed_everything
from saccade.training.run_folder import RunFolder

TOYS = Path(__file__).parents[1] / "fixtures" / "toys"


def recipe_of(name: str) -> Any:
    """The recipe of a toy, as if its folders were in the package."""
    for room, package in (("systems", saccade.systems), ("tasks", saccade.tasks)):
        package.__path__.append(str(TOYS / name / room))
    return importlib.import_module(f"saccade.systems.{name}.recipe").RECIPE


def train(recipe: Any, path: Path, kill: int | None) -> None:
    """Train to the end, or until SIGKILL between the two passes of a step."""
    config, folder = recipe.config, RunFolder(path)
    if not path.exists():
        folder.create({"system": "toy", "variant": "default", "config": to_plain(config), "version": "0"})
    seed_everything(config.training.seed)
    task = recipe.task(config, None)
    model = recipe.build(config, task)

    def objective(model: Any, batch: Any, step: int) -> Loss:
        loss: Loss = recipe.objective(model, batch, step)
        if step == kill and model.training:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss

    def evaluate(model: Any) -> float:
        examples = task.examples("validation")
        predictions = recipe.predict(model, task.collate(examples), config)
        return float(task.score(predictions, examples).figures[task.metric].value)

    if recipe.stream is None:
        stream = ExampleStream(task, batch_size=config.training.batch_size, window=100, seed=config.training.seed)
    else:
        stream = recipe.stream(config, task, model)
    fit(
        model, objective=objective, task=task, stream=stream, config=config.training, folder=folder,
        fingerprint=json.dumps(to_plain(config)), report=lambda figures: None, resume=True, evaluate=evaluate,
    )  # fmt: skip


def main(name: str, root: Path, kills: Sequence[int]) -> None:
    recipe = recipe_of(name)
    for folder, kill in [("left", None), *(("killed", step) for step in kills), ("killed", None)]:
        child = os.fork()
        if not child:
            train(recipe, root / folder, kill)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL) if kill else status == 0, status


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1], Path(sys.argv[2]), [int(step) for step in sys.argv[3:]])
