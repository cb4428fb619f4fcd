"""The images task: sources, splits, what a user gives, and scores."""

import json
import math
import pickle
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from saccade.core.errors import InvalidInput, MissingExtra, NotFound
from saccade.core.task import Learning, Legible, Readable, Sized, Task
from saccade.tasks.images import Cifar10, Digits, Folder, Hub, ImagesConfig, ImagesTask, Ranked
from saccade.tasks.images.data import portion
from saccade.tasks.images.objective import cross_entropy, ranked
from saccade.tasks.images.pixels import decoded, fitted, recoloured
from tests.tasks.images import (
    CLASSES,
    EACH,
    Image,
    archive,
    binary_version,
    file_of,
    image_version,
    own_folder,
    photo,
    python_version,
    rows,
)


def cifar(path: Path, **changes: Any) -> ImagesTask:
    return ImagesTask(ImagesConfig(source=Cifar10(path=path), **changes))


def folder(path: Path, **changes: Any) -> ImagesTask:
    return ImagesTask(ImagesConfig(source=Folder(path=path), **changes))


class TestCifar10:
    @pytest.mark.parametrize("version", [python_version, binary_version])
    @pytest.mark.parametrize("packed", [False, True])
    def test_pixels_and_labels_of_the_python_and_the_binary_version(
        self, tmp_path: Path, version: Callable[[Path], Path], packed: bool
    ) -> None:
        place = version(tmp_path / "unpacked")
        task = cifar(archive(place, tmp_path / "cifar-10.tar.xz") if packed else tmp_path / "unpacked")
        pixels, labels = rows(6)
        assert torch.equal(task.images("test"), torch.from_numpy(pixels.reshape(-1, 3, 32, 32)))
        assert [one.label for one in task.examples("test")] == labels
        assert task.classes == CLASSES
        train = {image.numpy().tobytes() for split in ("train", "validation") for image in task.images(split)}
        every = {row.tobytes() for part in range(1, 6) for row in rows(part)[0]}
        assert train == every
        assert task.describe()["images"] == {"train": 5 * EACH - 10, "validation": 10, "test": EACH}
        assert task.describe()["data"] == "CIFAR-10"

    @pytest.mark.parametrize("protocol", [0, 2, 3, 4])
    def test_pickles_of_any_old_protocol(self, tmp_path: Path, protocol: int) -> None:
        python_version(tmp_path, protocol=protocol)
        assert torch.equal(cifar(tmp_path).images("test").flatten(1), torch.from_numpy(rows(6)[0]))

    def test_a_pickle_of_python_2(self, tmp_path: Path) -> None:
        place = python_version(tmp_path)
        pixels, labels = rows(6)
        # as Python 2 wrote it, whose strings are bytes
        written = pickle.dumps({"data": pixels, "labels": labels}, protocol=2).replace(
            b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"
        )
        (place / "test_batch").write_bytes(written)
        assert torch.equal(cifar(tmp_path).images("test").flatten(1), torch.from_numpy(pixels))
        (place / "test_batch").write_bytes(pickle.dumps({"data": np.asfortranarray(pixels), "labels": labels}, 2))
        assert torch.equal(cifar(tmp_path).images("test").flatten(1), torch.from_numpy(pixels))

    @pytest.mark.parametrize("kind", ["JPEG", "PNG"])
    @pytest.mark.parametrize("packed", [False, True])
    def test_image_files_and_a_word_that_jpeg_is_lossy(self, tmp_path: Path, kind: str, packed: bool) -> None:
        place = image_version(tmp_path / "c", kind)
        if packed:
            archive(place / "cifar10_jpeg", tmp_path / "a.tar.xz")
            shutil.rmtree(place)
        task = cifar(tmp_path)
        assert task.describe()["images"] == {"train": 90, "validation": 10, "test": 20}
        assert ("JPEG copies, which are lossy" in task.describe()["data"]) == (kind == "JPEG")
        assert [one.label for one in task.examples("test")] == [label for label in range(10) for _ in range(2)]
        expected = np.asarray(photo(301))
        if kind == "PNG":
            assert np.array_equal(task.images("test")[7].permute(1, 2, 0).numpy(), expected)

    def test_nothing_in_a_pickle_is_called(self, tmp_path: Path) -> None:
        place = python_version(tmp_path)

        class Bad:
            def __reduce__(self) -> Any:
                return Path.touch, (tmp_path / "called",)

        class Large:
            def __reduce__(self) -> Any:
                return np.ndarray, ((2**40,),)  # admitted, but nothing is made

        for value, said in ((Bad(), "does not need"), ({b"data": Large(), b"labels": [1]}, "expected a dictionary"),
                            ({b"data": b"x", b"labels": [1]}, "expected a dictionary"), ([1], "expected a dictionary"),
                            ({b"data": rows(6)[0].astype(np.int16), b"labels": [1]}, "expected a dictionary"),
                            ({b"data": rows(6)[0][:, 1:], b"labels": [1] * EACH}, "expected a dictionary"),
                            ({b"data": rows(6)[0], b"labels": [1]}, "20 images and 1 labels"),
                            ({b"data": rows(6)[0], b"labels": [10] * EACH}, "from 0 to 9, got 10")):  # fmt: skip
            (place / "test_batch").write_bytes(pickle.dumps(value, protocol=2))
            with pytest.raises(InvalidInput, match=said):
                cifar(tmp_path).examples("test")
        assert not (tmp_path / "called").exists()
        whole = pickle.dumps({b"data": rows(6)[0], b"labels": rows(6)[1]}, protocol=2)
        for damaged in (b"", whole[:-9], b"no pickle", whole[:50]):
            (place / "test_batch").write_bytes(damaged)
            with pytest.raises(InvalidInput, match="cannot be read as a file of CIFAR-10's Python version"):
                cifar(tmp_path).examples("test")

    def test_other_damage_is_one_sentence(self, tmp_path: Path) -> None:
        place = binary_version(tmp_path)
        (place / "data_batch_3.bin").unlink()
        with pytest.raises(NotFound, match=r"file data_batch_3\.bin is missing"):
            cifar(tmp_path).examples("test")
        (place / "data_batch_3.bin").write_bytes(b"123")
        with pytest.raises(InvalidInput, match="expected 3,073 bytes for each image, got 3"):
            cifar(tmp_path).examples("test")
        with pytest.raises(NotFound, match=r"no such folder.*--task\.cifar10\.path"):
            cifar(tmp_path / "elsewhere").examples("test")
        (tmp_path / "empty").mkdir()
        with pytest.raises(NotFound, match="contains no CIFAR-10"):
            cifar(tmp_path / "empty").examples("test")
        (tmp_path / "empty" / "a.tar.gz").write_bytes(b"no archive")
        with pytest.raises(InvalidInput, match="is no tar archive"):
            cifar(tmp_path / "empty").examples("test")

    def test_a_class_without_images_or_with_another_name(self, tmp_path: Path) -> None:
        place = image_version(tmp_path) / "cifar10_jpeg" / "train"
        (place / "cat").rename(tmp_path / "cat")
        with pytest.raises(NotFound, match="train has no images in a folder 'cat'"):
            cifar(tmp_path / "cifar10_jpeg").examples("test")
        (tmp_path / "cat").rename(place / "lion")
        with pytest.raises(InvalidInput, match="train has a folder 'lion'"):
            cifar(tmp_path).examples("test")

    def test_the_real_files(self, real_data: Callable[[str], Path]) -> None:
        task = cifar(real_data("cifar10"), share=0.1)
        assert "JPEG" in task.data.name
        counts = {split: len(task.examples(split)) for split in ("train", "validation", "test")}
        assert counts == {"train": 4500, "validation": 5000, "test": 10_000}
        assert set(Counter(one.label for one in task.examples("train")).values()) == {450}
        few = [task.examples("test")[row] for row in (0, 5000)]
        files = task.data.splits["test"].pixels(torch.tensor([0, 5000]))
        task._images["test"] = files[[0, 1]]
        for row, (one, raw) in enumerate(zip(few, map(file_of, map(to_pillow, files)), strict=True)):
            assert torch.equal(task.read(raw).image, files[row])
            assert one.label == row * 5
        mean = torch.tensor(task.learned.mean)
        torch.testing.assert_close(mean, torch.tensor([0.4914, 0.4822, 0.4465]), rtol=0, atol=0.01)


def to_pillow(image: torch.Tensor) -> Any:
    return Image.fromarray(image.permute(1, 2, 0).numpy())


class TestFolder:
    def test_missing_splits_are_taken_from_train(self, tmp_path: Path) -> None:
        task = folder(own_folder(tmp_path, {"train": 20}))
        assert task.classes == ("cat", "dog")
        assert task.describe()["images"] == {"train": 32, "validation": 4, "test": 4}
        parts = [{image.numpy().tobytes() for image in task.images(split)} for split in ("train", "validation", "test")]
        assert len(set.union(*parts)) == 40
        for split in ("train", "validation", "test"):
            labels = [one.label for one in task.examples(split)]
            assert labels.count(0) == labels.count(1)
        again, other = folder(tmp_path), folder(tmp_path, draw=2)
        assert again.describe() == task.describe()
        assert other.describe()["sha256"] != task.describe()["sha256"]

    def test_own_splits_are_kept(self, tmp_path: Path) -> None:
        task = folder(own_folder(tmp_path, {"train": 5, "val": 2, "test": 3}))
        assert task.describe()["images"] == {"train": 10, "validation": 4, "test": 6}

    def test_images_of_any_shape_are_scaled_and_cut(self, tmp_path: Path) -> None:
        own_folder(tmp_path, {"train": 4}, (40, 24))
        with pytest.raises(InvalidInput, match=r"40 x 24 pixels, and models take square images.*--task\.size"):
            folder(tmp_path).images("train")
        task = folder(tmp_path, size=12)
        assert task.images("train").shape[1:] == (3, 12, 12)
        assert folder(tmp_path, size=12, channels=1).images("train").shape[1:] == (1, 12, 12)
        file = tmp_path / "train" / "dog" / "0.png"
        read = task.read(str(file))
        assert task.notes(read) == ["the middle of 40 x 24 pixels"]
        assert torch.equal(read.image, fitted(decoded(file.read_bytes(), "", 3).image, 12))

    @pytest.mark.parametrize("shape", [(1, 4_000_001), (4_000_001, 1)])
    def test_the_middle_of_a_long_line_needs_little_memory(self, shape: tuple[int, int]) -> None:
        line = torch.zeros(1, *shape, dtype=torch.uint8)
        line.view(-1)[2_000_000] = 200  # scaled as a whole, it would have 64 x 256 million pixels
        found = fitted(line, 64)
        assert found.shape == (1, 64, 64)
        assert found.float().mean() > 90

    def test_images_of_different_sizes_need_one(self, tmp_path: Path) -> None:
        own_folder(tmp_path, {"train": 4})
        photo(1, 16, 16).save(tmp_path / "train" / "dog" / "3.png")
        with pytest.raises(InvalidInput, match="16 x 16 pixels, and others 32 x 32"):
            [folder(tmp_path, draw=seed).describe() for seed in range(3)]
        assert folder(tmp_path, size=16).side == 16

    def test_what_cannot_be_used_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match="there is no such folder"):
            folder(tmp_path / "none").examples("train")
        with pytest.raises(NotFound, match="contains no folder train"):
            folder(tmp_path).examples("train")
        own_folder(tmp_path, {"train": 4, "test": 2})
        (tmp_path / "test" / "dog").rename(tmp_path / "test" / "wolf")
        with pytest.raises(InvalidInput, match="has a class 'wolf'"):
            folder(tmp_path).examples("train")
        shutil.rmtree(tmp_path / "test")
        (tmp_path / "train" / "cow").mkdir()
        with pytest.raises(NotFound, match="cow contains no image"):
            folder(tmp_path).examples("train")
        photo(1).save(tmp_path / "train" / "cow" / "1.png")
        with pytest.raises(InvalidInput, match="too few training images"):
            folder(tmp_path).examples("train")
        for name in ("cow", "dog"):
            shutil.rmtree(tmp_path / "train" / name)
        with pytest.raises(InvalidInput, match="has the class 'cat' alone"):
            folder(tmp_path).examples("train")

    def test_a_damaged_file_is_named(self, tmp_path: Path) -> None:
        own_folder(tmp_path, {"train": 4})
        for number in range(4):
            (tmp_path / "train" / "cat" / f"{number}.png").write_bytes(b"no image")
        with pytest.raises(InvalidInput, match=r"cat/\d\.png is not an image"):
            folder(tmp_path, size=8).describe()

    def test_pixels_that_do_not_fit_into_memory_are_read_for_each_batch(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own_folder(tmp_path, {"train": 12})
        whole = folder(tmp_path, size=8)
        examples = whole.examples("train")
        expected, known = whole.collate(examples).images, whole.describe()
        monkeypatch.setattr("saccade.tasks.images.data.LARGEST", len(examples) * 3 * 8**2 - 1)
        task = folder(tmp_path, size=8)
        assert torch.equal(task.collate(examples).images, expected)
        assert torch.equal(task.collate(examples[::-1]).images, expected.flip(0))
        assert task.describe() == known  # the normalisation is learned of all these images, which are few
        assert task._images["train"] is None
        monkeypatch.setattr("saccade.tasks.images.task.SAMPLE", 3)
        few = folder(tmp_path, size=8).images("train")
        assert 0 < len(few) <= 3
        shutil.rmtree(tmp_path / "train")
        with pytest.raises(NotFound):
            task.collate(examples)
        whole.collate(examples)  # these are in memory


class Feature:
    names = ("cat", "dog")


class TestHub:
    def test_its_columns_are_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        image, label = type("Image", (), {})(), type("ClassLabel", (Feature,), {})()

        class Rows(list[dict[str, Any]]):
            features = {"id": 1, "img": image, "answer": label}  # noqa: RUF012

            def __getitem__(self, key: Any) -> Any:
                return [row[key] for row in self] if isinstance(key, str) else list.__getitem__(self, key)

        found = Rows({"img": photo(number), "answer": number % 2} for number in range(20))
        hidden = Rows({"img": photo(1), "answer": -1} for _ in range(3))
        module = ModuleType("datasets")
        module.load_dataset = lambda name: {"train": found, "test": hidden}  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "datasets", module)
        task = ImagesTask(ImagesConfig(source=Hub(dataset="someone/pets")))
        assert task.describe()["data"] == "someone/pets of the hub"
        assert task.describe()["images"] == {"train": 16, "validation": 2, "test": 2}
        assert task.classes == ("cat", "dog")
        assert task.side == 32
        del Rows.features["answer"]
        with pytest.raises(InvalidInput, match="needs a column of images and one of classes; its columns: id, img"):
            ImagesTask(ImagesConfig(source=Hub())).examples("train")

        def unreachable(name: str) -> None:
            raise ConnectionError("no network")

        module.load_dataset = unreachable  # type: ignore[attr-defined]
        with pytest.raises(InvalidInput, match=r"could not be downloaded from the hub \(ConnectionError: no network\)"):
            ImagesTask(ImagesConfig(source=Hub())).examples("train")

    def test_its_library_is_an_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "datasets", None)
        config = ImagesConfig(source=Hub())
        assert config.extras == ("hub",)
        with pytest.raises((MissingExtra, ModuleNotFoundError)):
            ImagesTask(config).examples("train")


class TestTask:
    def test_it_is_a_task_that_reads_images_and_learns_their_classes(self) -> None:
        task = ImagesTask(ImagesConfig())
        for protocol in (Task, Legible, Readable, Learning):
            assert isinstance(task, protocol)
        assert not isinstance(task, Sized)  # batches count images
        assert task.describe()["data"] == "3,000 digits of MNIST"
        assert task.describe()["images"] == {"train": 2200, "validation": 300, "test": 500}
        assert (task.side, task.channels, len(task.classes)) == (28, 1, 10)
        with pytest.raises(InvalidInput, match="no split 'dev'"):
            task.examples("dev")

    @pytest.mark.parametrize("changes", [{}, {"size": 33, "channels": 3}, {"normalisation": "none"}])
    def test_a_digit_is_read_as_it_is(self, changes: Any) -> None:
        task = ImagesTask(ImagesConfig(source=Digits(), **changes))
        for example, raw in zip(task.examples("test"), task.examples_to_type(7), strict=False):
            read = task.read(raw)
            assert torch.equal(task.collate([read]).images, task.collate([example]).images)
            assert read.label is None

    @pytest.mark.parametrize("changes", [{}, {"size": 20}, {"channels": 1}, {"size": 40, "channels": 1}])
    def test_a_file_of_the_data_is_read_as_in_training(self, tmp_path: Path, changes: Any) -> None:
        own_folder(tmp_path / "own", {"train": 5, "validation": 2, "test": 2})
        for task in (folder(tmp_path / "own", **changes), cifar(image_version(tmp_path / "c"), **changes)):
            config = task.config.source
            name = sorted(Path(config.path).rglob("test/*/*.*"))  # type: ignore[union-attr, arg-type]
            for file, example in zip(name, task.examples("test"), strict=True):
                for raw in (str(file), file.read_bytes()):
                    assert torch.equal(task.collate([task.read(raw)]).images, task.collate([example]).images)
            for raw, example in zip(task.examples_to_type(3), task.examples("test"), strict=False):
                assert torch.equal(task.collate([task.read(raw)]).images, task.collate([example]).images)

    def test_grey_is_what_pillow_makes_of_colours(self) -> None:
        image = photo(3)
        colour, grey = (decoded(file_of(image), "", channels).image for channels in (3, 1))
        assert torch.equal(recoloured(colour[None], 1)[0], grey)
        assert torch.equal(recoloured(grey[None], 3)[0], grey.expand(3, -1, -1))

    @pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA", "CMYK", "I;16", "I", "F", "1"])
    def test_files_of_any_mode(self, mode: str) -> None:
        grey = Image.fromarray(np.linspace(0, 255, 64, dtype=np.uint8).reshape(8, 8).repeat(4, 0).repeat(4, 1))
        wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
        image = wide if mode == "I;16" else grey.convert(mode)
        kind = "TIFF" if mode in ("F", "I", "CMYK") else "PNG"
        found = decoded(file_of(image, kind), "it", 3).image
        assert found.shape == (3, 32, 32)
        expected = torch.from_numpy(np.array(grey)).float()
        assert float((found.float().mean(0) - expected).abs().mean()) < (130 if mode == "1" else 4)

    def test_what_is_transparent_is_white(self) -> None:
        image = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
        assert decoded(file_of(image), "it", 3).image.min() == 255

    def test_bad_images_are_one_sentence(self, tmp_path: Path) -> None:
        task = folder(own_folder(tmp_path, {"train": 20}))
        for raw, said in (
            (b"", "is not an image"), (file_of(photo(1))[:60], "damaged"), ("", "input is empty"),
            (str(tmp_path / "none.png"), "there is no such image"), (str(tmp_path), "not a folder"),
        ):  # fmt: skip
            with pytest.raises((InvalidInput, NotFound), match=said):
                task.read(raw)
        assert task.notes(task.read(file_of(photo(1, mode="L")))) == ["a grey image: the same in all three channels"]
        assert torch.isfinite(task.collate([task.read(file_of(photo(1, 1, 1)))]).images).all()

    def test_a_share_of_each_class(self) -> None:
        task = ImagesTask(ImagesConfig(share=0.1))
        assert set(Counter(one.label for one in task.examples("train")).values()) == {22}
        assert len(task.examples("test")) == 500
        assert "10 % of the training images" in task.describe()["data"]
        small = {image.numpy().tobytes() for image in task.images("train")}
        assert small <= {image.numpy().tobytes() for image in ImagesTask(ImagesConfig()).images("train")}
        labels = torch.tensor([0] * 7 + [1])
        assert portion(labels, 0.5, 1).tolist()[-1] == 7  # one at least of each class
        assert len(portion(labels, 0.5, 1)) == 5

    def test_images_are_normalised_by_the_training_images(self) -> None:
        task = ImagesTask(ImagesConfig())
        pixels = task.images("train").double() / 255
        assert task.learned.mean[0] == pytest.approx(float(pixels.mean()), abs=1e-9)
        assert task.learned.deviation[0] == pytest.approx(float(pixels.std(correction=0)), abs=1e-9)
        images = task.collate(task.examples("train")).images
        assert float(images.mean()) == pytest.approx(0, abs=1e-4)
        assert float(images.std()) == pytest.approx(1, abs=1e-3)
        plain = ImagesTask(ImagesConfig(normalisation="none"))
        assert torch.equal(plain.collate(plain.examples("test")[:2]).images, plain.images("test")[:2] / 255)

    def test_a_run_keeps_what_it_learned(self, tmp_path: Path) -> None:
        task = folder(own_folder(tmp_path / "data", {"train": 20}))
        task.save(tmp_path)
        config = replace(task.config, source=Folder(path=tmp_path / "gone"))
        again = ImagesTask(config, tmp_path)  # the data are not there
        assert (again.classes, again.side, again.learned) == (task.classes, task.side, task.learned)
        raw = file_of(photo(5))
        assert torch.equal(again.collate([again.read(raw)]).images, task.collate([task.read(raw)]).images)
        again.check_trained(task.config)
        with pytest.raises(InvalidInput, match=r"task\.size was None"):
            ImagesTask(replace(config, size=64), tmp_path).check_trained(task.config)
        (tmp_path / "data" / "train" / "dog").rename(tmp_path / "data" / "train" / "wolf")
        with pytest.raises(InvalidInput, match="are not those of the training: cat, dog"):
            ImagesTask(task.config, tmp_path).examples("test")

    @pytest.mark.parametrize(
        "change",
        [{"classes": 3}, {"classes": [1, 2]}, {"size": "a"}, {"mean": None}, {"mean": ["a"] * 3}, {"mean": [0.1, 0.2]},
         {"deviation": [0.1, 0.0, 0.1]}, {"deviation": [math.nan] * 3}, {"channels": 2}],
        ids=str,
    )  # fmt: skip
    def test_what_was_changed_by_hand_is_named(self, change: dict[str, Any], tmp_path: Path) -> None:
        task = folder(own_folder(tmp_path / "data", {"train": 20}))
        task.save(tmp_path)
        kept = json.loads((tmp_path / "images.json").read_text())
        (tmp_path / "images.json").write_text(json.dumps({**kept, **change}))
        with pytest.raises(InvalidInput, match=r"images\.json is damaged"):
            ImagesTask(task.config, tmp_path)

    def test_accuracy_top_5_classes_and_confusions(self) -> None:
        task = ImagesTask(ImagesConfig())
        examples = task.examples("test")[:4]
        labels = [one.label for one in examples]
        assert labels == [0, 1, 2, 3] or len(set(labels)) == 4
        others = [label for label in range(10) if label not in labels]
        predictions = [
            Ranked((labels[0] or 0, *others[:4]), (1.0,) * 5),
            Ranked((others[0], labels[1] or 0, *others[1:4]), (1.0,) * 5),
            Ranked(tuple(others[:5]), (1.0,) * 5),
            Ranked((others[0], *others[1:5]), (1.0,) * 5),
        ]
        found = task.score(predictions, examples)
        assert found.figures["accuracy"].value == 25
        assert found.figures["top_5"].value == 50
        assert dict(zip(found.series["by_class"].x, found.series["by_class"].y, strict=True)) == {
            str(label): 100 * (label == labels[0]) for label in labels
        }
        assert sum(found.series["confusions"].y) == 3
        assert task.compare(examples[0], predictions[0])["right"] == str(labels[0])
        assert task.decode(Ranked((3, 5), (0.871, 0.004))) == "3 (87 %)"

    def test_few_classes_have_no_top_5(self, tmp_path: Path) -> None:
        task = folder(own_folder(tmp_path, {"train": 20}))
        found = task.score([Ranked((0, 1), (0.9, 0.1))], task.examples("test")[:1])
        assert set(found.figures) == {"accuracy", "images"}


class TestObjective:
    def test_soft_targets_by_hand(self) -> None:
        task = ImagesTask(ImagesConfig(smoothing=0.3))
        batch = task.collate(task.examples("train")[:3], torch.Generator().manual_seed(1))
        torch.testing.assert_close(batch.targets.sum(1), torch.ones(3))
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 10))
        logits = model(batch.images).detach().double()
        total = 0.0
        for row, label in enumerate(batch.labels.tolist()):
            for k in range(10):
                target = 0.7 * (k == label) + 0.03
                assert float(batch.targets[row, k]) == pytest.approx(target)
                total -= target * float(logits[row].log_softmax(0)[k])
        loss = cross_entropy(model, batch, 0)
        assert float(loss.value.detach()) == pytest.approx(total / 3, rel=1e-5)
        assert loss.parts["nats"].count == 3
        plain = task.collate(task.examples("train")[:3])  # not smoothed in evaluation
        expected = nn.functional.cross_entropy(model(plain.images), plain.labels)
        torch.testing.assert_close(cross_entropy(model, plain, 0).value, expected)

    def test_the_best_five_classes(self) -> None:
        task = ImagesTask(ImagesConfig())
        batch = task.collate(task.examples("test")[:2])
        model = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 10))
        logits = torch.arange(20.0).view(2, 10) % 7
        model.register_forward_hook(lambda *_: logits)
        [first, _] = ranked(model, batch, None)
        assert first.labels[:2] == (6, 5)
        assert first.probabilities == tuple(round(float(p), 4) for p in logits[0].softmax(0).topk(5).values)
