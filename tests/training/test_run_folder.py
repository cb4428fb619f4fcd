"""A run's files are replaced atomically, and bad ones are reported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.files import write_atomically
from saccade.training.run_folder import RunFolder, one_writer


def folder(path: Path) -> RunFolder:
    made = RunFolder(path / "run")
    made.create({"system": "rnnsearch", "variant": "tiny", "config": {}, "version": "0"})
    return made


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"before")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"after")
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk_is_reported_and_nothing_is_lost(tmp_path: Path) -> None:
    """A limit on the size of a file is the nearest thing to a full disk that needs no other disk."""
    code = f"""
import resource, signal
from pathlib import Path
from saccade.core.files import write_atomically
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path({str(tmp_path)!r}) / "file"
write_atomically(path, b"before")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write_atomically(path, bytes(5000))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "OSError: [Errno 27]" in found.stderr
    assert (tmp_path / "file").read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["file"]


def test_a_run_is_not_made_over_another(tmp_path: Path) -> None:
    made = folder(tmp_path)
    with pytest.raises(InvalidInput, match="--resume"):
        made.create({})


def test_weights_come_back_or_say_why_not(tmp_path: Path) -> None:
    made, model = folder(tmp_path), nn.Linear(3, 5)
    with pytest.raises(NotFound, match="no weights"):
        made.load_weights(model)
    made.save_weights(model)
    other = nn.Linear(3, 5)
    made.load_weights(other)
    assert torch.equal(model.weight, other.weight)
    with pytest.raises(InvalidInput, match=r"another model: weight is \(5, 3\).* expects \(5, 7\)"):
        made.load_weights(nn.Linear(7, 5))
    with pytest.raises(InvalidInput, match="no such weight"):
        made.load_weights(nn.Linear(3, 5, bias=False))
    made.weights.write_bytes(made.weights.read_bytes()[:-7])
    with pytest.raises(InvalidInput, match="damaged or cut off"):
        made.load_weights(other)


def test_metrics_are_cut_at_a_step_and_a_broken_line_goes(tmp_path: Path) -> None:
    made = folder(tmp_path)
    for step in (10, 20, 30):
        made.log({"step": step, "loss": 1.0})
    with made.metrics.open("a") as file:
        file.write('{"step": 40, "lo')
    made.start_metrics(20)
    made.log({"step": 30, "validation_loss": 2.0})
    assert [line["step"] for line in made.read_metrics()] == [10, 20, 30]
    made.write_csv()
    assert (made.path / "metrics.csv").read_text().splitlines() == [
        "step,loss,validation_loss", "10,1.0,", "20,1.0,", "30,,2.0",
    ]  # fmt: skip


def test_what_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such run folder"):
        RunFolder(tmp_path / "none").head()
    with pytest.raises(NotFound, match="not a run"):
        RunFolder(tmp_path).head()
    made = folder(tmp_path)
    for broken in ("a: [", "just text", "system: rnnsearch"):
        made.config.write_text(broken)
        with pytest.raises(InvalidInput, match=r"config\.yaml"):
            made.head()


def test_two_commands_do_not_write_one_run(tmp_path: Path) -> None:
    made = folder(tmp_path)
    with one_writer(made), pytest.raises(InvalidInput, match="another process"), one_writer(made):
        pass
    with one_writer(made):
        pass
