import itertools
import math
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.core.picture import Accompanied
from saccade.core.recipe import Answer
from saccade.explain.pictures import kept, load
from saccade.runs import catalogue
from saccade.systems.music_rnn.composing import compose, draws
from saccade.systems.music_rnn.model import IndependentNotes, MusicRNN, MusicRNNConfig, NadeNotes
from saccade.systems.music_rnn.pictures import expected
from saccade.systems.music_rnn.roll import KEPT, Roll
from saccade.tasks.music.frames import notes_of
from saccade.tasks.music.midi import read_midi, write_midi
from tests.checks import randomised
from tests.explain.pictures import assert_apart, assert_whole

RECIPE: Any = catalogue.recipe("music_rnn")
NOTES, HIDDEN = 3, 5
OUTPUTS = [IndependentNotes(), NadeNotes(hidden_size=2)]
THEME = ((60, 64, 67), (60, 64, 67), (59, 62, 67))


@pytest.fixture(scope="module")
def built() -> tuple[Any, Any, Any]:
    config = RECIPE.variants["tiny"]
    task = RECIPE.task(config, None)
    torch.manual_seed(0)
    return config, task, RECIPE.build(config, task).double().eval()


def make(output: Any, **options: Any) -> MusicRNN:
    config = MusicRNNConfig(output=output, hidden_size=HIDDEN, dropout=0.0, input_dropout=0.0, **options)
    return randomised(MusicRNN(config, torch.full((NOTES,), 0.5))).eval()


def frames(*shape: int) -> tuple[Tensor, Tensor]:
    return (torch.rand(*shape, NOTES) < 0.4).double(), torch.ones(*shape, dtype=torch.bool)


def every_frame() -> Tensor:
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=NOTES)), dtype=torch.float64)


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: output.name)
class TestModel:
    def test_the_probabilities_of_all_pieces_sum_to_1(self, output: Any) -> None:
        model, single = make(output), every_frame()
        pieces = torch.stack([torch.stack(pair) for pair in itertools.product(single, repeat=2)])
        found = model.log_prob(pieces, torch.ones(len(pieces), 2, dtype=torch.bool)).sum(1)
        assert found.exp().sum().item() == pytest.approx(1, abs=1e-12)

    def test_a_frame_never_depends_on_later_ones(self, output: Any) -> None:
        model, (piece, mask) = make(output, layers=2), frames(2, 7)
        whole = model.log_prob(piece, mask)
        other = piece.clone()
        other[:, 4:] = 1 - other[:, 4:]
        torch.testing.assert_close(model.log_prob(other, mask)[:, :4], whole[:, :4])
        assert (model.log_prob(other, mask)[:, 4:] != whole[:, 4:]).all()

    def test_single_steps_give_the_states_of_one_pass(self, output: Any) -> None:
        model, (piece, mask) = make(output, layers=2), frames(2, 6)
        states, state, frame = model(piece, mask), model.initial_state(2), torch.zeros(2, NOTES)
        for t in range(6):
            found, state = model.step(frame, state)
            torch.testing.assert_close(found, states[:, t])
            frame = piece[:, t]

    def test_padding_has_no_nats(self, output: Any) -> None:
        model, (piece, mask) = make(output), frames(2, 5)
        mask = torch.tensor([[True] * 5, [True, True, False, False, False]])
        found = model.log_prob(piece, mask)
        assert not found[1, 2:].any()
        torch.testing.assert_close(found[1:, :2], model.log_prob(piece[1:, :2], mask[1:, :2]))

    def test_samples_follow_the_distribution_over_pieces(self, output: Any) -> None:
        model, count, single = make(output), 10_000, every_frame()
        theme = torch.tensor([[[1.0, 0, 1]]], dtype=torch.float64)
        with torch.no_grad():
            known = torch.ones(count, 1, dtype=torch.bool)
            found = compose(model, theme.expand(count, -1, -1), known, 2, 1.0, range(count))
            pairs = torch.stack([torch.stack(pair) for pair in itertools.product(single, repeat=2)])
            whole = torch.cat([theme.expand(len(pairs), -1, -1), pairs], 1)
            likely = model.log_prob(whole, torch.ones(len(pairs), 3, dtype=torch.bool))[:, 1:].sum(1).exp()
        place = (found.flatten(1) @ 2.0 ** torch.arange(2 * NOTES - 1, -1, -1, dtype=torch.float64)).long()
        shares = place.bincount(minlength=4**NOTES) / count
        assert ((shares - likely).abs() < 4.5 * (likely * (1 - likely) / count).sqrt() + 1e-3).all()

    def test_a_theme_is_continued_alike_in_any_batch(self, output: Any) -> None:
        model, (piece, _) = make(output), frames(3, 6)
        mask = torch.tensor([[True] * 6, [True] * 2 + [False] * 4, [False] * 6])
        together = compose(model, piece * mask[..., None], mask, 4, 1.0, "abc")
        for row, length in enumerate((6, 2, 0)):
            alone = compose(model, piece[row : row + 1, :length], mask[row : row + 1, :length], 4, 1.0, ["abc"[row]])
            assert torch.equal(alone[0], together[row])


def test_the_first_distribution_is_that_of_the_frequencies(built: tuple[Any, Any, Any]) -> None:
    _, task, _ = built
    model = MusicRNN(MusicRNNConfig(), torch.from_numpy(task.frequencies).float())
    with torch.no_grad():
        model.output.notes.weight.zero_()
        found = model.output.notes(torch.zeros(1, 200)).sigmoid()[0]
    np.testing.assert_allclose(found.numpy(), task.frequencies, rtol=1e-5)


def test_pieces_and_themes_of_one_batch(built: tuple[Any, Any, Any]) -> None:
    config, task, model = built
    theme = task.read(write_midi(notes_of(THEME), 60))
    piece = task.examples("test")[0]
    with torch.no_grad():
        first, second, third = RECIPE.predict(model, task.collate([theme, piece, task.read("")]), config)
        assert second == RECIPE.predict(model, task.collate([piece]), config)[0]
        assert third.frames == RECIPE.predict(model, task.collate([task.read("")]), config)[0].frames
    assert first.frames[:3] == THEME
    assert (first.given, len(first.frames), third.given, len(third.frames)) == (3, 3 + 16, 0, 16)
    assert math.isnan(first.nats)
    assert second.frames == ()
    batch = task.collate([piece])
    assert second.nats == pytest.approx(-model.log_prob(batch.frames, batch.mask).sum().item(), abs=1e-3)
    assert second.first == pytest.approx(-model.log_prob(batch.frames, batch.mask)[0, 0].item(), abs=1e-3)


def test_a_temperature_below_0_is_refused() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        type(RECIPE.config)(temperature=-0.1)


def test_temperature_0_is_the_same_for_all_seeds() -> None:
    model, (piece, mask) = make(OUTPUTS[1]), frames(1, 3)
    assert torch.equal(*(compose(model, piece, mask, 5, 0.0, [seed]) for seed in (1, 2)))


class TestRoll:
    roll = Roll("roll", np.linspace(0, 1, 3 * 10).reshape(3, 10), THEME, lowest=58, given=1, tempo=60, title="A theme")

    def test_the_files_are_the_music(self) -> None:
        assert isinstance(self.roll, Accompanied)
        files = self.roll.files()
        song = read_midi(files["mid"], "x")
        assert song.tempos == (60.0,)
        assert list(song.notes) == notes_of(THEME)
        assert files["wav"][:4] == b"RIFF"
        assert Roll("roll", np.zeros((3, 88)), THEME).files() == {}  # a piece that was not composed
        assert Roll("roll", np.zeros((1, 88)), ((),), given=0).files() == {}  # silence

    def test_the_figure_is_whole(self) -> None:
        figure = self.roll.figure()
        assert_whole(figure)
        assert_apart(figure)

    def test_the_outlines_are_the_notes(self) -> None:
        from matplotlib.patches import Rectangle

        found = {patch.get_bbox().bounds for patch in self.roll.figure().axes[0].patches if type(patch) is Rectangle}
        assert found == {(note.start, note.pitch, note.end - note.start, 1) for note in notes_of(THEME)}

    def test_the_text_has_a_line_for_each_note_and_marks_what_was_played(self) -> None:
        lines = self.roll.text(60).split("\n")
        rows = {line[:4].strip(): line[5:] for line in lines[1:] if line[:1] in "ABCDEFG"}
        assert rows["G4"] == "oOO"
        assert rows["C4"].startswith("oo")
        assert any(line == "      ^ composed from here" for line in lines)

    def test_a_long_piece_is_cut_in_the_terminal_and_in_evidence(self) -> None:
        long = Roll("roll", np.full((300, 88), 0.1), ((60,),) * 300, given=250)
        assert "quarters 237 to 292 of 300" in long.text(61).replace("\n", " ")
        assert max(map(len, long.text(61).split("\n"))) <= 61
        assert len(load(kept(long)).frames) == KEPT  # type: ignore[attr-defined]
        assert long.figure().get_size_inches()[0] < 13

    def test_it_is_restored(self) -> None:
        assert kept(load(kept(self.roll))) == kept(self.roll)
        assert "mean probability" in self.roll.description()

    @pytest.mark.parametrize(
        ("bad", "said"),
        [({"expected": np.zeros((2, 88))}, "3, n"), ({"expected": np.full((3, 88), 1.5)}, "from 0 to 1"),
         ({"frames": ((60,), (), (20,))}, "from 21 to 108")],
    )  # fmt: skip
    def test_bad_values_are_refused(self, bad: Any, said: str) -> None:
        with pytest.raises(InvalidInput, match=said):
            Roll(**{"name": "roll", "expected": np.zeros((3, 88)), "frames": THEME, **bad})


def test_pictures_show_a_piece_without_files_and_a_composition_with_them(built: tuple[Any, Any, Any]) -> None:
    config, task, model = built
    theme, piece = task.read(write_midi(notes_of(THEME), 60)), task.examples("test")[0]
    rolls = []
    for example in (theme, piece):
        [prediction] = RECIPE.predict(model, task.collate([example]), config)
        [roll] = RECIPE.pictures(Answer(model, task, config, example, prediction, torch.device("cpu")))
        rolls.append(roll)
    assert set(rolls[0].files()) == {"mid", "wav"}
    assert read_midi(rolls[0].files()["mid"], "x").tempos == (60.0,)
    assert rolls[0].frames[:3] == THEME
    assert rolls[1].files() == {}
    assert rolls[1].frames == piece.frames


def test_what_is_expected_of_a_frame_does_not_depend_on_it(built: tuple[Any, Any, Any]) -> None:
    _, _, model = built
    one, other = (expected(model, (*THEME, last), torch.device("cpu")) for last in ((60,), (30, 31, 99)))
    np.testing.assert_array_equal(one, other)


def test_draws_depend_on_the_seed_alone() -> None:
    assert torch.equal(draws((1, THEME), 4, 88), draws((1, THEME), 4, 88))
    assert not torch.equal(draws((1, THEME), 4, 88), draws((2, THEME), 4, 88))


@pytest.mark.unhooked
def test_a_run_continues_a_theme_and_writes_midi_and_sound(
    tiny_runs: dict[str, Path], tmp_path: Path, saccade: Any
) -> None:
    theme = tmp_path / "theme.mid"
    theme.write_bytes(write_midi(notes_of(THEME), 60))
    done = saccade("predict", tiny_runs["music_rnn"], theme, "--pictures", tmp_path / "out", "--sampling.length", "5")
    assert done.status == 0
    assert done.out.startswith("C4 E4 G4 | C4 E4 G4 | B3 D4 G4 | ")
    [mid], [sound] = (list((tmp_path / "out").glob(f"*.{kind}")) for kind in ("mid", "wav"))
    assert f"file: {mid}" in done.out
    assert f"file: {sound}" in done.out
    assert read_midi(mid.read_bytes(), "x").tempos == (60.0,)
    with wave.open(str(sound)) as file:
        assert file.getnframes() > 0
    theme.write_bytes(theme.read_bytes()[:-9])
    done = saccade("predict", tiny_runs["music_rnn"], theme)
    assert (done.status, done.out) == (2, "")
    assert "theme.mid: the MIDI file is cut off" in done.err
