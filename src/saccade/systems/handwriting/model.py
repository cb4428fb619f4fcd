"""Handwriting networks. Graves 2013, arXiv:1308.0850, section 4 (prediction) and 5 (synthesis), figures 1 and 12.

    h1_t = LSTM(x_t, w_{t-1}),   w_t = sum_u phi(t, u) c_u                 the window, placed by h1_t
    h2_t = LSTM(x_t, h1_t, w_t), h3_t = LSTM(x_t, h2_t, w_t)
    y^_t = b + W1 h1_t + W2 h2_t + W3 h3_t                                 the mixture of the point after x_t

x_t the pen's last offset and whether its stroke ended, c the text in one-hot vectors. The prediction network is the
same without c and w. Only the first layer waits for the window; the others read all steps at once.

Behind the text stands a key more, the end, whose value is zero: phi(t, U + 1) of the paper is its weight.
"""

from typing import Annotated, Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.hard import Choices
from saccade.core.config import Parts, Size, config, refuse_unchosen
from saccade.core.linear import Linear, linear
from saccade.core.tap import Tap
from saccade.memory import LSTM, LSTMState
from saccade.memory.lstm import lstm_step
from saccade.nets.attention_choice import AttentionChoice, GaussianWindow, build_attention, build_score_function
from saccade.nets.choices import each_choice, with_choices
from saccade.nets.dropout import Dropout
from saccade.nets.recurrent_encoder import RecurrentEncoder
from saccade.systems.handwriting.mixture import PenMixture, pen_mixture
from saccade.tasks.pen import Batch


@config
class HandwritingConfig(AttentionChoice):
    """Sizes of the network, and how it reads the text."""

    network: Literal["synthesis", "prediction"] = "synthesis"
    """Whether it writes a text, or goes on with what the pen did."""
    layers: Annotated[int, Field(ge=1, le=8)] = 3
    """Layers of long short-term memory."""
    hidden_size: Size = 160
    """Cells of a layer."""
    components: Parts = 20
    """Gaussians of the mixture that a point is drawn from."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Share of each layer's outputs dropped in training, on their way up."""
    peepholes: bool = True
    """Whether the gates of a cell see it."""
    attention: Literal[
        "additive", "dot", "bilinear", "concat", "mlp", "scaled-dot", "cosine", "local-monotonic", "local-predictive",
        "location-aware", "gaussian-window", "hard", "past-alignment", "positional-keys",
    ] = "gaussian-window"  # fmt: skip
    """How the net chooses which characters to look at; mlp is another name of concat."""
    gaussian_window: GaussianWindow = GaussianWindow(pace=0.1)

    @model_validator(mode="after")
    def check_network(self) -> "HandwritingConfig":
        for name in ("attention", "gaussian_window"):
            refuse_unchosen(self, "network", {"synthesis": name})
        if self.attention != "gaussian-window" and self.hidden_size % 2:
            raise ValueError(f"hidden-size must be even for {self.attention}, not {self.hidden_size}")
        return self


class Steps(NamedTuple):
    """What the network says of the points of a batch: their distributions, and the choices of where to look, if any."""

    mixture: PenMixture
    choices: Choices | None
    known: Float[Tensor, "b t h"]
    score_function: nn.Module | None

    def log_density(self, points: Float[Tensor, "b t 3"]) -> Float[Tensor, "b t"]:
        """Of each point, given those before it; nats."""
        return self.mixture.log_density(points.to(self.mixture.end.dtype))

    def nats(self, points: Float[Tensor, "b t 3"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, ""]:
        """Minus the mean log-density of the points that the mask keeps, with the gradient of choices, if any."""
        rewards = self.log_density(points).masked_fill(~mask, 0.0)
        count = mask.sum().clamp(min=1)
        loss = -rewards.sum() / count
        if self.score_function is None or self.choices is None or not torch.is_grad_enabled():
            return loss
        return with_choices(loss, rewards, mask, self.choices, self.known, self.score_function)


class Text(NamedTuple):
    """A text as the attention has prepared it, and the places that may be looked at, the end among them."""

    prepared: Any
    mask: Bool[Tensor, "b u"]


class Pen(NamedTuple):
    """The state of the network between two points."""

    layers: tuple[LSTMState, ...]
    window: Float[Tensor, "b c"]
    attention: Any


class Handwriting(nn.Module):
    """The distribution of each next point of a pen (Graves 2013).

    Args:
        config: sizes, and which network.
        symbols: characters that a text may hold.
    """

    def __init__(self, config: HandwritingConfig, symbols: int) -> None:
        super().__init__()
        size, self.symbols, self.reads = config.hidden_size, symbols, config.network == "synthesis"
        looked = symbols if self.reads else 0
        inputs = [3 + looked, *[3 + looked + size] * (config.layers - 1)]
        self.layers = nn.ModuleList(LSTM(width, size, config.peepholes) for width in inputs)
        self.dropout = Dropout(config.dropout)
        self.output = Linear(config.layers * size, 1 + 6 * config.components)
        self.attention: nn.Module | None = None
        self.encoder: RecurrentEncoder | None = None
        self.score_function: nn.Module | None = None
        if self.reads:
            # a window of places needs to know nothing of what stands there; the others look for it
            places = config.attention == "gaussian-window"
            self.encoder = None if places else RecurrentEncoder(symbols + 1, size // 2)
            self.attention = build_attention(config, size, symbols if places else size)
            self.score_function = build_score_function(config, size)
        self.pen = Tap("b q xye")
        self.path = Tap("b k q")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        with torch.no_grad():
            # the components begin apart: alike, they would stay so
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
        """The text, with the end behind it; None for the network that reads none."""
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
        """The window that the first layer places: its content, its weights, and what the attention remembers."""
        if text is None:
            return state.window, hidden.new_zeros(len(hidden), 0), ()
        reading = self.mechanism.read(hidden, text.prepared, state.attention)
        return reading.context.to(hidden.dtype), reading.weights, reading.state

    def step(
        self, points: Float[Tensor, "b 3"], text: Text | None, state: Pen
    ) -> tuple[Float[Tensor, "b o"], Float[Tensor, "b u"], Pen]:
        """One step: the outputs, the weights of the characters and of the end, and the state after it."""
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
        choices = each_choice(memories) if memories and isinstance(memories[0], Choices) else None
        mixture = pen_mixture(self.output(torch.cat(outputs, -1)))
        return Steps(mixture, choices, first, self.score_function)

    def first_layer(
        self, points: Float[Tensor, "b t 3"], text: Text | None
    ) -> tuple[Float[Tensor, "b t h"], Float[Tensor, "b t c"], tuple[Any, ...]]:
        """Its outputs, the windows that it placed, and what the attention remembers after each."""
        layer = self.cells[0]
        if text is None:
            return layer(points)[0], points.new_zeros(*points.shape[:2], 0), ()
        # the pen's share of W x is known before the loop; the window's is not
        of_pen, of_window = layer.weight_input.split([3, self.symbols], 1)
        of_window, recurrent, state = of_window.mT, layer.recurrent(), self.initial_state(len(points), text)
        cells, hidden, windows, looks, memories = state.layers[0], [], [], [], []
        for projected in linear(points, of_pen, layer.bias).unbind(1):
            cells = lstm_step(torch.addmm(projected, state.window, of_window), cells, recurrent)
            window, weights, memory = self.read(cells.hidden, text, state)
            state = state._replace(window=window, attention=memory)
            hidden.append(cells.hidden)
            windows.append(window)
            looks.append(weights)
            memories.append(memory)
        self.path.lazy(lambda: torch.stack(looks, -1))
        return torch.stack(hidden, 1), torch.stack(windows, 1), tuple(memories)
