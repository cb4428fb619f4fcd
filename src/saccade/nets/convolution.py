"""What convolutional networks share: a convolution with He's initial weights, and what is done to their images."""

import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput

Kernel = int | tuple[int, int]


def convolution(inputs: int, outputs: int, kernel: Kernel, stride: int = 1, *, padded: bool = True) -> nn.Conv2d:
    """A convolution without bias. Its weights are normal with variance 2 / (outputs x pixels of the kernel): He et al.
    2015, arXiv:1502.01852, section 2.2.

    Args:
        inputs: channels of the maps.
        outputs: channels of the result.
        kernel: rows and columns. With stride 2 an even one keeps the maps in line with the image: the pixels that a
            place reads lie evenly around the middle of its share of the image; an odd one shifts them by half a pixel.
        stride: distance of its places, in pixels.
        padded: whether zeros stand around the image, so that with stride 1 it keeps its size.
    """
    rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = ((rows - 1) // 2, (columns - 1) // 2) if padded else 0
    made = nn.Conv2d(inputs, outputs, (rows, columns), stride, padding, bias=False)
    nn.init.kaiming_normal_(made.weight, mode="fan_out", nonlinearity="relu")
    return made


def laid_out(images: Tensor, dtype: torch.dtype) -> Tensor:
    """The images in this dtype, with the channels of a pixel side by side in memory, which is faster on a CPU."""
    return images.to(dtype).contiguous(memory_format=torch.channels_last)


def check_images(images: Tensor, channels: int, least: int = 1) -> None:
    """Check that images are (batch, channels, rows, columns) with at least `least` rows and columns.

    Raises:
        InvalidInput: they are not.
    """
    if images.ndim != 4 or images.shape[1] != channels:
        raise InvalidInput(f"images must be (batch, {channels}, rows, columns), not {tuple(images.shape)}")
    if min(images.shape[2:]) < least:
        size = f"{images.shape[2]} x {images.shape[3]}"
        raise InvalidInput(f"images must have at least {least} x {least} pixels, not {size}")
