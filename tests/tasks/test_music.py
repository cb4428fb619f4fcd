import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.task import Learning, Legible, Readable, Sized, Task
from saccade.tasks.music import Example, MusicConfig, MusicTask, Played
from saccade.tasks.music.corpus import embedded
from saccade.tasks.music.frames import Frames, notes_of
from saccade.tasks.music.midi import Note, write_midi

PIECES = {
    "train": [[[60, 64], [62], []], [[60]]],
    "valid": [[[64, 60], [60, 60]]],
    "test": [[[60], [], [65, 60]], [[62]]],
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pieces.json"
    path.write_text(json.dumps(PIECES), encoding="utf-8")
    return path


def make(file: Path | None = None, **options: Any) -> MusicTask:
    return MusicTask(MusicConfig(file=file, **options))


def test_the_embedded_chorales_are_sixty_and_their_parts_are_apart() -> None:
    pieces = embedded()
    assert {split: len(found) for split, found in pieces.items()} == {"train": 40, "validation": 10, "test": 10}
    each = [piece for found in pieces.values() for piece in found]
    assert len(set(each)) == 60
    assert all(frame == tuple(sorted(frame)) for piece in each for frame in piece)


def test_the_embedded_chorales_are_from_the_training_part(real_data: Any) -> None:
    whole = MusicTask(MusicConfig(file=real_data("jsb_chorales") / "jsb-chorales-quarter.json.gz")).pieces
    held_out = {*whole["validation"], *whole["test"]}
    for piece in (piece for found in embedded().values() for piece in found):
        assert piece in whole["train"]
        assert piece not in held_out


def test_jsb_has_its_split_and_its_memoryless_nats(real_data: Any) -> None:
    task = make(real_data("jsb_chorales") / "jsb-chorales-quarter.json.gz")
    assert task.describe()["pieces"] == {"train": 229, "validation": 76, "test": 77}
    examples = task.examples("test")
    score = task.score([Played((), 0, 0.0, 0.0)] * len(examples), examples)
    assert score.figures["memoryless"].value == pytest.approx(11.06, abs=0.005)
    assert score.figures["frames"].value == 4725


def test_it_is_a_task_with_abilities(file: Path) -> None:
    for ability in (Task, Sized, Legible, Readable, Learning):
        assert isinstance(make(file), ability)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("key", ["valid", "validation"])
def test_a_file_is_read_with_its_split(tmp_path: Path, packed: bool, key: str) -> None:
    data = json.dumps({**{name: PIECES[name] for name in ("train", "test")}, key: PIECES["valid"]}).encode()
    path = tmp_path / "pieces.json.gz"
    path.write_bytes(gzip.compress(data) if packed else data)
    task = make(path)
    assert task.examples("validation") == [Example(((60, 64), (60,)))]
    assert [len(task.examples(split)) for split in ("train", "validation", "test")] == [2, 1, 2]
    assert task.describe()["data"] == "pieces.json.gz"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1", "damaged"),
        ("{}", 'a list of pieces under "train"'),
        ('{"train": [[[60]]], "valid": [], "test": [[[60]]]}', 'a list of pieces under "valid"'),
        ('{"train": [[[60]], []], "valid": [[[60]]], "test": [[[60]]]}', "piece 2: expected from 1 to 2,000 frames"),
        ('{"train": [[[60], 3]], "valid": [[[60]]], "test": [[[60]]]}', "piece 1, frame 2: expected a list of MIDI"),
        ('{"train": [[[60.5]]], "valid": [[[60]]], "test": [[[60]]]}', "frame 1: expected a list of MIDI numbers"),
        ('{"train": [[[60]]], "valid": [[[60]]], "test": [[[60], [-1]]]}', "test, piece 1, frame 2: -1 is not on the"),
    ],
)  # fmt: skip
def test_a_bad_file_gives_one_sentence_that_names_it(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "pieces.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=said) as error:
        make(path)
    assert str(path) in str(error.value)


def test_a_file_or_a_split_that_does_not_exist(tmp_path: Path, file: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        make(tmp_path / "nothing.json")
    with pytest.raises(InvalidInput, match="there is no split 'dev'; there are train, validation, test"):
        make(file).examples("dev")


def test_the_score_is_a_mean_over_all_frames(file: Path) -> None:
    task = make(file)
    figures = task.score([Played((), 0, 8.0, 2.0), Played((), 0, 4.0, 4.0)], task.examples("test")).figures
    assert figures["nats_per_frame"].value == pytest.approx(12 / 4)
    assert figures["mean_of_pieces"].value == pytest.approx((8 / 3 + 4) / 2)
    assert figures["after_the_first"].value == pytest.approx((12 - 6) / 2)
    frequencies = np.full(88, 0.5 / 5)  # of 4 training frames, with half a frame on each side
    frequencies[[60 - 21, 62 - 21, 64 - 21]] = 2.5 / 5, 1.5 / 5, 1.5 / 5
    expected = 0.0
    for piece in PIECES["test"]:
        for frame in piece:
            for note in range(88):
                expected -= math.log(frequencies[note] if note + 21 in frame else 1 - frequencies[note])
    assert figures["memoryless"].value == pytest.approx(expected / 4)
    assert figures["gain"].value == pytest.approx(expected / 4 - 3)


class TestCollate:
    def test_frames_are_rows_of_88_and_padding_is_masked(self, file: Path) -> None:
        task = make(file)
        batch = task.collate(task.examples("test"))
        assert batch.frames.shape == (2, 3, 88)
        assert batch.mask.tolist() == [[True] * 3, [True, False, False]]
        assert batch.frames.nonzero().tolist() == [[0, 0, 39], [0, 2, 39], [0, 2, 44], [1, 0, 41]]
        assert batch.scored.tolist() == [True, True]

    def test_training_pieces_are_transposed_within_the_piano(self) -> None:
        task = make(transpose=5)
        low, high, silent = Example(((22, 60),)), Example(((60, 108),)), Example(((),))
        generator, seen = torch.Generator().manual_seed(1), [set[Any](), set[Any]()]
        for _ in range(200):
            batch = task.collate([low, high, silent], generator)
            assert not batch.frames[2].any()
            for found, row, (one, other) in zip(seen, batch.frames, ((22, 60), (60, 108)), strict=False):
                pitches = (row[0].nonzero()[:, 0] + 21).tolist()
                assert pitches[1] - pitches[0] == other - one
                found.add(pitches[0] - one)
        assert seen == [set(range(-1, 6)), set(range(-5, 1))]
        assert torch.equal(task.collate([low]).frames, make().collate([low], generator).frames)


class TestThemes:
    theme: Frames = ((60, 64), (62,), (), (60,))

    def test_a_midi_file_is_a_theme_by_its_path_and_by_its_bytes(self, file: Path, tmp_path: Path) -> None:
        data = write_midi(notes_of(self.theme), 120)
        (tmp_path / "theme.mid").write_bytes(data)
        for raw in (data, str(tmp_path / "theme.mid")):
            found = make(file).read(raw)
            assert found == Example(self.theme, False, 120.0, ())
            batch = make(file).collate([found])
            assert batch.scored.tolist() == [False]
            assert batch.mask.sum() == 4

    def test_nothing_is_a_theme_of_no_frames(self, file: Path) -> None:
        task = make(file)
        assert task.read("").frames == ()
        assert task.collate([task.read("")]).frames.shape == (1, 0, 88)
        assert task.size(task.read("")) == (0, 1)

    def test_what_was_lost_is_told(self, file: Path) -> None:
        slow, fast = (write_midi([Note(60, 0, 1), Note(1, 0, 1), Note(64, 0.5, 1)], tempo) for tempo in (60, 90))
        task = make(file)
        assert len(task.notes(task.read(slow))) == 2
        changing = bytearray(slow)
        changing[18:22] = (len(slow) - 22 + 7).to_bytes(4)
        changing[22:22] = fast[22:29]
        found = task.read(bytes(changing))
        assert task.notes(found)[-1] == "its tempo changes; what is written has the first one"
        assert found.tempo == pytest.approx(90, abs=1e-3)

    def test_bad_inputs_are_one_sentence_that_names_the_file(self, file: Path, tmp_path: Path) -> None:
        task, path = make(file), tmp_path / "bad.mid"
        for data in (b"", b"hello", write_midi([], 90), write_midi([Note(60, 0, 1)], 90)[:-5]):
            path.write_bytes(data)
            with pytest.raises(InvalidInput, match=r"bad\.mid: "):
                task.read(str(path))
        with pytest.raises(NotFound, match=r"'nothing\.mid': there is no such file"):
            task.read("nothing.mid")
        with pytest.raises(InvalidInput, match="not a folder"):
            task.read(str(tmp_path))
        with pytest.raises(InvalidInput, match="at most 10,000,000"):
            task.read(b"MThd" * 3_000_000)

    def test_examples_to_type_are_nothing_and_midi_files(self, file: Path) -> None:
        task = make(file)
        nothing, *themes = task.examples_to_type(3)
        assert nothing == ""
        assert [task.read(theme).frames for theme in themes] == [((60,), (), (60, 65)), ((62,),)]


def test_answers_are_one_line(file: Path) -> None:
    task = make(file)
    assert task.decode(Played(((60, 64), ()), 1, math.nan, math.nan)) == "C4 E4 | -"
    assert task.compare(task.examples("test")[0], Played((), 0, 9.0, 2.0)) == {
        "piece": "C4 | - | C4 F4", "ours": "9.0 nats, 3.00 a frame"
    }  # fmt: skip


def test_the_frequencies_are_kept_and_damaged_ones_refused(file: Path, tmp_path: Path) -> None:
    task = make(file)
    task.save(tmp_path)
    again = MusicTask(MusicConfig(file=Path("elsewhere.json")), tmp_path)
    assert np.array_equal(again.frequencies, task.frequencies)
    (tmp_path / "music.json").write_text('{"frequencies": [1, 2]}')
    with pytest.raises(InvalidInput, match=r"music\.json: expected 88 frequencies"):
        MusicTask(MusicConfig(), tmp_path)
