"""Notes as sound: sums of sine waves, in a WAV file.

x(t) = envelope(t) sum_k k^-1.5 sin(2 pi k f t),   f = 440 * 2^((pitch - 69) / 12) Hz,   k = 1..6
"""

import io
import wave
from collections.abc import Sequence

import numpy as np

from saccade.core.errors import InvalidInput
from saccade.tasks.music.midi import FASTEST, SLOWEST, Note

RATE = 22_050  # samples per second
PARTIALS, LOUDEST = 6, 0.9
RISE, RELEASE, FADE = 0.015, 0.12, 2.5  # seconds: until a note is loud, after its end, and until it is at 1/e


def render(notes: Sequence[Note], tempo: float) -> bytes:
    """A WAV file of one channel with 16 bits a sample, as loud as possible.

    Args:
        notes: the notes.
        tempo: quarter notes per minute.

    Raises:
        InvalidInput: no notes, or a tempo outside of `SLOWEST` to `FASTEST`.
    """
    if not notes:
        raise InvalidInput("expected at least one note to render")
    if not SLOWEST <= tempo <= FASTEST:
        raise InvalidInput(f"expected a tempo from {SLOWEST} to {FASTEST} quarter notes per minute, got {tempo:g}")
    quarter = 60 / tempo
    samples = np.zeros(round((max(note.end for note in notes) * quarter + RELEASE) * RATE) + 1)
    for pitch, start, end in notes:
        first, length = round(start * quarter * RATE), (end - start) * quarter
        time = np.arange(min(round((length + RELEASE) * RATE), len(samples) - first)) / RATE
        envelope = (
            np.minimum(1, time / RISE) * np.exp(-time / FADE) * np.clip((length + RELEASE - time) / RELEASE, 0, 1)
        )
        pitch_hz = 440 * 2 ** ((pitch - 69) / 12)
        for partial in range(1, PARTIALS + 1):
            if partial * pitch_hz < RATE / 2:  # a higher one would sound as a lower one
                tone = partial**-1.5 * np.sin(2 * np.pi * partial * pitch_hz * time)
                samples[first : first + len(time)] += envelope * tone
    whole = np.round(samples * (LOUDEST * 32767 / max(1e-9, np.abs(samples).max()))).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(whole.tobytes())
    return file.getvalue()
