"""Backpropagation through time, by hand, by autograd and by finite differences. There is nothing to train."""

from typing import Any

from saccade.core.config import config
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Claim, Paper, Recipe
from saccade.core.task import Series
from saccade.explain.pictures.curve import Curve
from saccade.explain.pictures.graph import Graph
from saccade.systems.bptt.model import LinearConfig, LinearRNN, Unrolled
from saccade.tasks.bptt.task import Batch, Exercise, ExercisesConfig, ExercisesTask, Gradients
from saccade.training.config import RunConfig

DRAWN = 12  # the most time steps of a graph


@config
class Config:
    """A linear recurrent net of one unit, on short sequences."""

    task: ExercisesConfig = ExercisesConfig()
    model: LinearConfig = LinearConfig()
    training: RunConfig = RunConfig(precision="float64")


def predict(model: Any, batch: Batch, config: Config) -> list[Gradients]:
    """The gradients, in float64."""
    found = []
    for x, y, length in zip(batch.x.double().cpu(), batch.y.double().cpu(), batch.lengths.tolist(), strict=True):
        x, y = x[:length], y[:length]
        by_hand = float(model.unrolled(x, y).terms.sum())
        found.append(Gradients(by_hand, model.by_autograd(x, y), model.by_differences(x, y)))
    return found


def pictures(answer: Answer) -> list[Picture]:
    """The unrolled net with the derivative along each edge, and the gradient as a sum over time steps."""
    model: Any = answer.model
    batch = answer.task.collate([answer.example])
    nodes = model.unrolled(batch.x[0].double(), batch.y[0].double())
    found: list[Picture] = [terms(nodes)]
    if len(answer.example.x) <= DRAWN:
        found.insert(0, graph(model, answer.example, nodes))
    return found


def graph(model: LinearRNN, example: Exercise, nodes: Unrolled) -> Graph:
    """The net unrolled in time, with one copy of the weights at each step; an edge is as dark as its derivative is
    large."""
    steps = len(example.x)
    theta1, theta2 = model.theta1.item(), model.theta2.item()
    labels, places, edges = [f"z0 = {model.z0:g}"], [(0.0, 1.0)], []
    for t in range(1, steps + 1):
        state, error = float(nodes.states[t - 1]), float(nodes.errors[t - 1])
        first = len(labels)
        labels += [
            f"x{t} = {example.x[t - 1]:g}", f"z{t} = {state:g}",
            f"L{t} = {model.factor * (state - example.y[t - 1]) ** 2:g}, dL{t}/dz{t} = {error:g}",
        ]  # fmt: skip
        places += [(float(t), 0.0), (float(t), 1.0), (float(t), 2.0)]
        before = 0 if t == 1 else first - 2
        edges += [(first, first + 1, abs(theta1)), (before, first + 1, abs(theta2)), (first + 1, first + 2, abs(error))]
    total = float(nodes.terms.sum())
    return Graph(
        "unrolled", labels, edges, places, x_label="time step", y_label="input, state, loss",
        values="size of the derivative", title=f"dL/dtheta1 = {total:g}",
    )  # fmt: skip


def terms(nodes: Unrolled) -> Curve:
    """What each time step adds to the gradient."""
    steps = [str(t) for t in range(1, len(nodes.terms) + 1)]
    found = {
        "term of the gradient, d_t x_t": Series(steps, nodes.terms.tolist(), "time step", "derivative of the loss"),
        "by the state, d_t": Series(steps, nodes.deltas.tolist(), "time step", "derivative of the loss"),
    }
    return Curve.of(found, "terms", f"dL/dtheta1 = {float(nodes.terms.sum()):g}, the sum over time steps")


RECIPE = Recipe(
    paper=Paper(
        title="Backpropagation through time: what it does and how to do it",
        authors="Werbos",
        year=1990,
        doi="10.1109/5.58337",
        target="an exercise of a lecture: x = (0, 1), y = (1, 3), theta1 = 1, theta2 = 0",
        number="dL/dtheta1 = -4, or -2 with half the squared error",
    ),
    task=lambda config, assets: ExercisesTask(config.task),
    build=lambda config, task: LinearRNN(config.model),
    predict=predict,
    pictures=pictures,
    variants={
        "default": Config(),
        "half": Config(model=LinearConfig(loss="half")),
        "recurrent": Config(model=LinearConfig(theta1=0.5, theta2=0.9, z0=1.0)),
        "tiny": Config(task=ExercisesConfig(count=4)),
    },
    claims=(
        Claim(
            metric="difference", direction="min", bound=1e-12, variant="default",
            why="in float64 all three ways are exact up to rounding",
        ),
    ),
)  # fmt: skip
