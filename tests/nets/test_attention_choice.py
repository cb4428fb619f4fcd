from typing import Any, get_args

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from saccade.attention import Attention
from saccade.attention.additive import AdditiveAttention
from saccade.attention.hard import Choices
from saccade.nets.attention_choice import (
    AttentionChoice,
    GaussianWindow,
    Hard,
    Local,
    LocationAware,
    PastAlignment,
    PositionalKeys,
    build_attention,
    build_score_function,
)  # fmt: skip
from saccade.nets.choices import with_choices

NAMES = get_args(AttentionChoice.__annotations__["attention"])
OPTIONS: dict[str, tuple[str, Any]] = {
    "local-monotonic": ("local", Local(half_width=3)),
    "local-predictive": ("local", Local(half_width=3, sigma=7.0)),
    "location-aware": (
        "location_aware",
        LocationAware(filters=3, filter_width=5, smoothing=True, sharpening=2, window=7),
    ),
    "gaussian-window": ("gaussian_window", GaussianWindow(components=3, offsets="softplus", pace=2.0)),
    "hard": ("hard", Hard(estimator="gumbel", temperature=0.5)),
    "past-alignment": ("past_alignment", PastAlignment(memory_size=3)),
    "positional-keys": ("positional_keys", PositionalKeys(longest=3)),
}


def built(**choice: Any) -> nn.Module:
    return build_attention(AttentionChoice(attention_size=7, **choice), 5, 5)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_builds_another_mechanism_of_the_contract(name: str) -> None:
    attention = built(attention=name)
    assert isinstance(attention, Attention)
    same = [other for other in NAMES if type(built(attention=other)) is type(attention)]
    assert same == (["concat", "mlp"] if name in ("concat", "mlp") else [name])


def test_additive_attention_is_what_is_chosen_by_default() -> None:
    attention = built()
    assert isinstance(attention, AdditiveAttention)
    assert len(attention.v) == 7


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_reaches_the_mechanism(name: str) -> None:
    field, options = OPTIONS[name]
    attention: Any = built(attention=name, **{field: options})
    found = {
        "half_width": getattr(attention, "half_width", None),
        "sigma": getattr(attention, "sigma", None),
        "filters": getattr(getattr(attention, "filters", None), "out_channels", None),
        "filter_width": (getattr(getattr(attention, "filters", None), "kernel_size", None) or [None])[0],
        "smoothing": getattr(attention, "smoothing", None),
        "sharpening": getattr(attention, "sharpening", None),
        "window": getattr(attention, "window", None),
        "components": getattr(getattr(attention, "parameters_of", None), "out_features", 0) // 3,
        "offsets": getattr(attention, "offsets", None),
        "pace": getattr(attention, "pace", None),
        "memory_size": getattr(getattr(attention, "memory_candidate", None), "out_features", None),
        "estimator": getattr(attention, "estimator", None),
        "temperature": getattr(attention, "temperature", None),
        "longest": len(getattr(attention, "positions", ())),
    }
    for option, value in vars(options).items():
        if option in found and value is not None:
            assert found[option] == value, option


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_of_what_is_not_chosen_is_an_error(name: str) -> None:
    field, options = OPTIONS[name]
    with pytest.raises(ValidationError, match=f"{field.replace('_', '-')} is set, but attention is 'dot'"):
        AttentionChoice(attention="dot", **{field: options})


def test_choices_without_a_gradient_get_a_score_function() -> None:
    options = Hard(baseline="moving", reward_weight=2.0, entropy_weight=0.1)
    found = build_score_function(AttentionChoice(attention="hard", hard=options), 5)
    assert found is not None
    assert (found.baseline, found.predict, found.reward_weight, found.entropy_weight) == ("moving", None, 2.0, 0.1)
    learned = build_score_function(AttentionChoice(attention="hard"), 5)
    assert learned is not None
    assert learned.predict is not None
    assert learned.predict.in_features == 5
    assert build_score_function(AttentionChoice(attention="hard", hard=Hard(estimator="gumbel")), 5) is None
    assert build_score_function(AttentionChoice(), 5) is None


def test_a_choice_is_rewarded_by_what_follows_and_judged_by_how_much_that_is() -> None:
    given: list[torch.Tensor] = []

    class Score(nn.Module):
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


def test_options_of_an_estimator_belong_to_it() -> None:
    for options in (
        {"temperature": 0.1},
        {"estimator": "gumbel", "baseline": "moving"},
        {"estimator": "straight-through", "entropy_weight": 1.0},
    ):
        with pytest.raises(ValidationError, match="is set, but estimator is"):
            Hard(**options)  # type: ignore[arg-type]


def test_a_sigma_belongs_to_predictive_local_attention() -> None:
    with pytest.raises(ValidationError, match="it belongs to 'local-predictive'"):
        AttentionChoice(attention="local-monotonic", local=Local(sigma=1.0))


def test_a_filter_has_a_middle() -> None:
    with pytest.raises(ValidationError, match="filter-width must be odd, not 4; the nearest is 5"):
        LocationAware(filter_width=4)


def test_factors_of_a_dot_product_are_of_one_size() -> None:
    assert not list(built(attention="dot").parameters())
    with pytest.raises(AssertionError):
        build_attention(AttentionChoice(attention="dot"), 5, 7)
    assert torch.is_tensor(build_attention(AttentionChoice(attention="bilinear"), 5, 7).key.weight)  # type: ignore[union-attr]
