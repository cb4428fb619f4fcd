from typing import Any

import pytest
import torch
from torch import Tensor

from saccade.core.recipe import Answer
from saccade.explain.pictures import kept, load
from saccade.explain.pictures.text import Text
from saccade.runs import catalogue
from saccade.systems.sentiment_rnn.beside import Beside
from saccade.systems.sentiment_rnn.omission import effects, rank_correlation
from tests.checks import randomised
from tests.explain.pictures import assert_apart, assert_whole

RECIPE: Any = catalogue.recipe("sentiment_rnn")


def built(variant: str = "tiny", pooling: str = "attention") -> tuple[Any, Any, Any]:
    from dataclasses import replace

    config = RECIPE.variants[variant]
    config = replace(config, model=replace(config.model, pooling=pooling))
    task = RECIPE.task(config, None)
    torch.manual_seed(0)
    return config, task, randomised(RECIPE.build(config, task)).eval()


def answered(pooling: str = "attention") -> Answer:
    config, task, model = built(pooling=pooling)
    example = task.examples("test")[0]
    with torch.inference_mode():
        [prediction] = RECIPE.predict(model, task.collate([example]), config)
    return Answer(model, task, config, example, prediction, torch.device("cpu"))


class TestOmission:
    def test_effects_are_those_of_each_shorter_sentence(self) -> None:
        _, task, model = built()
        symbols = task.examples("test")[0].symbols
        found = effects(model, symbols, 1)

        def probability(own: Tensor) -> float:
            mask = torch.ones(1, len(own), dtype=torch.bool)
            return float(model(own[None], mask).detach().softmax(-1)[0, 1])

        for place in range(len(symbols)):
            without = torch.cat([symbols[:place], symbols[place + 1 :]])
            assert float(found[place]) == pytest.approx(probability(symbols) - probability(without), abs=1e-12)

    def test_a_sentence_of_one_word_has_no_shorter_one(self) -> None:
        _, _, model = built()
        assert effects(model, torch.tensor([3]), 0).tolist() == [0.0]

    def test_the_rank_correlation_is_kendall_s_by_pairs(self) -> None:
        torch.manual_seed(1)
        for _ in range(5):
            one, other = torch.randint(4, (7,)).double(), torch.randint(4, (7,)).double()
            agree = tied_one = tied_other = 0
            pairs = [(i, j) for i in range(7) for j in range(i)]
            for i, j in pairs:
                a, b = float(one[i] - one[j]), float(other[i] - other[j])
                agree += (a * b > 0) - (a * b < 0)
                tied_one += a == 0
                tied_other += b == 0
            expected = agree / ((len(pairs) - tied_one) * (len(pairs) - tied_other)) ** 0.5
            assert rank_correlation(one, other) == pytest.approx(expected)
        order = torch.arange(5.0)
        assert rank_correlation(order, order**3) == pytest.approx(1)
        assert rank_correlation(order, -order) == pytest.approx(-1)
        assert rank_correlation(order, torch.ones(5)) == 0


class TestPictures:
    def test_attention_stands_beside_what_leaving_out_does(self) -> None:
        answer = answered()
        [picture] = RECIPE.pictures(answer)
        assert isinstance(picture, Beside)
        assert sum(picture.attention) == pytest.approx(1)
        lost = effects(answer.model, answer.example.symbols, answer.prediction.label)
        assert picture.effect == lost.tolist()
        assert kept(load(kept(picture))) == kept(picture)
        shown = picture.text(60)
        assert "attention weight" in shown
        assert "probability lost without the word" in shown
        assert max(map(len, shown.split("\n"))) <= 60
        assert "Kendall's tau" in picture.page()["title"]

    def test_the_figure_is_whole(self) -> None:
        picture = Beside(
            "beside", ["not", "bad", "at", "all"], [0.5, 0.4, 0.05, 0.05], [0.7, -0.2, 0.1, 0.0], 0.67, "x"
        )
        figure = picture.figure()
        assert_whole(figure)
        assert_apart(figure)

    @pytest.mark.parametrize("pooling", ["mean", "maximum", "last"])
    def test_without_attention_there_is_only_the_latter(self, pooling: str) -> None:
        answer = answered(pooling)
        [picture] = RECIPE.pictures(answer)
        assert isinstance(picture, Text)
        assert RECIPE.measures(answer) == {}


def test_the_measures_are_attention_on_deciding_words_and_the_rank_correlation() -> None:
    answer = answered()
    [picture], found = RECIPE.pictures(answer), RECIPE.measures(answer)
    share = 100 * sum(picture.attention[place] for place in answer.example.deciding)
    assert found["on_deciding"].value == pytest.approx(share)
    assert found["deciding"].value == pytest.approx(100 * len(answer.example.deciding) / len(answer.example.words))
    assert found["rank_correlation"].value == pytest.approx(picture.correlation)


def test_validation_is_the_accuracy() -> None:
    _, task, model = built()
    batch = task.collate(task.examples("validation")[:3])
    assert not RECIPE.objective(model, batch, 0).parts
    assert RECIPE.objective(model.train(), batch, 0).parts["nats"].count == 3
