"""Recurrent networks that generate a signal from nothing. Koutnik et al. 2014, arXiv:1402.3511, 4.1.

The equations are those of `saccade.memory.ClockworkRNN`, `RNN` and `LSTM`; here are their sizes. There is no input: the
first state is zero, and from there on a network only listens to itself. Its output is linear, y(t) = v . h_t + c.
"""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from saccade.core.config import NAMED, Size, config
from saccade.core.tap import Tap
from saccade.memory import LSTM, RNN, ClockworkRNN
from saccade.tasks.waveform import Batch


@config
class Clockwork:
    """A clockwork RNN, whose modules run with the periods 1, 2, 4, ..."""

    name: Literal["clockwork"] = "clockwork"
    modules: Annotated[int, Field(ge=1, le=16)] = 9
    """Modules; the paper has nine."""
    module_size: Size = 5
    """Units of a module."""


@config
class Simple:
    """A simple recurrent network."""

    name: Literal["rnn"] = "rnn"
    hidden_size: Size = 34
    """Units."""


@config
class LongShortTerm:
    """A long short-term memory without peepholes."""

    name: Literal["lstm"] = "lstm"
    hidden_size: Size = 17
    """Units."""


Choice = Annotated[Clockwork | Simple | LongShortTerm, Field(discriminator="name"), NAMED]


@config
class GeneratorConfig:
    """A network that generates a signal. The defaults have about 1,200 weights each."""

    memory: Choice = Clockwork()
    """The recurrent network."""


class Generator(nn.Module):
    """A recurrent network without input, and a linear output."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.memory = made(config.memory)
        with torch.no_grad():  # without biases, a network that starts at zero and reads nothing would stay there
            self.memory.bias.add_(0.1 * torch.randn_like(self.memory.bias))
        self.hidden = Tap("b t h")
        self.output = nn.Linear(self.memory.hidden_size, 1)

    def forward(self, batch: Batch) -> Float[Tensor, "b t"]:
        """The signal, as long as the batch says; its values are not read."""
        nothing = self.output.weight.new_empty(*batch.signal.shape, 0)
        signal: Tensor = self.output(self.hidden(self.memory(nothing)[0]))[..., 0]
        return signal


def made(choice: Clockwork | Simple | LongShortTerm) -> ClockworkRNN | RNN | LSTM:
    match choice:
        case Clockwork():
            return ClockworkRNN(0, choice.module_size, periods=[2**i for i in range(choice.modules)])
        case Simple():
            return RNN(0, choice.hidden_size)
        case LongShortTerm():
            return LSTM(0, choice.hidden_size, peepholes=False)
