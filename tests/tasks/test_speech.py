"""Spoken digits: reading, splits, strings, features. Recordings are made here; the real ones read where they are."""

import io
import os
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from saccade.core.errors import InvalidInput, NotFound
from saccade.tasks.speech.audio import log_mel, read_audio
from saccade.tasks.speech.digits import (
    NOISE,
    RATE,
    DigitString,
    Recording,
    boundaries,
    draw_strings,
    join,
    read_recordings,
    split_of,
)  # fmt: skip

soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed: pip install 'saccade[speech]'")
pytest.importorskip("kaldi_native_fbank", reason="kaldi-native-fbank is not installed: pip install 'saccade[speech]'")


def tone(hertz: float, seconds: float = 0.3, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def write(path: Path, sound: np.ndarray, rate: int = RATE) -> Path:
    soundfile.write(path, sound, rate, subtype="PCM_16")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for digit in range(3):
        for speaker in ("ann", "bob"):
            for number in range(10):
                write(tmp_path / f"{digit}_{speaker}_{number}.wav", tone(200 + 100 * digit, 0.2 + 0.01 * number))
    return tmp_path


def test_a_folder_and_an_archive_of_it_hold_the_same(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    packed = tmp_path_factory.mktemp("packed")
    with tarfile.open(packed / "recordings.tar.gz", "w:gz") as archive:
        for path in folder.iterdir():
            archive.add(path, f"recordings/{path.name}")
    (packed / "README.md").write_text("not a recording")
    one, other = read_recordings(folder), read_recordings(packed)
    assert list(one) == list(other) == sorted(one)
    assert len(one) == 60
    assert all(np.array_equal(one[recording], other[recording]) for recording in one)
    np.testing.assert_allclose(one[Recording(2, "bob", 5)], tone(400, 0.25), atol=1e-4)


def test_the_splits_are_the_sets_own_or_leave_a_speaker_out(folder: Path) -> None:
    recordings = read_recordings(folder)
    assert Counter(split_of(r, None) for r in recordings) == {"test": 30, "validation": 18, "train": 12}
    assert {r.number for r in recordings if split_of(r, None) == "test"} == {0, 1, 2, 3, 4}
    left = {
        split: {r.speaker for r in recordings if split_of(r, "ann") == split}
        for split in ("train", "validation", "test")
    }
    assert left == {"train": {"bob"}, "validation": {"bob"}, "test": {"ann"}}
    assert sum(split_of(r, "ann") == "test" for r in recordings) == 30


def test_a_string_is_its_recordings_at_their_places(folder: Path) -> None:
    sounds = read_recordings(folder)
    string = DigitString((Recording(1, "ann", 0), Recording(2, "ann", 3)), (800, 400, 80), seed=7)
    sound, places = join(string, sounds), boundaries(string, sounds)
    assert string.transcript == "1 2"
    assert places == [(0.1, 0.3), (0.35, 0.58)]
    assert len(sound) == pytest.approx(0.59 * RATE)
    for recording, (start, end) in zip(string.recordings, places, strict=True):
        part = sound[round(start * RATE) : round(end * RATE)]
        assert np.abs(part - sounds[recording]).max() < 6 * NOISE
    silence = sound[:800]
    assert 0.8 * NOISE < silence.std() < 1.2 * NOISE
    assert np.array_equal(sound, join(string, sounds))


def test_strings_are_those_of_their_seed_and_of_one_speaker(folder: Path) -> None:
    recordings = list(read_recordings(folder))
    strings = draw_strings(recordings, 200, (3, 7), (0.05, 0.3), seed=3)
    assert strings == draw_strings(recordings, 200, (3, 7), (0.05, 0.3), seed=3)
    assert strings != draw_strings(recordings, 200, (3, 7), (0.05, 0.3), seed=4)
    assert {len(string.recordings) for string in strings} == {3, 4, 5, 6, 7}
    assert all(len({recording.speaker for recording in string.recordings}) == 1 for string in strings)
    assert {recording.speaker for string in strings for recording in string.recordings} == {"ann", "bob"}
    gaps = [gap / RATE for string in strings for gap in string.gaps]
    assert 0.0498 < min(gaps) < 0.06
    assert 0.29 < max(gaps) <= 0.3
    assert all(len(string.gaps) == len(string.recordings) + 1 for string in strings)
    with pytest.raises(InvalidInput, match="no recordings"):
        draw_strings([], 1, (3, 7), (0.0, 0.1), seed=1)


def test_a_tone_is_loudest_in_its_band_and_ten_milliseconds_are_a_frame() -> None:
    sound = np.concatenate([tone(300, 0.5), tone(2000, 0.5)])
    found = log_mel(sound, RATE, bins=40)
    assert found.shape == (98, 40)  # 1 s, less what the last window of 25 ms needs
    assert found.dtype == torch.float32
    low, high = found[10].argmax().item(), found[80].argmax().item()
    mel = [1127 * np.log(1 + hertz / 700) for hertz in (20, 300, 2000, RATE / 2)]
    for band, place in ((low, mel[1]), (high, mel[2])):
        assert abs(band - ((place - mel[0]) / (mel[3] - mel[0]) * 41 - 1)) < 1.5
    assert torch.equal(found, log_mel(sound, RATE))


@pytest.mark.parametrize("shape", ["missing", "text", "cut", "rate", "empty", "short", "folder", "bare"])
def test_bad_recordings_are_told(tmp_path: Path, shape: str) -> None:
    path = tmp_path / "0_ann_0.wav"
    expected: dict[str, tuple[type[Exception], str]] = {
        "missing": (NotFound, "there is no such recording"),
        "text": (InvalidInput, "0_ann_0.wav is no recording"),
        "cut": (InvalidInput, "0_ann_0.wav is no recording"),
        "rate": (InvalidInput, "has 16000 samples a second, not 8000"),
        "empty": (InvalidInput, "is empty"),
        "short": (InvalidInput, "0.010 s is shorter than one frame of 25 ms"),
        "folder": (NotFound, "no such folder of recordings"),
        "bare": (NotFound, "holds no recording such as 7_jackson_0.wav"),
    }
    if shape == "text":
        path.write_text("not a sound")
    elif shape == "cut":
        path.write_bytes(write(path, tone(300)).read_bytes()[:20])
    elif shape in ("rate", "empty"):
        write(
            path,
            tone(300, 0.2, 16000) if shape == "rate" else np.zeros(0, np.float32),
            16000 if shape == "rate" else RATE,
        )
    kind, match = expected[shape]
    asked: Callable[[], object] = lambda: read_audio(path, RATE)  # noqa: E731
    if shape == "short":
        asked = lambda: log_mel(np.zeros(80, np.float32), RATE)  # noqa: E731
    elif shape in ("folder", "bare"):
        asked = lambda: read_recordings(tmp_path / "nowhere" if shape == "folder" else tmp_path)  # noqa: E731
    with pytest.raises(kind, match=match):
        asked()


def test_two_channels_are_averaged(tmp_path: Path) -> None:
    both = np.stack([tone(300), np.zeros_like(tone(300))], 1)
    path = write(tmp_path / "a.wav", both)
    np.testing.assert_allclose(read_audio(path, RATE), tone(300) / 2, atol=1e-4)
    data = io.BytesIO(path.read_bytes()).getvalue()
    assert np.array_equal(read_audio(data, RATE, "a.wav"), read_audio(path, RATE))


REAL = Path(os.environ.get("SACCADE_DATA", "")) / "free_spoken_digits"


@pytest.mark.skipif(not REAL.is_dir(), reason="the Free Spoken Digit Dataset is not in $SACCADE_DATA")
def test_the_real_recordings() -> None:
    recordings = read_recordings(REAL)
    assert len(recordings) == 3000
    assert Counter(split_of(r, None) for r in recordings) == {"train": 2520, "validation": 180, "test": 300}
    assert len({r.speaker for r in recordings}) == 6
    assert sum(map(len, recordings.values())) / RATE == pytest.approx(1312, abs=1)
