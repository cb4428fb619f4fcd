"""Captions of photos: files of any sort, Flickr8k, data of one's own, and what may be wrong with them."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from saccade.core.errors import InvalidInput, NotFound
from saccade.tasks.captions import CaptionsConfig, CaptionsTask, Said
from saccade.tasks.captions.own import read_own
from saccade.tasks.captions.photos import squared
from saccade.tasks.images.pixels import decoded

Image = pytest.importorskip("PIL.Image")
COLOUR = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)


def encoded(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    with io.BytesIO() as file:
        image.save(file, kind, **options)
        return file.getvalue()


def photo(shade: int = 0, kind: str = "PNG") -> bytes:
    return encoded(Image.fromarray((COLOUR // 2 + shade % 100).astype(np.uint8)), kind)


def written(folder: Path, rows: list[tuple[str, str]], name: str = "photos.tsv") -> Path:
    path = folder / name
    path.write_text("".join(f"{photo_name}\t{caption}\n" for photo_name, caption in rows), encoding="utf-8")
    return path


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Twelve photos with two captions each."""
    for number in range(12):
        (tmp_path / f"{number}.png").write_bytes(photo(number))
    return written(
        tmp_path,
        [(f"{n}.png", f"A {c} dog, by the {('sea', 'wall')[n % 2]}.") for n in range(12) for c in ("red", "big")],
    )


class TestFiles:
    GREY = COLOUR[..., 0]
    SHADES = Image.fromarray(COLOUR).quantize(16)
    KINDS = (
        ("colour", encoded(Image.fromarray(COLOUR)), COLOUR),
        ("grey", encoded(Image.fromarray(GREY)), np.dstack([GREY] * 3)),
        ("palette", encoded(SHADES), np.array(SHADES.getpalette()).reshape(-1, 3)[np.asarray(SHADES)]),
        ("16-bit", encoded(Image.fromarray(GREY.astype(np.uint16) * 257)), np.dstack([GREY] * 3)),
        ("alpha", encoded(Image.fromarray(np.dstack([COLOUR, GREY]))), 255 - (255.0 - COLOUR) * GREY[..., None] / 255),
        ("animated", encoded(SHADES, "GIF", save_all=True, append_images=[Image.new("L", (9, 9))]),
         np.asarray(SHADES.convert("RGB"))),
        ("cmyk", encoded(Image.new("CMYK", (40, 30), (255, 51, 0, 0)), "JPEG", quality=100),
         np.full((30, 40, 3), (0, 204, 255))),
    )  # fmt: skip

    @pytest.mark.parametrize(("name", "data", "pixels"), KINDS, ids=[name for name, *_ in KINDS])
    def test_any_sort_has_the_colours_that_a_person_sees(self, name: str, data: bytes, pixels: Any) -> None:
        found = decoded(data, name, 3).image.permute(1, 2, 0).int().numpy()
        assert found.shape == pixels.shape
        assert np.abs(found - pixels).max() <= 1

    @pytest.mark.parametrize("size", [(1, 1), (4000, 1), (1, 4000)])
    def test_extreme_shapes_are_read(self, size: tuple[int, int]) -> None:
        found = squared(encoded(Image.new("RGB", size, (9, 8, 7))), "a", 56)
        assert found.image.dtype == torch.uint8
        assert torch.equal(found.image, torch.tensor([9, 8, 7], dtype=torch.uint8)[:, None, None].expand(3, 56, 56))

    @pytest.mark.parametrize("brand", [b"heic", b"heif", b"mif1"])
    def test_a_photo_of_a_telephone_is_to_be_saved_as_jpeg(self, brand: bytes) -> None:
        with pytest.raises(InvalidInput, match=r"^dog.heic is a HEIF image, which cannot be read; save it as JPEG$"):
            squared(b"\0\0\0\x18ftyp" + brand + bytes(60), "dog.heic", 28)

    def test_a_photo_turned_by_its_metadata_is_upright(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by 90 degrees clockwise
        turned = encoded(Image.fromarray(np.rot90(COLOUR).copy()), exif=exif)
        assert torch.equal(
            squared(turned, "turned", 28).image, squared(encoded(Image.fromarray(COLOUR)), "plain", 28).image
        )

    @pytest.mark.parametrize("data", [photo()[:200], b"", b"a text, no image", photo(kind="JPEG")[:300]])
    def test_no_image_or_half_of_one(self, data: bytes) -> None:
        with pytest.raises(InvalidInput, match=r"^dog\.jpg is"):
            squared(data, "dog.jpg", 28)

    def test_what_was_left_out_is_said(self) -> None:
        assert squared(photo(), "a", 28).notes == ("the middle of 40 x 30 pixels",)


class TestOwn:
    def test_lines_of_one_photo_are_its_captions(self, own: Path) -> None:
        task = CaptionsTask(CaptionsConfig(train=own, size=28))
        assert [len(task.examples(split)) for split in ("train", "validation", "test")] == [20, 1, 1]
        example = task.examples("test")[0]
        assert len(example.references) == 2
        assert example.references[0].startswith("a red dog by the")
        assert (task.metric, task.unit) == ("cider", "")
        batch = task.collate(task.examples("train"), torch.Generator())
        assert len(set(batch.keys)) == 10

    def test_a_photo_is_read_alike_in_training_and_for_a_user(self, own: Path) -> None:
        task = CaptionsTask(CaptionsConfig(train=own, size=28))
        whole = [one for split in ("train", "validation", "test") for one in task.examples(split)]
        keys = dict(zip(task.keys(whole), whole, strict=True))
        assert len(keys) == 12
        for row in range(12):
            theirs = task.collate([task.read(str(own.parent / f"{row}.png"))])
            ours = task.collate([keys[theirs.keys[0]]])
            assert torch.equal(theirs.pixels, ours.pixels), row

    def test_other_splits_have_files_of_their_own(self, own: Path) -> None:
        (own.parent / "a.png").write_bytes(photo(50))
        (own.parent / "b.png").write_bytes(photo(60))
        validation = written(own.parent, [("a.png", "a cat")], "validation.tsv")
        test = written(own.parent, [("b.png", "a cat")], "test.tsv")
        task = CaptionsTask(CaptionsConfig(train=own, validation=validation, test=test, size=28))
        assert [len(task.examples(split)) for split in ("train", "validation", "test")] == [24, 1, 1]
        assert task.collate(task.examples("test")).tokens[0].tolist().count(task.unknown) == 1

    def test_scores_with_and_without_several_references(self, own: Path) -> None:
        task = CaptionsTask(CaptionsConfig(train=own, size=28))
        examples = task.examples("test")
        figures = task.score([task.answer(one) for one in examples], examples).figures
        assert figures["cider"].value == 0, "of one image"
        assert figures["bleu_4"].value == pytest.approx(100)
        assert figures["bleu_4_low"].value == pytest.approx(100)
        assert figures["cider_high"].value == 0
        assert "person_meteor" in figures
        assert "true" not in figures

    def test_a_nearest_caption_of_the_systems_own(self, own: Path) -> None:
        task = CaptionsTask(CaptionsConfig(train=own, size=28))
        examples = task.examples("validation")
        said = [Said((), nearest=example.symbols) for example in examples]
        assert task.score(said, examples).figures["nearest_bleu_4"].value == pytest.approx(100)

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("dog.png", r"photos.tsv, line 25: expected a path, a tab and a caption, found 'dog.png'"),
            ("9.png\ta\tb", r"line 25: expected a path, a tab and a caption"),
            ("99.png\ta dog", r"photos.tsv, line 25: there is no photo .*99.png"),
            ("9.png\t ... ", r"photos.tsv, line 25: the caption '...' has no word"),
            ("9.png\t", r"line 25: the caption '' has no word"),
        ],
    )
    def test_a_bad_line_is_named(self, own: Path, line: str, message: str) -> None:
        own.write_text(own.read_text() + line + "\n")
        with pytest.raises((InvalidInput, NotFound), match=message):
            CaptionsTask(CaptionsConfig(train=own))

    def test_a_photo_in_two_splits(self, own: Path) -> None:
        test = written(own.parent, [("./3.png", "a cat")], "test.tsv")
        with pytest.raises(InvalidInput, match=r"3.png is in two splits, train and test"):
            CaptionsTask(CaptionsConfig(train=own, validation=None, test=test))

    def test_a_copy_of_a_photo_in_another_split(self, own: Path) -> None:
        (own.parent / "copy.png").write_bytes((own.parent / "3.png").read_bytes())
        test = written(own.parent, [("copy.png", "a cat")], "test.tsv")
        validation = written(own.parent, [("b.png", "a cat")], "validation.tsv")
        (own.parent / "b.png").write_bytes(photo(60))
        task = CaptionsTask(CaptionsConfig(train=own, validation=validation, test=test, size=28))
        with pytest.raises(InvalidInput, match=r"3.png, of train, and .*copy.png, of test, are the same photo"):
            task.describe()

    def test_copies_within_a_split_are_two_photos(self, own: Path) -> None:
        for name in ("a.png", "b.png"):
            (own.parent / name).write_bytes(photo(60))
        test = written(own.parent, [("a.png", "a cat"), ("b.png", "a dog")], "test.tsv")
        assert CaptionsTask(CaptionsConfig(train=own, test=test, size=28)).describe()["images"]["test"] == 2

    def test_a_folder_is_no_list_of_photos(self, own: Path) -> None:
        for name in ("train", "test"):
            with pytest.raises(
                InvalidInput, match=r"is a folder; expected a file of lines path<tab>caption, or a data"
            ):
                CaptionsTask(CaptionsConfig(**{"train": own, name: own.parent}))

    def test_cider_of_one_photo_is_said_to_be_0_by_definition(self, own: Path) -> None:
        task = CaptionsTask(CaptionsConfig(train=own, size=28))
        names = []
        for split in ("test", "train"):
            examples = task.examples(split)
            names.append(task.score([task.answer(one) for one in examples], examples).figures["cider"].name)
        assert names == ["CIDEr-D (0 by definition, of one image)", "CIDEr-D"]

    def test_a_file_that_is_no_photo_is_named_when_it_is_read(self, own: Path) -> None:
        for path in own.parent.glob("*.png"):
            path.write_bytes(b"no photo")
        task = CaptionsTask(CaptionsConfig(train=own))
        with pytest.raises(InvalidInput, match=r"\d+\.png is not an image, or is damaged"):
            task.collate(task.examples("train")[:1])

    def test_an_empty_file_and_too_few_photos(self, own: Path) -> None:
        empty = written(own.parent, [], "empty.tsv")
        with pytest.raises(InvalidInput, match=r"empty.tsv is empty"):
            CaptionsTask(CaptionsConfig(train=empty))
        one = written(own.parent, [("1.png", "a dog")], "one.tsv")
        with pytest.raises(InvalidInput, match=r"one.tsv has too few photos to hold some out for validation"):
            CaptionsTask(CaptionsConfig(train=one))

    def test_no_word_a_person_knows_and_a_hundred_words(self, own: Path) -> None:
        own.write_text(own.read_text() + "9.png\t" + "dog " * 100 + "\n")
        task = CaptionsTask(CaptionsConfig(train=own, size=28))
        assert max(len(example.symbols) for example in task.examples("train")) <= 30

    def test_a_caption_that_was_cut_has_no_end(self, own: Path) -> None:
        own.write_text(own.read_text().replace("A red dog, by the sea.", "A red dog, by the sea and the sky."))
        task = CaptionsTask(CaptionsConfig(train=own, size=28, longest=6))
        examples = [one for split in ("train", "validation", "test") for one in task.examples(split)]
        for example in examples:
            tokens = task.collate([example], torch.Generator()).tokens[0].tolist()
            assert (len(tokens), tokens.count(task.end)) == ((7, 0) if example.cut else (8, 1))
            references = task.collate([example]).references[0].tolist()
            assert [row.count(task.end) for row in references] == [len(c.split()) == 6 for c in example.references]
        assert sum(example.cut for example in task.examples("train")) == 5
        assert task.describe()["data"] == "photos.tsv, 5 training captions cut to 6 words"
        short = next(one for one in examples if one.cut)
        assert not task.replay(short, Said(short.symbols)).cut, "a caption that a model wrote"


class TestKarpathy:
    def dataset(self, folder: Path, **change: Any) -> Path:
        splits = ["train", "restval", "train", "val", "test"]
        images = [{"filename": f"{row}.png", "split": split, "sentences": [{"raw": "A dog."}, {"raw": "One dog"}]}
                  for row, split in enumerate(splits)]  # fmt: skip
        images[1] |= change
        path = folder / "dataset.json"
        path.write_text(json.dumps({"images": images, "dataset": "mine"}))
        return path

    def test_its_splits(self, own: Path) -> None:
        task = CaptionsTask(CaptionsConfig(train=self.dataset(own.parent), size=28))
        assert [len(task.examples(split)) for split in ("train", "validation", "test")] == [6, 1, 1]

    def test_a_photo_that_is_listed_twice_has_the_captions_of_both(self, own: Path) -> None:
        task = CaptionsTask(CaptionsConfig(train=self.dataset(own.parent, filename="0.png"), size=28))
        assert [len(one) for one in task.source.captions["train"]] == [4, 2]
        again = self.dataset(own.parent, filename="0.png", split="test")
        with pytest.raises(InvalidInput, match=r"0.png is in two splits, train and test"):
            CaptionsTask(CaptionsConfig(train=again, size=28))

    def test_photos_in_another_folder(self, own: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        path = self.dataset(tmp_path_factory.mktemp("elsewhere"))
        with pytest.raises(
            NotFound, match=r"dataset.json: there is no photo .*0.png, one of 5 missing of 5.*--task.photos"
        ):
            CaptionsTask(CaptionsConfig(train=path))
        assert CaptionsTask(CaptionsConfig(train=path, photos=own.parent, size=28)).examples("test")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"split": "dev"}, "1.png is in split 'dev'"),
            ({"sentences": []}, "1.png has no caption"),
            ({"sentences": [{"raw": "?"}]}, r"dataset.json, 1.png: the caption '\?' has no word"),
            ({"sentences": [{"text": "a"}]}, 'expected {"images"'),
        ],
    )
    def test_a_bad_entry_is_named(self, own: Path, change: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidInput, match=message):
            CaptionsTask(CaptionsConfig(train=self.dataset(own.parent, **change)))


class TestFlickr8k:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Four photos at hand, two in an archive and two in a folder; one training photo and one test photo are not."""
        names = {"train": ["a.jpg", "b.jpg", "gone.jpg"], "dev": ["c.jpg"], "test": ["d.jpg", "far.jpg"]}
        for split, listed in names.items():
            (tmp_path / f"Flickr_8k.{split}Images.txt").write_text("\n".join(listed) + "\n")
        lines = [f"{name}#{n}\tA dog sees {name[0]} {word} .\n" for listed in names.values() for name in listed
                 for n, word in enumerate(["once", "twice"])]  # fmt: skip
        (tmp_path / "Flickr8k.token.txt").write_text("".join([*lines, "stray.jpg.1#0\tA stray .\n"]))
        with tarfile.open(tmp_path / "images.tar", "w") as tar:
            for shade, name in enumerate("ab"):
                info, data = tarfile.TarInfo(f"images/{name}.jpg"), photo(shade, "JPEG")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        (tmp_path / "more").mkdir()
        for shade, name in enumerate("cd"):
            (tmp_path / "more" / f"{name}.jpg").write_bytes(photo(10 + shade, "JPEG"))
        return tmp_path

    def test_photos_at_hand_and_texts_of_the_others(self, folder: Path) -> None:
        task = CaptionsTask(CaptionsConfig(folder=folder, size=28, texts=True))
        assert [len(task.examples(split)) for split in ("train", "validation", "test")] == [4, 1, 1]
        assert {example.references for example in task.texts} == {("a dog sees g once",), ("a dog sees g twice",)}
        assert "f" not in task.words, "never the captions of the test photos"
        batch = task.collate(task.texts, torch.Generator())
        assert batch.pixels.shape == (0, 3, 28, 28)
        assert batch.keys == ()
        assert batch.tokens.shape == (2, 7)
        with pytest.raises(InvalidInput, match="not both"):
            task.collate([*task.texts, *task.examples("train")], torch.Generator())
        assert len(task.describe()["sha256"]) == 64

    def test_without_texts_their_words_are_unknown(self, folder: Path) -> None:
        task = CaptionsTask(CaptionsConfig(folder=folder, size=28))
        assert not task.texts
        assert "g" not in task.words

    def test_what_is_missing_is_named(self, folder: Path) -> None:
        with pytest.raises(NotFound, match="nowhere: there is no such folder"):
            CaptionsTask(CaptionsConfig(folder=folder / "nowhere"))
        (folder / "more" / "d.jpg").unlink()
        with pytest.raises(NotFound, match=r"has none of the 2 test photos, such as d.jpg"):
            CaptionsTask(CaptionsConfig(folder=folder))
        (folder / "Flickr_8k.devImages.txt").unlink()
        with pytest.raises(NotFound, match=r"has no Flickr_8k.devImages.txt and no Flickr_8k.devImages.txt.gz"):
            CaptionsTask(CaptionsConfig(folder=folder))

    def test_a_photo_without_captions(self, folder: Path) -> None:
        path = folder / "Flickr_8k.trainImages.txt"
        path.write_text(path.read_text() + "silent.jpg\n")
        with pytest.raises(InvalidInput, match=r"Flickr_8k.trainImages.txt: silent.jpg has no caption"):
            CaptionsTask(CaptionsConfig(folder=folder))

    def test_a_photo_in_two_splits(self, folder: Path) -> None:
        (folder / "Flickr_8k.devImages.txt").write_text("c.jpg\na.jpg\n")
        with pytest.raises(InvalidInput, match=r"images/a.jpg is in two splits, train and validation"):
            CaptionsTask(CaptionsConfig(folder=folder))

    def test_a_broken_archive(self, folder: Path) -> None:
        (folder / "images.tar").write_bytes(b"no archive")
        with pytest.raises(InvalidInput, match=r"images.tar: the archive is broken or cut off"):
            CaptionsTask(CaptionsConfig(folder=folder))


@pytest.mark.unhooked
def test_flickr8k_itself(real_data: Callable[[str], Path]) -> None:
    task = CaptionsTask(CaptionsConfig(folder=real_data("flickr8k"), texts=True, rarest=5))
    assert [len(task.source.captions[split]) for split in ("train", "validation", "test")] == [753, 113, 125]
    assert len(task.texts) == 5 * (6000 - 753)
    examples = task.examples("test")
    batch = task.collate(examples[:4])
    assert batch.pixels.shape == (4, 3, 224, 224)
    assert batch.references.shape[:2] == (4, 5)
    said = [task.answer(example)._replace(nearest=()) for example in examples]
    figures = task.score(said, examples).figures
    assert figures["person_cider"].value == pytest.approx(0.893, abs=0.001)
    assert figures["person_bleu_4"].value == pytest.approx(20.7, abs=0.05)
    assert 0.1 < figures["constant_cider"].value < 0.3


def test_photos_that_are_added_move_no_other_to_another_split(tmp_path: Path) -> None:
    def splits(count: int) -> dict[str, set[str]]:
        for number in range(count):
            (tmp_path / f"{number}.png").write_bytes(photo(number))
        path = written(tmp_path, [(f"{n}.png", "a dog") for n in range(count)])
        found = read_own(CaptionsConfig(train=path))
        return {split: {one.stored.file.name for one in photos} for split, photos in found.items()}

    before, after = splits(40), splits(60)
    assert all(before[split] <= after[split] for split in ("train", "validation", "test"))
    assert all(before.values())
    assert sum(map(len, after.values())) == 60


@pytest.mark.parametrize(
    "change", [{"filename": 12}, {"filepath": None}, {"split": ["train"]}, {"sentences": [{"raw": 5}]}], ids=str
)
def test_a_dataset_json_of_other_kinds_is_one_sentence(change: dict[str, Any], tmp_path: Path) -> None:
    image = {"filename": "0.png", "filepath": "", "split": "train", "sentences": [{"raw": "a dog"}], **change}
    (tmp_path / "dataset.json").write_text(json.dumps({"images": [image]}))
    with pytest.raises(InvalidInput, match=r"dataset\.json: expected .*filename, filepath, split and raw are texts"):
        read_own(CaptionsConfig(train=tmp_path / "dataset.json"))


def test_a_language_without_a_stemmer_is_refused_before_a_training() -> None:
    with pytest.raises(InvalidInput, match="there is no stemmer of 'klingon'"):
        CaptionsTask(CaptionsConfig(language="klingon"))
