"""MIDI and WAV files. The frozen bytes were written by mido 1.3.3."""

import io
import wave
from contextlib import suppress
from typing import Any

import mido
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saccade.core.errors import InvalidInput
from saccade.tasks.music.frames import LONGEST, frames_from, frames_of, notes_of, roll_of, written
from saccade.tasks.music.midi import DIVISION, DRUMS, FASTEST, SLOWEST, Note, Song, read_midi, write_midi
from saccade.tasks.music.sound import RATE, render

# format 1, 96 ticks a quarter: running status, note-ons of velocity 0, sysex, two tempos, a program, pedal and a drum
TWO_TRACKS = bytes.fromhex(
    "4d546864000000060001000200604d54726b0000002f00ff0307736f7072616e6f00ff51030927c000ff58040402180800c0130090485060"
    "4800004a5081404a0000ff2f004d54726b0000003000f0057e7f0901f76091304600b1400081168130402a91324600ff510307a120608132"
    "40009924460a89244000ff2f00"
)
SHORT = bytes.fromhex(
    "4d546864000000060000000101e04d54726b0000002500ff51030a2c2b00903c40009043408360803c4000903c408360803c400080434000"
    "ff2f00"
)


def song(*notes: tuple[float, ...], drums: int = 0) -> Song:
    return Song(tuple(Note(int(pitch), start, end) for pitch, start, end in notes), (), drums)


class TestReading:
    def test_two_tracks_are_merged(self) -> None:
        found = read_midi(TWO_TRACKS, "x.mid")
        assert [tuple(note) for note in found.notes] == [(72, 0, 1), (48, 1, 2.5625), (74, 1, 3), (50, 3, 4)]
        assert found.tempos == (100.0, 120.0)
        assert found.drums == 1

    def test_chunks_of_other_kinds_are_skipped_and_notes_that_never_end_end_with_the_track(self) -> None:
        for end in (b"\xff\x2f\0", b"\xc0\1"):  # the end of the track, and a program
            track = b"\0\x90\x3c\x40\x60" + end
            data = b"MThd\0\0\0\6\0\0\0\1\0\x60" + b"XFIH\0\0\0\2ab" + b"MTrk" + len(track).to_bytes(4) + track
            assert read_midi(data, "x").notes == (Note(60, 0, 1),)

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"", "x.mid: the file is empty"),
            (b"RIFF....WAVE", "x.mid: not a MIDI file"),
            (b"MThd\0\0", "x.mid: the MIDI file is cut off or damaged"),
            (b"MThd\0\0\0\2\0\0", "short header"),
            (SHORT[:9] + b"\2" + SHORT[10:], "format 0 or 1, not 2"),
            (SHORT[:12] + b"\xe8\x28" + SHORT[14:], "not counted in quarter notes"),
            (SHORT[:12] + b"\0\0" + SHORT[14:], "not counted in quarter notes"),
            (TWO_TRACKS[:69], "x.mid: the MIDI file is cut off"),  # one of two tracks
            (SHORT[:22] + b"\0\x3c\x40" + SHORT[25:], "data without a status"),
            (SHORT[:22] + b"\0\xf1\x40" + SHORT[25:], "the status 0xf1"),
            (SHORT[:22] + b"\0\x90\x90" + SHORT[25:], "a status where data belong"),
            (SHORT[:22] + b"\xff\xff\xff\xff" + SHORT[26:], "more than four bytes"),
        ],
    )
    def test_bad_files_give_one_sentence_that_names_them(self, data: bytes, said: str) -> None:
        with pytest.raises(InvalidInput, match=said) as error:
            read_midi(data, "x.mid")
        assert "x.mid" in str(error.value)

    @given(st.integers(1, len(TWO_TRACKS) - 1))
    def test_a_file_that_is_cut_off_anywhere_is_refused(self, length: int) -> None:
        with pytest.raises(InvalidInput, match=r"x\.mid"):
            read_midi(TWO_TRACKS[:length], "x.mid")

    @given(st.integers(0, len(TWO_TRACKS) - 1), st.integers(0, 255))
    def test_a_damaged_byte_never_gives_another_error(self, place: int, byte: int) -> None:
        with suppress(InvalidInput):
            frames_of(read_midi(TWO_TRACKS[:place] + bytes([byte]) + TWO_TRACKS[place + 1 :], "x.mid"), "x.mid")


class TestWriting:
    def test_the_bytes_are_those_that_mido_reads(self) -> None:
        assert write_midi([Note(60, 0, 1), Note(60, 1, 2), Note(67, 0, 2)], 90) == SHORT

    @given(st.lists(st.lists(st.integers(21, 108), max_size=5), min_size=1, max_size=9))
    def test_what_is_written_is_read_again(self, frames: list[list[int]]) -> None:
        notes = notes_of(tuple(tuple(sorted(set(frame))) for frame in frames))
        found = read_midi(write_midi(notes, 120), "x")
        assert list(found.notes) == notes
        assert found.tempos == (120.0,)

    def test_a_bad_tempo_or_pitch_is_refused(self) -> None:
        for tempo in (0, -1, 3, 5000, float("nan")):
            with pytest.raises(InvalidInput, match="tempo"):
                write_midi([], tempo)
        with pytest.raises(InvalidInput, match="from 0 to 127, got 128"):
            write_midi([Note(128, 0, 1)], 90)


# notes of one pitch, one after the other: the silence before each, 0 or more ticks, and its length
lines = st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 2000)), min_size=1, max_size=4)


def placed(line: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The first and the last tick of each note of a line."""
    ends = np.cumsum([gap + length for gap, length in line]).tolist()
    return [(end - length, end) for end, (_, length) in zip(ends, line, strict=True)]


def by_time(notes: list[Note]) -> list[Note]:
    return sorted(notes, key=lambda note: (note.start, note.pitch, note.end))


class TestBesideMido:
    @given(st.dictionaries(st.integers(0, 127), lines, max_size=5), st.floats(SLOWEST, FASTEST))
    def test_mido_reads_the_notes_that_we_write(self, song: dict[int, list[tuple[int, int]]], tempo: float) -> None:
        ticks = sorted((start, end, pitch) for pitch, line in song.items() for start, end in placed(line))
        data = write_midi([Note(pitch, start / DIVISION, end / DIVISION) for start, end, pitch in ticks], tempo)
        file = mido.MidiFile(file=io.BytesIO(data))
        assert (file.type, file.ticks_per_beat, len(file.tracks)) == (0, DIVISION, 1)
        now, sounding, found = 0, dict[int, int](), []
        for message in file.tracks[0]:
            now += message.time
            if message.type == "note_on":
                assert message.velocity > 0
                assert message.note not in sounding
                sounding[message.note] = now
            elif message.type == "note_off":
                found.append((sounding.pop(message.note), now, message.note))
            elif message.type == "set_tempo":
                assert (now, message.tempo) == (0, round(60e6 / tempo))
        assert not sounding
        assert sorted(found) == ticks

    @given(st.data(), st.integers(1, 0x7FFF), st.integers(1, 3), st.lists(st.integers(1, 0xFFFFFF), max_size=2))
    def test_we_read_the_notes_that_mido_writes(
        self, data: st.DataObject, division: int, tracks: int, tempos: list[int]
    ) -> None:
        file = mido.MidiFile(type=int(tracks > 1), ticks_per_beat=division)
        notes, drums = list[Note](), 0
        voices = st.dictionaries(st.tuples(st.integers(0, 15), st.integers(0, 127)), lines, max_size=4)
        others = st.lists(st.tuples(st.integers(0, 9000), st.sampled_from(OTHERS)), max_size=4)
        for track in range(tracks):
            # at one tick what is no note comes first, then ends, then beginnings
            events = [(tick, 0, message) for tick, message in data.draw(others)]
            if track == 0:
                events += [(97 * place, 0, mido.MetaMessage("set_tempo", tempo=x)) for place, x in enumerate(tempos)]
            for (channel, pitch), line in data.draw(voices).items():
                off = data.draw(st.sampled_from(["note_off", "note_on"]))  # a note-on of velocity 0 is an end, too
                named = {"channel": channel, "note": pitch}
                for start, end in placed(line):
                    events.append((start, 2, mido.Message("note_on", velocity=70, **named)))
                    events.append((end, 1, mido.Message(off, velocity=0, **named)))
                    drums += channel == DRUMS
                    notes += [Note(pitch, start / division, end / division)] * (channel != DRUMS)
            events.sort(key=lambda event: event[:2])
            before = [0, *(tick for tick, *_ in events)]
            file.tracks.append(
                mido.MidiTrack(
                    message.copy(time=tick - last) for last, (tick, _, message) in zip(before, events, strict=False)
                )
            )
        written = io.BytesIO()
        file.save(file=written)
        found = read_midi(written.getvalue(), "x.mid")
        assert list(found.notes) == by_time(notes)
        assert found.tempos == tuple(60e6 / tempo for tempo in tempos)
        assert found.drums == drums


OTHERS = [
    mido.MetaMessage("track_name", name="soprano"),
    mido.MetaMessage("time_signature", numerator=3),
    mido.Message("sysex", data=(1, 2, 3)),
    mido.Message("program_change", program=48),
    mido.Message("control_change", channel=1, control=64, value=127),
    mido.Message("pitchwheel", channel=2, pitch=-8000),
    mido.Message("aftertouch", value=9),
    mido.Message("polytouch", note=60, value=9),
]


class TestFrames:
    def test_a_frame_holds_what_sounds_at_its_quarter(self) -> None:
        found, said = frames_of(song((60, 0, 2), (64, 1, 2), (67, 2, 3), (60, 2, 2.1)), "x")
        assert found == ((60,), (60, 64), (60, 67))
        assert said == []

    def test_silence_before_the_first_note_is_left_out_and_that_within_is_kept(self) -> None:
        assert frames_of(song((60, 3, 4), (62, 5, 6)), "x")[0] == ((60,), (), (62,))

    def test_triplets_are_rounded_and_told(self) -> None:
        triplet = song((60, 0, 1 / 3), (62, 1 / 3, 2 / 3), (64, 2 / 3, 1), (65, 1, 5 / 3), (67, 5 / 3, 7 / 3))
        found, [said] = frames_of(triplet, "x")
        assert found == ((60,), (65,), (67,))
        assert said == (
            "3 of 5 notes begin between quarter notes, as triplets and eighths do: 1 rounded to the next quarter, "
            "2 left out because they end before it"
        )

    def test_notes_played_by_hand_are_on_the_grid(self) -> None:
        assert frames_of(song((60, 0.05, 0.93), (62, 0.95, 2.06), (64, 2.1, 2.5)), "x") == (((60,), (62,), (64,)), [])

    def test_notes_off_the_piano_and_drums_are_told(self) -> None:
        found, said = frames_of(song((20, 0, 1), (109, 0, 1), (21, 0, 1), (108, 0, 1), drums=1), "x")
        assert found == ((21, 108),)
        assert said == ["1 note of drums left out", "2 notes outside of the piano's range left out (MIDI 21 to 108)"]

    def test_nothing_left_is_one_sentence(self) -> None:
        with pytest.raises(InvalidInput, match=r"x.mid: there is no note at any quarter note; 1 of 1 note begin"):
            frames_of(song((60, 0.3, 0.6)), "x.mid")
        with pytest.raises(InvalidInput, match=r"x.mid: .*; 1 note outside of the piano's range"):
            frames_of(song((5, 0, 1)), "x.mid")

    def test_a_piece_that_is_too_long_is_refused_before_it_is_held(self) -> None:
        with pytest.raises(InvalidInput, match=r"x.mid: expected at most 2,000 quarter notes, got 1,000,000"):
            frames_of(song((60, 0, 1), (60, 5, 1e6)), "x.mid")
        assert LONGEST == 2000

    @given(st.lists(st.sets(st.integers(21, 108), max_size=5), min_size=1, max_size=9))
    def test_frames_notes_and_rolls_are_the_same_thing(self, sets: list[set[int]]) -> None:
        frames = tuple(tuple(sorted(one)) for one in sets)
        assert frames_from(roll_of(frames)) == frames
        if any(frames):
            first = next(t for t, frame in enumerate(frames) if frame)
            last = max(t for t, frame in enumerate(frames) if frame)
            assert frames_of(song(*notes_of(frames)), "x")[0] == frames[first : last + 1]

    def test_notes_are_named_as_musicians_do(self) -> None:
        assert written(((60, 61), (), (21, 108))) == "C4 C♯4 | - | A0 C8"


def samples(data: bytes) -> Any:
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)


class TestSound:
    @pytest.mark.parametrize(("pitch", "hertz"), [(69, 440.0), (57, 220.0), (108, 4186.0)])
    def test_a_note_has_its_pitch(self, pitch: int, hertz: float) -> None:
        found = samples(render([Note(pitch, 0, 2)], 60))
        assert len(found) / RATE == pytest.approx(2.12, abs=1e-3)
        spectrum = np.abs(np.fft.rfft(found))
        assert np.fft.rfftfreq(len(found), 1 / RATE)[spectrum.argmax()] == pytest.approx(hertz, rel=2e-3)
        assert abs(found).max() == pytest.approx(0.9 * 32767, abs=1)

    def test_notes_sound_one_after_the_other_in_their_tempo(self) -> None:
        found = samples(render([Note(60, 0, 1), Note(64, 3, 4)], 120))
        loud = [abs(found[int(t * RATE) : int((t + 0.05) * RATE)]).max() for t in (0.1, 1.0, 1.7)]
        assert loud[1] == 0
        assert min(loud[0], loud[2]) > 3000

    def test_no_notes_and_bad_tempos_are_refused(self) -> None:
        with pytest.raises(InvalidInput, match="at least one note"):
            render([], 90)
        with pytest.raises(InvalidInput, match="tempo"):
            render([Note(60, 0, 1)], 0)
