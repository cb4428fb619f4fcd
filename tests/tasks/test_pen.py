import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.task import Learning, Legible, Readable, Replaying, Size, Sized, Task
from saccade.tasks.pen import Batch, PenConfig, PenTask, Written
from saccade.tasks.pen.iam import read_iam, read_strokes
from saccade.tasks.pen.letters import (
    ALPHABET,
    EMBEDDED,
    EXTENTS,
    TOLERANCE,
    WRITERS,
    Letter,
    draw_lines,
    letters,
    on_the_line,
    points_of,
    set_side_by_side,
    smoothed,
    thinned,
)
from saccade.tasks.pen.memoryless import fitted
from saccade.tasks.pen.objective import negative_log_density
from saccade.tasks.pen.places import offsets_of
from saccade.tasks.pen.reader import cut_letters, read, train_reader, trained_reader

SMALL = PenConfig(lines=80, fewest=2, most=5)


@pytest.fixture(scope="module")
def task() -> PenTask:
    return PenTask(SMALL)


def test_the_embedded_letters_are_complete_small_and_split_by_writer() -> None:
    assert len(EMBEDDED.read_bytes()) < 400_000
    assert {split: len(letters(split)) for split in WRITERS} == {"train": 10 * 364, "validation": 78, "test": 78}
    for split, writers in WRITERS.items():
        found = {(letter.character, letter.writer) for letter in letters(split)}
        assert found == {(character, writer) for character in ALPHABET[1:] for writer in writers}
    assert sorted(writer for writers in WRITERS.values() for writer in writers) == list(range(1, 21))


def test_letters_are_placed_on_the_line() -> None:
    for letter in [*letters("validation"), *letters("test")]:
        bottom, top = EXTENTS[letter.character]
        assert letter.points[:, 0].min() == 0
        assert letter.points[-1, 2] == 1
        if letter.character not in "ij":  # their dots are above
            low, high = letter.points[:, 1].min(), letter.points[:, 1].max()
            assert abs(low - bottom) < 0.2
            assert abs(high - top) < 0.2


def test_an_i_keeps_one_dot_and_other_slips_are_dropped() -> None:
    stem = np.array([[50.0, -60.0], [50.0, -20.0]])
    dot, slip = np.array([[50.0, -10.0]]), np.array([[51.0, -10.0], [52.0, -10.0]])
    assert on_the_line("i", [stem, dot, slip])[:, 2].sum() == 2
    assert on_the_line("l", [stem, dot, slip])[:, 2].sum() == 1


def test_thinning_stays_within_the_tolerance() -> None:
    stroke = np.random.default_rng(3).normal(size=(101, 2)).cumsum(0) / 30
    kept = thinned(stroke, TOLERANCE)
    assert len(kept) < len(stroke)
    for point in stroke:
        away = []
        for a, b in pairwise(kept):
            share = np.clip((point - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
            away.append(np.hypot(*(point - a - share * (b - a))))
        assert min(away) <= TOLERANCE + 1e-9


def test_smoothing_does_not_change_straight_strokes_and_ends() -> None:
    straight = np.linspace([0.0, 0.0], [3.0, 1.0], 41)
    kept = thinned(smoothed(straight), 1e-6)
    np.testing.assert_allclose(kept, straight[[0, -1]], atol=1e-9)
    stairs = np.repeat(np.arange(0, 2, 0.1), 2)
    stroke = np.stack([stairs[1:], stairs[:-1]], 1)
    np.testing.assert_allclose(smoothed(stroke)[[0, -1]], stroke[[0, -1]], atol=1e-9)


def test_lines_consist_of_one_writers_letters_and_depend_on_the_seed() -> None:
    lines = draw_lines(letters("test"), 53, (2, 7), (0.25, 0.45), 11, False)
    assert lines == draw_lines(letters("test"), 53, (2, 7), (0.25, 0.45), 11, False)
    for line in lines:
        assert 2 <= len(line.text) <= 7
        assert line.text == " ".join(line.text.split())
        assert "".join(letter.character for letter in line.letters) == line.text.replace(" ", "")
        assert len({letter.writer for letter in line.letters}) == 1
        edges = [start + letter.width for letter, start in zip(line.letters, line.starts, strict=True)]
        assert all(gap >= 0.25 for gap in np.subtract(line.starts[1:], edges[:-1]))
        assert len(points_of(line)) == sum(len(letter.points) for letter in line.letters)
    with pytest.raises(InvalidInput, match="at least one letter"):
        draw_lines([], 1, (1, 1), (0.0, 1.0), 1, False)


def test_a_distorted_line_is_close_to_the_letters_and_reproducible() -> None:
    [line] = draw_lines(letters("train"), 1, (7, 7), (0.3, 0.3), 13, True)
    points = points_of(line)
    assert np.array_equal(points, points_of(line))
    plain = points_of(line._replace(seed=None))
    assert np.array_equal(points[:, 2], plain[:, 2])
    assert not np.array_equal(points, plain)
    assert 0.5 < np.ptp(points[:, 0]) / np.ptp(plain[:, 0]) < 2


def test_offsets_are_normalised_and_an_input_is_the_point_before(task: PenTask) -> None:
    every = np.concatenate([task.normalised(offsets_of(points_of(x.drawn))) for x in task.examples("train")])
    np.testing.assert_allclose(every[:, :2].mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(every[:, :2].std(0), 1, atol=1e-9)
    examples = task.examples("train")[:3]
    batch = task.collate(examples)
    assert isinstance(batch, Batch)
    assert batch.mask.sum(1).tolist() == [example.steps for example in examples]
    assert not batch.inputs[:, 0].any()
    torch.testing.assert_close(batch.inputs[0, 1 : examples[0].steps], batch.targets[0, : examples[0].steps - 1])
    moved = (batch.targets[0, : examples[0].steps, :2].numpy() * task.deviation + task.mean).cumsum(0)
    np.testing.assert_allclose(moved, batch.points[0, : examples[0].steps, :2], rtol=0, atol=1e-4)
    assert task.collate([task.read("ab c")]).inputs.shape == (1, 0, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "input is empty"),
        ("  ", "input is empty"),
        ("aB", "'B' is not in the training lines"),
        ("a1", "'1' is not in the training lines"),
        ("a" * 501, "at most 500 characters, got 501; split it"),
        (b"RIFF", "not a file"),
    ],
)
def test_a_text_that_cannot_be_written_raises(task: PenTask, text: str | bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        task.read(text)
    assert task.read(" two  words ").text == "two words"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"corpus": "iam"}, "--task.folder"),
        ({"folder": Path("x")}, "folder is set, but corpus is 'letters'; type --task.corpus iam"),
        ({"corpus": "iam", "folder": Path("x"), "prime": 3}, "prime is set, but corpus is 'iam'"),
        ({"fewest": 7, "most": 3}, "most must be at least fewest"),
        ({"narrowest": 1.0, "widest": 0.5}, "must not be smaller"),
        ({"prime_text": "Fox"}, "'F' is not in the training lines"),
        ({"prime": 18, "prime_text": "  "}, "input is empty"),
        ({"prime": 21}, "less than or equal to 20"),
    ],
)
def test_contradictory_options_are_reported(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        PenConfig(**options)  # type: ignore[arg-type]


def test_it_is_a_task_and_can_do_what_a_pen_needs(task: PenTask) -> None:
    for protocol in (Task, Sized, Legible, Readable, Learning, Replaying):
        assert isinstance(task, protocol)
    assert (task.metric, task.direction, task.unit, task.accepts) == ("nats_per_step", "min", "nats", ("text",))
    example = task.examples("test")[0]
    assert task.size(example) == Size(len(example.text), example.steps)
    assert task.size(task.read("ab c")) == Size(4, 1)
    assert task.examples_to_type(2) == [example.text for example in task.examples("test")[:2]]


def test_the_objective_is_the_mean_over_the_points(task: PenTask) -> None:
    class Steps(nn.Module):
        def forward(self, batch: Batch) -> "Steps":
            return self

        def nats(self, targets: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return targets[mask].mean()

    batch = task.collate(task.examples("train")[:3])
    loss = negative_log_density(Steps(), batch, 0)
    assert {name: int(part.count) for name, part in loss.parts.items()} == {"nats": int(batch.mask.sum())}
    assert loss.value == batch.targets[batch.mask].mean()


def test_the_score_has_units(task: PenTask) -> None:
    examples = task.examples("test")
    written = [example.target._replace(nats=2.0 * example.steps) for example in examples]
    score = task.score(written, examples)
    assert score.figures["nats_per_step"].value == pytest.approx(2.0)
    assert score.figures["ended"].value == 100
    units = {name: figure.unit for name, figure in score.figures.items()}
    assert units == {
        **dict.fromkeys(("nats_per_step", "memoryless", "gain", "nats_per_line"), "nats"), "ended": "%", "lines": "",
        "steps": "",
    }  # fmt: skip


def test_points_that_are_not_finite_are_reported(task: PenTask) -> None:
    points = np.array([[0.0, 0.0, 0.0], [math.nan, 1.0, 1.0]])
    with pytest.raises(InvalidInput, match="point 2 of the line 'a' is not finite"):
        task.collate([task.example("a", points)])


def test_a_prime_is_put_before_the_text() -> None:
    primed = PenTask(PenConfig(lines=20, prime=18, prime_text="it"))
    batch = primed.collate([primed.read("no")])
    assert [ALPHABET[i] for i in batch.asked[0].tolist()] == list("it no")
    assert batch.begins.tolist() == [3]
    own = {x.character: len(x.points) for x in letters("test") if x.writer == 18}
    assert batch.prime.shape == (1, own["i"] + own["t"], 3)
    assert [ALPHABET[i] for i in batch.characters[0].tolist()] == list("no")


def test_the_saved_task_is_equal(task: PenTask, tmp_path: Path) -> None:
    task.save(tmp_path)
    loaded = PenTask(SMALL, tmp_path)
    assert loaded.alphabet == task.alphabet
    assert loaded.deviation.tolist() == task.deviation.tolist()
    points = np.random.default_rng(2).normal(size=(7, 3))
    np.testing.assert_array_equal(loaded.memoryless.log_density(points), task.memoryless.log_density(points))
    assert task.describe() == loaded.describe()


def test_the_mixture_without_memory_has_the_density_of_a_mixture_of_torch(task: PenTask) -> None:
    found, points = task.memoryless, np.random.default_rng(3).normal(size=(11, 3)).round(3)
    points[:, 2] = points[:, 2] > 0
    means, covariances = torch.from_numpy(found.means), torch.from_numpy(found.covariances)
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=torch.from_numpy(found.log_weights)),
        torch.distributions.MultivariateNormal(means, covariances),
    )
    ends = torch.distributions.Bernoulli(torch.tensor(found.ends, dtype=torch.float64))
    given = torch.from_numpy(points)
    theirs = mixture.log_prob(given[:, :2]) + ends.log_prob(given[:, 2])
    np.testing.assert_allclose(found.log_density(points), theirs.numpy(), rtol=1e-9)


def test_the_mixture_without_memory_recovers_the_distribution() -> None:
    generator = np.random.default_rng(5)
    first = generator.random(4000) < 0.3
    offsets = np.where(first[:, None], generator.normal(-3, 0.1, (4000, 2)), generator.normal(2, 0.5, (4000, 2)))
    points = np.concatenate([offsets, generator.random((4000, 1)) < 0.2], 1)
    nats = -fitted(points).log_density(points).mean()
    entropy = -(0.3 * math.log(0.3) + 0.7 * math.log(0.7)) - (0.2 * math.log(0.2) + 0.8 * math.log(0.8))
    entropy += 1 + math.log(2 * math.pi) + 2 * (0.3 * math.log(0.1) + 0.7 * math.log(0.5))
    assert nats == pytest.approx(entropy, abs=0.06)


def test_letters_are_cut_by_attention() -> None:
    points = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [2, 0, 0], [2, 1, 0], [3, 1, 0]], float)
    rows = [[9, 1, 0, 0], [9, 0, 0, 0], [4, 3, 5, 0], [0, 2, 8, 0], [0, 0, 7, 8], [0, 0, 1, 9]]
    looks = np.array(rows, float).tolist()
    found = cut_letters(looks, "a bc", points)
    assert [character for character, _ in found] == list("abc")
    for (_, strokes), own in zip(found, (points[:2], points[2:3], points[3:]), strict=True):
        np.testing.assert_array_equal(strokes, own)
    assert [character for character, _ in cut_letters(looks, "a bc", points, 2)] == list("bc")
    assert cut_letters(looks, "a bc", points * [1, 1, 0]) == [("a", None), ("b", None), ("c", None)]
    assert cut_letters((), "a bc", points) == []


def test_the_cut_is_optimal() -> None:
    generator = np.random.default_rng(7)
    for _ in range(11):
        looks, points = generator.random((7, 3)), np.zeros((7, 3))
        points[[1, 2, 4, 6], 2] = 1
        points[:, 0] = np.arange(7)
        found = cut_letters(looks.tolist(), "abc", points)
        starts = [int(strokes[0, 0]) for _, strokes in found if strokes is not None]
        shares = looks / looks.sum(1, keepdims=True)
        ways = {
            (a, b): shares[:a, 0].sum() + shares[a:b, 1].sum() + shares[b:, 2].sum()
            for a in (2, 3, 5)
            for b in (2, 3, 5)
            if a < b
        }
        assert tuple(starts[1:]) == max(ways, key=lambda way: ways[way])


@pytest.mark.unhooked  # a whole training
def test_the_shipped_reader_equals_one_trained_now() -> None:
    state = torch.get_rng_state()
    with torch.inference_mode():  # the caller may be in it
        kept, new = trained_reader(), train_reader()
    assert torch.equal(state, torch.get_rng_state())
    real = [letter.points for letter in (*letters("validation"), *letters("test"))]
    same = sum(a == b for a, b in zip(read(kept, real), read(new, real), strict=True))
    assert same / len(real) > 0.95, "run src/saccade/tasks/pen/data/make_reader.py"


def test_the_reader_generalises_to_new_writers() -> None:
    reader, unseen = trained_reader(), letters("validation")
    told = read(reader, [letter.points for letter in unseen])
    right = sum(a == b.character for a, b in zip(told, unseen, strict=True))
    assert right / len(unseen) > 0.9
    assert read(reader, []) == ""
    dot: Letter = unseen[0]._replace(points=np.array([[0.0, 0.0, 1.0]]))
    assert len(read(reader, [dot.points])) == 1


def test_real_letters_on_a_line_are_read(task: PenTask) -> None:
    own = [letter for letter in letters("test") if letter.writer == 19][:11]
    line = set_side_by_side(list(own), np.full(11, 0.3), None)
    offsets = task.normalised(offsets_of(points_of(line)))
    places = np.repeat(np.arange(11), [len(letter.points) for letter in own])
    characters = tuple(task.encode(line.text).tolist())
    looks = tuple(map(tuple, np.eye(11)[places]))
    written = Written(characters, tuple(map(tuple, offsets.tolist())), looks, 0, True, 0.0)
    assert task.readable([written])["read"].value >= 90  # type: ignore[operator]
    assert task.decode(written) == f"abcdefghijk: {len(offsets)} points in {int(offsets[:, 2].sum())} strokes"
    # strokes far away or without extent are illegible, and classified as fast
    for factor in (1e9, float("nan")):
        away = written._replace(points=tuple((factor * x, y, end) for x, y, end in written.points))
        assert task.readable([away])["read"].value == 0
    assert not task.readable([written._replace(weights=())])
    replayed = task.replay(task.read("abcdefghijk"), written)
    np.testing.assert_allclose(replayed.drawn, points_of(line), atol=1e-9)
    assert {name: len(names) for name, names in task.labels(replayed).items()} == {
        "character": 12,
        "point": len(offsets),
        "coordinate": 3,
    }


@pytest.mark.parametrize("text", ["{", "{}", '{"alphabet": "a", "mean": [1], "std": [1, 1], "memoryless": [1, 2]}'])
def test_damaged_assets_are_reported(tmp_path: Path, text: str) -> None:
    (tmp_path / "pen.json").write_text(text)
    with pytest.raises(
        InvalidInput, match=r"pen\.json: (damaged or cut off|expected|the numbers have the wrong shape)"
    ):
        PenTask(PenConfig(), tmp_path)


XML = """<?xml version="1.0" encoding="ISO-8859-1"?>
<WhiteboardCaptureSession>
  <WhiteboardDescription>
    <SensorLocation corner="top_left"/>
    <DiagonallyOppositeCoords x="6512" y="1376"/>
    <VerticallyOppositeCoords x="966" y="1376"/>
    <HorizontallyOppositeCoords x="6512" y="787"/>
  </WhiteboardDescription>
  <StrokeSet>
    <Stroke colour="black" start_time="769.05" end_time="769.64">
      <Point x="1073" y="1058" time="769.05"/>
      <Point x="1080" y="1050" time="769.07"/>
    </Stroke>
    <Stroke colour="black" start_time="770.05" end_time="770.64">
      <Point x="1101" y="1061" time="770.05"/>
    </Stroke>
  </StrokeSet>
</WhiteboardCaptureSession>
"""


def write_iam(folder: Path, forms: int = 23) -> list[Path]:
    """A folder like IAM-OnDB: two lines per form, the second without strokes."""
    paths = []
    for number in range(forms):
        form = f"a{number:02d}-{number:03d}z"
        path = folder / "lineStrokes" / form[:3] / form[:-1] / f"{form}-01.xml"
        text = folder / "ascii" / form[:3] / form[:-1] / f"{form}.txt"
        for each in (path, text):
            each.parent.mkdir(parents=True)
        path.write_text(XML)
        text.write_text(f"OCR:\n\nA rnove\n\nCSR:\n\nA move  {number}\nto stop\n")
        paths.append(path)
    return paths


def test_iam_is_read_from_its_own_files(tmp_path: Path) -> None:
    paths = write_iam(tmp_path)
    points = read_strokes(paths[0])
    np.testing.assert_array_equal(points, [[0, 0, 0], [7, 8, 1], [28, -3, 1]])
    found = read_iam(tmp_path)
    assert {split: len(lines) for split, lines in found.items()} == {"train": 19, "validation": 2, "test": 2}
    assert found["train"][0][0] == "A move 2"
    task = PenTask(PenConfig(corpus="iam", folder=tmp_path))
    assert set(" Amove012345") <= set(task.alphabet)
    assert task.collate(task.examples("test")).points.shape == (2, 3, 3)
    assert task.describe()["data"] == "IAM-OnDB"
    with pytest.raises(InvalidInput, match="'z' is not in the training lines; the characters are"):
        task.read("zoo")


def test_iam_has_its_own_splits(tmp_path: Path) -> None:
    """The task IAM-OnDB-t1 has a training set, two validation sets and a final test set."""
    write_iam(tmp_path, 7)
    lists = {"trainset": "a00-000\na01-001\n", "testset_v": "a02-002z\n", "testset_t": "a03-003\na06-006\n"}
    for name, forms in lists.items():
        (tmp_path / f"{name}.txt").write_text(forms)
    with pytest.raises(NotFound, match=r"has lists of the splits, but no testset_f\.txt"):
        read_iam(tmp_path)
    (tmp_path / "testset_f.txt").write_text("a04-004\na05-005\n")
    assert {split: [text for text, _ in lines] for split, lines in read_iam(tmp_path).items()} == {
        "train": ["A move 0", "A move 1"],
        "validation": ["A move 2", "A move 3", "A move 6"],
        "test": ["A move 4", "A move 5"],
    }
    (tmp_path / "testset_t.txt").unlink()  # either validation set suffices
    assert len(read_iam(tmp_path)["validation"]) == 1


@pytest.mark.parametrize("text", [None, "OCR:\nA move\n", "OCR:\nA move\n\nCSR:\n\n"])
def test_a_form_without_text_is_dropped_and_counted(tmp_path: Path, text: str | None) -> None:
    write_iam(tmp_path, 5)
    path = next(tmp_path.rglob("a03-003z.txt"))
    path.unlink() if text is None else path.write_text(text)
    found = read_iam(tmp_path)
    assert [text for text, _ in found["train"]] == ["A move 2", "A move 4"]
    assert found.without_text == 1
    task = PenTask(PenConfig(corpus="iam", folder=tmp_path))
    assert task.describe()["data"] == "IAM-OnDB, 1 line without text left out"


def test_eleven_percent_signs_are_a_line_break(tmp_path: Path) -> None:
    paths = write_iam(tmp_path, 3)
    for number in (2, 3):
        (paths[2].with_name(f"a02-002z-{number:02d}.xml")).write_text(XML)
    text = next(tmp_path.rglob("a02-002z.txt"))
    text.write_text("OCR:\n\nCSR:\n\nfirst line%%%%%%%%%%%100 % sure%%%%%%%%%%%cafe\u0301\n", encoding="utf-8")
    found = read_iam(tmp_path)
    assert [text for text, _ in found["train"]] == ["first line", "100 % sure", "caf\u00e9"]
    assert found.without_text == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not XML"),
        (XML[:400], "is not XML"),
        ("<a><StrokeSet/></a>", "contains no strokes"),
        (XML.replace('"1080"', '"nan"'), "stroke 1: expected finite coordinates"),
        (XML.replace('"1101"', '"1e999"'), "stroke 2: expected finite coordinates"),
        (XML.replace('"1101"', '"left"'), "stroke 2: expected points with numbers"),
        (XML.replace('x="1101"', ""), "stroke 2: expected points with numbers"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "defines XML entities"),
    ],
)
def test_damaged_strokes_are_reported(tmp_path: Path, text: str, said: str) -> None:
    [path, *_] = write_iam(tmp_path)
    path.write_text(text)
    with pytest.raises(InvalidInput, match=f"a00-000z-01.xml.*{said}"):
        read_iam(tmp_path)


def test_missing_parts_of_an_iam_folder_are_reported(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such folder"):
        read_iam(tmp_path / "none")
    with pytest.raises(NotFound, match="contains no lines such as"):
        read_iam(tmp_path)
    write_iam(tmp_path, 2)
    with pytest.raises(NotFound, match="no lines of the train split"):
        read_iam(tmp_path)
    other = tmp_path / "other"
    write_iam(other, 3)
    next(other.rglob("a02-002z.txt")).unlink()
    with pytest.raises(NotFound, match="no lines of the train split that have a text"):
        read_iam(other)
    for text in other.rglob("a*.txt"):
        text.unlink()
    with pytest.raises(NotFound, match="contains no texts such as ascii"):
        read_iam(other)
