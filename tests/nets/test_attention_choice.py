from typing import Any, get_args

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from saccade.attention import Attention as Mechanism
from saccade.attention.additive import AdditiveAttention
from saccade.attention.hard import Choices
from saccade.attention.luong import ConcatAttention
from saccade.attention.score_function import ScoreFunction
from saccade.core.errors import InvalidInput
from saccade.nets.attention_choice import (
    Additive,
    Attention,
    Bilinear,
    Concat,
    Dot,
    GaussianWindow,
    Gumbel,
    Hard,
    LocalMonotonic,
    LocalPredictive,
    LocationAware,
    PastAlignment,
    PositionalKeys,
    ScoreFunctionGradient,
    StraightThrough,
    build_attention,
    build_score_function,
)  # fmt: skip
from saccade.nets.choices import with_choices

RECORDS: list[Any] = list(get_args(get_args(Attention)[0]))
OPTIONS: list[Any] = [
    Additive(attention_size=3),
    Concat(attention_size=3),
    LocalMonotonic(half_width=3),
    LocalPredictive(half_width=3, sigma=7.0),
    LocationAware(attention_size=11, filters=3, filter_width=5, smoothing=True, sharpening=2, window=7, content=False),
    GaussianWindow(components=3, offsets="softplus", pace=2.0),
    Hard(attention_size=3, estimator=Gumbel(temperature=0.5)),
    PastAlignment(attention_size=11, memory_size=3),
    PositionalKeys(attention_size=11, longest=3),
]


def read(plain: Any) -> Any:
    return TypeAdapter(Attention).validate_python(plain)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_record_builds_a_different_mechanism(record: Any) -> None:
    attention = build_attention(record(), 5, 5)
    assert isinstance(attention, Mechanism)
    same = [other for other in RECORDS if type(build_attention(other(), 5, 5)) is type(attention)]
    assert same == [record]
    assert read(record().name) == record()


def test_mlp_is_another_name_for_concat() -> None:
    assert isinstance(build_attention(read("mlp"), 5, 5), ConcatAttention)


def test_the_hidden_layer_has_the_configured_width() -> None:
    attention = build_attention(Additive(attention_size=7), 5, 5)
    assert isinstance(attention, AdditiveAttention)
    assert len(attention.v) == 7


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options.name)
def test_every_option_reaches_the_mechanism(options: Any) -> None:
    attention: Any = build_attention(options, 5, 5)
    found = {
        "attention_size": len(getattr(attention, "v", ())),
        "half_width": getattr(attention, "half_width", None),
        "sigma": getattr(attention, "sigma", None),
        "filters": getattr(getattr(attention, "filters", None), "out_channels", None),
        "filter_width": (getattr(getattr(attention, "filters", None), "kernel_size", None) or [None])[0],
        "smoothing": getattr(attention, "smoothing", None),
        "sharpening": getattr(attention, "sharpening", None),
        "window": getattr(attention, "window", None),
        "content": getattr(attention, "key", None) is not None,
        "components": getattr(getattr(attention, "parameters_of", None), "out_features", 0) // 3,
        "offsets": getattr(attention, "offsets", None),
        "pace": getattr(attention, "pace", None),
        "memory_size": getattr(getattr(attention, "memory_candidate", None), "out_features", None),
        "longest": len(getattr(attention, "positions", ())),
    }
    for option, value in vars(options).items():
        if option in found:
            assert found[option] == value, option
    if isinstance(options, Hard):
        assert (attention.estimator, attention.temperature) == ("gumbel", 0.5)


def test_an_option_of_another_mechanism_is_an_error() -> None:
    with pytest.raises(ValidationError, match=r"dot\.filters"):
        read({"name": "dot", "filters": 3})
    with pytest.raises(ValidationError, match=r"hard\.estimator\.gumbel\.baseline"):
        read({"name": "hard", "estimator": {"name": "gumbel", "baseline": "moving"}})
    with pytest.raises(ValidationError, match=r"local-monotonic\.sigma"):
        read({"name": "local-monotonic", "sigma": 1.0})
    assert read({"name": "hard", "estimator": "straight-through"}) == Hard(estimator=StraightThrough())


def test_choices_without_a_gradient_get_a_score_function() -> None:
    options = ScoreFunctionGradient(baseline="moving", reward_weight=2.0, entropy_weight=0.1)
    found = build_score_function(Hard(estimator=options), 5)
    assert found is not None
    assert (found.baseline, found.predict, found.reward_weight, found.entropy_weight) == ("moving", None, 2.0, 0.1)
    learned = build_score_function(Hard(), 5)
    assert learned is not None
    assert learned.predict is not None
    assert learned.predict.in_features == 5
    assert build_score_function(Hard(estimator=Gumbel()), 5) is None
    assert build_score_function(Additive(), 5) is None


def test_the_reward_of_a_choice_sums_later_symbols_and_the_baseline_their_number() -> None:
    given: list[torch.Tensor] = []

    class Score(ScoreFunction):
        def forward(self, *arguments: torch.Tensor) -> torch.Tensor:
            given.extend(arguments)
            return arguments[1]

    rewards = torch.tensor([[-1.0, -2.0, -4.0], [-8.0, -16.0, 0.0]])
    kept = torch.tensor([[True, True, True], [True, True, False]])
    log_prob = torch.zeros(2, 3, requires_grad=True)
    choices = Choices(log_prob, torch.zeros(2, 3))
    loss = with_choices(torch.tensor(6.2), rewards, kept, choices, torch.zeros(2, 3, 1), Score())
    assert loss == 6.2
    assert given[0].tolist() == [-7, -6, -4, -24, -16]
    assert given[4].tolist() == [3, 2, 1, 2, 1]
    assert torch.autograd.grad(loss, log_prob)[0].tolist() == [[pytest.approx(0.2)] * 3, [pytest.approx(0.2)] * 2 + [0]]


def test_a_filter_width_is_odd() -> None:
    with pytest.raises(ValidationError, match="filter-width must be odd, not 4; the nearest is 5"):
        LocationAware(filter_width=4)


def test_queries_and_keys_of_a_dot_product_are_of_one_size() -> None:
    assert not list(build_attention(Dot(), 5, 5).parameters())
    with pytest.raises(InvalidInput, match="queries and keys of one size, not 5 and 7"):
        build_attention(Dot(), 5, 7)
    assert torch.is_tensor(build_attention(Bilinear(), 5, 7).key.weight)  # type: ignore[union-attr]
