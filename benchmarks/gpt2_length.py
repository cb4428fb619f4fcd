"""Memory of a training step of GPT-2's net over the length of the text, to 8,192 symbols.

    python benchmarks/gpt2_length.py

4 blocks of 256 features, 8 heads, one text of 512 to 8,192 bytes: forward, backward and an update by AdamW, with blocks
kept or computed again. The memory is the peak of a process of its own, above what the process had after a step on 16
symbols. A straight line is fitted: the share of the variance that it explains is printed, beside what the weights of
all heads alone would take if they were kept, as in attention that is written out.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from measure import evidence, own_peak, peak_memory, straight

from saccade.core.products import install
from saccade.nets.language_model import LanguageModel, LanguageModelConfig
from saccade.systems.gpt2.recipe import RECIPE
from saccade.training.sharding import recompute

LAYERS, SIZE, HEADS, SYMBOLS = 4, 256, 8, 256
LENGTHS = (512, 1024, 2048, 4096, 8192)
FORMS = ("kept", "computed again")


def megabytes(form: str, length: int) -> float:
    """The peak of this process above that of a short text."""
    sizes = LanguageModelConfig(layers=LAYERS, model_size=SIZE, heads=HEADS, positions=LENGTHS[-1], dropout=0.0)
    model = LanguageModel(sizes, SYMBOLS)
    install(model)  # as when a run is built
    if form == FORMS[1]:
        recompute(model, RECIPE.blocks)
    optimizer = torch.optim.AdamW(model.parameters())

    def step(count: int) -> None:
        symbols = torch.randint(SYMBOLS, (1, count + 1))
        optimizer.zero_grad()
        model(symbols[:, :-1]).cross_entropy(symbols[:, 1:], -1).backward()
        optimizer.step()

    step(16)
    before = own_peak()
    step(length)
    return own_peak() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    parser.add_argument("--peak", nargs=2, metavar=("FORM", "LENGTH"), help="print the memory of one step")
    options = parser.parse_args()
    if options.peak:
        print(megabytes(options.peak[0], int(options.peak[1])))
        return
    scores = [round(LAYERS * HEADS * length**2 * 4 / 2**20, 1) for length in LENGTHS]
    result: dict[str, Any] = {"lengths": LENGTHS, "megabytes": {}, "weights of the heads": scores}
    summary = {}
    for form in FORMS:
        peaks = [round(peak_memory(str(Path(__file__)), ["--peak", form, str(length)]), 1) for length in LENGTHS]
        result["megabytes"][f"blocks {form}"] = peaks
        print(form, json.dumps(peaks))
        summary[f"memory of a training step of GPT-2's net, {LENGTHS[-1]:,} symbols, blocks {form}"] = (
            f"{peaks[-1]:,.0f} MB, {peaks[-1] / peaks[0]:.1f} x that of {LENGTHS[0]}; a straight line explains "
            f"{straight(LENGTHS, peaks):.2%}; the weights of the heads alone would be {scores[-1]:,.0f} MB"
        )
    if options.write:
        print(evidence("gpt2_length", summary, result))


if __name__ == "__main__":
    main()
