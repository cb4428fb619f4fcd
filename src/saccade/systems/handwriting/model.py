"""Handwriting networks. Graves 2013, arXiv:1308.0850, section 4 (prediction) and 5 (synthesis), figures 1 and 12.

    h1_t = LSTM(x_t, w_{t-1}),   w_t = sum_u phi(t, u) c_u                 the window, placed by h1_t
    h2_t = LSTM(x_t, h1_t, w_t), h3_t = LSTM(x_t, h2_t, w_t)
    y^_t = b + W1 h1_t + W2 h2_t + W3 h3_t                                 the mixture of the point after x_t

x_t the pen's last offset and whether its stroke ended, c the text as one-hot vectors. The prediction network is the
same without c and w. Only the first layer runs step by step with the window; the others read all steps at once.

The text is followed by one more key, the end, whose value is zero; its weight is phi(t, U + 1) in the paper.
"""

from typing import Annotated, Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.hard import Choices, SomeChoices
from saccade.attention.score_function import ScoreFunction
from saccade.core.config import NAMED, Parts, Size, config
from saccade.core.tap import Tap
from saccade.memory import LSTM, LSTMState
from saccade.memory.lstm import lstm_step
from saccade.nets.attention_choice import Attention, GaussianWindow, build_attention, build_score_function
from saccade.nets.choices import each_choice, with_choices
from saccade.nets.dropout import Dropout
from saccade.nets.recurrent_encoder import RecurrentEncoder
from saccade.systems.handwriting.mixture import PenMixture, pen_mixture
from saccade.tasks.pen import Batch


@config
class Synthesis:
    """The network that reads a text through a window and writes it."""

    name: Literal["synthesis"] = "synthesis"
    attention: Attention = GaussianWindow(pace=0.1)
    """The mechanism that reads the text; mlp is another name for concat."""


@config
class Prediction:
    """The network without a text, which continues the strokes so far."""

    name: Literal["prediction"] = "prediction"


@config
class HandwritingConfig:
    """Sizes of the network."""

    network: Annotated[Synthesis | Prediction, Field(discriminator="name"), NAMED] = Synthesis()
    """synthesis writes a text; prediction has no text and continues the strokes so far."""
    layers: Annotated[int, Field(ge=1, le=8)] = 3
    """LSTM layers."""
    hidden_size: Size = 160
    """Cells per layer."""
    components: Parts = 20
    """Gaussians of the mixture from which a point is drawn."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Dropout rate of the outputs of layers, where they enter the next layer."""
    peepholes: bool = True
    """Peephole connections from a cell to its gates."""

    @model_validator(mode="after")
    def check_network(self) -> "HandwritingConfig":
        attention = self.attention
        if attention is not None and not isinstance(attention, GaussianWindow) and self.hidden_size % 2:
            raise ValueError(f"with {attention.name} attention, hidden-size must be even, not {self.hidden_size}")
        return self

    @property
    def attention(self) -> Attention | None:
        """The mechanism that reads the text; None for the prediction network."""
        return self.network.attention if isinstance(self.network, Synthesis) else None


class Steps(NamedTuple):
    """The distributions of the points of a batch, and the choices of hard attention, if any."""

    mixture: PenMixture
    choices: Choices | SomeChoices | None
    known: Float[Tensor, "b t h"]
    score_function: ScoreFunction | None

    def log_density(self, points: Float[Tensor, "b t 3"]) -> Float[Tensor, "b t"]:
        """Log-density of each point, given those before it, in nats."""
        return self.mixture.log_density(points.to(self.mixture.end.dtype))

    def nats(self, points: Float[Tensor, "b t 3"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, ""]:
        """Minus the mean log-density of the points under the mask, with the gradient of choices, if any."""
        rewards = self.log_density(points).masked_fill(~mask, 0.0)
        count = mask.sum().clamp(min=1)
        loss = -rewards.sum() / count
        if self.score_function is None or self.choices is None or not torch.is_grad_enabled():
            return loss
        return with_choices(loss, rewards, mask, self.choices, self.known, self.score_function)


class Text(NamedTuple):
    """A text as the attention has prepared it, and the mask of its keys, the end included."""

    prepared: Any
    mask: Bool[Tensor, "b u"]


class Pen(NamedTuple):
    """The state of the network after a point."""

    layers: tuple[LSTMState, ...]
    window: Float[Tensor, "b c"]
    attention: Any


class Handwriting(nn.Module):
    """The distribution of each next point of a pen (Graves 2013).

    Args:
        config: sizes, and the network.
        symbols: characters of the alphabet.
    """

    def __init__(self, config: HandwritingConfig, symbols: int) -> None:
        super().__init__()
        size, self.symbols, attention = config.hidden_size, symbols, config.attention
        window = 0 if attention is None else symbols
        inputs = [3 + window, *[3 + window + size] * (config.layers - 1)]
        self.layers = nn.ModuleList(LSTM(width, size, peepholes=config.peepholes) for width in inputs)
        self.dropout = Dropout(config.dropout)
        self.output = nn.Linear(config.layers * size, 1 + 6 * config.components)
        self.attention: nn.Module | None = None
        self.encoder: RecurrentEncoder | None = None
        self.score_function: ScoreFunction | None = None
        if attention is not None:
            # the Gaussian window does not read the keys; for other mechanisms they are characters in their context
            places = isinstance(attention, GaussianWindow)
            self.encoder = None if places else RecurrentEncoder(symbols + 1, size // 2)
            self.attention = build_attention(attention, size, symbols if places else size)
            self.score_function = build_score_function(attention, size)
        self.pen = Tap("b q xye")
        self.path = Tap("b k q")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        with torch.no_grad():
            # equal components would stay equal
            components = (self.output.out_features - 1) // 6
            self.output.bias[1 + components : 1 + 3 * components].normal_()

    @property
    def cells(self) -> list[LSTM]:
        layers: Any = list(self.layers)
        return layers  # type: ignore[no-any-return]

    @property
    def mechanism(self) -> Any:
        return self.attention

    def prepare(self, characters: Int[Tensor, "b u"], lengths: Int[Tensor, " b"]) -> Text | None:
        """The text, followed by the end; None for the network without a text."""
        if self.attention is None:
            return None
        dtype = self.output.weight.dtype
        place = torch.arange(characters.shape[1] + 1, device=characters.device)
        mask = place <= lengths[:, None]
        inside = (place < lengths[:, None])[..., None]
        values = F.one_hot(F.pad(characters, (0, 1)), self.symbols).to(dtype) * inside
        if self.encoder is None:
            keys = values
        else:
            end = (place == lengths[:, None])[..., None].to(dtype)
            keys = self.encoder(torch.cat([values, end], -1), mask).annotations
        return Text(self.mechanism.prepare(keys, mask, values), mask)

    def initial_state(self, batch_size: int, text: Text | None) -> Pen:
        cells = tuple(layer.initial_state(batch_size) for layer in self.cells)
        window = self.output.bias.new_zeros(batch_size, self.symbols if text is not None else 0)
        return Pen(cells, window, () if text is None else self.mechanism.initial_state(text.prepared))

    def read(self, hidden: Float[Tensor, "b h"], text: Text | None, state: Pen) -> tuple[Tensor, Tensor, Any]:
        """The window that the first layer places: its content, its weights, and the state of the attention."""
        if text is None:
            return state.window, hidden.new_zeros(len(hidden), 0), ()
        reading = self.mechanism.read(hidden, text.prepared, state.attention)
        return reading.context.to(hidden.dtype), reading.weights, reading.state

    def step(
        self, points: Float[Tensor, "b 3"], text: Text | None, state: Pen
    ) -> tuple[Float[Tensor, "b o"], Float[Tensor, "b u"], Pen]:
        """One step: the outputs, the weights of the characters and of the end, and the next state."""
        first, *others = self.cells
        hidden, cells = first.step(torch.cat([points, state.window], -1), state.layers[0])
        window, weights, memory = self.read(hidden, text, state)
        outputs, states = [hidden], [cells]
        for layer, before in zip(others, state.layers[1:], strict=True):
            hidden, cells = layer.step(torch.cat([points, outputs[-1], window], -1), before)
            outputs.append(hidden)
            states.append(cells)
        return self.output(torch.cat(outputs, -1)), weights, Pen(tuple(states), window, memory)

    def forward(self, batch: Batch) -> Steps:
        """All points of a batch, each given those before it."""
        self.pen.lazy(lambda: batch.points)
        points = batch.inputs.to(self.output.weight.dtype)
        text = self.prepare(batch.characters, batch.lengths)
        first, windows, memories = self.first_layer(points, text)
        outputs = [self.dropout(first)]
        for layer in self.cells[1:]:
            outputs.append(self.dropout(layer(torch.cat([points, outputs[-1], windows], -1))[0]))
        choices = each_choice(memories) if memories and isinstance(memories[0], Choices | SomeChoices) else None
        mixture = pen_mixture(self.output(torch.cat(outputs, -1)))
        return Steps(mixture, choices, first, self.score_function)

    def first_layer(
        self, points: Float[Tensor, "b t 3"], text: Text | None
    ) -> tuple[Float[Tensor, "b t h"], Float[Tensor, "b t c"], tuple[Any, ...]]:
        """Outputs of the first layer, the windows that it placed, and the states of the attention."""
        layer = self.cells[0]
        if text is None:
            return layer(points)[0], points.new_zeros(*points.shape[:2], 0), ()
        # the part of W x that comes from the pen is computed before the loop
        of_pen, of_window = layer.weight_input.split([3, self.symbols], 1)
        of_window, recurrent, state = of_window.mT, layer.recurrent(), self.initial_state(len(points), text)
        cells, hidden, windows, read, memories = state.layers[0], [], [], [], []
        for projected in layer.products.linear(points, of_pen, layer.bias).unbind(1):
            cells = lstm_step(torch.addmm(projected, state.window, of_window), cells, recurrent)
            window, weights, memory = self.read(cells.hidden, text, state)
            state = state._replace(window=window, attention=memory)
            hidden.append(cells.hidden)
            windows.append(window)
            read.append(weights)
            memories.append(memory)
        self.path.lazy(lambda: torch.stack(read, -1))
        return torch.stack(hidden, 1), torch.stack(windows, 1), tuple(memories)
