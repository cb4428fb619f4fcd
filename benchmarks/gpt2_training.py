"""Time the training of GPT-2's net beside nanoGPT's form, and the peak memory with GPT-2's vocabulary.

    python benchmarks/gpt2_training.py

6 blocks of 384 features, 6 heads, 256 positions, 65 symbols: the sizes of nanoGPT's recipe for tinyshakespeare. The
peer is written as nanoGPT is: one matrix for queries, keys and values, torch's fused kernel, dropout of the attention
weights as well as of sub-layers, logits of all positions, torch's cross-entropy, no biases other than ours. Both take
the same optimizer and clipping. Dropout of the attention weights leaves a CPU's fused kernel; ours drops none.

Peak memory: 50,257 symbols, 2,048 a batch, above the weights, their gradients and the optimizer's state.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from typing import Any

import measure
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.products import install
from saccade.nets.language_model import LanguageModel, LanguageModelConfig

LAYERS, SIZE, HEADS, POSITIONS, FORMS = 6, 384, 6, 256, ("saccade", "nanogpt")


class PeerBlock(nn.Module):
    """A block in nanoGPT's form."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(SIZE), nn.LayerNorm(SIZE)
        self.attention, self.projection = nn.Linear(SIZE, 3 * SIZE), nn.Linear(SIZE, SIZE)
        self.hidden, self.output = nn.Linear(SIZE, 4 * SIZE), nn.Linear(4 * SIZE, SIZE)
        self.rate, self.dropout, self.gelu = dropout, nn.Dropout(dropout), nn.GELU(approximate="tanh")

    def forward(self, x: Tensor) -> Tensor:
        b, t, d = x.shape
        parts = self.attention(self.first(x)).split(d, 2)
        query, keys, values = (part.view(b, t, HEADS, d // HEADS).transpose(1, 2) for part in parts)
        rate = self.rate if self.training else 0.0
        heads = F.scaled_dot_product_attention(query, keys, values, None, rate, is_causal=True)
        x = x + self.dropout(self.projection(heads.transpose(1, 2).contiguous().view(b, t, d)))
        done: Tensor = x + self.dropout(self.output(self.gelu(self.hidden(self.second(x)))))
        return done


class Peer(nn.Module):
    """The net in nanoGPT's form."""

    def __init__(self, dropout: float, symbols: int) -> None:
        super().__init__()
        self.embedding, self.positions = nn.Embedding(symbols, SIZE), nn.Embedding(POSITIONS, SIZE)
        self.dropout, self.norm = nn.Dropout(dropout), nn.LayerNorm(SIZE)
        self.blocks = nn.ModuleList(PeerBlock(dropout) for _ in range(LAYERS))
        self.output = nn.Linear(SIZE, symbols, bias=False)
        self.output.weight = self.embedding.weight
        for weight in self.parameters():
            if weight.ndim == 2:
                nn.init.normal_(weight, std=0.02)

    def forward(self, symbols: Tensor, targets: Tensor) -> Tensor:
        x = self.dropout(self.embedding(symbols) + self.positions(torch.arange(symbols.shape[1])))
        for block in self.blocks:
            x = block(x)
        logits = self.output(self.norm(x))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1), ignore_index=-1)


def operations(batch: int, symbols: int) -> float:
    """Floating-point operations of one update: a multiply and an add for each weight and symbol, three times; and the
    two products of each attention, of which the causal half is needed."""
    token = LAYERS * (12 * SIZE**2 + POSITIONS * SIZE) + symbols * SIZE
    return 3 * 2.0 * batch * token


def update(form: str, dropout: float, batch: int, symbols: int) -> Callable[[], None]:
    """A function to time: one update of the weights."""
    torch.manual_seed(0)
    sizes = LanguageModelConfig(layers=LAYERS, model_size=SIZE, heads=HEADS, positions=POSITIONS, dropout=dropout)
    model: Any = LanguageModel(sizes, symbols) if form == "saccade" else Peer(dropout, symbols)
    if form == "saccade":
        install(model)  # as when a run is built
    text = torch.randint(symbols, (batch // POSITIONS, POSITIONS + 1))
    mask = torch.ones_like(text, dtype=torch.bool)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.1, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        if form == "saccade":
            loss = model(text[:, :-1], mask[:, :-1]).cross_entropy(text[:, 1:], -1)
        else:
            loss = model(text[:, :-1], text[:, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def above_weights(form: str, symbols: int, batch: int) -> float:
    """The peak of two updates above what weights, gradients and the optimizer's state take, in MB."""
    before = measure.own_peak()
    step = update(form, 0.0, batch, symbols)
    for _ in range(2):
        step()
    weights = LAYERS * (12 * SIZE**2 + 13 * SIZE) + (symbols + POSITIONS + 2) * SIZE
    return measure.own_peak() - before - 4 * 4 * weights / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=3072, help="symbols of a batch")
    parser.add_argument("--vocabulary", type=int, default=50_257, help="symbols for the peak memory")
    parser.add_argument("--memory-of", choices=FORMS, help="only: run this form, print its peak above weights in MB")
    parser.add_argument("--torchs-products", action="store_true", help="without oneDNN in float32")
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    if options.torchs_products:
        measure.take_torchs_products()
    if options.memory_of:
        print(above_weights(options.memory_of, options.vocabulary, 2048))
        return
    result: dict[str, Any] = {
        "sizes": {"layers": LAYERS, "d": SIZE, "heads": HEADS, "positions": POSITIONS, "batch": options.batch},
        "torchs_products": options.torchs_products,
        "rounds": options.rounds,
    }
    summary = {}
    for dropout in (0.0, 0.2):
        forms = {form: update(form, dropout, options.batch, 65) for form in FORMS}
        seconds = measure.alternate(forms | measure.matrix_products(), options.rounds, warm=1)
        shares = {
            form: measure.shares_of_the_floor(operations(options.batch, 65), seconds, form) for form in FORMS
        }  # fmt: skip
        found = {
            "symbols_per_second": {form: round(options.batch / statistics.median(seconds[form])) for form in FORMS},
            "times_nanogpt": round(measure.ratio(seconds["nanogpt"], seconds["saccade"]), 2),
            "share_of_the_float32_floor": shares,
            "gflop_per_second": measure.gflop_per_second(seconds),
        }
        result[f"dropout {dropout}"] = found
        summary[f"training of GPT-2's net beside nanoGPT's form, dropout {dropout}"] = (
            f"{found['times_nanogpt']} x; {measure.percentages(shares['saccade'])} of the float32 floor"
        )
    arguments = ["--vocabulary", str(options.vocabulary)] + ["--torchs-products"] * options.torchs_products
    peaks = {f: round(measure.peak_memory(sys.argv[0], [*arguments, "--memory-of", f])) for f in FORMS}
    result["peak_above_weights_mb"] = peaks
    summary[f"... peak memory above weights and optimizer, {options.vocabulary:,} symbols, ours and nanoGPT's"] = (
        f"{peaks['saccade']} MB and {peaks['nanogpt']} MB ({peaks['saccade'] / max(1, peaks['nanogpt']):.2f} x)"
    )
    print(json.dumps(result, indent=1))
    if options.write:
        print(measure.evidence("gpt2_training", summary, result))


if __name__ == "__main__":
    main()
