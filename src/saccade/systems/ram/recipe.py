"""The recipe of the recurrent attention model: digits, variants, pictures and claims."""

from pathlib import Path
from typing import Any

import torch

from saccade.core.config import config
from saccade.core.device import evaluating, to_device
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Claim, Paper, Recipe
from saccade.core.task import Figure
from saccade.explain.capture import capture
from saccade.explain.pictures.glimpses import Glimpses
from saccade.systems.ram.model import Glimpser, RAMConfig, Random
from saccade.systems.ram.objective import loss
from saccade.tasks.digits import Batch, DigitsConfig, DigitsTask, by_epochs
from saccade.tasks.digits.kinds import Cluttered, Translated
from saccade.training.config import TrainingConfig
from saccade.vision.retina import centres, composed

CLASSES = 10


def training(steps: int, batch_size: int = 128, learning_rate: float = 1e-3) -> TrainingConfig:
    """Adam in place of the paper's momentum. The gradient is not clipped: that of the locations, which is large and
    noisy, would shrink that of the network."""
    return TrainingConfig(
        steps=steps, batch_size=batch_size, learning_rate=learning_rate, clip=None, validate_every=1000,
        checkpoint_every=1000, log_every=100,
    )  # fmt: skip


@config
class Config:
    """Recurrent attention model."""

    task: DigitsConfig = DigitsConfig()
    model: RAMConfig = RAMConfig()
    training: TrainingConfig = training(12_000, batch_size=64)


def task(config: Config, assets: Path | None) -> DigitsTask:
    return DigitsTask(config.task)


def build(config: Config, task: Any) -> Glimpser:
    return Glimpser(config.model, CLASSES)


def predict(model: Any, batch: Batch, config: Config) -> list[int]:
    """One path of glimpses for each image; nothing is averaged over samples."""
    answers: list[int] = model.answer(model(batch.images).hidden[:, -1]).argmax(1).tolist()
    return answers


def watched(answer: Answer) -> tuple[torch.Tensor, Any, list[torch.Tensor], torch.Tensor]:
    """The image, the glimpses, the patches of each, and the probabilities of the classes after each."""
    model: Any = answer.model
    batch = to_device(answer.task.collate([answer.example]), answer.device)
    with evaluating(model), capture(model, "retina.patches") as seen:
        looks = model(batch.images)
        said = model.answer(looks.hidden[0]).softmax(-1)
    return batch.images[0, 0].cpu(), looks, [patches[0].cpu() for patches in seen["retina.patches"]], said.cpu()


def pictures(answer: Answer) -> list[Picture]:
    image, looks, patches, said = watched(answer)
    places = centres(looks.locations[0].cpu(), (image.shape[0], image.shape[1]))
    labels = [f"{step}: {int(row.argmax())} ({100 * float(row.max()):.0f} %)" for step, row in enumerate(said, 1)]
    title = f"answer {answer.task.decode(answer.prediction)}; below, what each glimpse saw and the answer after it"
    crops = torch.stack([composed(each)[0] for each in patches])
    return [Glimpses("glimpses", image, places, answer.config.model.patch_size, title, crops, labels)]


def measures(answer: Answer) -> dict[str, Figure]:
    """How far the glimpses of an image lie apart, and how far from it."""
    image, looks, _, _ = watched(answer)
    places = centres(looks.locations[0].double().cpu(), (image.shape[0], image.shape[1]))
    spread = (places - places.mean(0)).square().sum(1).mean().sqrt()
    outside = (looks.locations[0].abs() > 1).any(1).double().mean()
    return {
        "spread": Figure(float(spread), "pixels", "root mean square distance of glimpses from their mean"),
        "outside": Figure(100 * float(outside), "%", "glimpses centred outside the image"),
    }


MNIST = Path("mnist")
WIDE = RAMConfig(patch_size=12, scales=3)
CLUTTERED = RAMConfig(patch_size=12, scales=3, glimpses=8)
TINY = Config(
    model=RAMConfig(glimpses=3, part_size=16, glimpse_size=24, hidden_size=24),
    task=DigitsConfig(training_examples=320),
    training=TrainingConfig(
        steps=60, batch_size=32, learning_rate=1e-2, clip=None, threads=1, validate_every=20, checkpoint_every=20,
        log_every=5,
    ),
)  # fmt: skip

RECIPE = Recipe(
    paper=Paper(
        title="Recurrent models of visual attention",
        authors="Mnih, Heess, Graves & Kavukcuoglu",
        year=2014,
        arxiv="1406.6247",
        target="table 1: errors on MNIST, on translated and on cluttered translated MNIST",
        number="six glimpses of 8 x 8: 1.29 % (arXiv), 1.12 % (NIPS); 60 x 60 translated, 6 glimpses of 12 x 12, three "
        "scales: 1.22 %; cluttered, 8 glimpses: 4.04 %, with random glimpses 14.4 %",
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
        "mnist": Config(task=DigitsConfig(folder=MNIST), training=training(60_000)),
        "translated": Config(
            task=DigitsConfig(kind=Translated(), folder=MNIST), model=WIDE, training=training(40_000)
        ),
        "cluttered": Config(
            task=DigitsConfig(kind=Cluttered(), folder=MNIST), model=CLUTTERED, training=training(60_000)
        ),
        "cluttered-random": Config(
            task=DigitsConfig(kind=Cluttered(), folder=MNIST),
            model=RAMConfig(patch_size=12, scales=3, glimpses=8, locations=Random()),
            training=training(24_000),
        ),
    },
    claims=(
        Claim(
            metric="error", direction="min", bound=2.0, variant="mnist",
            why="six glimpses of 8 x 8 read a digit of MNIST; the paper has 1.12 to 1.29 %",
        ),
        Claim(
            metric="error", direction="min", bound=4.0, variant="translated",
            why="glimpses find a digit anywhere on 60 x 60 pixels; the paper has 1.22 %",
        ),
        Claim(
            metric="error", direction="min", variant="cluttered", against="cluttered-random", factor=2 / 3,
            why="learned locations beat random ones among clutter; the paper has 4.04 against 14.4 %",
        ),
    ),
)  # fmt: skip
