"""The translation systems against their papers' equations, sentence by sentence and word by word."""

import math
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saccade.attention.hard import Choices
from saccade.core.masks import length_mask
from saccade.core.tap import Tap
from saccade.nets.attention_choice import Attention, Hard, ScoreFunctionGradient, StraightThrough
from saccade.nets.choices import ChosenProjection
from saccade.nets.projection import Projection
from saccade.nets.search import SearchModel, Symbols, beam_search, sample
from saccade.systems.rnnencdec import recipe as rnnencdec_recipe
from saccade.systems.rnnencdec.model import RNNEncDec, RNNEncDecConfig
from saccade.systems.rnnsearch import recipe as rnnsearch_recipe
from saccade.systems.rnnsearch.model import RNNsearch, RNNsearchConfig
from saccade.systems.transformer import recipe as transformer_recipe
from saccade.systems.transformer.model import Learned, Transformer, TransformerConfig
from saccade.tasks.translation import Batch
from tests.checks import Forgetful, assert_twins, attentions, randomised, unchanged

SOURCE_SYMBOLS, TARGET_SYMBOLS, PAD = 13, 17, 0
SOURCE_LENGTHS, TARGET_LENGTHS = [5, 3, 1], [2, 4, 3]
ATTENTIONS = attentions(7)


def make_rnnsearch(
    dropout: float = 0.0, hidden_size: int = 5, attention: Attention = ATTENTIONS["additive"], **options: Any
) -> RNNsearch:
    sizes = RNNsearchConfig(
        attention=attention, embedding_size=3, hidden_size=hidden_size, readout_size=11, dropout=dropout, **options
    )
    return randomised(RNNsearch(sizes, SOURCE_SYMBOLS, TARGET_SYMBOLS))


def make_rnnencdec(dropout: float = 0.0, reverse_source: bool = False) -> RNNEncDec:
    sizes = RNNEncDecConfig(
        embedding_size=3, hidden_size=5, readout_size=11, dropout=dropout, reverse_source=reverse_source
    )
    return randomised(RNNEncDec(sizes, SOURCE_SYMBOLS, TARGET_SYMBOLS))


def make_transformer(dropout: float = 0.0, **options: Any) -> Transformer:
    sizes = TransformerConfig(layers=2, model_size=6, heads=3, hidden_size=7, dropout=dropout, **options)
    # norms are random too, since a missing one would not show at their initial 1 and 0
    return randomised(Transformer(sizes, SOURCE_SYMBOLS, TARGET_SYMBOLS))


PAPERS = {
    "transformer": make_transformer,
    "transformer-pre": lambda dropout=0.0: make_transformer(
        dropout, norm="pre", positions=Learned(longest=11), tie="none", head_size=5, value_size=4
    ),
    "transformer-output": lambda dropout=0.0: make_transformer(dropout, tie="output"),
    "rnnsearch": make_rnnsearch,
    "rnnsearch-step-first": partial(make_rnnsearch, order="step-first"),
    "rnnencdec": make_rnnencdec,
    "rnnencdec-reversed": lambda dropout=0.0: make_rnnencdec(dropout, reverse_source=True),
}
MODELS = PAPERS | {
    "rnnsearch-forward": lambda dropout=0.0: make_rnnsearch(dropout, directions="forward"),
    **{
        f"rnnsearch-{name}": partial(make_rnnsearch, hidden_size=6, attention=attention)
        for name, attention in ATTENTIONS.items()
        if name not in ("additive", "hard")
    },
    **{
        f"rnnsearch-step-first-{name}": partial(
            make_rnnsearch, hidden_size=6, attention=ATTENTIONS[name], order="step-first"
        )
        for name in ("dot", "gaussian-window", "past-alignment")
    },
    # choices are sampled in training, and the most probable in evaluation
    "rnnsearch-hard": lambda dropout=0.0: make_rnnsearch(
        dropout, attention=Hard(attention_size=7, estimator=StraightThrough())
    ).eval(),
}
papers_model = pytest.mark.parametrize("name", PAPERS)
every_model = pytest.mark.parametrize("name", MODELS)


def make_batch() -> Batch:
    """Padded sentences; padding is the symbol 0, which a model does not treat specially."""
    source_mask = length_mask(torch.tensor(SOURCE_LENGTHS), max(SOURCE_LENGTHS))
    target_mask = length_mask(torch.tensor(TARGET_LENGTHS), max(TARGET_LENGTHS))
    source = torch.randint(1, SOURCE_SYMBOLS, source_mask.shape).masked_fill(~source_mask, PAD)
    inputs, targets = (torch.randint(1, TARGET_SYMBOLS, target_mask.shape).masked_fill(~target_mask, PAD) for _ in "ab")
    return Batch(source, source_mask, inputs, targets)


def gru(weights: dict[str, Tensor], net: str, x: Tensor, h: Tensor) -> Tensor:
    """Cho et al. 2014, A.1.1: r, z, h~ = tanh(W x + U (r * h)), h' = z h + (1 - z) h~, with biases."""
    W_r, W_z, W = weights[f"{net}.weight_input"].chunk(3)
    U_r, U_z, U = weights[f"{net}.weight_hidden"].chunk(3)
    b_r, b_z, b = weights[f"{net}.bias"].chunk(3)
    r = 1 / (1 + torch.exp(-(W_r @ x + U_r @ h + b_r)))
    z = 1 / (1 + torch.exp(-(W_z @ x + U_z @ h + b_z)))
    return z * h + (1 - z) * torch.tanh(W @ x + U @ (r * h) + b)


def maxout_logits(weights: dict[str, Tensor], name: str, s: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """W_o maxout(U_o s + V_o y + C_o c)."""
    U, V, C = weights[f"{name}.hidden.weight"].split([len(s), len(y), len(c)], 1)
    wide = U @ s + V @ y + C @ c + weights[f"{name}.hidden.bias"]
    t = torch.stack([torch.max(wide[j], wide[j + 1]) for j in range(0, len(wide), 2)])
    return weights[f"{name}.output.weight"] @ t + weights[f"{name}.output.bias"]


def slow_rnnsearch(model: RNNsearch, source: list[int], inputs: list[int], step_first: bool) -> Tensor:
    """Bahdanau et al. 2015, section 3 and A.2, for one pair: the logits of each next symbol.

    Luong et al. 2015, section 3.1: if the decoder steps first, its input is the previous context.
    """
    weights = dict(model.named_parameters())
    words = [weights["embedding.weight"][symbol] for symbol in source]
    zeros = torch.zeros(5, dtype=torch.float64)
    forward, backward, h = [], [], zeros
    for x in words:
        h = gru(weights, "encoder.nets.0", x, h)
        forward.append(h)
    h = zeros
    for x in reversed(words):
        h = gru(weights, "encoder.nets.1", x, h)
        backward.insert(0, h)
    annotations = [torch.cat(pair) for pair in zip(forward, backward, strict=True)]

    s = torch.tanh(weights["decoder.initial.weight"] @ backward[0] + weights["decoder.initial.bias"])
    W, U, b, v = (
        weights[f"decoder.recurrent.attention.{name}"] for name in ("query.weight", "key.weight", "key.bias", "v")
    )
    logits, c = [], torch.zeros(10, dtype=torch.float64)
    for symbol in inputs:
        y = weights["decoder.embedding.weight"][symbol]
        if step_first:
            s = gru(weights, "decoder.recurrent.cell", torch.cat([y, c]), s)
        energies = [torch.exp(v @ torch.tanh(W @ s + U @ h + b)) for h in annotations]
        c = sum(energy / sum(energies) * h for energy, h in zip(energies, annotations, strict=True))
        if not step_first:
            s = gru(weights, "decoder.recurrent.cell", torch.cat([y, c]), s)
        logits.append(maxout_logits(weights, "decoder.readout", s, y, c))
    return torch.stack(logits)


def slow_rnnencdec(model: RNNEncDec, source: list[int], inputs: list[int], reverse_source: bool) -> Tensor:
    """Cho et al. 2014, section 2.2 and A, for one pair; Sutskever et al. 2014 read the source backwards."""
    weights = dict(model.named_parameters())
    h = torch.zeros(5, dtype=torch.float64)
    for symbol in reversed(source) if reverse_source else source:
        h = gru(weights, "encoder.nets.0", weights["source_embedding.weight"][symbol], h)
    c = torch.tanh(weights["context.weight"] @ h + weights["context.bias"])
    s = torch.tanh(weights["initial.weight"] @ c + weights["initial.bias"])
    logits = []
    for symbol in inputs:
        y = weights["target_embedding.weight"][symbol]
        s = gru(weights, "decoder", torch.cat([y, c]), s)
        logits.append(maxout_logits(weights, "readout", s, y, c))
    return torch.stack(logits)


def slow_transformer(model: Transformer, name: str, source: list[int], inputs: list[int]) -> Tensor:
    """Vaswani et al. 2017, section 3, for one pair; position by position, head by head."""
    pre = name == "transformer-pre"
    weights = dict(model.named_parameters(remove_duplicate=False))
    d = weights["target_embedding.weight"].shape[1]

    def embed(net: str, symbols: list[int]) -> list[Tensor]:
        rows = []
        for p, symbol in enumerate(symbols):
            if pre:
                place = weights[f"{net}_positions.table"][p]
            else:
                angles = [p / 10_000 ** (2 * (i // 2) / d) for i in range(d)]
                turns = [math.cos(a) if i % 2 else math.sin(a) for i, a in enumerate(angles)]
                place = torch.tensor(turns, dtype=torch.float64)
            rows.append(math.sqrt(d) * weights[f"{net}_embedding.weight"][symbol] + place)
        return rows

    def norm(part: str, x: Tensor) -> Tensor:
        deviation = torch.sqrt(((x - x.mean()) ** 2).mean() + 1e-5)
        return weights[f"{part}.weight"] * (x - x.mean()) / deviation + weights[f"{part}.bias"]

    def attend(part: str, x: Tensor, keys: list[Tensor]) -> Tensor:
        W_q, W_k, W_v = (weights[f"{part}.{which}.weight"].chunk(3) for which in ("query", "key", "value"))
        heads = []
        for q, k, v in zip(W_q, W_k, W_v, strict=True):
            energies = [torch.exp((q @ x) @ (k @ key) / math.sqrt(len(q))) for key in keys]
            heads.append(sum(energy / sum(energies) * (v @ key) for energy, key in zip(energies, keys, strict=True)))
        return weights[f"{part}.output.weight"] @ torch.cat(heads)

    def feed_forward(part: str, x: Tensor) -> Tensor:
        hidden = (weights[f"{part}.hidden.weight"] @ x + weights[f"{part}.hidden.bias"]).clamp(min=0)
        return weights[f"{part}.output.weight"] @ hidden + weights[f"{part}.output.bias"]

    def sublayer(block: str, name: str, xs: list[Tensor], function: Any) -> list[Tensor]:
        part = f"{block}.{name}_residual.norm"
        if pre:
            normed = [norm(part, x) for x in xs]
            return [x + function(y, normed, i) for i, (x, y) in enumerate(zip(xs, normed, strict=True))]
        return [norm(part, x + function(x, xs, i)) for i, x in enumerate(xs)]

    memory = embed("source", source)
    for n in range(2):
        block = f"encoder.blocks.{n}"
        memory = sublayer(block, "self", memory, lambda x, xs, i, b=block: attend(f"{b}.self_attention", x, xs))
        memory = sublayer(block, "forward", memory, lambda x, xs, i, b=block: feed_forward(f"{b}.feed_forward", x))
    ys = embed("target", inputs)
    if pre:
        memory = [norm("encoder.norm", x) for x in memory]
    for n in range(2):
        block = f"decoder.blocks.{n}"
        ys = sublayer(block, "self", ys, lambda x, xs, i, b=block: attend(f"{b}.self_attention", x, xs[: i + 1]))
        ys = sublayer(block, "cross", ys, lambda x, xs, i, b=block: attend(f"{b}.cross_attention", x, memory))
        ys = sublayer(block, "forward", ys, lambda x, xs, i, b=block: feed_forward(f"{b}.feed_forward", x))
    if pre:
        ys = [norm("decoder.norm", y) for y in ys]
    return torch.stack([weights["output.weight"] @ y + weights["output.bias"] for y in ys])


def slow_model(name: str, model: Any, source: list[int], inputs: list[int]) -> Tensor:
    if name.startswith("rnnsearch"):
        return slow_rnnsearch(model, source, inputs, name.endswith("step-first"))
    if name.startswith("transformer"):
        return slow_transformer(model, name, source, inputs)
    return slow_rnnencdec(model, source, inputs, name.endswith("reversed"))


def true_rows(rows: Tensor) -> Tensor:
    """(b, t, v) without its padded time steps: (sum of the lengths, v)."""
    return torch.cat([row[:length] for row, length in zip(rows, TARGET_LENGTHS, strict=True)])


@papers_model
def test_forward_equals_the_papers_equations_word_by_word(name: str) -> None:
    model, batch = MODELS[name](), make_batch()

    def slow() -> Tensor:
        pairs = zip(batch.source.tolist(), SOURCE_LENGTHS, batch.target_inputs.tolist(), TARGET_LENGTHS, strict=True)
        return torch.cat([slow_model(name, model, source[:m], inputs[:n]) for source, m, inputs, n in pairs])

    assert_twins(
        lambda: true_rows(model(batch.source, batch.source_mask, batch.target_inputs).logits()),
        slow,
        list(model.parameters()),
    )


@papers_model
def test_the_loss_equals_that_of_the_papers_equations(name: str) -> None:
    model, batch = MODELS[name](), make_batch()

    def slow() -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for i, (m, n) in enumerate(zip(SOURCE_LENGTHS, TARGET_LENGTHS, strict=True)):
            source, inputs = batch.source[i, :m].tolist(), batch.target_inputs[i, :n].tolist()
            for logits, target in zip(slow_model(name, model, source, inputs), batch.targets[i, :n], strict=True):
                total = total - torch.log(torch.exp(logits[target]) / torch.exp(logits).sum())
        return total / sum(TARGET_LENGTHS)

    assert_twins(
        lambda: model(batch.source, batch.source_mask, batch.target_inputs).cross_entropy(batch.targets, PAD),
        slow,
        list(model.parameters()),
    )


@every_model
def test_teacher_forcing_at_once_equals_start_and_step(name: str) -> None:
    model, batch = MODELS[name](), make_batch()

    def singly() -> Tensor:
        state, rows = model.start(model.encode(batch.source, batch.source_mask)), []
        for t in range(max(TARGET_LENGTHS)):
            log_probs, state = model.step(batch.target_inputs[:, t], state)
            rows.append(log_probs)
        return torch.stack(rows, 1)

    assert isinstance(model, SearchModel)
    assert_twins(
        lambda: model(batch.source, batch.source_mask, batch.target_inputs).logits().log_softmax(-1),
        singly,
        list(model.parameters()),
        1e-13,
    )


@every_model
@pytest.mark.parametrize("beam", [1, 4])
def test_scores_of_a_search_equal_teacher_forcing(name: str, beam: int) -> None:
    model, batch = MODELS[name]().eval(), make_batch()
    limits = torch.tensor([7, 2, 5])  # sentences leave the batch at different times
    found = beam_search(model, model.encode(batch.source, batch.source_mask), limits, Symbols(1, 2), beam)
    for i, (length, hypotheses) in enumerate(zip(SOURCE_LENGTHS, found, strict=True)):
        assert len(hypotheses) <= beam
        for tokens, total, _ in hypotheses:
            ended = len(tokens) < limits[i]  # otherwise it was cut off
            symbols = [*tokens, 2] if ended else tokens
            inputs = torch.tensor([[1, *symbols[:-1]]])
            one = model(batch.source[i : i + 1, :length], batch.source_mask[i : i + 1, :length], inputs)
            log_probs = one.logits()[0].log_softmax(-1).detach()
            assert total == pytest.approx(sum(float(log_probs[t, s]) for t, s in enumerate(symbols)), rel=1e-12)


@every_model
def test_a_search_with_caches_equals_one_without(name: str) -> None:
    model, batch = MODELS[name]().eval(), make_batch()
    given, limits = (batch.source, batch.source_mask), torch.tensor([7, 2, 5])
    for beam in (1, 2, 3, 5):
        fast = beam_search(model, model.encode(*given), limits, Symbols(1, 2), beam)
        slow = beam_search(Forgetful(model), given, limits, Symbols(1, 2), beam)
        assert [[h.tokens for h in hypotheses] for hypotheses in fast] == [[h.tokens for h in hs] for hs in slow]
    drawn = [
        sample(which, encoded, limits, Symbols(1, 2), generator=torch.Generator().manual_seed(3))
        for which, encoded in ((model, model.encode(*given)), (Forgetful(model), given))
    ]
    assert [h.tokens for h in drawn[0]] == [h.tokens for h in drawn[1]]


@every_model
def test_a_padded_batch_equals_each_pair_alone(name: str) -> None:
    model, batch = MODELS[name](), make_batch()

    def alone() -> Tensor:
        rows = []
        for i, (m, n) in enumerate(zip(SOURCE_LENGTHS, TARGET_LENGTHS, strict=True)):
            one = model(
                batch.source[i : i + 1, :m], batch.source_mask[i : i + 1, :m], batch.target_inputs[i : i + 1, :n]
            )
            rows.append(one.logits()[0])
        return torch.cat(rows)

    assert_twins(
        lambda: true_rows(model(batch.source, batch.source_mask, batch.target_inputs).logits()),
        alone,
        list(model.parameters()),
        1e-13,
    )


@every_model
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_padding_symbols_have_no_influence_to_the_last_bit(name: str, dtype: torch.dtype) -> None:
    model, batch = MODELS[name]().to(dtype), make_batch()
    other_source = torch.where(batch.source_mask, batch.source, 7)
    other_inputs = torch.where(batch.targets == PAD, 7, batch.target_inputs)
    here = model(batch.source, batch.source_mask, batch.target_inputs)
    there = model(other_source, batch.source_mask, other_inputs)
    assert torch.equal(true_rows(here.logits()), true_rows(there.logits()))
    losses = [projection.cross_entropy(batch.targets, PAD, 0.1) for projection in (here, there)]
    assert torch.equal(losses[0], losses[1])
    slopes = [torch.autograd.grad(loss, list(model.parameters())) for loss in losses]
    for (part, _), ours, theirs in zip(model.named_parameters(), *slopes, strict=True):
        assert torch.equal(ours, theirs), part


@every_model
def test_more_padding_has_no_influence(name: str) -> None:
    model, batch = MODELS[name](), make_batch()
    wide = [nn.functional.pad(part, (0, 4)) for part in (batch.source, batch.source_mask, batch.target_inputs)]
    torch.testing.assert_close(
        true_rows(model(*wide).logits()),
        true_rows(model(batch.source, batch.source_mask, batch.target_inputs).logits()),
        rtol=1e-13,
        atol=1e-13,
    )


@every_model
def test_forward_and_step_change_nothing_on_the_module(name: str) -> None:
    model, batch = MODELS[name](dropout=0.5), make_batch()
    with unchanged(model):
        model(batch.source, batch.source_mask, batch.target_inputs).cross_entropy(batch.targets, PAD)
        state = model.start(model.encode(batch.source, batch.source_mask))
        model.step(batch.target_inputs[:, 0], state)


@every_model
def test_taps_have_no_effect_and_no_weights(name: str) -> None:
    model, batch = MODELS[name](), make_batch()
    silent = model(batch.source, batch.source_mask, batch.target_inputs).logits()
    taps = {path: part for path, part in model.named_modules() if isinstance(part, Tap)}
    calls: list[Tensor] = []
    for tap in taps.values():
        tap.listener = lambda tensor: calls.append(tensor) or tensor
    assert torch.equal(model(batch.source, batch.source_mask, batch.target_inputs).logits(), silent)
    nets = {"rnnsearch": 1, "transformer": 6}  # two encoder blocks with one attention, two decoder blocks with two
    nets["rnnsearch"] += name.endswith("gaussian-window")  # and its locations
    looking = nets.get(name.split("-")[0], 0)
    assert len(taps) == looking + 1  # and the source's embedding
    assert len(calls) == looking * (max(TARGET_LENGTHS) if name.startswith("rnnsearch") else 1) + 1
    assert set(model.state_dict()) == {path for path, _ in model.named_parameters(remove_duplicate=False)}


def test_the_tap_that_rnnsearch_shows_exists() -> None:
    assert isinstance(dict(make_rnnsearch().named_modules())[rnnsearch_recipe.LOOKS[0]], Tap)


@every_model
def test_dropout_is_only_in_training_and_never_in_a_search(name: str) -> None:
    model, batch = MODELS[name](dropout=0.5).train(), make_batch()
    given = batch.source, batch.source_mask, batch.target_inputs
    assert not torch.equal(model(*given).logits(), model(*given).logits())
    model.eval()
    still = model(*given).logits()
    assert torch.equal(still, model(*given).logits())
    plain = MODELS[name]()
    plain.load_state_dict(model.state_dict())
    assert torch.equal(still, plain(*given).logits())


def away_from_float64(name: str, autocast: bool) -> float:
    """The largest relative error with respect to float64: logits, loss, and half of that of the gradients."""
    model, batch = MODELS[name](), make_batch()
    given = batch.source, batch.source_mask, batch.target_inputs

    def found() -> list[Tensor]:
        projection = model(*given)
        loss = projection.cross_entropy(batch.targets, PAD)
        slopes = torch.autograd.grad(loss, list(model.parameters()))
        return [projection.logits().detach(), loss.detach(), torch.cat([slope.flatten() for slope in slopes])]

    exact = found()
    assert exact[0].dtype == exact[1].dtype == torch.float64
    model.float()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        near = found()
    assert near[1].dtype == torch.float32
    logits, loss, slopes = (
        float((ours - theirs).norm() / theirs.norm()) for ours, theirs in zip(near, exact, strict=True)
    )
    return max(logits, loss, slopes / 2)


@every_model
def test_float32_and_bfloat16_autocast_stay_near_float64(name: str) -> None:
    # the median of five, since rounding may flip a maxout of nearly equal values
    for autocast, tolerance in [(False, 1e-5), (True, 3e-2)]:
        assert sorted(away_from_float64(name, autocast) for _ in range(5))[2] < tolerance


@every_model
def test_float64_is_kept_to_the_end_of_a_search(name: str) -> None:
    model, batch = MODELS[name](), make_batch()
    log_probs, _ = model.step(batch.target_inputs[:, 0], model.start(model.encode(batch.source, batch.source_mask)))
    assert log_probs.dtype == torch.float64
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(3, dtype=torch.float64), rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    "recipe",
    [rnnsearch_recipe, rnnencdec_recipe, transformer_recipe],
    ids=["rnnsearch", "rnnencdec", "transformer"],
)
def test_predictions_are_one_answer_per_sentence_within_its_limit(recipe: Any) -> None:
    task = SimpleNamespace(source=range(SOURCE_SYMBOLS), target=range(TARGET_SYMBOLS))
    config, batch = recipe.RECIPE.variants["tiny"], make_batch()
    predictions = recipe.predict(recipe.build(config, task).eval(), batch, config)
    assert len(predictions) == len(SOURCE_LENGTHS)
    for tokens, length in zip(predictions, SOURCE_LENGTHS, strict=True):
        assert len(tokens) <= 2 * length + 10
        assert all(0 <= token < TARGET_SYMBOLS for token in tokens)


def gru_parameters(inputs: int, units: int) -> int:
    """W, U and b of the reset gate, the update gate and the candidate."""
    return 3 * (units * inputs + units * units + units)


def paper_model(recipe: Any) -> tuple[nn.Module, int]:
    config = recipe.RECIPE.variants["paper"]
    symbols = config.task.vocabulary_size
    with torch.device("meta"):
        model = recipe.build(config, SimpleNamespace(source=range(symbols), target=range(symbols)))
    assert all(parameter.is_meta for parameter in model.parameters())
    return model, sum(parameter.numel() for parameter in model.parameters())


# both papers: m = 620 features of a symbol, n = 1000 units, l = 500 maxout units, 30,000 symbols per language
M, N, L, K = 620, 1000, 500, 30_000


def test_the_papers_rnnsearch_has_the_papers_sizes() -> None:
    attention_size = 1000
    expected = (
        2 * K * M  # embeddings
        + 2 * gru_parameters(M, N)  # encoder
        + (N * N + N)  # s_0
        + (attention_size * N + attention_size * 2 * N + attention_size + attention_size)  # W, U, its bias, v
        + gru_parameters(M + 2 * N, N)  # decoder
        + (2 * L * (N + M + 2 * N) + 2 * L)  # maxout
        + (K * L + K)  # logits
    )
    model, found = paper_model(rnnsearch_recipe)
    assert isinstance(model, RNNsearch)
    assert found == expected == 80_443_000


def test_the_papers_rnnencdec_has_the_papers_sizes() -> None:
    expected = (
        2 * K * M  # embeddings
        + gru_parameters(M, N)  # encoder
        + 2 * (N * N + N)  # c and s_0
        + gru_parameters(M + N, N)  # decoder
        + (2 * L * (N + M + N) + 2 * L)  # maxout
        + (K * L + K)  # logits
    )
    model, found = paper_model(rnnencdec_recipe)
    assert isinstance(model, RNNEncDec)
    assert found == expected == 69_579_000


@pytest.mark.parametrize("recipe", [rnnsearch_recipe, rnnencdec_recipe], ids=["rnnsearch", "rnnencdec"])
def test_all_weights_of_a_new_model_are_initialised(recipe: Any) -> None:
    task = SimpleNamespace(source=range(SOURCE_SYMBOLS), target=range(TARGET_SYMBOLS))
    model = recipe.build(recipe.RECIPE.variants["tiny"], task)
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    ("baseline", "order"),
    [("none", "look-first"), ("moving", "look-first"), ("learned", "look-first"), ("learned", "step-first")],
)
def test_hard_attention_learns_by_the_exact_gradient_of_its_bound(baseline: Any, order: Any, smoothing: float) -> None:
    """All choices of two reads over three words, weighted by their probabilities: the mean over samples."""
    options = ScoreFunctionGradient(baseline=baseline, reward_weight=1.0, entropy_weight=0.0)
    model = make_rnnsearch(attention=Hard(attention_size=7, estimator=options), order=order)
    words, target = 3, torch.tensor([[4, 9]])
    every = torch.cartesian_prod(*[torch.arange(words)] * 2)
    source, inputs = torch.tensor([[5, 3, 8]]).expand(len(every), -1), torch.tensor([[1, 4]]).expand(len(every), -1)
    forced, given = model.decoder.recurrent.attention, iter([])
    read = forced.read

    def choose(*arguments: Any) -> Any:
        return read(*arguments, choice=next(given))

    forced.read = choose  # type: ignore[method-assign, assignment]
    weights = [p for n, p in model.named_parameters() if not n.startswith("decoder.score_function")]

    def chosen() -> Any:
        nonlocal given
        given = iter(every.unbind(1))
        return model(source, torch.ones_like(source, dtype=torch.bool), inputs)

    found = chosen()
    log_probs = found.log_probs()
    log_prob = log_probs.gather(2, target.expand(len(every), -1)[..., None])[..., 0].sum(1)
    log_prob = (1 - smoothing) * log_prob + smoothing * log_probs[..., 1:].mean(2).sum(1)  # without padding, 0
    probability = found.choices.log_prob.sum(1).exp()
    assert probability.sum().item() == pytest.approx(1)
    exact = torch.autograd.grad(-(probability * log_prob).sum() / 2, weights)
    mean = [torch.zeros_like(weight) for weight in weights]
    for row, share in enumerate(probability.detach()):
        found = chosen()
        if model.decoder.score_function is not None and baseline != "none":  # as if all samples had the same past
            model.decoder.score_function.mean.fill_(-2.5)
            model.decoder.score_function.variance.fill_(1.75)
            model.decoder.score_function.seen.fill_(True)
        one = ChosenProjection(
            Projection(found.projection.features[row : row + 1], *found.projection[1:]),
            Choices(*(part[row : row + 1] for part in found.choices)),
            found.known[row : row + 1],
            found.score_function,
        )
        loss = one.cross_entropy(target, PAD, smoothing)
        assert loss.item() == pytest.approx(-log_prob[row].item() / 2)
        for total, slope in zip(mean, torch.autograd.grad(loss, weights), strict=True):
            total += share * slope
    for ours, theirs in zip(mean, exact, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)
