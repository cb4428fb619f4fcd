"""Time the prefix search of CTC: frames per second on one core, with 30 labels and a beam of 16.

    python benchmarks/ctc_decoding.py

Frames are random: flat ones, where any label may follow any prefix, and peaked ones like those of a trained net, mostly
blanks.
"""

import argparse
import json
import statistics
import time

import torch
from measure import evidence

from saccade.attention.ctc import prefix_beam_search

FRAMES, SYMBOLS, BEAM = 1000, 31, 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    flat = torch.randn(FRAMES, SYMBOLS)
    peaks = torch.randint(1, SYMBOLS, (FRAMES,)).masked_fill(torch.rand(FRAMES) < 0.8, 0)
    kinds = {"flat": flat, "peaked": flat + 8 * torch.nn.functional.one_hot(peaks, SYMBOLS)}
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(options.rounds):
        for name, logits in kinds.items():
            begun = time.perf_counter()
            prefix_beam_search(logits.log_softmax(1), BEAM)
            rates[name].append(FRAMES / (time.perf_counter() - begun))
    found = {name: round(statistics.median(values)) for name, values in rates.items()}
    result = {"frames": FRAMES, "labels": SYMBOLS - 1, "beam": BEAM, "frames_per_second": found}
    print(json.dumps(result, indent=1))
    if options.write:
        said = {
            f"prefix search of CTC, frames a second on one core, {name}": f"{rate:,}" for name, rate in found.items()
        }
        print(evidence("ctc_decoding", said, result))


if __name__ == "__main__":
    main()
