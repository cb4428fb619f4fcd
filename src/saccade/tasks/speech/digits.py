"""Strings of spoken digits: single recordings of one speaker, joined with random gaps.

The recordings are those of the Free Spoken Digit Dataset (Jackson et al., CC BY-SA 4.0):
{digit}_{speaker}_{number}.wav, 8,000 samples per second, in a folder or in a tar archive; numbers 0 to 4 are its test
set. A string is drawn from a seed, and its sound is joined when it is needed. A little noise is added to the whole
string, since a silence of exact zeros would give away the gaps, unlike in a real recording.
"""

import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.files import against
from saccade.tasks.speech.audio import Samples, read_audio

RATE = 8000
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")  # of the whole set
TEST, VALIDATION = range(5), range(5, 8)  # numbers of each speaker's recordings of a digit; the rest are for training
LARGEST = 2**24  # the most bytes of a recording in an archive, since an archive may unpack to far more than its size
NOISE = 1e-3  # standard deviation, for sound in [-1, 1]
NAME = re.compile(r"(\d)_([^_/]+)_(\d+)\.wav")


class Recording(NamedTuple):
    digit: int
    speaker: str
    number: int


class DigitString(NamedTuple):
    """Recordings; the silence before each and after the last, in samples; and the seed of the noise."""

    recordings: tuple[Recording, ...]
    gaps: tuple[int, ...]
    seed: int

    @property
    def transcript(self) -> str:
        return " ".join(str(recording.digit) for recording in self.recordings)


def read_recordings(folder: Path) -> dict[Recording, Samples]:
    """All recordings of a folder and of the tar archives in it, sorted by name.

    Raises:
        NotFound: no such folder, or no recordings in it.
        InvalidInput: a file that is not a recording, or has another rate.
    """
    if not folder.is_dir():
        raise NotFound(f"{folder}: there is no such folder of recordings{against(folder)}")
    found = {recording: read_audio(source, RATE, name) for recording, source, name in _files(folder)}
    if not found:
        raise NotFound(f"{folder} contains no recordings such as 7_jackson_0.wav, and no archive of them")
    return dict(sorted(found.items()))


def _files(folder: Path) -> Iterator[tuple[Recording, Path | bytes, str]]:
    for path in sorted(folder.rglob("*")):
        if match := NAME.fullmatch(path.name):
            yield Recording(int(match[1]), match[2], int(match[3])), path, str(path)
        elif ".tar" in path.suffixes:
            try:
                yield from _members(path)
            except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
                raise InvalidInput(f"{path} is not an archive, or is damaged: {error}") from error


def _members(path: Path) -> Iterator[tuple[Recording, bytes, str]]:
    with tarfile.open(path) as archive:
        for member in archive:
            data = archive.extractfile(member) if (match := NAME.fullmatch(Path(member.name).name)) else None
            if match and data is not None:
                if member.size > LARGEST:
                    raise InvalidInput(
                        f"{path}: {member.name} has {member.size:,} bytes; a spoken digit has at most {LARGEST:,}"
                    )
                yield Recording(int(match[1]), match[2], int(match[3])), data.read(), f"{path}: {member.name}"


def dialled_digits(voices: int = 3, numbers: int = 12, seed: int = 1) -> dict[Recording, Samples]:
    """Digits as dialled by a telephone, each two tones at once (ITU-T Q.23), for use without recordings.

    Each voice has its own loudness, and each recording its own length.
    """
    low, high = (697, 770, 852, 941), (1209, 1336, 1477)
    generator, found = np.random.default_rng(seed), {}
    for voice in range(voices):
        loudness = generator.uniform(0.05, 0.3)
        for digit in range(10):
            row, column = divmod(digit - 1, 3) if digit else (3, 1)
            for number in range(numbers):
                times = np.arange(int(generator.uniform(0.06, 0.14) * RATE)) / RATE
                sound = np.sin(2 * np.pi * low[row] * times) + np.sin(2 * np.pi * high[column] * times)
                found[Recording(digit, f"line {voice + 1}", number)] = (loudness * sound).astype(np.float32)
    return dict(sorted(found.items()))


def split_of(recording: Recording, held_out: str | None) -> str:
    """The split of a recording. If a speaker is held out, the test consists of that speaker alone."""
    if held_out is not None:
        if recording.speaker == held_out:
            return "test"
        return "validation" if recording.number in VALIDATION else "train"
    return "test" if recording.number in TEST else "validation" if recording.number in VALIDATION else "train"


def draw_strings(
    recordings: Sequence[Recording], count: int, lengths: tuple[int, int], gaps: tuple[float, float], seed: int
) -> list[DigitString]:
    """Strings of one speaker each; digits are drawn with replacement.

    Args:
        recordings: recordings to draw from.
        count: number of strings.
        lengths: fewest and most digits.
        gaps: shortest and longest silence, in seconds.

    Raises:
        InvalidInput: no recordings.
    """
    if not recordings:
        raise InvalidInput("expected at least one recording to make strings of")
    generator = np.random.default_rng(seed)
    by_speaker: dict[str, list[Recording]] = {}
    for recording in recordings:
        by_speaker.setdefault(recording.speaker, []).append(recording)
    speakers, strings = sorted(by_speaker), []
    for _ in range(count):
        own = by_speaker[speakers[generator.integers(len(speakers))]]
        digits = generator.integers(lengths[0], lengths[1] + 1)
        chosen = tuple(own[i] for i in generator.integers(len(own), size=digits))
        silences = generator.uniform(*gaps, size=digits + 1) * RATE
        noise = int(generator.integers(2**32))
        strings.append(DigitString(chosen, tuple(int(silence) for silence in silences), noise))
    return strings


def join(string: DigitString, sounds: Mapping[Recording, Samples]) -> Samples:
    """The sound of a string."""
    parts: list[Samples] = [np.zeros(string.gaps[0], np.float32)]
    for recording, gap in zip(string.recordings, string.gaps[1:], strict=True):
        parts += [sounds[recording], np.zeros(gap, np.float32)]
    sound: Samples = np.concatenate(parts)
    noise = np.random.default_rng(string.seed).standard_normal(len(sound), np.float32)
    return sound + np.float32(NOISE) * noise


def boundaries(string: DigitString, sounds: Mapping[Recording, Samples]) -> list[tuple[float, float]]:
    """The start and the end of each digit, in seconds, to compare alignments with."""
    found, now = [], 0
    for gap, recording in zip(string.gaps, string.recordings, strict=False):
        now += gap
        found.append((now / RATE, (now + len(sounds[recording])) / RATE))
        now += len(sounds[recording])
    return found
