"""A training step of an external memory on the copy task, beside the plain form.

    python benchmarks/memory_step.py

A sequence of 20 vectors of 8 bits, a delimiter, and 20 steps in which to answer; memory of 128 x 20, LSTM controller of
100. A step is forward, backward, clipping and an update by RMSprop. The plain form of the Turing machine goes step by
step with autograd, head by head, and convolves one row of the batch at a time; it has the same weights, and its outputs
and gradients are compared before anything is timed. Both forms are timed with one thread and then with all: a second
thread pays little for operations as small as these. The neural computer stands beside the `dnc` package, if that is
installed (pip install dnc), with 4 read heads and as many weights. For the sparse access memory, a step with and
without its search, and the search alone, are measured from 1,024 to 65,536 slots.
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

from saccade.memory import DNC, NTM, SparseAccessMemory
from saccade.memory.sparse_addressing import nearest

BITS, LENGTH, HIDDEN, SLOTS, SIZE = 8, 20, 100, 128, 20
READS = 4
MANY = (1024, 4096, 16384, 65536)


class PlainHead(nn.Module):
    """One head of the plain form: its own layer, and the paper's stages one after the other."""

    def __init__(self, writes: bool) -> None:
        super().__init__()
        self.sizes = [SIZE, 1, 1, 3, 1] + ([SIZE, SIZE] if writes else [])
        self.layer = nn.Linear(HIDDEN, sum(self.sizes))

    def forward(self, hidden: Tensor, memory: Tensor, previous: Tensor) -> tuple[Tensor, list[Tensor]]:
        key, strength, gate, shift, sharpness, *written = self.layer(hidden).split(self.sizes, 1)
        strength, gate, shift = F.softplus(strength), torch.sigmoid(gate), F.softmax(shift, 1)
        near = F.cosine_similarity(memory, key[:, None], dim=2, eps=1e-12)
        weights = F.softmax(strength * near, 1)
        weights = gate * weights + (1 - gate) * previous
        rows = []
        for row, kernel in zip(weights, shift, strict=True):
            around = torch.cat([row[-1:], row, row[:1]])
            rows.append(F.conv1d(around[None, None], kernel.flip(0)[None, None])[0, 0])
        powers = torch.stack(rows) ** (1 + F.softplus(sharpness))
        return powers / (powers.sum(1, keepdim=True) + 1e-16), written


class PlainNTM(nn.Module):
    """The Turing machine step by step, with the weights of ours."""

    def __init__(self, ours: NTM) -> None:
        super().__init__()
        self.cell, self.read, self.write = nn.LSTMCell(BITS + 1 + SIZE, HIDDEN), PlainHead(False), PlainHead(True)
        self.output = nn.Linear(HIDDEN + SIZE, BITS)
        self.first_weights, self.first_reads = nn.Parameter(torch.zeros(2, SLOTS)), nn.Parameter(torch.zeros(1, SIZE))
        with torch.no_grad():
            controller = ours.controller
            assert controller.weight_hidden is not None
            self.cell.weight_ih.copy_(torch.cat([controller.weight_input, controller.weight_reads], 1))
            self.cell.weight_hh.copy_(controller.weight_hidden)
            self.cell.bias_ih.copy_(controller.bias)
            self.cell.bias_hh.zero_()
            # ours takes the reads first
            self.output.weight.copy_(ours.output.weight.roll(HIDDEN, 1))
            self.output.bias.copy_(ours.output.bias)
            self.first_weights.copy_(ours.initial_weights)
            self.first_reads.copy_(ours.initial_reads)
            for name in ("weight", "bias"):
                layer = getattr(ours.heads, name)
                key, add, gate, erase, strength, sharpness, shift = layer.split([*ours.blocks, 6])
                for head, place in ((self.read, 0), (self.write, 1)):
                    own = [part.chunk(2)[place] for part in (key, strength, gate, shift, sharpness)]
                    getattr(head.layer, name).copy_(torch.cat(own + ([erase, add] if place else [])))

    def forward(self, inputs: Tensor) -> tuple[Tensor, None]:
        batch = len(inputs)
        memory = torch.full((batch, SLOTS, SIZE), 1e-6)
        read_weights, write_weights = F.softmax(self.first_weights, 1).expand(batch, -1, -1).unbind(1)
        reads, state, outputs = self.first_reads.expand(batch, -1), None, []
        for t in range(inputs.shape[1]):
            state = self.cell(torch.cat([inputs[:, t], reads], 1), state)
            hidden = state[0]
            read_weights, _ = self.read(hidden, memory, read_weights)
            write_weights, (erase, add) = self.write(hidden, memory, write_weights)
            erased = torch.bmm(write_weights[:, :, None], torch.sigmoid(erase)[:, None])
            memory = memory * (1 - erased) + torch.bmm(write_weights[:, :, None], add[:, None])
            reads = torch.bmm(read_weights[:, None], memory)[:, 0]
            outputs.append(self.output(torch.cat([hidden, reads], 1)))
        return torch.stack(outputs, 1), None


class PackageDNC(nn.Module):
    """The package's neural computer, with a layer that gives it our number of outputs."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.dnc = kind(
            input_size=BITS + 1, hidden_size=HIDDEN, rnn_type="lstm", num_layers=1, num_hidden_layers=1, nr_cells=SLOTS,
            read_heads=READS, cell_size=SIZE, batch_first=True, gpu_id=-1,
        )  # fmt: skip
        self.output = nn.Linear(BITS + 1, BITS)

    def forward(self, inputs: Tensor) -> tuple[Tensor, None]:
        outputs, _ = self.dnc(inputs, (None, None, None), reset_experience=True, pass_through_memory=True)
        return self.output(outputs), None


def copy_task(batch: int) -> tuple[Tensor, Tensor]:
    """Inputs (b, 41, 9) and the bits to answer (b, 20, 8)."""
    bits = torch.randint(2, (batch, LENGTH, BITS)).float()
    inputs = torch.zeros(batch, 2 * LENGTH + 1, BITS + 1)
    inputs[:, :LENGTH, :BITS], inputs[:, LENGTH, BITS] = bits, 1
    return inputs, bits


def training_step(model: nn.Module, batch: int) -> Callable[[], Tensor]:
    """A whole update on the same sequences each time."""
    inputs, bits = copy_task(batch)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-6, momentum=0.9)

    def step() -> Tensor:
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(model(inputs)[0][:, LENGTH + 1 :], bits)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        return loss.detach()

    return step


def same(ours: nn.Module, plain: nn.Module) -> None:
    """Raise unless both give the same outputs and gradients of the inputs."""
    inputs = torch.randn(3, 7, BITS + 1, requires_grad=True)
    found = [model(inputs)[0] for model in (ours, plain)]
    slopes = [torch.autograd.grad(outputs.square().sum(), inputs)[0] for outputs in found]
    for one, other in (found, slopes):
        assert (one - other).norm() < 1e-3 * other.norm(), "the forms differ"


def beside(forms: dict[str, Callable[[], Tensor]], rounds: int) -> dict[str, Any]:
    """Milliseconds of each form, and how many times the first is as fast as the second, by number of threads."""
    found: dict[str, Any] = {}
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        seconds = alternate(forms, rounds)
        found[f"{threads} threads"] = milliseconds(seconds)
        if len(forms) > 1:
            found[f"times, {threads} threads"] = round(ratio(*list(seconds.values())[::-1]), 2)
    return found


def milliseconds(seconds: dict[str, list[float]]) -> dict[str, float]:
    return {form: round(1000 * statistics.median(times), 2) for form, times in seconds.items()}


def turing_machine(batch: int, rounds: int) -> dict[str, Any]:
    torch.manual_seed(0)
    ours = NTM(BITS + 1, BITS, hidden_size=HIDDEN, slots=SLOTS, slot_size=SIZE)
    for weight in ours.parameters():
        nn.init.normal_(weight, std=0.1)
    plain = PlainNTM(ours)
    same(ours, plain)
    return beside({"saccade": training_step(ours, batch), "plain": training_step(plain, batch)}, rounds)


def neural_computer(batch: int, rounds: int) -> dict[str, Any]:
    torch.manual_seed(0)
    ours = DNC(BITS + 1, BITS, hidden_size=HIDDEN, slots=SLOTS, slot_size=SIZE, read_heads=READS)
    forms = {"saccade": training_step(ours, batch)}
    try:
        from dnc import DNC as package  # noqa: N811
    except ImportError:
        return {**beside(forms, rounds), "dnc": "not installed"}
    forms["dnc"] = training_step(PackageDNC(package), batch)
    return beside(forms, rounds)


def sparse_memory(rounds: int) -> dict[str, Any]:
    """Milliseconds of a training step of each size with the exact search, the search alone, and a step with the first
    slots in place of a search. The sizes take turns. (The exact search reads the whole memory, and so leaves the caches
    empty for the rest of the step: a step less its search is slower than a step without one.)"""
    searching = [0.0]

    def timed(memory: Tensor, query: Tensor, count: int, written: Tensor | None) -> Tensor:
        begun = time.perf_counter()
        slots = nearest(memory, query, count, written)
        searching[0] += time.perf_counter() - begun
        return slots

    def given(memory: Tensor, query: Tensor, count: int, written: Tensor | None) -> Tensor:
        return torch.arange(count).expand(*query.shape[:2], count)

    steps: dict[tuple[int, str], Callable[[], Tensor]] = {}
    for slots in MANY:
        for name, search in (("with the search", timed), ("without", given)):
            torch.manual_seed(0)
            ours = SparseAccessMemory(BITS + 1, BITS, hidden_size=HIDDEN, slots=slots, slot_size=SIZE, search=search)
            steps[slots, name] = training_step(ours, 1)
    seconds: dict[int, dict[str, list[float]]] = {
        slots: {"with the search": [], "the search": [], "without": []} for slots in MANY
    }
    for number in range(rounds + 2):
        for (slots, name), step in steps.items():
            searching[0], begun = 0.0, time.perf_counter()
            step()
            if number >= 2:
                seconds[slots][name].append(time.perf_counter() - begun)
                if name != "without":
                    seconds[slots]["the search"].append(searching[0])
    return {str(slots): milliseconds(times) for slots, times in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=["ntm", "dnc", "sam"], default=["ntm", "dnc", "sam"])
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    result: dict[str, Any] = {}
    summary = {}
    for batch in (1, 16):
        for name, measured, peer in (("ntm", turing_machine, "plain form"), ("dnc", neural_computer, "dnc package")):
            if name in options.only:
                found = result[f"{name}, batch {batch}"] = measured(batch, options.rounds)
                print(name, batch, json.dumps(found))
                times = [
                    f"{value} x with {key.removeprefix('times, ')}" for key, value in found.items() if "times" in key
                ]
                if times:
                    what = f"training step of {name.upper()} copy, batch {batch}, beside the {peer}"
                    summary[what] = ", ".join(times).replace("1 threads", "one thread")
    if "sam" in options.only:
        found = result["sam"] = sparse_memory(options.rounds)
        print("sam", json.dumps(found))
        least, most = found[str(MANY[0])]["without"], found[str(MANY[-1])]["without"]
        what = "training step of a sparse access memory without its search, 65,536 slots beside 1,024"
        summary[what] = f"{most / least:.2f} x"
    if options.write:
        print(evidence("memory_step", summary, result))


if __name__ == "__main__":
    main()
