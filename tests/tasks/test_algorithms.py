"""Algorithms to learn: every generator against slow loops, seeds, the text forms, and the metric."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from saccade.core.config import from_plain, to_plain
from saccade.core.errors import InvalidInput
from saccade.tasks.algorithms import (
    Algorithm,
    AlgorithmsConfig,
    AlgorithmsTask,
    AssociativeRecall,
    Batch,
    Copy,
    Graph,
    NGrams,
    Prediction,
    PrioritySort,
    RepeatCopy,
)
from saccade.tasks.algorithms.objective import costs, loss, predictions
from saccade.tasks.algorithms.task import AlgorithmStream, Example

ALGORITHMS: list[Any] = [
    Copy(bits=5, longest=7, farthest=11),
    RepeatCopy(bits=3, longest=5, repeats=4, farthest=7),
    AssociativeRecall(bits=5, rows=2, most=4, farthest=7),
    NGrams(order=3, length=17),
    PrioritySort(bits=3, rows=7, sorted=5),
    Graph(nodes=5, labels=2, longest=3),
]
each = pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda algorithm: algorithm.name)


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(algorithm: Algorithm, count: int = 7, seed: int = 1) -> Batch:
    draw = generator(seed)
    return algorithm.draw(algorithm.shape(draw), count, draw)


def due(batch: Batch, row: int) -> list[list[int]]:
    return [[int(bit) for bit in bits] for bits in batch.targets[row][batch.counted[row]].tolist()]


def said(inputs: Tensor, width: int) -> list[list[int]]:
    return [[int(bit) for bit in row] for row in inputs[:, :width].tolist()]


def due_by_loops(algorithm: Any, inputs: Tensor) -> list[list[int]]:
    """The answer, worked out from the inputs alone, one row after the other."""
    width = getattr(algorithm, "bits", 0)
    match algorithm:
        case Copy():
            end = next(t for t, row in enumerate(inputs.tolist()) if row[width] == 1)
            return said(inputs[:end], width)
        case RepeatCopy():
            end = next(t for t, row in enumerate(inputs.tolist()) if row[width] == 1)
            numbers = list(range(1, algorithm.repeats + 1))
            mean = sum(numbers) / len(numbers)
            deviation = math.sqrt(sum((number - mean) ** 2 for number in numbers) / len(numbers))
            repeats = round(float(inputs[end, width + 1]) * deviation + mean)
            rows = [[*row, 0] for _ in range(repeats) for row in said(inputs[:end], width)]
            return [*rows, [0] * width + [1]]
        case AssociativeRecall():
            starts = [t for t, row in enumerate(inputs.tolist()) if row[width] == 1]
            asked, closed = (t for t, row in enumerate(inputs.tolist()) if row[width + 1] == 1)
            items = [said(inputs[t + 1 : t + 1 + algorithm.rows], width) for t in starts]
            question = said(inputs[asked + 1 : closed], width)
            return items[items.index(question) + 1]
        case PrioritySort():
            ordered = sorted(inputs.tolist()[: algorithm.rows], key=lambda row: -row[width])[: algorithm.sorted]
            return [[int(bit) for bit in row[:width]] for row in ordered]
        case Graph():
            n, labels, answer = algorithm.nodes, algorithm.labels, []
            edges: dict[tuple[int, int], int] = {}
            at = None
            for row in inputs.tolist():
                node, label, end = row[:n], row[n : n + labels], row[n + labels : -2]
                if row[-2] == 1:
                    at = node.index(1) if at is None else at
                    at = edges[at, label.index(1)]
                    answer.append([int(other == at) for other in range(n)])
                elif sum(node):
                    edges[node.index(1), label.index(1)] = end.index(1)
            return answer
    raise AssertionError(algorithm)


@pytest.mark.parametrize("seed", range(4))
@each
def test_targets_are_those_of_slow_loops(algorithm: Any, seed: int) -> None:
    batch = drawn(algorithm, 23 if isinstance(algorithm, Graph) else 7, seed)
    assert batch.inputs.shape[2] == algorithm.input_size
    assert batch.targets.shape[2] == algorithm.output_size
    assert not batch.targets[~batch.counted].any()
    for row in range(len(batch.inputs)):
        if isinstance(algorithm, NGrams):
            bits = [int(bit) for bit in batch.inputs[row, :, 0].tolist()]
            after = due(batch, row)
            assert [bit for [bit] in after[:-1]] == bits[algorithm.order - 1 :]
            assert len(after) == algorithm.length - (algorithm.order - 1)
        else:
            first = due_by_loops(algorithm, batch.inputs[row])
            assert due(batch, row) == first
            assert not batch.inputs[row][batch.counted[row]].any()  # nothing is given away while an answer is due


@each
def test_what_is_shown_can_be_typed(algorithm: Any) -> None:
    batch = drawn(algorithm, 1, seed=2)
    size, again = algorithm.read(algorithm.show(batch.inputs[0]))
    if isinstance(algorithm, NGrams):  # the last bit is no input
        assert size == algorithm.length - 1
        assert torch.equal(again.inputs[0], batch.inputs[0, :-1])
        return
    for part, twin in zip(batch, again, strict=True):
        assert torch.allclose(part.float(), twin.float(), rtol=0, atol=1e-6)
    assert size == algorithm.shape(generator(2))[0]


@each
def test_a_batch_has_one_shape_and_depends_on_seed_and_number_only(algorithm: Any) -> None:
    one, other = (AlgorithmStream(algorithm, 6, seed=3) for _ in range(2))
    seen = []
    for number in (4, 0, 1, 4):
        batch = one.share(number).batch
        assert all(torch.equal(part, twin) for part, twin in zip(batch, other.share(number).batch, strict=True))
        assert batch.counted.any(1).all()
        assert (batch.counted == batch.counted[0]).all()  # no padding
        seen.append(batch.inputs)
    assert torch.equal(seen[0], seen[3])
    assert seen[1].shape != seen[2].shape or not torch.equal(seen[1], seen[2])
    differently = AlgorithmStream(algorithm, 6, seed=4).share(4).batch.inputs
    assert differently.shape != seen[0].shape or not torch.equal(differently, seen[0])


def test_processes_share_a_batch_and_an_idle_one_counts_nothing() -> None:
    stream = AlgorithmStream(ALGORITHMS[0], 5, seed=1)
    whole = stream.share(2).batch.inputs
    shares = [stream.share(2, rank, 3) for rank in range(3)]
    together = torch.cat([share.batch.inputs for share in shares])
    assert torch.equal(together, whole[[0, 3, 1, 4, 2]])
    assert [stream.share(2, rank, 7).counted for rank in (4, 5)] == [True, False]


def test_lengths_are_uniform() -> None:
    algorithm, draw = Copy(longest=4), generator()
    counts = [0] * 5
    for _ in range(4000):
        counts[algorithm.shape(draw)[0]] += 1
    assert counts[0] == 0
    assert all(abs(count - 1000) < 5 * math.sqrt(750) for count in counts[1:])


def test_test_sequences_come_first_in_training_sizes_and_then_beyond() -> None:
    config = AlgorithmsConfig(algorithm=Copy(bits=3, longest=7, farthest=31), validation=5, test=40, beyond=2)
    task = AlgorithmsTask(config)
    examples = task.examples("test")
    assert [example.beyond for example in examples] == [False] * 40 + [True] * 20
    assert {example.size for example in examples[:40]} <= set(range(1, 8))
    assert sorted({example.size for example in examples[40:]})[-1] == 31
    assert min(example.size for example in examples[40:]) > 7
    assert len(task.examples("validation")) == 5
    assert not task.examples("train")
    again = AlgorithmsTask(config)
    assert task.describe() == again.describe()
    assert task.describe() != AlgorithmsTask(AlgorithmsConfig(algorithm=config.algorithm, draw=2)).describe()
    for example in examples:
        assert len(example.inputs) == 2 * example.size + 1


def test_bits_of_a_sequence_are_the_explicit_sum() -> None:
    draw = generator()
    logits = torch.randn(3, 7, 5, generator=draw, dtype=torch.float64) * 3
    targets = torch.randint(2, (3, 7, 5), generator=draw).float()
    counted = torch.rand(3, 7, generator=draw) < 0.6
    batch = Batch(torch.zeros(3, 7, 2), targets, counted)
    found = predictions(logits, batch)
    for row in range(3):
        expected, wrong = 0.0, []
        for t, bit in itertools.product(range(7), range(5)):
            if counted[row, t]:
                p = 1 / (1 + math.exp(-float(logits[row, t, bit])))
                expected -= math.log2(p if targets[row, t, bit] else 1 - p)
                wrong.append((p > 0.5) != bool(targets[row, t, bit]))
        assert found[row].cost == pytest.approx(expected, abs=1e-8)
        example = Example(1, batch.inputs[row], targets[row], counted[row])
        score = AlgorithmsTask(AlgorithmsConfig()).score([found[row]], [example])
        assert score.figures["bits"].value == found[row].cost
        assert score.figures["wrong"].value == sum(wrong)
        assert score.figures["right"].value == 100 * (sum(wrong) == 0)
    nats = loss(logits, batch)
    assert float(nats.value) == pytest.approx(math.log(2) * sum(one.cost for one in found) / 3)
    assert float(nats.logs["bits_per_sequence"]) == pytest.approx(sum(one.cost for one in found) / 3)


def test_huge_logits_cost_no_more_than_they_must() -> None:
    logits = torch.tensor([[[1e4, -1e4]]])
    counted = torch.tensor([[True]])
    assert costs(logits, torch.tensor([[[1.0, 0.0]]]), counted).tolist() == [0.0]
    assert costs(logits, torch.tensor([[[0.0, 0.0]]]), counted).tolist() == [1e4]


def test_the_curve_has_every_size_and_the_metric_only_those_of_the_training() -> None:
    task = AlgorithmsTask(AlgorithmsConfig(algorithm=Copy(bits=2, longest=2, farthest=4), test=9, beyond=1))
    examples = task.examples("test")
    answers = [Prediction(float(example.size), task.answer(example).rows) for example in examples]
    score = task.score(answers, examples)
    mean = sum(example.size for example in examples[:9]) / 9
    assert score.figures["bits"].value == pytest.approx(mean)
    assert score.figures["right"].value == 100
    curve = score.series["by_length"]
    assert list(curve.x) == list(curve.y) == [1, 2, 3, 4]
    assert sum(curve.counts) == 11


def test_the_best_predictor_of_n_grams_counts_what_followed_each_context() -> None:
    algorithm, text = NGrams(order=3, length=13), "0110100110010"
    expected = 0.0
    for t in range(2, len(text)):
        ones = sum(text[s - 2 : s] == text[t - 2 : t] and text[s] == "1" for s in range(2, t))
        zeros = sum(text[s - 2 : s] == text[t - 2 : t] and text[s] == "0" for s in range(2, t))
        p = (ones + 0.5) / (ones + zeros + 1)
        expected -= math.log2(p if text[t] == "1" else 1 - p)
    assert algorithm.optimum(text) == pytest.approx(expected, abs=1e-12)
    task = AlgorithmsTask(AlgorithmsConfig(algorithm=algorithm, test=5))
    example = task.read(text)
    figures = task.score([Prediction(20.0, task.answer(example).rows)], [example]).figures
    assert figures["optimum"].value == pytest.approx(expected)


def test_n_grams_follow_their_table() -> None:
    """A table of Beta(1/2, 1/2): the best predictor pays less than a bit each, and a fair coin does not."""
    algorithm = NGrams(order=2, length=400)
    batch = algorithm.draw((400,), 100, generator())
    texts = ["".join(str(int(bit)) for bit in [*row[:, 0], last]) for row, last in
             zip(batch.inputs, batch.targets[:, -1, 0], strict=True)]  # fmt: skip
    shares = []
    for text in texts:
        after = [text[t] for t in range(1, 400) if text[t - 1] == "0"]
        shares += [after.count("1") / len(after)] if len(after) > 50 else []
    # the variance of Beta(1/2, 1/2) is 1/8
    assert sum((share - 0.5) ** 2 for share in shares) / len(shares) == pytest.approx(1 / 8, abs=0.05)
    assert sum(algorithm.optimum(text) for text in texts) / 100 < 0.75 * 399


def test_edges_lead_to_other_nodes_and_each_label_once() -> None:
    algorithm = Graph()
    batch = drawn(algorithm, 50)
    for row in batch.inputs:
        edges = algorithm.show(row).split(" ?")[0].split()
        assert len({edge[:2] for edge in edges}) == len(edges) == 12
        assert all(edge[0] != edge[2] for edge in edges)


@pytest.mark.parametrize(
    ("algorithm", "text", "message"),
    [
        (Copy(), "", "rows of 8 bits .* got nothing"),
        (Copy(), "1011", "rows of 8 bits .* got '1011'"),
        (Copy(), "1011000x", "rows of 8 bits"),
        (Copy(bits=1), "1 " * 2001, "at most 2000.* got 2001 rows"),
        (RepeatCopy(bits=2), "10 01", "x, and 1 to 100 copies"),
        (RepeatCopy(bits=2), "10 01 x 0", "x, and 1 to 100 copies"),
        (RepeatCopy(bits=2), "10 012 x 2", "rows of 2 bits"),
        (AssociativeRecall(bits=2, rows=1), "10, 01", "two or more items"),
        (AssociativeRecall(bits=2, rows=1), "10, 01 ? 11", "an item after .* listed before it"),
        (AssociativeRecall(bits=2, rows=1), "10, 01 ? 01", "not as the last one"),
        (NGrams(), "0110", "expected 6 to 2000 bits"),
        (PrioritySort(bits=2), "10@0.5 01", "priorities from -1 to 1"),
        (PrioritySort(bits=2), "10@0.5 01@nan", "priorities from -1 to 1"),
        (Graph(nodes=2, labels=1), "A1B ? A 1", "expected 2 edges"),
        (Graph(nodes=2, labels=1), "A1B B1C ? A 1", "an edge such as A1B"),
        (Graph(nodes=2, labels=1), "A1B B1A ? A 2", "a node and 1 to 100 labels"),
        (Graph(nodes=2, labels=1), "A1B B1A", "a node and 1 to 100 labels"),
    ],
)
def test_what_is_no_sequence_is_refused(algorithm: Any, text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        AlgorithmsTask(AlgorithmsConfig(algorithm=algorithm)).read(text)


def test_typed_sequences_are_answered_in_words() -> None:
    task = AlgorithmsTask(AlgorithmsConfig())
    example = task.read("10110001 01110010")
    assert task.decode(task.answer(example)) == "10110001 01110010"
    assert not task.notes(example)
    long = task.read("10110001 " * 21)
    assert task.notes(long) == ["length is 21; training had at most 20"]
    compared = task.compare(example, Prediction(1.25, ("10110001", "01110011")))
    assert compared == {
        "input": "10110001 01110010", "ours": "10110001 01110011", "right": "10110001 01110010",
        "cost": "1.2500 bits, 1 bits wrong",
    }  # fmt: skip
    twice = AlgorithmsTask(AlgorithmsConfig(algorithm=RepeatCopy(bits=2)))
    assert twice.decode(twice.answer(twice.read("10 01 x 2"))) == "10 01 10 01 end"
    walk = AlgorithmsTask(AlgorithmsConfig(algorithm=Graph(nodes=3, labels=1)))
    assert walk.decode(walk.answer(walk.read("A1B B1C C1A ? B 1 1 1"))) == "C A B"
    assert walk.decode(Prediction(0.0, ("011", "001"))) == "? C"


@each
def test_configurations_survive_as_plain_data(algorithm: Any) -> None:
    made = AlgorithmsConfig(algorithm=algorithm)
    assert from_plain(AlgorithmsConfig, to_plain(made)) == made
    with pytest.raises(ValueError, match="sorted must be at most the 3 rows"):
        PrioritySort(rows=3, sorted=4)
