"""The planner beside what torch counts and holds: operations, saved activations and peak memory of real passes."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.backends import mkldnn
from torch.distributed._tools.mem_tracker import MemTracker
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.recipe import Loss, Paper, Recipe
from saccade.nets.language_model import BLOCKS, LanguageModel, LanguageModelConfig, shards
from saccade.runs.costs import Costs
from saccade.runs.devices import DEVICES, bytes_of, count_of, device, rate_of, this_machine
from saccade.runs.footprint import footprint
from saccade.runs.memory import sized
from saccade.runs.plan import Wish, plan
from saccade.tasks.text import BytePieces, TextConfig
from saccade.tasks.text.objective import next_symbol
from saccade.tasks.text.outline import outline
from saccade.training.config import TrainingConfig
from saccade.training.optimizers import build_optimizer

SYMBOLS = 503
SIZES = LanguageModelConfig(layers=7, model_size=48, heads=6, positions=96, dropout=0.0)
TRAINING = TrainingConfig(batch_size=5 * 89, steps=100)
TASK = TextConfig(symbols=BytePieces(size=SYMBOLS), window=89, context=32)


@dataclasses.dataclass(frozen=True)
class Config:
    task: TextConfig = TASK
    model: LanguageModelConfig = SIZES
    training: TrainingConfig = TRAINING


def never(*given: Any) -> Any:
    raise AssertionError("a plan needs neither data nor predictions")


RECIPE: Recipe = Recipe(
    paper=Paper(title="", authors="", year=2019, address="https://example.org", target="", number=""),
    task=never,
    build=lambda config, task: LanguageModel(config.model, len(task.symbols.names)),
    objective=next_symbol,
    predict=never,
    variants={},
    outline=lambda config: outline(config.task),
    shards=lambda config: shards(config.model, config.training.tensor),
    blocks=BLOCKS,
)


def on_meta(examples: int = 5, **options: Any) -> Any:
    model = sized(lambda: LanguageModel(SIZES, SYMBOLS))
    with torch.device("meta"):
        batch = outline(TASK).batch(examples)
    return footprint(model, batch, next_symbol, blocks=BLOCKS, **options)


def real(examples: int = 5) -> tuple[nn.Module, Any]:
    return LanguageModel(SIZES, SYMBOLS), outline(TASK).batch(examples)


def test_operations_equal_torchs_counter_to_the_last_digit() -> None:
    model, batch = real()
    counter: Any = FlopCounterMode(display=False)
    # it counts neither the fused kernel of a CPU, nor oneDNN's products, nor sums in place, as in our loss
    with counter, sdpa_kernel(SDPBackend.MATH), mkldnn.flags(enabled=False):
        logits = model(batch.symbols[:, :-1], batch.mask[:, :-1]).logits()
        F.cross_entropy(logits.flatten(0, 1), batch.symbols[:, 1:].flatten()).backward()
    assert on_meta().flops == counter.get_total_flops()


def test_short_stacks_say_what_the_whole_stack_costs() -> None:
    for options in ({}, {"recompute": True}, {"narrow": True}, {"accumulated": True}):
        whole: Any = sized(lambda: LanguageModel(SIZES, SYMBOLS))
        with torch.device("meta"):
            batch = outline(TASK).batch(5)
        # with its blocks under two names that are no list, the stack is computed whole
        blocks = [f"stack.blocks.{place}" for place in range(SIZES.layers)]
        whole.stack.blocks.append(nn.Identity())
        slow = footprint(whole, batch, lambda m, b, s: without_last(m, b, s), blocks=blocks, **options)
        fast = on_meta(**options)
        assert (fast.flops, fast.attention, fast.activations, fast.peak) == (
            slow.flops, slow.attention, slow.activations, slow.peak,
        )  # fmt: skip


def without_last(model: Any, batch: Any, step: int) -> Loss:
    blocks, model.stack.blocks = model.stack.blocks, model.stack.blocks[:-1]
    try:
        return next_symbol(model, batch, step)
    finally:
        model.stack.blocks = blocks


def test_activations_are_what_the_hooks_hold() -> None:
    model, batch = real()
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    held: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            held[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = next_symbol(model, batch, 0)
    size = sum(tensor.untyped_storage().nbytes() for tensor in held.values())
    assert on_meta().activations == pytest.approx(size, rel=0.02)
    loss.value.backward()


@pytest.mark.parametrize("layers", [2, 7])
def test_the_peak_is_that_of_torchs_tracker(layers: int) -> None:
    sizes = dataclasses.replace(SIZES, layers=layers)
    config = dataclasses.replace(Config(), model=sizes)
    model, batch = LanguageModel(sizes, SYMBOLS), outline(TASK).batch(5)
    optimizer = build_optimizer(config.training, model.parameters())
    for _ in range(2):  # in the second update the optimizer's state is there from the beginning
        tracker = MemTracker()
        tracker.track_external(model, optimizer, *[each for each in batch if isinstance(each, Tensor)])
        with tracker, mkldnn.flags(enabled=False):
            optimizer.zero_grad()
            next_symbol(model, batch, 0).value.backward()
            optimizer.step()
    highest = tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"]
    found = plan(RECIPE, config, Wish(this_machine()))
    assert found.memory.peak == pytest.approx(highest, rel=0.1)


def test_recomputation_holds_less_and_computes_the_blocks_again() -> None:
    kept, again = on_meta(), on_meta(recompute=True)
    assert again.activations < kept.activations / 10
    of_the_loss = 3 * 2 * 5 * TASK.window * SIZES.model_size * SYMBOLS  # a product, and two for its gradients
    assert again.flops == kept.flops + (kept.flops - of_the_loss) // 3


def test_a_group_divides_layers_and_what_they_keep() -> None:
    one, two = (Costs(RECIPE, Config(), "v100") for _ in range(2))
    whole, half = one.parts(1)[0], two.parts(2)[0]
    block = whole.get_submodule("stack.blocks.0"), half.get_submodule("stack.blocks.0")
    split = [
        sum(w.numel() for n, w in b.named_parameters() if "norm" not in n and "output.bias" not in n) for b in block
    ]
    assert split[0] == 2 * split[1]
    assert half.get_parameter("embedding.weight").shape[0] == -(-SYMBOLS // 2)
    a, b = one.of(1, "none", 4, False), two.of(2, "none", 4, False)
    assert a.attention == 2 * b.attention
    assert a.activations / 2 < b.activations < a.activations
    assert a.summed == 0
    # 2 sums forward and 2 backward in each block, the embeddings, and the gradient of the features
    assert b.summed == (4 * SIZES.layers + 2) * 4 * TASK.window * SIZES.model_size * 4


def test_the_layout_keeps_the_update_and_fits() -> None:
    config = dataclasses.replace(Config(), training=TrainingConfig(batch_size=8 * 89, accumulate=4, steps=10))
    free = plan(RECIPE, config, Wish(DEVICES["v100"], devices=4))
    assert free.layout is not None
    assert (free.layout.strategy, free.layout.recompute) == ("ddp", "none")
    assert (free.layout.examples, free.layout.accumulate, free.size) == (8, 1, 32 * 89)
    layouts = []
    for part in (0.5, 0.18):
        tight = plan(RECIPE, config, Wish(DEVICES["v100"], devices=4, memory=free.memory.peak * part), spare=0.0)
        assert tight.fits
        assert tight.memory.peak <= tight.room
        assert tight.size == free.size
        layouts.append(tight.layout)
    assert free.layout != layouts[0] != layouts[1]
    none = plan(RECIPE, config, Wish(DEVICES["v100"], memory=1e5))
    assert not none.fits
    assert "no layout fits" in none.notes[-1]


def test_a_group_that_cannot_divide_the_heads_is_replaced_by_the_nearest() -> None:
    found = plan(RECIPE, Config(), Wish(DEVICES["v100"], devices=8, tensor=4))
    assert found.layout is not None
    assert found.layout.tensor == 2
    assert found.notes[0].startswith("the 6 heads of the model cannot be divided among --tensor 4")


def test_time_is_operations_by_the_rate() -> None:
    found = plan(RECIPE, Config(), Wish(DEVICES["v100"], rate=1e9, tokens=89_000))
    assert found.seconds == pytest.approx(found.computed / 1e9)
    assert found.steps == 200
    assert found.days == pytest.approx(200 * found.computed / 1e9 / 86_400)
    assert plan(RECIPE, Config(), Wish(this_machine())).days is None


def test_the_closed_form_is_near() -> None:
    found = plan(RECIPE, Config(), Wish(this_machine()))
    weights = sum(weight.numel() for weight in sized(lambda: LanguageModel(SIZES, SYMBOLS)).parameters())
    attention = 12 * SIZES.layers * 5 * TASK.window**2 * SIZES.model_size
    assert found.closed == 6 * weights * 5 * TASK.window + attention
    assert found.flops == pytest.approx(found.closed, rel=0.05)


def test_a_system_that_describes_no_batches_has_its_weights() -> None:
    stand_in = outline(TASK).task
    recipe = dataclasses.replace(RECIPE, outline=None, task=lambda config, assets: stand_in)
    found = plan(recipe, Config(), Wish(DEVICES["v100"]))
    assert found.layout is None
    assert found.seconds is None
    assert "unknown" in found.notes[0]
    assert found.memory.peak == 16 * found.parameters


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (Wish(DEVICES["v100"], devices=4, tensor=8), "--tensor 8 is more than --devices 4"),
        (Wish(DEVICES["v100"], devices=9, tensor=2), "--tensor 2 does not divide --devices 9"),
    ],
)
def test_wishes_that_contradict_themselves(wish: Wish, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        plan(RECIPE, Config(), wish)


def test_a_device_without_units_for_the_format() -> None:
    config = dataclasses.replace(Config(), training=TrainingConfig(precision="bfloat16"))
    with pytest.raises(InvalidInput, match="v100 has no units for bfloat16; choose --precision float64 or float32"):
        plan(RECIPE, config, Wish(DEVICES["v100"]))


def test_numbers_with_units() -> None:
    assert (bytes_of("32GB", "--memory"), bytes_of("1.5 GiB", "--memory")) == (32e9, 1.5 * 2**30)
    assert (count_of("300B", "--tokens"), count_of("2e9", "--tokens")) == (300e9, 2e9)
    assert (rate_of("39TFLOPS"), rate_of("1.5 GFLOP/s")) == (39e12, 1.5e9)
    with pytest.raises(InvalidInput, match="such as 32GB or 80GiB, not '32'"):
        bytes_of("32", "--memory")
    with pytest.raises(InvalidInput, match="--tokens takes a number"):
        count_of("many", "--tokens")
    with pytest.raises(InvalidInput, match="--rate takes operations a second"):
        rate_of("39")
    with pytest.raises(NotFound, match="did you mean 'v100'"):
        device("v10")
