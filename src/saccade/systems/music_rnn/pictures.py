"""What the net expected of a piece, frame by frame, and what was played."""

from typing import Any

import torch

from saccade.core.device import evaluating
from saccade.core.picture import Picture
from saccade.core.recipe import Answer
from saccade.systems.music_rnn.composing import draws
from saccade.systems.music_rnn.roll import Roll
from saccade.tasks.music.frames import Frames, roll_of

SAMPLES, MOST = 64, 8192  # samples of a frame, for the probability of its notes; of all frames together


def pictures(answer: Answer) -> list[Picture]:
    """The piano roll of a piece, or of a theme and what was composed after it."""
    composed = bool(answer.prediction.frames)
    frames: Frames = answer.prediction.frames if composed else answer.example.frames
    given = answer.prediction.given if composed else None
    title = "Composed" if given == 0 else "Theme, and composed from the dashed line on" if composed else "A piece"
    tempo = answer.example.tempo or float(answer.config.sampling.tempo)
    roll = Roll("roll", expected(answer.model, frames, answer.device), frames, given=given, tempo=tempo,
                title=f"{title}: what the net expected, and what was played")  # fmt: skip
    return [roll]


def expected(model: Any, frames: Frames, device: torch.device) -> Any:
    """(t, 88): the probability of each note, given the frames before it but not the notes of its own frame."""
    notes = torch.from_numpy(roll_of(frames)).float().to(device)[None]
    samples = max(4, min(SAMPLES, MOST // len(frames)))
    with torch.no_grad(), evaluating(model):
        states = model(notes, torch.ones_like(notes[..., 0], dtype=torch.bool))[0]
        found = model.output.expected(states, draws("expected", samples, *notes.shape[1:]).to(device))
    return found.float().cpu().numpy()
