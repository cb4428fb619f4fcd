"""Plans of tensor parallelism are checked before anything starts; recomputation changes nothing but memory."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.explain.capture import capture
from saccade.nets.language_model import BLOCKS, LanguageModel, LanguageModelConfig, shards
from saccade.nets.projection import Projection
from saccade.training.checkpoint import read_checkpoint, restore_tensors, write_checkpoint
from saccade.training.sharding import recompute
from saccade.training.splits import planned
from tests.training.trainings import PRECISE, Reversals, train

pytestmark = pytest.mark.unhooked


def language(dropout: float = 0.3, symbols: int = 65) -> LanguageModel:
    torch.manual_seed(1)
    sizes = LanguageModelConfig(layers=3, model_size=12, heads=4, hidden_size=20, positions=16, dropout=dropout)
    return LanguageModel(sizes, symbols)


def test_every_linear_layer_and_the_symbols_are_split() -> None:
    model = language()
    found = planned(model, shards(LanguageModelConfig(heads=4), 2), 2)
    assert set(found) == {name for name, each in model.named_modules() if isinstance(each, nn.Linear | nn.Embedding)}
    assert found["embedding"] == "vocabulary"
    assert found["stack.blocks.2.attention.projection"] == "columns"


@pytest.mark.parametrize(
    ("tensor", "symbols", "sentence"),
    [
        (3, 65, "the 20 outputs of feed_forward.hidden cannot be divided among --training.tensor 3"),
        (4, 6, "the 6 symbols of embedding cannot be divided among --training.tensor 4"),
    ],
)
def test_layers_that_a_group_cannot_share_are_named(tensor: int, symbols: int, sentence: str) -> None:
    plan: dict[str, Any] = {"embedding": "vocabulary", "*.feed_forward.hidden": "columns"}
    with pytest.raises(InvalidInput) as refused:
        planned(language(symbols=symbols), plan, tensor)
    assert str(refused.value) == sentence.replace("feed_forward", "stack.blocks.0.feed_forward")


@pytest.mark.parametrize("pattern", ["stack.block.*.attention.output", "embedding"])
def test_a_plan_must_name_layers_with_weights_of_their_own(pattern: str) -> None:
    model = language()
    model.readout = nn.Linear(12, 65)  # type: ignore[assignment]
    model.readout.weight = model.embedding.weight
    with pytest.raises(ValueError, match="to name layers with weights of their own"):
        planned(model, {pattern: "rows"}, 2)


def test_four_processes_can_share_seven_symbols() -> None:
    planned(language(symbols=7), {"embedding": "vocabulary"}, 4)


def test_heads_that_a_group_does_not_divide_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"the 6 heads of the model cannot be divided among --training\.tensor 4"):
        shards(LanguageModelConfig(heads=6), 4)


def test_smoothing_over_symbols_that_are_split_is_refused() -> None:
    split: Any = SimpleNamespace(device_mesh="of two")
    with pytest.raises(InvalidInput, match="label smoothing cannot be computed over symbols that are split"):
        Projection(torch.zeros(3, 2), split).cross_entropy(torch.zeros(3, dtype=torch.long), -100, 0.1)


def kept_by_autograd(model: nn.Module, run: Callable[[], Tensor]) -> tuple[int, list[Tensor]]:
    """The numbers that the forward pass keeps, and the gradients."""
    sizes: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = run()
    loss.backward()
    return sum(sizes), [weight.grad for weight in model.parameters() if weight.grad is not None]


def test_recomputed_blocks_give_the_same_bits_with_dropout_and_are_captured_once() -> None:
    symbols = torch.randint(65, (5, 13), generator=torch.Generator().manual_seed(2))
    results = []
    for blocks in ((), BLOCKS):
        model = language()
        recompute(model, blocks)
        torch.manual_seed(3)
        with capture(model, "stack.blocks.*.attention.weights") as seen:
            kept, gradients = kept_by_autograd(model, lambda: model(symbols).logits().square().mean())  # noqa: B023
        assert [len(seen[name]) for name in seen] == [1, 1, 1]
        results.append((kept, gradients, [seen[name][0] for name in seen]))
    (much, gradients, maps), (little, same, others) = results
    assert little < much / 2
    assert len(gradients) == len(list(model.parameters()))
    assert all(torch.equal(one, other) for one, other in zip(gradients, same, strict=True))
    assert all(torch.equal(one, other) for one, other in zip(maps, others, strict=True))


def test_only_the_outermost_of_nested_modules_is_recomputed() -> None:
    model = language()
    recompute(model, ("stack.blocks.*",))
    changed = [name for name, module in model.named_modules() if "forward" in vars(module)]
    assert changed == [f"stack.blocks.{number}" for number in range(3)]


def test_a_training_that_recomputes_ends_with_the_same_bits(tmp_path: Path) -> None:
    """Through a resumed run that no longer does."""
    some: dict[str, Any] = {"net": "dropped", "steps": 12, **PRECISE}
    train(tmp_path / "kept", Reversals(), **some)
    train(tmp_path / "computed", Reversals(), **(some | {"steps": 7}), recompute="blocks")
    train(tmp_path / "computed", Reversals(), **some)
    first, second = ((tmp_path / run / "model.safetensors").read_bytes() for run in ("kept", "computed"))
    assert first == second


def test_shards_are_only_read_beside_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    state = {"model": {}, "average": {}, "step": 5, "config": "{}"}
    weights = {"weight": torch.zeros(2)}
    for name in ("../other-5", "best-5", "last-5/..", 5):
        write_checkpoint(path, {**state, "shards": name})
        with pytest.raises(InvalidInput, match=r"last\.ckpt: expected the name of a folder of shards"):
            restore_tensors(path, read_checkpoint(path), "model", weights)
    write_checkpoint(path, {**state, "shards": "last-5"})
    with pytest.raises(InvalidInput, match="last-5: there are no such shards"):
        restore_tensors(path, read_checkpoint(path), "model", weights)
    (tmp_path / "last-5").mkdir()
    (tmp_path / "last-5" / "shard-00001-model-00001-of-00001.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0cut")
    with pytest.raises(InvalidInput, match="last-5: damaged or cut off"):
        restore_tensors(path, read_checkpoint(path), "model", weights)
    (tmp_path / "last-5" / "shard-00001-model-00001-of-00001.safetensors").unlink()
    with pytest.raises(InvalidInput, match="last-5: damaged or cut off"):
        restore_tensors(path, read_checkpoint(path), "model", weights)


def test_what_a_long_text_keeps_in_memory_grows_with_its_length_not_with_its_square() -> None:
    kept = []
    for length in (1024, 8192):
        torch.manual_seed(1)
        sizes = LanguageModelConfig(layers=1, model_size=4, heads=1, hidden_size=4, positions=length, dropout=0.0)
        model = LanguageModel(sizes, 65)
        symbols = torch.randint(65, (1, length), generator=torch.Generator().manual_seed(2))
        kept.append(kept_by_autograd(model, lambda: model(symbols).cross_entropy(symbols, -100))[0])  # noqa: B023
    assert kept[1] < 8.5 * kept[0]
