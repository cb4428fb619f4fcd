"""Attention in models without taps: fused kernels, layers that are one operator, explicit attention."""

import math
import os
import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from saccade.attention import MultiHeadAttention
from saccade.core.errors import InvalidInput, NotFound
from saccade.explain import ablate, attention_map, capture, measures, operators, scale
from saccade.explain.attention_map import Bounds
from saccade.explain.listening import Listening
from saccade.explain.places import Places
from tests.explain.models import Twice

os.environ.setdefault("HF_HUB_OFFLINE", "1")
BATCH, LENGTH, MODEL, HEADS, WORDS = 2, 7, 16, 2, 50
MODES = [torch.enable_grad, torch.no_grad, torch.inference_mode]
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)


def make_mask() -> Tensor:
    """True at padding, as in `torch.nn`."""
    mask = torch.zeros(BATCH, LENGTH, dtype=torch.bool)
    mask[1, 4:] = True
    return mask


@modes
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("asked", [False, True])
def test_multihead_attention_of_torch(mode: Any, training: bool, asked: bool) -> None:
    attention, x = nn.MultiheadAttention(MODEL, HEADS, batch_first=True), torch.randn(BATCH, LENGTH, MODEL)
    options: dict[str, Any] = {"key_padding_mask": make_mask()}
    expected = attention(x, x, x, **options, average_attn_weights=False)[1].detach()
    with mode():
        plain = attention.train(training)(x, x, x, **options, need_weights=asked)
        with capture(attention) as seen:
            heard = attention(x, x, x, **options, need_weights=asked)
    assert torch.equal(heard[0], plain[0])
    assert list(seen) == [""]
    assert seen.axes("") == ("b", "h", "q", "k")
    [weights] = seen[""]
    torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-6)


class Both(nn.Module):
    """An encoder and a decoder of torch."""

    def __init__(self, norm_first: bool) -> None:
        super().__init__()
        options: dict[str, Any] = {"batch_first": True, "dropout": 0.0, "norm_first": norm_first}
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(MODEL, HEADS, 32, **options), 2, enable_nested_tensor=not norm_first
        )
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(MODEL, HEADS, 32, **options), 1)

    def forward(self, source: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        causal = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        memory = self.encoder(source, src_key_padding_mask=mask)
        found: Tensor = self.decoder(target, memory, tgt_mask=causal, memory_key_padding_mask=mask)
        return found


@modes
@pytest.mark.parametrize("norm_first", [False, True])
def test_the_fast_path_is_used_and_captured(mode: Any, norm_first: bool) -> None:
    model, mask = Both(norm_first).eval(), make_mask()
    source, target = torch.randn(BATCH, LENGTH, MODEL), torch.randn(BATCH, 3, MODEL)
    with capture(model) as slow:
        model(source, target, mask)
    with mode():
        plain = model(source, target, mask)
        with capture(model) as seen:
            assert torch.equal(model(source, target, mask), plain)
    names = ["encoder.layers.0.self_attn", "encoder.layers.1.self_attn"]
    names += ["decoder.layers.0.self_attn", "decoder.layers.0.multihead_attn"]
    assert list(seen) == list(slow) == names
    for name in names:
        (ours,), (theirs,) = seen[name], slow[name]
        inside = ~mask[:, None, :, None] if name.startswith("encoder") else torch.ones(1, dtype=torch.bool)
        # after a sentence the fast path computes nothing
        torch.testing.assert_close(ours * inside, theirs * inside, rtol=1e-5, atol=1e-6)
    assert not seen["decoder.layers.0.self_attn"][0].triu(1).any()


transformers = pytest.importorskip("transformers")
TEXT = {"vocab_size": WORDS, "max_position_embeddings": 32}
BERT = {"hidden_size": MODEL, "num_hidden_layers": 2, "num_attention_heads": HEADS, "intermediate_size": 32}
MARIAN = {f"{side}_{what}": size for side in ("encoder", "decoder") for what, size in (
    ("layers", 2), ("attention_heads", HEADS), ("ffn_dim", 32),
)}  # fmt: skip
START = {"pad_token_id": 0, "decoder_start_token_id": 0}
FOREIGN: dict[str, dict[str, Any]] = {
    "Bert": TEXT | BERT,
    "Roberta": TEXT | BERT,
    "GPT2": {"vocab_size": WORDS, "n_embd": MODEL, "n_layer": 2, "n_head": HEADS, "n_positions": 32},
    "ViT": BERT | {"image_size": 16, "patch_size": 4},
    "T5": {"vocab_size": WORDS, "d_model": MODEL, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": HEADS} | START,
    "Marian": TEXT | MARIAN | START | {"d_model": MODEL},
    "Llama": TEXT | BERT | {"num_attention_heads": 4, "num_key_value_heads": 2},  # two heads share keys
    "XLNet": {"vocab_size": WORDS, "d_model": MODEL, "n_layer": 2, "n_head": HEADS, "d_inner": 32},
}


def build(name: str, attention: str, kind: str = "Model") -> nn.Module:
    torch.manual_seed(1)
    config = getattr(transformers, f"{name}Config")(**FOREIGN[name])
    model: nn.Module = getattr(transformers, f"{name}{kind}")._from_config(config, attn_implementation=attention)
    return model.eval()


def inputs(name: str) -> dict[str, Tensor]:
    if name == "ViT":
        return {"pixel_values": torch.randn(BATCH, 3, 16, 16)}
    ids = torch.randint(5, WORDS, (BATCH, LENGTH))
    given = {"input_ids": ids, "attention_mask": (~make_mask()).long()}
    return given | ({"decoder_input_ids": ids[:, :4]} if name in ("T5", "Marian") else {})


def own_weights(found: Any) -> list[Tensor]:
    """The weights that a model returns itself."""
    if "encoder_attentions" not in found:
        return list(found.attentions)
    turns = zip(found.decoder_attentions, found.cross_attentions, strict=True)
    return [*found.encoder_attentions, *(weights for turn in turns for weights in turn)]


@modes
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", FOREIGN)
def test_models_of_hugging_face(name: str, attention: str, mode: Any) -> None:
    if (name, attention) == ("XLNet", "sdpa"):
        pytest.skip("XLNet is always written out")
    model, eager, given = build(name, attention), build(name, "eager"), inputs(name)
    eager.load_state_dict(model.state_dict())
    expected = [weights.detach() for weights in own_weights(eager(**given, output_attentions=True))]
    with mode():
        plain = model(**given)[0]
        with capture(model) as seen:
            assert torch.equal(model(**given)[0], plain)
    assert len(seen) == len(expected)
    modules = dict(model.named_modules())
    for (heard, calls), theirs in zip(seen.items(), expected, strict=True):
        assert "att" in type(modules[heard]).__name__.lower()
        [weights] = calls
        torch.testing.assert_close(weights, theirs, rtol=1e-5, atol=1e-5)
    assert not seen.unknown


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("cache", [None, "static"])
def test_a_generation_with_a_cache_is_joined_into_one_map(attention: str, cache: str | None) -> None:
    model, ids = build("GPT2", attention, "LMHeadModel"), torch.randint(5, WORDS, (1, 4))
    options: dict[str, Any] = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    plain = model.generate(ids, cache_implementation=cache, disable_compile=True, **options)  # type: ignore[operator]
    with capture(model, only="*h.1.attn") as seen:
        said = model.generate(ids, cache_implementation=cache, disable_compile=True, **options)  # type: ignore
    assert torch.equal(said, plain)
    [name] = seen
    assert len(seen.maps(name)) == 5
    joined = seen.joined(name)[..., :8]
    whole = build("GPT2", "eager", "LMHeadModel")(said[:, :-1], output_attentions=True).attentions[1]
    torch.testing.assert_close(joined, whole, rtol=1e-5, atol=1e-5)


def test_x_transformers() -> None:
    theirs = pytest.importorskip("x_transformers")
    torch.manual_seed(1)
    layers = theirs.Decoder(dim=MODEL, depth=2, heads=HEADS)
    model, ids = (
        theirs.TransformerWrapper(num_tokens=WORDS, max_seq_len=32, attn_layers=layers).eval(),
        torch.randint(1, WORDS, (BATCH, LENGTH)),
    )
    plain, expected = model(ids, return_attn=True)
    with capture(model) as seen:
        assert torch.equal(model(ids), plain)
    for calls, weights in zip(seen.values(), expected, strict=True):
        torch.testing.assert_close(calls[0], weights)


class Plain(nn.Module):
    """Plain attention, with a router and an output that are not attention."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.router, self.output = Own(), nn.Linear(MODEL, 3), nn.Linear(MODEL, WORDS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.attention(x)
        experts = torch.stack([x, -x, 2 * x], -1)
        x = (experts * self.router(x).softmax(-1)[..., None, :]).sum(-1)
        return self.output(x).softmax(-1)


class Own(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        scores = (x @ x.mT / math.sqrt(MODEL)).masked_fill(torch.ones(LENGTH, LENGTH).triu(1).bool(), -torch.inf)
        return F.dropout(scores.softmax(-1), 0.1, self.training) @ x


@modes
def test_routers_and_outputs_are_not_attention(mode: Any) -> None:
    model, x = Plain(), torch.randn(BATCH, LENGTH, MODEL)
    with mode(), capture(model) as seen:
        model(x)
    assert list(seen) == ["attention"]
    assert seen.axes("attention") == ("n", "q", "k")
    hidden = torch.ones(LENGTH, LENGTH).triu(1).bool()
    torch.testing.assert_close(seen["attention"][0], (x @ x.mT / 4).masked_fill(hidden, -torch.inf).softmax(-1))


class Fused(nn.Module):
    def forward(self, query: Tensor, keys: Tensor, **options: Any) -> Tensor:
        return F.scaled_dot_product_attention(query, keys, keys, **options)


def slow(query: Tensor, keys: Tensor, allowed: Tensor | None = None, scale: float | None = None) -> Tensor:
    """softmax(scale q . k), row by row, in float64."""
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    found = torch.zeros(*query.shape[:3], keys.shape[2], dtype=torch.float64)
    for b, h, q in torch.cartesian_prod(*map(torch.arange, query.shape[:3])).tolist():
        there = [k for k in range(keys.shape[2]) if allowed is None or bool(allowed[b, h, q, k])]
        scores = [scale * float(query[b, h, q].double() @ keys[b, h, k].double()) for k in there]
        total = sum(math.exp(score) for score in scores)
        for k, score in zip(there, scores, strict=True):
            found[b, h, q, k] = math.exp(score) / total
    return found


@modes
@pytest.mark.parametrize("case", ["plain", "scale", "causal", "bool", "added", "empty"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("block", [1, 2 * 5 * LENGTH, attention_map.BLOCK])  # scores of a head, a row, all
def test_a_fused_kernel_equals_slow_loops(
    case: str, dtype: torch.dtype, mode: Any, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention_map, "BLOCK", block)
    query, keys = torch.randn(BATCH, HEADS, 5, 8, dtype=dtype), torch.randn(BATCH, HEADS, LENGTH, 8, dtype=dtype)
    allowed, options = torch.rand(BATCH, HEADS, 5, LENGTH) > 0.3, {}
    allowed[..., 0] = True
    expected = slow(query, keys)
    if case == "scale":
        options, expected = {"scale": 0.3}, slow(query, keys, scale=0.3)
    elif case == "causal":
        triangle = torch.ones(5, LENGTH, dtype=torch.bool).tril().expand_as(allowed)
        options, expected = {"is_causal": True}, slow(query, keys, triangle)
    elif case in ("bool", "empty"):
        if case == "empty":
            allowed[0, 1, 2] = False
        options, expected = {"attn_mask": allowed}, slow(query, keys, allowed)
    elif case == "added":
        added = torch.zeros(1, 1, 5, LENGTH, dtype=dtype).masked_fill(~allowed[:1, :1], -torch.inf)
        options, expected = {"attn_mask": added}, slow(query, keys, allowed[:1, :1].expand_as(allowed))
    model = Fused()
    with mode(), capture(model) as seen:
        model(query, keys, **options)
    close = {"rtol": 2e-2, "atol": 2e-3} if dtype == torch.bfloat16 else {"rtol": 1e-5, "atol": 1e-6}
    [weights] = seen[""]
    torch.testing.assert_close(weights.double(), expected, **close)
    [found] = seen.maps("")
    some = found.weights(heads=[1], queries=slice(1, 4), keys=torch.tensor([0, 6, 2]))
    torch.testing.assert_close(some.double(), expected[:, [1], 1:4][..., [0, 6, 2]], **close)


def test_heads_and_queries_limit_the_capture() -> None:
    model, x = nn.MultiheadAttention(MODEL, HEADS, batch_first=True), torch.randn(BATCH, LENGTH, MODEL)
    for asked in (False, True):  # from the kernel, and explicit
        with capture(model) as every:
            model(x, x, x, need_weights=asked)
        with capture(model, heads=[1], queries=slice(2, 5)) as seen:
            model(x, x, x, need_weights=asked)
        assert seen[""][0].shape == (BATCH, 1, 3, LENGTH)
        torch.testing.assert_close(seen[""][0], every[""][0][:, [1], 2:5])
        torch.testing.assert_close(seen.maps("")[0].weights(queries=[0]), every[""][0][:, [1], 2:3])


@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_heads_can_be_reduced_to_one(reduce: Any) -> None:
    model, x = nn.MultiheadAttention(MODEL, HEADS, batch_first=True), torch.randn(BATCH, LENGTH, MODEL)
    ours = MultiHeadAttention(MODEL, HEADS)
    for attention, name, options in (
        (model, "", {"need_weights": False}),
        (model, "", {"need_weights": True}),
        (ours, "weights", {}),
    ):
        given = (x, x, x) if attention is model else (x, x)
        with capture(attention) as every:
            attention(*given, **options)
        with capture(attention, heads=[1, 0], queries=[3], reduce=reduce) as seen:
            attention(*given, **options)
        assert seen.axes(name) == ("b", "q", "k")
        part = every[name][0][:, :, [3]]
        torch.testing.assert_close(seen[name][0], part.mean(1) if reduce == "mean" else part.amax(1))


def test_the_keys_with_the_largest_weights() -> None:
    model, x = nn.MultiheadAttention(MODEL, HEADS, batch_first=True), torch.randn(BATCH, LENGTH, MODEL)
    ours = MultiHeadAttention(MODEL, HEADS)
    for attention, name, given in ((model, "", (x, x, x)), (ours, "weights", (x, x))):
        for options in ({"need_weights": False}, {"need_weights": True}) if attention is model else ({},):
            with capture(attention) as every:
                attention(*given, **options)
            with capture(attention, heads=[1], queries=[3, 0], reduce="top-2") as seen:
                attention(*given, **options)
            whole = every[name][0][:, [1]][:, :, [3, 0]]
            for b in range(BATCH):
                for q in range(2):
                    row, found = whole[b, 0, q].tolist(), seen[name][0][b, 0, q].tolist()
                    least = sorted(row)[-2]
                    assert found == pytest.approx([weight if weight >= least else 0 for weight in row], abs=1e-6)
            weights, keys = every.maps(name)[0].top(3, heads=[1], queries=[3, 0])
            torch.testing.assert_close(weights, whole.sort(-1, descending=True).values[..., :3])
            torch.testing.assert_close(whole.gather(-1, keys), weights)
            assert every.maps(name)[0].top(100)[1].shape[-1] == LENGTH
            assert seen.maps(name)[0].weights(queries=[1]).shape == (BATCH, 1, 1, LENGTH)


def test_only_the_largest_weights_are_held() -> None:
    """For explicit attention: three of 400 keys, and their positions."""
    model, x = nn.MultiheadAttention(MODEL, HEADS, batch_first=True), torch.randn(1, 400, MODEL)
    heard: list[Any] = []
    with torch.no_grad(), Places(model) as calls, Listening(calls, lambda _: True, heard.append, Bounds(top=3)):
        model(x, x, x, need_weights=True)
    [found] = heard
    assert sum(tensor.numel() for tensor in found._form.tensors()) == 2 * HEADS * 400 * 3


@pytest.mark.parametrize("name", ["fused", "written"])
def test_a_rollout_is_kept_layer_by_layer(name: str) -> None:
    torch.manual_seed(3)
    model, x = Both(False).eval().encoder, torch.randn(BATCH, LENGTH, MODEL)
    model.enable_nested_tensor = False
    torch.backends.mha.set_fastpath_enabled(name == "fused")
    try:
        with torch.no_grad(), capture(model) as every:
            model(x)
        with torch.no_grad(), capture(model, reduce="rollout") as seen:
            model(x)
            model(x.flip(1))  # restarts
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    names = list(every)
    assert list(seen) == names
    assert len(names) == 2
    first = every.rollout(names[0])
    assert seen.axes(names[0]) == ("b", "q", "k")
    torch.testing.assert_close(seen[names[0]][0], first)
    torch.testing.assert_close(seen[names[1]][0], every.rollout())
    assert not torch.allclose(seen[names[1]][0], seen[names[0]][0], atol=1e-3)
    torch.testing.assert_close(seen[names[1]][1], seen[names[1]][0].flip(1, 2))


def test_a_rollout_of_one_module_in_several_layers() -> None:
    model, x = Twice(MODEL, HEADS), torch.randn(BATCH, LENGTH, MODEL)
    with torch.no_grad(), capture(model) as every:
        model(x)
    with torch.no_grad(), capture(model, reduce="rollout") as seen:
        model(x)
        model(x)
    expected = measures.rollout(every["attention"])
    torch.testing.assert_close(seen["attention"][1], expected)
    torch.testing.assert_close(seen["attention"][3], expected)


@pytest.mark.unhooked
def test_invalid_reductions_are_reported() -> None:
    for wrong in ("median", "top-0", "top", "top-8.5"):
        with pytest.raises(InvalidInput, match=f"not '{wrong}'"), capture(Own(), reduce=wrong):
            pass
    with pytest.raises(InvalidInput, match="all queries"), capture(Own(), queries=[1], reduce="rollout"):
        pass
    model, x = Both(False).eval(), torch.randn(BATCH, LENGTH, MODEL)
    with (
        pytest.raises(InvalidInput, match=r"decoder\.layers\.0\.self_attn: .* a rollout needs self-attention"),
        torch.no_grad(),
        capture(model, reduce="rollout"),
    ):
        model(x, x[:, :3], make_mask())
    with torch.no_grad(), capture(model, "encoder*", reduce="rollout") as seen:  # no hooks remain after the failure
        model(x, x[:, :3], make_mask())
    assert len(seen) == 2


@modes
def test_scores_assembled_from_pieces_are_reported(mode: Any) -> None:
    config = transformers.LongformerConfig(**TEXT | BERT | {"attention_window": [4, 4], "pad_token_id": 1})
    model = transformers.LongformerModel(config).eval()
    with mode(), capture(model) as seen:
        model(torch.randint(5, WORDS, (BATCH, 12)))
    assert not seen
    assert list(seen.unknown) == ["encoder.layer.0.attention.self", "encoder.layer.1.attention.self"]
    assert all("from pieces" in why for why in seen.unknown.values())


def test_selection_and_replacement_of_explicit_weights() -> None:
    model, x = nn.MultiheadAttention(MODEL, HEADS, batch_first=True), torch.randn(BATCH, LENGTH, MODEL)
    with torch.no_grad(), capture(model, replace=ablate(0)) as whole:
        expected = model(x, x, x, need_weights=True)[0]
    with torch.no_grad(), capture(model, heads=[1], replace=ablate(0)) as seen:
        assert torch.equal(model(x, x, x, need_weights=True)[0], expected)
    torch.testing.assert_close(seen[""][0], whole[""][0][:, [1]])


def test_heads_merged_into_the_batch_are_separated_if_their_number_is_known() -> None:
    class Folded(nn.Module):
        num_heads = HEADS

        def forward(self, x: Tensor) -> Tensor:
            parts = x.unflatten(2, (HEADS, -1)).transpose(1, 2).flatten(0, 1)
            weights = (parts @ parts.mT).softmax(-1)
            return (weights @ parts).unflatten(0, (-1, HEADS)).transpose(1, 2).flatten(2)

    model, x = Folded(), torch.randn(BATCH, LENGTH, MODEL)
    with capture(model, heads=[1]) as seen:
        model(x)
    part = x[..., MODEL // HEADS :]
    assert seen.axes("") == ("b", "h", "q", "k")
    torch.testing.assert_close(seen[""][0][:, 0], (part @ part.mT).softmax(-1))


def test_inputs_overwritten_within_the_block_are_kept() -> None:
    class Cached(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.keys = torch.zeros(1, 1, LENGTH, 8)

        def forward(self, query: Tensor, at: int) -> Tensor:
            self.keys[:, :, at : at + 1] = query
            return F.scaled_dot_product_attention(query, self.keys, self.keys)

    model, queries = Cached(), torch.randn(3, 1, 1, 1, 8)
    with torch.no_grad(), capture(model) as seen:
        for at, query in enumerate(queries):
            model(query, at)
    again = Cached()
    for at, query in enumerate(queries):
        again(query, at)
        torch.testing.assert_close(seen[""][at], slow(query, again.keys).float())


def test_recomputation_in_the_backward_pass_is_captured_once() -> None:
    model, x = nn.MultiheadAttention(MODEL, HEADS, batch_first=True), torch.randn(BATCH, LENGTH, MODEL)
    x.requires_grad_()
    with capture(model) as seen:
        checkpoint(lambda x: model(x, x, x, need_weights=False)[0], x, use_reentrant=False).sum().backward()
    assert len(seen[""]) == 1


def test_gradients_are_unchanged_by_a_capture() -> None:
    model, x = Plain().eval(), torch.randn(BATCH, LENGTH, MODEL, requires_grad=True)
    expected = torch.autograd.grad(model(x).square().sum(), x)[0]
    with capture(model):
        found = torch.autograd.grad(model(x).square().sum(), x)[0]
    assert torch.equal(found, expected)


def test_autocast() -> None:
    model, x = nn.MultiheadAttention(MODEL, HEADS, batch_first=True).eval(), torch.randn(BATCH, LENGTH, MODEL)
    expected = model(x, x, x, average_attn_weights=False)[1]
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        plain = model(x, x, x, need_weights=False)[0]
        with capture(model) as seen:
            assert torch.equal(model(x, x, x, need_weights=False)[0], plain)
    torch.testing.assert_close(seen[""][0].float(), expected, rtol=3e-2, atol=1e-2)


def at_the_first(name: str, weights: Tensor) -> Tensor:
    other = torch.zeros_like(weights)
    other[..., 0] = 1
    return other


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=lambda mode: mode.__name__)
@pytest.mark.parametrize("name", ["GPT2", "T5", "Llama"])
def test_weights_are_replaced_equally_in_kernels_and_explicit_attention(name: str, mode: Any) -> None:
    given, found = inputs(name), {}
    for attention in ("sdpa", "eager"):
        model = build(name, attention)
        with mode():
            plain = model(**given)[0]
            with capture(model, replace=lambda name, weights: None) as seen:
                assert torch.equal(model(**given)[0], plain)
            with capture(model, replace=lambda name, weights: weights.clone()):
                torch.testing.assert_close(model(**given)[0], plain, rtol=1e-4, atol=1e-5)
            last = list(seen)[-1]
            for replace in (at_the_first, ablate(1), scale(2.0, 0)):
                with capture(model, only=last, replace=replace) as changed:
                    found[attention, replace] = model(**given)[0]
                assert not torch.allclose(found[attention, replace], plain, atol=1e-4)
                [heard] = changed[last]
                torch.testing.assert_close(heard, replace(last, seen[last][0]), rtol=1e-4, atol=1e-5)
            assert torch.equal(model(**given)[0], plain)
    for (attention, replace), output in found.items():
        other = next(x for (kind, how), x in found.items() if kind != attention and same(how, replace))
        torch.testing.assert_close(output, other, rtol=1e-4, atol=1e-5)


def same(one: Any, other: Any) -> bool:
    """Whether two replacements have the same effect."""
    weights = torch.rand(1, 4, 3, 3)
    return torch.equal(one("", weights), other("", weights))


def test_an_ablated_head_contributes_nothing() -> None:
    attention, x = nn.MultiheadAttention(MODEL, HEADS, batch_first=True, bias=False), torch.randn(BATCH, LENGTH, MODEL)
    without = nn.MultiheadAttention(MODEL, HEADS, batch_first=True, bias=False)
    without.load_state_dict(attention.state_dict())
    with torch.no_grad():
        without.in_proj_weight[2 * MODEL + MODEL // 2 :] = 0.0  # the values of the second head
        for asked in (False, True):
            attention.train()  # without dropout, and so that no layer is a single operator
            with capture(attention, replace=ablate(1)):
                found = attention(x, x, x, need_weights=asked)[0]
            torch.testing.assert_close(found, without(x, x, x)[0])


def test_impossible_replacements_are_reported() -> None:
    attention, x = nn.MultiheadAttention(MODEL, HEADS, batch_first=True).eval(), torch.randn(BATCH, LENGTH, MODEL)
    with pytest.raises(InvalidInput, match=r"in torch\.no_grad"), capture(attention, replace=at_the_first):
        attention(x, x, x, need_weights=False)
    with (
        pytest.raises(InvalidInput, match=r"is a single operator; call torch\.backends\.mha\.set_fastpath_enabled"),
        torch.no_grad(),
        capture(attention, replace=at_the_first),
    ):
        attention(x, x, x)
    with pytest.raises(InvalidInput, match="no head 2"), torch.no_grad(), capture(attention.train(), replace=ablate(2)):
        attention(x, x, x)
    with (
        pytest.raises(InvalidInput, match=r"must have shape \(2, 2, 7, 7\)"),
        torch.no_grad(),
        capture(attention, replace=lambda name, weights: weights[:1]),
    ):
        attention(x, x, x)
    model = Own().train()
    with (
        pytest.raises(InvalidInput, match="replace them in evaluation"),
        torch.no_grad(),
        capture(model, replace=at_the_first),
    ):
        model(x)
    with pytest.raises(InvalidInput, match="numbers of heads"):
        ablate()


@pytest.mark.unhooked
def test_wrong_types_are_reported() -> None:
    model, x = nn.MultiheadAttention(MODEL, HEADS, batch_first=True), torch.randn(BATCH, LENGTH, MODEL)
    wrong: Any
    for wrong in ((), (1.5,), ([0, 1],), (-1,)):
        with pytest.raises(InvalidInput, match="numbers of heads"):
            ablate(*wrong)
    wrong = lambda name, weights: weights.tolist()  # noqa: E731
    with (
        pytest.raises(InvalidInput, match="must be a tensor or None, not list"),
        torch.no_grad(),
        capture(model, replace=wrong),
    ):
        model(x, x, x)
    for wrong in ((None, "*"), (model, None)):
        with pytest.raises(InvalidInput, match="expected a module and a pattern"), capture(*wrong):
            pass


def test_inputs_overwritten_after_the_block_are_not_read() -> None:
    model, query, keys = Fused(), torch.randn(1, 1, 2, 8), torch.randn(1, 1, 3, 8)
    with torch.no_grad(), capture(model) as seen:
        model(query, keys)
    keys += 1
    with pytest.raises(InvalidInput, match="have been overwritten"):
        seen[""]


def test_an_inference_mode_input_can_be_reused() -> None:
    layer = nn.TransformerEncoderLayer(MODEL, HEADS, 32, batch_first=True)
    model = nn.TransformerEncoder(layer, 2).eval()
    with torch.inference_mode():
        x = torch.randn(BATCH, LENGTH, MODEL)
        with capture(model) as expected:
            model(x)
        before = expected.joined("layers.0.self_attn")
        with capture(model) as seen:
            model(x)
        x.copy_(torch.randn(BATCH, LENGTH, MODEL))
        assert torch.equal(seen.joined("layers.0.self_attn"), before)


def test_freed_inputs_are_reported() -> None:
    model, x = nn.MultiheadAttention(MODEL, HEADS, batch_first=True), torch.randn(BATCH, LENGTH, MODEL)
    with torch.no_grad(), capture(model.eval()) as seen:
        model(x, x, x, need_weights=False)
    model.in_proj_weight.untyped_storage().resize_(0)
    with pytest.raises(InvalidInput, match="have been freed"):
        seen[""]


@pytest.mark.unhooked
def test_a_compiled_model_runs_its_original_and_is_captured() -> None:
    model, x = nn.Sequential(nn.Linear(MODEL, MODEL), Own()).eval(), torch.randn(BATCH, LENGTH, MODEL)
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        plain = compiled(x)
        with capture(compiled) as seen:  # type: ignore[arg-type]
            torch.testing.assert_close(compiled(x), plain)
    assert list(seen) == ["1"]
    with torch.no_grad(), capture(model) as expected:
        model(x)
    torch.testing.assert_close(seen["1"], expected["1"])


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
def test_torch_attention_of_other_keys_and_without_a_batch(mode: Any) -> None:
    attention = nn.MultiheadAttention(MODEL, HEADS, kdim=5, vdim=3, batch_first=True)
    query, keys, values = torch.randn(3, MODEL), torch.randn(LENGTH, 5), torch.randn(LENGTH, 3)
    expected = attention(query, keys, values, average_attn_weights=False)[1].detach()
    with mode():
        plain = attention(query, keys, values)[0]
        with capture(attention) as seen:
            assert torch.equal(attention(query, keys, values)[0], plain)
            attention.q_proj_weight.chunk(2)
    torch.testing.assert_close(seen[""][0][0], expected)


def test_weights_changed_after_their_use_are_kept() -> None:
    class Cleared(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            weights = (x @ x.mT).softmax(-1)
            found = weights @ x
            weights.zero_()
            return found

    x = torch.randn(BATCH, LENGTH, MODEL)
    with torch.no_grad(), capture(model := Cleared()) as seen:
        model(x)
    torch.testing.assert_close(seen[""][0], (x @ x.mT).softmax(-1))


def test_other_threads_do_not_change_the_names() -> None:
    other, stop = nn.Sequential(nn.Linear(4, 4), nn.ReLU()), threading.Event()

    def busy() -> None:
        while not stop.is_set():
            other(torch.ones(1, 4))

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        model, x = nn.Sequential(nn.Linear(MODEL, MODEL), Own()).eval(), torch.randn(BATCH, LENGTH, MODEL)
        for _ in range(50):
            with torch.no_grad(), capture(model) as seen:
                model(x)
            assert list(seen) == ["1"]
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_heads_that_share_keys_are_separate_in_a_generation(attention: str) -> None:
    model, ids = build("Llama", attention, "ForCausalLM"), torch.randint(5, WORDS, (2, 4))
    mask = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1]])  # with a mask a single query's heads are packed
    options: dict[str, Any] = {"max_new_tokens": 3, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    with capture(model, only="*layers.1.self_attn") as seen:
        said = model.generate(ids, attention_mask=mask, **options)  # type: ignore[operator]
    [name] = seen
    assert [call.shape for call in seen[name]] == [(2, 4, 4, 4), (2, 4, 1, 5), (2, 4, 1, 6)]
    given = {"input_ids": said[:1, :-1], "output_attentions": True}
    whole = build("Llama", "eager", "ForCausalLM")(**given).attentions[1]
    torch.testing.assert_close(seen.joined(name)[:1], whole, rtol=1e-4, atol=1e-5)
    with torch.no_grad(), capture(model, only="*layers.1.*", replace=ablate(0)):
        found = model.generate(ids, attention_mask=mask, output_logits=True, return_dict_in_generate=True, **options)  # type: ignore
    assert found.logits[-1].isfinite().all()


def test_weights_with_more_axes_are_reported() -> None:
    x = torch.randn(2, 3, HEADS, 5, 8)
    for mode in MODES:
        with mode(), capture(model := Fused()) as seen:
            model(x, x)
        assert not seen
        assert "5 axes" in seen.unknown[""]


def test_nested_captures_cannot_both_replace() -> None:
    model, x = Own().eval(), torch.randn(BATCH, LENGTH, MODEL)
    with torch.no_grad(), capture(model) as outer, capture(model) as inner:
        model(x)
    torch.testing.assert_close(outer[""], inner[""])
    with (
        pytest.raises(InvalidInput, match="inside another capture; end that one first"),
        torch.no_grad(),
        capture(model),
        capture(model, replace=at_the_first),
    ):
        model(x)


def test_calls_that_cannot_be_joined_are_reported() -> None:
    model = Own().eval()
    with torch.no_grad(), capture(model) as seen:
        for size in (1, 2):
            model(torch.randn(size, LENGTH, MODEL))
    with pytest.raises(InvalidInput, match=r"concatenated along 'q': \(1, 7, 7\), \(2, 7, 7\)"):
        seen.joined("")


@pytest.mark.unhooked
def test_always_compiled_operators_are_refused() -> None:
    flex = pytest.importorskip("torch.nn.attention.flex_attention").flex_attention

    class Flex(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = flex(x, x, x)
            return found

    with pytest.raises(InvalidInput, match="flex_attention"), torch.no_grad(), capture(model := Flex()):
        model(torch.randn(1, HEADS, 16, 8))


def test_attention_with_unknown_arguments_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "arguments", lambda *_: {"q": None})
    model, x = nn.Sequential(nn.Identity(), Fused()), torch.randn(1, HEADS, 5, 8)
    with torch.no_grad(), capture(model) as seen:
        model[1](x, x)
    assert not seen
    assert seen.unknown == {"1": "aten::_scaled_dot_product_flash_attention_for_cpu: 'query'"}


class Broken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(MODEL, HEADS, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        self.inner(x, x, x)
        raise RuntimeError("broken")


def test_an_exception_restores_everything() -> None:
    model, x = Broken(), torch.randn(BATCH, LENGTH, MODEL)
    before = len(torch.nn.modules.module._global_forward_hooks), len(torch.nn.modules.module._global_forward_pre_hooks)
    with pytest.raises(RuntimeError, match="broken"), capture(model):
        model(x)
    after = len(torch.nn.modules.module._global_forward_hooks), len(torch.nn.modules.module._global_forward_pre_hooks)
    assert after == before
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None
    with capture(model.inner) as seen:
        model.inner(x, x, x)
    assert len(seen[""]) == 1


def test_missing_names_are_reported() -> None:
    model, x = Plain(), torch.randn(BATCH, LENGTH, MODEL)
    with (
        pytest.raises(NotFound, match=r"match '\*decoder\*'; some was found in: 'attention'"),
        capture(model, "*decoder*"),
    ):
        model(x)
    with pytest.raises(NotFound, match="call the model within the block"), capture(model):
        pass
    with capture(model) as seen:
        model(x)
    with pytest.raises(NotFound, match="'attentoin'"):
        seen["attentoin"]
