"""The recipe of recurrent classifiers of clips: motions of digits, variants, pictures and claims."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from saccade.core.config import config
from saccade.core.device import evaluating, to_device
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Claim, Loss, Paper, Part, Recipe
from saccade.explain.capture import capture
from saccade.explain.pictures.strip import Strip
from saccade.systems.action_rnn.model import ActionConfig, ActionRNN
from saccade.systems.action_rnn.weighted import WeightedFrames
from saccade.tasks.actions import ActionsConfig, ActionsTask, Batch, Named
from saccade.training.config import TrainingConfig


@config
class Config:
    """A recurrent classifier of clips."""

    task: ActionsConfig = ActionsConfig()
    model: ActionConfig = ActionConfig()
    training: TrainingConfig = TrainingConfig(
        steps=1500, batch_size=64, learning_rate=4e-3, warmup=50, threads=1, validate_every=500, checkpoint_every=500,
        log_every=100,
    )  # fmt: skip


def task(config: Config, assets: Path | None) -> ActionsTask:
    return ActionsTask(config.task)


def build(config: Config, task: Any) -> ActionRNN:
    return ActionRNN(config.model, len(task.classes), per_frame=config.task.labels == "frame")


def objective(model: Any, batch: Batch, step: int) -> Loss:
    """The cross-entropy of the names in training; in evaluation the accuracy decides."""
    if not model.training:
        return Loss({})
    loss = F.cross_entropy(model(batch.frames, batch.mask).mT, batch.labels, ignore_index=-1)
    return Loss({"nats": Part(loss, (batch.labels >= 0).sum())})


def predict(model: Any, batch: Batch, config: Config) -> list[Named]:
    """The most probable motion of each clip, or of each of its frames."""
    rows = model(batch.frames, batch.mask).double().softmax(-1)
    counts = batch.mask.sum(1).tolist() if rows.shape[1] > 1 else [1] * len(rows)
    found = []
    for row, count in zip(rows, counts, strict=True):
        values, labels = row[:count].max(-1)
        found.append(Named(tuple(labels.tolist()), tuple(round(value, 4) for value in values.tolist())))
    return found


def pictures(answer: Answer) -> list[Picture]:
    """The frames as the net reads them, with the weight of each by attention, or the name of each and its probability;
    without attention the frames alone."""
    batch = to_device(answer.task.collate([answer.example]), answer.device)
    frames, title = batch.frames[0, :, 0].float().cpu(), answer.task.decode(answer.prediction)
    if answer.config.task.labels == "frame":
        names = [answer.task.classes[label] for label in answer.prediction.labels]
        return [WeightedFrames("frames", frames, answer.prediction.probabilities, names, "probability", title)]
    if answer.config.model.pooling != "attention":
        return [Strip("frames", frames, labels=[str(number + 1) for number in range(len(frames))], title=title)]
    with torch.no_grad(), evaluating(answer.model), capture(answer.model, "classifier.attention.weights") as heard:
        answer.model(batch.frames, batch.mask)
    weights = heard["classifier.attention.weights"][0][0, 0].double().cpu()
    return [WeightedFrames("frames", frames, weights, (), "attention weight", title)]


def modelled(base: Config, **changes: Any) -> Config:
    return replace(base, model=replace(base.model, **changes))


TINY = Config(
    task=ActionsConfig(digits=60, judged=20),
    model=ActionConfig(channels=(4, 8, 8), frame_size=16, hidden_size=16, attention_size=8, dropout=0.0),
    training=TrainingConfig(
        steps=20, batch_size=16, learning_rate=1e-2, threads=1, validate_every=10, checkpoint_every=10, log_every=5
    ),
)
BASE = Config()
WITHOUT = "the clips of a pair are the same input, so they get the same name"

RECIPE = Recipe(
    paper=Paper(
        title="Beyond Short Snippets: Deep Networks for Video Classification",
        authors="Ng, Hausknecht, Vijayanarasimhan, Vinyals, Monga & Toderici",
        year=2015,
        arxiv="1503.08909",
        target="on UCF-101",
        number="accuracy 88.6 % with optical flow, 82.6 % without",
    ),
    task=task,
    build=build,
    objective=objective,
    predict=predict,
    pictures=pictures,
    variants={
        "default": BASE,
        "tiny": TINY,
        "last": modelled(BASE, pooling="last"),
        "mean": modelled(BASE, pooling="mean"),
        "maximum": modelled(BASE, pooling="maximum"),
        "without-order": replace(BASE, task=replace(BASE.task, order="hidden")),
        "mean-of-frames": modelled(BASE, cell="none", pooling="mean"),
        "per-frame": replace(modelled(BASE, directions="both"), task=replace(BASE.task, labels="frame")),
    },
    claims=(
        Claim(
            metric="accuracy",
            direction="max",
            bound=95.0,
            variant="default",
            why="the digits of the test are not those of training",
        ),
        Claim(
            metric="opposite",
            direction="max",
            bound=90.0,
            variant="default",
            why="a clip backwards has the opposite name; where 95 % of clips are right, 90 % of pairs are",
        ),
        Claim(metric="accuracy", direction="min", bound=50.0, variant="without-order", why=WITHOUT),
        Claim(metric="accuracy", direction="min", bound=55.0, variant="mean-of-frames", why=WITHOUT),
    ),
)
