"""Time and memory of a training step of the external memories, over the length of the sequence.

    python benchmarks/memory_length.py

A batch of 4 sequences of 8 bits, 20 to 640 steps; 128 slots of 20, LSTM controller of 100, one read head. A step is
forward, backward and an update. The memory of a step is the peak of a process of its own, above what the process had
after a step on a short sequence. Both are fitted by a straight line: the share of the variance that it explains is
printed.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measure import alternate, evidence, own_peak, peak_memory, straight
from torch import nn
from torch.nn import functional as F

from saccade.memory import DNC, NTM, SparseAccessMemory

BATCH, BITS, HIDDEN, SLOTS, SIZE = 4, 8, 100, 128, 20
LENGTHS = (20, 40, 80, 160, 320, 640)
FORMS: dict[str, Any] = {"NTM": NTM, "DNC": DNC, "sparse access memory": SparseAccessMemory}


def training_step(form: str, length: int) -> Callable[[], None]:
    """A whole update on the same sequences each time."""
    torch.manual_seed(0)
    model: nn.Module = FORMS[form](BITS, BITS, hidden_size=HIDDEN, slots=SLOTS, slot_size=SIZE)
    inputs = torch.randint(2, (BATCH, length, BITS)).float()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-6)

    def step() -> None:
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(model(inputs)[0], inputs).backward()
        optimizer.step()

    return step


def megabytes(form: str, length: int) -> float:
    """The peak of this process above that of a short sequence."""
    training_step(form, 2)()
    before = own_peak()
    training_step(form, length)()
    return own_peak() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    parser.add_argument("--peak", nargs=2, metavar=("FORM", "LENGTH"), help="print the memory of one step")
    options = parser.parse_args()
    if options.peak:
        print(megabytes(options.peak[0], int(options.peak[1])))
        return
    result: dict[str, Any] = {"lengths": LENGTHS, "milliseconds": {}, "megabytes": {}}
    summary = {}
    for form in FORMS:
        seconds = alternate({str(length): training_step(form, length) for length in LENGTHS}, options.rounds)
        times = [round(1000 * statistics.median(own), 1) for own in seconds.values()]
        peaks = [
            round(peak_memory(str(Path(__file__)), ["--peak", form, str(length)]), 1) for length in LENGTHS
        ]  # fmt: skip
        result["milliseconds"][form], result["megabytes"][form] = times, peaks
        print(form, json.dumps({"ms": times, "MB": peaks}))
        longer = f"{LENGTHS[-1]} steps over one of {LENGTHS[2]}, {LENGTHS[-1] // LENGTHS[2]} x as long"
        summary[f"{form}: training step of {longer}"] = (
            f"{times[-1] / times[2]:.1f} x the time, {peaks[-1] / peaks[2]:.1f} x the memory; straight lines explain "
            f"{straight(LENGTHS, times):.1%} and {straight(LENGTHS, peaks):.1%}"
        )
    if options.write:
        print(evidence("memory_length", summary, result))


if __name__ == "__main__":
    main()
