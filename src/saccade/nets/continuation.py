"""A text written on by a language model, with the keys and values of what was read kept from step to step.

A model has n positions. A text of c symbols, c > n, is read from symbol s on, with s the smallest multiple of n // 2
for which c - s <= n. So each symbol is predicted from more than n - n // 2 symbols before it, always the same ones,
whether they were typed or written; the kept keys and values serve n // 2 steps, and are then computed anew.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor

from saccade.attention.multi_head import Cache
from saccade.core.config import Seed, config
from saccade.core.errors import InvalidInput
from saccade.core.recipe import Step
from saccade.nets.projection import Projection
from saccade.nets.sampling import draws, sample
from saccade.nets.search import Symbols, beam_search

NO_END = Symbols(0, -1)  # a text has no symbol that ends it


@config
class WritingConfig:
    """How a text is written on."""

    length: Annotated[int, Field(ge=1, le=100_000)] = 400
    """Symbols to write."""
    temperature: Annotated[float, Field(ge=0, le=100)] = 0.8
    """Temperature of the draws: 1 draws from the model's distribution, less prefers likely symbols, 0 takes the
    likeliest."""
    top_k: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Draw only from this many likeliest symbols; none: from all."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Draw only from the smallest set of likeliest symbols that has this probability; 1: from all."""
    beam: Annotated[int, Field(ge=1, le=1000)] = 1
    """Above 1: nothing is drawn, and a beam search of this width looks for the likeliest continuation."""
    seed: Seed = 1
    """Seed of the draws; another seed continues a text differently."""

    @model_validator(mode="after")
    def check_beam(self) -> "WritingConfig":
        if self.beam > 1 and (self.temperature, self.top_k, self.top_p) != (0.8, None, 1.0):
            raise ValueError(f"beam is {self.beam}, which draws nothing; leave out temperature, top_k and top_p")
        return self


@runtime_checkable
class LanguageModel(Protocol):
    """A net that predicts each next symbol."""

    @property
    def longest(self) -> int:
        """The most symbols that are read at once."""

    def __call__(self, symbols: Int[Tensor, "b t"], mask: Bool[Tensor, "b t"] | None = None) -> Projection:
        """The logits of the symbol after each. The mask is False at padding, on either side."""

    def advance(
        self,
        symbols: Int[Tensor, "b t"],
        places: Int[Tensor, "b t"] | None = None,
        past: tuple[Cache, ...] | None = None,
        mask: Bool[Tensor, "b k"] | None = None,
    ) -> tuple[Float[Tensor, "b t d"], tuple[Cache, ...]]:
        """The features that the symbols after each are predicted from, and the caches extended by these symbols. The
        mask is False at padding, over the past and the new symbols; `places` are positions in the text."""

    def project(self, features: Float[Tensor, "*b d"]) -> Projection:
        """The logits of features."""


class State(NamedTuple):
    """What was read and written so far."""

    symbols: Int[Tensor, "n t"]
    """The texts, each at the end of its row."""
    counts: Int[Tensor, " n"]
    """The symbols of each text."""
    past: tuple[Cache, ...] | None
    """None before the first step."""
    seen: Bool[Tensor, "n k"] | None
    """False at padding of the past; None without padding."""


class Continuation:
    """A language model as `beam_search` takes it; the first step predicts the symbol after the given texts."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    def start(self, texts: tuple[Int[Tensor, "b t"], Bool[Tensor, "b t"]]) -> State:
        """Texts of one symbol at least, and False at the padding behind them."""
        symbols, mask = texts
        counts = mask.sum(1)
        size = int(counts.max())
        # to the end of each row, so that all rows grow there
        places = torch.arange(size, device=symbols.device) - (size - counts)[:, None]
        return State(symbols.gather(1, places.clamp(min=0)), counts, None, None)

    def step(self, tokens: Int[Tensor, " n"], state: State) -> tuple[Float[Tensor, "n v"], State]:
        """Log-probabilities of the next symbol, after this one; in the first step, after the texts."""
        projection, state = self.project(tokens, state)
        return projection.log_probs(), state

    def project(self, tokens: Int[Tensor, " n"], state: State) -> tuple[Projection, State]:
        """The same as `step`, as a `Projection`."""
        symbols, counts, past, seen = state
        if past is None:
            return self.read(state)
        state = State(torch.cat([symbols, tokens[:, None]], 1), counts + 1, past, seen)
        first = first_read(state.counts, self.model.longest)
        if bool((first != first_read(counts, self.model.longest)).any()):
            return self.read(state)
        if seen is not None:
            seen = torch.cat([seen, seen.new_ones(len(seen), 1)], 1)
        features, past = self.model.advance(tokens[:, None], (counts - first)[:, None], past, seen)
        return self.model.project(features[:, 0]), state._replace(past=past, seen=seen)

    def read(self, state: State) -> tuple[Projection, State]:
        """Read the texts from their first symbols, or as far back as positions reach."""
        symbols, counts, _, _ = state
        sizes = counts - first_read(counts, self.model.longest)
        places = torch.arange(int(sizes.max()), device=symbols.device)
        window = symbols.gather(1, (symbols.shape[1] - sizes[:, None] + places).clamp(max=symbols.shape[1] - 1))
        features, past = self.model.advance(window)  # causal attention does not see the padding behind
        last = features[torch.arange(len(sizes), device=symbols.device), sizes - 1]
        seen = places < sizes[:, None]
        padded = None if bool(seen.all()) else seen
        return self.model.project(last), state._replace(past=past, seen=padded)


def first_read(counts: Int[Tensor, "*n"], longest: int) -> Int[Tensor, "*n"]:
    """The first symbol that is read of texts of this many symbols."""
    half = longest // 2
    return (counts - longest + half - 1).clamp(min=0) // half * half


@torch.no_grad()
def write(
    model: LanguageModel,
    symbols: Int[Tensor, "b t"],
    mask: Bool[Tensor, "b t"],
    options: WritingConfig,
    seeds: Sequence[Any] = (),
) -> Int[Tensor, "b n"]:
    """The symbols that continue each text. The draws of a row come from its seed, whatever the rest of the batch.

    Args:
        model: the model.
        symbols: the texts, of one symbol at least.
        mask: False at the padding behind them.
        options: how to write.
        seeds: of each row, any value; for draws only.
    """
    writer, length = Continuation(model), options.length
    if options.beam > 1:
        limits = torch.full((len(symbols),), length, device=symbols.device)
        found = beam_search(writer, (symbols, mask), limits, NO_END, options.beam, 0.0, count=1)
        return torch.tensor([hypotheses[0].tokens for hypotheses in found], device=symbols.device)
    drawn = options.temperature > 0
    uniform = torch.stack([draws(seed, length) for seed in seeds]) if drawn else torch.zeros(len(symbols), length)
    uniform = uniform.to(symbols.device)
    state, tokens, written = writer.start((symbols, mask)), symbols[:, 0], []
    for place in range(length):
        projection, state = writer.project(tokens, state)
        tokens = sample(projection.logits(), options.temperature, uniform[:, place], options.top_k, options.top_p)
        written.append(tokens)
    return torch.stack(written, 1)


@torch.no_grad()
def read_again(model: LanguageModel, symbols: Int[Tensor, " t"]) -> Projection:
    """The logits (t - 1, v) of each symbol of a text but the first, from the symbols before it that are read when it is
    written."""
    counts = torch.arange(1, len(symbols), device=symbols.device)
    firsts, found = first_read(counts, model.longest), []
    for first in firsts.unique().tolist():
        rows = counts[firsts == first]
        features = model(symbols[None, first : int(rows[-1])]).features[0]
        found.append(features[rows - first - 1])
    if not found:
        found.append(model(symbols[None, :1]).features[0, :0])
    return model.project(torch.cat(found))


@torch.no_grad()
def nats(
    model: LanguageModel, symbols: Int[Tensor, "b t"], mask: Bool[Tensor, "b t"], scored: Bool[Tensor, "b t"]
) -> Float[Tensor, " b"]:
    """-log p of the scored symbols of each text, summed, in float64. The first symbol is never scored."""
    targets = symbols[:, 1:].masked_fill(~scored[:, 1:], -1)
    rewards: Tensor = model(symbols[:, :-1], mask[:, :-1]).rewards(targets, -1)
    return -rewards.double().sum(1)


def answered(
    model: LanguageModel,
    symbols: Int[Tensor, "b t"],
    mask: Bool[Tensor, "b t"],
    scored: Bool[Tensor, "b t"],
    numbers: Int[Tensor, " b"],
    options: WritingConfig,
) -> list[tuple[tuple[int, ...], float]]:
    """For each text the nats of its scored symbols, as ((), nats); or, where none is scored, the text written on and
    nan.

    Args:
        numbers: a number of each text, by which texts that are alike are drawn differently.
    """
    asked = ~scored.any(1)
    found: list[tuple[tuple[int, ...], float]] = [((), math.nan)] * len(symbols)
    for write_on in (False, True):
        rows = (asked == write_on).nonzero()[:, 0].tolist()
        if not rows:
            continue
        longest = int(mask[rows].sum(1).max())
        own, real, counted = (part[rows, :longest] for part in (symbols, mask, scored))
        if not write_on:
            for row, value in zip(rows, nats(model, own, real, counted).tolist(), strict=True):
                found[row] = ((), round(value, 4))
            continue
        texts = [text[kept].tolist() for text, kept in zip(own, real, strict=True)]
        seeds = [(options.seed, int(numbers[row]), text) for row, text in zip(rows, texts, strict=True)]
        for row, text, more in zip(rows, texts, write(model, own, real, options, seeds).tolist(), strict=True):
            found[row] = ((*text, *more), math.nan)
    return found


@torch.no_grad()
def likeliest(
    model: LanguageModel, symbols: Int[Tensor, " t"], first: int, names: Sequence[str], count: int
) -> list[Step]:
    """The symbols of a text from `first` on, each with the `count` likeliest ones in its place.

    Raises:
        InvalidInput: a count below 1, or above the number of symbols.
    """
    if not 1 <= count <= len(names):
        raise InvalidInput(f"expected from 1 to {len(names):,} likeliest symbols, got {count:,}")
    first = max(1, first)
    projection, written = read_again(model, symbols), symbols[first:]
    if not len(written):
        return []
    projection = projection._replace(features=projection.features[first - 1 :])
    values, best = projection.largest(count)
    own = projection.rewards(written, -1)
    return [
        Step(names[symbol], log_prob, [(names[other], value) for other, value in zip(others, row, strict=True)])
        for symbol, log_prob, others, row in zip(
            written.tolist(), own.tolist(), best.tolist(), values.tolist(), strict=True
        )
    ]
