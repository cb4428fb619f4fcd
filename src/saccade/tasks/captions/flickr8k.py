"""Flickr8k: 8,000 photos with five captions each, in the official splits. Hodosh et al. 2013, 10.1613/jair.3994.

The photos at hand are used; they are licensed for research and education, and belong to their authors.
"""

import re
import tarfile
from collections import defaultdict
from pathlib import Path

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.files import against, read_lines
from saccade.tasks.captions.photos import Photo, Stored, caption_of

CAPTIONS = "Flickr8k.token.txt"
NAMES = {"train": "Flickr_8k.trainImages.txt", "validation": "Flickr_8k.devImages.txt",
         "test": "Flickr_8k.testImages.txt"}  # fmt: skip
PHOTOS = (".jpg", ".jpeg", ".png")


def read_flickr8k(folder: Path) -> tuple[dict[str, list[Photo]], list[str]]:
    """The photos at hand of each split, and the captions of the other training photos.

    Raises:
        NotFound: no such folder, or one without a file or without photos.
        InvalidInput: a broken file, or a photo of a split without captions.
    """
    if not folder.is_dir():
        raise NotFound(f"{folder}: there is no such folder{against(folder)}")
    captions = read_captions(one_of(folder, CAPTIONS))
    names = {split: names_of(folder, split) for split in NAMES}
    at_hand = stored_photos(folder)
    for split, listed in names.items():
        if missing := [name for name in listed if name not in captions]:
            raise InvalidInput(f"{folder / NAMES[split]}: {missing[0]} has no caption in {CAPTIONS}")
        if not any(name in at_hand for name in listed):
            raise NotFound(
                f"{folder} has none of the {len(listed):,} {split} photos, such as {listed[0]}, neither in a folder "
                "nor in a tar archive"
            )
    photos = {
        split: [Photo(at_hand[name], captions[name]) for name in listed if name in at_hand]
        for split, listed in names.items()
    }
    return photos, [caption for name in names["train"] if name not in at_hand for caption in captions[name]]


def names_of(folder: Path, split: str) -> list[str]:
    """The names of the photos of a split."""
    return [line.strip() for line in read_lines(one_of(folder, NAMES[split])) if line.strip()]


def one_of(folder: Path, name: str) -> Path:
    """The file of this name, packed by gzip or not."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise NotFound(f"{folder} has no {name} and no {name}.gz; expected the text files of Flickr8k")


def read_captions(path: Path) -> dict[str, tuple[str, ...]]:
    """Lines NAME#number<tab>caption."""
    found: dict[str, list[str]] = defaultdict(list)
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        name, tab, text = line.partition("\t")
        if not tab:
            raise InvalidInput(f"{path}, line {number}: expected NAME#0<tab>caption, found {line[:60]!r}")
        found[re.sub(r"#\d+$", "", name.strip())].append(caption_of(text, f"{path}, line {number}"))
    return {name: tuple(captions) for name, captions in found.items()}


def stored_photos(folder: Path) -> dict[str, Stored]:
    """The photos in a folder, in the folders in it, and in the tar archives in it, by the names of their files."""
    found = {}
    for archive in sorted(folder.glob("*.tar")):
        try:
            with tarfile.open(archive, "r:") as tar:
                members = [member for member in tar if member.isfile() and member.name.lower().endswith(PHOTOS)]
        except (tarfile.TarError, OSError, EOFError) as error:
            raise InvalidInput(f"{archive}: the archive is broken or cut off ({error})") from error
        for member in members:
            place = Stored(archive, f"{archive}: {member.name}", member.offset_data, member.size)
            found[Path(member.name).name] = place
    for path in sorted([*folder.iterdir(), *folder.glob("*/*")]):
        if path.suffix.lower() in PHOTOS and path.is_file():
            found[path.name] = Stored(path, str(path))
    return found
