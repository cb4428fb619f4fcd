"""The worked exercise of backpropagation through time."""

import pytest
import torch

from saccade.core.errors import InvalidInput
from saccade.core.recipe import Answer
from saccade.systems.bptt.model import LinearConfig, LinearRNN
from saccade.systems.bptt.recipe import RECIPE, Config, predict
from saccade.tasks.bptt.task import ExercisesConfig, ExercisesTask, Gradients


def answers(config: Config, *typed: str) -> list[Gradients]:
    task = ExercisesTask(config.task)
    examples = [task.read(text) for text in typed]
    with torch.inference_mode():
        return predict(RECIPE.build(config, task), task.collate(examples), config)


def test_the_lectures_exercise_has_the_gradient_minus_4_or_minus_2() -> None:
    assert answers(Config(), "") == [Gradients(-4.0, -4.0, -4.0)]
    assert answers(Config(model=LinearConfig(loss="half")), "") == [Gradients(-2.0, -2.0, -2.0)]


def test_the_gradient_is_the_sum_over_all_pairs_of_steps() -> None:
    """dL/d theta_1 = sum_t 2 (z_t - y_t) sum_s<=t theta_2^(t - s) x_s, without a recursion."""
    torch.manual_seed(0)
    x, y = torch.randn(2, 7, dtype=torch.float64)
    theta1, theta2, z0 = 0.7, -0.9, 0.3
    model = LinearRNN(LinearConfig(theta1=theta1, theta2=theta2, z0=z0)).double()
    total = 0.0
    for t in range(7):
        reach = sum(theta2 ** (t - s) * float(x[s]) for s in range(t + 1))
        z = theta1 * reach + theta2 ** (t + 1) * z0
        total += 2 * (z - float(y[t])) * reach
    found = model.unrolled(x, y)
    assert float(found.terms.sum()) == pytest.approx(total, rel=1e-12)
    assert model.by_autograd(x, y) == pytest.approx(total, rel=1e-12)
    assert model.by_differences(x, y) == pytest.approx(total, rel=1e-9)


def test_the_graph_has_a_copy_of_the_weights_at_each_step() -> None:
    config = Config(model=LinearConfig(theta2=0.5))
    task = ExercisesTask(config.task)
    model, example = RECIPE.build(config, task), task.read("x 1 2 3 y 0 0 0")
    assert RECIPE.pictures is not None
    graph, terms = RECIPE.pictures(Answer(model, task, config, example, answers(config, str(example))[0], "cpu"))
    weights = [weight for *_, weight in graph.plain()["edges"]]
    assert weights[0::3] == [1.0] * 3  # theta_1
    assert weights[1::3] == [0.5] * 3  # theta_2
    assert sum(terms.plain()["lines"]["term of the gradient, d_t x_t"][1]) == pytest.approx(
        answers(config, str(example))[0].by_hand, rel=1e-4
    )


@pytest.mark.parametrize("typed", ["x 1 2 y 1", "x y", "1 2 3", "x 1 y one", "x 1e9 y 1", "x 1-2 y 1", "x nan y 1"])
def test_what_is_no_exercise_is_refused_in_a_sentence(typed: str) -> None:
    with pytest.raises(InvalidInput, match="expected"):
        ExercisesTask(ExercisesConfig()).read(typed)
