"""Show, Attend and Tell: its loss, its measures, its picture; a frozen encoder; captions without images."""

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.core.recipe import Answer
from saccade.explain.answers import replayed
from saccade.explain.page import View, page_of
from saccade.nets import image_encoder
from saccade.nets.attention_choice import Gumbel, Hard, ScoreFunctionGradient, StraightThrough
from saccade.nets.image_encoder import EfficientNet
from saccade.runs import flags
from saccade.runs.costs import Costs
from saccade.systems.show_attend_tell.looks import Looked, heaviest, looked
from saccade.systems.show_attend_tell.objective import loss
from saccade.systems.show_attend_tell.recipe import HARD, RECIPE
from saccade.systems.show_attend_tell.words import Words
from saccade.tasks.captions import CaptionsConfig, Example, Said
from saccade.tasks.captions.batch import counted, targets_of
from saccade.tasks.captions.words import PAD, START, UNKNOWN
from tests.explain.browsing import Opened

TINY = RECIPE.variants["tiny"]


def parsed(variant: str, *arguments: str) -> Any:
    return flags.parse(RECIPE.variants[variant], arguments)


def test_ones_own_photos_replace_those_of_a_variant() -> None:
    """`saccade train show_attend_tell flickr8k --task.train photos.tsv`, as the README has it."""
    for variant in ("flickr8k", "flickr8k-hard", "paper", "default"):
        config = parsed(variant, "--task.train", "photos.tsv")
        assert (config.task.train, config.task.folder) == (Path("photos.tsv"), None)
        assert (config.task.texts, config.texts_first) == (False, 0), "Flickr8k alone has captions without photos"
        assert config.model == RECIPE.variants[variant].model
    own = parsed("default", "--task.train", "photos.tsv", "--task.test", "test.tsv")
    assert flags.parse(own, ["--task.folder", "flickr8k"]).task == CaptionsConfig(folder=Path("flickr8k"))
    assert parsed("flickr8k", "--task.texts", "false").texts_first == 0
    assert parsed("flickr8k").texts_first == 1000


@pytest.mark.parametrize(
    ("variant", "given", "said"),
    [
        ("flickr8k", "--task.train a.tsv --task.folder b", "folder and train are both set; choose one of them"),
        ("default", "--task.validation a.tsv", "validation is set, but train is not; type --task.train FILE"),
        (
            "default",
            "--task.texts true",
            "texts is true, but only Flickr8k has captions without photos; type --task.fo",
        ),
        ("flickr8k", "--task.train a.tsv --task.texts true", "texts is true, but only Flickr8k has captions without"),
        (
            "default",
            "--texts-first 5",
            "texts_first is 5, but there are no captions without photos; type --task.texts tr",
        ),
        (
            "flickr8k",
            "--task.train a.tsv --texts-first 5",
            "texts_first is 5, but there are no captions without photos",
        ),
    ],
)
def test_what_would_have_no_effect_is_refused(variant: str, given: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{said}"):
        parsed(variant, *given.split())


def make(**options: Any) -> tuple[Any, Any, Any]:
    torch.manual_seed(1)
    config = replace(TINY, model=replace(TINY.model, dropout=0.0, **options))
    task = RECIPE.task(config, None)
    return config, task, RECIPE.build(config, task).double()


def batch_of(task: Any, count: int = 4) -> Any:
    return task.collate(task.examples("train")[:count], torch.Generator())


def test_the_loss_is_that_of_each_caption_alone_and_padding_changes_nothing() -> None:
    _, task, model = make(penalty=0.7)
    model.eval()
    examples = sorted(task.examples("train")[:20], key=lambda example: len(example.symbols))
    together = [examples[0], examples[-1]]
    assert len(together[0].symbols) < len(together[1].symbols)
    values, words, penalties = 0.0, 0, 0.0
    for example in together:
        alone = loss(model, task.collate([example], torch.Generator()), 0)
        count = len(example.symbols) + 1
        values += float(alone.parts["nats"].value.detach()) * count
        penalties += float(alone.parts["regions"].value.detach()) * count
        words += count
        assert alone.parts["regions"].weight == 0.7
    batch = task.collate(together, torch.Generator())
    both = loss(model, batch, 0)
    assert both.parts["nats"].value.item() == pytest.approx(values / words, rel=1e-12)
    assert both.parts["regions"].value.item() == pytest.approx(penalties / words, rel=1e-12)
    assert {int(part.count) for part in both.parts.values()} == {words}
    longer = batch._replace(tokens=F.pad(batch.tokens, (0, 3), value=PAD), mask=F.pad(batch.mask, (0, 3), value=False))
    model.train()
    for name in both.parts:
        slopes, others = (
            torch.autograd.grad(loss(model, one, 0).parts[name].value, list(model.parameters()), materialize_grads=True)
            for one in (batch, longer)
        )
        assert any(slope.any() for slope in slopes)
        torch.testing.assert_close(others, slopes, rtol=1e-10, atol=1e-12)


def test_an_unknown_word_is_read_and_does_not_count() -> None:
    """No training caption has one if the vocabulary has all training words; its probability says nothing."""
    config, task, model = make()
    example = task.examples("test")[0]
    symbols = (*example.symbols[:2], UNKNOWN, *example.symbols[3:])
    batch = task.collate([example._replace(symbols=symbols)])
    with torch.no_grad():
        predicted = model.eval()(batch)
        found = loss(model, batch, 0).parts["nats"]
    kept = [place for place in range(len(symbols) + 1) if place != 2]
    log_probs = predicted.projection.log_probs()[0, kept, batch.tokens[0, 1:][kept]]
    assert int(found.count) == len(symbols)
    assert float(found.value) == pytest.approx(-float(log_probs.detach().mean()))
    references = batch.references.clone()
    references[0, 0, 3] = UNKNOWN
    with torch.inference_mode():
        whole, less = (RECIPE.predict(model, one, config)[0] for one in (batch, batch._replace(references=references)))
    assert less.reference_words == whole.reference_words - 1
    said = "a unicorn above a red square"
    assert counted(torch.tensor(task.symbols(said))).tolist() == [word != "unicorn" for word in said.split()]


@pytest.mark.parametrize("reward", ["following", "whole"])
def test_a_choice_at_an_unknown_word_is_trained_by_the_words_after_it(reward: Any) -> None:
    _, task, model = make(attention=Hard(attention_size=7, estimator=ScoreFunctionGradient(reward=reward)), penalty=0.0)
    batch = task.collate([example._replace(symbols=(UNKNOWN,)) for example in task.examples("train")[:1]])
    torch.manual_seed(2)
    for counts, tokens in ((True, batch.tokens), (False, torch.tensor([[START, UNKNOWN]]))):
        model.zero_grad()
        predicted = model.train()(batch._replace(tokens=tokens, mask=tokens != PAD))
        predicted.projection.choices.log_prob.retain_grad()
        predicted.projection.cross_entropy(targets_of(tokens), PAD).backward()
        assert bool(predicted.projection.choices.log_prob.grad[0, 0]) == counts


@pytest.mark.parametrize("tau", ["one", "even"])
def test_the_penalty_is_the_papers(tau: Any) -> None:
    _, task, model = make(tau=tau)
    batch = batch_of(task, 1)
    with torch.no_grad():
        predicted = model.eval()(batch)
        found = loss(model, batch, 0).parts["regions"]
    weights = predicted.weights[0]
    words, regions = weights.shape
    wanted = 1 if tau == "one" else words / regions
    expected = sum((wanted - weights[:, region].sum()) ** 2 for region in range(regions))
    assert float(found.value * found.count) == pytest.approx(float(expected))


@pytest.mark.parametrize("estimator", [ScoreFunctionGradient(), StraightThrough(), Gumbel()], ids=lambda one: one.name)
def test_the_penalty_of_hard_attention_is_that_of_the_probabilities(estimator: Any) -> None:
    """Choices have no gradient, or one of another quantity."""
    _, task, model = make(attention=Hard(attention_size=7, estimator=estimator))
    batch, attention = batch_of(task, 1), model.decoder.mechanism
    queries, annotations = model.eval()(batch).queries[0], model.encode(batch).annotations[0]
    scores = [
        torch.tanh(attention.query.weight @ query + attention.key(annotations)) @ attention.v for query in queries
    ]
    expected = (1 - torch.stack(scores).softmax(1).sum(0)).square().sum()
    found = loss(model, batch, 0).parts["regions"]
    assert float((found.value * found.count).detach()) == pytest.approx(float(expected.detach()))
    slopes = torch.autograd.grad(found.value * found.count, list(model.parameters()), materialize_grads=True)
    exact = torch.autograd.grad(expected, list(model.parameters()), materialize_grads=True)
    torch.testing.assert_close(slopes, exact)
    assert exact[[name for name, _ in model.named_parameters()].index("decoder.recurrent.attention.attention.v")].any()


def test_captions_without_images_teach_the_language_part_alone() -> None:
    _, task, model = make()
    texts = [Example("texts", row, (), example.symbols) for row, example in enumerate(task.examples("train")[:3])]
    found = loss(model, task.collate(texts, torch.Generator()), 0)
    assert set(found.parts) == {"nats"}
    found.value.backward()
    assert model.decoder.readout.output.weight.grad.any()
    assert not any(weight.grad is not None and weight.grad.any() for weight in model.encoder.parameters())


@pytest.mark.parametrize("reward", ["following", "whole"])
def test_hard_attention_trains_and_writes(reward: Any) -> None:
    hard = replace(HARD, attention_size=7, estimator=ScoreFunctionGradient(baseline="moving", reward=reward))
    config, task, model = make(attention=hard, penalty=0.0)
    loss(model.train(), batch_of(task), 0).value.backward()
    assert model.decoder.mechanism.v.grad.any()
    assert bool(model.decoder.score_function.seen)
    example = task.examples("test")[0]
    with torch.inference_mode():
        [said] = RECIPE.predict(model.eval(), task.collate([example]), config)
    seen = looked(Answer(model, task, config, example, said, torch.device("cpu")))
    torch.testing.assert_close(seen.weights.sum((1, 2)), torch.ones(len(seen.symbols)))
    assert (seen.weights.amax((1, 2)) < 1).all()  # the probabilities of the choices, not the choices


def answer_of(config: Any, task: Any, model: Any, caption: str, row: int = 0) -> Answer:
    example = task.examples("test")[row]
    said = Said(task.vocabulary.encode(caption.split()))
    return Answer(model, task, config, example, said, torch.device("cpu"))


def test_a_word_looks_right_if_the_middle_of_its_heaviest_region_lies_in_its_objects_box() -> None:
    weights = torch.zeros(2, 4, 4)
    weights[0, 1, 3] = weights[1, 0, 0] = 1
    seen = Looked([4, 5], weights, None, (32, 64), torch.zeros(16, 3), torch.zeros(2, 3), torch.zeros(2, 3))
    assert heaviest(seen, 0) == (12, 56)
    assert heaviest(seen, 1) == (4, 8)


def test_only_words_that_name_an_object_of_the_scene_are_measured() -> None:
    config, task, model = make()
    thing = task.things(task.examples("test")[0])[0]
    figures = RECIPE.measures(answer_of(config, task, model, f"a {thing.colour} {thing.form} left of a {thing.colour}"))
    assert (figures["looks_right"].value, figures["looks_right"].over) == (0, 1)  # no sentence
    other = task.things(task.examples("test")[0])[1]
    caption = f"a {thing.colour} {thing.form} left of a {other.colour} {other.form}"
    figures = RECIPE.measures(answer_of(config, task, model, caption))
    assert figures["looks_right"].over == 4
    assert figures["nouns_look_right"].over == 2
    assert figures["gate"].over == len(caption.split()) + 1
    plain = make(gate=False)
    assert "gate" not in RECIPE.measures(answer_of(*plain, caption))


def test_the_picture_shows_soft_and_hard_and_the_gate(tmp_path: Path) -> None:
    maps = torch.zeros(3, 2, 3).double()
    maps[0, 0, 1], maps[1], maps[2, 1, 2] = 1.0, 1 / 6, 0.5
    made = Words("words", torch.rand(3, 8, 12), maps, ["a", "red", "cross"], [0.1, 0.25, 1.0], "a title")
    assert made.hard.sum((1, 2)).tolist() == [1, 1, 1]
    assert made.hard[0, 0, 1] == made.hard[2, 1, 2] == 1
    text = made.text(80)
    assert "cross  row 2, column 3: 0.50, beta 1.00" in text
    assert "cross 83% from the left and 75% from the top" in made.description()
    figure = made.figure()
    assert len(figure.axes) == 3 * 3
    again = Words.from_plain(json.loads(json.dumps(made.plain())))
    assert again.plain() == made.plain()
    assert len(Words("words", torch.rand(8, 8), maps, ["a", "b", "c"]).figure().axes) == 3 * 2


PURPLE = (128, 0, 128)


def purple_and_black() -> torch.Tensor:
    """(3, 8, 12): purple on the left, black on the right."""
    image = torch.zeros(3, 8, 12)
    image[:, :, :6] = torch.tensor(PURPLE)[:, None, None] / 255
    return image


def test_the_picture_keeps_the_colours_of_the_image() -> None:
    maps = torch.zeros(1, 2, 3)
    maps[0, 0, 2] = 1.0
    made = Words("words", purple_and_black(), maps, ["a"])
    kept = json.loads(json.dumps(made.plain()))
    for picture in (made, Words.from_plain(kept)):
        for axes in picture.figure().axes:  # soft, and hard below it
            shown = np.asarray(axes.images[0].get_array())
            np.testing.assert_allclose(shown[-1, 0], [0.75, 0.5, 0.75], atol=0.01)  # purple, paled
            np.testing.assert_allclose(shown[-1, -1], [0.5, 0.5, 0.5], atol=0.01)  # black, paled
    grey = Words.from_plain({**kept, "image": {"size": [1, 1], "block": 1, "pixels": [[51]]}})  # of an older run
    assert grey.image.tolist() == [[[0.2]]] * 3


def test_the_page_draws_the_image_in_its_colours_and_the_heaviest_region_below(browser: Any, tmp_path: Path) -> None:
    maps = torch.zeros(2, 2, 3)
    maps[0, 0, 2] = maps[1, 1, 0] = 1.0
    made = Words("words", purple_and_black(), maps, ["a", "b"])
    path = tmp_path / "page.html"
    path.write_text(page_of([View("a run", "a b", "", [made])], "words"), encoding="utf-8")
    seen = Opened(browser, path, viewport={"width": 900, "height": 700}, color_scheme="light")
    images = [decoded(image.get_attribute("href")) for image in seen.page.locator(".holder image").all()]
    assert len(images) == 4  # two words; and below the heaviest regions
    high, wide = images[0].shape[:2]
    for number, heavy in enumerate(((0, wide - 1), (high - 1, 0))):
        for image in images[number], images[2 + number]:
            assert image[heavy].max() < 110
        np.testing.assert_allclose(image[high - 1 - heavy[0], wide // 2 - 2], [191, 128, 191], atol=1)  # purple, paled
    region = images[2][: high // 2, 2 * wide // 3 + 1 :]
    assert (region == region[0, 0]).all()  # one region, the same everywhere
    assert (images[2][high // 2 + 1 :, 2 * wide // 3 + 1 :] == 128).all()  # black, paled
    assert not seen.wrong
    seen.page.close()


def decoded(address: str) -> Any:
    image = pytest.importorskip("PIL.Image").open(io.BytesIO(base64.b64decode(address.split(",")[1])))
    return np.asarray(image.convert("RGB")).astype(int)


def test_a_photo_through_predict_has_the_maps_of_its_training_to_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader and the frozen encoder are the same for a training image and for a user's file."""

    def random_network(choice: Any) -> Any:
        torch.manual_seed(1)
        return image_encoder.FrozenEfficientNet(choice.maps, choice.cache, published=False)

    monkeypatch.setattr("saccade.systems.show_attend_tell.model.build_encoder", random_network)
    config = replace(TINY, model=replace(TINY.model, encoder=EfficientNet(maps="stride-16")))
    task = RECIPE.task(config, None)
    model = RECIPE.build(config, task).train()
    own = model.encode(task.collate(task.examples("test")[:2]))
    user = task.collate([task.read(task.examples_to_type(2)[1])])
    assert user.keys != task.collate(task.examples("test")[1:2]).keys
    assert torch.equal(model.encode(user).annotations[0], own.annotations[1])
    loss(model, batch_of(task), 0).value.backward()
    assert all(weight.grad is None for weight in model.encoder.parameters())


def test_the_nearest_photo_by_a_frozen_encoder_is_scored_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make()[2].nearest is None  # an encoder that is trained with the rest
    monkeypatch.setattr(
        "saccade.systems.show_attend_tell.model.build_encoder",
        lambda choice: image_encoder.FrozenEfficientNet(choice.maps, published=False),
    )
    config = replace(TINY, model=replace(TINY.model, encoder=EfficientNet(maps="stride-16")))
    task = RECIPE.task(config, None)
    model = RECIPE.build(config, task)
    model.eval()
    same = [replaced._replace(split="train", row=row) for row, replaced in enumerate(task.examples("test")[:2])]
    firsts = [task.symbols(task.source.captions["train"][row][0]) for row in range(2)]
    assert [one.nearest for one in RECIPE.predict(model, task.collate(same), config)] == firsts  # the images themselves
    user = task.collate([task.read(task.examples_to_type(1)[0])])
    assert RECIPE.predict(model, user, config)[0].nearest is None


@pytest.mark.parametrize("variant", ["tiny", "hard"])
def test_the_build_up_shows_what_was_read(variant: str) -> None:
    """The weighted sum of the regions, or of hard attention the likeliest region, times the gate beta; and the state
    after each word."""
    task = RECIPE.task(TINY, None)
    hard = RECIPE.variants["hard"].model.attention
    model = RECIPE.build(TINY if variant == "tiny" else replace(TINY, model=replace(TINY.model, attention=hard)), task)
    model.eval()
    example = task.examples("test")[0]
    answer = Answer(model, task, TINY, example, task.answer(example), torch.device("cpu"))
    seen = looked(answer)
    _, built = RECIPE.pictures(answer)
    annotations = model.encode(task.collate([example])).annotations[0].detach()
    assert torch.allclose(seen.annotations, annotations, atol=1e-5)
    weights = seen.weights.flatten(1)
    if variant == "hard":
        weights = torch.nn.functional.one_hot(weights.argmax(1), weights.shape[1]).float()
    slow = sum(weights[:, [region]] * annotations[region] for region in range(len(annotations)))
    assert seen.gates is not None
    slow = seen.gates.clone()[:, None] * slow
    assert torch.allclose(torch.as_tensor(built.contexts).float(), slow[:, :8].detach(), atol=1e-5)
    assert torch.allclose(torch.as_tensor(built.weights).float(), seen.weights.flatten(1), atol=1e-4)
    assert list(built.words) == [*example.references[0].split(), "</s>"]
    with torch.inference_mode():
        state, states = model.start(model.encode(task.collate([example]))), []
        for symbol in task.collate([replayed(answer)]).tokens[0, :-1]:
            _, state = model.decoder.step(symbol[None], state)
            states.append(state.decoder.hidden.hidden[0])
    assert torch.allclose(torch.as_tensor(built.states).float(), torch.stack(states)[:, :8], atol=1e-5)


def test_every_estimator_and_order_is_a_variant() -> None:
    models = {name: config.model for name, config in RECIPE.variants.items()}
    assert models["default"].order == "step-first"
    assert models["look-first"].order == models["paper"].order == "look-first"
    names = {
        name: model.attention.estimator.name for name, model in models.items() if isinstance(model.attention, Hard)
    }
    assert {names[name] for name in ("hard", "straight-through", "gumbel")} == {
        "score-function", "straight-through", "gumbel",
    }  # fmt: skip
    assert models["hard"].attention.soft == models["flickr8k-hard"].attention.soft == 0.5


def test_it_can_be_planned() -> None:
    """The data are drawn before the model, which is built of sizes alone."""
    assert sum(weight.numel() for weight in Costs(RECIPE, TINY, "cpu").model().parameters()) > 0
