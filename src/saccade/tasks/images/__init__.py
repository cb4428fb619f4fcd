"""Labelled images: digits, CIFAR-10, folders of one's own, data sets of the hub."""

from saccade.tasks.images.batch import Batch, Example, Ranked
from saccade.tasks.images.config import Cifar10, Digits, Folder, Hub, ImagesConfig
from saccade.tasks.images.task import ImagesTask

__all__ = ["Batch", "Cifar10", "Digits", "Example", "Folder", "Hub", "ImagesConfig", "ImagesTask", "Ranked"]
