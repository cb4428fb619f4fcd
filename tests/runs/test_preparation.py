"""Pictures as Hugging Face processors prepare them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from saccade.core.errors import InvalidInput, NotFound
from saccade.runs.preparation import Preparation, of_processor

transformers = pytest.importorskip("transformers")
pillow = pytest.importorskip("PIL.Image")

PROCESSORS: list[tuple[str, str, dict[str, Any]]] = [
    ("vit", "ViTImageProcessor", {"size": {"height": 32, "width": 32}}),
    ("vit", "ViTImageProcessor", {"size": 24, "resample": 3, "image_mean": [0.4, 0.5, 0.6]}),
    ("deit", "DeiTImageProcessor", {"size": {"height": 40, "width": 40}, "crop_size": {"height": 32, "width": 32}}),
    ("convnext", "ConvNextImageProcessor", {"size": {"shortest_edge": 32}, "crop_pct": 0.875}),
    ("convnext", "ConvNextImageProcessor", {"size": {"shortest_edge": 384}, "crop_pct": 0.875}),
    ("bit", "BitImageProcessor", {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}),
    ("mobilevit", "MobileViTImageProcessor", {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}),
    ("levit", "LevitImageProcessor", {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}),
    ("poolformer", "PoolFormerImageProcessor", {"size": {"shortest_edge": 32}, "crop_size": [32, 32]}),
    ("vit", "ViTImageProcessor", {"size": {"height": 32, "width": 32}, "do_normalize": False, "do_rescale": False}),
]  # fmt: skip


def photo(folder: Path, wide: int, high: int, mode: str = "RGB") -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (high, wide, len(mode)), dtype=np.uint8)
    path = folder / f"{wide}-{high}-{mode}.png"
    pillow.fromarray(noise[..., 0] if mode == "L" else noise).save(path)
    return path


@pytest.mark.parametrize(("module", "name", "options"), PROCESSORS)
def test_a_picture_is_prepared_as_by_the_processor(
    module: str, name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    own = __import__(f"transformers.models.{module}.image_processing_pil_{module}", fromlist=[name])
    processor = getattr(own, f"{name}Pil")(**options)
    kept = processor.to_dict()
    kept["image_processor_type"] = name
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(kept, default=int))
    prepared = of_processor(tmp_path)
    for wide, high, mode in ((61, 47, "RGB"), (40, 90, "RGB"), (33, 33, "L")):
        path = photo(tmp_path, wide, high, mode)
        expected = processor(pillow.open(path).convert("RGB"), return_tensors="pt")["pixel_values"].float()
        found = prepared.read(str(path))
        assert found.pixels.shape == expected.shape
        torch.testing.assert_close(found.pixels, expected, rtol=1e-4, atol=1e-4)
        assert found.shown.shape == expected.shape[1:]
        assert torch.equal(prepared.read(path.read_bytes()).pixels, found.pixels)


def test_what_is_not_understood_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"has no preprocessor_config\.json, which says how"):
        of_processor(tmp_path)
    for text in ("{", '{"size": {"longest_edge": 3}}', "[]", "{}", '{"size": 3}'):
        (tmp_path / "preprocessor_config.json").write_text(text)
        with pytest.raises(InvalidInput, match=r"preprocessor_config\.json: not understood"):
            of_processor(tmp_path)
    said = '{"size": 3, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}'
    (tmp_path / "preprocessor_config.json").write_text(said)
    with pytest.raises(NotFound, match=r"'none\.png': there is no such image"):
        of_processor(tmp_path).read("none.png")
    with pytest.raises(InvalidInput, match="not an image"):
        of_processor(tmp_path).read(b"text")


@pytest.mark.parametrize(
    "change",
    [
        {"size": 0}, {"size": [8]}, {"size": 100_000}, {"image_mean": [0, 0]}, {"image_std": [1, 0, 1]},
        {"image_mean": ["a", "b", "c"]}, {"resample": 99}, {"image_std": [1, float("nan"), 1]},
    ],
    ids=str,
)  # fmt: skip
def test_a_configuration_that_prepares_nothing_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    said = {"size": 3, "image_mean": [0, 0, 0], "image_std": [1, 1, 1], **change}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    with pytest.raises(InvalidInput, match=r"preprocessor_config\.json: not understood"):
        of_processor(tmp_path)


def test_pictures_of_any_kind_are_seen_as_runs_see_them(tmp_path: Path) -> None:
    plain = Preparation(resize=None, crop=None, mean=(0.0,) * 3, deviation=(1.0,) * 3, factor=1.0)
    shades = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    pillow.fromarray(shades).save(tmp_path / "deep.png")
    found = plain.read(str(tmp_path / "deep.png")).pixels
    torch.testing.assert_close(found[0, 0], torch.from_numpy(shades / 257).float(), atol=0.51, rtol=0)
    pillow.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)).save(tmp_path / "real.tif")
    found = plain.read(str(tmp_path / "real.tif")).pixels
    torch.testing.assert_close(found[0, 2], torch.linspace(0, 255, 64).view(8, 8), atol=0.51, rtol=0)
    ink = np.zeros((8, 8, 4), np.uint8)
    ink[0, :, 3] = 255  # black ink on a transparent ground
    pillow.fromarray(ink).save(tmp_path / "ink.png")
    found = plain.read(str(tmp_path / "ink.png")).pixels
    assert (found[0, :, 0] == 0).all()
    assert (found[0, :, 1:] == 255).all()


def test_a_line_is_cut_before_it_is_enlarged(tmp_path: Path) -> None:
    pillow.fromarray(np.arange(4000, dtype=np.uint16).astype(np.uint8)[None]).save(tmp_path / "line.png")
    prepared = Preparation()
    assert prepared.resized(pillow.open(tmp_path / "line.png")).size == (1024, 256)
    assert prepared.read(str(tmp_path / "line.png")).pixels.shape == (1, 3, 224, 224)
