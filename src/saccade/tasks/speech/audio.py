"""Recordings as samples, and log-mel features: energies in bands on the mel scale, in steps of 10 ms."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from saccade.core.errors import InvalidInput, NotFound, require

Samples = NDArray[np.float32]
LOUDEST = 10  # floating-point samples may exceed 1, for example in a mixture
ENDLESS = 2_000_000_000  # programs write sizes from here on if the true one is unknown: 35 hours at 8 kHz
WINDOW, FRAME_SHIFT = 0.025, 0.010  # length and distance of frames, in seconds


def read_audio(source: Path | bytes, rate: int, name: str = "") -> Samples:
    """A recording in [-1, 1], its channels averaged.

    Args:
        source: a file that libsndfile reads (wav, flac, ogg, mp3), or its bytes.
        rate: the samples per second that it must have.
        name: its name in errors; by default the path.

    Raises:
        NotFound: no such file.
        InvalidInput: not audio, cut off, another rate, empty, or a sample far beyond [-1, 1].
    """
    soundfile: Any = require("soundfile", "speech")
    called = name or str(source)
    if isinstance(source, Path) and not source.is_file():
        raise NotFound(f"{source}: there is no such recording")
    data = source.read_bytes() if isinstance(source, Path) else source
    if (size := cut_off(data)) is not None:
        raise InvalidInput(f"{called} is cut off: its header states {size:,} bytes, but it has {len(data):,}")
    data = measured(data)
    try:
        samples, found = soundfile.read(io.BytesIO(data), dtype="float32")
    except soundfile.LibsndfileError as error:
        raise InvalidInput(f"{called} is not a recording: {error.error_string}") from None
    if found != rate:
        raise InvalidInput(f"{called} has {found} samples per second, not {rate}; resample it, or set the rate")
    mono: Samples = samples if samples.ndim == 1 else samples.mean(1)
    if not len(mono):
        raise InvalidInput(f"{called} is empty")
    if not (fine := np.abs(mono) < LOUDEST).all():  # fails for NaN too
        number = int(np.argmin(fine))
        hint = "; divide samples on the scale of 16-bit numbers by 32,768" if np.isfinite(mono[number]) else ""
        raise InvalidInput(f"{called}: sample {number} is {mono[number]:g}; expected samples from -1 to 1{hint}")
    return mono


def cut_off(data: bytes) -> int | None:
    """The size in bytes stated by the header of a truncated wav, which libsndfile reads silently; None if not
    truncated."""
    stated = 8 + int.from_bytes(data[4:8], "little")
    # some programs include the header's own 8 bytes
    return stated if data[:4] == b"RIFF" and 44 <= len(data) < stated - 8 and not streamed(data) else None


def streamed(data: bytes) -> bool:
    """Whether a wav was written to a pipe, so that its header does not have the true size.

    libsndfile then writes 0, sox 0x7ffff024, pocket-tts 2,000,000,036, ffmpeg 0xffffffff.
    """
    size = int.from_bytes(data[4:8], "little")
    return data[:4] == b"RIFF" and data[8:12] == b"WAVE" and (size == 0 or ENDLESS <= size != len(data) - 8)


def measured(data: bytes) -> bytes:
    """The wav with its true sizes in the header if it was written to a pipe; its sound then extends to the end."""
    if not streamed(data):
        return data
    start = 12
    while start + 8 <= len(data):
        size, left = int.from_bytes(data[start + 4 : start + 8], "little"), len(data) - start - 8
        if data[start : start + 4] == b"data":
            true = size if 0 < size <= left else left
            sizes = [(len(data) - 8).to_bytes(4, "little"), true.to_bytes(4, "little")]
            return data[:4] + sizes[0] + data[8 : start + 4] + sizes[1] + data[start + 8 :]
        start += 8 + size + size % 2
    return data


def wav(samples: Samples, rate: int) -> bytes:
    """The bytes of a wav file with 16 bits per sample; samples beyond [-1, 1] are clipped."""
    soundfile: Any = require("soundfile", "speech")
    with io.BytesIO() as file:
        soundfile.write(file, samples.clip(-1, 1), rate, format="WAV", subtype="PCM_16")
        return file.getvalue()


def log_mel(samples: Samples, rate: int, bins: int = 40) -> Float[Tensor, "t bins"]:
    """Log energies of mel bands, one row per 10 ms, each over 25 ms (Kaldi's filter banks, without dither).

    Args:
        samples: in [-1, 1], at least 25 ms.
        rate: samples per second.
        bins: number of bands.

    Raises:
        InvalidInput: a recording shorter than one frame; more bands than frequencies.
    """
    fbank: Any = require("kaldi_native_fbank", "speech")
    options = fbank.FbankOptions()
    options.frame_opts.samp_freq = rate
    options.frame_opts.dither = 0.0  # noise would make two readings of one recording differ
    options.frame_opts.frame_length_ms, options.frame_opts.frame_shift_ms = 1000 * WINDOW, 1000 * FRAME_SHIFT
    options.mel_opts.num_bins = bins
    try:
        computer = fbank.OnlineFbank(options)
    except (RuntimeError, ValueError) as error:  # each band needs its own frequency
        raise InvalidInput(f"{bins} mel bands are too many or too few for {rate} samples per second") from error
    computer.accept_waveform(rate, (samples * 32768).tolist())  # Kaldi's scale is that of 16-bit numbers
    computer.input_finished()
    if not computer.num_frames_ready:
        raise InvalidInput(f"a recording of {len(samples) / rate:.3f} s is shorter than one frame of 25 ms")
    # copied, since the frames are views of the computer's buffer
    return torch.from_numpy(np.stack([computer.get_frame(i) for i in range(computer.num_frames_ready)]))
