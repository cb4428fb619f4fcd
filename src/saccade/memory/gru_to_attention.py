"""From a gated recurrent unit to attention. Cho et al. 2014, arXiv:1406.1078; Vaswani et al. 2017, arXiv:1706.03762.

    0   h_t = sum_i a_ti * h~_i                      a_ti = (1 - u_i) * prod_(j=i+1..t) u_j,   h~_i = f(x_i, h_i-1)
    1   h_t = sum_i a_ti h~_i                        a_ti = softmax_i(q(x_t) . h~_i)           free weights
    2   h_t = sum_i a_ti f(x_i)                      a_ti = softmax_i(q(x_t) . f(x_i))         free candidates
    3   h_t = sum_i a_ti V f(x_i)                    a_ti = softmax_i(q(x_t) . K f(x_i))       keys and values
    4   h_t = [h_t^1; ...; h_t^n]                    each head as 3, with weights of its own

u update gate, h~ candidate, i = 1..t. The derivation is Cho's. Step 0 is the unit itself, unrolled; its sum also has
i = 0, whose candidate is h_0 and whose weight is the product of all gates. Its weights are per channel, and sum to 1.
Each other step frees something, and contains the step before it: step 1 with the logarithms of step 0's weights as its
scores, step 2 where no candidate depends on the state before, step 3 where K and V are the identity, step 4 with one
head. Step 4 is causal multi-head attention. Scores are divided by the square root of a key's features.
"""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.content import check_sizes
from saccade.attention.dot_product import dot_product_weights
from saccade.core.errors import InvalidInput
from saccade.core.tap import Tap
from saccade.memory.gru import GRU, GRUState


def unrolled_weights(update: Float[Tensor, "b t h"]) -> Float[Tensor, "b t i h"]:
    """The weights of h_0 and of the t candidates in each state, from the update gates before their sigmoid.

    Computed from sums of logarithms, since a product of many gates vanishes.
    """
    total = F.pad(F.logsigmoid(update).cumsum(1), (0, 0, 1, 0))  # log of the product of the first t gates
    entered = F.pad(F.logsigmoid(-update), (0, 0, 1, 0))  # h_0 enters with weight 1
    logs = total[:, 1:, None] - total[:, None] + entered[:, None]
    steps = update.shape[1]
    past = torch.ones(steps, steps + 1, dtype=torch.bool, device=update.device).tril(1)
    return logs.masked_fill(~past[:, :, None], -torch.inf).exp()


class UnrolledGRU(nn.Module):
    """Step 0: the states of a GRU as weighted sums of its candidates, per channel.

    Its results are those of the GRU. The tap `weights` gets (b, t, 1 + t, h); the first key is h_0.

    Args:
        gru: the unit; the weights are its own.
    """

    def __init__(self, gru: GRU) -> None:
        super().__init__()
        self.gru = gru
        self.weights = Tap("b q k d")

    def parts(
        self, inputs: Float[Tensor, "b t d"], hidden: Float[Tensor, "b h"]
    ) -> tuple[Float[Tensor, "b t h"], Float[Tensor, "b t h"]]:
        """Update gates before their sigmoid, and candidates, each from the state before it, so the unit runs first."""
        outputs, _ = self.gru(inputs, GRUState(hidden))
        before = torch.cat([hidden[:, None], outputs[:, :-1]], 1)
        projected, recurrent = self.gru.project(inputs), self.gru.recurrent()
        reset, update = (projected.gates + before @ recurrent.gates).chunk(2, -1)
        if recurrent.bias is None:
            product = (reset.sigmoid() * before) @ recurrent.candidate
        else:
            product = reset.sigmoid() * (before @ recurrent.candidate + recurrent.bias)
        return update, torch.tanh(projected.candidate + product)

    def forward(self, inputs: Float[Tensor, "b t d"], state: GRUState | None = None) -> Float[Tensor, "b t h"]:
        """The states after each step; the first state is zero by default."""
        hidden = (self.gru.initial_state(len(inputs)) if state is None else state).hidden
        update, candidates = self.parts(inputs, hidden)
        weights: Tensor = self.weights(unrolled_weights(update))
        return torch.einsum("btih,bih->bth", weights, torch.cat([hidden[:, None], candidates], 1))


class FreeWeights(nn.Module):
    """Step 1: the weights are a softmax over scores of the candidates, for a query made of the input.

    A candidate tanh(W x + U h + b) still depends on the state before it, so the steps are a loop.

    Args:
        input_size: features of the input.
        hidden_size: features of the state and of a candidate.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        self.candidate = nn.Linear(input_size, hidden_size)
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias=False)
        self.query = nn.Linear(input_size, hidden_size, bias=False)
        self.weights = Tap("b k")

    def forward(self, inputs: Float[Tensor, "b t d"]) -> Float[Tensor, "b t h"]:
        """The states after each step; before the first it is zero, and no candidate."""
        projected, queries = self.candidate(inputs), self.query(inputs)
        hidden, candidates, states = torch.zeros_like(projected[:, 0]), projected[:, :0], []
        for sums, query in zip(projected.unbind(1), queries.unbind(1), strict=True):
            new = torch.tanh(sums + self.recurrent(hidden))
            candidates = torch.cat([candidates, new[:, None]], 1)
            weights = dot_product_weights(query[:, None, None], candidates[:, None])[:, 0, 0]
            hidden = (self.weights(weights)[..., None] * candidates).sum(1)
            states.append(hidden)
        return torch.stack(states, 1)


class FreeCandidates(nn.Module):
    """Step 2: a candidate f(x) = tanh(W x + b) depends on its own input only, so all steps are one.

    Args:
        input_size: features of the input.
        hidden_size: features of the state and of a candidate.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        self.candidate = nn.Linear(input_size, hidden_size)
        self.query = nn.Linear(input_size, hidden_size, bias=False)
        self.weights = Tap("b h q k")

    def forward(self, inputs: Float[Tensor, "b t d"]) -> Float[Tensor, "b t h"]:
        candidates = torch.tanh(self.candidate(inputs))[:, None]
        weights = dot_product_weights(self.query(inputs)[:, None], candidates, causal=True)
        states: Tensor = self.weights(weights) @ candidates
        return states[:, 0]


class Heads(nn.Module):
    """Step 4: several heads, each with queries, keys and values of its own.

    It is `MultiHeadAttention` with inputs as queries, candidates as keys, and no projection of the output.

    Args:
        input_size: features of the input.
        hidden_size: features of the state and of a candidate.
        heads: number of heads.

    Raises:
        InvalidInput: heads that do not divide hidden_size.
    """

    def __init__(self, input_size: int, hidden_size: int, heads: int) -> None:
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size, heads=heads)
        if hidden_size % heads:
            raise InvalidInput(f"{heads} heads do not divide a state of {hidden_size}")
        self.heads = heads
        self.candidate = nn.Linear(input_size, hidden_size)
        self.query = nn.Linear(input_size, hidden_size, bias=False)
        self.key = nn.Linear(hidden_size, hidden_size, bias=False)
        self.value = nn.Linear(hidden_size, hidden_size, bias=False)
        self.weights = Tap("b h q k")

    def forward(self, inputs: Float[Tensor, "b t d"]) -> Float[Tensor, "b t h"]:
        candidates = torch.tanh(self.candidate(inputs))
        parts = self.query(inputs), self.key(candidates), self.value(candidates)
        query, key, value = (rearrange(part, "b t (n d) -> b n t d", n=self.heads) for part in parts)
        weights: Tensor = self.weights(dot_product_weights(query, key, causal=True))
        states: Tensor = rearrange(weights @ value, "b n t d -> b t (n d)")
        return states


class KeysAndValues(Heads):
    """Step 3: keys K f(x) are compared, values V f(x) are mixed. One head.

    Args:
        input_size: features of the input.
        hidden_size: features of the state and of a candidate.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, 1)
