"""The maps of a frozen encoder, made once an image and kept: in memory, and in a folder if one is named.

A folder holds maps.json, which names the encoder, its weights and the size of its images, and a file for each image.
It serves every run with that encoder; that of another is refused, since its maps would be silently wrong.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.core.files import naming, read_record, write_atomically

NAME, ENTRY = "maps.json", "map"
LARGEST = 4 * 2**30
"""The most bytes of maps in memory; beyond it the oldest are read or made again."""


def fingerprint(network: nn.Module) -> str:
    """The SHA-256 of a network's weights in float32."""
    digest = hashlib.sha256()
    for name, weight in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(weight.shape)} ".encode())
        digest.update(weight.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class MapCache:
    """Maps by the key of their image.

    Args:
        folder: where they are kept; None: in memory alone.

    Raises:
        InvalidInput: from `get`, a folder with the maps of another encoder, weights or size; a damaged file.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._maps: dict[tuple[str, ...], Tensor] = {}
        self._bytes = 0
        self._checked: set[tuple[str, ...]] = set()

    def __len__(self) -> int:
        return len(self._maps)

    def get(
        self,
        key: str,
        encoder: str,
        weights: str,
        size: tuple[int, int],
        make: Callable[[], Float[Tensor, "c y x"]],
        *,
        required: bool = True,
    ) -> Float[Tensor, "c y x"]:
        """The map of an image, made if it is not there.

        Args:
            key: the image's; equal keys mean equal pixels.
            encoder: a name of the network and of which of its maps this is.
            weights: the fingerprint of its weights.
            size: rows and columns of the image.
            make: makes the map, on the CPU.
            required: raise OSError if the folder cannot be made, read or written; otherwise it is used no more.
        """
        own = (key, encoder, weights, *map(str, size))
        if own in self._maps:
            return self._maps[own]
        try:
            if self.folder is None:
                found = make()
            else:
                self._check(self.folder, encoder, weights, size)
                found = self._kept(self.folder / f"{hashlib.sha256(key.encode()).hexdigest()}.map", key, make)
        except OSError:
            if required:
                raise
            self.folder, found = None, make()
        self._maps[own] = found
        self._bytes += found.nbytes
        while self._bytes > LARGEST and len(self._maps) > 1:
            self._bytes -= self._maps.pop(next(iter(self._maps))).nbytes
        return found

    def _check(self, folder: Path, encoder: str, weights: str, size: tuple[int, int]) -> None:
        """Check that the folder's maps are this encoder's; name it in an empty folder."""
        ours = {"encoder": encoder, "weights": weights, "rows": size[0], "columns": size[1]}
        seen = tuple(map(str, ours.values()))
        if seen in self._checked:
            return
        path = folder / NAME
        if path.exists():
            theirs = read_record(path, *ours)
            for name, what in ours.items():
                if theirs[name] != what:
                    raise InvalidInput(
                        f"{folder} holds maps of another encoder: its {name} is {shown(theirs[name])}, not "
                        f"{shown(what)}; name another folder, or delete it"
                    )
        else:
            with naming(folder):
                folder.mkdir(parents=True, exist_ok=True)
                if any(folder.iterdir()):
                    raise InvalidInput(f"{folder} is not empty and holds no maps; name another folder")
            write_atomically(path, (json.dumps(ours) + "\n").encode())
        self._checked.add(seen)

    @staticmethod
    def _kept(path: Path, key: str, make: Callable[[], Tensor]) -> Tensor:
        import safetensors.torch
        from safetensors import SafetensorError

        if path.exists():
            try:
                with naming(path):
                    return safetensors.torch.load(path.read_bytes())[ENTRY]
            except (SafetensorError, KeyError) as error:
                raise InvalidInput(f"{path}, the map of {key}: damaged or cut off ({error}); delete it") from error
        made = make()
        write_atomically(path, safetensors.torch.save({ENTRY: made}))
        return made


def shown(value: Any) -> str:
    """A value for a message; of a fingerprint the first digits."""
    return f"{str(value)[:12]}..." if len(str(value)) == 64 else str(value)


class StoredMaps(nn.Module):
    """Maps that another program made, in one safetensors file: a tensor (channels, rows, columns) for each image, under
    the image's key.

    Args:
        path: the file, opened when the first map is needed.
        channels: channels of each map.

    Raises:
        InvalidInput: from `forward`, no such file, an image without a map, or maps of another size.
    """

    def __init__(self, path: Path, channels: int) -> None:
        super().__init__()
        self.path, self.channels = path, channels

    def forward(self, pixels: Float[Tensor, "b 3 y x"], keys: tuple[str, ...]) -> Float[Tensor, "b c p q"]:
        from safetensors import SafetensorError, safe_open

        if not self.path.is_file():
            raise InvalidInput(f"{self.path}: there is no such file of maps; name it with --model.stored.path FILE")
        found = []
        try:
            with safe_open(str(self.path), "pt") as file:
                there = set(file.keys())
                for key in keys:
                    if key not in there:
                        raise InvalidInput(
                            f"{self.path} has no map under {key}, the key of an image (of a photo the SHA-256 of its "
                            f"pixels); it has {len(there):,} others"
                        )
                    found.append(file.get_tensor(key))
        except SafetensorError as error:
            raise InvalidInput(f"{self.path}: damaged, or no safetensors file ({error})") from error
        for key, one in zip(keys, found, strict=True):
            if one.ndim != 3 or one.shape != found[0].shape or len(one) != self.channels:
                raise InvalidInput(
                    f"{self.path}: the map of {key} is {tuple(one.shape)}, not ({self.channels}, rows, columns)"
                )
        return torch.stack(found).to(pixels.device, pixels.dtype)
