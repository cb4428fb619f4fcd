"""A recurrent net that runs a two-stack machine, step by step equal to an interpreter. Nothing is trained."""

from typing import Any

import torch

from saccade.core.config import config
from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Claim, Paper, Recipe
from saccade.explain.pictures.curve import Curve
from saccade.explain.pictures.memory_trace import MemoryTrace
from saccade.explain.plots.series import Line
from saccade.systems.universal_rnn.model import SIDES, UniversalRNN
from saccade.tasks.universal_rnn.machine import MACHINES, answer
from saccade.tasks.universal_rnn.task import Batch, Prediction, WordsConfig, WordsTask
from saccade.training.config import RunConfig


@config
class Config:
    """A machine, as a recurrent net with weights written by hand."""

    task: WordsConfig = WordsConfig()
    training: RunConfig = RunConfig(precision="float64")


def predict(model: Any, batch: Batch, config: Config) -> list[Prediction]:
    """The configurations of each word until its machine halts."""
    seen = [model.initial(batch.words)]
    while len(seen) <= int(batch.steps.max()):
        seen.append(model(seen[-1]))
    traces = torch.stack(seen, 1).cpu()
    found = []
    for states, steps in zip(traces, batch.steps.tolist(), strict=True):
        trace = tuple(model.configuration(state) for state in states[: steps + 1])
        found.append(Prediction(answer(config.task.machine, trace[-1]), trace))
    return found


def pictures(answer: Answer) -> list[Picture]:
    """Both stacks as numbers, and the state and the rules of the machine, over its steps."""
    model: Any = answer.model
    batch = answer.task.collate([answer.example])
    units = model.initial(batch.words)
    carried, rules = [units[0]], []
    for _ in range(int(batch.steps[0])):
        for phase in range(4):
            units = (units @ model.weight.T + model.bias).clamp(0.0, 1.0)
            if phase == 1:
                rules.append(units[0, [i for i, name in enumerate(model.names) if name.startswith("rule ")]])
        carried.append(units[0])
    values = torch.stack(carried).float().cpu()
    title = f"{answer.config.task.machine} of {answer.example.word}: {answer.prediction.answer}"
    steps = list(range(len(values)))
    lines = {f"{side} stack": Line(steps, values[:, model.names.index(side)].tolist()) for side in SIDES}
    found: list[Picture] = [Curve("stacks", lines, "step of the machine", "value of the unit", title)]
    states = values[:, [model.names.index(state) for state in model.machine.states]]
    legend = ", ".join(f"{number} {state}" for number, state in enumerate(model.machine.states))
    found.append(MemoryTrace("states", {f"state: {legend}": states}, "unit", title))
    if rules:
        found.append(MemoryTrace("rules", {"rule that is applied": torch.stack(rules).float().cpu()}, "unit", title))
    return found


RECIPE = Recipe(
    paper=Paper(
        title="On the Computational Power of Neural Nets",
        authors="Siegelmann & Sontag",
        year=1995,
        doi="10.1006/jcss.1995.1013",
        target="theorem 2: saturated-linear nets with rational weights simulate Turing machines",
        number="886 units simulate a universal Turing machine, step by step",
    ),
    task=lambda config, assets: WordsTask(config.task),
    build=lambda config, task: UniversalRNN(MACHINES[config.task.machine]),
    predict=predict,
    pictures=pictures,
    variants={
        "default": Config(),
        "equal": Config(task=WordsConfig(machine="equal")),
        "reverse": Config(task=WordsConfig(machine="reverse")),
        "tiny": Config(task=WordsConfig(count=6)),
    },
    claims=(
        Claim(
            metric="equal_traces", direction="max", bound=100.0, variant="default",
            why="the simulation is exact in float64",
        ),
    ),
)  # fmt: skip
