"""Search over a whole batch: greedy, beam and sampling, for every model that offers `start` and `step`.

    start(encoded) -> state                                    one row per sentence
    step(tokens (n,), state) -> (log_probs (n, v), state)      one row per hypothesis, those of a sentence adjacent

Parts that the hypotheses of a sentence share keep one row per sentence (`Constant`). For a model that also has
`project`, a step that returns a `Projection`, only the log-probabilities that a beam can use are computed.

A hypothesis y of n symbols, the end symbol counted, is ranked by log p(y) / ((5 + n) / 6)^alpha (Wu et al. 2016,
arXiv:1609.08144, equation 14, without the coverage term); alpha = 0 ranks by log p(y). A beam of 1 is greedy search.

The log-probability l of a live hypothesis only decreases as it grows, and alpha >= 0 favours length, so its final score
is at most l / ((5 + limit) / 6)^alpha. A sentence is done when no live hypothesis can beat its finished ones.
"""

import heapq
import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from saccade.core.config import config
from saccade.core.errors import InvalidInput
from saccade.core.state import select
from saccade.nets.largest import largest
from saccade.nets.projection import Projection, Scratch


@config
class SearchConfig:
    """The search for an answer."""

    method: Literal["beam", "sample"] = "beam"
    """The most probable answers, or answers drawn at random."""
    beam: Annotated[int, Field(ge=1, le=1000)] = 5
    """Hypotheses kept alive for each sentence; 1 is greedy."""
    length_penalty: Annotated[float, Field(ge=0, le=5)] = 0.6
    """alpha of Wu et al. 2016: 0 prefers short answers, larger values longer ones."""
    temperature: Annotated[float, Field(ge=1e-3, le=100)] = 1.0
    """Temperature, for sampling only: below 1 favours probable answers, above 1 flattens the distribution."""


@runtime_checkable
class SearchModel(Protocol):
    def start(self, encoded: Any) -> Any: ...
    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]: ...


@runtime_checkable
class ProjectingModel(SearchModel, Protocol):
    def project(self, tokens: Tensor, state: Any) -> tuple[Projection, Any]: ...


class Hypothesis(NamedTuple):
    """The symbols without start and end; their log-probability, that of the end included; the score with length
    penalty."""

    tokens: list[int]
    log_prob: float
    score: float


class Symbols(NamedTuple):
    """The symbols that start and end an answer."""

    start: int
    end: int
    never: tuple[int, ...] = ()
    """Symbols that are not written, such as padding and an unknown word; the log-probabilities of the others are those
    of the model."""


@torch.no_grad()
def beam_search(
    model: SearchModel,
    encoded: Any,
    limits: Int[Tensor, " b"],
    symbols: Symbols,
    beam: int = 5,
    length_penalty: float = 0.6,
    count: int | None = None,
) -> list[list[Hypothesis]]:
    """Up to `count` hypotheses for each sentence, best first. A sentence that is done leaves the batch.

    A sentence is done at its limit, or when no live hypothesis can displace one of its `count` best finished ones; with
    a beam of 1, as soon as its hypothesis ends.

    Args:
        model: the model to search.
        encoded: the argument of `model.start`, for b sentences.
        limits: the most symbols of an answer, end included, at least 1; a sentence without a finished hypothesis by
            then returns its live ones.
        symbols: start and end.
        beam: hypotheses kept alive; 1 is greedy search.
        length_penalty: alpha, at least 0; the score is log p / ((5 + n) / 6)^alpha.
        count: hypotheses to return, from 1 to `beam`, the default; with fewer, a sentence is done sooner.

    Raises:
        InvalidInput: a beam wider than the vocabulary; a count or a length penalty out of range; log-probabilities that
            are NaN or never finite.
    """
    count = _checked(count, beam, length_penalty)
    batch, device = limits.shape[0], limits.device
    finished: list[list[Hypothesis]] = [[] for _ in range(batch)]
    alive = torch.arange(batch, device=device)  # the unfinished sentences
    state = model.start(encoded)
    tokens = torch.full((batch,), symbols.start, device=device)
    # one hypothesis per sentence, the empty one; from the second step on `beam` of them
    totals: Tensor = torch.zeros(batch, 1, device=device)
    history = torch.empty(batch, 1, 0, dtype=torch.long, device=device)
    length, scratch = 0, Scratch()
    while alive.numel():
        values, indices, state = _candidates(model, tokens, state, beam, symbols.never, scratch)
        length += 1
        width, wanted = totals.shape[1], values.shape[1]
        values, indices = values.view(-1, width, wanted), indices.view(-1, width, wanted)
        # totals are at least float32: bfloat16 log-probabilities are promoted, float64 ones are kept
        best, place = (totals[:, :, None] + values).flatten(1).topk(min(2 * beam, width * wanted), dim=1)
        parent, symbol = place // wanted, indices.flatten(1).gather(1, place)
        ends = symbol == symbols.end
        _keep_finished(finished, alive, history, (best, parent, ends), (beam, count), length, length_penalty)
        order = ends.long().argsort(dim=1, stable=True)[:, :beam]
        totals = best.gather(1, order).masked_fill(ends.gather(1, order), -torch.inf)
        parent, symbol = parent.gather(1, order), symbol.gather(1, order)
        history = torch.cat([history.gather(1, parent[:, :, None].expand(-1, -1, length - 1)), symbol[:, :, None]], 2)

        left = limits[alive]
        over = left <= length
        _keep_unfinished(finished, alive, history, (totals, over), count, length, length_penalty)
        rows = torch.arange(alive.numel(), device=device)[:, None] * width
        state = select(state, (rows + parent).flatten())
        done = over | _settled([finished[i] for i in alive.tolist()], totals, left, (beam, count), length_penalty)
        if bool(done.any()):
            stay = (~done).nonzero()[:, 0]
            alive, totals, history, symbol = alive[stay], totals[stay], history[stay], symbol[stay]
            state = select(state, (stay[:, None] * beam + torch.arange(beam, device=device)).flatten(), stay)
        tokens = symbol.flatten()
    if not all(finished):
        raise InvalidInput("the model gives no finite log-probability; are its weights finite?")
    return finished


def _checked(count: int | None, beam: int, penalty: float) -> int:
    """Check the options; returns the number of hypotheses to return."""
    if not penalty >= 0:  # otherwise the bound on a live hypothesis would not hold
        raise InvalidInput(f"a length penalty must be at least 0, not {penalty}")
    if count is not None and not 1 <= count <= beam:
        raise InvalidInput(f"count must be from 1 to the beam, which is {beam}, not {count}")
    return beam if count is None else count


def _candidates(
    model: SearchModel, tokens: Tensor, state: Any, beam: int, never: Sequence[int], scratch: Scratch
) -> tuple[Tensor, Tensor, Any]:
    """The candidates for the next symbol: log-probabilities (n, c), symbols (n, c); and the new state."""
    if isinstance(model, ProjectingModel):
        projection, state = model.project(tokens, state)
        vocabulary = len(projection.weight)
    else:
        log_probs, state = model.step(tokens, state)
        vocabulary = log_probs.shape[-1]
    if beam > vocabulary:
        raise InvalidInput(
            f"a beam of {beam} is wider than the vocabulary of {vocabulary}; use a beam of at most {vocabulary}"
        )
    # each hypothesis ends in at most one candidate, so of 2 x beam candidates at least `beam` continue
    wanted = min(2 * beam + len(never), vocabulary)
    values, indices = (
        projection.largest(wanted, scratch) if isinstance(model, ProjectingModel) else largest(log_probs, wanted)
    )
    if never:
        values = values.masked_fill(torch.isin(indices, indices.new_tensor(never)), -torch.inf)
    return values, indices, state


def normalised(log_prob: float, length: int, penalty: float) -> float:
    """Wu et al. 2016, equation 14: log p / ((5 + n) / 6)^alpha."""
    return log_prob / math.pow((5 + length) / 6, penalty)


def _keep_finished(
    finished: list[list[Hypothesis]],
    alive: Tensor,
    history: Tensor,
    found: tuple[Tensor, Tensor, Tensor],
    sizes: tuple[int, int],
    length: int,
    penalty: float,
) -> None:
    """Add candidates that end, among the best `beam` of their sentence, to the finished ones; keep the best `count`."""
    beam, count = sizes
    best, parent, ends = (tensor[:, :beam] for tensor in found)
    for row, rank in (ends & best.isfinite()).nonzero().tolist():
        log_prob, sentence = float(best[row, rank]), int(alive[row])
        tokens = history[row, parent[row, rank]].tolist()
        ended = [*finished[sentence], Hypothesis(tokens, log_prob, normalised(log_prob, length, penalty))]
        finished[sentence] = heapq.nlargest(count, ended, key=lambda hypothesis: hypothesis.score)


def _settled(
    finished: list[list[Hypothesis]],
    totals: Float[Tensor, "b h"],
    limits: Int[Tensor, " b"],
    sizes: tuple[int, int],
    penalty: float,
) -> Bool[Tensor, " b"]:
    """Whether no live hypothesis of a sentence (best first) can displace a finished one."""
    beam, count = sizes
    scores = [kept[-1].score if len(kept) == count else -torch.inf for kept in finished]
    least = torch.tensor(scores, dtype=totals.dtype, device=totals.device)
    if beam == 1:
        return least > -torch.inf
    return least >= totals[:, 0] / ((5 + limits.to(totals.dtype)) / 6) ** penalty


def _keep_unfinished(
    finished: list[list[Hypothesis]],
    alive: Tensor,
    history: Tensor,
    found: tuple[Tensor, Tensor],
    count: int,
    length: int,
    penalty: float,
) -> None:
    """At its limit, a sentence without a finished hypothesis keeps its live ones."""
    totals, over = found
    for row in over.nonzero()[:, 0].tolist():
        if not finished[int(alive[row])]:
            rows = zip(totals[row].tolist()[:count], history[row].tolist(), strict=False)  # in order, best first
            finished[int(alive[row])] = [
                Hypothesis(tokens, log_prob, normalised(log_prob, length, penalty))
                for log_prob, tokens in rows
                if log_prob > -float("inf")
            ]


@torch.no_grad()
def sample(
    model: SearchModel,
    encoded: Any,
    limits: Int[Tensor, " b"],
    symbols: Symbols,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> list[Hypothesis]:
    """One answer per sentence, sampled symbol by symbol from softmax(log p / temperature).

    The returned log-probability is the model's own, at temperature 1. A generator makes the sample reproducible.
    """
    device = limits.device
    alive = torch.arange(limits.shape[0], device=device)
    answers: list[list[int]] = [[] for _ in range(limits.shape[0])]
    totals = [0.0] * limits.shape[0]
    state = model.start(encoded)
    tokens = torch.full((limits.shape[0],), symbols.start, device=device)
    length = 0
    while alive.numel():
        log_probs, state = model.step(tokens, state)
        length += 1
        possible = log_probs.index_fill(1, tokens.new_tensor(symbols.never), -torch.inf) if symbols.never else log_probs
        drawn = draw(possible / temperature, generator)
        chosen = log_probs.gather(1, drawn[:, None])[:, 0]
        for sentence, symbol, log_prob in zip(alive.tolist(), drawn.tolist(), chosen.tolist(), strict=True):
            totals[sentence] += log_prob
            if symbol != symbols.end:
                answers[sentence].append(symbol)
        stay = ((drawn != symbols.end) & (limits[alive] > length)).nonzero()[:, 0]
        alive, tokens, state = alive[stay], drawn[stay], select(state, stay, stay)
    return [Hypothesis(tokens, total, total) for tokens, total in zip(answers, totals, strict=True)]


def draw(logits: Float[Tensor, "b v"], generator: torch.Generator | None = None) -> Int[Tensor, " b"]:
    """Sample a symbol for each row, from softmax(logits).

    Raises:
        InvalidInput: logits that are NaN or never finite.
    """
    probabilities = logits.softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))
    if not bool(probabilities.isfinite().all()):
        raise InvalidInput("the model gives no finite log-probability; are its weights finite?")
    return torch.multinomial(probabilities, 1, generator=generator)[:, 0]


def answers(
    model: SearchModel,
    encoded: Any,
    limits: Int[Tensor, " b"],
    symbols: Symbols,
    options: SearchConfig,
    seed: int = 1,
) -> list[list[int]]:
    """The best answer of each sentence, by the configured search; the seed determines the sample."""
    if options.method == "sample":
        generator = torch.Generator(limits.device).manual_seed(seed)
        return [drawn.tokens for drawn in sample(model, encoded, limits, symbols, options.temperature, generator)]
    found = beam_search(model, encoded, limits, symbols, options.beam, options.length_penalty, count=1)
    return [hypotheses[0].tokens for hypotheses in found]
