"""Images in patches: what their sizes must be, and position embeddings for a grid of another size.

The embeddings of a grid that is not the one in training are interpolated, bicubic (Touvron et al. 2021,
arXiv:2012.12877, section 3; Dosovitskiy et al. 2021, arXiv:2010.11929, section 3.2).
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.errors import InvalidInput


def check_size(height: int, width: int, multiple: int) -> None:
    """Check that both sides of images are multiples of this number.

    Raises:
        InvalidInput: they are not.
    """
    if height % multiple or width % multiple:
        raise InvalidInput(
            f"the patches need images whose height and width are multiples of {multiple} pixels, not "
            f"{height} x {width}; resize or crop them"
        )


def check_heads(heads: int, model_size: int) -> None:
    """Check that the heads divide the features.

    Raises:
        InvalidInput: they do not.
    """
    if heads > 0 and model_size % heads:
        raise InvalidInput(
            f"{heads} heads do not divide a width of {model_size}; change heads or model_size (--model.heads, "
            "--model.model-size)"
        )


def resized(table: Float[Tensor, "1 c y x"], rows: int, columns: int) -> Float[Tensor, "1 c rows columns"]:
    """Position embeddings for a grid of another size; the table itself if the size is its own."""
    if table.shape[2:] == (rows, columns):
        return table
    return F.interpolate(table, (rows, columns), mode="bicubic", align_corners=False)


def initialise(weight: Tensor) -> Tensor:
    """Fill a weight with the normal distribution of standard deviation 0.02, cut off at 2."""
    return nn.init.trunc_normal_(weight, std=0.02)
