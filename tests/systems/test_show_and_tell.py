"""Show and Tell and LRCN against slow loops."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from saccade.memory import LSTM
from saccade.runs import flags
from saccade.systems.show_and_tell.model import ShowAndTell
from saccade.systems.show_and_tell.recipe import RECIPE
from saccade.tasks.captions import Example
from saccade.tasks.captions.words import UNKNOWN
from tests.checks import assert_twins, leaf, randomised

TINY = RECIPE.variants["tiny"]
SYMBOLS, BATCH, STEPS = 11, 3, 5
both = pytest.mark.parametrize("image", ["first", "every-step"])


def test_ones_own_photos_replace_those_of_a_variant() -> None:
    config = flags.parse(RECIPE.variants["flickr8k"], ["--task.train", "photos.tsv"])
    assert (config.task.train, config.task.folder, config.texts_first) == (Path("photos.tsv"), None, 0)


def make(image: Any) -> ShowAndTell:
    config = replace(TINY.model, image=image, embedding_size=3, hidden_size=5, dropout=0.0)
    return randomised(ShowAndTell(config, SYMBOLS), 0.4)


def slow_step(lstm: LSTM, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """One unit at a time; the blocks are i, f, g, o."""
    size, new_h, new_c = len(h), [], []
    for n in range(size):
        i, f, g, o = (
            lstm.weight_input[block * size + n] @ x
            + lstm.weight_hidden[block * size + n] @ h
            + lstm.bias[block * size + n]
            for block in range(4)
        )
        new_c.append(torch.sigmoid(f) * c[n] + torch.sigmoid(i) * torch.tanh(g))
        new_h.append(torch.sigmoid(o) * torch.tanh(new_c[n]))
    return torch.stack(new_h), torch.stack(new_c)


def slow(model: ShowAndTell, encoded: Tensor, tokens: Tensor) -> Tensor:
    """Logits, a caption and a word at a time."""
    logits = []
    for vector, words in zip(encoded, tokens, strict=True):
        image = model.image.weight @ vector + model.image.bias
        h = c = g = d = torch.zeros(5).double()
        if model.second is None:
            h, c = slow_step(model.first, image, h, c)
        for word in words:
            h, c = slow_step(model.first, model.embedding.weight[word], h, c)
            last = h
            if model.second is not None:
                g, d = slow_step(model.second, torch.cat([h, image]), g, d)
                last = g
            logits.append(model.output.weight @ last + model.output.bias)
    return torch.stack(logits).view(BATCH, STEPS, SYMBOLS)


@both
def test_it_equals_its_slow_twin(image: Any) -> None:
    model, tokens = make(image), torch.randint(SYMBOLS, (BATCH, STEPS))
    encoded = leaf(BATCH, model.encoder.channels)

    def fast() -> Tensor:
        state, logits = model.start(encoded), []
        for t in range(STEPS):
            projection, state = model.project(tokens[:, t], state)
            logits.append(projection.logits())
        return torch.stack(logits, 1)

    weights = [weight for name, weight in model.named_parameters() if not name.startswith("encoder")]
    assert_twins(fast, lambda: slow(model, encoded, tokens), [encoded, *weights])


@both
def test_the_image_the_embeddings_and_the_outputs_are_dropped_in_training(image: Any) -> None:
    config = replace(TINY.model, image=image, embedding_size=31, hidden_size=37, dropout=0.9)
    model, task, dropped = randomised(ShowAndTell(config, 200), 0.4), RECIPE.task(TINY, None), list[torch.Tensor]()
    model.dropout.register_forward_hook(lambda layer, given, out: dropped.append(out))
    batch = task.collate(task.examples("train")[:4], torch.Generator())
    features, steps = model.train()(batch).features, batch.tokens.shape[1] - 1
    assert [one.shape for one in dropped] == [(4, 31), (4, steps, 31), (4, steps, 37)]
    assert dropped[2] is features
    for one in dropped:
        assert abs((one == 0).double().mean().item() - 0.9) < 0.14  # five standard deviations of 124 elements
    dropped.clear()
    model.eval()(batch)
    assert all(one.all() for one in dropped)


@both
def test_all_steps_at_once_equal_single_steps(image: Any) -> None:
    model = make(image).eval()
    task = RECIPE.task(TINY, None)
    batch = task.collate(task.examples("test")[:3])
    batch = batch._replace(tokens=batch.tokens % SYMBOLS)
    at_once, state = model(batch).log_probs(), model.start(model.encode(batch))
    for t in range(batch.tokens.shape[1] - 1):
        log_probs, state = model.step(batch.tokens[:, t], state)
        torch.testing.assert_close(log_probs, at_once[:, t], rtol=1e-11, atol=1e-11)


@both
def test_a_caption_without_an_image_is_one_of_an_empty_image(image: Any) -> None:
    model, task = make(image).eval(), RECIPE.task(TINY, None)
    texts = [Example("texts", 0, (), (4, 5, 6))]
    assert not model.encode(task.collate(texts, torch.Generator())).any()


def test_an_unknown_word_does_not_count() -> None:
    config = replace(TINY, model=replace(TINY.model, dropout=0.0))
    task = RECIPE.task(config, None)
    model, example = RECIPE.build(config, task).eval(), task.examples("train")[0]
    batch = task.collate([example._replace(symbols=(*example.symbols, UNKNOWN))], torch.Generator())
    found = RECIPE.objective(model, batch, 0).parts["nats"]
    log_probs = model(batch).log_probs()[0].gather(1, batch.tokens[0, 1:, None])[:, 0]
    count = len(example.symbols)
    assert int(found.count) == count + 1
    assert found.value.item() == pytest.approx(-(log_probs.sum() - log_probs[count]).item() / (count + 1), rel=1e-5)
