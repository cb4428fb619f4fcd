"""Which clips a model sees, and what it names."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from saccade.core.config import Many, Seed, config


@config
class ActionsConfig:
    """Clips of moving digits."""

    labels: Literal["clip", "frame"] = "clip"
    """clip: one motion, named once for the clip; frame: the motion changes in the middle third, and each frame is
    named."""
    order: Literal["kept", "hidden"] = "kept"
    """hidden: the frames stand in an order that follows from their pixels alone, so that a clip and the same clip
    backwards are one and the same input."""
    frames: Annotated[int, Field(ge=2, le=100)] = 10
    """Frames of a clip; of a longer clip of yours as many that lie evenly are read."""
    folder: Path | None = None
    """MNIST: a folder with its four files, packed by gzip or not; none: 3,000 embedded digits of it."""
    digits: Many | None = None
    """The most digits of the training split, the first of it; none: all of them. Each makes two clips, one of them
    backwards."""
    judged: Many = 500
    """The most digits of the validation and of the test split."""
    draw: Seed = 1
    """Seed of all that is drawn for the clips: motions, places, sizes, angles."""

    @model_validator(mode="after")
    def check_choices(self) -> "ActionsConfig":
        if self.labels == "frame" and self.order == "hidden":
            raise ValueError("labels is 'frame', but order is 'hidden', in which a frame has no motion; set only one")
        if self.labels == "frame" and self.frames < 6:
            raise ValueError(f"labels is 'frame', which needs at least 6 frames for two motions, not {self.frames}")
        return self
