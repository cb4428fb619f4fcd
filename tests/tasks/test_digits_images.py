"""Images that a user gives: every sort of file becomes what the model was trained on, or one clear sentence."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from saccade.core.errors import InvalidInput, NotFound, SaccadeError
from saccade.tasks.digits import DigitsConfig, DigitsTask
from saccade.tasks.digits.image_file import read_image
from saccade.tasks.digits.kinds import Binarised, Cluttered, Kind, Plain, RotatedTranslatedScaled, Translated, TwoDigits
from saccade.tasks.digits.mnist import embedded
from saccade.tasks.image_file import PIXELS

Image = pytest.importorskip("PIL.Image")
FOUR = embedded()["test"].images[4].numpy()  # a digit that is no mirror image of itself


def file_of(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    with io.BytesIO() as file:
        image.save(file, kind, **options)
        return file.getvalue()


def enlarged(times: int = 4, margin: tuple[int, int, int, int] = (30, 60, 20, 10), ink: int = 255) -> np.ndarray:
    """The digit on a larger field (left, right, upper, lower margin)."""
    large = F.interpolate(torch.from_numpy(FOUR)[None, None].float(), scale_factor=times, mode="bilinear")
    return (F.pad(large, margin)[0, 0] * ink / 255).round().byte().numpy()


def distance(found: torch.Tensor) -> float:
    """The mean difference from the digit."""
    return float((found - torch.from_numpy(FOUR) / 255).abs().mean())


class TestSorts:
    def test_an_image_of_the_task_is_taken_as_it_is(self) -> None:
        for kind in (Plain(), Translated(), Cluttered(), TwoDigits(), RotatedTranslatedScaled()):
            task = DigitsTask(DigitsConfig(kind=kind))
            for example, raw in zip(task.examples("test"), task.examples_to_type(4), strict=False):
                read = task.read(raw)
                border = task.collate([example]).images[0, 0]
                edges = torch.cat([border[0], border[-1], border[:, 0], border[:, -1]])
                if edges.median() == 0:
                    torch.testing.assert_close(task.collate([read]).images, task.collate([example]).images,
                                               rtol=0, atol=1 / 500)  # fmt: skip
                assert task.notes(read) == []

    @pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA", "CMYK", "I;16", "I", "F", "1"])
    @pytest.mark.parametrize("dark", [False, True])
    def test_any_mode_dark_on_light_or_light_on_dark(self, mode: str, dark: bool) -> None:
        pixels = 255 - enlarged() if dark else enlarged()
        if mode == "I;16":
            image = Image.fromarray(pixels.astype(np.uint16) * 257)
        elif mode == "F":
            image = Image.fromarray(pixels.astype(np.float32) / 255)
        else:
            image = Image.fromarray(pixels).convert(mode)
        kind = "TIFF" if mode in ("CMYK", "I", "F") else "PNG"
        found = read_image(file_of(image, kind), 28, "digit")
        assert found.image.shape == (28, 28)
        assert distance(found.image) < (0.06 if mode == "1" else 0.03)
        assert ("dark ink" in " ".join(found.notes)) == dark

    @pytest.mark.parametrize("kind", ["JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "PNG"])
    def test_any_format(self, kind: str) -> None:
        found = read_image(file_of(Image.fromarray(255 - enlarged()), kind), 28, "digit")
        assert distance(found.image) < 0.03

    @pytest.mark.parametrize("ink", [0, 255])
    def test_transparent_is_the_other_side_of_the_ink(self, ink: int) -> None:
        pixels = np.full((*enlarged().shape, 4), ink, np.uint8)
        pixels[..., 3] = enlarged()
        assert distance(read_image(file_of(Image.fromarray(pixels)), 28, "digit").image) < 0.03

    def test_grey_paper_and_pale_ink(self) -> None:
        pixels = 200 - enlarged(ink=90)
        assert distance(read_image(file_of(Image.fromarray(pixels)), 28, "digit").image) < 0.03

    def test_a_photo_is_upright(self) -> None:
        image = Image.fromarray(enlarged()).transpose(Image.Transpose.ROTATE_90)
        exif = Image.Exif()
        exif[0x0112] = 6  # turn clockwise by 90 degrees to see it upright
        raw = file_of(image, "JPEG", exif=exif.tobytes())
        assert distance(read_image(raw, 28, "digit").image) < 0.03
        assert distance(read_image(file_of(image, "JPEG"), 28, "digit").image) > 0.1

    def test_an_animation_shows_its_first_picture(self) -> None:
        frames = [Image.fromarray(enlarged()), Image.fromarray(np.zeros_like(enlarged()))]
        raw = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])
        found = read_image(raw, 28, "digit")
        assert distance(found.image) < 0.03
        assert found.notes == ("the first of 2 pictures",)

    def test_a_digit_keeps_its_place_on_a_canvas(self) -> None:
        # the digit's middle is at a quarter of the width and at half the height of a wide image
        pixels = np.zeros((200, 400), np.uint8)
        pixels[60:140, 80:120] = 255
        found = read_image(file_of(Image.fromarray(pixels)), 60, "place").image
        rows, columns = ((found > 0.5).any(axis).nonzero().flatten() for axis in (1, 0))
        assert (len(rows), len(columns)) == (20, 10)
        assert float(rows.float().mean()) == pytest.approx(29.5, abs=1)
        assert float(columns.float().mean()) == pytest.approx(14.5, abs=1)

    def test_clutter_is_scaled_as_a_whole(self) -> None:
        task = DigitsTask(DigitsConfig(kind=Cluttered()))
        image = task.collate(task.examples("test")[:1]).images[0, 0]
        large = Image.fromarray((255 * image).byte().numpy()).resize((240, 240))
        read = task.read(file_of(large)).image
        assert read is not None
        assert float((read - image).abs().mean()) < 0.02

    def test_binarised_images_are_black_and_white(self) -> None:
        image = DigitsTask(DigitsConfig(kind=Binarised())).read(file_of(Image.fromarray(enlarged()))).image
        assert image is not None
        assert set(image.unique().tolist()) == {0.0, 1.0}

    def test_it_is_read_from_a_path(self, tmp_path: Path) -> None:
        task = DigitsTask(DigitsConfig())
        (path := tmp_path / "four.png").write_bytes(file_of(Image.fromarray(enlarged())))
        example = task.read(f" {path}\n")
        assert example.labels == ()
        assert task.collate([example, task.examples("test")[1]]).labels.tolist() == [0, 1]
        assert task.compare(example, 4) == {"ours": "4", "right": "?"}


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bomb(side: int) -> bytes:
    """A PNG that says that it is very large."""
    head = chunk(b"IHDR", struct.pack(">2I5B", side, side, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


class TestBadInput:
    @pytest.mark.parametrize(
        ("raw", "said"),
        [
            (b"", "is not an image"),
            (b"GIF89a", "is not an image, or is damaged"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not an image"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "expected one of PNG, JPEG"),
            (file_of(Image.fromarray(enlarged()))[:300], "damaged"),
            (file_of(Image.fromarray(enlarged()), "JPEG")[:300], "damaged"),
            (bomb(7000), f"7,000 x 7,000 pixels; expected at most {PIXELS:,}"),
            (bomb(60_000), f"more than {PIXELS:,} pixels"),
            (file_of(Image.new("L", (1, 1), 255)), "shows nothing"),
            (file_of(Image.new("RGB", (300, 200), (9, 9, 9))), "shows nothing"),
            (file_of(Image.new("RGBA", (30, 20), (9, 9, 9, 0))), "shows nothing"),
            (file_of(Image.fromarray(np.full((9, 9), np.nan, np.float32)), "TIFF"), "not a finite number"),
            (bytes(20_000_001), "20,000,001 bytes; expected at most 20,000,000"),
        ],
        ids=range(13),
    )
    def test_it_is_refused_in_a_sentence(self, raw: bytes, said: str) -> None:
        with pytest.raises(InvalidInput, match=said):
            read_image(raw, 28, "digit")

    @pytest.mark.parametrize(
        ("name", "error", "said"),
        [
            ("", InvalidInput, "the input is empty"),
            ("gone.png", NotFound, "there is no such image"),
            ("a\0b", NotFound, "there is no such image"),
            (".", InvalidInput, "not a folder"),
        ],
    )
    def test_paths(self, name: str, error: type[SaccadeError], said: str) -> None:
        with pytest.raises(error, match=said):
            read_image(name, 28, "digit")

    @pytest.mark.parametrize("kind", [Plain(), Translated(), Cluttered(), Binarised()], ids=lambda kind: kind.name)
    @given(data=st.data())
    def test_every_image_gives_a_canvas_or_a_sentence(self, kind: Kind, data: Any) -> None:
        high, wide = data.draw(st.tuples(st.integers(1, 90), st.integers(1, 90)))
        mode = data.draw(st.sampled_from(["1", "L", "RGB", "RGBA", "LA", "I;16"]))
        seed, sparse = data.draw(st.integers(0, 2**32 - 1)), data.draw(st.booleans())
        pixels = np.random.default_rng(seed).integers(0, 256, (high, wide))
        pixels[pixels < 250] *= not sparse
        image = Image.fromarray(pixels.astype(np.uint8))
        image = Image.fromarray(pixels.astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
        task = DigitsTask(DigitsConfig(kind=kind))
        try:
            batch = task.collate([task.read(file_of(image))])
        except InvalidInput:
            return
        assert batch.images.shape == (1, 1, kind.size, kind.size)
        assert 0 <= float(batch.images.min()) <= float(batch.images.max()) <= 1

    @given(data=st.data())
    def test_damaged_files_give_an_image_or_a_sentence(self, data: Any) -> None:
        kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"]))
        raw = bytearray(file_of(Image.fromarray(enlarged(2)), kind))
        for _ in range(data.draw(st.integers(1, 20))):
            raw[data.draw(st.integers(0, min(len(raw) - 1, 400)))] = data.draw(st.integers(0, 255))
        raw = raw[: data.draw(st.integers(1, len(raw)))] if data.draw(st.booleans()) else raw
        try:
            found = read_image(bytes(raw), 28, "digit")
        except InvalidInput:
            return
        assert found.image.shape == (28, 28)
        assert found.image.isfinite().all()
