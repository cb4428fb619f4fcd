"""What a captioner says of an image: a search, greedy search beside it, and what it gives to captions of people."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from saccade.core.state import map_state
from saccade.nets.search import SearchConfig, SearchModel, Symbols, beam_search, sample

DIGITS = 4  # of log-probabilities, so that predictions of equal models are equal


class Found(NamedTuple):
    """Captions of an image with their log-probabilities, best first; and the one that greedy search finds."""

    best: list[tuple[tuple[int, ...], float]]
    greedy: tuple[int, ...]


def limits_of(tokens: Int[Tensor, "b t"], longest: int) -> Int[Tensor, " b"]:
    """The most symbols of each caption, end included."""
    return torch.full((len(tokens),), longest + 1, device=tokens.device)


@torch.no_grad()
def captions(
    model: SearchModel,
    encoded: Any,
    limits: Int[Tensor, " b"],
    symbols: Symbols,
    options: SearchConfig,
    count: int = 3,
    seed: int = 1,
) -> list[Found]:
    """Up to `count` captions of each image by the configured search, and the greedy one.

    Args:
        model: the model, as for `beam_search`.
        encoded: the argument of `model.start`.
        limits: the most symbols of each caption, end included.
        symbols: start and end.
        options: the search.
        count: captions to return; 1 if they are drawn, and no more than the beam is wide.
        seed: seed of drawn captions.
    """
    greedy = beam_search(model, encoded, limits, symbols, 1)
    if options.method == "sample":
        generator = torch.Generator(limits.device).manual_seed(seed)
        found = [[one] for one in sample(model, encoded, limits, symbols, options.temperature, generator)]
    elif options.beam == 1:
        found = greedy
    else:
        count = min(count, options.beam)
        found = beam_search(model, encoded, limits, symbols, options.beam, options.length_penalty, count)
    return [
        Found([(tuple(each.tokens), round(each.log_prob, DIGITS)) for each in best], tuple(own[0].tokens))
        for best, own in zip(found, greedy, strict=True)
    ]


def answers(
    model: SearchModel,
    encoded: Any,
    limits: Int[Tensor, " b"],
    references: Int[Tensor, "b r t"],
    valid: Bool[Tensor, "b r t"],
    symbols: Symbols,
    options: SearchConfig,
    seed: int = 1,
) -> list[tuple[Any, ...]]:
    """For each image: the best caption and its log-probability, the nats of all references and the number of their
    symbols, the further captions, and the greedy one. Arguments as for `captions` and `reference_nats`."""
    found = captions(model, encoded, limits, symbols, options, seed=seed)
    nats, counts = reference_nats(model, model.start(encoded), references, valid)
    return [
        (*best[0], own, count, tuple(best[1:]), greedy)
        for (best, greedy), own, count in zip(found, nats, counts, strict=True)
    ]


@torch.no_grad()
def reference_nats(
    model: SearchModel, state: Any, references: Int[Tensor, "b r t"], valid: Bool[Tensor, "b r t"]
) -> tuple[list[float] | list[None], list[int]]:
    """Minus the log-probability of all references of each image together, ends included, in nats; and the number of
    their symbols. Without references None, and 0.

    Args:
        model: the model, as for `beam_search`.
        state: `model.start` of the b images.
        references: each starts with the start symbol.
        valid: where they have symbols; a reference without any does not count.
    """
    images, many = references.shape[:2]
    if not many:
        return [None] * images, [0] * images

    def repeated(tensor: Tensor) -> Tensor:
        return tensor.repeat_interleave(many, 0)

    state = map_state(repeated, state, lambda tensor: tensor)  # the references of an image share its constant parts
    tokens, counted = references.flatten(0, 1), valid.flatten(0, 1)
    nats = torch.zeros(len(tokens), dtype=torch.float64, device=tokens.device)
    for t in range(tokens.shape[1] - 1):
        log_probs, state = model.step(tokens[:, t], state)
        own = log_probs.gather(1, tokens[:, t + 1, None])[:, 0].double()
        nats -= own.masked_fill(~counted[:, t + 1], 0.0)
    sums = nats.unflatten(0, (images, many)).sum(1)
    return [round(value, DIGITS) for value in sums.tolist()], valid[:, :, 1:].sum((1, 2)).tolist()
