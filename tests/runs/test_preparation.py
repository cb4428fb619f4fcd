"""Pictures as Hugging Face processors prepare them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from saccade.core.errors import InvalidInput, NotFound
from saccade.runs.preparation import of_processor

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
