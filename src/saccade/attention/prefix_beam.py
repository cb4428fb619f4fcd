"""The beam of a prefix search for connectionist temporal classification. Graves et al. 2006, section 3.2.

Hannun, Maas, Jurafsky & Ng 2014, arXiv:1408.2873, algorithm 1:

    p_b(l, t) = y_t(blank) (p_b(l, t-1) + p_n(l, t-1))                           paths of l that end in a blank
    p_n(l + k, t) = y_t(k) (p_n(l + k, t-1) + p_b(l, t-1) + [k != l's last] p_n(l, t-1))    those that end in k

l a prefix of labels, y_t the distribution of frame t. Prefixes are the nodes of a tree, so a prefix that was dropped
and is found again is the same node. All prefixes of a frame are extended at once.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Added = Callable[[tuple[int, ...]], Any]


class Beam(NamedTuple):
    """The kept prefixes: for each its node, its last label (-1: none), and the row of its own prefix (-1: dropped)."""

    node: Ints
    last: Ints
    up: Ints
    blank: Floats
    """Log-probability of the paths that end in a blank."""
    label: Floats
    """Log-probability of the paths that end in the last label."""
    added: Floats
    """The part of its rank from the language model and the bonus."""


class Tree:
    """The tree of prefixes, numbered; 0 is the empty one."""

    def __init__(self) -> None:
        self.children: dict[tuple[int, int], int] = {}
        self.parents, self.labels = [-1], [-1]

    def child(self, node: int, label: int) -> int:
        found = self.children.setdefault((node, label), len(self.parents))
        if found == len(self.parents):
            self.parents.append(node)
            self.labels.append(label)
        return found

    def prefix(self, node: int) -> tuple[int, ...]:
        found: list[int] = []
        while node:
            found.append(self.labels[node])
            node = self.parents[node]
        return tuple(reversed(found))


def search(frames: Floats, width: int, blank: int, bonus: float, added: Added | None) -> list[tuple[list[int], float]]:
    """The prefixes kept after the last frame, with their ranks, best first.

    Args:
        frames: log-probabilities (t, v).
        width: prefixes kept after each frame.
        blank: index of the blank.
        bonus: added for each label.
        added: the score (v,) of each label that may follow a prefix, in addition to the bonus.
    """
    tree = Tree()
    one, nothing = np.zeros(1), np.full(1, -np.inf)
    beam = Beam(np.zeros(1, np.int64), np.full(1, -1), np.full(1, -1), one, nothing, one)
    known: dict[int, Floats] = {}
    for frame in frames:
        more: Any = bonus
        if added is not None:
            for node in beam.node.tolist():
                if node not in known:
                    known[node] = np.asarray(added(tree.prefix(node))) + bonus
            more = np.stack([known[node] for node in beam.node.tolist()])
        beam = grown(tree, beam, frame, width, blank, more)
    ranks = np.logaddexp(beam.blank, beam.label) + beam.added
    return [(list(tree.prefix(node)), rank) for node, rank in zip(beam.node.tolist(), ranks.tolist(), strict=True)]


def grown(tree: Tree, beam: Beam, frame: Floats, width: int, blank: int, more: Any) -> Beam:
    """The best prefixes after one more frame, best first; `more` is added for each next label."""
    count, symbols = len(beam.node), len(frame)
    total = np.logaddexp(beam.blank, beam.label)
    longer = total[:, None] + frame
    (full,) = np.nonzero(beam.last >= 0)
    own = beam.last[full]
    longer[full, own] = beam.blank[full] + frame[own]  # a repeated label counts only after a blank
    longer[:, blank] = -np.inf
    in_blank, in_label = total + frame[blank], np.full(count, -np.inf)
    in_label[full] = beam.label[full] + frame[own]
    # an extension that equals another kept prefix is merged with it
    (joined,) = np.nonzero(beam.up >= 0)
    from_row, by_label = beam.up[joined], beam.last[joined]
    in_label[joined] = np.logaddexp(in_label[joined], longer[from_row, by_label])
    longer[from_row, by_label] = -np.inf

    ranks = np.concatenate(
        [np.logaddexp(in_blank, in_label) + beam.added, (longer + beam.added[:, None] + more).ravel()]
    )
    best = np.argpartition(-ranks, width - 1)[:width] if len(ranks) > width else np.arange(len(ranks))
    best = best[np.argsort(-ranks[best], kind="stable")]
    best = best[ranks[best] > -np.inf]
    stays = best < count
    row, label = np.where(stays, best, (best - count) // symbols), (best - count) % symbols
    nodes = [
        int(beam.node[r]) if stay else tree.child(int(beam.node[r]), k)
        for r, k, stay in zip(row.tolist(), label.tolist(), stays.tolist(), strict=True)
    ]
    place = {node: i for i, node in enumerate(nodes)}
    given = more if np.ndim(more) == 0 else more[row, label]
    return Beam(
        np.array(nodes, np.int64),
        np.where(stays, beam.last[row], label),
        np.array([place.get(tree.parents[node], -1) for node in nodes], np.int64),
        np.where(stays, in_blank[row], -np.inf),
        np.where(stays, in_label[row], longer[row, label]),
        beam.added[row] + np.where(stays, 0.0, given),
    )
