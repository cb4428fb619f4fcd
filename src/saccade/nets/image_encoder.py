"""What makes the annotations of an image: a small network that is trained, a published one that is frozen, or a file.

    maps = encoder(pixels, keys)            pixels (b, 3, y, x), (p - 127) / 128 of bytes p; maps (b, c, rows, columns)

Each place of the maps is a region of the image.
"""

from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from saccade.core.config import NAMED, Size, config
from saccade.core.device import threads
from saccade.core.errors import InvalidInput, MissingExtra
from saccade.nets.convolution import check_images, convolution, laid_out
from saccade.nets.efficientnet_lite import LAST, PUBLISHED, STAGES, EfficientNetLite, weights_file
from saccade.nets.map_cache import MapCache, StoredMaps, fingerprint
from saccade.nets.published import adopt


@config
class Convolutional:
    """Convolutions that are trained, each of stride 2, and further ones over the map, in which regions see each
    other."""

    name: Literal["convolutional"] = "convolutional"
    channels: tuple[Size, ...] = (32, 64, 128)
    """Channels of each convolution of stride 2."""
    further: Annotated[int, Field(ge=0, le=100)] = 2
    """Convolutions over the map."""
    places: bool = True
    """Give the further convolutions the row and the column of each region, from -1 to 1."""
    position: bool = False
    """Add a linear function of the row and the column of each region to its vector, so that a decoder knows where it
    looks."""


@config
class EfficientNet:
    """EfficientNet-Lite0 with the published weights, frozen; its maps are made once a photo. Needs the extra
    captions."""

    name: Literal["efficientnet-lite0"] = "efficientnet-lite0"
    maps: Literal["stride-16", "stride-32", "last"] = "last"
    """14 x 14 regions of 112 features, 7 x 7 of 320, or 7 x 7 of 1,280, of a photo of 224 x 224."""
    cache: Path | None = None
    """A folder in which the maps are kept for the next run; none: in memory."""


@config
class Stored:
    """Maps that another program made, such as VGG's of 14 x 14 x 512."""

    name: Literal["stored"] = "stored"
    path: Path = Path("maps.safetensors")
    """A safetensors file with a tensor (channels, rows, columns) for each photo, under the photo's key."""
    channels: Size = 512
    """Channels of each map."""


Encoder = Annotated[Convolutional | EfficientNet | Stored, Field(discriminator="name"), NAMED]


class ConvolutionalEncoder(nn.Module):
    """Convolutions with batch norm: relu(BN(W * x)). The pixels that a region reads lie evenly around its middle.

    Args:
        channels: channels of each convolution of stride 2, of 4 x 4 pixels.
        further: convolutions of stride 1 after them, of 3 x 3.
        places: whether these also see the row and the column of each region, from -1 to 1.
        position: whether a linear function of the row and the column of a region is added to its vector. All features
            take part in it from the start: two features of their own are learned far more slowly.

    Raises:
        InvalidInput: images that are not (batch, 3, rows, columns), or too small for a region.
    """

    def __init__(
        self, channels: tuple[int, ...], further: int = 2, *, places: bool = True, position: bool = False
    ) -> None:
        super().__init__()
        last = channels[-1]
        self.least = 2 ** len(channels)
        reducing = [rectified(*pair, 2, kernel=4) for pair in pairwise((3, *channels))]
        self.reduce = nn.Sequential(*(layer for layers in reducing for layer in layers))
        widths = [last + 2 * places, *[last] * further]
        self.further = nn.Sequential(*(layer for pair in pairwise(widths) for layer in rectified(*pair)))
        self.position = nn.Linear(2, last, bias=False) if position else None
        if self.position is not None:
            nn.init.normal_(self.position.weight)
        self.channels, self.places = last, places and further > 0

    def forward(self, pixels: Float[Tensor, "b 3 y x"], keys: tuple[str, ...] = ()) -> Float[Tensor, "b c p q"]:
        check_images(pixels, 3, self.least)
        maps: Tensor = self.reduce(laid_out(pixels, next(self.parameters()).dtype))
        grid = coordinates(maps)
        if self.places:
            maps = torch.cat([maps, grid.expand(len(maps), -1, -1, -1)], 1)
        maps = self.further(maps)
        return maps if self.position is None else maps + self.position(grid.movedim(0, -1)).movedim(-1, 0)


def coordinates(maps: Float[Tensor, "b c p q"]) -> Float[Tensor, "2 p q"]:
    """The row and the column of each place, from -1 to 1 (Liu et al. 2018, arXiv:1807.03247)."""
    rows, columns = (torch.linspace(-1, 1, size, dtype=maps.dtype, device=maps.device) for size in maps.shape[2:])
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))


def rectified(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> list[nn.Module]:
    """relu(BN(W * x))."""
    return [convolution(inputs, outputs, kernel, stride), nn.BatchNorm2d(outputs), nn.ReLU()]


class FrozenEfficientNet(nn.Module):
    """EfficientNet-Lite0, which is not trained, and the cache of its maps.

    Each photo passes the network alone and in one thread, so that on one processor its maps depend neither on the batch
    nor on the number of threads, to the last bit.

    Once weights of a run are loaded, neither the package nor the folder is needed: where the folder cannot be made or
    written, the maps stay in memory.

    Args:
        maps: which maps.
        cache: a folder for the maps; None: memory.
        published: load the published weights.

    Raises:
        MissingExtra: from `forward`, no package with the weights, and none of a run were loaded.
        InvalidInput: from `forward`, a cache of another encoder.
    """

    def __init__(
        self,
        maps: Literal["stride-16", "stride-32", "last"] = "last",
        cache: Path | None = None,
        *,
        published: bool = True,
    ) -> None:
        super().__init__()
        self.network = EfficientNetLite()
        self.restored = False
        """Whether weights of a run were loaded."""
        self._missing: MissingExtra | None = None
        if published and not self.network.head.weight.is_meta:  # there, only sizes are asked for
            try:
                weights = torch.load(weights_file(), map_location="cpu", weights_only=True)
                adopt(self.network, weights, PUBLISHED, str(weights_file()))
            except MissingExtra as error:  # the weights of a run may follow
                self._missing = error
        self.register_load_state_dict_post_hook(mark_restored)  # type: ignore[no-untyped-call]
        self.network.requires_grad_(False).eval()
        self._parts = list(self.network.modules())
        self.maps, self.cache = maps, MapCache(cache)
        self.channels = {"stride-16": STAGES[4].channels, "stride-32": STAGES[6].channels, "last": LAST}[maps]
        self._weights: tuple[tuple[int, ...], str] | None = None

    def train(self, mode: bool = True) -> "FrozenEfficientNet":
        super().train(mode)
        self.network.eval()
        return self

    @torch.no_grad()
    def forward(self, pixels: Float[Tensor, "b 3 y x"], keys: tuple[str, ...]) -> Float[Tensor, "b c p q"]:
        if self._missing is not None and not self.restored:
            raise self._missing
        check_images(pixels, 3)
        if len(keys) != len(pixels):
            raise InvalidInput(f"expected a key for each of {len(pixels)} images, not {len(keys)}")
        dtype = self.network.head.weight.dtype
        weights, size = self.fingerprint(), (pixels.shape[2], pixels.shape[3])
        name = f"efficientnet-lite0 {self.maps}" + ("" if dtype == torch.float32 else f" {dtype}")

        def make(row: int) -> Tensor:
            with torch.autocast(pixels.device.type, enabled=False), threads(1):
                found = self.network.maps(pixels[row : row + 1])
            return getattr(found, self.maps.replace("-", "_"))[0].cpu().contiguous()  # type: ignore[no-any-return]

        found = [
            self.cache.get(key, name, weights, size, partial(make, row), required=not self.restored)
            for row, key in enumerate(keys)
        ]
        if not found:
            return pixels.new_zeros(0, self.channels, 1, 1)
        return torch.stack(found).to(pixels.device)

    def fingerprint(self) -> str:
        """That of the weights, computed again if one of them was changed in place, such as by loading others."""
        # called for each batch: `parameters()` and `buffers()` take seven times as long
        held = ((*part._parameters.values(), *part._buffers.values()) for part in self._parts)
        version = tuple(weight._version for some in held for weight in some if weight is not None)
        if self._weights is None or self._weights[0] != version:
            self._weights = version, fingerprint(self.network)
        return self._weights[1]


def mark_restored(encoder: FrozenEfficientNet, _: object) -> None:
    encoder.restored = True


def build_encoder(choice: Encoder) -> nn.Module:
    """The selected encoder; its `channels` are the features of an annotation."""
    match choice:
        case Convolutional():
            places, position = choice.places, choice.position
            return ConvolutionalEncoder(choice.channels, choice.further, places=places, position=position)
        case EfficientNet():
            return FrozenEfficientNet(choice.maps, choice.cache)
        case Stored():
            return StoredMaps(choice.path, choice.channels)
