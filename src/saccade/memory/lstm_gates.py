"""The gates of a long short-term memory, to look at. Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735;
the equations are those of lstm.py.

    f_t forget, i_t input, c~_t = tanh(W_xc x + W_hc h + b_c) candidate, c_t = f_t c_t-1 + i_t c~_t cell, o_t output

It computes what an LSTM computes, with a tap on each of the five; an LSTM itself has no taps, so that it may use any
kernel.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.core.tap import Tap
from saccade.memory.lstm import LSTM, LSTMState


class Gates(NamedTuple):
    """The parts of one step, in the order in which the step uses them."""

    forget: Float[Tensor, "*b h"]
    input: Float[Tensor, "*b h"]
    candidate: Float[Tensor, "*b h"]
    cell: Float[Tensor, "*b h"]
    output: Float[Tensor, "*b h"]


class LSTMGates(nn.Module):
    """An LSTM over (b, t, d) whose gates can be captured: taps forget, input, candidate, cell and output, (b, t, h).

    Args:
        lstm: the network; its weights are shared.
    """

    def __init__(self, lstm: LSTM) -> None:
        super().__init__()
        self.lstm = lstm
        self.forget, self.input, self.candidate = Tap("b t h"), Tap("b t h"), Tap("b t h")
        self.cell, self.output = Tap("b t h"), Tap("b t h")

    def parts(self, projected: Float[Tensor, "b gates"], state: LSTMState) -> Gates:
        """The parts of one step from a projected input, one equation a line."""
        hidden, cell = state
        recurrent = self.lstm.recurrent()
        sums = recurrent.add(projected, hidden, recurrent.weight).to(cell.dtype)
        to_input, to_forget, to_candidate, to_output = sums.chunk(4, -1)
        see_input, see_forget, see_output = (0.0, 0.0, 0.0)
        if self.lstm.peepholes is not None:
            see_input, see_forget, see_output = self.lstm.peepholes.chunk(3)  # type: ignore[assignment]
        forget = (to_forget + see_forget * cell).sigmoid()
        write = (to_input + see_input * cell).sigmoid()
        candidate = to_candidate.tanh()
        cell = forget * cell + write * candidate
        return Gates(forget, write, candidate, cell, (to_output + see_output * cell).sigmoid())

    def forward(
        self, inputs: Float[Tensor, "b t d"], state: LSTMState | None = None
    ) -> tuple[Float[Tensor, "b t h"], LSTMState]:
        """All time steps; outputs and state are those of the LSTM."""
        state = self.lstm.initial_state(inputs.shape[0]) if state is None else state
        if not inputs.shape[1]:
            return state.hidden[:, None][:, :0], state
        steps = []
        for projected in self.lstm.project(inputs).unbind(1):
            steps.append(self.parts(projected, state))
            state = LSTMState(steps[-1].output * steps[-1].cell.tanh(), steps[-1].cell)
        found = Gates(*(torch.stack(part, 1) for part in zip(*steps, strict=True)))
        self.forget(found.forget), self.input(found.input), self.candidate(found.candidate)
        cell, output = self.cell(found.cell), self.output(found.output)
        return output * cell.tanh(), state
