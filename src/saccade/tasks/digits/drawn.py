"""Digits for a model that can also draw without an image."""

import math

import torch

from saccade.core.errors import InvalidInput
from saccade.tasks.digits.batch import Bound, Example, Prediction
from saccade.tasks.digits.config import DigitsConfig
from saccade.tasks.digits.kinds import Binarised
from saccade.tasks.digits.task import DigitsTask


class DrawnDigits(DigitsTask):
    """Binarised digits. Without an image, the model draws one; its example has an image of NaN, and so no bound.

    Raises:
        InvalidInput: another kind of images.
    """

    accepts = ("nothing", "image/*")

    def __init__(self, config: DigitsConfig) -> None:
        if not isinstance(config.kind, Binarised):
            raise InvalidInput(f"the likelihood is that of images in black and white: expected --task.kind binarised, "
                               f"not {config.kind.name}")  # fmt: skip
        super().__init__(config)

    def read(self, raw: str | bytes) -> Example:
        """The example of an image, as `DigitsTask.read`; or of none, from ""."""
        if raw == "":
            return Example("", 0, (), image=torch.full((self.kind.size, self.kind.size), torch.nan))
        return super().read(raw)

    def decode(self, prediction: Prediction) -> str:
        if isinstance(prediction, Bound) and math.isnan(prediction.nats):
            return "drawn without an image"
        return super().decode(prediction)

    def examples_to_type(self, count: int) -> list[str | bytes]:
        """No image, and the bytes of PNG files."""
        return ["", *super().examples_to_type(count - 1)] if count > 1 else [""]
