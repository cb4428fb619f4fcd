"""Spatial transformer. Jaderberg, Simonyan, Zisserman & Kavukcuoglu 2015, arXiv:1506.02025, section 3.

    theta = f_loc(U)                                                        localisation network
    (x_i, y_i) = T_theta(G_i)                                               grid, equation 1
    V_i = sum_n sum_m U_nm max(0, 1 - |x_i - m|) max(0, 1 - |y_i - n|)      sampler, equation 5

    dV_i/dU_nm = max(0, 1 - |x_i - m|) max(0, 1 - |y_i - n|)                equation 6
    dV_i/dx_i  = sum_n sum_m U_nm max(0, 1 - |y_i - n|) s(m - x_i)          equation 7
    s(z) = 0 if |z| >= 1, 1 if z >= 0, -1 if z < 0                          and so for y

U input, V output, the same for each channel; here x_i and y_i are in pixels, m = 0, 1, ... the columns and n the rows.
The paper prints equation 6 with the double sum of equation 5; the derivative by one pixel is one product. Where x_i is
a whole number V has a kink. There torch takes the slope to the right, U_m+1 - U_m.

The module's coordinates are from -1 to 1, at the centres of the pixels in the corners (`align_corners=True`; see
`grids`). Outside the input everything is zero.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.content import check_sizes
from saccade.core.errors import InvalidInput
from saccade.core.tap import Tap
from saccade.vision.grids import Grid


def sample(images: Float[Tensor, "b c y x"], places: Float[Tensor, "b Y X 2"]) -> Float[Tensor, "b c Y X"]:
    """The images at these places (x, y), interpolated bilinearly; zero outside.

    Along a side of one pixel the image is constant, since -1 and 1 are the same place there. A place may be any number
    up to 10^30 in size. The result has the dtype of the images.

    Raises:
        InvalidInput: not as many images as grids, or another rank.
    """
    if images.ndim != 4 or places.ndim != 4 or places.shape[-1] != 2 or len(images) != len(places):
        raise InvalidInput(
            f"expected images (b, c, y, x) and places (b, Y, X, 2), not {tuple(images.shape)} and {tuple(places.shape)}"
        )
    with torch.autocast(images.device.type, enabled=False):
        found = F.grid_sample(
            images.to(places.dtype), places, mode="bilinear", padding_mode="zeros", align_corners=True
        )
    return found.to(images.dtype)


class SpatialTransformer(nn.Module):
    """A spatial transformer over images (b, c, y, x): it gives (b, c, rows, columns), the size of its grid.

    The last layer, from the features of the localisation network to the parameters, starts with zero weights and the
    bias of the identity: at first the output is the input, resampled to the size of the grid.

    Args:
        localisation: any module from images (b, c, y, x) to features (b, f).
        feature_size: the number f of its features.
        grid: `AffineGrid`, `SimilarityGrid`, `ProjectiveGrid`, `SplineGrid`, or another `Grid`.

    Raises:
        InvalidInput: a feature size below 1; features or images of another shape.
    """

    def __init__(self, localisation: nn.Module, feature_size: int, grid: Grid) -> None:
        super().__init__()
        check_sizes(feature_size=feature_size)
        self.localisation, self.grid = localisation, grid
        self.regression = nn.Linear(feature_size, len(grid.identity))
        self.theta, self.places, self.output = Tap("b n"), Tap("b y x 2"), Tap("b c y x")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Make the last layer give the identity."""
        nn.init.zeros_(self.regression.weight)
        with torch.no_grad():
            self.regression.bias.copy_(torch.tensor(self.grid.identity))

    def forward(self, images: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c Y X"]:
        features = self.localisation(images)
        if features.ndim != 2 or features.shape[1] != self.regression.in_features:
            raise InvalidInput(
                f"the localisation network must give (batch, {self.regression.in_features}) features, "
                f"not {tuple(features.shape)}"
            )
        with torch.autocast(images.device.type, enabled=False):  # a bias in bfloat16 would round the identity
            theta = self.regression(features.to(self.regression.weight.dtype))
        places = self.places(self.grid(self.theta(theta)))
        output: Tensor = self.output(sample(images, places))
        return output
