"""A run's files are replaced atomically, and bad ones are reported."""

import os
import subprocess
import sys
import threading
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


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    """A limit on the file size simulates a full disk."""
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


def test_a_run_does_not_replace_another(tmp_path: Path) -> None:
    made = folder(tmp_path)
    with pytest.raises(InvalidInput, match="--resume"):
        made.create({})


def test_weights_are_loaded_or_the_error_is_reported(tmp_path: Path) -> None:
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


def test_metrics_are_cut_at_a_step_and_an_incomplete_line_is_dropped(tmp_path: Path) -> None:
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


def test_only_one_of_several_processes_gets_a_folder(tmp_path: Path) -> None:
    for there in (False, True):
        path, start, got = tmp_path / f"run-{there}", threading.Barrier(16), []
        if there:
            path.mkdir()

        def claim(path: Path = path, start: threading.Barrier = start, got: list[bool] = got) -> None:
            start.wait()
            try:
                RunFolder(path).claim()
            except InvalidInput:
                return
            got.append(True)

        threads = [threading.Thread(target=claim) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got == [True]


def test_a_folder_with_other_files_is_not_used(tmp_path: Path) -> None:
    for name in ("model.safetensors", "config.yaml", "notes.txt"):
        path = tmp_path / name.replace(".", "-")
        path.mkdir()
        (path / name).write_text("theirs")
        with pytest.raises(
            InvalidInput, match=rf"is not empty \(it contains {name}\) and not a run; name a new folder"
        ):
            RunFolder(path).create({})
        assert os.listdir(path) == [name]
        assert (path / name).read_text() == "theirs"


def test_a_damaged_line_of_the_metrics_is_reported_and_an_incomplete_last_one_is_dropped(tmp_path: Path) -> None:
    made = folder(tmp_path)
    for step in (10, 20, 30):
        made.log({"step": step, "loss": 1.0})
    lines = made.metrics.read_bytes().splitlines(keepends=True)
    for tail in (b'{"step": 40, "lo', b"\xff\xfe", b"\0" * 4096):
        made.metrics.write_bytes(b"".join(lines) + tail)
        assert [line["step"] for line in made.read_metrics()] == [10, 20, 30]
        made.write_csv()
    for damaged in (
        b'{"step": 20, "lo\n',
        b"3\n",
        b'{"loss": 1}\n',
        b'{"step": null}\n',
        b"\xff\n",
        b"[" * 99_999 + b"\n",
    ):
        made.metrics.write_bytes(lines[0] + damaged + lines[2])
        for read in (made.read_metrics, made.write_csv, lambda: made.start_metrics(20)):
            with pytest.raises(InvalidInput, match=r"metrics\.jsonl, line 2: expected metrics of a step, not"):
                read()


@pytest.mark.parametrize("kind", [torch.int32, torch.int64, torch.bool, torch.uint8])
def test_weights_of_another_kind_of_dtype_are_refused(tmp_path: Path, kind: torch.dtype) -> None:
    made, model = folder(tmp_path), nn.Linear(3, 5)
    made.save_weights(model, {name: weight.to(kind) for name, weight in model.state_dict().items()})
    with pytest.raises(InvalidInput, match=rf"weight holds {kind} numbers, but this model expects torch.float32"):
        made.load_weights(model)


def test_weights_of_another_precision_are_accepted(tmp_path: Path) -> None:
    made, model, other = folder(tmp_path), nn.Linear(3, 5), nn.Linear(3, 5)
    made.save_weights(model.double())
    made.load_weights(other)
    assert torch.equal(other.weight, model.weight.float())


def test_an_integer_weight_is_not_loaded_from_floats(tmp_path: Path) -> None:
    made, model = folder(tmp_path), nn.BatchNorm1d(3)
    made.save_weights(model, {**model.state_dict(), "num_batches_tracked": torch.tensor(0.5)})
    with pytest.raises(InvalidInput, match=r"num_batches_tracked holds torch.float32 numbers"):
        made.load_weights(model)


def test_entries_of_a_configuration_file_have_the_right_types(tmp_path: Path) -> None:
    made = folder(tmp_path)
    whole = made.head()
    for key, value in (("system", ["rnnsearch"]), ("variant", 3), ("config", "none"), ("version", 0.1)):
        made.write_head({**whole, key: value})
        with pytest.raises(InvalidInput, match=rf"config\.yaml: {key} must be"):
            made.head()


def test_a_full_disk_is_reported_with_the_metrics_file(tmp_path: Path) -> None:
    made = folder(tmp_path)
    if not Path("/dev/full").exists():
        pytest.skip("there is no device that is always full")
    made.metrics.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        made.log({"step": 1})
    assert caught.value.filename == str(made.metrics)


def test_a_lock_that_cannot_be_created_is_reported_with_the_folder(tmp_path: Path) -> None:
    made = folder(tmp_path)
    (made.path / ".lock").mkdir()
    with pytest.raises(OSError, match="directory") as caught, one_writer(made):
        pass
    assert caught.value.filename == str(made.path)


def test_an_average_without_checkpoints_is_reported(tmp_path: Path) -> None:
    made = folder(tmp_path)
    (made.checkpoints / "weights-last.safetensors").write_bytes(b"somebody else's")
    assert made.earlier() == {}
    with pytest.raises(NotFound, match="has no weights of earlier checkpoints"):
        made.mean_of_earlier(3)
