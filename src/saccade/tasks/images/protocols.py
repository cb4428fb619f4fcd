"""Data and training settings that classifiers of images share, so that networks are compared under one protocol.

    digits      3,000 embedded digits, minutes on one core
    cifar10     CIFAR-10, light augmentation: 2,000 steps of 128 images, 6 epochs; minutes on one core
    base        CIFAR-10 for 4 minutes, light augmentation, stochastic gradient descent
    elite       CIFAR-10 for 4 minutes, the augmentation of DeiT, smoothed labels, AdamW
    widths      CIFAR-10, light augmentation, 500 steps, clipped: to compare networks of several widths
    imagenet    90 epochs, light augmentation
    imagenet-elite   300 epochs as DeiT (Touvron et al. 2021, arXiv:2012.12877, table 9), without repeated augmentation
                and crops of other sizes

"base" and "elite" are the two settings of Visformer (Chen et al. 2021, arXiv:2104.12533, section 3).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from saccade.tasks.images.augmentation import Elite, Light
from saccade.tasks.images.config import Cifar10, Folder, ImagesConfig

EPOCH = 1_281_167  # training images of ImageNet


class Protocol(NamedTuple):
    """How a network is trained."""

    task: ImagesConfig
    training: Mapping[str, Any]
    """Fields of `training.config.TrainingConfig`, as plain data."""


def descent(rate: float, decay: float, **more: Any) -> dict[str, Any]:
    """Stochastic gradient descent with a momentum of 0.9; gradients are not clipped."""
    return {"optimizer": {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": decay},
            "learning_rate": rate, "clip": None, **more}  # fmt: skip


def decoupled(rate: float, **more: Any) -> dict[str, Any]:
    """AdamW as DeiT has it."""
    return {"optimizer": {"name": "adam", "weight_decay": 0.05}, "learning_rate": rate, "schedule": "cosine",
            "clip": None, **more}  # fmt: skip


ONE_CORE: dict[str, Any] = {"precision": "bfloat16", "threads": 1, "log_every": 50}
SMALL: dict[str, Any] = {**ONE_CORE, "batch_size": 128, "validate_every": 500, "checkpoint_every": 500}
PHOTOS = ImagesConfig(source=Cifar10(path=Path("cifar10")), augmentation=Light())
LARGE = ImagesConfig(source=Folder(path=Path("imagenet")), size=224, augmentation=Light())

DIGITS = Protocol(
    ImagesConfig(augmentation=Light(padding=2)),
    descent(0.05, 5e-4, **ONE_CORE, steps=800, batch_size=64, schedule="cosine", warmup=80, validate_every=200,
            checkpoint_every=400),
)  # fmt: skip
TINY = Protocol(
    ImagesConfig(augmentation=Light(padding=1), size=12, share=0.1),
    descent(0.05, 5e-4, steps=24, batch_size=16, warmup=4, threads=1, validate_every=12, checkpoint_every=12,
            log_every=4),
)  # fmt: skip
CIFAR10 = Protocol(PHOTOS, descent(0.1, 5e-4, **SMALL, steps=2000, schedule="cosine", warmup=200))
BASE = Protocol(PHOTOS, descent(0.1, 5e-4, **SMALL, steps=1000, schedule="cosine", warmup=100))
ELITE = Protocol(
    ImagesConfig(source=Cifar10(path=Path("cifar10")), augmentation=Elite(), smoothing=0.1),
    decoupled(2e-3, **SMALL, steps=900, warmup=100),
)
WIDTHS = Protocol(PHOTOS, descent(0.1, 5e-4, **SMALL, steps=500, schedule="cosine", warmup=50, clip=1.0))
IMAGENET = Protocol(
    LARGE,
    descent(0.1, 1e-4, steps=90 * EPOCH // 256, batch_size=256, schedule="step", step_every=30 * EPOCH // 256,
            precision="bfloat16", validate_every=EPOCH // 256, checkpoint_every=EPOCH // 256),
)  # fmt: skip
IMAGENET_ELITE = Protocol(
    ImagesConfig(source=Folder(path=Path("imagenet")), size=224, augmentation=Elite(), smoothing=0.1),
    decoupled(1e-3, steps=300 * EPOCH // 1024, batch_size=1024, warmup=5 * EPOCH // 1024, precision="bfloat16",
              validate_every=EPOCH // 1024, checkpoint_every=EPOCH // 1024),
)  # fmt: skip
