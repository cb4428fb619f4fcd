"""Time the training of the Transformer, compared with torch.nn.Transformer and with the machine's limit.

    python benchmarks/transformer_training.py [--precision bfloat16] [--torchs-products]

The peer is used as in its tutorials: embeddings scaled, sinusoids from a table, one linear layer onto the vocabulary,
logits of all positions, torch's cross-entropy with label smoothing. Sizes, optimizer and clipping are the same, and
there is no padding. The peer's dropout also drops attention weights, unlike ours and the paper's, and on a CPU this
disables its fused kernel. So both are timed with dropout, as in training, and without, to compare only the arithmetic.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import measure
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.products import install
from saccade.systems.transformer.model import Transformer, TransformerConfig

HEADS, LAYERS, VOCABULARY, BATCH, LENGTH = 8, 3, 6000, 128, 15
SIZES, FORMS = (256, 512), ("saccade", "torch")


class Peer(nn.Module):
    """torch.nn.Transformer with embeddings before it and a linear layer after it."""

    def __init__(self, size: int, dropout: float) -> None:
        super().__init__()
        self.source_embedding = nn.Embedding(VOCABULARY, size)
        self.target_embedding = nn.Embedding(VOCABULARY, size)
        places = torch.arange(LENGTH)[:, None] * torch.exp(torch.arange(0, size, 2) * (-math.log(10_000.0) / size))
        self.register_buffer("places", torch.stack([places.sin(), places.cos()], -1).flatten(1))
        self.dropout = nn.Dropout(dropout)
        self.transformer = nn.Transformer(size, HEADS, LAYERS, LAYERS, 4 * size, dropout, batch_first=True)
        self.output = nn.Linear(size, VOCABULARY)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        scale = self.places.shape[1] ** 0.5
        embedded = [
            self.dropout(scale * table(tokens) + self.places)
            for table, tokens in ((self.source_embedding, source), (self.target_embedding, target))
        ]
        causal = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        decoded: Tensor = self.output(self.transformer(*embedded, tgt_mask=causal, tgt_is_causal=True))
        return decoded


def operations(size: int) -> float:
    """Floating-point operations of one update: a multiply and an add for each weight and token, three times (forward,
    the gradient of the inputs, the gradient of the weights), and the two products of each attention likewise."""
    attention, feed_forward, looks = 4 * size**2, 2 * size * 4 * size, 2 * LENGTH * size
    token = LAYERS * (3 * (attention + looks) + 2 * feed_forward) + size * VOCABULARY
    return 3 * 2 * BATCH * LENGTH * token


def update(form: str, size: int, dropout: float, precision: str) -> Callable[[], None]:
    """A function to time: one update of the weights."""
    torch.manual_seed(0)
    config = TransformerConfig(
        layers=LAYERS, model_size=size, heads=HEADS, hidden_size=4 * size, dropout=dropout, tie="none"
    )
    model: Any = Transformer(config, VOCABULARY, VOCABULARY) if form == "saccade" else Peer(size, dropout)
    if form == "saccade":
        install(model)  # as when a run is built
    source, target = (torch.randint(4, VOCABULARY, (BATCH, LENGTH)) for _ in range(2))
    mask = torch.ones_like(source, dtype=torch.bool)
    fused = precision == "float32"
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.0, fused=fused)

    def narrow() -> AbstractContextManager[Any]:
        return nullcontext() if precision == "float32" else torch.autocast("cpu", torch.bfloat16)

    def step() -> None:
        optimizer.zero_grad()
        with narrow():
            if form == "saccade":
                loss = model(source, mask, target).cross_entropy(target, 0, 0.1)
            else:
                logits = model(source, target).flatten(0, 1)
                loss = F.cross_entropy(logits, target.flatten(), ignore_index=0, label_smoothing=0.1)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument(
        "--memory-of", choices=FORMS, help="only: run this form at the first size, print its peak in MB"
    )
    parser.add_argument(
        "--torchs-products", action="store_true", help="without oneDNN in float32, as on most processors"
    )
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    if options.torchs_products:
        measure.take_torchs_products()
    if options.memory_of:
        step = update(options.memory_of, options.sizes[0], 0.1, options.precision)
        for _ in range(3):
            step()
        print(measure.own_peak())
        return
    result: dict[str, Any] = {
        "sizes": {"heads": HEADS, "layers": LAYERS, "vocabulary": VOCABULARY, "batch": BATCH, "length": LENGTH},
        "precision": options.precision,
        "torchs_products": options.torchs_products,
        "rounds": options.rounds,
    }
    summary = {}
    for size in options.sizes:
        found: dict[str, Any] = {}
        for dropout in (0.1, 0.0):
            forms = {form: update(form, size, dropout, options.precision) for form in FORMS}
            seconds = measure.alternate(forms | measure.matrix_products(), options.rounds)
            found[f"dropout {dropout}"] = {
                "target_tokens_per_second": {f: round(BATCH * LENGTH / statistics.median(seconds[f])) for f in FORMS},
                "times_torch": round(measure.ratio(seconds["torch"], seconds["saccade"]), 2),
                "share_of_the_float32_floor": {
                    form: measure.shares_of_the_floor(operations(size), seconds, form) for form in FORMS
                },
                "gflop_per_second": measure.gflop_per_second(seconds),
            }
        arguments = ["--sizes", str(size), "--precision", options.precision]
        arguments += ["--torchs-products"] * options.torchs_products + ["--memory-of"]
        kind = f"d = {size}, {options.precision}" + ", torch's own products" * options.torchs_products
        peaks = {form: round(measure.peak_memory(sys.argv[0], [*arguments, form])) for form in FORMS}
        result[f"d = {size}"] = {**found, "gflop_per_update": round(operations(size) / 1e9, 1), "peak_mb": peaks}
        with_, without = found["dropout 0.1"], found["dropout 0.0"]
        summary |= {
            f"training of the Transformer, {kind}, beside torch.nn.Transformer": (
                f"{with_['times_torch']} x; without dropout {without['times_torch']} x"
            ),
            f"... {kind}: share of the float32 floor": (
                f"{measure.percentages(with_['share_of_the_float32_floor']['saccade'])}; without dropout "
                f"{measure.percentages(without['share_of_the_float32_floor']['saccade'])}"
            ),
            f"... {kind}: peak memory, ours and torch's": (f"{peaks['saccade']} MB and {peaks['torch']} MB"),
        }
    print(json.dumps(result, indent=1))
    if options.write:
        print(measure.evidence("transformer_training", summary, result))


if __name__ == "__main__":
    main()
