"""A machine with a finite control and two stacks of bits, which is as powerful as a Turing machine.

The stacks are the tape to the left and to the right of the head. Hopcroft & Ullman 1979, theorem 8.13.
"""

from collections.abc import Mapping
from typing import NamedTuple

from saccade.core.errors import InvalidInput

POP, KEEP = "pop", "keep"
Top = int | None
"""The symbol on top of a stack; None: it is empty."""
Action = str | int
"""What is done to a stack: "pop", "keep", or the bit to push."""


class Move(NamedTuple):
    """What a rule does: the next state, and an action for each stack."""

    state: str
    left: Action
    right: Action


class Machine(NamedTuple):
    """Rules (state, top of the left stack, top of the right stack) -> move. It halts where no rule applies."""

    start: str
    accepting: tuple[str, ...]
    rules: Mapping[tuple[str, Top, Top], Move]

    @property
    def states(self) -> list[str]:
        """All states, the first one first."""
        named = [self.start, *(state for state, *_ in self.rules), *(move.state for move in self.rules.values())]
        return list(dict.fromkeys([*named, *self.accepting]))


class Configuration(NamedTuple):
    """The whole memory of a machine; the top of a stack is its last symbol."""

    state: str
    left: tuple[int, ...]
    right: tuple[int, ...]


def step(machine: Machine, at: Configuration) -> Configuration | None:
    """The next configuration; None if the machine has halted."""
    move = machine.rules.get((at.state, at.left[-1] if at.left else None, at.right[-1] if at.right else None))
    return None if move is None else Configuration(move.state, acted(at.left, move.left), acted(at.right, move.right))


def acted(stack: tuple[int, ...], action: Action) -> tuple[int, ...]:
    """A stack after an action."""
    if action == KEEP:
        return stack
    return stack[:-1] if action == POP else (*stack, int(action))


def run(machine: Machine, word: str, most: int) -> list[Configuration]:
    """All configurations, with the word on the right stack at the start, its first bit on top.

    Raises:
        InvalidInput: it has not halted after `most` steps.
    """
    found = [Configuration(machine.start, (), tuple(int(bit) for bit in reversed(word)))]
    while (after := step(machine, found[-1])) is not None:
        if len(found) > most:
            raise InvalidInput(f"the machine has not halted after {most} steps")
        found.append(after)
    return found


def rules(*lines: str) -> dict[tuple[str, Top, Top], Move]:
    """Rules as text, such as "walk * 0 -> walk push-0 pop".

    A line is: state, left top, right top, "->", next state, left action, right action. A top is 0, 1, - (empty), or *
    (each of the three); an action is keep, pop, push-0, push-1, or push-left or push-right, which push the symbol that
    was on that top.
    """
    tops: dict[str, list[Top]] = {"0": [0], "1": [1], "-": [None], "*": [0, 1, None], "b": [0, 1]}
    found: dict[tuple[str, Top, Top], Move] = {}
    for line in lines:
        state, lefts, rights, _, after, *actions = line.split()
        for left in tops[lefts]:
            for right in tops[rights]:
                known = {"push-0": 0, "push-1": 1, "push-left": left, "push-right": right, POP: POP, KEEP: KEEP}
                moved = [known[action] for action in actions]
                assert None not in moved, line
                found[state, left, right] = Move(after, moved[0], moved[1])  # type: ignore[arg-type]
    return found


MACHINES = {
    # adds one to a binary number: walk to its end, turn ones into zeros, the next zero into a one, and walk back
    "increment": Machine(
        "walk", ("done",),
        rules(
            "walk * b -> walk push-right pop", "walk * - -> carry keep keep", "carry 1 * -> carry pop push-0",
            "carry 0 * -> back pop push-1", "carry - * -> done keep push-1", "back b * -> back pop push-left",
            "back - * -> done keep keep",
        ),
    ),
    # accepts n zeros followed by n ones: count the zeros on the left stack, take one off for each one
    "equal": Machine(
        "zeros", ("yes",),
        rules(
            "zeros * 0 -> zeros push-0 pop", "zeros 0 1 -> ones pop pop", "zeros - - -> yes keep keep",
            "ones 0 1 -> ones pop pop", "ones - - -> yes keep keep",
        ),
    ),
    # reverses a word: from the right stack to the left one
    "reverse": Machine("move", ("done",), rules("move * b -> move push-right pop", "move * - -> done keep keep")),
}  # fmt: skip


def answer(name: str, end: Configuration) -> str:
    """What a machine has written, or whether it accepts."""
    machine = MACHINES[name]
    if name == "equal":
        return "yes" if end.state in machine.accepting else "no"
    stack = end.left if name == "reverse" else end.right
    return "".join(str(bit) for bit in reversed(stack))
