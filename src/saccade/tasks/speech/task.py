"""The speech task: recordings with transcripts, features, batches, label error rate."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from saccade.core.errors import InvalidInput
from saccade.core.files import read_record, write_atomically
from saccade.core.masks import length_mask
from saccade.core.task import Figure, Score, Size
from saccade.tasks.speech import digits
from saccade.tasks.speech.audio import FRAME_SHIFT, WINDOW, Samples, log_mel, read_audio, wav
from saccade.tasks.speech.batch import BLANK, END, PAD, SPECIAL, START, Batch, Example, Sound
from saccade.tasks.speech.config import SpeechConfig
from saccade.tasks.speech.manifest import read_manifest
from saccade.tasks.speech.score import label_errors, latencies

SPLITS = ("train", "validation", "test")
KEPT = 1 << 29  # bytes of features that are cached for the next epoch; computing them takes a third of an update


class SpeechTask:
    """Recordings with transcripts. Sounds are joined and turned into features when a batch needs them."""

    metric = "label_error_rate"
    direction: Literal["min"] = "min"
    unit = "%"
    accepts = ("audio/wav",)
    longest_input = 120
    """The longest recording that a user may give, in seconds."""

    def __init__(self, config: SpeechConfig, assets: Path | None = None) -> None:
        self.config = config
        self._examples: dict[str, list[Example]] = {}
        self._rows: dict[str, list[tuple[Sound, str, int]]] = {}
        self._features: dict[object, Tensor] = {}
        self._room = KEPT
        self._own: set[Path] = set()
        if assets is not None:
            kept = read_record(assets / "speech.json", "symbols", "mean", "deviation")
            self.symbols, self.mean, self.deviation = kept["symbols"], kept["mean"], kept["deviation"]
            for numbers in (self.mean, self.deviation):
                if not isinstance(numbers, list) or len(numbers) != config.bins:
                    raise InvalidInput(
                        f"{assets / 'speech.json'}: expected a mean and a deviation of {config.bins} bands"
                    )
            return
        words = {label for _, transcript, _ in self._read("train") for label in self.split(transcript)}
        self.symbols = [*SPECIAL, *sorted(words)]
        features = torch.cat([self._sound_features(sound) for sound, *_ in self._read("train")[:500]])
        # a band that never changes keeps its scale
        deviation = features.std(0).clamp(min=1e-3)
        self.mean, self.deviation = features.mean(0).tolist(), deviation.tolist()

    @cached_property
    def recordings(self) -> dict[digits.Recording, Samples]:
        """The single digits."""
        if self.config.corpus == "dialled":
            return digits.dialled_digits()
        if self.config.folder is None:
            raise InvalidInput(
                "expected recordings: type --task.folder FOLDER for the digits, or --task.train FILE for your own"
            )
        return digits.read_recordings(self.config.folder)

    def split(self, transcript: str) -> list[str]:
        """A transcript as labels."""
        return transcript.split() if self.config.unit == "word" else list(" ".join(transcript.split()))

    def _read(self, split: str) -> list[tuple[Sound, str, int]]:
        """Sound, transcript and number of samples of each example of a split; read once."""
        if split not in self._rows:
            self._rows[split] = self._read_split(split)
        return self._rows[split]

    def _read_split(self, split: str) -> list[tuple[Sound, str, int]]:
        config = self.config
        path = getattr(config, split)
        if config.train is not None and path is None:
            raise InvalidInput(f"--task.train also needs --task.{split} FILE")
        if path is not None:
            rows = [(sound, text, self._samples(sound)) for sound, text in read_manifest(path)]
            self._own |= {sound for sound, *_ in rows}
            for sound, text, samples in rows:
                self._check_room(str(sound), text, samples)
            return list(rows)
        if config.rate != digits.RATE:
            raise InvalidInput(f"the digits have {digits.RATE} samples per second, not {config.rate}")
        own = [recording for recording in self.recordings if digits.split_of(recording, config.speaker) == split]
        if config.speaker is not None and split == "test" and not own:
            names = ", ".join(sorted({recording.speaker for recording in self.recordings}))
            raise InvalidInput(f"there is no speaker {config.speaker!r}; there are {names}")
        share, times = {"train": (1, 1), "validation": (10, config.times_as_long), "test": (5, config.times_as_long)}[
            split
        ]
        strings = digits.draw_strings(
            own, max(1, config.strings // share), (config.fewest * times, config.most * times),
            (config.shortest_gap, config.longest_gap), config.draw + SPLITS.index(split),
        )  # fmt: skip
        lengths = [sum(len(self.recordings[r]) for r in string.recordings) + sum(string.gaps) for string in strings]
        for string, length in zip(strings, lengths, strict=True):
            self._check_room(f"the string {string.transcript}", string.transcript, length)
        return [(string, string.transcript, length) for string, length in zip(strings, lengths, strict=True)]

    def _check_room(self, sound: str, transcript: str, samples: int) -> None:
        labels, steps = self.split(transcript), self._steps(samples)
        # one step for each label, and one between equal neighbours, which CTC would otherwise merge
        needed = len(labels) + sum(label == after for label, after in pairwise(labels))
        if needed > steps:
            raise InvalidInput(
                f"{sound} has {steps} steps, but its {len(labels)} labels need {needed}; check the transcript, or "
                f"stack fewer frames than {self.config.stack} per step (--task.stack)"
            )

    def examples(self, split: str) -> Sequence[Example]:
        if split not in SPLITS:
            raise InvalidInput(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
        if split not in self._examples:
            found = [
                Example(sound, samples, transcript, self.encode(transcript))
                for sound, transcript, samples in self._read(split)
            ]
            if split == "validation" and not any(example.target for example in found):
                said = found[0].transcript
                raise InvalidInput(
                    f"no label of the validation split occurs in training; its first transcript is {said!r}"
                )
            self._examples[split] = found
        return self._examples[split]

    def encode(self, transcript: str) -> list[int]:
        """Symbols of the labels. Labels that do not occur in training are dropped, since the model cannot emit them."""
        known = {symbol: i for i, symbol in enumerate(self.symbols)}
        return [known[label] for label in self.split(transcript) if label in known]

    def read(self, raw: str | bytes) -> Example:
        """Make an example from the path of a recording, or from the bytes of a wav file.

        Raises:
            NotFound: no such file.
            InvalidInput: not a recording, another rate, shorter than a frame, or longer than `longest_input`.
        """
        if isinstance(raw, bytes) and (raw[:4] != b"RIFF" or raw[8:12] != b"WAVE"):
            # a compressed format could hold hours in the same number of bytes
            raise InvalidInput("expected a wav file")
        sound: Path | bytes = raw if isinstance(raw, bytes) else Path(raw.strip())
        if isinstance(raw, str) and not raw.strip():
            raise InvalidInput("expected the path of a recording; the input is empty")
        most, name = self.longest_input * self.config.rate, name_of(sound)
        size = len(sound) if isinstance(sound, bytes) else sound.stat().st_size if sound.is_file() else 0
        if size > 16 * most + (1 << 16):  # two channels of 8 bytes per sample, and a header
            raise InvalidInput(f"{name}: expected at most {self.longest_input} seconds of sound, got {size:,} bytes")
        samples = self._samples(sound)
        if (seconds := samples / self.config.rate) > self.longest_input:
            raise InvalidInput(
                f"{name}: expected at most {self.longest_input} seconds of sound, got {seconds:,.0f}; split it"
            )
        return Example(sound, samples, "", [])

    def _samples(self, sound: Path | bytes) -> int:
        """The number of samples of a recording, which must be at least a frame long."""
        name, rate = name_of(sound), self.config.rate
        samples = len(read_audio(sound, rate, name))
        if samples < round(WINDOW * rate):
            raise InvalidInput(f"{name} has {samples / rate:.3f} s, less than one frame of {1000 * WINDOW:.0f} ms")
        return samples

    def notes(self, example: Example) -> list[str]:
        return []

    def steps(self, example: Example) -> int:
        """The number of steps of an example's features, without computing them."""
        return self._steps(example.samples)

    def _steps(self, samples: int) -> int:
        window, shift = (round(seconds * self.config.rate) for seconds in (WINDOW, FRAME_SHIFT))
        return max(1, (1 + (samples - window) // shift) // self.config.stack)

    def size(self, example: Example) -> Size:
        return Size(self.steps(example), len(example.target) + 1)

    def features(self, example: Example) -> Float[Tensor, "t f"]:
        """Normalised log-mel features, `stack` frames per row."""
        sound = example.sound
        if isinstance(sound, bytes) or (isinstance(sound, Path) and sound not in self._own):
            return self._make_features(example)  # a user's input, which is read only once
        key = (sound, sound.stat().st_mtime_ns) if isinstance(sound, Path) else sound  # a file may be overwritten
        if key not in self._features:
            made = self._make_features(example)
            if made.nbytes > self._room:
                return made
            self._room -= made.nbytes
            self._features[key] = made
        return self._features[key]

    def _make_features(self, example: Example) -> Float[Tensor, "t f"]:
        frames = (self._sound_features(example.sound) - torch.tensor(self.mean)) / torch.tensor(self.deviation)
        stack = self.config.stack
        if len(frames) < stack:  # a shorter sound is padded to one row
            frames = torch.cat([frames, frames.new_zeros(stack - len(frames), frames.shape[1])])
        return frames[: len(frames) // stack * stack].reshape(-1, stack * self.config.bins)

    def _sound_features(self, sound: Sound) -> Float[Tensor, "t f"]:
        return log_mel(self._sound(sound), self.config.rate, self.config.bins)

    def _sound(self, sound: Sound) -> Samples:
        if isinstance(sound, digits.DigitString):
            return digits.join(sound, self.recordings)
        return read_audio(sound, self.config.rate, name_of(sound))

    def collate(self, examples: Sequence[Example], generator: Any = None) -> Batch:
        features = [self.features(example) for example in examples]
        lengths = torch.tensor([len(rows) for rows in features])
        inputs, targets = (
            pad_sequence([torch.tensor([*before, *example.target, *behind]) for example in examples], True, PAD)
            for before, behind in (([START], []), ([], [END]))
        )
        padded = pad_sequence(features, True)
        return Batch(padded, length_mask(lengths, padded.shape[1]), inputs, targets)

    def decode(self, prediction: Sequence[int]) -> str:
        joint = " " if self.config.unit == "word" else ""
        return joint.join(self.symbols[symbol] for symbol in prediction if symbol >= len(SPECIAL))

    def answer(self, example: Example) -> list[int]:
        return example.target

    def replay(self, example: Example, prediction: Sequence[int]) -> Example:
        said = [symbol for symbol in prediction if symbol >= len(SPECIAL)]
        return example._replace(target=said, transcript=self.decode(prediction))

    def labels(self, example: Example) -> Mapping[str, Sequence[str]]:
        said = [self.symbols[symbol] for symbol in example.target]
        times = [f"{i * self.step_seconds:.2f}" for i in range(self.steps(example))]
        return {
            "label": [*said, "end"], "label so far": ["start", *said], "symbol": self.symbols, "time (seconds)": times
        }  # fmt: skip

    @property
    def step_seconds(self) -> float:
        """Seconds from one step of the encoder to the next."""
        return FRAME_SHIFT * self.config.stack

    def frames(self, example: Example) -> Float[Tensor, "t f"]:
        """The log-mel features, neither normalised nor stacked, one row per `FRAME_SHIFT` seconds."""
        return self._sound_features(example.sound)

    def compare(self, example: Example, prediction: Sequence[int]) -> Mapping[str, str]:
        sound = example.sound
        name = sound.recordings[0].speaker if isinstance(sound, digits.DigitString) else name_of(sound)
        return {"recording": name, "ours": self.decode(prediction), "reference": example.transcript}

    def examples_to_type(self, count: int) -> list[str | bytes]:
        """The bytes of wav files."""
        return [wav(self._sound(example.sound), self.config.rate) for example in self.examples("test")[:count]]

    def score(self, predictions: Sequence[Sequence[int]], examples: Sequence[Example]) -> Score:
        """Label error rate (substitutions, deletions and insertions per label), the share of answers without errors,
        and, if answers have a symbol for each step, the delays of labels."""
        said = [self.decode(prediction) for prediction in predictions]
        wanted = [" ".join(example.transcript.split()) for example in examples]
        figures = label_errors(said, wanted, self.config.unit == "word")
        pairs = zip(predictions, examples, strict=True)
        delays = [delay for prediction, example in pairs for delay in self.delays(prediction, example)]
        if not delays:
            return Score(figures)
        return Score(figures | {"latency": Figure(sum(delays) / len(delays), "s")}, {"latencies": latencies(delays)})

    def aligned(self, example: Example, weights: Float[Tensor, "u t"]) -> list[bool]:
        """For each label of a digit string, whether its largest weight is on its digit or at most a step away; [] for
        other sounds."""
        if not isinstance(example.sound, digits.DigitString):
            return []
        step = self.step_seconds
        times = [(place + 0.5) * step for place in weights.argmax(1).tolist()]
        spans = digits.boundaries(example.sound, self.recordings)
        return [start - step <= time <= end + step for time, (start, end) in zip(times, spans, strict=False)]

    def delays(self, prediction: Sequence[int], example: Example) -> list[float]:
        """The delay from the end of each digit to its label, in seconds, for a correct answer with a symbol for each
        step."""
        if BLANK not in prediction or not isinstance(example.sound, digits.DigitString):
            return []
        said = [step for step, symbol in enumerate(prediction) if symbol != BLANK]
        if [prediction[step] for step in said] != example.target:
            return []
        seconds = self.step_seconds
        ends = (end for _, end in digits.boundaries(example.sound, self.recordings))
        return [(step + 1) * seconds - end for step, end in zip(said, ends, strict=True)]

    def describe(self) -> dict[str, Any]:
        config = self.config
        digest = hashlib.sha256(repr([self._rows_as_named(split) for split in SPLITS]).encode("utf-8"))
        if config.train is None:
            for sound in self.recordings.values():
                digest.update(sound.tobytes())
        own = config.train is not None
        longer = f", test {config.times_as_long} times as long" if config.times_as_long > 1 else ""
        left_out = f", {config.speaker} left out" if config.speaker else ""
        tested = f", test {config.test.name}" if config.test and not own else ""
        what = "spoken digits (FSDD)" if config.corpus == "digits" else "dialled digits"
        return {
            "data": config.train.name if config.train else f"strings of {what}{longer}{left_out}{tested}",
            "recordings" if own else "strings": {split: len(self.examples(split)) for split in SPLITS},
            "symbols": len(self.symbols),
            "sha256": digest.hexdigest(),
        }

    def _rows_as_named(self, split: str) -> list[Any]:
        """The rows of a split, with paths relative to the user's file, so that file and recordings can be moved."""
        folder = Path(getattr(self.config, split) or self.config.train or "").parent
        return [
            (Path(os.path.relpath(sound, folder)) if isinstance(sound, Path) else sound, *more)
            for sound, *more in self._read(split)
        ]

    def check_trained(self, trained: SpeechConfig) -> None:
        """Check that the fields on which weights and features depend are those of the training.

        Raises:
            InvalidInput: naming the field.
        """
        for name in ("unit", "rate", "bins", "stack"):
            asked, learned = getattr(self.config, name), getattr(trained, name)
            if asked != learned:
                raise InvalidInput(f"task.{name} was {learned!r} when this run was trained; it cannot be {asked!r} now")

    def save(self, folder: Path) -> None:
        kept = {"symbols": self.symbols, "mean": self.mean, "deviation": self.deviation}
        write_atomically(folder / "speech.json", (json.dumps(kept, ensure_ascii=False) + "\n").encode("utf-8"))


def name_of(sound: Path | bytes) -> str:
    """The name of a recording in errors."""
    return "the recording" if isinstance(sound, bytes) else str(sound)
