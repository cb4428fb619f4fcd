"""Where labelled images come from, and what is done to them."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from saccade.core.config import NAMED, Seed, config
from saccade.tasks.images.augmentation import Augmentation, Unaugmented

Share = Annotated[float, Field(gt=0, le=1)]
Side = Annotated[int, Field(ge=4, le=1024)]


@config
class Digits:
    """Digits of MNIST, 28 x 28, grey."""

    name: Literal["digits"] = "digits"
    path: Path | None = None
    """MNIST: a folder with its four files, packed by gzip or not; none: 3,000 embedded digits of it."""


@config
class Cifar10:
    """CIFAR-10 (Krizhevsky 2009): photos of 32 x 32 pixels in 10 classes."""

    name: Literal["cifar10"] = "cifar10"
    path: Path = Path("cifar10")
    """A folder with the Python or the binary version, or with train/CLASS/ and test/CLASS/ full of image files; or a
    tar archive of one of these, or a folder that contains the archive."""


@config
class Folder:
    """A folder of one's own: train/CLASS/ full of image files."""

    name: Literal["folder"] = "folder"
    path: Path = Path("images")
    """It contains train/CLASS/FILE, and may contain validation/CLASS/FILE and test/CLASS/FILE; what is missing of the
    two is taken from train."""


@config
class Hub:
    """A data set of the hub with a column of images and one of classes."""

    name: Literal["hub"] = "hub"
    dataset: Annotated[str, Field(min_length=1)] = "uoft-cs/cifar10"
    """Its name on the hub."""


@config
class ImagesConfig:
    """Labelled images."""

    source: Annotated[Digits | Cifar10 | Folder | Hub, Field(discriminator="name"), NAMED] = Digits()
    """Where the images come from."""
    size: Side | None = None
    """Rows and columns: the shorter side is scaled to this, and the middle is cut out; none: those of the images, if
    they are square and all alike."""
    channels: Literal[1, 3] | None = None
    """1: grey, 3: colour; none: grey for digits, else colour."""
    share: Share = 1.0
    """Share of the training images that is used, the same of each class."""
    held_out: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Share of the training images of each class that is held out for validation if there is no such split, and as
    many for the test if there is none."""
    draw: Seed = 1
    """Seed of which images are held out, and which are the share."""
    normalisation: Literal["none", "standard"] = "standard"
    """none: pixels from 0 to 1; standard: in each channel, less the mean of the training images, divided by their
    standard deviation."""
    augmentation: Augmentation = Unaugmented()
    """What is done to the images in training."""
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target probability that is spread over all classes in training (Szegedy et al. 2016,
    arXiv:1512.00567)."""

    @property
    def extras(self) -> tuple[str, ...]:
        """The extras that these data need."""
        needed = {"vision": self.augmentation.name == "elite", "hub": self.source.name == "hub"}
        return tuple(extra for extra, asked in needed.items() if asked)
