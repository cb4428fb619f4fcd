"""Spoken digits: reading, splits, strings, features. Recordings are synthesised; real ones are read if present."""

import io
import math
import os
import re
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.task import Learning, Legible, Readable, Replaying, Score, Size, Sized, Task
from saccade.tasks.speech import END, START, SpeechConfig, SpeechTask
from saccade.tasks.speech import task as speech
from saccade.tasks.speech.audio import log_mel, read_audio, wav
from saccade.tasks.speech.digits import (
    NOISE,
    RATE,
    DigitString,
    Recording,
    boundaries,
    dialled_digits,
    draw_strings,
    join,
    read_recordings,
    split_of,
)  # fmt: skip

soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed: pip install 'torch-saccade[speech]'")
pytest.importorskip(
    "kaldi_native_fbank", reason="kaldi-native-fbank is not installed: pip install 'torch-saccade[speech]'"
)


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


def test_a_folder_and_its_archive_contain_the_same_recordings(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
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


def test_the_splits_are_the_data_sets_or_hold_a_speaker_out(folder: Path) -> None:
    recordings = read_recordings(folder)
    assert Counter(split_of(r, None) for r in recordings) == {"test": 30, "validation": 18, "train": 12}
    assert {r.number for r in recordings if split_of(r, None) == "test"} == {0, 1, 2, 3, 4}
    left = {
        split: {r.speaker for r in recordings if split_of(r, "ann") == split}
        for split in ("train", "validation", "test")
    }
    assert left == {"train": {"bob"}, "validation": {"bob"}, "test": {"ann"}}
    assert sum(split_of(r, "ann") == "test" for r in recordings) == 30


def test_a_string_joins_its_recordings_at_their_positions(folder: Path) -> None:
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


def test_strings_depend_on_the_seed_and_have_one_speaker(folder: Path) -> None:
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
    with pytest.raises(InvalidInput, match="at least one recording"):
        draw_strings([], 1, (3, 7), (0.0, 0.1), seed=1)


def test_a_tone_is_loudest_in_its_band_and_ten_milliseconds_are_a_frame() -> None:
    sound = np.concatenate([tone(300, 0.5), tone(2000, 0.5)])
    found = log_mel(sound, RATE, bins=40)
    assert found.shape == (98, 40)  # 1 s minus the last window of 25 ms
    assert found.dtype == torch.float32
    low, high = found[10].argmax().item(), found[80].argmax().item()
    mel = [1127 * np.log(1 + hertz / 700) for hertz in (20, 300, 2000, RATE / 2)]
    for band, place in ((low, mel[1]), (high, mel[2])):
        assert abs(band - ((place - mel[0]) / (mel[3] - mel[0]) * 41 - 1)) < 1.5
    assert torch.equal(found, log_mel(sound, RATE))


@pytest.mark.parametrize("shape", ["missing", "text", "cut", "rate", "empty", "short", "folder", "bare"])
def test_invalid_recordings_are_reported(tmp_path: Path, shape: str) -> None:
    path = tmp_path / "0_ann_0.wav"
    expected: dict[str, tuple[type[Exception], str]] = {
        "missing": (NotFound, "there is no such recording"),
        "text": (InvalidInput, "0_ann_0.wav is not a recording"),
        "cut": (InvalidInput, "0_ann_0.wav is not a recording"),
        "rate": (InvalidInput, "has 16000 samples per second, not 8000"),
        "empty": (InvalidInput, "is empty"),
        "short": (InvalidInput, "0.010 s is shorter than one frame of 25 ms"),
        "folder": (NotFound, "no such folder of recordings"),
        "bare": (NotFound, "contains no recordings such as 7_jackson_0.wav"),
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


@pytest.mark.parametrize("value", [math.nan, -math.inf, 1e30])
def test_an_invalid_sample_is_reported(tmp_path: Path, value: float) -> None:
    sound = tone(300)
    sound[7] = value
    soundfile.write(tmp_path / "a.wav", sound, RATE, subtype="FLOAT")
    with pytest.raises(InvalidInput, match=rf"a\.wav: sample 7 is {re.escape(format(sound[7], 'g'))}"):
        read_audio(tmp_path / "a.wav", RATE)


def test_a_truncated_recording_is_reported(tmp_path: Path) -> None:
    data = write(tmp_path / "a.wav", tone(300)).read_bytes()
    with pytest.raises(InvalidInput, match=rf"it is cut off: its header states {len(data):,} bytes, but it has"):
        read_audio(data[: len(data) // 2], RATE, "it")
    counted = data[:4] + len(data).to_bytes(4, "little") + data[8:]  # including the header, as some programs write
    assert np.array_equal(read_audio(counted, RATE), read_audio(data, RATE))


@pytest.mark.parametrize(
    ("riff", "size"),
    [(0, 0), (0x7FFFF024, 0x7FFFF000), (2_000_000_036, 2_000_000_000), (0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0)],
    ids=["libsndfile", "sox", "pocket-tts", "ffmpeg", "mixed"],
)
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_a_recording_written_to_a_pipe_is_read_to_its_end(riff: int, size: int, subtype: str) -> None:
    with io.BytesIO() as file:
        soundfile.write(file, tone(300), RATE, format="WAV", subtype=subtype)
        data = file.getvalue()
    at = data.index(b"data")
    piped = data[:4] + riff.to_bytes(4, "little") + data[8 : at + 4] + size.to_bytes(4, "little") + data[at + 8 :]
    assert np.array_equal(read_audio(piped, RATE), read_audio(data, RATE))
    # a correct size is used, so that data after the sound are ignored
    behind = data[:4] + riff.to_bytes(4, "little") + data[8:] + b"LIST" + (4).to_bytes(4, "little") + b"INFO"
    assert np.array_equal(read_audio(behind, RATE), read_audio(data, RATE))
    empty = piped[: at + 8]
    with pytest.raises(InvalidInput, match=r"it is (empty|no recording)"):
        read_audio(empty, RATE, "it")


@pytest.mark.parametrize("peak", [100.0, 3000.0, 9999.0, 32768.0])
def test_floats_on_the_scale_of_16_bit_numbers_are_refused(tmp_path: Path, peak: float) -> None:
    soundfile.write(tmp_path / "a.wav", tone(300) * peak, RATE, subtype="FLOAT")
    with pytest.raises(InvalidInput, match="from -1 to 1; divide samples on the scale of 16-bit numbers by"):
        read_audio(tmp_path / "a.wav", RATE)
    soundfile.write(tmp_path / "b.wav", tone(300) * 4, RATE, subtype="FLOAT")  # a loud mixture
    assert np.abs(read_audio(tmp_path / "b.wav", RATE)).max() == pytest.approx(2, abs=1e-3)


def test_an_archive_of_zeros_is_not_unpacked_whole(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("1_theo_0.wav")
        member.size = 2**25
        archive.addfile(member, io.BytesIO(bytes(member.size)))
    with pytest.raises(
        InvalidInput, match=r"a\.tar\.gz: 1_theo_0\.wav has 33,554,432 bytes; a spoken digit has at most 16,777,216"
    ):
        read_recordings(tmp_path)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar.xz", "a.tar"])
@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_archive_is_reported(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, name: str, damage: str
) -> None:
    path = tmp_path_factory.mktemp("packed") / name
    with tarfile.open(path, "w:" + path.suffix[1:].replace("tar", "")) as archive:  # type: ignore[call-overload]
        archive.add(folder, "recordings")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] if damage == "cut" else b"not an archive" * 99)
    with pytest.raises(InvalidInput, match=rf"{re.escape(name)} is not an archive, or is damaged"):
        read_recordings(path.parent)


def test_two_channels_are_averaged(tmp_path: Path) -> None:
    both = np.stack([tone(300), np.zeros_like(tone(300))], 1)
    path = write(tmp_path / "a.wav", both)
    np.testing.assert_allclose(read_audio(path, RATE), tone(300) / 2, atol=1e-4)
    data = io.BytesIO(path.read_bytes()).getvalue()
    assert np.array_equal(read_audio(data, RATE, "a.wav"), read_audio(path, RATE))


def values(score: Score) -> dict[str, Any]:
    return {name: figure.value for name, figure in score.figures.items()}


def make_task(**options: Any) -> SpeechTask:
    return SpeechTask(SpeechConfig(corpus="dialled", strings=40, **options))


def test_dialled_digits_are_the_telephones_two_tones() -> None:
    sounds = dialled_digits()
    assert len(sounds) == 3 * 10 * 12
    for digit, expected in ((1, (697, 1209)), (6, (770, 1477)), (0, (941, 1336))):
        sound = sounds[Recording(digit, "line 2", 3)]
        spectrum = np.abs(np.fft.rfft(sound, 8000))
        low, high = spectrum[:1075].argmax(), 1075 + spectrum[1075:].argmax()
        assert abs(low - expected[0]) < 12
        assert abs(high - expected[1]) < 12


def test_the_strings_of_the_splits_share_no_recording() -> None:
    task = make_task()
    said = {
        split: {r for e in task.examples(split) for r in e.sound.recordings}
        for split in ("train", "validation", "test")
    }
    assert [len(task.examples(split)) for split in said] == [40, 4, 8]
    assert not said["train"] & said["test"]
    assert not said["train"] & said["validation"]
    assert task.examples("train")[0].target == task.encode(task.examples("train")[0].transcript)
    assert task.symbols == ["blank", "start", "end", *"0123456789"]


def test_a_batch_holds_normalised_features_labels_and_both_forms_of_the_target() -> None:
    task = make_task(stack=4, bins=20)
    examples = task.examples("train")[:7]
    batch = task.collate(examples)
    assert batch.features.shape == (7, max(map(task.steps, examples)), 80)
    assert batch.lengths.tolist() == [task.size(example).input for example in examples]
    assert not batch.features[~batch.mask].any()
    for row, example in enumerate(examples):
        n = len(example.target)
        assert batch.labels[row].tolist()[:n] == example.target
        assert batch.label_lengths[row] == n
        assert batch.target_inputs[row].tolist()[: n + 1] == [START, *example.target]
        assert batch.targets[row].tolist()[: n + 1] == [*example.target, END]
        assert not batch.targets[row, n + 1 :].any()
        assert task.decode([START, *example.target, END]) == example.transcript
        sound = join(example.sound, task.recordings)
        frames = (log_mel(sound, RATE, 20) - torch.tensor(task.mean)) / torch.tensor(task.deviation)
        steps = task.steps(example)
        assert torch.equal(batch.features[row, :steps].reshape(4 * steps, 20), frames[: 4 * steps])
    every = torch.cat([task.features(example) for example in task.examples("train")]).reshape(-1, 20)
    assert every.mean().abs() < 0.02
    assert (every.std(0) - 1).abs().max() < 0.1


def test_features_are_cached_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (make_task().examples("train")[i] for i in (0, 1))
    monkeypatch.setattr(speech, "KEPT", make_task().features(first).nbytes)
    task = make_task()
    assert task.features(first) is task.features(first)
    assert torch.equal(task.features(second), make_task().features(second))
    assert task.features(second) is not task.features(second)


def test_an_overwritten_recording_is_read_again(folder: Path) -> None:
    task, path = make_task(), folder / "0_ann_0.wav"
    before = task.features(task.read(str(path)))
    sound = read_audio(path, RATE)
    path.write_bytes(wav(sound[::-1].copy(), RATE))
    os.utime(path, ns=(1, 1))
    assert not torch.equal(task.features(task.read(str(path))), before)


def test_times_as_long_applies_to_validation_and_test_only() -> None:
    lengths = {
        times: [{len(e.target) for e in make_task(times_as_long=times).examples(split)} for split in ("train", "test")]
        for times in (1, 4)
    }
    assert max(lengths[1][0]) == max(lengths[4][0]) == 7
    assert max(lengths[1][1]) <= 7
    assert min(lengths[4][1]) >= 12


def test_a_speaker_can_be_held_out() -> None:
    task = make_task(speaker="line 2")
    heard = {split: {e.sound.recordings[0].speaker for e in task.examples(split)} for split in ("train", "test")}
    assert heard == {"train": {"line 1", "line 3"}, "test": {"line 2"}}
    assert "line 2 left out" in task.describe()["data"]
    with pytest.raises(InvalidInput, match="no speaker 'ann'; there are line 1, line 2, line 3"):
        make_task(speaker="ann").examples("test")


def test_the_error_rate_counts_edits_of_labels() -> None:
    task = make_task()
    examples = [
        task.examples("test")[0]._replace(transcript=text, target=task.encode(text)) for text in ("1 2 3", "4 5 6 7 8")
    ]
    perfect = values(task.score([example.target for example in examples], examples))
    assert (perfect["label_error_rate"], perfect["right"], perfect["labels"]) == (0.0, 100.0, 8)
    found = values(task.score([task.encode("1 3"), task.encode("4 5 9 7 8 8")], examples))
    assert found["label_error_rate"] == pytest.approx(100 * 3 / 8)
    assert (found["substitutions"], found["deletions"], found["insertions"]) == (12.5, 12.5, 12.5)
    assert found["right"] == 0.0
    assert values(task.score([[], []], examples))["label_error_rate"] == 100.0


def test_attention_is_right_on_its_digit_or_a_step_away() -> None:
    task = make_task(stack=2)
    example = next(e for e in task.examples("test") if len(e.target) >= 4)
    spans = boundaries(example.sound, task.recordings)  # type: ignore[arg-type]
    weights = torch.zeros(len(spans) + 1, task.steps(example))  # the last row is the end
    places = [int((start + end) / 2 / 0.02) for start, end in spans]
    places[1] = int(spans[1][0] / 0.02) - 1  # just before its digit
    places[2] = int(spans[3][0] / 0.02) + 1  # another digit
    for row, place in enumerate(places):
        weights[row, place] = 0.4
    assert task.aligned(example, weights) == [True, True, False, *[True] * (len(spans) - 3)]


def test_an_answer_with_a_symbol_per_step_has_delays() -> None:
    task = make_task(stack=2)
    example = task.examples("test")[0]
    ends = [end for _, end in boundaries(example.sound, task.recordings)]  # type: ignore[arg-type]
    steps = [round(end / 0.02) + 4 for end in ends]
    heard = [0] * (max(steps) + 1)
    for step, label in zip(steps, example.target, strict=True):
        heard[step] = label
    score = task.score([heard], [example])
    figures, late = values(score), score.series["latencies"]
    assert figures["label_error_rate"] == 0
    assert 0.09 <= figures["latency"] <= 0.11
    assert score.figures["latency"].unit == "s"
    assert sum(late.y) == len(ends)
    assert set(late.x) <= {0.0, 0.1}
    assert (late.kind, late.x_label) == ("histogram", "delay of a label (seconds)")
    # plain labels and wrong answers have no delay
    for answer in (example.target, [*heard, example.target[0]]):
        assert "latency" not in task.score([answer], [example]).figures
        assert not task.score([answer], [example]).series
    assert task.replay(example, heard).target == example.target


def test_the_learned_part_is_saved_and_prediction_needs_no_data(tmp_path: Path) -> None:
    task = make_task()
    task.save(tmp_path)
    there = SpeechTask(SpeechConfig(), tmp_path)
    path = write(tmp_path / "a.wav", tone(500))
    assert there.symbols == task.symbols
    example = there.read(f"{path}\n")
    assert torch.equal(there.features(example), task.features(task.read(str(path))))
    with pytest.raises(InvalidInput, match=r"--task\.folder FOLDER"):
        there.examples("train")


def test_own_recordings_need_a_manifest(folder: Path) -> None:
    for split in ("train", "validation", "test"):
        lines = [f"{n}_ann_{i}.wav\tnumber {n}" for n in range(3) for i in range(3)]
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    given = {split: folder / f"{split}.tsv" for split in ("train", "validation", "test")}
    task = SpeechTask(SpeechConfig(**given))
    assert task.symbols[3:] == ["0", "1", "2", "number"]
    assert len(task.examples("test")) == 9
    letters = SpeechTask(SpeechConfig(**given, unit="character", stack=1))
    example = letters.examples("test")[4]
    assert letters.decode(example.target) == "number 1"
    assert values(letters.score([letters.encode("numbr 1")], [example]))["label_error_rate"] == pytest.approx(100 / 8)
    assert task.collate(task.examples("train")[:2]).features.shape[0] == 2
    with pytest.raises(InvalidInput, match=r"--task\.train also needs --task\.validation FILE"):
        SpeechTask(SpeechConfig(train=given["train"])).examples("validation")


@pytest.mark.parametrize("unit", ["word", "character"])
def test_transcripts_are_composed(folder: Path, unit: Any) -> None:
    recordings = sorted(folder.glob("*.wav"))[:2]
    # file names are unchanged
    recordings[0] = recordings[0].rename(folder / "cafe\u0301.wav")
    paths = {}
    for split, text in (("train", "caf\u00e9"), ("test", "cafe\u0301")):
        paths[split] = folder / f"{split}.tsv"
        paths[split].write_text(f"{recordings[0].name}\t{text}\n{recordings[1].name}\tnoir\n", encoding="utf-8")
    task = SpeechTask(SpeechConfig(**paths, validation=paths["test"], unit=unit, stack=1))
    said, test = [example.target for example in task.examples("train")], task.examples("test")
    assert [example.target for example in test] == said
    assert values(task.score(said, test))["label_error_rate"] == 0


def test_a_manifest_is_utf_8_with_or_without_a_byte_order_mark(folder: Path) -> None:
    (folder / "train.tsv").write_bytes("0_ann_0.wav\tz\u00e9ro\n".encode("utf-8-sig"))
    assert SpeechTask(SpeechConfig(train=folder / "train.tsv")).symbols[3:] == ["z\u00e9ro"]
    (folder / "train.tsv").write_bytes("0_ann_0.wav\tz\u00e9ro\n".encode("latin-1"))
    with pytest.raises(InvalidInput, match=r"train\.tsv, line 1: not UTF-8"):
        SpeechTask(SpeechConfig(train=folder / "train.tsv"))


def test_a_recording_is_found_by_its_exact_name(folder: Path) -> None:
    name = "e\u0301.wav"  # decomposed, as some systems write it
    write(folder / name, tone(300))
    (folder / "train.tsv").write_text(f"{name}\t0\n", encoding="utf-8")
    assert len(SpeechTask(SpeechConfig(train=folder / "train.tsv")).examples("train")) == 1


def test_validation_labels_that_do_not_occur_in_training_are_reported(folder: Path) -> None:
    (folder / "train.tsv").write_text("0_ann_0.wav\t0\n")
    (folder / "val.tsv").write_text("1_ann_0.wav\tone\n")
    task = SpeechTask(SpeechConfig(train=folder / "train.tsv", validation=folder / "val.tsv"))
    with pytest.raises(InvalidInput, match=r"no label of the validation split occurs in training; .* 'one'"):
        task.examples("validation")


def test_recordings_moved_with_their_manifest_are_the_same_data(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("train", "val", "test"):
        (folder / f"{name}.tsv").write_text("0_ann_0.wav\t0\n")
    moved = tmp_path_factory.mktemp("moved")
    shutil.copytree(folder, moved, dirs_exist_ok=True)
    monkeypatch.chdir(moved)
    found = set()
    for place in (folder, moved, Path()):
        given = {"train": place / "train.tsv", "validation": place / "val.tsv", "test": place / "test.tsv"}
        found.add(SpeechTask(SpeechConfig(**given)).describe()["sha256"])
    assert len(found) == 1
    (moved / "test.tsv").write_text("0_ann_0.wav\t0 0\n")
    assert SpeechTask(SpeechConfig(**given)).describe()["sha256"] not in found


def test_only_the_test_set_can_be_your_own_recordings(folder: Path) -> None:
    (folder / "test.tsv").write_text("0_ann_0.wav\t0 seven\n")
    config = SpeechConfig(corpus="dialled", strings=20, test=folder / "test.tsv")
    task = SpeechTask(config)
    [example] = task.examples("test")
    assert (example.sound, example.transcript) == (folder / "0_ann_0.wav", "0 seven")
    assert len(task.examples("train")) == 20
    assert (
        values(task.score([task.encode("0")], [example]))["deletions"] == 50
    )  # "seven" does not occur in training, so it is missing
    assert task.describe()["data"] == "strings of dialled digits, test test.tsv"


def test_a_recording_that_is_too_short_is_reported_before_training(folder: Path) -> None:
    write(folder / "0_bob_0.wav", tone(500)[:199])
    (folder / "train.tsv").write_text("0_ann_0.wav\t0\n0_bob_0.wav\t0\n")
    with pytest.raises(InvalidInput, match=r"0_bob_0\.wav has 0\.025 s, less than one frame of 25 ms"):
        SpeechTask(SpeechConfig(train=folder / "train.tsv"))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (None, "there is no such file"),
        ("", "is empty"),
        ("0_ann_0.wav zero\n", "line 1: expected a path, a tab and a transcript"),
        ("0_ann_0.wav\tzero\n\nnobody.wav\tone\n", "line 3: there is no recording"),
        ("0_ann_0.wav\t \n", "line 1: expected a path, a tab and a transcript"),
        ("0_ann_0.wav\t" + "0 1 " * 5 + "\n", r"0_ann_0\.wav has 6 steps, but its 10 labels need 10"),
        ("0_ann_0.wav\t" + "0 " * 5 + "\n", r"0_ann_0\.wav has 6 steps, but its 5 labels need 9"),
    ],
)
def test_an_invalid_manifest_is_reported(folder: Path, text: str | None, match: str) -> None:
    if text is not None:
        (folder / "train.tsv").write_text(text)
    with pytest.raises((InvalidInput, NotFound), match=match):
        SpeechTask(SpeechConfig(train=folder / "train.tsv"))


@pytest.mark.parametrize("written", ["{", "[1]", "{}", '{"symbols": [], "mean": [1], "deviation": [1]}'])
def test_damaged_assets_are_reported(tmp_path: Path, written: str) -> None:
    (tmp_path / "speech.json").write_text(written)
    with pytest.raises(InvalidInput, match=r"speech\.json: (damaged or cut off|expected)"):
        SpeechTask(SpeechConfig(corpus="dialled"), tmp_path)


def test_bands_and_steps_that_do_not_fit_the_sound_are_reported() -> None:
    with pytest.raises(InvalidInput, match="128 mel bands are too many or too few for 8000 samples per second"):
        make_task(bins=128)
    with pytest.raises(InvalidInput, match=r"the string .* has 1 steps, but its . labels need .*--task\.stack"):
        make_task(stack=1000)
    for options in ({"bins": 2}, {"rate": 50}):
        with pytest.raises(ValidationError, match=next(iter(options))):
            SpeechConfig(**options)  # type: ignore[arg-type]


def test_settings_that_contradict_each_other_are_refused() -> None:
    for options, match in (
        ({"fewest": 5, "most": 3}, "fewest is 5 and most is 3"),
        ({"shortest_gap": 0.5}, "shortest-gap is 0.5"),
        ({"corpus": "dialled", "folder": Path("x")}, "folder is set, but corpus is 'dialled'"),
        ({"train": Path("my.tsv"), "speaker": "zoe"}, "speaker is 'zoe', but the recordings of my.tsv do not name"),
    ):
        with pytest.raises(ValidationError, match=match):
            SpeechConfig(**options)
    with pytest.raises(InvalidInput, match="the digits have 8000 samples per second, not 16000"):
        make_task(rate=16000)


def test_labels_name_every_row_and_column() -> None:
    task = make_task(stack=5)
    example = task.examples("train")[0]
    found = task.labels(example)
    assert found["label"] == [*example.transcript.split(), "end"]
    assert len(found["time (seconds)"]) == task.collate([example]).features.shape[1]
    assert found["time (seconds)"][:3] == ["0.00", "0.05", "0.10"]


def test_it_is_a_task_and_can_do_what_a_recording_needs() -> None:
    task = make_task()
    for protocol in (Task, Sized, Legible, Readable, Learning, Replaying):
        assert isinstance(task, protocol)
    assert (task.metric, task.direction, task.unit, task.accepts) == ("label_error_rate", "min", "%", ("audio/wav",))
    example = task.examples("test")[0]
    assert task.size(example) == Size(task.steps(example), len(example.target) + 1)


def test_sample_inputs_are_wavs_read_from_bytes_or_files(tmp_path: Path) -> None:
    task = make_task()
    example = task.examples("test")[0]
    [data] = task.examples_to_type(1)
    assert isinstance(data, bytes)
    (tmp_path / "sample.wav").write_bytes(data)
    heard, named = task.read(data), task.read(str(tmp_path / "sample.wav"))
    assert heard.samples == named.samples == example.samples
    assert torch.equal(task.features(heard), task.features(named))
    assert (task.features(heard) - task.features(example)).abs().mean() < 0.05  # 16 bits per sample
    assert task.compare(heard, example.target)["recording"] == "the recording"
    assert task.aligned(heard, torch.ones(1, 3)) == []
    assert torch.equal(task.frames(heard), log_mel(read_audio(data, RATE), RATE))


def test_a_recording_that_is_not_a_wav_or_too_long_is_refused(tmp_path: Path) -> None:
    task = make_task()
    with pytest.raises(InvalidInput, match="expected a wav file"):
        task.read(b"fLaC" + bytes(100))
    with pytest.raises(InvalidInput, match="input is empty"):
        task.read("  ")
    long = wav(np.zeros(121 * RATE, np.float32), RATE)
    with pytest.raises(InvalidInput, match="the recording: expected at most 120 seconds of sound, got 121"):
        task.read(long)
    path = tmp_path / "long.wav"
    path.write_bytes(b"")
    os.truncate(path, 1 << 34)  # a sparse file of 16 GB is not read
    with pytest.raises(InvalidInput, match=r"long\.wav: expected at most 120 seconds .* got 17,179,869,184 bytes"):
        task.read(str(path))


def test_a_run_keeps_the_features_that_it_was_trained_with() -> None:
    task = make_task(stack=3)
    task.check_trained(SpeechConfig(corpus="dialled", strings=7))
    with pytest.raises(InvalidInput, match=r"task\.stack was 5 when this run was trained; it cannot be 3 now"):
        task.check_trained(SpeechConfig(corpus="dialled", stack=5))


REAL = Path(os.environ.get("SACCADE_DATA", "")) / "free_spoken_digits"


@pytest.mark.skipif(not REAL.is_dir(), reason="the Free Spoken Digit Dataset is not in $SACCADE_DATA")
def test_the_real_recordings() -> None:
    recordings = read_recordings(REAL)
    assert len(recordings) == 3000
    assert Counter(split_of(r, None) for r in recordings) == {"train": 2520, "validation": 180, "test": 300}
    assert len({r.speaker for r in recordings}) == 6
    assert sum(map(len, recordings.values())) / RATE == pytest.approx(1312, abs=1)
