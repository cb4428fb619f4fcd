"""The Transformer. Vaswani et al. 2017, arXiv:1706.03762, sections 3.1, 3.4 and 3.5.

    x_j = dropout(sqrt(d) E source_j + PE(j)),   memory = encoder(x)
    y_i = dropout(sqrt(d) E target_{i-1} + PE(i)),   p(target_i) = softmax(E decoder(y, memory) + b)

One matrix E may serve both embeddings and the projection onto the vocabulary (three-way tying).
"""

from typing import Annotated, Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from saccade.attention.positions import LearnedPositions, SinusoidalPositions
from saccade.core.config import NAMED, Parts, Size, config
from saccade.core.state import Constant
from saccade.core.tap import Tap
from saccade.nets.dropout import Dropout
from saccade.nets.projection import Projection
from saccade.nets.transformer import TransformerDecoder, TransformerEncoder


@config
class Sinusoidal:
    """Fixed sines and cosines of the position."""

    name: Literal["sinusoidal"] = "sinusoidal"


@config
class Learned:
    """A learned vector for each position."""

    name: Literal["learned"] = "learned"
    longest: Size = 512
    """Number of positions: the most symbols of a sentence, including its end."""


@config
class TransformerConfig:
    """Sizes of the network."""

    layers: Parts = 3
    """Blocks of the encoder, and of the decoder, N."""
    model_size: Size = 256
    """Features of a position, d_model."""
    heads: Parts = 8
    """Heads per attention, h."""
    hidden_size: Size = 1024
    """Units of a feed-forward layer, d_ff."""
    head_size: Size | None = None
    """Features of a query and of a key in a head, d_k; none: model_size / heads."""
    value_size: Size | None = None
    """Features of a value in a head, d_v; none: model_size / heads."""
    norm: Literal["post", "pre"] = "post"
    """Layer normalisation after each sum, as in the paper, or before each sub-layer."""
    positions: Annotated[Sinusoidal | Learned, Field(discriminator="name"), NAMED] = Sinusoidal()
    """The encoding of positions that is added to embeddings."""
    tie: Literal["none", "output", "all"] = "all"
    """One matrix for target embedding and output, or also for the source embedding (all, with a shared vocabulary)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout rate of embeddings and of the output of each sub-layer, P_drop."""

    @model_validator(mode="after")
    def check_heads(self) -> "TransformerConfig":
        if self.model_size % self.heads and None in (self.head_size, self.value_size):
            raise ValueError(
                f"{self.heads} heads do not divide a model-size of {self.model_size}; "
                "choose heads that do, or give both head-size and value-size"
            )
        return self


class Encoded(NamedTuple):
    """The encoder's outputs (b, k, d), and the mask of those that may be attended; None: all."""

    memory: Float[Tensor, "b k d"]
    mask: Bool[Tensor, "b k"] | None


class SearchState(NamedTuple):
    """The cache, one row per sentence, and the mask of each hypothesis.

    The hypotheses of a sentence form a tree. Its keys and values are stored in one sequence, step by step for all
    hypotheses, and never reordered; `own` marks the symbols that lead to a hypothesis.
    """

    memory: Constant
    past: Constant | None
    own: Bool[Tensor, "n k"] | None


class Transformer(nn.Module):
    """Translates with attention alone (Vaswani et al. 2017)."""

    def __init__(self, config: TransformerConfig, source_symbols: int, target_symbols: int) -> None:
        super().__init__()
        size = config.model_size
        self.target_embedding = nn.Embedding(target_symbols, size)
        self.source_embedding = self.target_embedding if config.tie == "all" else nn.Embedding(source_symbols, size)
        self.output = nn.Linear(size, target_symbols)
        if config.tie != "none":
            self.output.weight = self.target_embedding.weight
        self.source_positions, self.target_positions = (
            LearnedPositions(size, config.positions.longest)
            if isinstance(config.positions, Learned)
            else SinusoidalPositions(size)
            for _ in range(2)
        )
        block: dict[str, Any] = {
            "heads": config.heads, "hidden_size": config.hidden_size, "dropout": config.dropout,
            "head_size": config.head_size, "value_size": config.value_size,
        }  # fmt: skip
        self.encoder = TransformerEncoder(config.layers, size, config.norm, **block)
        self.decoder = TransformerDecoder(config.layers, size, config.norm, **block)
        self.dropout = Dropout(config.dropout)
        self.source = Tap("b s d")
        self.scale = size**0.5
        for table in (self.source_embedding, self.target_embedding, self.output):
            nn.init.normal_(table.weight, std=size**-0.5)
        nn.init.zeros_(self.output.bias)

    @property
    def longest(self) -> int | None:
        """The most symbols of a sentence; None for sinusoidal positions."""
        return self.target_positions.longest

    def encode(self, source: Int[Tensor, "b s"], source_mask: Bool[Tensor, "b s"]) -> Encoded:
        mask: Tensor | None = source_mask
        # the kernel is faster without a mask; on a GPU the check would wait for the device
        if source.device.type == "cpu" and not torch.compiler.is_compiling() and bool(source_mask.all()):
            mask = None
        embedded = self.dropout(self.source_positions(self.scale * self.source(self.source_embedding(source))))
        return Encoded(self.encoder(embedded, mask), mask)

    def start(self, encoded: Encoded) -> SearchState:
        return SearchState(Constant(self.decoder.prepare(encoded.memory, encoded.mask)), None, None)

    def step(self, tokens: Int[Tensor, " n"], state: SearchState) -> tuple[Float[Tensor, "n v"], SearchState]:
        """Log-probabilities of the next symbol, after this one."""
        projection, state = self.project(tokens, state)
        return projection.log_probs(), state

    def project(self, tokens: Int[Tensor, " n"], state: SearchState) -> tuple[Projection, SearchState]:
        """The same as `step`, with the log-probabilities as a `Projection`."""
        sentences = len(state.memory.value[0].keys)
        beam = len(tokens) // sentences
        now = torch.eye(beam, dtype=torch.bool, device=tokens.device).repeat(sentences, 1)
        own = now if state.own is None else torch.cat([state.own, now], 1)
        past = None if state.past is None else state.past.value
        seen = -(-own.shape[1] // beam) - 1  # the first step may have had one hypothesis per sentence
        embedded = self.target_positions(self.scale * self.target_embedding(tokens)[:, None], seen).view(
            sentences, beam, -1
        )
        mask = own.view(sentences, 1, beam, -1) if beam > 1 else None
        inputs = self.dropout(embedded).view(sentences, beam, -1)
        decoded, past = self.decoder.advance(inputs, state.memory.value, past, mask)
        projection = Projection(decoded.flatten(0, 1), self.output.weight, self.output.bias)
        return projection, SearchState(state.memory, Constant(past), own)

    def forward(
        self, source: Int[Tensor, "b s"], source_mask: Bool[Tensor, "b s"], target_inputs: Int[Tensor, "b t"]
    ) -> Projection:
        """Logits (b, t, v) of each next symbol, given those before it."""
        memory, mask = self.encode(source, source_mask)
        embedded = self.dropout(self.target_positions(self.scale * self.target_embedding(target_inputs)))
        decoded = self.decoder(embedded, memory, mask)
        return Projection(decoded, self.output.weight, self.output.bias)
