"""DeiT for a classification of images, and its teacher. Touvron et al. 2021, arXiv:2012.12877; the network is that of
`nets.deit`."""

from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from saccade.core.config import NAMED, Parts, Size, config
from saccade.core.errors import InvalidInput
from saccade.core.pretrained import Pretrained
from saccade.nets.deit import DeiT
from saccade.tasks.images import ImagesTask


@config
class Undistilled:
    """Labels alone, and no distillation token."""

    name: Literal["none"] = "none"


@config
class Hard:
    """The distillation token learns the teacher's most probable class (equation 3)."""

    name: Literal["hard"] = "hard"
    teacher: Pretrained = Pretrained("teacher")
    """A run of any system that classifies the same images."""


@config
class Soft:
    """The distillation token learns the teacher's probabilities (equation 2)."""

    name: Literal["soft"] = "soft"
    teacher: Pretrained = Pretrained("teacher")
    """A run of any system that classifies the same images."""
    temperature: Annotated[float, Field(gt=0, le=1000)] = 3.0
    """tau, by which both logits are divided."""
    share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """lambda, the weight of the teacher in the loss."""


@config
class DeiTConfig:
    """A Transformer on patches."""

    patch_size: Annotated[int, Field(ge=1, le=256)] = 4
    """Rows and columns of a patch."""
    model_size: Size = 64
    """Features of a token."""
    layers: Parts = 4
    """Blocks."""
    heads: Parts = 4
    """Attention heads of a block."""
    hidden_size: Size | None = None
    """Features between the two linear layers of a block; none: four times those of a token."""
    stochastic_depth: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability that a branch of the last block is dropped in training; 0 at the first block, in equal steps."""
    distillation: Annotated[Undistilled | Hard | Soft, Field(discriminator="name"), NAMED] = Undistilled()
    """What another network teaches."""


class Student(DeiT):
    """DeiT with a teacher, which is frozen, stays in evaluation mode and takes no part in a prediction.

    Args:
        distillation: how it teaches.
        teacher: returns logits (b, classes) of images.
        scale: the teacher's images are scale x + shift of ours, for each channel.
        shift: as `scale`.
        classes, options: those of `DeiT`.
    """

    def __init__(
        self, distillation: Hard | Soft, teacher: nn.Module, scale: Tensor, shift: Tensor, classes: int, **options: Any
    ) -> None:
        super().__init__(classes, distilled=True, **options)
        self.distillation = distillation
        self.teacher = teacher.requires_grad_(False).eval()
        self.register_buffer("scale", scale[:, None, None])
        self.register_buffer("shift", shift[:, None, None])

    def train(self, mode: bool = True) -> "Student":
        super().train(mode)
        self.teacher.eval()
        return self

    @torch.no_grad()
    def taught(self, images: Float[Tensor, "b c y x"]) -> Float[Tensor, "b classes"]:
        """The teacher's logits."""
        scale, shift = self.get_buffer("scale"), self.get_buffer("shift")
        return self.teacher(images.to(scale.dtype) * scale + shift)  # type: ignore[no-any-return]


def network(config: DeiTConfig, task: Any) -> DeiT:
    """The network for the images of a task, with its teacher if it has one.

    Raises:
        InvalidInput: sizes that do not fit each other or the images; a teacher of other images or classes.
    """
    if config.patch_size >= task.side:
        raise InvalidInput(
            f"with --model.patch-size {config.patch_size} an image of {task.side} x {task.side} pixels is a single "
            "patch; choose smaller patches"
        )
    options = {
        "image_size": task.side, "channels": task.channels, "patch_size": config.patch_size,
        "model_size": config.model_size, "layers": config.layers, "heads": config.heads,
        "hidden_size": config.hidden_size, "stochastic_depth": config.stochastic_depth,
    }  # fmt: skip
    if isinstance(config.distillation, Undistilled):
        return DeiT(len(task.classes), **options)
    teacher = config.distillation.teacher
    check_teacher(teacher, task)
    ours, theirs = (
        {name: torch.tensor(getattr(one.learned, name), device="cpu") for name in ("mean", "deviation")}
        for one in (task, teacher.task)
    )
    scale, shift = ours["deviation"] / theirs["deviation"], (ours["mean"] - theirs["mean"]) / theirs["deviation"]
    return Student(config.distillation, teacher.network, scale, shift, len(task.classes), **options)


def check_teacher(teacher: Pretrained, task: Any) -> None:
    """Raise InvalidInput unless the teacher is a run that sees images of this form and has these classes."""
    if not isinstance(teacher.task, ImagesTask):
        raise InvalidInput(f"{teacher.path} is no run that classifies images, which a teacher must be")
    for what, ours, theirs in (
        ("channels", task.channels, teacher.task.channels),
        ("rows and columns", task.side, teacher.task.side),
        ("classes", ", ".join(task.classes), ", ".join(teacher.task.classes)),
    ):
        if ours != theirs:
            raise InvalidInput(f"the teacher {teacher.path} has other {what}: {theirs}, not {ours}")
