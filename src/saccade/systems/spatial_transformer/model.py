"""Classifiers of digits, with a spatial transformer before them or without. Jaderberg et al. 2015, arXiv:1506.02025,
section 4.1 and appendix A.4.

    V = sample(U, T_theta(G)),  theta = f_loc(U)      class = softmax(f(V))
"""

from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from saccade.core.config import NAMED, Parts, Size, config
from saccade.core.errors import InvalidInput
from saccade.vision import AffineGrid, ProjectiveGrid, SimilarityGrid, SpatialTransformer, SplineGrid
from saccade.vision.grids import Grid

CLASSES = 10


@config
class FCN:
    """Two hidden layers."""

    name: Literal["fcn"] = "fcn"
    hidden_size: Size = 350
    """Units of each layer; 350 for images of 28 x 28 and 206 for 42 x 42 make about 400,000 weights."""


@config
class CNN:
    """Two convolutions, 9 x 9 and 7 x 7, each followed by a maximum over 2 x 2."""

    name: Literal["cnn"] = "cnn"
    filters: tuple[Size, Size] = (64, 128)
    """Filters of each convolution."""


Localisation = Literal["fcn", "cnn"]


@config
class Without:
    """No transformer: the classifier sees the image as it is."""

    name: Literal["none"] = "none"


@config
class Affine:
    """Shift, rotation, scale and shear: 6 parameters."""

    name: Literal["affine"] = "affine"
    localisation: Localisation = "cnn"
    """The localisation network: three hidden layers of 32 units, or two convolutions and 20 units."""


@config
class Similarity:
    """Shift, rotation and scale: 4 parameters."""

    name: Literal["similarity"] = "similarity"
    localisation: Localisation = "cnn"
    """The localisation network: three hidden layers of 32 units, or two convolutions and 20 units."""


@config
class Projective:
    """A plane seen from another side: 8 parameters."""

    name: Literal["projective"] = "projective"
    localisation: Localisation = "cnn"
    """The localisation network: three hidden layers of 32 units, or two convolutions and 20 units."""


@config
class Spline:
    """A thin plate spline: 2 parameters for each control point."""

    name: Literal["spline"] = "spline"
    localisation: Localisation = "cnn"
    """The localisation network: three hidden layers of 32 units, or two convolutions and 20 units."""
    control: Annotated[Parts, Field(ge=2, le=10)] = 4
    """Control points along each side."""


@config
class SpatialTransformerConfig:
    """A classifier, and what transforms its images."""

    transformation: Annotated[
        Without | Affine | Similarity | Projective | Spline, Field(discriminator="name"), NAMED
    ] = Affine()
    """What the transformer does to the image before the classifier sees it."""
    network: Annotated[FCN | CNN, Field(discriminator="name"), NAMED] = CNN()
    """The classifier."""


def pooled(size: int) -> int:
    """Rows left of an image after the classifier's convolutions."""
    return ((size - 8) // 2 - 6) // 2


def classifier(network: FCN | CNN, size: int) -> nn.Sequential:
    """From images (b, 1, size, size) to logits."""
    match network:
        case FCN(hidden_size=hidden):
            return nn.Sequential(
                nn.Flatten(), nn.Linear(size**2, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
                nn.Linear(hidden, CLASSES),
            )  # fmt: skip
        case CNN(filters=(first, second)):
            return nn.Sequential(
                nn.Conv2d(1, first, 9), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(first, second, 7), nn.MaxPool2d(2),
                nn.ReLU(), nn.Flatten(), nn.Linear(second * pooled(size) ** 2, CLASSES),
            )  # fmt: skip


def localisation(name: Localisation, size: int) -> tuple[nn.Sequential, int]:
    """From images (b, 1, size, size) to features, and the number of these."""
    if name == "fcn":
        layers: list[nn.Module] = [nn.Flatten(), nn.Linear(size**2, 32), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU()), 32
    left = (size // 2 - 4) // 2 - 4
    return nn.Sequential(
        nn.AvgPool2d(2), nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(20, 20, 5), nn.ReLU(),
        nn.Flatten(), nn.Linear(20 * left**2, 20), nn.ReLU(),
    ), 20  # fmt: skip


def grid(transformation: Affine | Similarity | Projective | Spline, size: int) -> Grid:
    match transformation:
        case Affine():
            return AffineGrid((size, size))
        case Similarity():
            return SimilarityGrid((size, size))
        case Projective():
            return ProjectiveGrid((size, size))
        case Spline(control=control):
            return SplineGrid((size, size), control=control)


class DigitReader(nn.Module):
    """A classifier of square images, with a spatial transformer before it or without.

    Raises:
        InvalidInput: images too small for the convolutions.
    """

    def __init__(self, config: SpatialTransformerConfig, size: int) -> None:
        super().__init__()
        made = config.transformation
        if size < 28:
            raise InvalidInput(f"expected images of at least 28 x 28 pixels, not {size} x {size}")
        self.transformer: SpatialTransformer | None = None
        if not isinstance(made, Without):
            self.transformer = SpatialTransformer(*localisation(made.localisation, size), grid(made, size))
        self.classifier = classifier(config.network, size)

    def forward(self, images: Float[Tensor, "b 1 y x"]) -> Float[Tensor, "b 10"]:
        """The logits of the classes."""
        images = images.to(next(self.classifier.parameters()).dtype)
        if self.transformer is not None:
            images = self.transformer(images)
        logits: Tensor = self.classifier(images)
        return logits
