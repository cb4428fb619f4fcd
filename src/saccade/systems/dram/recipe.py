"""The recipe of the deep recurrent attention model: pairs of digits, variants and pictures."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from saccade.core.config import config
from saccade.core.device import evaluating, to_device
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Paper, Recipe
from saccade.core.task import Figure
from saccade.explain.capture import capture
from saccade.explain.pictures.glimpses import Glimpses
from saccade.systems.dram.model import DRAMConfig, Reader
from saccade.systems.dram.objective import loss
from saccade.tasks.digits import Batch, DigitsConfig, DigitsTask, by_epochs
from saccade.tasks.digits.kinds import TwoDigits
from saccade.training.config import TrainingConfig
from saccade.vision.retina import centres, composed

CLASSES = 10
PAIRS = DigitsConfig(kind=TwoDigits())


def training(steps: int, batch_size: int = 128) -> TrainingConfig:
    """Adam in place of the paper's momentum."""
    return TrainingConfig(
        steps=steps, batch_size=batch_size, learning_rate=1e-3, clip=10.0, validate_every=1000, checkpoint_every=1000,
        log_every=100,
    )  # fmt: skip


@config
class Config:
    """Deep recurrent attention model."""

    task: DigitsConfig = PAIRS
    model: DRAMConfig = DRAMConfig()
    training: TrainingConfig = training(10_000, batch_size=64)


def task(config: Config, assets: Path | None) -> DigitsTask:
    return DigitsTask(config.task)


def build(config: Config, task: Any) -> Reader:
    return Reader(config.model, CLASSES, task.kind.digits)


def predict(model: Any, batch: Batch, config: Config) -> list[Any]:
    """The digits in order; a plain number if an image has one digit."""
    found = model(batch.images).logits.argmax(-1).tolist()
    return [tuple(digits) if len(digits) > 1 else digits[0] for digits in found]


def watched(answer: Answer) -> tuple[torch.Tensor, Any, list[torch.Tensor], torch.Tensor]:
    """The image, the glimpses, the patches of each, and the probabilities of the classes after each."""
    model: Any = answer.model
    batch = to_device(answer.task.collate([answer.example]), answer.device)
    with evaluating(model), capture(model, "retina.patches") as seen:
        looks = model(batch.images)
        said = model.answer(looks.hidden[0]).softmax(-1)
    return batch.images[0, 0].cpu(), looks, [patches[0].cpu() for patches in seen["retina.patches"]], said.cpu()


def pictures(answer: Answer) -> list[Picture]:
    """One picture for each digit."""
    image, looks, patches, said = watched(answer)
    count, size = answer.config.model.glimpses, answer.config.model.patch_size
    places = centres(looks.locations[0].cpu(), (image.shape[0], image.shape[1]))
    crops = torch.stack([composed(each)[0] for each in patches])
    labels = [f"{step}: {int(row.argmax())} ({100 * float(row.max()):.0f} %)" for step, row in enumerate(said, 1)]
    made: list[Picture] = []
    for digit in range(answer.task.kind.digits):
        own = slice(digit * count, (digit + 1) * count)
        read = int(said[own][-1].argmax())
        title = f"digit {digit + 1}, read as {read}; below, what each glimpse saw and the answer after it"
        made.append(Glimpses(f"digit_{digit + 1}", image, places[own], size, title, crops[own], labels[own]))
    return made


def measures(answer: Answer) -> dict[str, Figure]:
    """How far the glimpses of a digit lie apart, and how far the eye moves from one digit to the next."""
    image, looks, _, _ = watched(answer)
    places = centres(looks.locations[0].double().cpu(), (image.shape[0], image.shape[1]))
    each = places.view(answer.task.kind.digits, -1, 2)
    middles = each.mean(1)
    spread = (each - middles[:, None]).square().sum(-1).mean().sqrt()
    found = {"spread": Figure(float(spread), "pixels", "root mean square distance of glimpses from their mean")}
    if len(middles) > 1:
        found["move"] = Figure(float(middles.diff(dim=0)[:, 0].mean()), "pixels", "way to the right between digits")
    return found


TINY = Config(
    task=DigitsConfig(kind=TwoDigits(), training_examples=320),
    model=DRAMConfig(glimpses=2, patch_size=8, coarse_size=6, glimpse_size=24, hidden_size=24),
    training=TrainingConfig(
        steps=60, batch_size=32, learning_rate=1e-2, clip=10.0, threads=1, validate_every=20, checkpoint_every=20,
        log_every=5,
    ),
)  # fmt: skip

RECIPE = Recipe(
    paper=Paper(
        title="Multiple object recognition with visual attention",
        authors="Ba, Mnih & Kavukcuoglu",
        year=2015,
        arxiv="1412.7755",
        target="table 1: error on pairs of MNIST digits",
        number="5 % of the pairs, 100 x 100",
    ),
    task=task,
    build=build,
    objective=loss,
    predict=predict,
    stream=by_epochs,
    pictures=pictures,
    measures=measures,
    variants={
        "default": Config(),
        "tiny": TINY,
        "mnist": Config(task=replace(PAIRS, folder=Path("mnist")), training=training(15_000)),
    },
)
