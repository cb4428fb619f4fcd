"""The digits task: MNIST's files, splits, batches that are functions of their examples, and scores."""

import gzip
import struct
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.task import Legible, Readable, Task
from saccade.tasks.digits import Batch, Bound, DigitsConfig, DigitsTask, DigitStream, by_epochs
from saccade.tasks.digits.data.make import main as make
from saccade.tasks.digits.kinds import Binarised, Cluttered, Elastic, Plain, Translated, TwoDigits
from saccade.tasks.digits.mnist import SIDE, Digits, embedded, read_mnist

DATA = Path(__file__).parents[2] / "src" / "saccade" / "tasks" / "digits" / "data"
NAMES = [f"{half}-{what}-ubyte" for half in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]


def idx(values: torch.Tensor) -> bytes:
    return struct.pack(f">{1 + values.ndim}i", 2048 + values.ndim, *values.shape) + values.byte().numpy().tobytes()


class Columns(dict[str, Any]):
    """A split as the hub's library gives it."""

    @property
    def column_names(self) -> list[str]:
        return list(self)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small MNIST, packed and not."""
    for name, digits in (("train", embedded()["train"].part(slice(100))), ("t10k", embedded()["test"].part(slice(20)))):
        (tmp_path / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(digits.images)))
        (tmp_path / f"{name}-labels.idx1-ubyte").write_bytes(idx(digits.labels))
    return tmp_path


def same(ours: Batch, theirs: Batch) -> bool:
    return all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


class TestData:
    def test_the_embedded_digits_are_balanced_and_different(self) -> None:
        found = embedded()
        assert {split: len(digits.labels) for split, digits in found.items()} == {
            "train": 2200, "validation": 300, "test": 500
        }  # fmt: skip
        for digits in found.values():
            assert set(Counter(digits.labels.tolist()).values()) == {len(digits.labels) // 10}
        images = torch.cat([digits.images for digits in found.values()])
        assert len({image.numpy().tobytes() for image in images}) == 3000
        assert sum(path.stat().st_size for path in DATA.glob("*.gz")) < 700_000
        assert "share" in (DATA / "ATTRIBUTION.md").read_text().lower()

    def test_a_folder_holds_packed_files_or_not(self, folder: Path) -> None:
        found = DigitsTask(DigitsConfig(folder=folder)).digits
        assert {split: len(digits.labels) for split, digits in found.items()} == {
            "train": 90, "validation": 10, "test": 20
        }  # fmt: skip
        train = embedded()["train"]
        assert torch.equal(found["train"].images, train.images[:90])
        assert torch.equal(found["validation"].labels, train.labels[90:100])
        assert len(DigitsTask(DigitsConfig(folder=folder, training_examples=7)).examples("train")) == 7

    @pytest.mark.parametrize(
        ("name", "data", "said"),
        [
            ("train-images-idx3-ubyte.gz", None, "neither train-images-idx3-ubyte nor"),
            ("train-images-idx3-ubyte.gz", b"\x1f\x8bno archive", "broken or cut off"),
            ("train-images-idx3-ubyte.gz", b"", "not a file of MNIST"),
            ("train-images-idx3-ubyte.gz", idx(torch.zeros(9)), "expected the number 2051"),
            ("train-images-idx3-ubyte.gz", idx(torch.zeros(100, 28, 28))[:-1], "is damaged: its header states 100 x"),
            ("train-images-idx3-ubyte.gz", idx(torch.zeros(100, 28, 27)), "expected images of 28 x 28"),
            ("train-labels.idx1-ubyte", idx(torch.zeros(99)), "has 100 images, but .* has 99 labels"),
            ("train-labels.idx1-ubyte", idx(torch.full((100,), 10)), "labels from 0 to 9, got 10"),
        ],
    )
    def test_other_files_are_refused(self, folder: Path, name: str, data: bytes | None, said: str) -> None:
        (folder / name).unlink()
        if data is not None:
            (folder / name).write_bytes(data)
        with pytest.raises((InvalidInput, NotFound), match=said):
            read_mnist(folder)

    def test_a_name_of_a_hub_is_no_folder(self) -> None:
        with pytest.raises(NotFound, match=r"the hub is named with --task\.hub"):
            DigitsTask(DigitsConfig(folder=Path("ylecun/mnist"))).examples("test")

    def test_the_hub(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def load_dataset(name: str, split: str) -> Columns:
            assert name == "ylecun/mnist"
            digits = embedded()[split]
            return Columns({"image": [image.numpy() for image in digits.images], "label": digits.labels.tolist()})

        module = ModuleType("datasets")
        module.load_dataset = load_dataset  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "datasets", module)
        config = DigitsConfig(hub="ylecun/mnist")
        assert config.extras == ("vision", "hub")
        task = DigitsTask(config)
        assert task.describe()["data"] == "MNIST, plain"
        assert task.describe()["images"] == {"train": 1980, "validation": 220, "test": 500}
        assert task.digits["test"].images.equal(embedded()["test"].images)
        module.load_dataset = lambda name, split: Columns({"img": []})  # type: ignore[attr-defined]
        with pytest.raises(InvalidInput, match="not MNIST: it has no column image and label"):
            DigitsTask(config).examples("test")
        small = Columns({"image": [embedded()["test"].images[0, :27].numpy()], "label": [1]})
        module.load_dataset = lambda name, split: small  # type: ignore[attr-defined]
        with pytest.raises(InvalidInput, match="expected grey images of 28 x 28 pixels"):
            DigitsTask(config).examples("test")

        def unreachable(name: str, split: str) -> None:
            raise ConnectionError("no network")

        module.load_dataset = unreachable  # type: ignore[attr-defined]
        with pytest.raises(InvalidInput, match=r"from the hub \(ConnectionError: no network\); name a folder"):
            DigitsTask(config).examples("test")

    def test_the_embedded_digits_are_mnists(
        self, real_data: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = read_mnist(folder := real_data("mnist"))
        assert {split: len(digits.labels) for split, digits in found.items()} == {
            "train": 55_000, "validation": 5000, "test": 10_000
        }  # fmt: skip
        monkeypatch.setattr("saccade.tasks.digits.data.make.__file__", str(tmp_path / "make.py"))
        make(str(folder))
        for path in DATA.glob("*.gz"):
            assert gzip.decompress(path.read_bytes()) == gzip.decompress((tmp_path / path.name).read_bytes())


class TestTask:
    def test_it_is_a_task_that_reads_images(self) -> None:
        task = DigitsTask(DigitsConfig())
        for protocol in (Task, Legible, Readable):
            assert isinstance(task, protocol)
        assert (task.metric, task.unit, task.direction) == ("error", "%", "min")
        assert task.describe()["data"] == "3,000 digits of MNIST, plain"
        assert task.describe()["sha256"] != DigitsTask(DigitsConfig(draw=2)).describe()["sha256"]
        with pytest.raises(InvalidInput, match="no split 'dev'"):
            task.examples("dev")

    @pytest.mark.parametrize("kind", [Plain(), Cluttered(), Elastic(), TwoDigits(), Binarised()])
    def test_an_image_does_not_depend_on_its_batch(self, kind: Plain) -> None:
        task = DigitsTask(DigitsConfig(kind=kind))
        examples = [task.examples(split)[row] for split, row in (("test", 3), ("train", 5), ("test", 4), ("train", 3))]
        batch = task.collate(examples)
        assert batch.images.shape == (4, 1, kind.size, kind.size)
        assert batch.labels.tolist() == [
            list(example.labels) if kind.digits > 1 else example.labels[0] for example in examples
        ]
        for row, example in enumerate(examples):
            alone = task.collate([example])
            torch.testing.assert_close(alone.images[0], batch.images[row], rtol=0, atol=1e-6)
        assert same(batch, DigitsTask(DigitsConfig(kind=kind)).collate(examples))

    def test_only_a_generator_augments(self) -> None:
        task = DigitsTask(DigitsConfig(kind=TwoDigits()))
        examples = task.examples("train")[:5]
        one, other, again = (task.collate(examples, torch.Generator().manual_seed(seed)) for seed in (1, 2, 1))
        assert same(one, again)
        assert not same(one, other)
        assert not same(one, task.collate(examples))
        fixed = DigitsTask(DigitsConfig(kind=Binarised(pixels="fixed")))
        assert same(fixed.collate(examples, torch.Generator()), fixed.collate(examples))

    def test_the_error_and_the_error_of_each_digit(self) -> None:
        task = DigitsTask(DigitsConfig())
        found = task.score([0, 7, 2, 3, 8], task.examples("test")[:5])
        assert found.figures["error"].value == pytest.approx(40)
        assert found.series["by_digit"].x == [0, 1, 2, 3, 4]
        assert found.series["by_digit"].y == [0, 100, 0, 0, 100]
        assert task.decode(7) == "7"
        assert task.compare(task.examples("test")[0], 7) == {"ours": "7", "right": "0"}

    def test_two_digits_are_right_if_both_are(self) -> None:
        task = DigitsTask(DigitsConfig(kind=TwoDigits()))
        examples = task.examples("test")[:4]
        said = [example.labels for example in examples]
        said[1] = (said[1][0], (said[1][1] + 1) % 10)
        said[2] = said[2][:1]
        figures = task.score(said, examples).figures
        assert (figures["error"].value, figures["digit_error"].value) == (50, 25)
        assert task.decode((4, 2)) == "4 2"

    def test_bounds_are_averaged(self) -> None:
        task = DigitsTask(DigitsConfig(kind=Binarised()))
        assert (task.metric, task.unit) == ("nats", "nats")
        bounds = [Bound(90.5, 70.25, 20.25), Bound(100.5, 80.25, 20.25, 99.0)]
        figures = task.score(bounds, task.examples("test")[:2]).figures
        assert {key: figure.value for key, figure in figures.items()} == {
            "nats": 95.5, "reconstruction": 75.25, "divergence": 20.25, "images": 2
        }  # fmt: skip
        assert task.decode(bounds[0]) == "at most 90.50 nats"

    @pytest.mark.parametrize("options", [{"training_examples": 0}, {"draw": -1}, {"kind": "blurred"}, {"fold": "x"}])
    def test_other_options_are_refused(self, options: dict[str, object]) -> None:
        with pytest.raises(ValidationError):
            DigitsConfig(**options)  # type: ignore[arg-type]


class TestStream:
    def stream(self, task: DigitsTask) -> DigitStream:
        training = SimpleNamespace(batch_size=30, window=1000, seed=3)
        return by_epochs(SimpleNamespace(training=training), task, None)

    def test_an_image_is_a_function_of_the_digit_and_the_epoch(self) -> None:
        task = DigitsTask(DigitsConfig(kind=TwoDigits(), training_examples=100))
        stream = self.stream(task)
        for batch in (0, 1, 4, 9, 2):
            found, rows, epoch = stream.share(batch).batch, stream.rows(batch), batch // 4
            assert same(found, task.collate(task.drawn("train", rows, epoch)))
            for rank in range(3):
                assert same(stream.share(batch, rank, 3).batch, Batch(*(part[rank::3] for part in found)))
        first, later = (task.drawn("train", [5], epoch) for epoch in (0, 1))
        assert not same(task.collate(first), task.collate(later))
        assert {one.labels for epoch in range(20) for one in task.drawn("train", [5], epoch)} != {first[0].labels}

    @pytest.mark.parametrize("kind", [Plain(), Binarised(pixels="fixed")])
    def test_what_is_drawn_once_is_the_same_in_every_epoch(self, kind: Plain) -> None:
        task = DigitsTask(DigitsConfig(kind=kind))
        assert same(*(task.collate(task.drawn("train", [5, 7], epoch)) for epoch in (0, 8)))

    def test_one_digit_is_enough(self) -> None:
        for kind in (Translated(), Cluttered(), TwoDigits()):
            task = DigitsTask(DigitsConfig(kind=kind, training_examples=1))
            assert self.stream(task).share(3).batch.images.shape == (1, 1, 60, 60)
        assert isinstance(task.digits["train"], Digits)
        assert task.digits["train"].images.shape == (1, SIDE, SIDE)


@pytest.mark.parametrize("split", ["test", "train"])
def test_boxes_surround_the_ink_of_a_translated_digit_and_the_clutter_does_not_move_it(split: str) -> None:
    task, cluttered = (DigitsTask(DigitsConfig(kind=kind)) for kind in (Translated(), Cluttered()))
    examples = task.drawn(split, range(20), epoch=3)
    boxes = task.boxes(examples)
    for image, (top, left, bottom, right) in zip(task.collate(examples).images[:, 0], boxes.tolist(), strict=True):
        rows, columns = (image.any(axis).nonzero().flatten().tolist() for axis in (1, 0))
        assert (top, left, bottom, right) == (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)
    assert torch.equal(cluttered.boxes(cluttered.drawn(split, range(20), epoch=3)), boxes)


def test_boxes_that_there_are_not() -> None:
    task = DigitsTask(DigitsConfig(kind=Plain()))
    with pytest.raises(InvalidInput, match="plain images have no boxes; translated and cluttered ones do"):
        task.boxes(task.examples("test")[:2])
    task = DigitsTask(DigitsConfig(kind=Translated()))
    with pytest.raises(InvalidInput, match="expected examples of one split"):
        task.boxes([task.examples("test")[0], task.examples("train")[0]])
