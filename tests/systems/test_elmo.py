from dataclasses import replace
from typing import Any

import pytest
import torch

from saccade.core.errors import InvalidInput
from saccade.core.recipe import Answer
from saccade.explain.pictures import kept, load
from saccade.runs import catalogue
from saccade.systems.elmo.both_ways import BothWays
from saccade.systems.elmo.neighbours import ROOM, asked, marked, neighbours
from tests.checks import randomised

RECIPE: Any = catalogue.recipe("elmo")


@pytest.fixture(scope="module")
def made() -> tuple[Any, Any, Any]:
    config = RECIPE.variants["tiny"]
    task = RECIPE.task(config, None)
    torch.manual_seed(0)
    return config, task, randomised(RECIPE.build(config, task)).eval()


def test_the_loss_is_the_mean_of_each_direction_and_the_score_its_perplexity(made: Any) -> None:
    config, task, model = made
    examples = task.examples("test")[:7]
    loss = RECIPE.objective(model, task.collate(examples), 0)
    assert set(loss.parts) == {"forward", "backward"}
    assert loss.parts["forward"].count == sum(len(one.words) + 1 for one in examples)
    figures = task.score(RECIPE.predict(model, task.collate(examples), config), examples).figures
    for way, part in loss.parts.items():
        assert figures[f"{way}_perplexity"].value == pytest.approx(part.value.exp().item(), rel=1e-3)


def test_a_word_is_predicted_from_one_side_only(made: Any) -> None:
    config, task, model = made
    one, other = (task.read(f"{first} you {last}") for first, last in (("I see", "now"), ("We hear", "now")))
    [ours], [theirs] = (RECIPE.predict(model, task.collate([each]), config) for each in (one, other))
    assert ours.backward[3:] == theirs.backward[3:]  # of "you" and "now", after the same words
    assert ours.backward[1] != theirs.backward[1]
    assert ours.forward[2] != theirs.forward[2]


def test_vectors_are_those_of_the_sentence_alone_in_training_too(made: Any) -> None:
    _, task, model = made
    sentences = [list(one.words) for one in task.examples("test")[:5]]
    together = model.vectors(sentences)
    model.train()
    for words, rows in zip(sentences, together, strict=True):
        assert rows.shape == (len(words), 3, 16)
        torch.testing.assert_close(model.vectors([words])[0], rows, rtol=0, atol=1e-12)
    model.eval()


def test_pictures_are_surprise_both_ways_and_the_nearest_contexts(made: Any) -> None:
    config, task, model = made
    words = next(row for row in task.sentences["train"] if "you" in row)
    example = task.read(" ".join(words))
    [ours] = RECIPE.predict(model, task.collate([example]), config)
    answer = Answer(model, task, replace(config, word="you"), example, ours, torch.device("cpu"))
    with torch.inference_mode():
        surprise, contexts = RECIPE.pictures(answer)
    assert surprise.forward == pytest.approx([nats / 0.6931472 for nats in ours.forward[:-1]], rel=1e-5)
    assert surprise.backward == pytest.approx([nats / 0.6931472 for nats in ours.backward[1:]], rel=1e-5)
    assert kept(load(kept(surprise))) == kept(surprise)
    assert kept(load(kept(contexts))) == kept(contexts)
    assert all("[you]" in row for row in contexts.sentences)
    top = [float(row[-1]) for row in contexts.cosines]
    assert top == sorted(top, reverse=True)
    first, *rows = contexts.text(60).splitlines()[1:]
    assert first.startswith("layer 1  layer 2  cosine with")
    assert rows[0].split()[1] == f"{top[0]:.2f}"


def test_cosines_are_of_the_states_of_the_word(made: Any) -> None:
    _, task, model = made
    words = next(row for row in task.sentences["train"] if "you" in row)
    near = neighbours(model, task, words, "you")
    assert near is not None
    found = {}
    for row in dict.fromkeys(task.sentences["train"]):
        if "you" in row and row != words:
            one, other = (model.vectors([each])[0][each.index("you"), 1:] for each in (words, row))
            found[marked(row, "you")] = [float(a @ b / a.norm() / b.norm()) for a, b in zip(one, other, strict=True)]
    for context, cosines in zip(near.contexts, near.cosines.tolist(), strict=True):
        assert cosines == pytest.approx(found[context], abs=1e-5)
    assert near.cosines[0, -1] == pytest.approx(max(row[-1] for row in found.values()), abs=1e-5)


def test_the_word_is_the_one_that_is_asked_for_or_the_longest_known() -> None:
    assert asked(("I", "play", "a", "piano", "."), "", {"play", "a", "."}) == 1
    assert asked(("I", "play", "!"), "I", set()) == 0
    assert asked(("Oh", "!"), "", {"!"}) is None
    with pytest.raises(InvalidInput, match="--word can: the sentence has no such word; it has I, play"):
        asked(("I", "play", "I"), "can", set())


def test_a_context_is_cut_on_both_sides_of_its_word() -> None:
    words = ("we", "all", "know", "that", "she", "will", "play", "the", "piano", "again", "on", "the", "day", "after")
    found = marked(words, "play")
    assert found.startswith("… ")
    assert found.endswith(" …")
    assert "will [play] the" in found
    assert len(found) <= ROOM + 4
    assert marked(("a", "b"), "b") == "a [b]"


def test_a_sentence_whose_training_text_is_gone_has_no_contexts(made: Any) -> None:
    _, task, model = made

    class Gone:
        @property
        def sentences(self) -> Any:
            raise InvalidInput("there is no such file")

    assert neighbours(model, Gone(), ("I", "go"), "") is None
    assert neighbours(model, task, ("zzq", "☃"), "") is None


def test_the_picture_says_both_numbers() -> None:
    picture = BothWays("surprise", ["I", "go"], [1.0, 4.0], [3.0, 2.0], "Title")
    text = picture.text(60)
    assert text.index("given the words before") < text.index("given the words after")
    assert "go 4" in picture.description()
    assert "I 3" in picture.description()
    with pytest.raises(InvalidInput):
        BothWays("surprise", ["I", "go"], [1.0], [3.0, 2.0])


def test_the_sizes_of_the_paper() -> None:
    model = RECIPE.variants["paper"].model
    assert (model.size, model.hidden_size, model.layers, model.highways, sum(model.filters)) == (512, 4096, 2, 2, 2048)
