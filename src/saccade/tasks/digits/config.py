"""The digits that a model is trained on, and the images made of them."""

from pathlib import Path

from saccade.core.config import Many, Seed, config
from saccade.tasks.digits.kinds import Choice, Plain


@config
class DigitsConfig:
    """Images of handwritten digits."""

    kind: Choice = Plain()
    """What is done to the digits."""
    folder: Path | None = None
    """MNIST: a folder with its four files, packed by gzip or not; none: 3,000 embedded digits of it."""
    hub: str = ""
    """MNIST's data set on the hub, such as ylecun/mnist; it is read in place of `folder`."""
    training_examples: Many | None = None
    """The most training digits, the first of the split; none: all of them."""
    draw: Seed = 1
    """Seed of all that is drawn for the images: places, angles, clutter, pixels."""

    @property
    def extras(self) -> tuple[str, ...]:
        """The extras that these data need."""
        return ("vision", "hub") if self.hub else ()
