"""A recurrent net that runs a two-stack machine. Siegelmann & Sontag 1995, doi:10.1006/jcss.1995.1013, section 4.

    x(t+1) = sigma(W x(t) + b),   sigma(a) = min(max(a, 0), 1)        saturated-linear units
    q      = sum_i (2 s_i + 1) / 4^i                                  a stack of bits s_1 (top), s_2, ...; 0 is empty
    top(q) = sigma(4 q - 2),   nonempty(q) = sigma(4 q)               exact, since q is in a Cantor set
    push s: q / 4 + (2 s + 1) / 4,   pop: 4 q - (2 top(q) + 1)

One step of the machine takes four steps of the net: read the tops, select the rule, act on each stack and hold the
result back unless its rule is selected, and add up. A unit for every state, stack, rule and action; all weights are
rational numbers, and all values are exact in float64 for stacks of up to 26 bits.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.core.tap import Tap
from saccade.tasks.universal_rnn.machine import KEEP, POP, Configuration, Machine

PHASES = 4  # steps of the net for one step of the machine
SIDES = ("left", "right")
Term = tuple[str, float]


class Wiring:
    """The weights by the names of units, before they become a matrix."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[list[Term], float]] = {}

    def unit(self, name: str, *terms: Term, bias: float = 0.0) -> None:
        """A unit sigma(sum of weight x unit + bias)."""
        assert name not in self.rows, name
        self.rows[name] = (list(terms), bias)

    def matrices(self) -> tuple[list[str], Float[Tensor, "n n"], Float[Tensor, " n"]]:
        """The names of the units, W and b."""
        names = list(self.rows)
        place = {name: row for row, name in enumerate(names)}
        weight = torch.zeros(len(names), len(names), dtype=torch.float64)
        bias = torch.zeros(len(names), dtype=torch.float64)
        for name, (terms, constant) in self.rows.items():
            bias[place[name]] = constant
            for source, factor in terms:
                weight[place[name], place[source]] += factor
        return names, weight, bias


def wiring(machine: Machine) -> Wiring:
    """The net of a machine."""
    net = Wiring()
    # 1: read the tops; states and stacks are carried on
    for state in machine.states:
        net.unit(f"carried {state}", (state, 1.0))
    for side in SIDES:
        net.unit(f"carried {side}", (side, 1.0))
        net.unit(f"top {side}", (side, 4.0), bias=-2.0)
        net.unit(f"nonempty {side}", (side, 4.0))
    # 2: one unit for each rule, 1 if its state and both tops are there; and a halted state stays
    for number, (state, *tops) in enumerate(machine.rules):
        terms, needed = [(f"carried {state}", 1.0)], 1
        for side, top in zip(SIDES, tops, strict=True):
            if top is None:
                terms.append((f"nonempty {side}", -1.0))
            else:
                terms += [(f"nonempty {side}", 1.0), (f"top {side}", 1.0 if top else -1.0)]
                needed += 1 + top
        net.unit(f"rule {number}", *terms, bias=1.0 - needed)
    halts = {state: [n for n, (other, *_) in enumerate(machine.rules) if other == state] for state in machine.states}
    for side in SIDES:
        net.unit(f"held {side}", (f"carried {side}", 1.0))
        net.unit(f"seen {side}", (f"top {side}", 1.0))
    for state in machine.states:
        net.unit(f"held {state}", (f"carried {state}", 1.0))
    # 3: what each action makes of a stack, 0 unless a rule with that action is selected
    for side, place in zip(SIDES, (1, 2), strict=True):
        for action in (KEEP, POP, 0, 1):
            chosen = [(f"rule {n}", 1.0) for n, move in enumerate(machine.rules.values()) if move[place] == action]
            if action == KEEP:  # also if no rule applies: the machine has halted
                chosen = [(f"rule {n}", -1.0) for n, move in enumerate(machine.rules.values()) if move[place] != KEEP]
                net.unit(f"{side} keep", (f"held {side}", 1.0), *chosen)
            elif action == POP:
                net.unit(f"{side} pop", (f"held {side}", 4.0), (f"seen {side}", -2.0), *scaled(chosen, 3.0), bias=-4.0)
            else:
                share = (2 * int(action) + 1) / 4
                net.unit(f"{side} push {action}", (f"held {side}", 0.25), *chosen, bias=share - 1.0)
    for state in machine.states:
        arriving = [(f"rule {n}", 1.0) for n, move in enumerate(machine.rules.values()) if move.state == state]
        leaving = [(f"rule {n}", -1.0) for n in halts[state]]
        net.unit(f"next {state}", (f"held {state}", 1.0), *arriving, *leaving)
    # 4: add up
    for state in machine.states:
        net.unit(state, (f"next {state}", 1.0))
    for side in SIDES:
        net.unit(side, *((f"{side} {action}", 1.0) for action in ("keep", "pop", "push 0", "push 1")))
    return net


def scaled(terms: Sequence[Term], factor: float) -> list[Term]:
    return [(name, factor * weight) for name, weight in terms]


class UniversalRNN(nn.Module):
    """The net of a machine; W and b are constants."""

    weight: Tensor
    bias: Tensor

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.machine = machine
        self.names, weight, bias = wiring(machine).matrices()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.units = Tap("b n")

    def initial(self, words: Sequence[str]) -> Float[Tensor, "b n"]:
        """All units at 0, but the first state and the right stack, which holds the word, its first bit on top."""
        units = self.weight.new_zeros(len(words), len(self.names))
        units[:, self.names.index(self.machine.start)] = 1.0
        units[:, self.names.index("right")] = units.new_tensor([coded(word) for word in words])
        return units

    def forward(self, units: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        """One step of the machine, in four steps of the net."""
        for _ in range(PHASES):
            units = self.units((units @ self.weight.T + self.bias).clamp(0.0, 1.0))
        return units

    def configuration(self, units: Float[Tensor, " n"]) -> Configuration:
        """The machine's configuration in the units."""
        values: Mapping[str, float] = dict(zip(self.names, units.tolist(), strict=True))
        [state] = [state for state in self.machine.states if values[state] == 1.0]
        return Configuration(state, decoded(values["left"]), decoded(values["right"]))


def coded(word: str) -> float:
    """The number of a stack with this word, its first bit on top."""
    value = 0.0
    for bit in reversed(word):
        value = (value + 2 * int(bit) + 1) / 4
    return value


def decoded(value: float) -> tuple[int, ...]:
    """The stack of a number; the top is last."""
    found = []
    while value > 0:
        top = int(value >= 0.5)
        found.append(top)
        value = 4 * value - (2 * top + 1)
    return tuple(reversed(found))
