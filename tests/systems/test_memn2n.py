from pathlib import Path
from typing import Any

import pytest
import torch

from saccade.core.recipe import Answer
from saccade.explain.pictures.alignment import Alignment
from saccade.runs import catalogue
from tests.conftest import Command


@pytest.fixture(scope="module")
def built() -> tuple[Any, Any, Any]:
    config = RECIPE.variants["tiny"]
    task = RECIPE.task(config, None)
    torch.manual_seed(0)
    return config, task, RECIPE.build(config, task)


RECIPE: Any = catalogue.recipe("memn2n")


def test_the_first_steps_have_no_softmax_in_training_only(built: tuple[Any, Any, Any]) -> None:
    config, task, model = built
    batch, start = task.collate(task.examples("train")[:7]), config.model.linear_start
    logits = {
        (training, step): model.train(training)(batch, step).tolist()
        for training in (True, False) for step in (0, start - 1, start)
    }  # fmt: skip
    assert logits[True, 0] == logits[True, start - 1] != logits[True, start]
    assert all(logits[False, step] == logits[True, start] for step in (0, start - 1, start))
    assert RECIPE.objective(model.train(), batch, 0).parts.keys() == {"nats"}
    assert not RECIPE.objective(model.eval(), batch, 0).parts  # validation is the error


def test_the_picture_has_the_weights_of_each_hop_and_the_measure_is_of_it(built: tuple[Any, Any, Any]) -> None:
    config, task, model = built
    example = next(one for one in task.examples("test") if len(one.sentences) > 3)
    answer = Answer(model.eval(), task, config, example, example.target, torch.device("cpu"))
    [picture] = RECIPE.pictures(answer)
    assert isinstance(picture, Alignment)
    assert list(picture.columns) == [*example.sentences, "(nothing)"]
    assert list(picture.rows) == ["hop 1", "hop 2"]
    assert torch.as_tensor(picture.weights).sum(1).tolist() == pytest.approx([1, 1])
    figure = RECIPE.measures(answer)["support"]
    facts = sorted(set(example.supports))
    assert figure.value == pytest.approx(100 * float(picture.weights[:, facts].max(0).mean()))
    assert figure.over == len(facts)


def test_the_paper_s_setting() -> None:
    config = RECIPE.variants["babi-1k"]
    assert (config.model.hops, config.model.width, config.model.encoding) == (3, 50, "position")
    assert config.task.empty_memories == 0.1
    # the rate and the norm of a mean over 32 questions are those of the paper's sum
    assert config.training.learning_rate / config.training.batch_size == pytest.approx(0.01)
    assert config.training.clip * config.training.batch_size == pytest.approx(40)


def test_a_typed_story_is_answered_and_shown(tiny_runs: dict[str, Path], saccade: Command, tmp_path: Path) -> None:
    run = tiny_runs["memn2n"]
    story = "John went to the kitchen. Mary went to the zoo. Where is John?"
    done = saccade("predict", run, story, "--pictures", tmp_path)
    assert done.status == 0
    assert "Mary went to the zoo." in done.out
    assert "not in the vocabulary, and left out: zoo" in done.err
    assert any(path.suffix == ".png" for path in tmp_path.iterdir())
    for asked, said in {
        "Where is John?": "the story is empty", "John went to the kitchen.": "expected a question at the end",
    }.items():  # fmt: skip
        failed = saccade("predict", run, asked)
        assert failed.status == 2
        assert said in failed.err
        assert failed.err.count("\n") == 1


def test_a_user_types_a_story(tiny_runs: dict[str, Path], saccade: Command) -> None:
    run, story = tiny_runs["memn2n"], "Mary went to the kitchen.\nThe zebra went to the garden.\nWhere is Mary?"
    done = saccade("predict", run, story)
    assert (done.status, done.err.count("\n")) == (0, 1)
    assert "not in the vocabulary, and left out: zebra" in done.err
    lines = done.out.splitlines()
    assert sum(line.startswith(("Mary went to", "The zebra went")) for line in lines) == 2
    assert "hop 1" in done.out
    for wrong, said in (
        ("Mary went to the kitchen.", "expected a question at the end of the story"),
        ("Where is Mary?", "the story is empty"),
        ("", "the input is empty"),
        ("Mary went home. Zyx qrs?", "no word of the question 'Zyx qrs?' is in the vocabulary"),
    ):
        done = saccade("predict", run, wrong)
        assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
        assert said in done.err
    done = saccade("predict", run, story, "--best", "3")
    assert done.status == 2
    assert "memn2n has no likeliest symbols: it does not write its answer symbol by symbol" in done.err
