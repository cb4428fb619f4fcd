from typing import Any

import pytest
import torch

from saccade.core.recipe import Answer
from saccade.runs import catalogue

RECIPE: Any = catalogue.recipe("memory_network")


@pytest.fixture(scope="module")
def built() -> tuple[Any, Any, Any]:
    config = RECIPE.variants["tiny"]
    task = RECIPE.task(config, None)
    torch.manual_seed(0)
    return config, task, RECIPE.build(config, task)


def test_the_loss_is_of_the_facts_and_of_the_answer_and_validation_is_the_error(built: tuple[Any, Any, Any]) -> None:
    _, task, model = built
    batch = task.collate(task.examples("train")[:7])
    assert set(RECIPE.objective(model.train(), batch, 0).parts) == {"facts", "answer"}
    assert not RECIPE.objective(model.eval(), batch, 0).parts


def test_the_facts_can_be_learned_and_are_shown() -> None:
    config = RECIPE.variants["tiny"]
    task = RECIPE.task(config, None)
    torch.manual_seed(0)
    model = RECIPE.build(config, task)
    examples = task.examples("train")[:64]
    batch, optimizer = task.collate(examples), torch.optim.Adam(model.parameters(), 1e-2)
    for step in range(80):
        optimizer.zero_grad()
        RECIPE.objective(model.train(), batch, step).value.backward()
        optimizer.step()
    predictions = RECIPE.predict(model.eval(), batch, config)
    assert task.score(predictions, examples).figures["error"].value < 5
    example = next(one for one in examples if len(one.sentences) > 3)
    answer = Answer(model, task, config, example, example.target, torch.device("cpu"))
    [picture] = RECIPE.pictures(answer)
    assert set(picture.weights.flatten().tolist()) == {0.0, 1.0}
    assert (picture.weights.sum(1) == 1).all()
    assert RECIPE.measures(answer)["facts_right"].value == 100
    wrong = answer._replace(example=example._replace(supports=((example.supports[0] + 1) % len(example.sentences),)))
    assert RECIPE.measures(wrong)["facts_right"].value == 0


def test_only_answers_are_said(built: tuple[Any, Any, Any]) -> None:
    _, task, model = built
    batch = task.collate(task.examples("test")[:5])
    assert model(batch).scores.shape == (5, task.answers)
    assert len(task.symbols) > task.answers > 6
