"""Hard online alignment. Luo, Chiu, Jaitly & Sutskever 2016, arXiv:1608.01281, sections 2 and 3.

a_t = forward recurrent layers over the features              the recording up to t
h_t = gru(h_{t-1}, [a_t; E y; b_{t-1}])                       y the last label emitted
b_t ~ Bernoulli(sigmoid(w . h_t + c))                         emit the next label now (1), or wait (0)
y_j ~ softmax(W h_t + d)                                      where b_t = 1

Nothing depends on later steps, so labels are emitted during the recording. In training the number of labels is known:
when as many labels as steps are left, each step emits one, and after the last label none does.
"""

import math
from typing import Annotated, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.online import Gate, OnlineAttention
from saccade.attention.score_function import ScoreFunction
from saccade.core.config import NAMED, Many, Parts, Size, config
from saccade.core.tap import Tap
from saccade.memory.gru import GRU, Projected, Recurrent, gru_step, split
from saccade.nets.dropout import Dropout
from saccade.nets.stacked_encoder import StackedEncoder


@config
class Learned:
    """Gates that are sampled, and trained with the score function."""

    name: Literal["learned"] = "learned"
    pace: Annotated[float, Field(gt=0, lt=1)] = 0.08
    """Probability with which a new model emits a label at a step."""
    reward_weight: Annotated[float, Field(gt=0)] = 0.3
    """Weight of the reward, lambda_r. Below 1 the gates learn more slowly and disturb the other weights less."""
    forced_weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the log-probability of forced decisions in the loss; 0 as in the paper, where the network does not
    learn when a recording ends."""
    entropy_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the entropy of the gates, lambda_e, which falls to 0 over `entropy_steps`. Since gates seldom open, a
    large weight makes labels come before their words."""
    entropy_steps: Many = 1500
    """Updates until the weight of the entropy is 0."""


@config
class Constant:
    """Emits a label at every n-th step of any recording."""

    name: Literal["constant"] = "constant"
    every: Many = 12
    """Number of steps from one label to the next."""


@config
class OnlineSpeechConfig:
    """Sizes of the network, and the policy that decides when a label is emitted."""

    layers: Parts = 2
    """Forward layers of the encoder."""
    hidden_size: Size = 192
    """Units of each layer of the encoder, and of the layer that decides."""
    embedding_size: Size = 32
    """Features of the last label."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Dropout rate of the outputs of layers."""
    policy: Annotated[Learned | Constant, Field(discriminator="name"), NAMED] = Learned()
    """The policy that decides when a label is emitted."""


class Decisions(NamedTuple):
    """The decisions at each step of the recordings."""

    known: Float[Tensor, "b t h"]
    """h_t, from which the decision was made."""
    gates: Gate
    """Whether a label was emitted (b, t), with log-probability and entropy; both are 0 for a forced decision."""
    counts: Int[Tensor, "b t"]
    """Labels emitted before."""


class Inputs(NamedTuple):
    """The projected inputs of each step: from its features, from each last label, and from having just emitted one."""

    features: Projected
    labels: Float[Tensor, "v g"]
    said: Float[Tensor, " g"]
    recurrent: Recurrent


class OnlineSpeech(nn.Module):
    """Transcribes a recording; a gate decides at each step whether a label is emitted (Luo et al. 2016)."""

    def __init__(self, config: OnlineSpeechConfig, features: int, symbols: int) -> None:
        super().__init__()
        size, embedding = config.hidden_size, config.embedding_size
        policy = config.policy
        self.every = policy.every if isinstance(policy, Constant) else None
        self.encoder = StackedEncoder(features, size, config.layers, config.dropout, "forward")
        self.embedding = nn.Embedding(symbols, embedding)
        self.cell = GRU(size + embedding + 1, size)
        self.attention = OnlineAttention(size)
        self.output = nn.Linear(size, symbols)
        self.dropout = Dropout(config.dropout)
        self.score_function: ScoreFunction | None = None
        if isinstance(policy, Learned):
            self.entropy_steps, self.forced_weight = policy.entropy_steps, policy.forced_weight
            # the reward of a decision sums over the remaining labels, so the baseline gets their number
            self.score_function = ScoreFunction(
                "learned", features=size + 2, reward_weight=policy.reward_weight, entropy_weight=policy.entropy_weight
            )
        self.emissions = Tap("b u t")
        nn.init.normal_(self.embedding.weight, std=embedding**-0.5)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        if isinstance(policy, Learned):
            with torch.no_grad():
                self.attention.gate.bias.fill_(torch.tensor(policy.pace, device="cpu").logit().item())

    def prepare(self, features: Float[Tensor, "b t f"], mask: Bool[Tensor, "b t"]) -> Inputs:
        """Everything that does not depend on decisions."""
        annotations = self.encoder(features.to(self.output.weight.dtype), mask).annotations
        sizes = [annotations.shape[-1], self.embedding.embedding_dim, 1]
        weight, last, said = self.cell.weight_input.split(sizes, 1)
        projected = split(self.cell.products.linear(annotations, weight, self.cell.bias))
        return Inputs(projected, F.linear(self.embedding.weight, last), said[:, 0], self.cell.recurrent())

    def advance(
        self, inputs: Inputs, step: int, last: Int[Tensor, " b"], said: Bool[Tensor, " b"], state: Float[Tensor, "b h"]
    ) -> Float[Tensor, "b h"]:
        """h_t, after the last label and the last decision."""
        before = inputs.labels[last] + said[:, None] * inputs.said
        gates, candidate = before.split([2 * state.shape[-1], state.shape[-1]], -1)
        projected = Projected(inputs.features.gates[:, step] + gates, inputs.features.candidate[:, step] + candidate)
        return gru_step(projected, state, inputs.recurrent)

    def decide(
        self, step: int, state: Float[Tensor, "b h"], said: Bool[Tensor, " b"], waited: Float[Tensor, " b"]
    ) -> tuple[Bool[Tensor, " b"] | None, Float[Tensor, " b"]]:
        """Whether a label is emitted at a step, counted from 0, and the log-probability of emitting none since the last
        label.

        In training the learned policy samples, and the decision is None. In evaluation it emits a label once the
        probability that sampling would have emitted it by now exceeds one half, that is, at the median step.
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
    ) -> Decisions:
        """Decide at which steps all of these labels are emitted.

        Args:
            features: features of the recordings.
            mask: True at their steps.
            labels: padded with 0.
            start: the symbol used as the label before the first.
            generator: makes the draws reproducible.
        """
        inputs = self.prepare(features, mask)
        lengths, wanted = mask.sum(1), (labels != 0).sum(1)
        rows, steps = mask.shape
        state = self.cell.initial_state(rows).hidden
        count, said = torch.zeros_like(wanted), torch.zeros_like(wanted, dtype=torch.bool)
        waited = torch.zeros_like(count, dtype=torch.promote_types(state.dtype, torch.float32))
        # token 0 is the start symbol
        tokens = F.pad(labels, (1, 0), value=start)
        known, gates, counts = [], [], []
        for t in range(steps):
            last = tokens.gather(1, count[:, None])[:, 0]
            state = self.advance(inputs, t, last, said, state)
            choice, waited = self.decide(t, state, said, waited)
            gate = self.attention(state, lengths - t, wanted - count, generator, choice)
            known.append(state)
            gates.append(gate)
            counts.append(count)
            said, count = gate.emit, count + gate.emit
        found = Decisions(
            torch.stack(known, 1), Gate(*(torch.stack(part, 1) for part in zip(*gates, strict=True))),
            torch.stack(counts, 1),
        )  # fmt: skip
        self.emissions.lazy(lambda: self.when(found, wanted))
        return found

    def when(self, said: Decisions, wanted: Int[Tensor, " b"]) -> Float[Tensor, "b u t"]:
        """The probability of emitting each label, at the steps when it is the next one; the last row is the end."""
        now = self.forced(said, torch.ones_like(said.gates.emit)).exp()
        rows = torch.arange(int(wanted.max()) + 1, device=now.device)
        due = (said.counts[:, None] == rows[:, None]) & (rows[:, None] < wanted[:, None, None])
        return due * now[:, None]

    def forced(self, said: Decisions, emit: Bool[Tensor, "b t"]) -> Float[Tensor, "b t"]:
        """Log-probability of these decisions at each step, sampled or not."""
        logit = self.attention.gate(said.known)[..., 0]
        logit = logit.to(torch.promote_types(logit.dtype, torch.float32))
        return F.logsigmoid(torch.where(emit, logit, -logit))

    def log_probs(self, known: Float[Tensor, "*b h"]) -> Float[Tensor, "*b v"]:
        """Log-probabilities of the label, given that one is emitted."""
        logits = self.output(self.dropout(known))
        log_probs: Tensor = logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))
        return log_probs

    @torch.no_grad()
    def listen(
        self, features: Float[Tensor, "b t f"], mask: Bool[Tensor, "b t"], start: int, waits: int
    ) -> Int[Tensor, "b t"]:
        """The symbol of each step: the most probable label, or `waits`."""
        inputs = self.prepare(features, mask)
        rows, steps = mask.shape
        state = self.cell.initial_state(rows).hidden
        last = torch.full((rows,), start, device=mask.device)
        said, found = torch.zeros_like(last, dtype=torch.bool), []
        waited = torch.zeros_like(last, dtype=torch.promote_types(state.dtype, torch.float32))
        silent = torch.tensor([waits], device=mask.device)  # `waits` is not a label
        for t in range(steps):
            state = self.advance(inputs, t, last, said, state)
            choice, waited = self.decide(t, state, said, waited)
            said = self.attention(state, choice=choice).emit & mask[:, t]
            logits = self.output(state)
            label = logits.index_fill(1, silent, -torch.inf).argmax(-1)
            last = torch.where(said, label, last)
            found.append(torch.where(said, label, waits))
        return torch.stack(found, 1)
