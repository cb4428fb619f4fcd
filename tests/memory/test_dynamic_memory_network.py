import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.explain import capture
from saccade.memory import GRU
from saccade.memory.dynamic_memory_network import AttentionGRU, DynamicMemoryNetwork, gated, states
from tests.checks import assert_twins, leaf, randomised
from tests.memory.test_sentences import slow as slow_vectors

STORIES = torch.tensor([
    [[3, 1, 4], [1, 5, 0], [0, 0, 0], [2, 6, 5], [3, 5, 1]],
    [[2, 6, 0], [5, 3, 4], [6, 0, 0], [0, 0, 0], [0, 0, 0]],
])  # fmt: skip
MASK = torch.tensor([[True, True, True, True, True], [True, True, True, False, False]])
QUESTIONS = torch.tensor([[4, 2], [6, 0]])


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + (-x).exp())


def unit(net: GRU, x: Tensor, h: Tensor) -> Tensor:
    """One step of torch.nn.GRU."""
    d = net.hidden_size
    W, U, b = net.weight_input, net.weight_hidden, net.bias
    r = sigmoid(W[:d] @ x + U[:d] @ h + b[:d])
    z = sigmoid(W[d : 2 * d] @ x + U[d : 2 * d] @ h + b[d : 2 * d])
    new = torch.tanh(W[2 * d :] @ x + r * (U[2 * d :] @ h + net.bias_hidden) + b[2 * d :])
    return z * h + (1 - z) * new


def run(net: GRU, inputs: list[Tensor]) -> list[Tensor]:
    h, found = net.bias.new_zeros(net.hidden_size), []
    for x in inputs:
        h = unit(net, x, h)
        found.append(h)
    return found


def slow(model: DynamicMemoryNetwork) -> Tensor:
    """The equations, sentence by sentence and word by word."""
    E, found = model.embedding, []
    for story, kept, question in zip(STORIES, MASK.tolist(), QUESTIONS, strict=True):
        rows = [row for row, keep in zip(story, kept, strict=True) if keep]
        q = run(model.question, [E[word] for word in question.tolist() if word])[-1]
        nets: list[GRU] = list(model.readers)  # type: ignore[arg-type]
        if model.kind == "dmn+":
            f = [slow_vectors(row[None], E[:, None], "position")[0, 0] for row in rows]
            c = [a + b for a, b in zip(run(nets[0], f), run(nets[1], f[::-1])[::-1], strict=True)]
        else:
            words = [[E[word] for word in row.tolist() if word] for row in rows]
            after = run(nets[0], [vector for row in words for vector in row])
            ends = [sum(map(len, words[: i + 1])) for i in range(len(rows))]
            c = [after[end - 1] for end in ends]
        m = q
        for t in range(len(model.attention)):
            scores = []
            for one in c:
                gates = model.gates
                asked, remembered = [one * q, (one - q).abs()], [one * m, (one - m).abs()]
                if gates.between is not None:
                    W = gates.between.weight
                    asked, remembered = [one, q, *asked, (one @ W @ q)[None]], [m, *remembered, (one @ W @ m)[None]]
                # z in another order, with the columns of W1 in that order
                hidden = torch.cat([gates.asked.weight, gates.remembered.weight], 1) @ torch.cat([*asked, *remembered])
                scores.append((gates.second.weight @ torch.tanh(hidden + gates.asked.bias) + gates.second.bias)[0])
            h, d = torch.zeros_like(q), len(q)
            if model.kind == "dmn+":
                total = torch.stack(scores).exp().sum()
                W, b, U = model.episode.input.weight, model.episode.input.bias, model.episode.recurrent.weight
                for one, score in zip(c, scores, strict=True):
                    r = sigmoid(W[:d] @ one + U[:d] @ h + b[:d])
                    new = torch.tanh(W[d:] @ one + r * (U[d:] @ h) + b[d:])
                    g = score.exp() / total
                    h = g * new + (1 - g) * h
                layer = model.update[t]
                m = (layer.weight @ torch.cat([m, h, q]) + layer.bias).relu()
            else:
                for one, score in zip(c, scores, strict=True):
                    g = sigmoid(score)
                    h = g * unit(model.episode, one, h) + (1 - g) * h
                m = unit(model.update[0], h, m)
        if model.decoder is None:
            final = torch.cat([q, m])
        else:
            final = unit(model.decoder, torch.cat([q.new_zeros(len(E)), q]), m)
        found.append((model.answer.weight @ final + model.answer.bias)[1:])
    return torch.stack(found)


@pytest.mark.parametrize("kind", ["dmn+", "dmn"])
def test_it_is_the_equations(kind: str) -> None:
    model = randomised(DynamicMemoryNetwork(7, 5, passes=3, kind=kind))  # type: ignore[arg-type]
    weights = list(model.parameters())
    assert_twins(lambda: model(STORIES, QUESTIONS, MASK)[:, 1:], lambda: slow(model), weights, 1e-11)


def test_attention_gru_with_gates_of_zero_and_one() -> None:
    """0 keeps the state, 1 at one sentence reads it alone, 1 everywhere is a unit whose update gate keeps nothing."""
    net, facts = randomised(AttentionGRU(5)), leaf(2, 7, 5)
    projected = net.project(facts)
    assert not net(projected, torch.zeros(2, 7).double()).any()
    one = torch.zeros(2, 7).double()
    one[:, 3] = 1
    alone = torch.tanh(projected[:, 3, 5:])  # from a state of zero the reset has nothing to reset
    torch.testing.assert_close(net(projected, one), alone)
    (gradient,) = torch.autograd.grad(net(projected, one).sum(), facts, retain_graph=True)
    assert not gradient[:, [0, 1, 2, 4, 5, 6]].any()
    twin = randomised(GRU(5, 5, reset="after"))
    with torch.no_grad():
        twin.weight_input.zero_()
        twin.weight_hidden.zero_()
        twin.bias_hidden.zero_()
        twin.bias.fill_(-1e3)  # an update gate that never keeps the past
        for ours, theirs in ((slice(0, 5), slice(0, 5)), (slice(5, 10), slice(10, 15))):
            twin.weight_input[theirs], twin.bias[theirs] = net.input.weight[ours], net.input.bias[ours]
            twin.weight_hidden[theirs] = net.recurrent.weight[ours]
    torch.testing.assert_close(net(projected, torch.ones(2, 7).double()), twin(facts)[1].hidden)


def test_gated_unit_with_gates_of_zero_and_one() -> None:
    """1 everywhere is the unit itself, as torch.nn.GRU has it; 0 is no sentence at all."""
    net, peer = randomised(GRU(5, 5, reset="after")), nn.GRU(5, 5, batch_first=True).double()
    facts = torch.randn(2, 7, 5).double()
    with torch.no_grad():
        # torch's z keeps the past as ours does, in the same order r, z, n
        peer.weight_ih_l0.copy_(net.weight_input)
        peer.weight_hh_l0.copy_(net.weight_hidden)
        peer.bias_ih_l0.copy_(net.bias)
        peer.bias_hh_l0.copy_(torch.cat([torch.zeros(10).double(), net.bias_hidden]))
    ones = torch.ones(2, 7).double()
    torch.testing.assert_close(gated(net.project(facts), ones, net.recurrent()), peer(facts)[1][0])
    some = torch.tensor([[1.0, 0, 1, 1, 0, 0, 1]]).double().expand(2, 7)
    kept = facts[:, some[0] > 0]
    torch.testing.assert_close(gated(net.project(facts), some, net.recurrent()), peer(kept)[1][0])
    assert not gated(net.project(facts), 0 * ones, net.recurrent()).any()


def test_input_fusion_without_a_neighbour_is_two_units_of_one_step() -> None:
    model = randomised(DynamicMemoryNetwork(7, 5))
    facts = model.facts(STORIES[:, :1], MASK[:, :1])[:, 0]
    vectors = slow_vectors(STORIES[:, 0], model.embedding[:, None], "position")[:, 0]
    single = [states([net], [vectors[:, None]], [MASK[:, :1]])[0][:, 0] for net in model.readers]  # type: ignore[list-item]
    torch.testing.assert_close(facts, single[0] + single[1])


@pytest.mark.parametrize("kind", ["dmn+", "dmn"])
def test_padding_is_as_if_cut_off(kind: str) -> None:
    model = randomised(DynamicMemoryNetwork(7, 5, kind=kind))  # type: ignore[arg-type]
    padded, cut = model(STORIES, QUESTIONS, MASK)[1:], model(STORIES[1:, :3], QUESTIONS[1:, :1])
    torch.testing.assert_close(padded, cut, rtol=0, atol=1e-13)
    holes = torch.tensor([[False, True, False, True, True]])
    torch.testing.assert_close(
        model(STORIES[:1], QUESTIONS[:1], holes), model(STORIES[:1, [1, 3, 4]], QUESTIONS[:1]), rtol=0, atol=1e-13
    )


@pytest.mark.parametrize("kind", ["dmn+", "dmn"])
def test_an_empty_story_has_an_answer_and_gates_without_weight(kind: str) -> None:
    model = randomised(DynamicMemoryNetwork(7, 5, kind=kind))  # type: ignore[arg-type]
    with capture(model) as seen:
        nothing = model(STORIES, QUESTIONS, torch.zeros_like(MASK))
    assert not any(gates.any() for name in seen for gates in seen[name])
    torch.testing.assert_close(nothing, model(STORIES[:, :0], QUESTIONS))
    assert nothing[:, 1:].isfinite().all()
    nothing[:, 1:].sum().backward()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in model.parameters())


def test_where_a_sentence_is_the_question_there_is_no_nan() -> None:
    """The slope of |c - q| at 0: other implementations gave NaN there."""
    model = randomised(DynamicMemoryNetwork(7, 5))
    facts = leaf(2, 3, 5)
    scores = model.gates(model.gates.prepare(facts, facts[:, 0]), facts, facts[:, 0])
    (gradient,) = torch.autograd.grad(scores.sum(), facts)
    assert gradient.isfinite().all()


@hypothesis.given(scale=st.sampled_from([0.0, 1.0, 1e4]), kind=st.sampled_from(["dmn+", "dmn"]), size=st.integers(0, 5))
def test_finite_whatever_comes(scale: float, kind: str, size: int) -> None:
    model = randomised(DynamicMemoryNetwork(7, 3, kind=kind), scale).float()  # type: ignore[arg-type]
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(STORIES[:, :size], QUESTIONS)[:, 1:]
    assert logits.isfinite().all()
    logits.float().logsumexp(1).sum().backward()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in model.parameters())


@pytest.mark.parametrize("kind", ["dmn+", "dmn"])
def test_in_bfloat16_it_is_near(kind: str) -> None:
    model = DynamicMemoryNetwork(7, 5, kind=kind)  # type: ignore[arg-type]
    expected = model(STORIES, QUESTIONS, MASK)[:, 1:]
    with torch.autocast("cpu", torch.bfloat16):
        found = model(STORIES, QUESTIONS, MASK)[:, 1:]
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.05)


@pytest.mark.unhooked
def test_compiled_it_gives_the_same() -> None:
    model = randomised(DynamicMemoryNetwork(7, 5, passes=1))
    torch.compiler.reset()
    compiled = torch.compile(model, backend="aot_eager")
    weights = list(model.parameters())
    assert_twins(
        lambda: compiled(STORIES, QUESTIONS, MASK)[:, 1:], lambda: model(STORIES, QUESTIONS, MASK)[:, 1:], weights
    )


@pytest.mark.unhooked
def test_errors() -> None:
    with pytest.raises(InvalidInput, match='kind must be "dmn\\+" or "dmn", not \'dnm\''):
        DynamicMemoryNetwork(7, 5, kind="dnm")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="passes must be at least 1, not 0"):
        DynamicMemoryNetwork(7, 5, passes=0)
    with pytest.raises(InvalidInput, match="the mask of stories must have shape"):
        DynamicMemoryNetwork(7, 5)(STORIES, QUESTIONS, MASK[:, :3])
