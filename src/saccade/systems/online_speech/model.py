"""Hard online alignment. Luo, Chiu, Jaitly & Sutskever 2016, arXiv:1608.01281, sections 2 and 3.

a_t = forward recurrent layers over the features              what was heard so far
h_t = gru(h_{t-1}, [a_t; E y; b_{t-1}])                       y the last label that was said
b_t ~ Bernoulli(sigmoid(w . h_t + c))                         say the next label now (1), or wait (0)
y_j ~ softmax(W h_t + d)                                      where b_t = 1

Nothing waits for what is still to come, so a label is said while somebody speaks.
"""

from typing import Annotated, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.online import Gate, OnlineAttention
from saccade.attention.score_function import ScoreFunction
from saccade.core.config import config, refuse_unchosen
from saccade.core.tap import Tap
from saccade.memory.gru import GRU, Projected, Recurrent, gru_step, split
from saccade.nets.dropout import Dropout
from saccade.nets.stacked_encoder import StackedEncoder

Count = Annotated[int, Field(ge=1)]


@config
class OnlineSpeechConfig:
    """Sizes of the net, and who decides when a label is said."""

    layers: Count = 2
    """Forward layers over the features."""
    hidden_size: Count = 192
    """Units of each layer, and of the one that decides."""
    embedding_size: Count = 32
    """Features of the last label."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of each layer's outputs dropped in training."""
    policy: Literal["learned", "constant"] = "learned"
    """Gates that are drawn and learn, or a label at every n-th step, whatever is heard."""
    every: Count = 20
    """Constant only: steps from one label to the next."""
    pace: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Learned only: the probability with which a new model says a label at a step."""
    entropy_weight: Annotated[float, Field(ge=0)] = 0.1
    """Learned only: lambda_e, against gates that settle too early; it falls to 0 over `entropy_steps`."""
    entropy_steps: Count = 1500
    """Learned only: updates until the entropy counts no more."""

    @model_validator(mode="after")
    def check_policy(self) -> "OnlineSpeechConfig":
        refuse_unchosen(self, "policy", {"constant": "every"})
        for name in ("pace", "entropy_weight", "entropy_steps"):
            refuse_unchosen(self, "policy", {"learned": name})
        return self


class Said(NamedTuple):
    """What was decided at each step of the recordings."""

    known: Float[Tensor, "b t h"]
    """h_t, from which the decision was made."""
    gates: Gate
    """Whether a label was said (b, t), its log-probability and entropy; 0 where there was no choice."""
    counts: Int[Tensor, "b t"]
    """Labels said before."""


class Heard(NamedTuple):
    """Shares of the input of each step: of its features, of each last label, and of having just said one."""

    features: Projected
    labels: Float[Tensor, "v g"]
    said: Float[Tensor, " g"]
    recurrent: Recurrent


class OnlineSpeech(nn.Module):
    """Labels of a recording, each said at a step that a gate decides (Luo et al. 2016)."""

    def __init__(self, config: OnlineSpeechConfig, features: int, symbols: int) -> None:
        super().__init__()
        size, embedding = config.hidden_size, config.embedding_size
        self.every = config.every if config.policy == "constant" else None
        self.entropy_steps = config.entropy_steps
        self.encoder = StackedEncoder(features, size, config.layers, config.dropout, "forward")
        self.embedding = nn.Embedding(symbols, embedding)
        self.cell = GRU(size + embedding + 1, size)
        self.attention = OnlineAttention(size)
        self.output = nn.Linear(size, symbols)
        self.dropout = Dropout(config.dropout)
        # the reward of a decision is what is still to be said, so a baseline knows how much that is
        self.score_function = (
            ScoreFunction("learned", size + 2, entropy_weight=config.entropy_weight) if self.every is None else None
        )
        self.emissions = Tap("b u t")
        nn.init.normal_(self.embedding.weight, std=embedding**-0.5)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        with torch.no_grad():
            self.attention.gate.bias.fill_(torch.tensor(config.pace).logit().item())

    def prepare(self, features: Float[Tensor, "b t f"], mask: Bool[Tensor, "b t"]) -> Heard:
        """All that no decision changes, before the first one."""
        annotations = self.encoder(features.to(self.output.weight.dtype), mask).annotations
        sizes = [annotations.shape[-1], self.embedding.embedding_dim, 1]
        weight, last, said = self.cell.weight_input.split(sizes, 1)
        projected = split(F.linear(annotations, weight, self.cell.bias))
        return Heard(projected, F.linear(self.embedding.weight, last), said[:, 0], self.cell.recurrent())

    def advance(
        self, heard: Heard, step: int, last: Int[Tensor, " b"], said: Bool[Tensor, " b"], state: Float[Tensor, "b h"]
    ) -> Float[Tensor, "b h"]:
        """h_t, after the last label and the last decision."""
        told = heard.labels[last] + said[:, None] * heard.said
        gates, candidate = told.split([2 * state.shape[-1], state.shape[-1]], -1)
        inputs = Projected(heard.features.gates[:, step] + gates, heard.features.candidate[:, step] + candidate)
        return gru_step(inputs, state, heard.recurrent)

    def choice(self, step: int, rows: int, device: torch.device) -> Bool[Tensor, " b"] | None:
        """What a constant policy decides at a step, from 0."""
        if self.every is None:
            return None
        return torch.full((rows,), (step + 1) % self.every == 0, device=device)

    def forward(
        self,
        features: Float[Tensor, "b t f"],
        mask: Bool[Tensor, "b t"],
        labels: Int[Tensor, "b u"],
        start: int,
        generator: torch.Generator | None = None,
    ) -> Said:
        """Decide when these labels are said, all of them.

        Args:
            features, mask: recordings, True at their steps.
            labels: 0 is none.
            start: the symbol that stands for the last label before the first.
            generator: of the draws, for reproducible ones.
        """
        heard = self.prepare(features, mask)
        lengths, wanted = mask.sum(1), (labels != 0).sum(1)
        rows, steps = mask.shape
        state = self.cell.initial_state(rows).hidden
        count, said = torch.zeros_like(wanted), torch.zeros_like(wanted, dtype=torch.bool)
        # label 0 is the start, and there is none behind the last
        tokens = F.pad(labels, (1, 0), value=start)
        known, gates, counts = [], [], []
        for t in range(steps):
            last = tokens.gather(1, count[:, None])[:, 0]
            state = self.advance(heard, t, last, said, state)
            gate = self.attention(state, lengths - t, wanted - count, generator, self.choice(t, rows, features.device))
            known.append(state)
            gates.append(gate)
            counts.append(count)
            said, count = gate.emit, count + gate.emit
        found = Said(
            torch.stack(known, 1), Gate(*(torch.stack(part, 1) for part in zip(*gates, strict=True))),
            torch.stack(counts, 1),
        )  # fmt: skip
        self.emissions.lazy(lambda: self.when(found, wanted))
        return found

    def when(self, said: Said, wanted: Int[Tensor, " b"]) -> Float[Tensor, "b u t"]:
        """The probability of saying each label now, at the steps when it was the next; the last row is of the end."""
        now = torch.sigmoid(self.attention.gate(said.known)[..., 0])
        rows = torch.arange(int(wanted.max()) + 1, device=now.device)
        due = (said.counts[:, None] == rows[:, None]) & (rows[:, None] < wanted[:, None, None])
        return due * now[:, None]

    def log_probs(self, known: Float[Tensor, "*b h"]) -> Float[Tensor, "*b v"]:
        """Of the label that is said, should one be."""
        logits = self.output(self.dropout(known))
        log_probs: Tensor = logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))
        return log_probs

    @torch.no_grad()
    def listen(
        self, features: Float[Tensor, "b t f"], mask: Bool[Tensor, "b t"], start: int, waits: int
    ) -> Int[Tensor, "b t"]:
        """What is said at each step: the likeliest label, or `waits`."""
        heard = self.prepare(features, mask)
        rows, steps = mask.shape
        state = self.cell.initial_state(rows).hidden
        last = torch.full((rows,), start, device=mask.device)
        said, found = torch.zeros_like(last, dtype=torch.bool), []
        silent = torch.tensor([waits], device=mask.device)  # who says something does not say nothing
        for t in range(steps):
            state = self.advance(heard, t, last, said, state)
            said = self.attention(state, choice=self.choice(t, rows, mask.device)).emit & mask[:, t]
            logits = self.output(state)
            label = logits.index_fill(1, silent, -torch.inf).argmax(-1)
            last = torch.where(said, label, last)
            found.append(torch.where(said, label, waits))
        return torch.stack(found, 1)
