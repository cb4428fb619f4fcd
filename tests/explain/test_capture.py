"""A capture as a value: saving, loading, selecting, measuring."""

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.tap import Tap
from saccade.explain import Capture, capture, measures, plots
from saccade.explain.attention_map import AttentionMap, Selection
from saccade.explain.names import readable
from tests.explain.models import Twice

BATCH, LENGTH, MODEL, HEADS = 2, 5, 16, 2
WORDS = ["▁the", "▁animal", "▁was", "▁ti", "red"]


class Tapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weights = Tap("b q k")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tapped: torch.Tensor = self.weights(x)
        return tapped


@pytest.fixture
def seen() -> Capture:
    layer = nn.TransformerEncoderLayer(MODEL, HEADS, 32, batch_first=True)
    model = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()
    with torch.no_grad(), capture(model) as found:
        model(torch.randn(BATCH, LENGTH, MODEL))
    return found.label(WORDS)


def test_a_saved_capture_can_be_loaded(seen: Capture, tmp_path: Path) -> None:
    seen.save(tmp_path / "seen.safetensors")
    found = Capture.load(tmp_path / "seen.safetensors")
    assert list(found) == list(seen)
    assert found.labels == seen.labels
    for name in seen:
        assert found.axes(name) == ("b", "h", "q", "k")
        [ours], [theirs] = found[name], seen[name]
        assert torch.equal(ours, theirs)
        [each] = found.maps(name)
        assert torch.equal(each.weights(heads=[1], queries=[2, 0]), theirs[:, [1]][:, :, [2, 0]])


def test_several_calls_other_types_and_shared_memory_are_saved(tmp_path: Path) -> None:
    model, x = Tapped(), torch.rand(2, 3, 4).bfloat16()
    with capture(model) as seen:
        for call in (x, x[:, 1:], x):
            model(call)
    seen.save(tmp_path / "seen.safetensors")
    found = Capture.load(tmp_path / "seen.safetensors")
    assert [call.shape[1] for call in found["weights"]] == [3, 2, 3]
    for ours, theirs in zip(found["weights"], (x, x[:, 1:], x), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("size", [0, 7, 100, 1000])
def test_damaged_and_other_files_are_reported(seen: Capture, tmp_path: Path, size: int) -> None:
    path = tmp_path / "seen.safetensors"
    seen.save(path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InvalidInput, match=r"seen\.safetensors is not a capture, or is damaged"):
        Capture.load(path)
    safetensors.torch.save_file({"0": torch.zeros(2)}, path)
    with pytest.raises(InvalidInput, match=r"is not a capture, or was written by"):
        Capture.load(path)
    with pytest.raises(NotFound, match=r"nothing\.safetensors: there is no such file"):
        Capture.load(tmp_path / "nothing.safetensors")
    with pytest.raises(InvalidInput, match="nothing was captured"):
        Capture().save(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda kept: kept.pop("names"),
        lambda kept: kept.pop("axes"),
        lambda kept: kept["names"].pop(),
        lambda kept: kept["axes"].update({kept["names"][0]: ["q", "k"]}),
        lambda kept: kept.update(turns=[0]),
        lambda kept: kept.update(labels={kept["names"][0]: 3}),
    ],
)
def test_an_invalid_header_is_reported(seen: Capture, tmp_path: Path, change: Callable[..., object]) -> None:
    path = tmp_path / "seen.safetensors"
    seen.save(path)
    with safetensors.safe_open(path, "pt") as file:
        said, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    kept = json.loads(said["capture"])
    change(kept)
    safetensors.torch.save_file(tensors, path, said | {"capture": json.dumps(kept)})
    with pytest.raises(InvalidInput, match=r"seen\.safetensors is not a capture, or is damaged"):
        Capture.load(path)


@pytest.mark.parametrize("way", [copy.deepcopy, lambda seen: pickle.loads(pickle.dumps(seen))])
def test_a_copy_is_equal(seen: Capture, way: Callable[[Capture], Capture], tmp_path: Path) -> None:
    seen.unknown = {"elsewhere": "because"}
    seen.save(tmp_path / "seen.safetensors")
    for found in (way(seen), Capture.load(tmp_path / "seen.safetensors"), seen.select("*")):
        assert list(found) == list(seen)
        assert found.labels == seen.labels
        assert found.unknown == seen.unknown
        for name in seen:
            assert torch.equal(found.joined(name), seen.joined(name))
        assert torch.equal(found.rollout(), seen.rollout())


def test_a_folder_is_not_a_capture(seen: Capture, tmp_path: Path) -> None:
    for write in (seen.save, seen.to_html):
        with pytest.raises(IsADirectoryError, match=tmp_path.name):
            write(tmp_path)


def test_rollout_follows_the_order_of_calls_in_one_forward(tmp_path: Path) -> None:
    one, two = (nn.MultiheadAttention(MODEL, HEADS, batch_first=True) for _ in range(2))

    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = one, two

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in (self.one, self.two, self.one, self.two):
                x = layer(x, x, x, need_weights=False)[0]
            return x

    model, x = Shared().eval(), torch.randn(BATCH, LENGTH, MODEL)
    with torch.no_grad(), capture(model) as seen:
        model(x)
    ordered = [seen[name][call] for call in (0, 1) for name in ("one", "two")]
    seen.save(tmp_path / "seen.safetensors")
    for found in (
        seen,
        Capture.load(tmp_path / "seen.safetensors"),
        seen.select("*"),
        copy.deepcopy(seen),
        seen.words(),
    ):
        torch.testing.assert_close(found.rollout(), measures.rollout(ordered))
        torch.testing.assert_close(found.flow(1), measures.flow(ordered, 1))
    with torch.no_grad(), capture(model) as twice:
        model(x)
        model(x)
    twice.save(tmp_path / "twice.safetensors")
    for found in (twice, Capture.load(tmp_path / "twice.safetensors")):
        with pytest.raises(InvalidInput, match="one was captured in several forwards"):
            found.rollout()


def test_distances_of_several_forwards_equal_those_of_each(seen: Capture) -> None:
    model = nn.MultiheadAttention(MODEL, HEADS, batch_first=True).eval()
    short, long = torch.randn(BATCH, 3, MODEL), torch.randn(BATCH, LENGTH, MODEL)
    with torch.no_grad(), capture(model) as both:
        for x in (short, long):
            model(x, x, x, need_weights=False)
    expected = torch.cat([measures.distance(weights) for weights in both[""]], -1)
    torch.testing.assert_close(both.distance(""), expected)
    name = next(iter(seen))
    with torch.no_grad(), capture(model, queries=[1, 2]) as some:
        model(long, long, long, need_weights=False)
    for part, where in ((seen.select(queries=slice(1, 3)), name), (some, "")):
        with pytest.raises(InvalidInput, match="only some queries were captured"):
            part.distance(where)


def test_numbers_are_labels(seen: Capture, tmp_path: Path) -> None:
    seen.label(range(LENGTH)).to_html(tmp_path / "page.html")
    assert seen.labels[next(iter(seen))].keys == list("01234")


@pytest.mark.parametrize("residual", [-0.1, 1.1, float("nan")])
def test_a_residual_share_is_between_0_and_1(seen: Capture, residual: float) -> None:
    with pytest.raises(InvalidInput, match="a share between 0 and 1"):
        seen.rollout(residual=residual)


@pytest.mark.unhooked
def test_positions_are_integers(seen: Capture) -> None:
    with pytest.raises(InvalidInput, match="expected a position from 0 to 4"):
        seen.flow(1.5)  # type: ignore[arg-type]


def test_a_selection_of_a_capture(seen: Capture) -> None:
    part = seen.select("layers.[12].*", heads=[1], queries=slice(0, 2))
    assert list(part) == ["layers.1.self_attn", "layers.2.self_attn"]
    for name in part:
        torch.testing.assert_close(part[name][0], seen[name][0][:, [1], :2])
    assert not part.labels  # there are now fewer queries than labels
    assert seen.select("*.2.*").labels["layers.2.self_attn"].keys == WORDS
    with pytest.raises(NotFound, match=r"matches '\*decoder\*'; there are: 'layers.0.self_attn'"):
        seen.select("*decoder*")


def test_measures_of_a_capture_equal_those_of_its_weights(seen: Capture) -> None:
    layers = [seen[name][0] for name in seen]
    torch.testing.assert_close(seen.rollout(), measures.rollout(layers))
    torch.testing.assert_close(seen.rollout("layers.[01].*", 0.2), measures.rollout(layers[:2], 0.2))
    torch.testing.assert_close(seen.flow(1, "layers.[01].*"), measures.flow(layers[:2], 1))
    name = "layers.1.self_attn"
    torch.testing.assert_close(seen.entropy(name), measures.entropy(layers[1]))
    torch.testing.assert_close(seen.distance(name), measures.distance(layers[1]))
    assert seen.entropy(name).shape == (BATCH, HEADS, LENGTH)


def test_hard_links_of_one_row_and_of_both_directions(seen: Capture) -> None:
    name = "layers.1.self_attn"
    mean = seen[name][0].mean(1)
    for row in range(BATCH):
        found = seen.alignments(name, row)
        assert found == {(q, max(range(LENGTH), key=mean[row, q].tolist().__getitem__)) for q in range(LENGTH)}
    back = {(4, 0), (3, 1)}
    assert seen.alignments(name, 1, back) == seen.alignments(name, 1) & {(0, 4), (1, 3)}
    assert seen.alignments(name, 1, back, "union") == seen.alignments(name, 1) | {(0, 4), (1, 3)}
    with pytest.raises(NotFound, match="no captured name matches 'nowhere'"):
        seen.alignments("nowhere")
    with pytest.raises(InvalidInput, match="expected a row from 0 to 1, not 2"):
        seen.alignments(name, 2)


def test_a_capture_is_drawn(seen: Capture, tmp_path: Path) -> None:
    name = "layers.1.self_attn"
    for head, drawn, title in (
        (None, seen[name][0][1].mean(0), name),
        (1, seen[name][0][1, 1], f"{name}, head 1"),
    ):
        figure = seen.plot(name, head, row=1)
        axes = figure.axes[0]
        shown = torch.from_numpy(axes.collections[0].get_array().filled()).reshape(LENGTH, LENGTH)
        torch.testing.assert_close(shown, drawn.double(), rtol=1e-6, atol=1e-6)
        assert axes.get_title(loc="left") == title
        assert [text.get_text() for text in axes.get_xticklabels()] == ["the", "animal", "was", "ti", "·red"]
    every = seen.plot(title="every head")
    assert [text.get_text() for text in every.axes[0].get_yticklabels()] == readable(list(seen))
    plots.save(every, tmp_path / "every", "every head")
    with pytest.raises(InvalidInput, match="there is no head 2"):
        seen.plot(name, 2)


def test_only_requested_weights_are_computed() -> None:
    def form(selection: Selection) -> torch.Tensor:
        raise AssertionError(f"formed: {selection}")

    seen = Capture()
    seen.hear(AttentionMap("here", ("b", "h", "q", "k"), form))
    assert "here" in seen
    assert "there" not in seen
    assert list(seen.select(heads=[1])) == ["here"]
    with pytest.raises(AssertionError, match="formed"):
        seen["here"]


def test_one_module_in_several_layers_has_a_map_for_each() -> None:
    model, x = Twice(MODEL, HEADS), torch.randn(BATCH, LENGTH, MODEL)
    with torch.no_grad(), capture(model) as seen:
        model(x)
    layers = seen.label(WORDS).layers(row=1)
    assert list(layers) == ["attention, call 0", "attention, call 1"]
    for (weights, queries, keys), call in zip(layers.values(), seen["attention"], strict=True):
        assert queries == keys == WORDS
        torch.testing.assert_close(weights, call[1])
    torch.testing.assert_close(seen.rollout(), measures.rollout(seen["attention"]))
    with pytest.raises(InvalidInput, match="attention was called 2 times"):
        seen.plot("attention")


def test_pieces_are_joined_to_words(seen: Capture) -> None:
    found = seen.words()
    for name in seen:
        assert found.labels[name].queries == found.labels[name].keys == ["the", "animal", "was", "tired"]
        [weights], [pieces] = found[name], seen[name]
        assert weights.shape == (BATCH, HEADS, 4, 4)
        torch.testing.assert_close(weights[..., :3, :3], pieces[..., :3, :3])
        torch.testing.assert_close(weights[..., :3, 3], pieces[..., :3, 3:].sum(-1))
        torch.testing.assert_close(weights[..., 3, 0], pieces[..., 3:, 0].mean(-1))
        torch.testing.assert_close(weights.sum(-1), torch.ones(BATCH, HEADS, 4))


def test_a_map_is_computed_once() -> None:
    formed: list[Selection] = []

    def form(selection: Selection) -> torch.Tensor:
        formed.append(selection)
        return torch.ones(BATCH, HEADS, LENGTH, LENGTH) / LENGTH

    seen = Capture()
    for _ in range(2):
        seen.hear(AttentionMap("here", ("b", "h", "q", "k"), form))
    assert len(seen.layers()) == len(formed) == 2
    seen.rollout()
    assert len(formed) == 4
