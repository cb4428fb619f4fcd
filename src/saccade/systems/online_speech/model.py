"""Hard online alignment. Luo, Chiu, Jaitly & Sutskever 2016, arXiv:1608.01281, sections 2 and 3.

a_t = forward recurrent layers over the features              what was heard so far
h_t = gru(h_{t-1}, [a_t; E y; b_{t-1}])                       y the last label that was said
b_t ~ Bernoulli(sigmoid(w . h_t + c))                         say the next label now (1), or wait (0)
y_j ~ softmax(W h_t + d)                                      where b_t = 1

Nothing waits for what is still to come, so a label is said while somebody speaks. At the end of a recording, where as
many labels are left as steps, each step says one, and after the last label none does: nobody knows that but a training.
"""

import math
from typing import Annotated, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.online import Gate, OnlineAttention
from saccade.attention.score_function import ScoreFunction
from saccade.core.config import Many, Parts, Size, config, refuse_unchosen
from saccade.core.linear import Linear, linear
from saccade.core.tap import Tap
from saccade.memory.gru import GRU, Projected, Recurrent, gru_step, split
from saccade.nets.dropout import Dropout
from saccade.nets.stacked_encoder import StackedEncoder


@config
class OnlineSpeechConfig:
    """Sizes of the net, and who decides when a label is said."""

    layers: Parts = 2
    """Forward layers over the features."""
    hidden_size: Size = 192
    """Units of each layer, and of the one that decides."""
    embedding_size: Size = 32
    """Features of the last label."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of each layer's outputs dropped in training."""
    policy: Literal["learned", "constant"] = "learned"
    """Gates that are drawn and learn, or a label at every n-th step, whatever is heard."""
    every: Many = 12
    """Constant only: steps from one label to the next."""
    pace: Annotated[float, Field(gt=0, lt=1)] = 0.08
    """Learned only: the probability with which a new model says a label at a step."""
    reward_weight: Annotated[float, Field(gt=0)] = 0.3
    """Learned only: lambda_r; below 1 the gates learn more slowly, and disturb the rest less."""
    told_weight: Annotated[float, Field(ge=0)] = 1.0
    """Learned only: share of the log-probability of decisions that were forced in the loss; 0 as in the paper, whose
    net learns nothing of when a recording ends."""
    entropy_weight: Annotated[float, Field(ge=0)] = 0.0
    """Learned only: lambda_e, against gates that settle too early; it falls to 0 over `entropy_steps`. A large
    weight makes labels come before anything was heard, since gates that seldom open are far from undecided."""
    entropy_steps: Many = 1500
    """Learned only: updates until the entropy counts no more."""

    @model_validator(mode="after")
    def check_policy(self) -> "OnlineSpeechConfig":
        refuse_unchosen(self, "policy", {"constant": "every"})
        for name in ("pace", "reward_weight", "told_weight", "entropy_weight", "entropy_steps"):
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
        self.entropy_steps, self.told_weight = config.entropy_steps, config.told_weight
        self.encoder = StackedEncoder(features, size, config.layers, config.dropout, "forward")
        self.embedding = nn.Embedding(symbols, embedding)
        self.cell = GRU(size + embedding + 1, size)
        self.attention = OnlineAttention(size)
        self.output = Linear(size, symbols)
        self.dropout = Dropout(config.dropout)
        # the reward of a decision is what is still to be said, so a baseline knows how much that is
        self.score_function = (
            ScoreFunction("learned", size + 2, reward_weight=config.reward_weight, entropy_weight=config.entropy_weight)
            if self.every is None
            else None
        )
        self.emissions = Tap("b u t")
        nn.init.normal_(self.embedding.weight, std=embedding**-0.5)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        with torch.no_grad():
            self.attention.gate.bias.fill_(torch.tensor(config.pace, device="cpu").logit().item())

    def prepare(self, features: Float[Tensor, "b t f"], mask: Bool[Tensor, "b t"]) -> Heard:
        """All that no decision changes, before the first one."""
        annotations = self.encoder(features.to(self.output.weight.dtype), mask).annotations
        sizes = [annotations.shape[-1], self.embedding.embedding_dim, 1]
        weight, last, said = self.cell.weight_input.split(sizes, 1)
        projected = split(linear(annotations, weight, self.cell.bias))
        return Heard(projected, linear(self.embedding.weight, last), said[:, 0], self.cell.recurrent())

    def advance(
        self, heard: Heard, step: int, last: Int[Tensor, " b"], said: Bool[Tensor, " b"], state: Float[Tensor, "b h"]
    ) -> Float[Tensor, "b h"]:
        """h_t, after the last label and the last decision."""
        told = heard.labels[last] + said[:, None] * heard.said
        gates, candidate = told.split([2 * state.shape[-1], state.shape[-1]], -1)
        inputs = Projected(heard.features.gates[:, step] + gates, heard.features.candidate[:, step] + candidate)
        return gru_step(inputs, state, heard.recurrent)

    def decide(
        self, step: int, state: Float[Tensor, "b h"], said: Bool[Tensor, " b"], waited: Float[Tensor, " b"]
    ) -> tuple[Bool[Tensor, " b"] | None, Float[Tensor, " b"]]:
        """Whether a label is said at a step, from 0; and the log-probability that none would have been since the last.

        None where it is drawn, in training. A constant policy knows it by the step. In evaluation a label is said once
        it is likelier to have been said than not: the middle of the times at which draws would say it.
        """
        logit = self.attention.gate(state)[:, 0]
        waited = waited.masked_fill(said, 0.0) + F.logsigmoid(-logit.to(waited.dtype))
        if self.every is not None:
            return torch.full_like(said, (step + 1) % self.every == 0), waited
        return (None if self.training else waited < math.log(0.5)), waited

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
        waited = torch.zeros_like(count, dtype=torch.promote_types(state.dtype, torch.float32))
        # label 0 is the start, and there is none behind the last
        tokens = F.pad(labels, (1, 0), value=start)
        known, gates, counts = [], [], []
        for t in range(steps):
            last = tokens.gather(1, count[:, None])[:, 0]
            state = self.advance(heard, t, last, said, state)
            choice, waited = self.decide(t, state, said, waited)
            gate = self.attention(state, lengths - t, wanted - count, generator, choice)
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
        now = self.forced(said, torch.ones_like(said.gates.emit)).exp()
        rows = torch.arange(int(wanted.max()) + 1, device=now.device)
        due = (said.counts[:, None] == rows[:, None]) & (rows[:, None] < wanted[:, None, None])
        return due * now[:, None]

    def forced(self, said: Said, emit: Bool[Tensor, "b t"]) -> Float[Tensor, "b t"]:
        """Log-probability of these decisions at each step, whoever made them."""
        logit = self.attention.gate(said.known)[..., 0]
        logit = logit.to(torch.promote_types(logit.dtype, torch.float32))
        return F.logsigmoid(torch.where(emit, logit, -logit))

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
        waited = torch.zeros_like(last, dtype=torch.promote_types(state.dtype, torch.float32))
        silent = torch.tensor([waits], device=mask.device)  # who says something does not say nothing
        for t in range(steps):
            state = self.advance(heard, t, last, said, state)
            choice, waited = self.decide(t, state, said, waited)
            said = self.attention(state, choice=choice).emit & mask[:, t]
            logits = self.output(state)
            label = logits.index_fill(1, silent, -torch.inf).argmax(-1)
            last = torch.where(said, label, last)
            found.append(torch.where(said, label, waits))
        return torch.stack(found, 1)
