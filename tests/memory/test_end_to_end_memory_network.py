import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from saccade.attention import DotAttention
from saccade.core.errors import InvalidInput
from saccade.explain import capture
from saccade.memory.end_to_end_memory_network import EndToEndMemoryNetwork, hop
from tests.checks import assert_twins, randomised
from tests.memory.test_sentences import slow as slow_vectors

STORIES = torch.tensor([
    [[3, 1, 4], [1, 5, 0], [0, 0, 0], [2, 6, 5], [3, 5, 1]],
    [[2, 6, 0], [5, 3, 4], [6, 0, 0], [0, 0, 0], [0, 0, 0]],
])  # fmt: skip
MASK = torch.tensor([[True, True, True, True, True], [True, True, True, False, False]])
QUESTIONS = torch.tensor([[4, 2], [6, 0]])


def slow(model: EndToEndMemoryNetwork, linear: bool = False) -> Tensor:
    """The equations, sentence by sentence."""
    E, T, found = model.embedding, model.times, []
    for story, kept, question in zip(STORIES, MASK.tolist(), QUESTIONS, strict=True):
        rows = [row for row, keep in zip(story, kept, strict=True) if keep]

        def memory(table: int, place: int, rows: list[Tensor] = rows) -> Tensor:
            vector = slow_vectors(rows[place][None], E[table][:, None], model.encoding)[0, 0]
            return vector + T[table, len(rows) - 1 - place]

        asked = E[2] if model.tying == "layer-wise" else E[0]
        u = slow_vectors(question[None], asked[:, None], model.encoding)[0, 0]
        for k in range(model.hops):
            a, c = (0, 1) if model.tying == "layer-wise" else (k, k + 1)
            scores = [(u * memory(a, i)).sum() for i in range(len(rows))]
            total = torch.stack(scores).exp().sum() + (model.memories - len(rows) if model.filled else 0)
            p = scores if linear else [score.exp() / total for score in scores]
            o = torch.stack([p[i] * memory(c, i) for i in range(len(rows))]).sum(0)
            u = o + (u if model.between is None else model.between.weight @ u)
        W = E[-1] if model.answer is None else model.answer.weight
        found.append(torch.stack([(W[v] * u).sum() for v in range(1, len(W))]))
    return torch.stack(found)


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("encoding", ["position", "bag"])
@pytest.mark.parametrize("tying", ["adjacent", "layer-wise"])
@pytest.mark.parametrize(("memories", "filled"), [(5, False), (5, True), (9, True)])
def test_it_is_the_equations(tying: str, encoding: str, linear: bool, memories: int, filled: bool) -> None:
    model = EndToEndMemoryNetwork(7, 11, hops=3, memories=memories, encoding=encoding, tying=tying, filled=filled)
    model = randomised(model, 0.3)
    weights = list(model.parameters())
    assert_twins(
        lambda: model(STORIES, QUESTIONS, MASK, linear=linear)[:, 1:], lambda: slow(model, linear), weights, 1e-11
    )


def test_one_hop_is_dot_product_attention() -> None:
    """With one table for keys, values and questions, and no times."""
    model = randomised(EndToEndMemoryNetwork(7, 11, hops=1, memories=5))
    with torch.no_grad():
        model.embedding[1] = model.embedding[0]
        model.times.zero_()
    attention = DotAttention(11).double()
    memories = model.remember(STORIES, MASK)[0]
    query = slow_vectors(QUESTIONS, model.embedding[0][:, None], "position")[:, 0]
    prepared = attention.prepare(memories, MASK)
    reading = attention.read(query, prepared, attention.initial_state(prepared))
    with capture(model) as seen:
        logits = model(STORIES, QUESTIONS, MASK)
    torch.testing.assert_close(seen["weights.0"][0], reading.weights)
    torch.testing.assert_close(logits[:, 1:], ((query + reading.context) @ model.embedding[1].mT)[:, 1:])


def test_without_the_softmax_a_hop_is_linear_in_the_question() -> None:
    memories, one, other = torch.randn(2, 5, 11).double(), *torch.randn(2, 2, 11).double()
    both = hop(2 * one - 3 * other, memories, MASK, linear=True)
    assert not both[~MASK].any()
    torch.testing.assert_close(both, 2 * hop(one, memories, MASK, True) - 3 * hop(other, memories, MASK, True))


def test_a_question_of_large_scale_is_a_hard_look_up() -> None:
    memories, query = torch.randn(2, 5, 11).double(), torch.randn(2, 11).double()
    best = torch.einsum("bd,bnd->bn", query, memories).masked_fill(~MASK, -torch.inf).argmax(1)
    torch.testing.assert_close(hop(1e4 * query, memories, MASK), torch.nn.functional.one_hot(best, 5).double())


@pytest.mark.parametrize("tying", ["adjacent", "layer-wise"])
def test_padding_is_as_if_cut_off_and_an_empty_memory_is_no_padding(tying: str) -> None:
    model = randomised(EndToEndMemoryNetwork(7, 11, memories=5, tying=tying))
    padded, cut = model(STORIES, QUESTIONS, MASK)[1:], model(STORIES[1:, :3], QUESTIONS[1:, :1])
    torch.testing.assert_close(padded, cut, rtol=0, atol=1e-14)
    holes = torch.tensor([[False, True, False, True, True]])  # wherever the mask is False
    torch.testing.assert_close(
        model(STORIES[:1], QUESTIONS[:1], holes), model(STORIES[:1, [1, 3, 4]], QUESTIONS[:1]), rtol=0, atol=1e-14
    )
    # its words are gone, but it has a time, and takes weight
    assert not torch.allclose(model(STORIES[:1], QUESTIONS[:1]), model(STORIES[:1, [0, 1, 3, 4]], QUESTIONS[:1]))


def test_an_empty_story_gives_the_question_alone_and_no_nan() -> None:
    model = randomised(EndToEndMemoryNetwork(7, 11, memories=5))
    nothing = model(STORIES, QUESTIONS, torch.zeros(2, 5, dtype=torch.bool))
    query = slow_vectors(QUESTIONS, model.embedding[0][:, None], "position")[:, 0]
    torch.testing.assert_close(nothing[:, 1:], (query @ model.embedding[-1].mT)[:, 1:])
    torch.testing.assert_close(nothing, model(STORIES[:, :0], QUESTIONS))
    gradients = torch.autograd.grad(nothing[:, 1:].square().sum(), [model.embedding, model.times], allow_unused=True)
    assert all(gradient is None or gradient.isfinite().all() for gradient in gradients)


@hypothesis.given(scale=st.sampled_from([0.0, 1.0, 1e4]), hops=st.integers(1, 4), sentences=st.integers(0, 5))
def test_finite_whatever_comes(scale: float, hops: int, sentences: int) -> None:
    model = randomised(EndToEndMemoryNetwork(7, 3, hops=hops, memories=5), scale).float()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(STORIES[:, :sentences], QUESTIONS)[:, 1:]
    assert logits.isfinite().all()
    logits.float().logsumexp(1).sum().backward()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in model.parameters())


@pytest.mark.parametrize("tying", ["adjacent", "layer-wise"])
def test_in_bfloat16_it_is_near(tying: str) -> None:
    model = EndToEndMemoryNetwork(7, 11, memories=5, tying=tying)  # type: ignore[arg-type]
    expected = model(STORIES, QUESTIONS, MASK)[:, 1:]
    with torch.autocast("cpu", torch.bfloat16):
        found = model(STORIES, QUESTIONS, MASK)[:, 1:]
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.05)


@pytest.mark.unhooked
def test_compiled_it_gives_the_same() -> None:
    model = randomised(EndToEndMemoryNetwork(7, 11, memories=5))
    torch.compiler.reset()
    compiled = torch.compile(model, backend="aot_eager")
    weights = list(model.parameters())
    assert_twins(
        lambda: compiled(STORIES, QUESTIONS, MASK)[:, 1:], lambda: model(STORIES, QUESTIONS, MASK)[:, 1:], weights
    )


@pytest.mark.unhooked
def test_errors() -> None:
    with pytest.raises(InvalidInput, match="a story has 5 sentences, but the memory holds 3"):
        EndToEndMemoryNetwork(7, 11, memories=3)(STORIES, QUESTIONS, MASK)
    with pytest.raises(InvalidInput, match="hops must be at least 1, not 0"):
        EndToEndMemoryNetwork(7, 11, hops=0)
    with pytest.raises(InvalidInput, match='tying must be "adjacent" or "layer-wise"'):
        EndToEndMemoryNetwork(7, 11, tying="none")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="the mask of stories must have shape"):
        EndToEndMemoryNetwork(7, 11)(STORIES, QUESTIONS, MASK[:, :3])
