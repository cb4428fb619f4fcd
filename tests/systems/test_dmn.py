from dataclasses import replace
from typing import Any

import pytest
import torch

from saccade.core.recipe import Answer
from saccade.runs import catalogue

RECIPE: Any = catalogue.recipe("dmn")


@pytest.mark.parametrize("kind", ["dmn+", "dmn"])
def test_the_picture_has_the_gates_of_each_pass(kind: str) -> None:
    config = RECIPE.variants["tiny"]
    config = replace(config, model=replace(config.model, kind=kind, dropout=0.5))
    task = RECIPE.task(config, None)
    model = RECIPE.build(config, task)
    example = next(one for one in task.examples("test") if len(one.sentences) > 3)
    answer = Answer(model.train(), task, config, example, example.target, torch.device("cpu"))
    [picture] = RECIPE.pictures(answer)
    assert model.training
    assert picture.weights.shape == (2, len(example.sentences))
    assert list(picture.columns) == list(example.sentences)
    sums = torch.as_tensor(picture.weights).sum(1).tolist()
    assert (sums == pytest.approx([1, 1])) == (kind == "dmn+")
    [again] = RECIPE.pictures(answer)  # without dropout
    assert (again.weights == picture.weights).all()
    facts = list(example.supports)
    assert RECIPE.measures(answer)["support"].value == pytest.approx(
        100 * float(picture.weights[:, facts].max(0).mean())
    )


def test_one_variant_a_task_and_a_claim_each() -> None:
    variants = [name for name in RECIPE.variants if name.startswith("babi-10k-")]
    for name in variants:
        assert RECIPE.variants[name].task.tasks == (int(name.rpartition("-")[2]),)
        assert RECIPE.variants[name].task.questions == "10k"
    assert [claim.variant for claim in RECIPE.claims] == variants
    assert [claim.bound for claim in RECIPE.claims] == [3.0, 3.3, 3.5, 48.3]
