"""Pictures of an answer, from a capture of the model."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.recipe import Answer, Loss
from saccade.core.tap import Tap
from saccade.explain.answers import alignment, entropy, focus, heads, listened, memory_pictures, through_time, traces
from saccade.explain.capture import capture
from saccade.explain.pictures.alignment import Alignment
from saccade.explain.pictures.heads import Axes, Heads
from saccade.memory import DNC

PADDED = 5


class Example(NamedTuple):
    source: str
    target: str


class Batch(NamedTuple):
    lengths: Tensor
    nested: tuple[Tensor, str]


class Letters:
    """Letters on both sides; batches are padded to `PADDED`."""

    def collate(self, examples: Sequence[Example], generator: Any = None) -> Batch:
        lengths = torch.tensor([[len(one.target), len(one.source)] for one in examples])
        return Batch(lengths, (lengths, "kept"))

    def replay(self, example: Example, prediction: str) -> Example:
        return example._replace(target=prediction)

    def labels(self, example: Example) -> Mapping[str, Sequence[str]]:
        times = [f"{i / 10:.1f}" for i in range(len(example.source))]
        return {"source": list(example.source), "target": list(example.target), "time (seconds)": times}


class Layer(nn.Module):
    def __init__(self, count: int, axes: str = "b h q k") -> None:
        super().__init__()
        self.weights, self.count, self.dropout = Tap(axes), count, nn.Dropout(0.9)

    def forward(self, lengths: Tensor) -> Tensor:
        torch.manual_seed(self.count)
        scores = self.dropout(torch.randn(len(lengths), self.count, PADDED, PADDED))
        keep = torch.arange(PADDED) < lengths[:, 1:]
        found = scores.masked_fill(~keep[:, None, None], -torch.inf).softmax(-1)
        return self.weights(found if len(self.weights.axes) == 4 else found.mean(1))  # type: ignore[no-any-return]


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.window, self.silent = Layer(2), Layer(3), Layer(2, "b c t"), Layer(2)
        self.large = Tap("b q k")

    def forward(self, lengths: Tensor) -> Tensor:
        self.second(lengths), self.window(lengths)
        return self.first(lengths)  # type: ignore[no-any-return]


calls: list[tuple[Any, ...]] = []


def objective(model: nn.Module, batch: Batch, step: int) -> Loss:
    calls.append((model.training, torch.is_inference_mode_enabled(), batch.nested, step))
    model(batch.lengths)
    return Loss({})


@pytest.fixture
def answer() -> Answer:
    calls.clear()
    return Answer(Model(), Letters(), None, Example("wxyz", "right"), "abc", torch.device("cpu"))


def weights_of(layer: Layer, lengths: Sequence[int]) -> Tensor:
    return layer.eval()(torch.tensor([lengths]))


def test_the_answer_is_given_to_the_objective_in_evaluation(answer: Answer) -> None:
    seen = listened(answer, objective, "first*")
    [(training, inference, (lengths, kept), step)] = calls
    assert (training, inference, kept, step) == (False, True, "kept", 0)
    assert lengths.tolist() == [[3, 4]]  # the answer, not the right one
    assert answer.model.training
    assert list(seen) == ["first.weights"]
    torch.testing.assert_close(seen["first.weights"][0], weights_of(answer.model.first, [3, 4]))  # type: ignore[arg-type]


def test_the_model_is_restored_if_the_objective_fails(answer: Answer) -> None:
    def broken(model: nn.Module, batch: Any, step: int) -> Loss:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        listened(answer, broken)
    assert answer.model.training
    assert answer.model.first.weights.listener is None  # type: ignore[union-attr]
    answer.model.eval()
    listened(answer, objective)
    assert not answer.model.training


def test_an_alignment_is_the_mean_of_layers_and_heads_without_padding(answer: Answer) -> None:
    found = alignment(answer, objective, "*st.weights", "target", "source", title="T", values="share", name="first")
    assert found is not None
    mean = weights_of(answer.model.first, [3, 4])[0].mean(0)[:3, :4]  # type: ignore[arg-type]
    torch.testing.assert_close(torch.as_tensor(found.weights), mean.double(), rtol=0, atol=1e-7)
    assert (found.name, found.title, found.values) == ("first", "T", "share")
    assert (found.rows, found.columns) == (list("abc"), list("wxyz"))
    assert (found.rows_label, found.columns_label) == ("target", "source")
    both = alignment(answer, objective, "[fs]?[rc]*", "target", "source")
    assert both is not None
    other = weights_of(answer.model.second, [3, 4])[0].mean(0)[:3, :4]  # type: ignore[arg-type]
    torch.testing.assert_close(torch.as_tensor(both.weights), (mean + other).double() / 2, rtol=0, atol=1e-7)


def test_layers_that_were_not_called_have_no_alignment(answer: Answer) -> None:
    assert alignment(answer, objective, "silent.weights", "target", "source") is None
    assert heads(answer, objective, [("silent*", "target", "source", "", "attention weight")]) is None


def test_missing_taps_and_labels_are_refused(answer: Answer) -> None:
    with pytest.raises(NotFound, match="no tap matches 'thrid'"):
        alignment(answer, objective, "thrid", "target", "source")
    with pytest.raises(InvalidInput, match=r"Letters has no labels 'sources'; did you mean 'source'\?"):
        alignment(answer, objective, "first*", "target", "sources")
    with pytest.raises(InvalidInput, match="object has no labels; define its methods replay and labels"):
        alignment(
            answer._replace(task=type("object", (), {"collate": Letters().collate})()), objective, "first*", "a", "b"
        )


def test_heads_are_all_layers_that_match_each_with_its_axes(answer: Answer) -> None:
    shows = [
        ("second*", "target", "source", "Second", "attention weight"),
        ("*[dtw].weights", "target", "time (seconds)", "", "window weight"),
        ("first*", "target", "source", "First", "attention weight"),
    ]
    found = heads(answer, objective, shows)
    assert found is not None
    assert len(calls) == 1  # a single forward pass
    assert list(found.layers) == ["first.weights", "second.weights", "window.weights"]
    weights, queries, keys = found.layers["second.weights"]
    torch.testing.assert_close(weights, weights_of(answer.model.second, [3, 4])[0, :, :3, :4])  # type: ignore[arg-type]
    assert (queries, keys) == (list("abc"), list("wxyz"))
    assert found.layers["window.weights"][0].shape == (1, 3, 4)
    assert found.layers["window.weights"][2] == ["0.0 s", "0.1 s", "0.2 s", "0.3 s"]
    window = Axes("target", "time (seconds)", "window weight")
    assert found.axes == {"first.weights": window, "window.weights": window}  # the first matching pattern
    found.page(), found.figure()


def test_entropy_is_the_mean_over_all_queries() -> None:
    even = [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]
    figure = entropy(torch.tensor(even))
    assert figure.value == pytest.approx(math.log(2) / 2)
    assert (figure.unit, figure.name) == ("nats", "attention entropy")
    twice = Alignment("a", [[1.0, 1.0], [0.0, 6.0]], list("ab"), list("cd"), "r", "c")  # not a distribution
    assert entropy(twice).value == pytest.approx(math.log(2) / 2)
    layers = {"a": (torch.full((2, 2, 4), 0.25), "ab", "cdef"), "b": (torch.eye(4), "abcd", "abcd")}
    assert entropy(Heads("a", layers)).value == pytest.approx(math.log(4) / 2)  # type: ignore[arg-type]


def test_heads_of_a_memory_are_traced_over_the_slots_that_they_use() -> None:
    torch.manual_seed(0)
    machine = DNC(3, 2, hidden_size=5, slots=11, slot_size=3, read_heads=2)
    inputs = torch.randn(1, 7, 3)
    with torch.no_grad(), capture(machine, "*_weights") as seen:
        outputs = machine(inputs)[0][0].sigmoid()
    found = traces(seen)
    assert list(found) == ["write head", "read head 0", "read head 1"]
    state = None
    for t in range(7):
        _, state = machine.step(inputs[:, t], machine.initial_state(1) if state is None else state)
        assert torch.allclose(found["write head"][t], state.write_weights[0], atol=1e-6)
        assert torch.allclose(found["read head 1"][t], state.read_weights[0, 1], atol=1e-6)
    counted = torch.arange(7) > 3
    expected = [float(found[f"read head {h}"][t].max()) for h in (0, 1) for t in (4, 5, 6)]
    assert focus(found, counted).value == pytest.approx(100 * sum(expected) / 6)
    one_slot = {"write head": torch.eye(11)[3:6], "read head": torch.eye(11)[[5, 4, 8]]}
    memory, sequence, _ = memory_pictures(one_slot, inputs[0, :3], torch.ones(3, 2), outputs[:3], counted[3:6], "copy")
    assert list(memory.traces) == [f"{name}, slots 3 to 8 of 11" for name in one_slot]  # type: ignore[attr-defined]
    images = torch.as_tensor(sequence.images)  # type: ignore[attr-defined]
    assert images.shape == (3, 3, 3)
    assert images[1].tolist() == [[0, 1, 1], [0, 1, 1], [0, 0, 0]]


def test_memory_through_time_is_the_sum_over_slots_of_read_times_write() -> None:
    draw = torch.Generator().manual_seed(1)
    names = ("write head 0", "write head 1", "read head 0", "read head 1", "read head 2")
    found = {name: torch.rand(7, 5, generator=draw) for name in names}
    counted = torch.tensor([0, 0, 1, 0, 1, 1, 0], dtype=torch.bool)
    picture = through_time(found, counted)
    assert picture is not None
    assert list(picture.rows) == ["2", "4", "5"]
    for row, t in zip(torch.as_tensor(picture.weights), (2, 4, 5), strict=True):
        for before in range(7):
            total = sum(
                float(found[read][t, slot] * found[write][before, slot])
                for read in names[2:] for write in names[:2] for slot in range(5)
            )  # fmt: skip
            assert float(row[before]) == pytest.approx(total / 3 if before <= t else 0.0, abs=1e-5)
    assert through_time(found, torch.zeros(7, dtype=torch.bool)) is None
    assert through_time({name: found[name] for name in names[:2]}) is None
    assert through_time({name: torch.rand(81, 5) for name in names}) is None
