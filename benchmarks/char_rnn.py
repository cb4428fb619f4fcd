"""Time a recurrent language model: training beside a bare torch.nn.LSTM loop, and 64 samples written at once beside one
by one.

    python benchmarks/char_rnn.py

The bare loop is an embedding, torch.nn.LSTM with a carried state, a linear layer, the cross-entropy, clipping and Adam.
Both begin with the same weights; the loss and the gradients of the first window are compared. Symbols are random.
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
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.recipe import Loss
from saccade.systems.char_rnn.model import CharRNN, CharRNNConfig
from saccade.systems.char_rnn.recipe import objective
from saccade.systems.char_rnn.writing import write
from saccade.tasks.text import Batch

SYMBOLS, ROWS, WINDOW, EMBEDDING, HIDDEN = 65, 32, 64, 64, 384
SAMPLES, LENGTH = 64, 50


class Bare(nn.Module):
    """The net as a tutorial writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, EMBEDDING)
        self.recurrent = nn.LSTM(EMBEDDING, HIDDEN, batch_first=True)
        self.output = nn.Linear(HIDDEN, SYMBOLS)

    def forward(self, symbols: Tensor, state: Any) -> tuple[Tensor, Any]:
        outputs, state = self.recurrent(self.embedding(symbols), state)
        return self.output(outputs), state

    def pairs(self, ours: CharRNN) -> list[tuple[nn.Parameter, nn.Parameter]]:
        """Each parameter beside that of our net in its place."""
        [[recurrent]] = ours.recurrent.layers  # one layer, one direction
        inner = [(self.embedding, ours.embedding), (self.recurrent, recurrent), (self.output, ours.output)]
        return [(own, other.get_parameter(name)) for bare, other in inner for name, own in bare.named_parameters()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes = CharRNNConfig(cell="lstm", embedding_size=EMBEDDING, hidden_size=HIDDEN, dropout=0.0)
    ours, bare = CharRNN(sizes, SYMBOLS), Bare()
    symbols = torch.randint(SYMBOLS, (ROWS, WINDOW + 1))
    mask = torch.ones_like(symbols, dtype=torch.bool)
    scored = mask.clone()
    scored[:, 0] = False
    carried: dict[str, Any] = {"ours": None, "bare": None}

    def loss_of_ours() -> Tensor:
        batch = Batch(symbols, mask, scored, torch.zeros(ROWS, dtype=torch.long), carried["ours"])
        loss: Loss = objective(ours, batch, 0)
        carried["ours"] = loss.carry.detach()
        return loss.value

    def loss_of_bare() -> Tensor:
        logits, state = bare(symbols[:, :-1], carried["bare"])
        carried["bare"] = tuple(part.detach() for part in state)
        return F.cross_entropy(logits.flatten(0, 1), symbols[:, 1:].flatten())

    pairs = bare.pairs(ours)
    assert len(pairs) == len(list(ours.parameters()))
    with torch.no_grad():
        for own, other in pairs:
            own.copy_(other)
    first = {"ours": loss_of_ours(), "bare": loss_of_bare()}
    torch.testing.assert_close(first["bare"], first["ours"])
    for loss in first.values():
        loss.backward()
    for own, other in pairs:
        torch.testing.assert_close(own.grad, other.grad)
    carried = {"ours": None, "bare": None}

    def train_ours() -> None:
        update(ours, adam["ours"], loss_of_ours())

    def train_bare() -> None:
        update(bare, adam["bare"], loss_of_bare())

    adam = {name: torch.optim.Adam(net.parameters()) for name, net in (("ours", ours), ("bare", bare))}
    training = alternate({"ours": train_ours, "bare": train_bare}, options.rounds, 2, time.process_time)
    texts = torch.randint(SYMBOLS, (SAMPLES, 5))
    ours.eval()

    def written(rows: list[int]) -> Callable[[], object]:
        def run() -> Tensor:
            with torch.inference_mode():
                own = texts[rows]
                return write(ours, own, torch.ones_like(own, dtype=torch.bool), LENGTH, 1.0, rows)

        return run

    alone = [written([row]) for row in range(SAMPLES)]
    together = written(list(range(SAMPLES)))
    sampling = alternate({"together": together, "alone": lambda: [run() for run in alone]}, 3, 1, time.process_time)
    result = {
        "rows": ROWS, "window": WINDOW, "hidden": HIDDEN, "samples": SAMPLES, "length": LENGTH,
        "milliseconds": {name: 1000 * statistics.median(each) for name, each in (training | sampling).items()},
        "training_beside_bare": round(ratio(training["bare"], training["ours"]), 2),
        "together_beside_alone": round(ratio(sampling["alone"], sampling["together"]), 1),
    }  # fmt: skip
    print(json.dumps(result, indent=1))
    if options.write:
        said = {
            "training a recurrent language model beside a bare torch.nn.LSTM": f"{result['training_beside_bare']} x",
            "64 samples at once beside one by one": f"{result['together_beside_alone']} x",
        }
        print(evidence("char_rnn", said, result))


def update(net: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()


if __name__ == "__main__":
    main()
