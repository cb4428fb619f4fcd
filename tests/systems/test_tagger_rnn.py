from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
import torch

from saccade import load
from saccade.core.errors import InvalidInput
from saccade.core.pretrained import Pretrained
from saccade.core.recipe import Answer
from saccade.nets.bidirectional_language_model import BidirectionalLanguageModel
from saccade.nets.character_convolution import CharacterConvolution
from saccade.runs import catalogue
from saccade.tasks.entities.conll import parse
from tests.checks import randomised
from tests.conftest import Command

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
    assert RECIPE.variants["fifth"].task.share == 0.2


def language() -> BidirectionalLanguageModel:
    token = CharacterConvolution(3, character_size=2, filters=((1, 2), (3, 3)))
    return randomised(BidirectionalLanguageModel(token, 7, 5, dropout=0.5))


def in_context(network: Any) -> tuple[Any, Any]:
    """A task, and a tagger that reads the vectors of a network."""
    _, task, model = built(contextual=Pretrained("nowhere").resolved(network=network))
    return task, model


class TestContextual:
    def test_each_word_is_joined_by_the_mix_of_its_layers(self) -> None:
        task, model = in_context(language())
        batch = task.collate(task.examples("test")[:4])
        mix, each = model.contextual.mix, model.contextual.language.vectors(batch.words)
        found = model.contextual(batch.words)
        for row, layers in zip(found, each, strict=True):
            expected = mix.scale * sum(s * layers[:, j] for j, s in enumerate(mix.weights.softmax(0)))
            torch.testing.assert_close(row[: len(layers)], expected)
        heard: list[Any] = []
        model.recurrent.register_forward_pre_hook(lambda net, given: heard.append(given[0]))
        model.emissions(batch)
        assert torch.equal(heard[0][..., -found.shape[-1] :], found)
        assert heard[0].shape[-1] == 8 + 10 + found.shape[-1]

    def test_the_language_model_is_frozen_and_only_its_mix_is_learned(self) -> None:
        task, model = in_context(language())
        assert not model.train().contextual.language.training
        assert model.contextual.mix.training
        batch = task.collate(task.examples("train")[:4])
        before = {name: weight.clone() for name, weight in model.contextual.language.named_parameters()}
        RECIPE.objective(model, batch, 0).value.backward()
        learned = {name for name, weight in model.named_parameters() if weight.grad is not None}
        assert {name for name in learned if name.startswith("contextual")} == {
            "contextual.mix.scale", "contextual.mix.weights",
        }  # fmt: skip
        assert all(model.contextual.mix.get_parameter(name).grad.any() for name in ("weights", "scale"))
        torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.1).step()
        after = dict(model.contextual.language.named_parameters())
        assert all(torch.equal(after[name], weight) for name, weight in before.items())

    def test_padding_never_changes_the_tags(self) -> None:
        task, model = in_context(language())
        examples = task.examples("test")[:5]
        together = model.marginals(task.collate(examples))
        for row, example in zip(together, examples, strict=True):
            alone = model.marginals(task.collate([example]))[0]
            torch.testing.assert_close(row[: len(alone)], alone, rtol=1e-11, atol=1e-11)

    def test_another_network_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match="nowhere is no run of a bidirectional language model"):
            in_context(torch.nn.Linear(2, 3))
        with pytest.raises(InvalidInput, match="nowhere is no run of a bidirectional language model"):
            built(contextual=Pretrained("nowhere").resolved(weights={}))

    @pytest.mark.unhooked
    def test_a_run_keeps_its_own_copy_of_the_language_model(
        self, saccade: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("saccade.runs.ending.DRAWN", 0)
        flags = ["--training.steps", "2", "--training.validate-every", "2"]
        assert saccade("train", "elmo", "tiny", *flags, "--out", tmp_path / "elmo").status == 0
        own = ["--model.contextual", tmp_path / "elmo", "--out", tmp_path / "run"]
        assert saccade("train", "tagger_rnn", "tiny", *flags, *own).status == 0
        language: Any = load(tmp_path / "elmo").model
        (tmp_path / "elmo").rename(tmp_path / "gone")
        run: Any = load(tmp_path / "run")
        words = [["Paris", "is", "far"]]
        assert torch.equal(run.model.contextual.language.vectors(words)[0], language.vectors(words)[0])
        assert run.predict("Paris is far").text


def test_answers_can_be_lines_of_conll() -> None:
    config = RECIPE.variants["tiny"]
    task = RECIPE.task(replace(config, task=replace(config.task, answers="conll")), None)
    example = next(one for one in task.examples("test") if any(one.tags > 0))
    said = task.decode(task.answer(example))
    [again] = parse([*said.split("\n"), ""], "answer")
    assert again.words == example.words
    assert list(again.tags) == task.names(example.tags.tolist())
    assert "\n" not in "".join(task.compare(example, task.answer(example)).values())


def test_unknown_characters_are_read_as_one() -> None:
    _, task, model = built()
    examples = [task.read(text) for text in ("Paris ☃☃ won", "Paris ☕☕ won")]
    one, other = (model.emissions(task.collate([example])) for example in examples)
    assert one.isfinite().all()
    assert torch.equal(one, other)
    assert task.notes(examples[0]) == ["not among the characters of the training: ☃"]
    assert task.notes(task.read("Paris won")) == []
