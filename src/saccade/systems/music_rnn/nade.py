"""Distributions over the notes of a frame, given a state: independent notes, or a neural autoregressive distribution
estimator (NADE: Larochelle & Murray 2011, equations 8 to 10; with biases from the state, RNN-NADE:
Boulanger-Lewandowski et al. 2012, arXiv:1206.6392, section 5).

    independent   p(v | u) = prod_i p(v_i | u),             p(v_i = 1 | u) = sigmoid(b_i + B_i . u)
    nade          p(v | u) = prod_i p(v_i | v_<i, u),       p(v_i = 1 | v_<i, u) = sigmoid(b_i(u) + V_i . h_i)
                  h_i = sigmoid(c(u) + sum_{j<i} W_j v_j),  b(u) = b + B u,  c(u) = c + C u

u the state, v the notes from the lowest to the highest. h_i changes only where a note sounds: a frame of k notes has
k + 1 different hidden vectors, which is fewer than the 88 of a sum over all notes.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


def nade_logits(
    notes: Float[Tensor, "n v"],
    bias: Float[Tensor, "n v"],
    hidden_bias: Float[Tensor, "n m"],
    inward: Float[Tensor, "v m"],
    outward: Float[Tensor, "v m"],
) -> Float[Tensor, "n v"]:
    """The logits of each note, given those below it.

    Args:
        notes: 1 where a note sounds, and 0 elsewhere.
        bias: b(u).
        hidden_bias: c(u).
        inward: W, a row for each note.
        outward: V, a row for each note.
    """
    below = (notes.cumsum(-1) - notes).long()  # of each note, the number that sound below it
    most = int(notes.sum(-1).max()) if len(notes) else 0
    counts = torch.arange(most + 1, device=notes.device)[:, None]
    first = notes[:, None] * (below[:, None] < counts)  # of each count s, the lowest s notes that sound
    hidden = torch.sigmoid(hidden_bias[:, None] + F.linear(first, inward.mT))
    return bias + F.linear(hidden, outward).gather(1, below[:, None])[:, 0]


class Independent(nn.Module):
    """Each note is a Bernoulli variable of the state.

    Args:
        state_size: features of the state.
        notes: number of notes.
        frequencies: of each note, from 0 to 1, which the first biases stand for; by default a half.
    """

    def __init__(self, state_size: int, notes: int, frequencies: Float[Tensor, " v"] | None = None) -> None:
        super().__init__()
        self.notes = first_biases(nn.Linear(state_size, notes), frequencies)

    def log_prob(self, state: Float[Tensor, "n d"], notes: Float[Tensor, "n v"]) -> Float[Tensor, " n"]:
        """log p of each frame."""
        return log_prob(self.notes(state), notes)

    def sample(
        self, state: Float[Tensor, "n d"], temperature: float, uniform: Float[Tensor, "n v"]
    ) -> Float[Tensor, "n v"]:
        """A frame for each state; see `sounds`."""
        return sounds(self.notes(state), temperature, uniform)

    def expected(self, state: Float[Tensor, "n d"], uniform: Float[Tensor, "s n v"]) -> Float[Tensor, "n v"]:
        """The probability of each note; the uniform numbers are not needed."""
        probabilities: Tensor = self.notes(state).sigmoid()
        return probabilities


class Nade(nn.Module):
    """A neural autoregressive distribution estimator whose biases come from the state.

    Args:
        state_size: features of the state.
        notes: number of notes.
        hidden_size: units of the estimator.
        frequencies: as for `Independent`.
    """

    def __init__(
        self, state_size: int, notes: int, hidden_size: int, frequencies: Float[Tensor, " v"] | None = None
    ) -> None:
        super().__init__()
        self.notes = first_biases(nn.Linear(state_size, notes), frequencies)
        self.hidden = nn.Linear(state_size, hidden_size)
        self.inward = nn.Parameter(torch.empty(notes, hidden_size))
        self.outward = nn.Parameter(torch.empty(notes, hidden_size))
        nn.init.xavier_uniform_(self.inward)
        nn.init.xavier_uniform_(self.outward)

    def log_prob(self, state: Float[Tensor, "n d"], notes: Float[Tensor, "n v"]) -> Float[Tensor, " n"]:
        """log p of each frame."""
        return log_prob(self.logits(state, notes), notes)

    def logits(self, state: Float[Tensor, "n d"], notes: Float[Tensor, "n v"]) -> Float[Tensor, "n v"]:
        return nade_logits(notes, self.notes(state), self.hidden(state), self.inward, self.outward)

    def sample(
        self, state: Float[Tensor, "n d"], temperature: float, uniform: Float[Tensor, "n v"]
    ) -> Float[Tensor, "n v"]:
        """A frame for each state, from the lowest note up; see `sounds`."""
        bias, hidden, drawn = self.notes(state), self.hidden(state), []
        for note in range(bias.shape[-1]):
            logit: Tensor = bias[:, note] + hidden.sigmoid() @ self.outward[note]
            drawn.append(sounds(logit, temperature, uniform[:, note]).to(hidden.dtype))
            hidden = torch.addcmul(hidden, drawn[-1][:, None], self.inward[note])
        return torch.stack(drawn, -1)

    def expected(self, state: Float[Tensor, "n d"], uniform: Float[Tensor, "s n v"]) -> Float[Tensor, "n v"]:
        """The probability of each note, whatever sounds below it: the mean over s samples of its conditional one."""
        draws, frames = uniform.shape[:2]
        many = state.repeat(draws, 1)
        samples = self.sample(many, 1.0, uniform.flatten(0, 1))
        found: Tensor = self.logits(many, samples).sigmoid().unflatten(0, (draws, frames))
        return found.mean(0)


def first_biases(layer: nn.Linear, frequencies: Float[Tensor, " v"] | None) -> nn.Linear:
    """The layer with the logits of these frequencies as biases."""
    if frequencies is None:
        nn.init.zeros_(layer.bias)
    else:
        with torch.no_grad():
            layer.bias.copy_(frequencies.logit())
    return layer


def log_prob(logits: Float[Tensor, "*b v"], notes: Float[Tensor, "*b v"]) -> Float[Tensor, "*b"]:
    """The sum over notes of their log-probabilities, at least in float32."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return -F.binary_cross_entropy_with_logits(logits, notes.to(logits.dtype), reduction="none").sum(-1)


def sounds(logits: Float[Tensor, "*b"], temperature: float, uniform: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """1 where a note is drawn, with probability sigmoid(logit / temperature); at temperature 0 where it is more likely
    than not."""
    if temperature == 0:
        return (logits > 0).to(logits.dtype)
    return (uniform < (logits.double() / temperature).sigmoid()).to(logits.dtype)
