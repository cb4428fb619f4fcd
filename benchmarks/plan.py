"""Time an update of language models beside the planner's estimate, on sizes that it was not calibrated on.

    python benchmarks/plan.py

The machine's rates are measured once: that of large matrix products, that of a copy, and, on one size of the net, the
share of the product rate that its products reach. Two other sizes, one smaller and one larger, are then planned with
these and timed.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import measure
import torch

from saccade.core.products import install
from saccade.nets.language_model import BLOCKS, LanguageModel, LanguageModelConfig
from saccade.runs.footprint import Footprint, footprint
from saccade.runs.memory import sized
from saccade.tasks.text import Bytes, TextConfig
from saccade.tasks.text.objective import next_symbol
from saccade.tasks.text.outline import outline
from saccade.training.config import TrainingConfig
from saccade.training.evidence import processor
from saccade.training.optimizers import build_optimizer

SYMBOLS, WINDOW = 256, 128
TASK = TextConfig(symbols=Bytes(), window=WINDOW, context=64)
PRODUCT = "fastest product"


class Size(NamedTuple):
    layers: int
    width: int
    examples: int

    @property
    def config(self) -> LanguageModelConfig:
        return LanguageModelConfig(
            layers=self.layers, model_size=self.width, heads=self.width // 32, positions=WINDOW, dropout=0.0
        )


CALIBRATION, PLANNED = Size(4, 256, 16), (Size(3, 160, 24), Size(6, 384, 12))


def update(size: Size) -> Callable[[], object]:
    """An update, as a function to time."""
    model, batch = LanguageModel(size.config, SYMBOLS), outline(TASK).batch(size.examples)
    batch = batch._replace(symbols=torch.randint(SYMBOLS, batch.symbols.shape))
    install(model)
    optimizer = build_optimizer(TrainingConfig(), model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        next_symbol(model, batch, 0).value.backward()
        optimizer.step()

    return step


def planned(size: Size) -> tuple[Footprint, int]:
    """The footprint of an update, and the bytes that the optimizer reads and writes: seven numbers a weight."""
    model = sized(lambda: LanguageModel(size.config, SYMBOLS))
    with torch.device("meta"):
        batch = outline(TASK).batch(size.examples)
    weights = sum(weight.numel() for weight in model.parameters())
    return footprint(model, batch, next_symbol, blocks=BLOCKS), 7 * 4 * weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    source, target = torch.randn(1 << 24), torch.empty(1 << 24)
    forms: dict[Any, Callable[[], object]] = {size: update(size) for size in (CALIBRATION, *PLANNED)}
    forms |= {"copy": lambda: target.copy_(source), **measure.matrix_products()}
    timed = measure.alternate(forms, options.rounds)
    seconds: dict[Any, float] = {name: statistics.median(one) for name, one in timed.items()}
    rate, bandwidth = 2 * measure.CUBE**3 / seconds[PRODUCT], 2 * 4 * len(source) / seconds["copy"]
    cost, kept = planned(CALIBRATION)
    rest = seconds[CALIBRATION] - (cost.moved + kept) / bandwidth
    # on a machine whose operations are slower than copies nothing may be left; then products run at their rate
    share = min(1.0, cost.flops / rate / rest) if rest > 0 else 1.0
    sizes, summary = {}, {}
    for size in PLANNED:
        cost, kept = planned(size)
        found = cost.flops / (share * rate) + (cost.moved + kept) / bandwidth
        name = f"{size.layers} x {size.width}"
        sizes[name] = {"planned_ms": round(1000 * found, 1), "measured_ms": round(1000 * seconds[size], 1)}
        summary[f"an update of {name}, {size.examples} x {WINDOW} symbols, planned and measured"] = (
            f"{1000 * found:.0f} ms and {1000 * seconds[size]:.0f} ms ({found / seconds[size]:.2f} x)"
        )
    result = {
        "processor": processor(), "calibrated_on": CALIBRATION._asdict(), "share_of_the_product_rate": round(share, 3),
        "gflop_per_second": round(rate / 1e9, 1), "copy_gb_per_second": round(bandwidth / 1e9, 1), "sizes": sizes,
        "rounds": options.rounds,
    }  # fmt: skip
    print(json.dumps(result, indent=1))
    if options.write:
        print(measure.evidence("plan", summary, result))


if __name__ == "__main__":
    main()
