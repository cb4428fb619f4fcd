"""The kinds of images: each warp and placement beside slow loops, and what their papers say of them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from saccade.tasks.digits import placing, warps
from saccade.tasks.digits.draws import keys_of, mixed, normal, uniform
from saccade.tasks.digits.kinds import (
    Binarised,
    Choice,
    Cluttered,
    Elastic,
    Kind,
    Plain,
    Projective,
    Rotated,
    RotatedTranslatedScaled,
    Translated,
    TwoDigits,
    clutter,
)
from saccade.tasks.digits.mnist import SIDE, Digits, embedded

KINDS = (
    Plain(), Translated(), Cluttered(), Cluttered(size=100, pieces=8), Rotated(), RotatedTranslatedScaled(),
    Projective(), Elastic(), TwoDigits(), TwoDigits(size=101, pieces=3, piece=7), Binarised(),
)  # fmt: skip
FEW = torch.arange(5)


@pytest.fixture(scope="module")
def source() -> Digits:
    return embedded()["test"]


def keys(count: int, seed: int = 1) -> np.ndarray:
    return keys_of(seed, [2] * count, range(count), [0] * count)


def bilinear(image: Tensor, x: float, y: float) -> float:
    """The value between the four nearest pixels; 0 outside."""
    total = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < SIDE and 0 <= column < SIDE:
                share = max(0.0, 1 - abs(y - row)) * max(0.0, 1 - abs(x - column))
                total += share * float(image[row, column]) / 255
    return total


class TestDraws:
    def test_they_are_splitmix64(self) -> None:
        counters = np.uint64(1234567) + np.arange(1, 4, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        # the published outputs for this seed
        assert mixed(counters).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]

    def test_each_part_of_a_key_matters(self) -> None:
        found = keys_of(1, [0, 1, 0, 0], [3, 3, 4, 3], [0, 0, 0, 1]).tolist()
        assert len({*found, *keys_of(2, [0], [3], [0]).tolist()}) == 5

    def test_uniform_and_normal_numbers_have_their_moments(self) -> None:
        for stream in (0, 1):
            drawn = uniform(keys(500), 101, stream)
            assert drawn.min() >= 0
            assert drawn.max() < 1
            assert float(drawn.mean()) == pytest.approx(1 / 2, abs=0.005)
            assert float(drawn.var()) == pytest.approx(1 / 12, abs=0.002)
        bell = normal(keys(500), 101)
        assert float(bell.mean()) == pytest.approx(0, abs=0.015)
        assert float(bell.std()) == pytest.approx(1, abs=0.01)
        together = torch.stack([uniform(keys(500), 101, stream).flatten() for stream in (0, 1)])
        assert abs(float(torch.corrcoef(together)[0, 1])) < 0.015

    def test_more_numbers_begin_with_the_same(self) -> None:
        assert torch.equal(uniform(keys(7), 3), uniform(keys(7), 11)[:, :3])


class TestWarps:
    def test_the_sampler_is_bilinear_between_the_centres_of_pixels(self, source: Digits) -> None:
        places = torch.rand(2, 13 * 13, 2, dtype=torch.float64) * 34 - 3
        found = warps.sampled(source.images[:2], places)
        for image, own, seen in zip(source.images, places, found, strict=False):
            slow = [bilinear(image, x, y) for x, y in own.tolist()]
            torch.testing.assert_close(seen.flatten(), torch.tensor(slow), rtol=0, atol=1e-5)

    def test_without_a_warp_the_digit_is_unchanged(self, source: Digits) -> None:
        one, plain = torch.ones(5, dtype=torch.float64), Plain().images(source, FEW, keys(5))
        corners = ((SIDE - 1) * warps.pixels(2)).expand(5, 4, 2)
        middle = torch.full((5, 2), warps.CENTRE, dtype=torch.float64)
        for places in (
            warps.similar(SIDE, 0 * one, one, middle),
            warps.projected(corners),
            warps.bent(one, torch.zeros(5, 16, 2, dtype=torch.float64)),
        ):
            torch.testing.assert_close(places, warps.pixels(SIDE).expand(5, -1, 2), rtol=0, atol=1e-10)
            torch.testing.assert_close(warps.sampled(source.images[FEW], places), plain, rtol=0, atol=1e-5)

    def test_a_similarity_turns_scales_and_moves(self) -> None:
        angle, scale = torch.tensor([0.3, -1.1]).double(), torch.tensor([0.7, 1.2]).double()
        centre, size = torch.tensor([[17.0, 23.5], [20.5, 13.0]]).double(), 43
        found = warps.similar(size, angle, scale, centre)
        for b in range(2):
            for row in range(size):
                for column in range(size):
                    # as a complex number, y upwards: turn back by the angle
                    away = complex(column - centre[b, 0], -(row - centre[b, 1])) / float(scale[b])
                    away *= complex(math.cos(-angle[b]), math.sin(-angle[b]))
                    expected = [13.5 + away.real, 13.5 - away.imag]
                    assert found[b, row * size + column].tolist() == pytest.approx(expected, abs=1e-12)

    def test_a_quarter_turn_is_torchs(self, source: Digits) -> None:
        turned = warps.similar(
            SIDE, torch.tensor([math.pi / 2]).double(), torch.ones(1).double(), torch.full((1, 2), 13.5).double()
        )
        found = warps.sampled(source.images[:1], turned)
        torch.testing.assert_close(found, torch.rot90(source.images[:1] / 255, 1, (1, 2)), rtol=0, atol=1e-5)

    def test_a_homography_takes_the_moved_corners_to_the_digits(self) -> None:
        moved = torch.tensor([[[2.0, 5.0], [25.0, 1.0], [0.0, 22.0], [19.0, 27.0]]]).double()
        found = warps.projected(moved)[0]
        corners = [[0, 0], [27, 0], [0, 27], [27, 27]]
        for (x, y), target in zip(moved[0].tolist(), corners, strict=True):
            assert found[int(y) * SIDE + int(x)].tolist() == pytest.approx(target, abs=1e-9)
        # lines stay lines: three pixels of a row, and the cross-ratio of four
        a, b, c, d = (complex(*found[10 * SIDE + x].tolist()) for x in (3, 7, 12, 20))
        assert abs(((b - a) * (c - a).conjugate()).imag) < 1e-9
        assert abs((c - a) / (c - b) * (d - b) / (d - a) - (12 - 3) / (12 - 7) * (20 - 7) / (20 - 3)) < 1e-9

    def test_beyond_the_horizon_there_is_nothing(self) -> None:
        # the upper side is far shorter than the lower one, so that the horizon crosses the image
        moved = torch.tensor([[[13.0, 14.0], [14.0, 14.0], [0.0, 27.0], [27.0, 27.0]]]).double()
        found = warps.projected(moved)[0].view(SIDE, SIDE, 2)
        assert (found[:13] == -SIDE).all()
        assert found.isfinite().all()

    @pytest.mark.parametrize(
        ("corners", "convex"),
        [
            ([[0, 0], [9, 0], [0, 9], [9, 9]], True),
            ([[9, 0], [0, 0], [9, 9], [0, 9]], False),  # mirrored
            ([[0, 0], [9, 0], [0, 9], [3, 3]], False),  # dented
            ([[0, 0], [9, 0], [9, 9], [0, 9]], False),  # crossed
        ],
    )
    def test_convex_quadrilaterals(self, corners: list[list[float]], convex: bool) -> None:
        assert bool(warps.convex(torch.tensor(corners).double())) == convex

    def test_the_spline_is_booksteins(self) -> None:
        points = [(9.0 * column, 9.0 * row) for row in range(4) for column in range(4)]
        moved = torch.randn(16, 2, dtype=torch.float64)

        def kernel(one: tuple[float, float], other: tuple[float, float]) -> float:
            square = (one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2
            return square * math.log(square) if square else 0.0

        rows = [[kernel(p, q) for q in points] + [1.0, *p] for p in points]
        rows += [[1.0] * 16 + [0.0] * 3, *([p[axis] for p in points] + [0.0] * 3 for axis in (0, 1))]
        solved = torch.linalg.solve(
            torch.tensor(rows, dtype=torch.float64), torch.cat([moved, torch.zeros(3, 2).double()])
        )
        scale = torch.tensor([0.8], dtype=torch.float64)
        found = warps.bent(scale, moved[None])[0]
        for row in range(SIDE):
            for column in range(SIDE):
                p = (float(column), float(row))
                basis = torch.tensor([kernel(p, q) for q in points] + [1.0, *p], dtype=torch.float64)
                place = torch.tensor(p).double() + basis @ solved
                expected = (place - 13.5) / 0.8 + 13.5
                torch.testing.assert_close(found[row * SIDE + column], expected, rtol=0, atol=1e-9)
        at = found[[int(y) * SIDE + int(x) for x, y in points]]
        torch.testing.assert_close((at - 13.5) * 0.8 + 13.5, torch.tensor(points).double() + moved, rtol=0, atol=1e-9)


class TestPlacing:
    def test_squares_are_added_and_white_stays_white(self) -> None:
        size, side = 31, 7
        canvas, pixels = placing.blank(2, size), torch.randint(0, 256, (2, 3, side * side), dtype=torch.uint8)
        top, left = torch.randint(0, size - side + 1, (2, 2, 3))
        top[0, 1], left[0, 1] = top[0, 0], left[0, 0]
        placing.place(canvas, pixels, top, left)
        slow = torch.zeros(2, size, size, dtype=torch.float64)
        for b in range(2):
            for n in range(3):
                for i in range(side):
                    for j in range(side):
                        slow[b, top[b, n] + i, left[b, n] + j] += float(pixels[b, n, i * side + j])
        assert torch.equal(placing.bright(canvas), (slow.clamp(max=255) / 255).float())

    def test_pieces_are_cut_from_their_digits(self, source: Digits) -> None:
        rows, (top, left) = torch.randint(0, 50, (2, 3)), torch.randint(0, SIDE - 5 + 1, (2, 2, 3))
        found = placing.cut(source.images, rows, top, left, 5)
        for b in range(2):
            for n in range(3):
                y, x = int(top[b, n]), int(left[b, n])
                piece = source.images[rows[b, n], y : y + 5, x : x + 5]
                assert torch.equal(found[b, n], piece.flatten())


class TestKinds:
    @pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.name}-{kind.size}")
    def test_images_are_between_black_and_white_and_independent_of_the_batch(self, kind: Kind, source: Digits) -> None:
        rows, own = torch.tensor([3, 1, 4, 15, 9]), keys(5)
        images = kind.images(source, rows, own)
        assert images.shape == (5, kind.size, kind.size)
        assert images.dtype == torch.float32
        assert images.min() >= 0
        assert images.max() <= 1
        assert images.isfinite().all()
        assert kind.labels(source, rows, own).shape == (5, kind.digits)
        for place in range(5):
            alone = kind.images(source, rows[place : place + 1], own[place : place + 1])[0]
            torch.testing.assert_close(alone, images[place], rtol=0, atol=1e-6)
        if kind.name != "plain":
            assert not torch.equal(images, kind.images(source, rows, keys(5, seed=2)))

    @pytest.mark.parametrize("kind", [Translated(), Translated(size=29), Cluttered(pieces=0)])
    def test_a_translated_digit_is_whole_and_reaches_every_place(self, kind: Kind, source: Digits) -> None:
        images = kind.images(source, torch.zeros(4000, dtype=torch.long), keys(4000))
        torch.testing.assert_close(images.sum((1, 2)), (source.images[0] / 255).sum().expand(4000))
        ink, room = source.images[0] > 0, kind.size - SIDE
        for axis in (1, 2):
            first = (images > 0).any(3 - axis).int().argmax(1) - ink.any(2 - axis).int().argmax()
            assert first.unique().tolist() == list(range(room + 1))

    def test_clutter_is_pieces_of_other_digits(self, source: Digits) -> None:
        few = Digits(source.images[:2].clone(), source.labels[:2])
        few.images[1] = 200
        canvas = placing.blank(4000, 31)
        clutter(canvas, few, torch.zeros(4000, dtype=torch.long), keys(4000), 3, 7)
        assert (canvas.sum((1, 2)) == 3 * 49 * 200).all()
        assert (canvas > 0).any(0).all()  # they reach every pixel

    def test_a_rotated_digit_turns_by_up_to_the_angle(self, source: Digits) -> None:
        bar = Digits(torch.zeros(1, SIDE, SIDE, dtype=torch.uint8), torch.zeros(1, dtype=torch.long))
        bar.images[0, 4:14, 13:15] = 255  # from the middle upwards
        images = Rotated(angle=60).images(bar, torch.zeros(2000, dtype=torch.long), keys(2000)).double()
        steps = torch.arange(SIDE) - 13.5
        angles = torch.atan2((images.sum(1) * steps).sum(1), -(images.sum(2) * steps).sum(1)).rad2deg()
        assert -60.5 < angles.min() < -59
        assert 59 < angles.max() < 60.5
        assert float(angles.abs().mean()) == pytest.approx(30, abs=1)

    def test_a_turned_and_scaled_digit_lies_on_the_canvas(self, source: Digits) -> None:
        rows = torch.arange(500)
        still = RotatedTranslatedScaled(angle=0)
        share = still.images(source, rows, keys(500)).sum((1, 2)) / (source.images / 255).sum((1, 2))
        assert 0.68**2 < share.min() < 0.72**2
        assert 1.18**2 < share.max() < 1.22**2
        fixed = replace(still, smallest=1.0, largest=1.0, size=SIDE)
        torch.testing.assert_close(fixed.images(source, rows, keys(500)), source.images / 255, rtol=0, atol=1e-5)

    def test_two_digits_are_apart_and_read_from_left_to_right(self, source: Digits) -> None:
        kind, rows, own = TwoDigits(size=41, apart=10), torch.arange(500).repeat(8), keys(4000)
        pairs = kind.pairs(source, rows, own)
        assert (pairs[:, 0] != pairs[:, 1]).all()
        assert torch.equal(pairs[:, 0], rows)
        assert torch.equal(kind.labels(source, rows, own), source.labels[pairs])
        dots = Digits(torch.zeros_like(source.images), source.labels)
        dots.images[:, 5, 3] = torch.arange(500).remainder(250).add(1).byte()
        seen = kind.images(dots, rows, own)
        places, both = [], dots.images[pairs][:, :, 5, 3]
        for image, (left, right) in zip(seen, both.tolist(), strict=True):
            columns = (255 * image).round().sum(0)
            found = columns.nonzero().flatten().tolist()
            assert len(found) == 2
            assert columns[found].tolist() == [left, right]
            places.append((found[0] - 3, found[1] - 3))
        assert len(set(places)) == 4 * 5 / 2
        assert min(b - a for a, b in places) == 10
        counts = [places.count(place) for place in set(places)]
        assert min(counts) > 4000 / 10 * 0.85  # all places are equally likely

    def test_binarised_pixels_are_white_as_often_as_they_are_bright(self, source: Digits) -> None:
        images = Binarised().images(source, torch.full((4000,), 7), keys(4000))
        assert set(images.unique().tolist()) == {0.0, 1.0}
        grey = source.images[7] / 255
        assert (images.mean(0) - grey).abs().max() < 0.04
        assert (images.mean(0)[grey == 0] == 0).all()
        assert (images.mean(0)[grey == 1] == 1).all()
        assert not Binarised().anew
        assert Binarised(pixels="dynamic").anew

    @pytest.mark.parametrize(
        ("plain", "said"),
        [
            ({"name": "translated", "size": 27}, "greater than or equal to 28"),
            ({"name": "cluttered", "piece": 29}, "less than or equal to 28"),
            ({"name": "rotated", "angle": 181}, "less than or equal to 180"),
            ({"name": "rotated-translated-scaled", "largest": 1.6}, "does not fit on a canvas of 42 x 42"),
            ({"name": "projective", "smallest": 1.1}, "smallest is 1.1 and largest is 1"),
            ({"name": "elastic", "smallest": 0.5, "largest": 0.4}, "smallest is 0.5 and largest is 0.4"),
            ({"name": "two-digits", "apart": 33}, "two digits are at most 32 apart"),
            ({"name": "plain", "size": 28}, "size"),
            ({"name": "blurred"}, "blurred"),
        ],
    )
    def test_other_options_are_refused(self, plain: dict[str, object], said: str) -> None:
        with pytest.raises(ValidationError, match=said):
            TypeAdapter(Choice).validate_python(plain)
