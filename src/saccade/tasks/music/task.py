"""The task of music: predict each frame of 88 notes from those before it; exact nats a frame.

    nats a frame = 1/T sum_t sum_i -log p(v_t,i | v_t,<i, v_<t)          T the frames of all pieces of the split

The sum is over all pieces and all frames, the first of each included, and T counts them all: a long piece weighs more
than a short one. Boulanger-Lewandowski et al. 2012, arXiv:1206.6392, table 1, give the same unit.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.files import against, naming, read_record, write_atomically
from saccade.core.masks import length_mask
from saccade.core.task import Figure, Score, Size
from saccade.tasks.music.config import MusicConfig
from saccade.tasks.music.corpus import SPLITS, Pieces, fingerprint, pieces_of
from saccade.tasks.music.frames import NOTES, Frames, frames_of, notes_of, roll_of, written
from saccade.tasks.music.midi import FASTEST, SLOWEST, read_midi, write_midi

BYTES = 10_000_000  # the most of a MIDI file
OFFERED = 16  # frames of a theme that is offered as an input


class Example(NamedTuple):
    """A piece that is scored, or a theme that is to be continued."""

    frames: Frames
    scored: bool = True
    tempo: float | None = None
    """Quarter notes per minute, where a file says so."""
    notes: tuple[str, ...] = ()
    """For the user."""


class Batch(NamedTuple):
    frames: Float[Tensor, "b t n"]
    """1 where a note sounds."""
    mask: Bool[Tensor, "b t"]
    """False at padding."""
    scored: Bool[Tensor, " b"]
    """False for a theme, which is continued."""


class Played(NamedTuple):
    """An answer: the piece as it was continued, and the nats of a scored one."""

    frames: Frames
    """Theme and continuation; () if nothing was to be continued."""
    given: int
    """The frames of the theme."""
    nats: float
    """The nats of all frames; nan if nothing was scored."""
    first: float
    """The nats of the first frame alone."""


class MusicTask:
    """Pieces of music. The metric is exact nats a frame of 88 notes."""

    metric = "nats_per_frame"
    direction: Literal["min"] = "min"
    unit = "nats"
    accepts: tuple[str, ...] = ("audio/midi", "nothing")

    def __init__(self, config: MusicConfig, assets: Path | None = None) -> None:
        self.config = config
        if assets is None:
            played = np.concatenate([roll_of(piece) for piece in self.pieces["train"]])
            # half a frame is added to each side, so that no note is impossible
            self.frequencies = (played.sum(0) + 0.5) / (len(played) + 1)
            return
        kept = read_record(assets / "music.json", "frequencies")["frequencies"]
        try:
            self.frequencies = np.array(kept, float).reshape(NOTES)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"{assets / 'music.json'}: expected {NOTES} frequencies ({error})") from error

    @cached_property
    def pieces(self) -> Pieces:
        return pieces_of(self.config.file)

    def examples(self, split: str) -> Sequence[Example]:
        if split not in SPLITS:
            raise InvalidInput(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
        return [Example(piece) for piece in self.pieces[split]]

    def size(self, example: Example) -> Size:
        """A theme is read; the frames of a piece are written, from nothing."""
        length = len(example.frames)
        return Size(0 if example.scored else length, max(1, length))

    def collate(self, examples: Sequence[Example], generator: Any = None) -> Batch:
        """Frames; with a generator, each piece is shifted by up to `transpose` semitones."""
        rolls = [torch.from_numpy(roll_of(example.frames)).float() for example in examples]
        if generator is not None and self.config.transpose:
            rolls = [shifted(roll, self.config.transpose, generator) for roll in rolls]
        frames = pad_sequence(rolls, True)
        lengths = torch.tensor([len(roll) for roll in rolls])
        scored = torch.tensor([example.scored for example in examples])
        return Batch(frames, length_mask(lengths, frames.shape[1]), scored)

    def read(self, raw: str | bytes) -> Example:
        """A theme to continue, from the path or the bytes of a MIDI file; nothing to compose from the beginning.

        Raises:
            NotFound: there is no such file.
            InvalidInput: not a MIDI file, a damaged one, or one without a note of the piano.
        """
        if isinstance(raw, str) and not raw.strip():
            return Example((), scored=False)
        data, name = contents(raw)
        song = read_midi(data, name)
        if not song.notes:
            drums = ", only drums" if song.drums else ""
            raise InvalidInput(f"{name}: there are no notes in this MIDI file{drums}")
        frames, said = frames_of(song, name)
        tempo = song.tempos[0] if song.tempos and SLOWEST <= song.tempos[0] <= FASTEST else None
        if len({round(tempo, 2) for tempo in song.tempos}) > 1:
            said.append("its tempo changes; what is written has the first one")
        return Example(frames, False, tempo, tuple(said))

    def notes(self, example: Example) -> list[str]:
        return list(example.notes)

    def examples_to_type(self, count: int) -> list[str | bytes]:
        """Nothing, and the beginnings of test pieces as MIDI files."""
        themes = [piece[:OFFERED] for piece in self.pieces["test"][: max(0, count - 1)]]
        return ["", *(write_midi(notes_of(theme), 90) for theme in themes if any(theme))]

    def decode(self, prediction: Played) -> str:
        """The notes of each frame, theme included; or the nats of a scored piece."""
        return written(prediction.frames) if prediction.frames else f"{prediction.nats:.1f} nats"

    def compare(self, example: Example, prediction: Played) -> Mapping[str, str]:
        end = " | ..." if len(example.frames) > 8 else ""
        mean = f", {prediction.nats / len(example.frames):.2f} a frame" if example.scored else ""
        return {"piece": written(example.frames[:8]) + end, "ours": self.decode(prediction) + mean}

    def score(self, predictions: Sequence[Played], examples: Sequence[Example]) -> Score:
        """Nats a frame, beside notes that are independent of everything, with their frequencies in training."""
        pairs = [pair for pair in zip(predictions, examples, strict=True) if pair[1].scored]
        lengths = [len(example.frames) for _, example in pairs]
        frames = sum(lengths)
        nats, first = (sum(getattr(played, name) for played, _ in pairs) for name in ("nats", "first"))
        memoryless = memoryless_nats(np.concatenate([roll_of(one.frames) for _, one in pairs]), self.frequencies)
        later = frames - len(pairs)
        each = [played.nats / length for (played, _), length in zip(pairs, lengths, strict=True)]
        return Score({
            "nats_per_frame": Figure(nats / frames, "nats", "nats per frame"),
            "memoryless": Figure(memoryless / frames, "nats", "notes independent of everything"),
            "gain": Figure((memoryless - nats) / frames, "nats"),
            "after_the_first": Figure((nats - first) / max(1, later), "nats", "frames but the first of each piece"),
            "mean_of_pieces": Figure(sum(each) / len(each), "nats", "mean over pieces, each weighing as much"),
            "pieces": Figure(len(pairs)),
            "frames": Figure(frames),
        })  # fmt: skip

    def describe(self) -> dict[str, Any]:
        return {
            "data": "60 chorales of Bach" if self.config.file is None else self.config.file.name,
            "pieces": {split: len(self.pieces[split]) for split in SPLITS},
            "frames": {split: sum(map(len, self.pieces[split])) for split in SPLITS},
            "sha256": fingerprint(self.pieces),
        }

    def save(self, folder: Path) -> None:
        kept = json.dumps({"frequencies": self.frequencies.tolist()})
        write_atomically(folder / "music.json", f"{kept}\n".encode())

    def check_trained(self, trained: MusicConfig) -> None:
        """Any pieces may be scored."""


def memoryless_nats(roll: Any, frequencies: Any) -> float:
    """The nats of frames (t, 88) whose notes are independent of everything, with these frequencies."""
    return float(-(roll * np.log(frequencies) + (1 - roll) * np.log1p(-frequencies)).sum())


def shifted(roll: Float[Tensor, "t n"], most: int, generator: torch.Generator) -> Float[Tensor, "t n"]:
    """A copy moved by up to `most` semitones, drawn evenly from those that keep every note on the piano."""
    used = roll.any(0).nonzero()[:, 0]
    if not len(used):
        return roll
    down, up = min(most, int(used[0])), min(most, NOTES - 1 - int(used[-1]))
    step = int(torch.randint(-down, up + 1, (), generator=generator))
    return roll.roll(step, 1)  # what leaves one end and enters the other is silent


def contents(raw: str | bytes) -> tuple[bytes, str]:
    """The bytes of a MIDI file, and its name."""
    if isinstance(raw, bytes):
        name, size = "the file", len(raw)
    else:
        path, name = Path(raw), raw
        if "\0" in raw or not path.exists():
            raise NotFound(f"{raw!r}: there is no such file{against(path)}; expected the path of a MIDI file")
        if not path.is_file():
            raise InvalidInput(f"{raw}: expected a MIDI file, not a folder or a device")
        size = path.stat().st_size
    if size > BYTES:
        raise InvalidInput(f"{name} has {size:,} bytes; expected a MIDI file of at most {BYTES:,}")
    if isinstance(raw, bytes):
        return raw, name
    with naming(path):
        return path.read_bytes(), name
