"""A run is a folder: config.yaml, assets/, checkpoints/, metrics.jsonl, model.safetensors, evidence.json, pictures/.

Files are replaced as a whole; metrics.jsonl grows line by line, and an incomplete last line is dropped at the next
start.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from saccade.core.errors import InvalidInput, NotFound, require
from saccade.core.files import naming, write_atomically
from saccade.training import record
from saccade.training.evidence import written
from saccade.training.packed import unpack
from saccade.training.tensors import check_fit, read_tensors, ties, write_tensors

HEAD = {"system": str, "variant": str, "config": dict, "version": str}
"""The required keys of config.yaml, with their types."""
EARLIER = re.compile(r"weights-(\d{1,18})\.safetensors")


class RunFolder:
    """The files of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.assets = path / "assets"
        self.checkpoints = path / "checkpoints"
        self.last = self.checkpoints / "last.ckpt"
        self.best = self.checkpoints / "best.ckpt"
        self.metrics = path / "metrics.jsonl"
        self.weights = path / "model.safetensors"
        self.evidence = path / "evidence.json"
        self.inputs = self.assets / "inputs"
        self.pictures = path / "pictures"

    def check_free(self) -> None:
        """Check that the folder can become a new run.

        Raises:
            InvalidInput: it contains a run, or any other file.
        """
        if self.is_run():
            raise InvalidInput(
                f"{self.path} already contains a run; resume it with: saccade train --resume {self.path}"
            )
        held = sorted(path.name for path in self.path.iterdir()) if self.path.is_dir() else []
        if held := [name for name in held if not name.startswith(".")]:
            named = ", ".join(held[:3]) + (", ..." if held[3:] else "")
            raise InvalidInput(f"{self.path} is not empty (it contains {named}) and not a run; name a new folder")

    def claim(self) -> None:
        """Create the folder for a new run; if several processes try, one succeeds.

        Raises:
            InvalidInput: as for `check_free`, or another process took it.
        """
        self.check_free()
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self.checkpoints.mkdir()  # only one process can create it
        except FileExistsError:
            raise InvalidInput(f"{self.path} was just taken by another process; name a new folder") from None
        self.make_folders()

    def make_folders(self) -> None:
        """Create the missing folders within the run."""
        for folder in (self.assets, self.checkpoints, self.pictures):
            folder.mkdir(exist_ok=True)

    def create(self, head: Mapping[str, Any]) -> None:
        """Claim the folder and write the configuration.

        Raises:
            InvalidInput: as for `claim`.
        """
        self.claim()
        self.write_head(head)

    def is_run(self) -> bool:
        """Whether there is a config.yaml of saccade; weights alone may be another program's checkpoint."""
        try:
            self.head()
        except (NotFound, InvalidInput):
            return False
        return True

    def write_head(self, head: Mapping[str, Any]) -> None:
        yaml: Any = require("yaml", "app")
        write_atomically(self.config, yaml.safe_dump(dict(head), sort_keys=False, allow_unicode=True).encode("utf-8"))

    def head(self) -> dict[str, Any]:
        """The content of config.yaml: the system, the variant, the version, the configuration.

        Raises:
            NotFound: no such run.
            InvalidInput: the file was not written by saccade.
        """
        if not self.path.is_dir():
            raise NotFound(f"{self.path}: there is no such run folder")
        if not self.config.is_file():
            raise NotFound(f"{self.path} is not a run: it has no {self.config.name}")
        head = read_yaml(self.config)
        if not isinstance(head, dict) or not set(HEAD) <= set(head):
            raise InvalidInput(f"{self.config}: expected the keys {', '.join(HEAD)}; the file may be cut off")
        for name, kind in HEAD.items():
            if not isinstance(head[name], kind):
                expected = "text" if kind is str else "options"
                raise InvalidInput(f"{self.config}: {name} must be {expected}, not {head[name]!r}")
        return head

    def save_weights(self, model: nn.Module, tensors: Mapping[str, torch.Tensor] | None = None) -> None:
        """Write the weights of the model, or the given ones; a weight with two names is written once."""
        write_tensors(self.weights, model.state_dict() if tensors is None else tensors, ties(model))

    def earlier(self) -> dict[int, Path]:
        """The files of kept weights by step, in order."""
        there = [(EARLIER.fullmatch(path.name), path) for path in self.checkpoints.glob("weights-*.safetensors")]
        return dict(sorted((int(name[1]), path) for name, path in there if name))

    def save_earlier(self, step: int, tensors: Mapping[str, torch.Tensor], tied: Mapping[str, str]) -> None:
        """Keep the weights of a checkpoint, to be averaged with others."""
        write_tensors(self.checkpoints / f"weights-{step}.safetensors", tensors, tied)

    def prune_earlier(self, step: int, every: int, last: int, count: int) -> None:
        """Keep the files that an uninterrupted run has after this step: the last `count`, of regular checkpoints
        only."""
        files = self.earlier()
        kept = [at for at in files if at <= step and (at % every == 0 or at == last)]
        for at in set(files) - set(kept[-count:]):
            files[at].unlink()

    def mean_of_earlier(self, count: int) -> dict[str, torch.Tensor]:
        """The mean of the last `count` kept weights, summed in float64; of integers the last value."""
        paths = list(self.earlier().values())[-count:]
        if not paths:
            raise NotFound(f"{self.checkpoints} has no weights of earlier checkpoints (weights-STEP.safetensors)")
        last = read_tensors(paths[-1])
        sums = {name: torch.zeros_like(t, dtype=torch.float64) for name, t in last.items() if t.is_floating_point()}
        for path in paths:
            kept = read_tensors(path)
            for name in sums:
                sums[name] += kept[name]
        return last | {name: (total / len(paths)).to(last[name].dtype) for name, total in sums.items()}

    def load_weights(self, model: nn.Module) -> None:
        """Load the weights into the model.

        Raises:
            NotFound: there are no weights.
            InvalidInput: a damaged file, or the weights of another model.
        """
        if not self.weights.is_file():
            raise NotFound(
                f"{self.path} has no weights ({self.weights.name}); finish it with: saccade train --resume {self.path}"
            )
        tensors, tied = unpack(read_tensors(self.weights)), ties(model)
        for name, first in tied.items():
            if name in tensors and first in tensors and not torch.equal(tensors[name], tensors[first]):
                raise InvalidInput(
                    f"{self.weights}: the weights of another model: it shares {name} and {first}, which differ"
                )
        tensors |= {name: tensors[first] for name, first in tied.items() if first in tensors}
        check_fit(model, tensors, str(self.weights))
        model.load_state_dict(tensors)

    def start_metrics(self, step: int) -> None:
        """Keep only the lines up to that step, so that none is duplicated when the run resumes there."""
        kept = [line for line, found in self._metrics() if found["step"] <= step]
        write_atomically(self.metrics, b"".join(kept))

    def _metrics(self) -> list[tuple[bytes, dict[str, Any]]]:
        """The lines of the metrics, as text and as values."""
        with naming(self.metrics):
            lines = self.metrics.read_bytes().splitlines(keepends=True) if self.metrics.exists() else []
        # an incomplete last line is dropped; its step is repeated when the run resumes
        whole = lines[:-1] if lines and not lines[-1].endswith(b"\n") else lines
        return [(line, self._figures(number, line)) for number, line in enumerate(whole, start=1)]

    def _figures(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or type(found.get("step")) is not int:
            raise InvalidInput(f"{self.metrics}, line {number}: expected metrics of a step, not {line[:60]!r}")
        return found

    def sweep(self) -> None:
        """Remove temporary files that a killed process left."""
        for folder in (self.path, self.assets, self.checkpoints):
            for path in folder.glob(".*.*.[0-9]*"):
                path.unlink(missing_ok=True)

    def log(self, line: Mapping[str, Any]) -> None:
        with naming(self.metrics), self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def read_metrics(self) -> list[dict[str, Any]]:
        """The lines of the metrics; an incomplete last line is dropped.

        Raises:
            InvalidInput: another line is damaged; names its number.
        """
        return [found for _, found in self._metrics()]

    def scored(self) -> bool:
        """Whether weights and evidence are those of the number of steps in config.yaml."""
        try:
            steps = self.read_evidence()["config"]["training"]["steps"]
            return self.weights.is_file() and bool(steps == self.head()["config"]["training"]["steps"])
        except (NotFound, InvalidInput, LookupError, TypeError):
            return False

    def read_evidence(self) -> dict[str, Any]:
        """The evidence that was written at the end of the training.

        Raises:
            NotFound: the training has not ended.
            InvalidInput: a damaged file, or not evidence.
        """
        if not self.evidence.is_file():
            raise NotFound(f"{self.path} has no {self.evidence.name}; it is written when a training ends")
        return record.read(self.evidence)[0]

    def write_evidence(self, found: Mapping[str, Any]) -> None:
        """Replace the evidence.

        Raises:
            InvalidInput: values that evidence cannot store.
        """
        data = written(found)
        record.check(data, self.evidence)
        write_atomically(self.evidence, data)

    def keep_study(self, name: str, key: str, found: Mapping[str, Any]) -> None:
        """Store the findings of a study in the evidence, without changing anything else."""
        evidence = self.read_evidence()
        studies = evidence["studies"]
        studies[name] = {**studies.get(name, {}), key: dict(found)} if key else dict(found)
        self.write_evidence(evidence)

    def keep_inputs(self, inputs: Sequence[str | bytes]) -> None:
        """Store sample inputs, as text or as files."""
        self.inputs.mkdir(exist_ok=True)
        texts = [one for one in inputs if isinstance(one, str)]
        if texts:
            data = json.dumps(texts, ensure_ascii=False, indent=1) + "\n"
            write_atomically(self.inputs / "texts.json", data.encode("utf-8"))
        for number, one in enumerate((one for one in inputs if isinstance(one, bytes)), start=1):
            write_atomically(self.inputs / f"{number}.{ending(one)}", one)

    def input_files(self) -> list[Path]:
        """The files among the sample inputs."""
        return sorted(path for path in self.inputs.glob("[0-9]*.*") if path.is_file())

    def kept_inputs(self) -> list[str | bytes]:
        """The sample inputs of the run."""
        texts = self.inputs / "texts.json"
        found: list[str | bytes] = []
        if texts.is_file():
            found += [str(text) for text in json.loads(texts.read_text(encoding="utf-8"))]
        return found + [path.read_bytes() for path in self.input_files()]

    def write_csv(self) -> None:
        """Write the metrics as a table, metrics.csv."""
        rows = self.read_metrics()
        table = io.StringIO()
        columns = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(table, columns)
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.path / "metrics.csv", table.getvalue().encode("utf-8"))


def ending(data: bytes) -> str:
    """The file name extension for these bytes."""
    if data[:4] == b"RIFF":
        return "wav"
    kinds = {b"\x89PNG": "png", b"\xff\xd8": "jpg", b"GIF8": "gif", b"MThd": "mid"}
    return next((kind for start, kind in kinds.items() if data.startswith(start)), "bin")


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        InvalidInput: a file that does not parse.
    """
    yaml: Any = require("yaml", "app")
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    # an invalid date or number raises the error of its constructor
    except (yaml.YAMLError, ValueError, IndexError, RecursionError) as error:
        raise InvalidInput(f"{path}: not YAML ({' '.join(str(error).split())[:200]})") from error


@contextmanager
def one_writer(folder: RunFolder) -> Iterator[None]:
    """Lock the run while it is written, so that two commands do not write the same one.

    Raises:
        InvalidInput: another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        yield
        return
    with naming(folder.path):
        file = (folder.path / ".lock").open("w")
    with file:
        try:
            with naming(folder.path):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InvalidInput(f"{folder.path} is being trained by another process") from error
        folder.sweep()
        yield
