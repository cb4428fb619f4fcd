"""The axes of explicit weights: batch, heads, queries, keys."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saccade.explain import capture

BATCH, TARGET, SOURCE, SIZE, HEADS = 2, 3, 7, 8, 5
MODES = [torch.enable_grad, torch.no_grad, torch.inference_mode]
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)


class Looks(nn.Module):
    """Calls the given function, which returns the correct weights."""

    def __init__(self, look: Callable[..., Tensor]) -> None:
        super().__init__()
        self.look = look
        self.own: list[Tensor] = []

    def forward(self, *given: Tensor) -> None:
        self.own.append(self.look(*given))


def heard(look: Callable[..., Tensor], *given: Tensor, mode: Any = torch.no_grad, **more: Any) -> tuple[Any, Tensor]:
    model = Looks(look)
    with mode(), capture(model, **more) as seen:
        model(*given)
    assert not seen.unknown
    return seen, model.own[0]


def additive_step(hidden: Tensor, source: Tensor, how: str) -> tuple[Tensor, Tensor]:
    """A step as in tutorials, with weights (batch, source) used in several ways."""
    if how == "bmm":
        weights = torch.bmm(source, hidden[:, :, None]).squeeze(2).softmax(1)
        return weights, torch.bmm(weights[:, None], source).squeeze(1)
    if how == "layer":  # v . tanh(W q + U k), whose product mixes no sequences
        weights = torch.tanh(hidden[:, None] + source) @ torch.ones(SIZE, 1)
        weights = weights.squeeze(-1).softmax(-1)
        return weights, (weights.unsqueeze(1) @ source).squeeze(1)
    if how == "einsum":
        weights = torch.einsum("bd,bkd->bk", hidden, source).softmax(-1)
        return weights, torch.einsum("bk,bkd->bd", weights, source)
    if how == "right":
        weights = (source @ hidden[:, :, None])[..., 0].softmax(-1)
        return weights, (source.mT @ weights[..., None])[..., 0]
    weights = torch.stack([source[row] @ hidden[row] for row in range(len(source))]).softmax(-1)  # "row by row"
    return weights, torch.stack([weights[row] @ source[row] for row in range(len(source))])


@modes
@pytest.mark.parametrize("how", ["bmm", "layer", "einsum", "right", "row by row"])
def test_weights_of_batch_and_source_are_one_step_per_sequence(how: str, mode: Any) -> None:
    def look(source: Tensor) -> Tensor:
        hidden, steps = source.mean(1), []
        for _ in range(4):
            weights, hidden = additive_step(hidden, source, how)
            steps.append(weights)
        return torch.stack(steps, 1)

    seen, own = heard(look, torch.randn(BATCH, SOURCE, SIZE), mode=mode)
    assert seen.axes("") == ("n", "q", "k")
    torch.testing.assert_close(seen.joined(""), own)
    torch.testing.assert_close(seen.layers(1)[""][0], own[1])


def test_a_sequence_without_a_batch_axis_is_also_a_step() -> None:
    def look(source: Tensor) -> Tensor:
        hidden, steps = source.mean(0), []
        for _ in range(4):
            steps.append((source @ hidden).softmax(0))
            hidden = steps[-1] @ source
        return torch.stack(steps)

    seen, own = heard(look, torch.randn(SOURCE, SIZE))
    assert seen.axes("") == ("q", "k")
    torch.testing.assert_close(seen.joined(""), own)


def flat(query: Tensor, keys: Tensor) -> Tensor:
    """(batch x target, source), as OpenNMT has it."""
    weights = (query @ keys.mT).view(-1, SOURCE).softmax(-1).view(BATCH, TARGET, SOURCE)
    _ = weights @ keys
    return weights


def target_first(query: Tensor, keys: Tensor) -> Tensor:
    """(target, batch, source)."""
    weights = torch.einsum("btd,bsd->tbs", query, keys).softmax(-1)
    _ = torch.bmm(weights.transpose(0, 1), keys)
    return weights.transpose(0, 1)


def target_first_and_flat(query: Tensor, keys: Tensor) -> Tensor:
    """(target x batch, source)."""
    weights = (query @ keys.mT).transpose(0, 1).reshape(-1, SOURCE).softmax(-1)
    weights = weights.view(TARGET, BATCH, SOURCE).transpose(0, 1)
    _ = torch.bmm(weights, keys)
    return weights


def by_equation(query: Tensor, keys: Tensor) -> Tensor:
    weights = torch.einsum("btd,bsd->tbs", query, keys).softmax(-1)
    _ = torch.einsum("tbs,bsd->tbd", weights, keys)
    return weights.transpose(0, 1)


def copied(query: Tensor, keys: Tensor) -> Tensor:
    weights = torch.einsum("btd,bsd->tbs", query, keys).contiguous().softmax(-1)
    _ = weights.permute(1, 0, 2).contiguous() @ keys
    return weights.transpose(0, 1)


@modes
@pytest.mark.parametrize("look", [flat, target_first, target_first_and_flat, by_equation, copied])
def test_queries_and_batch_are_distinguished_by_their_keys(look: Any, mode: Any) -> None:
    seen, own = heard(look, torch.randn(BATCH, TARGET, SIZE), torch.randn(BATCH, SOURCE, SIZE), mode=mode)
    assert seen.axes("") == ("n", "q", "k")
    torch.testing.assert_close(seen[""][0], own)
    [found] = seen.maps("")
    torch.testing.assert_close(found.weights(queries=[2], keys=[0, 3]), own[:, [2]][..., [0, 3]])


@modes
@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("first", ["positions", "values"])
def test_values_of_relative_positions_swap_no_axes(first: str, folded: bool, mode: Any) -> None:
    """Shaw et al. 2018, equation 3: each query has its own positions, which all heads share."""

    class Relative(Looks):
        num_heads = HEADS

    def look(x: Tensor, positions: Tensor) -> Tensor:
        x = x.unflatten(-1, (HEADS, -1)).transpose(1, 2)
        x = x.flatten(0, 1) if folded else x
        weights = (x @ x.mT).softmax(-1)
        for part in (first, "values", "positions"):
            if part == "values":
                _ = weights @ x
            else:
                side_by_side = weights if folded else weights.flatten(0, 1)
                _ = side_by_side.transpose(0, 1) @ positions
        return weights.unflatten(0, (-1, HEADS)) if folded else weights

    x, positions = torch.randn(BATCH, SOURCE, HEADS * SIZE), torch.randn(SOURCE, SOURCE, SIZE)
    with mode(), capture(model := Relative(look)) as seen:
        model(x, positions)
    assert not seen.unknown
    assert seen.axes("") == ("b", "h", "q", "k")
    torch.testing.assert_close(seen[""][0], model.own[0])


@modes
def test_heads_with_one_query_each_are_not_queries(mode: Any) -> None:
    class Heads(Looks):
        num_heads = HEADS

    def look(query: Tensor, keys: Tensor) -> Tensor:
        weights = torch.einsum("bhd,bhkd->bhk", query, keys).softmax(-1)
        _ = torch.einsum("bhk,bhkd->bhd", weights, keys)
        return weights

    query, keys = torch.randn(BATCH, HEADS, SIZE), torch.randn(BATCH, HEADS, SOURCE, SIZE)
    for model, axes, shape in (
        (Heads(look), ("b", "h", "q", "k"), (BATCH, HEADS, 1, SOURCE)),
        (Looks(look), ("n", "q", "k"), (BATCH * HEADS, 1, SOURCE)),
    ):
        with mode(), capture(model) as seen:
            model(query, keys)
        assert seen.axes("") == axes
        torch.testing.assert_close(seen[""][0], model.own[0].reshape(shape))


def test_queries_of_one_set_of_keys_stay_queries() -> None:
    slots = torch.randn(SOURCE, SIZE)
    for look in (
        lambda x: (x @ slots.mT).softmax(-1),
        lambda x: (x @ slots.mT).softmax(-1).expand(BATCH, TARGET, SOURCE),
    ):

        def used(x: Tensor, look: Any = look) -> Tensor:
            weights = look(x)
            _ = weights @ (slots if weights.ndim == 2 else slots.expand(BATCH, SOURCE, SIZE))
            return weights  # type: ignore[no-any-return]

        seen, own = heard(used, torch.randn(TARGET, SIZE))
        assert seen.axes("") == ("q", "k")
        torch.testing.assert_close(seen[""][0], own if own.ndim == 2 else own[0])


@pytest.mark.parametrize("look", [flat, target_first, copied])
def test_weights_are_replaced_in_the_axes_that_are_shown(look: Any) -> None:
    other = torch.rand(BATCH, TARGET, SOURCE)
    query, keys = torch.randn(BATCH, TARGET, SIZE), torch.randn(BATCH, SOURCE, SIZE)
    found: list[Tensor] = []

    class Model(nn.Module):
        def forward(self) -> Tensor:
            if look is flat:
                weights = (query @ keys.mT).view(-1, SOURCE).softmax(-1).view(BATCH, TARGET, SOURCE)
                return weights @ keys
            weights = torch.einsum("btd,bsd->tbs", query, keys).softmax(-1).permute(1, 0, 2)
            return (weights.contiguous() if look is copied else weights) @ keys

    for mode in (torch.no_grad, torch.inference_mode):
        with mode(), capture(model := Model(), replace=lambda *_: other) as seen:
            found.append(model())
        torch.testing.assert_close(found[-1], other @ keys)
        torch.testing.assert_close(seen[""][0], other)


@modes
def test_columns_used_by_separate_products_are_all_shown(mode: Any) -> None:
    """A memory and the sequence share one softmax, but have separate values."""

    def look(query: Tensor, keys: Tensor) -> Tensor:
        weights = (query @ keys.mT).softmax(-1)
        _ = weights[..., :3] @ keys[:, :3] + weights[..., 3:] @ keys[:, 3:]
        return weights

    seen, own = heard(look, torch.randn(BATCH, TARGET, SIZE), torch.randn(BATCH, SOURCE, SIZE), mode=mode)
    torch.testing.assert_close(seen[""][0], own)


@modes
@pytest.mark.parametrize("first", [True, False])
def test_a_sink_is_not_a_key_at_any_position(first: bool, mode: Any) -> None:
    def look(query: Tensor, keys: Tensor) -> Tensor:
        scores, sink = query @ keys.mT, torch.zeros(BATCH, TARGET, 1)
        weights = torch.cat([sink, scores] if first else [scores, sink], -1).softmax(-1)
        weights = weights[..., 1:] if first else weights[..., :-1]
        _ = weights @ keys
        return weights

    seen, own = heard(look, torch.randn(BATCH, TARGET, SIZE), torch.randn(BATCH, SOURCE, SIZE), mode=mode)
    torch.testing.assert_close(seen[""][0], own)


def test_heads_computed_one_by_one_and_stacked_are_captured() -> None:
    def look(x: Tensor) -> Tensor:
        parts = x.chunk(2, -1)
        weights = torch.stack([(part @ part.mT).softmax(-1) for part in parts], 1)
        _ = weights @ torch.stack(parts, 1)
        return weights

    model = Looks(look)
    with torch.no_grad(), capture(model) as seen:
        model(torch.randn(BATCH, SOURCE, SIZE))
    [own] = model.own
    assert seen.axes("") == ("n", "q", "k")
    for head, weights in enumerate(seen[""]):
        torch.testing.assert_close(weights, own[:, head])
    assert len(seen[""]) == len(seen.layers()) == 2
