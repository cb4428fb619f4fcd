"""Calls that are steps of one map, and calls that are separate maps."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention import AdditiveAttention, MultiHeadAttention
from saccade.core.errors import InvalidInput
from saccade.explain import Capture, capture, measures
from saccade.explain.series import Call, series

SIZE, HEADS = 8, 2


def calls(*forwards: list[tuple[int, ...]]) -> list[Call]:
    """The queries, keys and dropped keys of the calls of each forward."""
    return [Call(number, (1, HEADS), *each) for number, forward in enumerate(forwards, 1) for each in forward]


CASES: dict[str, tuple[list[Call], list[list[int]]]] = {
    "nothing": ([], []),
    "a generation": (calls([(4, 4)], [(1, 5)], [(1, 6)]), [[0, 1, 2]]),
    "in chunks": (calls([(4, 4)], [(4, 8)], [(1, 9)]), [[0, 1, 2]]),
    "a static cache": (calls([(4, 20)], [(1, 20)], [(1, 20)]), [[0, 1, 2]]),
    "across, with a prompt": (calls([(3, 7)], [(1, 7)], [(1, 7)]), [[0, 1, 2]]),
    "a recurrent decoder": (calls([(1, 7), (1, 7), (1, 7)]), [[0, 1, 2]]),
    "step by step from outside": (calls([(1, 7)], [(1, 7)], [(1, 7)]), [[0, 1, 2]]),
    "a recurrent decoder, twice": (calls([(1, 7), (1, 7)], [(1, 7), (1, 7)]), [[0, 1], [2, 3]]),
    "from the first symbol, twice": (calls([(1, 1)], [(1, 2)], [(1, 3)], [(1, 1)], [(1, 2)]), [[0, 1, 2], [3, 4]]),
    "two generations": (calls([(4, 4)], [(1, 5)], [(4, 4)], [(1, 5)]), [[0, 1], [2, 3]]),
    "two inputs": (calls([(4, 7)], [(4, 7)]), [[0], [1]]),
    "both ways": (calls([(9, 5), (5, 9)]), [[0], [1]]),
    "both ways, as many": (calls([(5, 5), (5, 5)]), [[0], [1]]),
    "heads one by one": (calls([(5, 7), (5, 7), (5, 7)]), [[0], [1], [2]]),
    "two maps a step": (calls([(9, 9), (9, 9)], [(1, 10), (1, 10)], [(1, 11), (1, 11)]), [[0, 2, 4], [1, 3, 5]]),
    "two maps a step, from the first symbol": (
        calls([(1, 1), (1, 1)], [(1, 2), (1, 2)], [(1, 3), (1, 3)]),
        [[0, 2, 4], [1, 3, 5]],
    ),
    "to itself and across": (calls([(3, 3), (3, 7)], [(1, 4), (1, 7)]), [[0, 2], [1, 3]]),
    "now two, now three": (calls([(3, 3), (3, 3)], [(3, 3), (3, 3), (3, 3)]), [[0], [1], [2], [3], [4]]),
    "a cache that forgets": (calls([(9, 9)], [(1, 4, 6)], [(1, 4, 7)]), [[0, 1, 2]]),
    "a cache that forgets, and does not say so": (calls([(9, 9)], [(1, 4)], [(1, 4)]), [[0], [1, 2]]),
    "a ring that is full": (calls([(3, 3)], [(1, 4)], [(1, 4)], [(1, 4)]), [[0, 1], [2, 3]]),
    "what was proposed is taken back": (calls([(4, 4)], [(3, 7)], [(3, 8)]), [[0, 1], [2]]),
}


@pytest.mark.parametrize("case", CASES)
def test_steps_are_joined_and_other_calls_are_separate(case: str) -> None:
    given, expected = CASES[case]
    assert series(given) == expected


def test_other_batches_and_programs_are_never_steps() -> None:
    assert series([Call(1, (1, HEADS), 1, 7), Call(2, (2, HEADS), 1, 7)]) == [[0], [1]]
    assert series([Call(1, (), 1, 7, apart=True), Call(1, (), 1, 7, apart=True)]) == [[0], [1]]


class BothWays(nn.Module):
    """As in the cross-attention of LXMERT."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.att = attention

    def forward(self, x: Tensor, y: Tensor) -> None:
        if isinstance(self.att, nn.MultiheadAttention):
            self.att(x, y, y, need_weights=False), self.att(y, x, x, need_weights=False)
        else:
            self.att(x, y), self.att(y, x)


@pytest.mark.parametrize("kind", ["torch", "ours", "additive"])
def test_a_module_called_in_both_directions_has_two_maps(kind: str, tmp_path: Path) -> None:
    attention: nn.Module = {
        "torch": lambda: nn.MultiheadAttention(SIZE, HEADS, batch_first=True),
        "ours": lambda: MultiHeadAttention(SIZE, HEADS),
        "additive": lambda: AdditiveAttention(SIZE, SIZE, SIZE),
    }[kind]()
    model = BothWays(attention).eval()
    with torch.no_grad(), capture(model) as seen:
        model(torch.randn(1, 9, SIZE), torch.randn(1, 5, SIZE))
    [name] = seen
    with pytest.raises(InvalidInput, match="they are separate maps"):
        seen.joined(name)
    words, regions = [f"w{i}" for i in range(9)], [f"v{i}" for i in range(5)]
    seen.label(words, regions).save(tmp_path / "seen.safetensors")
    for found in (seen, Capture.load(tmp_path / "seen.safetensors"), seen.words(), seen.select("*")):
        layers = found.layers()
        assert list(layers) == [f"{name}, call 0", f"{name}, call 1"]
        (there, queries, keys), (back, rows, columns) = layers.values()
        assert (there.shape[-2:], back.shape[-2:]) == ((9, 5), (5, 9))
        assert (queries, keys) == (words, regions)
        assert (rows, columns) == (regions, words)
        found.to_html(tmp_path / "page.html")
    expected = torch.cat([measures.entropy(weights) for weights in seen[name]], -1)
    torch.testing.assert_close(seen.entropy(name), expected)


def test_heads_that_a_module_computes_one_by_one_are_separate_maps() -> None:
    """As in the temporal fusion transformer."""

    class OneByOne(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.look, self.projections = Look(), nn.ModuleList(nn.Linear(SIZE, SIZE) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            return sum(self.look(projection(x), x) for projection in self.projections)  # type: ignore[return-value]

    class Look(nn.Module):
        def forward(self, query: Tensor, keys: Tensor) -> Tensor:
            return (query @ keys.mT).softmax(-1) @ keys

    x = torch.randn(2, 5, SIZE)
    with torch.no_grad(), capture(model := OneByOne()) as seen:
        model(x)
    maps = seen.in_turn("look")
    assert list(maps) == ["look, call 0", "look, call 1", "look, call 2"]
    for weights, projection in zip(maps.values(), model.projections, strict=True):
        torch.testing.assert_close(weights, (projection(x) @ x.mT).softmax(-1))


def test_the_same_attention_on_two_values_is_one_map() -> None:
    class Twice(nn.Module):
        def forward(self, x: Tensor, mask: Tensor | None) -> None:
            for value in (x, 2 * x):  # a new mask for each, as some kernels need
                F.scaled_dot_product_attention(x, x, value, None if mask is None else mask.clone())

    x, mask = torch.randn(1, HEADS, 5, SIZE), torch.ones(5, 5).tril().bool()
    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        for hidden in (None, mask):
            with mode(), capture(model := Twice()) as seen:
                model(x, hidden)
                model(x, hidden)  # another forward
            assert len(seen.maps("")) == 2


def test_attention_with_another_mask_is_another_map() -> None:
    class Masks(nn.Module):
        def forward(self, x: Tensor) -> None:
            for mask in (torch.ones(5, 5).tril(), torch.ones(5, 5).triu()):
                F.scaled_dot_product_attention(x, x, x, mask.bool())

    with torch.no_grad(), capture(model := Masks()) as seen:
        model(torch.randn(1, HEADS, 5, SIZE))
    assert list(seen.in_turn("")) == ["call 0", "call 1"]


transformers = pytest.importorskip("transformers")
SMALL = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 4, "pad_token_id": 0,
         "num_key_value_heads": 2, "intermediate_size": 32, "eos_token_id": None}  # fmt: skip


def generated(kind: str, attention: str, tokens: int, cache: str | None, **more: Any) -> tuple[Capture, Tensor]:
    """The capture of a generation, and the weights that the model returns for the whole sequence."""
    torch.manual_seed(1)
    config = getattr(transformers, f"{kind}Config")(**SMALL, **more)
    model = getattr(transformers, f"{kind}ForCausalLM")._from_config(config, attn_implementation=attention).eval()
    options: dict[str, Any] = {"max_new_tokens": 5, "do_sample": False, "cache_implementation": cache}
    with torch.no_grad(), capture(model) as seen:
        said = model.generate(torch.randint(1, 50, (1, tokens)), disable_compile=True, **options)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        return seen, model(said[:, :-1], output_attentions=True).attentions[0]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(("window", "tokens"), [(4, 9), (7, 3), (2, 9)])
@pytest.mark.parametrize("cache", [None, "static"])
def test_keys_remaining_in_a_cache_are_in_their_columns(
    attention: str, window: int, tokens: int, cache: str | None
) -> None:
    seen, own = generated("Mistral", attention, tokens, cache, sliding_window=window)
    [name] = seen
    torch.testing.assert_close(seen.joined(name)[..., : own.shape[-1]], own, rtol=1e-5, atol=1e-6)
    [(weights, queries, keys)] = seen.layers().values()
    assert weights.shape[-2:] == (len(queries), len(keys))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_two_maps_per_step_are_two_generations(attention: str) -> None:
    seen, own = generated("DiffLlama", attention, 9, None)
    [name] = seen
    for weights in seen.in_turn(name).values():
        torch.testing.assert_close(weights, own, rtol=1e-5, atol=1e-6)


def test_a_loaded_capture_is_joined_equally(tmp_path: Path) -> None:
    seen, _ = generated("Mistral", "sdpa", 9, None, sliding_window=4)
    [name] = seen
    seen.save(tmp_path / "seen.safetensors")
    assert torch.equal(Capture.load(tmp_path / "seen.safetensors").joined(name), seen.joined(name))
