"""The deep recurrent attentive writer. Gregor et al. 2015, arXiv:1502.04623, section 2, equations 3 to 8, and 3.1.

    x^_t = x - sigmoid(c_{t-1})                                    the error image
    r_t = read(x, x^_t, h^dec_{t-1})
    h^enc_t = LSTM^enc(h^enc_{t-1}, [r_t, h^dec_{t-1}])
    z_t ~ Q(z_t | h^enc_t) = N(mu_t, sigma_t^2),   mu_t = W h^enc_t,  log sigma_t = W h^enc_t
    h^dec_t = LSTM^dec(h^dec_{t-1}, z_t)
    c_t = c_{t-1} + write(h^dec_t)

x the image, c the canvas, whose sigmoid at the last step is the probability of each white pixel; z the latents, with
the prior N(0, 1). c_0, h^enc_0 and h^dec_0 are learned. With attention, read and write are grids of Gaussians
(`vision.gaussian_grid`), both placed by h^dec: read = [patch of x, patch of x^], write = a patch W h^dec put back.
Without, read = [x, x^] and write = W h^dec. log sigma_t is limited to 10, so that nothing overflows.
"""

from typing import Annotated, Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.config import NAMED, Size, config
from saccade.core.tap import Tap
from saccade.memory import LSTM, LSTMState
from saccade.memory.lstm import lstm_step
from saccade.vision import GaussianGrid

LARGEST = 10.0  # limit on log sigma
INK = -2.0  # the first canvas: as dark as MNIST, of whose pixels 13 % are white

Grid = Annotated[int, Field(ge=1, le=64)]


@config
class Windows:
    """Read and write through grids of N x N Gaussians."""

    name: Literal["attention"] = "attention"
    read_size: Grid = 5
    """Rows and columns of the patch that is read."""
    write_size: Grid = 5
    """Rows and columns of the patch that is written."""


@config
class Whole:
    """Read and write the whole image at every step."""

    name: Literal["none"] = "none"


@config
class DrawConfig:
    """Sizes of the network."""

    mechanism: Annotated[Windows | Whole, Field(discriminator="name"), NAMED] = Windows()
    """attention reads and writes through windows; none the whole image."""
    steps: Annotated[int, Field(ge=1, le=1000)] = 10
    """Steps in which an image is drawn."""
    hidden_size: Size = 256
    """Cells of the encoder and of the decoder."""
    latent_size: Size = 20
    """Latents per step."""


class Drawn(NamedTuple):
    """What was drawn of a batch of images, from one sample of the latents."""

    canvas: Float[Tensor, "b y x"]
    """c_T, the log-odds of each white pixel."""
    divergence: Float[Tensor, "b t"]
    """Kullback-Leibler divergence of each step's posterior from the prior, in nats."""
    log_ratio: Float[Tensor, " b"]
    """log q(z | x) - log p(z) of the sample, in nats; the divergence is its expectation."""


class Windowed(nn.Module):
    """Read and write with attention."""

    def __init__(self, options: Windows, hidden_size: int, height: int, width: int) -> None:
        super().__init__()
        self.shape = height, width
        self.features = 2 * options.read_size**2
        self.read_grid = GaussianGrid(hidden_size, options.read_size, height, width)
        self.write_grid = GaussianGrid(hidden_size, options.write_size, height, width)
        self.patch = nn.Linear(hidden_size, options.write_size**2)

    def prepare(self, pixels: Float[Tensor, "b p"], weight: Float[Tensor, "g r"]) -> Tensor:
        return pixels

    def read(
        self, prepared: Tensor, drawn: Float[Tensor, "b p"], hidden: Float[Tensor, "b h"], lstm: LSTM, weight: Tensor
    ) -> Float[Tensor, "b g"]:
        """W r_t."""
        both = torch.stack([prepared, prepared - drawn], 1).unflatten(2, self.shape)
        patches = self.read_grid.read(both, self.read_grid(hidden))
        return lstm.products.linear(patches.flatten(1), weight)

    def write(self, hidden: Float[Tensor, "b h"]) -> Float[Tensor, "b p"]:
        patch = self.patch(hidden).view(len(hidden), 1, self.write_grid.size, self.write_grid.size)
        return self.write_grid.write(patch, self.write_grid(hidden)).flatten(1)


class Unwindowed(nn.Module):
    """Read and write without attention."""

    def __init__(self, hidden_size: int, height: int, width: int) -> None:
        super().__init__()
        self.features = 2 * height * width
        self.patch = nn.Linear(hidden_size, height * width)

    def prepare(self, pixels: Float[Tensor, "b p"], weight: Float[Tensor, "g r"]) -> Float[Tensor, "b g"]:
        """W [x, x] of W [x, x - drawn]: the part that does not depend on the step."""
        of_image, of_error = weight.chunk(2, 1)
        return F.linear(pixels, of_image + of_error)

    def read(
        self, prepared: Tensor, drawn: Float[Tensor, "b p"], hidden: Float[Tensor, "b h"], lstm: LSTM, weight: Tensor
    ) -> Float[Tensor, "b g"]:
        """W r_t."""
        return prepared - lstm.products.linear(drawn, weight[:, self.features // 2 :])

    def write(self, hidden: Float[Tensor, "b h"]) -> Float[Tensor, "b p"]:
        pixels: Tensor = self.patch(hidden)
        return pixels


class Draw(nn.Module):
    """A variational autoencoder that draws in steps (Gregor et al. 2015).

    Args:
        config: sizes, and the way to read and write.
        height: rows of the images.
        width: columns of the images.
    """

    def __init__(self, config: DrawConfig, height: int, width: int) -> None:
        super().__init__()
        size, latents = config.hidden_size, config.latent_size
        self.steps, self.latent_size, self.shape = config.steps, latents, (height, width)
        match config.mechanism:
            case Windows() as options:
                self.look: nn.Module = Windowed(options, size, height, width)
            case Whole():
                self.look = Unwindowed(size, height, width)
        self.encoder = LSTM(self.looking.features + size, size, peepholes=False)
        self.posterior = nn.Linear(size, 2 * latents)
        self.decoder = LSTM(latents, size, peepholes=False)
        self.first_canvas = nn.Parameter(torch.empty(height * width))
        self.first_hidden = nn.Parameter(torch.empty(2, size))
        self.canvas = Tap("b t y x")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.constant_(self.first_canvas, INK)
        nn.init.zeros_(self.first_hidden)

    @property
    def looking(self) -> Any:
        return self.look

    def start(self, count: int) -> tuple[Float[Tensor, "b p"], LSTMState, LSTMState]:
        """c_0 and the states of encoder and decoder."""
        states = [
            LSTMState(hidden.expand(count, -1), torch.zeros_like(hidden).expand(count, -1))
            for hidden in self.first_hidden
        ]
        return self.first_canvas.expand(count, -1), states[0], states[1]

    def forward(self, images: Float[Tensor, "b y x"], noise: Float[Tensor, "b t z"]) -> Drawn:
        """Draw images. The latents of step t are mu_t + sigma_t noise_t, with standard normal noise."""
        dtype = self.first_canvas.dtype
        pixels, noise = images.flatten(1).to(dtype), noise.to(dtype)
        canvas, encoder, decoder = self.start(len(images))
        of_encoder, of_decoder = self.encoder.recurrent(), self.decoder.recurrent()
        features, bias, linear = self.looking.features, self.encoder.bias, self.encoder.products.linear
        of_read, of_hidden = self.encoder.weight_input.split([features, self.encoder.hidden_size], 1)
        prepared = self.looking.prepare(pixels, of_read)
        steps: list[tuple[Tensor, Tensor, Tensor]] = []
        for drawn_noise in noise.unbind(1):
            read = self.looking.read(prepared, canvas.sigmoid(), decoder.hidden, self.encoder, of_read)
            encoder = lstm_step(read + linear(decoder.hidden, of_hidden, bias), encoder, of_encoder)
            mean, log_deviation = self.posterior(encoder.hidden).to(dtype).chunk(2, 1)
            log_deviation = log_deviation.clamp(-LARGEST, LARGEST)
            latents = torch.addcmul(mean, log_deviation.exp(), drawn_noise)
            decoder = lstm_step(self.decoder.project(latents), decoder, of_decoder)
            canvas = canvas + self.looking.write(decoder.hidden)
            steps.append((mean, log_deviation, canvas))
        means, log_deviations, canvases = zip(*steps, strict=True)
        self.canvas.lazy(lambda: torch.stack(canvases, 1).unflatten(2, self.shape))
        return drawn(canvas.unflatten(1, self.shape), torch.stack(means, 1), torch.stack(log_deviations, 1), noise)

    def generate(self, latents: Float[Tensor, "b t z"]) -> Float[Tensor, "b y x"]:
        """Draw from latents, such as samples of the prior; returns the last canvas."""
        canvas, _, decoder = self.start(len(latents))
        recurrent = self.decoder.recurrent()
        canvases: list[Tensor] = []
        for latent in latents.to(canvas.dtype).unbind(1):
            decoder = lstm_step(self.decoder.project(latent), decoder, recurrent)
            canvas = canvas + self.looking.write(decoder.hidden)
            canvases.append(canvas)
        self.canvas.lazy(lambda: torch.stack(canvases, 1).unflatten(2, self.shape))
        return canvases[-1].view(-1, *self.shape)


def drawn(
    canvas: Float[Tensor, "b y x"],
    means: Float[Tensor, "b t z"],
    log_deviations: Float[Tensor, "b t z"],
    noise: Float[Tensor, "b t z"],
) -> Drawn:
    """The canvas with the divergence from the prior N(0, 1), and log q / p of the sample: equations 10 and 11.

    The constant of the divergence is -T dim(z) / 2; the paper's -T / 2 is that of one latent.
    """
    # sigma^2 - 1 - log sigma^2, without cancellation near sigma = 1
    excess = torch.expm1(2 * log_deviations) - 2 * log_deviations
    divergence = 0.5 * (means.square() + excess).sum(2)
    latents = means + log_deviations.exp() * noise
    log_ratio = (0.5 * (latents.square() - noise.square()) - log_deviations).sum((1, 2))
    return Drawn(canvas, divergence, log_ratio)
