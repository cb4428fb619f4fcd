"""Time a conditional random field: loss and gradient, and decoding, beside the loops of the PyTorch tutorial and, if it
is installed, pytorch-crf. All have the same scores.

    pip install pytorch-crf
    python benchmarks/linear_chain.py

The tutorial's form sums tag by tag and word by word, for one sentence at a time; its start and end are two more tags.
Process time on one core.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from measure import alternate, evidence, ratio
from torch import Tensor

from saccade.core.errors import installed
from saccade.core.masks import length_mask
from saccade.nets.linear_chain import LinearChain

SENTENCES, WORDS, TAGS = 32, 25, 13
NEVER = -10000.0


class Loops:
    """A sentence at a time, a tag at a time, as a tutorial writes it."""

    def __init__(self, chain: LinearChain) -> None:
        size = chain.tags + 2  # the last two are start and end; a row is the tag that is reached
        self.start, self.end = size - 2, size - 1
        moves = torch.full((size, size), NEVER)
        moves[: chain.tags, : chain.tags] = chain.transitions.detach().T
        moves[: chain.tags, self.start] = chain.start.detach()
        moves[self.end, : chain.tags] = chain.end.detach()
        self.transitions = moves.requires_grad_()

    def log_partition(self, rows: Tensor) -> Tensor:
        before = torch.full((1, self.end + 1), NEVER)
        before[0][self.start] = 0.0
        for row in rows:
            reached = [
                (before + self.transitions[tag].view(1, -1) + row[tag].expand(1, self.end + 1)).logsumexp(1).view(1)
                for tag in range(self.end + 1)
            ]
            before = torch.cat(reached).view(1, -1)
        return (before + self.transitions[self.end]).logsumexp(1)[0]

    def score(self, rows: Tensor, tags: Tensor) -> Tensor:
        total, path = torch.zeros(1), torch.cat([torch.tensor([self.start]), tags])
        for place, row in enumerate(rows):
            total = total + self.transitions[path[place + 1], path[place]] + row[path[place + 1]]
        return total + self.transitions[self.end, path[-1]]

    def loss(self, emissions: Tensor, tags: Tensor, lengths: list[int]) -> Tensor:
        wider = torch.cat([emissions, emissions.new_full((*emissions.shape[:2], 2), NEVER)], 2)
        each = [
            self.log_partition(rows[:length]) - self.score(rows[:length], own[:length])
            for rows, own, length in zip(wider, tags, lengths, strict=True)
        ]
        return torch.stack(each).sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    ours = LinearChain(TAGS)
    lengths = torch.randint(5, WORDS + 1, (SENTENCES,))
    lengths[0] = WORDS
    mask, tags = length_mask(lengths, WORDS), torch.randint(TAGS, (SENTENCES, WORDS))
    emissions = torch.randn(SENTENCES, WORDS, TAGS, requires_grad=True)
    loops = Loops(ours)
    losses: dict[str, Callable[[], Tensor]] = {
        "ours": lambda: -ours(emissions, tags, mask).sum(),
        "loops": lambda: loops.loss(emissions, tags, lengths.tolist()),
    }
    decoders: dict[str, Callable[[], Any]] = {"ours": lambda: ours.viterbi(emissions.detach(), mask)}
    if installed("torchcrf"):
        import torchcrf

        peer = torchcrf.CRF(TAGS, batch_first=True)
        with torch.no_grad():
            peer.transitions.copy_(ours.transitions)
            peer.start_transitions.copy_(ours.start)
            peer.end_transitions.copy_(ours.end)
        losses["pytorch-crf"] = lambda: -peer(emissions, tags, mask)
        decoders["pytorch-crf"] = lambda: peer.decode(emissions.detach(), mask)
        ahead = [path[: int(length)] for path, length in zip(decoders["ours"]().tolist(), lengths, strict=True)]
        assert ahead == decoders["pytorch-crf"]()

    def slope(name: str) -> Tensor:
        emissions.grad = None
        losses[name]().backward()
        assert emissions.grad is not None
        return emissions.grad

    for name, loss in losses.items():
        torch.testing.assert_close(loss().reshape(()), losses["ours"]().reshape(()), rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(slope(name), slope("ours"), rtol=1e-3, atol=1e-4)
    learning: dict[str, Callable[[], object]] = {name: lambda name=name: slope(name) for name in losses}  # type: ignore[misc]
    # ten calls at once beside a single one of the loops, after which a first call runs on cold caches
    fast = {name: lambda form=form: [form() for _ in range(10)] for name, form in learning.items() if name != "loops"}  # type: ignore[misc]
    slow = alternate({"ours": fast["ours"], "loops": learning["loops"]}, 5, 1, time.process_time)
    quick = alternate(fast, options.rounds, 2, time.process_time)
    tens = {name: lambda form=form: [form() for _ in range(10)] for name, form in decoders.items()}  # type: ignore[misc]
    decoded = alternate(tens, options.rounds, 2, time.process_time)
    result: dict[str, Any] = {
        "sentences": SENTENCES, "words": WORDS, "tags": TAGS,
        "milliseconds": {
            "loss and gradient": {name: 100 * statistics.median(each) for name, each in quick.items()}
            | {"loops": 1000 * statistics.median(slow["loops"])},
            "decoding": {name: 100 * statistics.median(each) for name, each in decoded.items()},
        },
        "times_the_loops": round(10 * ratio(slow["loops"], slow["ours"]), 1),
    }  # fmt: skip
    said = {"loss and gradient of a chain beside the tutorial's loops": f"{result['times_the_loops']} x"}
    for key, label, seconds in (
        ("times_pytorch_crf", "loss and gradient of a chain beside pytorch-crf", quick),
        ("decoding_times_pytorch_crf", "decoding a chain beside pytorch-crf", decoded),
    ):
        if "pytorch-crf" in seconds:
            result[key] = round(ratio(seconds["pytorch-crf"], seconds["ours"]), 2)
            said[label] = f"{result[key]} x"
    print(json.dumps(result, indent=1))
    if options.write:
        print(evidence("linear_chain", said, result))


if __name__ == "__main__":
    main()
