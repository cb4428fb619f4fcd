"""Augmentation of images: slow loops, seeds, soft targets by hand."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from saccade.core.errors import MissingExtra, installed
from saccade.tasks.images import Digits, ImagesConfig, ImagesTask
from saccade.tasks.images import rand_augment as operators
from saccade.tasks.images.augmentation import Elite, Light, Shifted, Unaugmented, moved, shifted
from saccade.tasks.images.mixing import erased, mixed, numpy_of
from tests.tasks.images import same

RECORDS = [Unaugmented(), Light(), Shifted(), Elite(operations=0)]
kornia = pytest.mark.skipif(not installed("kornia"), reason="kornia is not installed: pip install kornia")


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slow(images: Tensor, down: Tensor, right: Tensor, flipped: Tensor, edge: bool) -> Tensor:
    """One pixel after the other."""
    found, (high, wide) = torch.zeros_like(images), images.shape[2:]
    for b, image in enumerate(images):
        for y in range(high):
            for x in range(wide):
                row, column = y - int(down[b]), x - int(right[b])
                if flipped[b]:
                    column = wide - 1 - column
                if edge:
                    row, column = min(max(row, 0), high - 1), min(max(column, 0), wide - 1)
                if 0 <= row < high and 0 <= column < wide:
                    found[b, :, y, x] = image[:, row, column]
    return found


class TestMoves:
    @given(st.integers(0, 2**31), st.booleans())
    def test_shifts_and_flips(self, seed: int, edge: bool) -> None:
        draws = generator(seed)
        images = torch.randint(256, (3, 2, 7, 5), generator=draws, dtype=torch.uint8)
        down, right = (torch.randint(-9, 10, (3,), generator=draws) for _ in range(2))
        flipped = torch.rand(3, generator=draws) < 0.5
        assert torch.equal(shifted(images, down, right, flipped, edge), slow(images, down, right, flipped, edge))

    def test_how_far_and_how_often(self) -> None:
        column = torch.arange(1, 41, dtype=torch.uint8).expand(1000, 1, 40, 40)
        light = moved(column, Light(), generator(), mirror=True)[:, 0, 20, 20]
        assert sorted(set(light.tolist())) == list(range(16, 26))  # 21 less -4..4, or mirrored 20 more
        still = moved(column, Light(), generator(), mirror=False)[:, 0, 20, 20]
        assert sorted(set(still.tolist())) == list(range(17, 26))
        far = moved(column, Shifted(flip=False), generator(), mirror=True)[:, 0, 20]
        assert sorted(set(far[:, 20].tolist())) == list(range(17, 26))
        assert far.min() == 1  # the edge, not black
        assert moved(column, Light(flip=False), generator(), mirror=True)[:, 0, 0].min() == 0
        mirrored = (moved(column, Light(padding=0), generator(), mirror=True)[:, 0, 0, 0] == 40).float().mean()
        assert 0.45 < mirrored < 0.55
        assert torch.equal(moved(column, Unaugmented(), generator(), mirror=True), column)

    def test_digits_are_never_mirrored(self) -> None:
        task = ImagesTask(ImagesConfig(source=Digits(), augmentation=Light(padding=0)))
        examples = task.examples("train")[:50]
        assert torch.equal(task.collate(examples, generator()).images, task.collate(examples).images)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: str(record.name))
class TestSeeds:
    def test_only_a_generator_augments_and_its_seed_decides(self, record: Any) -> None:
        task = ImagesTask(ImagesConfig(augmentation=record))
        examples = task.examples("train")[:7]
        state = torch.get_rng_state()
        one, again, other = (task.collate(examples, generator(seed)) for seed in (1, 1, 2))
        assert torch.equal(torch.get_rng_state(), state)  # the global state is left alone
        assert same(one, again)
        assert same(one, other) == isinstance(record, Unaugmented)
        assert same(task.collate(examples), ImagesTask(ImagesConfig()).collate(examples))
        assert one.images.isfinite().all()
        torch.testing.assert_close(one.targets.sum(1), torch.ones(7))
        assert torch.equal(one.labels, task.collate(examples).labels)


class TestMixing:
    images, targets = torch.rand(5, 2, 11, 7), torch.eye(5)[[0, 1, 2, 0, 4]] * 0.9 + 0.02

    def test_mixup_by_hand(self) -> None:
        draws = generator(3)
        share = numpy_of(draws).beta(0.8, 0.8)
        images, targets = mixed(self.images, self.targets, generator(3), 0.8, 0.0)
        for row in range(5):
            other = 4 - row
            expected = share * self.images[row] + (1 - share) * self.images[other]
            torch.testing.assert_close(images[row], expected)
            torch.testing.assert_close(targets[row], share * self.targets[row] + (1 - share) * self.targets[other])

    @pytest.mark.parametrize("seed", range(5))
    def test_cutmix_by_hand(self, seed: int) -> None:
        draws = numpy_of(generator(seed))
        cut = math.sqrt(1 - draws.beta(1.0, 1.0))
        y0, x0 = int(draws.integers(11)), int(draws.integers(7))  # the middle
        half_high, half_wide = int(11 * cut) // 2, int(7 * cut) // 2
        top, bottom = max(y0 - half_high, 0), min(y0 + half_high, 11)
        left, right = max(x0 - half_wide, 0), min(x0 + half_wide, 7)
        images, targets = mixed(self.images, self.targets, generator(seed), 0.0, 1.0)
        for row in range(5):
            kept = 0
            for y in range(11):
                for x in range(7):
                    inside = top <= y < bottom and left <= x < right
                    kept += not inside
                    source = self.images[4 - row if inside else row]
                    assert torch.equal(images[row, :, y, x], source[:, y, x])
            share = kept / 77
            torch.testing.assert_close(targets[row], share * self.targets[row] + (1 - share) * self.targets[4 - row])

    def test_each_in_half_of_the_batches_or_none(self) -> None:
        before = self.images.clone()
        cuts = 0
        for seed in range(400):
            images, _ = mixed(self.images, self.targets, generator(seed))
            # after cutmix every pixel is one of the two images'
            one, other = (images == self.images).all(1), (images == self.images.flip(0)).all(1)
            cuts += bool((one | other).all())
        assert 170 < cuts < 230
        assert mixed(self.images, self.targets, generator(), 0.0, 0.0) == (self.images, self.targets)
        assert torch.equal(self.images, before)

    def test_shares_are_those_of_the_beta_distribution(self) -> None:
        shares = []
        for seed in range(2000):
            _, targets = mixed(torch.zeros(2, 1, 2, 2), torch.eye(2), generator(seed), 0.8, 0.0)
            shares.append(float(targets[0, 0]))
        assert np.mean(shares) == pytest.approx(0.5, abs=0.02)
        assert np.var(shares) == pytest.approx(1 / (4 * 2.6), abs=0.01)  # ab / ((a + b)^2 (a + b + 1))


class TestErasing:
    def test_a_rectangle_of_noise_in_a_share_of_the_images(self) -> None:
        images = torch.full((2000, 2, 17, 13), 9.0)
        found = erased(images, generator(), 0.25)
        holes = (found != 9).all(1)
        hit = holes.flatten(1).any(1)
        assert 0.21 < float(hit.float().mean()) < 0.29
        for hole in holes[hit]:
            rows, columns = hole.any(1).nonzero().flatten(), hole.any(0).nonzero().flatten()
            area = len(rows) * len(columns)
            assert hole.sum() == area, "not a rectangle"
            assert rows[-1] - rows[0] + 1 == len(rows)
            assert columns[-1] - columns[0] + 1 == len(columns)
            assert area <= 221 * 0.45
            assert 0.1 < len(rows) / len(columns) < 8
        noise = found.permute(0, 2, 3, 1)[holes]
        assert float(noise.mean()) == pytest.approx(0, abs=0.05)
        assert float(noise.std()) == pytest.approx(1, abs=0.05)
        assert (images == 9).all()
        assert torch.equal(erased(images, generator(), 0.0), images)


class TestRandAugment:
    def test_without_kornia_its_command_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def absent(module: str, extra: str) -> None:
            raise MissingExtra({module: extra})

        assert ImagesConfig(augmentation=Elite()).extras == ("vision",)
        monkeypatch.setattr(operators, "require", absent)
        task = ImagesTask(ImagesConfig(augmentation=Elite()))
        with pytest.raises(MissingExtra, match=r"kornia is not installed; install with: pip install .*\[vision\]"):
            task.collate(task.examples("train")[:2], generator())

    @kornia
    @pytest.mark.parametrize("channels", [1, 3])
    def test_its_seed_decides(self, channels: Any) -> None:
        task = ImagesTask(ImagesConfig(augmentation=Elite(), channels=channels))
        examples = task.examples("train")[:64]
        state = torch.get_rng_state()
        one, again, other = (task.collate(examples, generator(seed)) for seed in (1, 1, 2))
        assert torch.equal(torch.get_rng_state(), state)
        assert same(one, again)
        assert not same(one, other)
        assert one.images.isfinite().all()
        plain = ImagesTask(replace(task.config, augmentation=Elite(operations=0)))
        assert not same(one, plain.collate(examples, generator(1)))

    @kornia
    def test_half_of_the_operations_are_applied(self) -> None:
        images = torch.rand(3000, 1, 5, 5, generator=generator(7)) * 0.8 + 0.1
        once = operators.rand_augment(images, generator(), 1)
        changed = (once != images).flatten(1).any(1).float().mean()
        assert 0.42 < float(changed) < 0.53  # colour changes no grey image
        assert once.min() >= 0
        assert once.max() <= 1
        assert torch.equal(operators.rand_augment(images, generator(), 0), images)

    @kornia
    def test_an_image_does_not_depend_on_the_others(self) -> None:
        images = torch.rand(40, 3, 9, 9, generator=generator(7))
        other = images.clone()
        other[20:] = 0.5
        found, twin = (operators.rand_augment(one, generator(5)) for one in (images, other))
        torch.testing.assert_close(found[:20], twin[:20])

    @kornia
    @pytest.mark.parametrize("name", ["invert", "solarize", "solarize-add", "posterize", "brightness", "contrast",
                                      "colour", "auto-contrast", "equalize", "sharpness", "rotate", "shear-x",
                                      "shear-y", "translate-x", "translate-y"])  # fmt: skip
    def test_operations_as_pillow_has_them(self, name: str) -> None:
        """Pillow's are the paper's; it rounds to bytes after each step."""
        import kornia as third
        from PIL import Image, ImageEnhance, ImageOps

        pixels = np.random.default_rng(1).integers(0, 256, (3, 16, 16), np.uint8)
        pixels[:, 4:12, 4:12] //= 2
        image = Image.fromarray(pixels.transpose(1, 2, 0))
        tensor, strength, sign = torch.from_numpy(pixels)[None] / 255, torch.tensor([0.9]), torch.tensor([-1.0])
        operations = operators._operations(third)
        assert len(operations) == 15
        found = (operations[name](tensor, strength, sign).clamp(0, 1)[0] * 255).permute(1, 2, 0).numpy()
        factor = 1 - 0.9 * 0.9
        mean = tuple(round(float(tensor.mean()) * 255) for _ in range(3))

        def warp(matrix: tuple[float, ...]) -> Any:
            """Where a pixel of the new image comes from, about the middle."""
            a, b, c, d, e, f = matrix
            return image.transform(
                (16, 16), Image.Transform.AFFINE, (a, b, c + 8 - 8 * (a + b), d, e, f + 8 - 8 * (d + e)),
                Image.Resampling.BILINEAR, fillcolor=mean,
            )  # fmt: skip

        expected = {
            "invert": lambda: ImageOps.invert(image),
            "solarize": lambda: ImageOps.solarize(image, 256 - int(25.6 * 9)),
            "solarize-add": lambda: Image.fromarray(np.where(np.asarray(image) < 128, np.asarray(image) + 99, image)),
            "posterize": lambda: ImageOps.posterize(image, 4 - int(0.9 * 4)),
            "brightness": lambda: ImageEnhance.Brightness(image).enhance(factor),
            "contrast": lambda: ImageEnhance.Contrast(image).enhance(factor),
            "colour": lambda: ImageEnhance.Color(image).enhance(factor),
            "auto-contrast": lambda: ImageOps.autocontrast(image),
            "equalize": lambda: ImageOps.equalize(image),
            "sharpness": lambda: ImageEnhance.Sharpness(image).enhance(factor),
            "rotate": lambda: image.rotate(27, Image.Resampling.BILINEAR, fillcolor=mean),
            "shear-x": lambda: warp((1, 0.27, 0, 0, 1, 0)),
            "shear-y": lambda: warp((1, 0, 0, 0.27, 1, 0)),
            "translate-x": lambda: warp((1, 0, 0.405 * 16, 0, 1, 0)),
            "translate-y": lambda: warp((1, 0, 0, 0, 1, 0.405 * 16)),
        }[name]()
        difference = np.abs(found - np.asarray(expected, np.float64))
        inner = difference[2:-2, 2:-2]
        # pillow does not blend an image's edge with what is outside
        assert inner.mean() < (12 if name in ("rotate", "shear-x", "shear-y") else 4 if "translate" in name else 2)
