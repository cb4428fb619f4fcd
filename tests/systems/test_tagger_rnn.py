from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import pytest
import torch

from saccade.core.recipe import Answer
from saccade.runs import catalogue
from tests.checks import randomised

RECIPE: Any = catalogue.recipe("tagger_rnn")


def built(**model: Any) -> tuple[Any, Any, Any]:
    config = RECIPE.variants["tiny"]
    config = replace(config, model=replace(config.model, **model))
    task = RECIPE.task(config, None)
    torch.manual_seed(0)
    return config, task, randomised(RECIPE.build(config, task)).eval()


def test_with_the_chain_it_is_the_best_of_all_paths() -> None:
    _, task, model = built()
    example = next(one for one in task.examples("test") if 3 <= len(one.words) <= 4)
    batch = task.collate([example])
    scores, chain = model.emissions(batch)[0].detach(), model.chain

    def score(path: tuple[int, ...]) -> float:
        total = chain.start[path[0]] + chain.end[path[-1]] + sum(scores[t, tag] for t, tag in enumerate(path))
        return float((total + sum(chain.transitions[a, b] for a, b in pairwise(path))).detach())

    paths = list(product(range(len(task.tags)), repeat=len(example.words)))[: 13**4]
    best = max(paths, key=score)
    assert tuple(model.tags(batch)[0].tolist()) == best


def test_without_the_chain_each_tag_is_chosen_alone() -> None:
    _, task, model = built(chain=False)
    batch = task.collate(task.examples("test")[:3])
    scores = model.emissions(batch)
    assert torch.equal(model.tags(batch), scores.argmax(-1))
    rows = []
    for row, tags, mask in zip(scores, batch.tags, batch.mask, strict=True):
        length = int(mask.sum())
        rows.append(sum(row[t].log_softmax(0)[tags[t]] for t in range(length)))
    torch.testing.assert_close(model.log_likelihood(batch), torch.stack(rows))


@pytest.mark.parametrize("characters", [True, False])
def test_only_with_characters_is_a_word_what_it_is_spelled(characters: bool) -> None:
    _, task, model = built(characters=characters)
    one, other = (task.collate([task.read(text)]) for text in ("zzqx runs", "zzQX runs"))
    assert torch.equal(one.symbols, other.symbols)
    assert torch.equal(model.emissions(one), model.emissions(other)) != characters


def test_pictures_are_marginals_and_transitions() -> None:
    config, task, model = built()
    example = task.examples("test")[0]
    with torch.inference_mode():
        [prediction] = RECIPE.predict(model, task.collate([example]), config)
        tags, transitions = RECIPE.pictures(Answer(model, task, config, example, prediction, torch.device("cpu")))
    assert torch.as_tensor(tags.weights).sum(1).tolist() == pytest.approx([1] * len(example.words), abs=1e-5)
    assert torch.as_tensor(transitions.weights).shape == (len(task.tags),) * 2
    assert tags.title == task.decode(prediction)


def test_the_rows_of_the_table() -> None:
    assert not RECIPE.variants["without-chain"].model.chain
    assert not RECIPE.variants["without-characters"].model.characters
