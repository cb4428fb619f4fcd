"""Writing with a network: a drawn point is the next input, until the text is done.

A synthesis ends when the end after the text has more weight than each of its characters (Graves 2013, section 5.3:
phi(t, U + 1) > phi(t, u)), or at a limit of steps. Mechanisms that can attend anywhere
may give the end a large weight early; for them the end counts only after the last character has had the largest weight.
A prediction network has no text and ends at the limit.
"""

import zlib
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from saccade.systems.handwriting.mixture import pen_mixture
from saccade.systems.handwriting.model import Handwriting
from saccade.tasks.pen import Batch


class Trace(NamedTuple):
    """The points written for one text."""

    points: list[tuple[float, ...]]
    weights: list[tuple[float, ...]]
    """The weights of the characters for each point; [] without a text."""
    ended: bool


def write(model: Handwriting, batch: Batch, bias: float, most: int, seed: int) -> list[Trace]:
    """Write the texts of the batch. If there is a prime, the network reads it first, with its own points.

    Args:
        model: the network.
        batch: the texts, and the prime.
        bias: bias towards likelier points (`pen_mixture`).
        most: largest mean number of steps per character.
        seed: seed of the draws, which depend on the text but not on the rest of the batch.
    """
    lengths, begins, given = batch.asked_lengths, batch.begins, batch.prime.shape[1]
    limits = (given + most * (lengths - begins)).tolist()
    uniform, normal = draws(batch.asked, lengths.tolist(), limits, seed, batch.prime)
    text = model.prepare(batch.asked, lengths)
    state, point = model.initial_state(len(lengths), text), uniform.new_zeros(len(lengths), 3)
    traces: list[Trace | None] = [None] * len(lengths)
    steps: list[tuple[Tensor, Tensor]] = []
    through = torch.full_like(lengths, model.encoder is None, dtype=torch.bool)
    for t in range(max(limits)):
        outputs, weights, state = model.step(point.to(model.output.weight.dtype), text, state)
        place = weights.argmax(-1) if text is not None else torch.full_like(lengths, -1)
        done = (place == lengths) & through if t > given else torch.zeros_like(through)
        through = through | (place == lengths - 1)
        # the limit is checked first, since the loop has no step after the last limit
        for row, limit in enumerate(limits):
            if t == limit:
                traces[row] = traces[row] or traced(steps, row, lengths, text is None)
        for row in torch.nonzero(done)[:, 0].tolist():
            traces[row] = traces[row] or traced(steps, row, lengths, True)
        if all(traces):
            break
        drawn = pen_mixture(outputs, bias).sample(uniform[:, t], normal[:, t])
        point = batch.prime[:, t] if t < given else drawn.to(uniform.dtype)
        steps.append((point, weights))
    return [trace or traced(steps, row, lengths, text is None) for row, trace in enumerate(traces)]


def traced(steps: list[tuple[Tensor, Tensor]], row: int, lengths: Int[Tensor, " b"], ended: bool) -> Trace:
    """The steps so far of one text, rounded so that they do not depend on the rest of the batch."""
    points = [tuple(round(x, 4) for x in point[row].tolist()) for point, _ in steps]
    read = [tuple(round(x, 4) for x in weights[row, : lengths[row]].tolist()) for _, weights in steps]
    return Trace(points, read if steps[0][1].shape[1] else [], ended)


def draws(
    texts: Int[Tensor, "b v"], lengths: list[int], limits: list[int], seed: int, like: Tensor
) -> tuple[Float[Tensor, "b t 2"], Float[Tensor, "b t 2"]]:
    """Uniform numbers from 0 to 1 and standard normal ones, drawn for each text from the seed and its characters."""
    uniform, normal = [], []
    for row, length, steps in zip(texts.tolist(), lengths, limits, strict=True):
        generator = torch.Generator().manual_seed(zlib.crc32(repr((seed, row[:length])).encode()))
        both = [draw(steps, 2, generator=generator, dtype=torch.float64) for draw in (torch.rand, torch.randn)]
        uniform.append(both[0])
        normal.append(both[1])
    found = [pad_sequence(rows, True).to(like.device, like.dtype) for rows in (uniform, normal)]
    return found[0], found[1]
