"""Two processes train like one, resume each other's runs, and report a lost process."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist
from safetensors.torch import load_file

from saccade.core.errors import InvalidInput
from saccade.training.processes import Processes, ProcessGone, first_node, launched, meet
from saccade.training.run_folder import RunFolder
from tests.training.trainings import (
    EXACT,
    FEW,
    PART,
    PRECISE,
    SINGLE,
    STEPS,
    UNEQUAL,
    Carrying,
    Reversals,
    build,
    carried,
    epoch_of,
    examples,
    no_loss,
    spread,
    train,
    two_parts,
)  # fmt: skip

pytestmark = pytest.mark.unhooked
ROOT = Path(__file__).parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
LONGEST = 180  # seconds until a process counts as hung, even on a busy machine
ALONE = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same training by one process, by two with either strategy, and resumed by other numbers of processes."""
    root = tmp_path_factory.mktemp("runs")
    task, few = Reversals(), Reversals(7)
    train(root / "one", task)
    train(root / "one-ddp", task, steps=PART)
    shutil.copytree(root / "one-ddp", root / "one-fsdp2")
    train(root / "one-average", task, average=2, steps=PART)
    train(root / "one-ema", task, ema=0.8, keep="best", steps=PART)
    train(root / "one-metric", task, objective=no_loss, evaluate=spread, keep="best", ema=0.5, steps=PART)
    train(root / "one-attending", task, net="attending")
    train(root / "one-examples", few, objective=examples, **UNEQUAL)
    train(root / "one-two-parts", few, objective=two_parts, **EXACT)
    train(root / "large-two-parts", few, objective=two_parts, **EXACT, batch_size=10_000)
    train(root / "carried-one", task, objective=carried, stream=Carrying(task), steps=PART)
    language: Any = partial(train, task=task, net="language", **PRECISE)
    language(root / "language")
    language(root / "one-tensor", steps=PART)
    launch(root, TORCHRUN)
    for strategy in ("ddp", "fsdp2"):
        train(root / f"{strategy}-one", task)
    language(root / "tensor-one")
    return root


@pytest.fixture(scope="module")
def four(runs: Path) -> Path:
    """Two groups of two processes."""
    launch(runs, [*TORCHRUN[:-1], "4"])
    return runs


def launch(root: Path, start: list[str]) -> None:
    done = subprocess.run(
        [*start, "-m", "tests.training.trainings", str(root)],
        cwd=ROOT, env=ALONE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "suboptimal" not in done.stderr, "torch logs a warning"


def losses(run: Path) -> dict[str, float]:
    lines = RunFolder(run).read_metrics()
    return {f"{line['step']} {name}": line[name] for line in lines for name in line if name.endswith("loss")}


def assert_same(run: Path, other: Path, within: float = 1e-4) -> None:
    """The same losses, at the same steps, and the same weights."""
    assert losses(run) == pytest.approx(losses(other), abs=within)
    ours, theirs = load_file(run / "model.safetensors"), load_file(other / "model.safetensors")
    assert list(ours) == list(theirs)
    for name in ours:
        assert (ours[name] - theirs[name]).abs().max() < within, name


def test_memory_that_one_process_lacks_is_reported_by_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Processes, "gather", lambda self, value: [None, value])
    with (
        pytest.raises(InvalidInput, match="process 1: this machine does not have enough memory"),
        Processes(0, 2).common(),
    ):
        raise MemoryError


def test_some_batches_have_fewer_examples_than_there_are_processes() -> None:
    assert 1 in map(len, epoch_of(Reversals())[:STEPS])
    assert 1 in map(len, epoch_of(Reversals(7)))


@pytest.mark.parametrize("run", ["ddp", "fsdp2"])
def test_two_processes_train_like_one(runs: Path, run: str) -> None:
    assert len(losses(runs / run)) == STEPS // 5 + 3
    assert_same(runs / run, runs / "one")


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_processes_train_attention_and_a_recurrent_net_like_one(runs: Path, strategy: str) -> None:
    assert len(losses(runs / f"{strategy}-attending")) == STEPS // 5 + 3
    assert_same(runs / f"{strategy}-attending", runs / "one-attending")


@pytest.mark.parametrize("run", ["one-ddp", "one-fsdp2", "ddp-one", "fsdp2-one", "ddp-fsdp2", "fsdp2-ddp"])
def test_other_numbers_of_processes_can_resume_a_run(runs: Path, run: str) -> None:
    assert_same(runs / run, runs / "one")


@pytest.mark.parametrize("run", ["one-unequal", "ddp-unequal", "fsdp2-unequal"])
def test_accumulated_batches_of_unequal_size_are_one_large_batch(runs: Path, run: str) -> None:
    few = Reversals(7)
    assert len({sum(few.size(few.examples("train")[i]).output for i in batch) for batch in epoch_of(few)}) > 1
    if run == "one-unequal":
        train(runs / run, few, accumulate=len(epoch_of(few)), **UNEQUAL)
    if not (runs / "large").exists():
        train(runs / "large", few, **UNEQUAL, batch_size=10_000)
    assert_same(runs / run, runs / "large", 1e-5)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_a_part_may_count_examples(runs: Path, strategy: str) -> None:
    assert_same(runs / f"{strategy}-examples", runs / "one-examples", 1e-5)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_parts_have_the_means_of_one_process_in_float64(runs: Path, strategy: str) -> None:
    """Three updates, the gradients of each to 1e-12."""
    assert_same(runs / f"{strategy}-two-parts", runs / "one-two-parts", 1e-12)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_parts_accumulated_by_two_processes_are_one_batch_in_float64(runs: Path, strategy: str) -> None:
    assert_same(runs / f"{strategy}-two-parts-apart", runs / "large-two-parts", 1e-12)


@pytest.mark.parametrize("kind", ["average", "ema"])
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_averaged_weights_equal_those_of_one_process(runs: Path, strategy: str, kind: str) -> None:
    assert_same(runs / f"{strategy}-{kind}", runs / f"one-{kind}")


def test_two_processes_resume_a_stream_with_a_state(runs: Path) -> None:
    """To the last bit; each process has its own state."""
    left, resumed = (RunFolder(runs / f"carried-{name}") for name in ("left", "resumed"))
    assert left.weights.read_bytes() == resumed.weights.read_bytes()
    assert losses(left.path) == losses(resumed.path)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_a_stream_with_a_state_is_not_resumed_by_another_number_of_processes(runs: Path, strategy: str) -> None:
    assert (runs / f"refused-{strategy}").read_text() == (
        f"{runs / 'carried-one'} was trained by 1 process, and each process carries a state from batch to batch; "
        "resume it with 1, not 2"
    )
    run, task = runs / f"carried-{strategy}", Reversals()
    with pytest.raises(InvalidInput) as refused:
        train(run, task, objective=carried, stream=Carrying(task), strategy=strategy)
    assert str(refused.value) == (
        f"{run} was trained by 2 processes, and each process carries a state from batch to batch; "
        "resume it with 2, not 1"
    )


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_a_decisive_metric_equals_that_of_one_process(runs: Path, strategy: str) -> None:
    assert_same(runs / f"{strategy}-metric", runs / "one-metric")
    found = [[line.get("validation_right") for line in RunFolder(runs / run).read_metrics()] for run in
             ("one-metric", f"{strategy}-metric")]  # fmt: skip
    assert any(found[0])
    assert [value for value in found[0] if value] == pytest.approx([value for value in found[1] if value], abs=1e-5)


@pytest.mark.parametrize("run", ["tensor", "one-tensor", "tensor-one", "tensor-fsdp2"])
def test_processes_that_share_layers_train_like_one(runs: Path, run: str) -> None:
    """50 updates in float64; from one layout to another, with and without recomputation; and after a kill between the
    shards and the checkpoint."""
    assert len(losses(runs / run)) == STEPS // 5 + 3
    assert_same(runs / run, runs / "language", 1e-10)
    left = sorted(path.name for path in (runs / run / "checkpoints").iterdir())
    assert left == (["last.ckpt"] if run in ("tensor-one", "tensor-fsdp2") else ["last-50", "last.ckpt"])


@pytest.mark.parametrize("place", [0, 1])
def test_a_missing_file_of_shards_is_reported(runs: Path, tmp_path: Path, place: int) -> None:
    shutil.copytree(runs / "tensor", tmp_path / "run")
    files = sorted((tmp_path / "run" / "checkpoints" / "last-50").iterdir())
    assert len(files) == 2
    files[place].unlink()
    with pytest.raises(InvalidInput, match=r"last-50: some shards of .* are missing|weights of another model"):
        train(tmp_path / "run", Reversals(), net="language", steps=STEPS + 1, **PRECISE)


def test_processes_that_share_layers_train_like_one_in_single_precision(runs: Path) -> None:
    train(runs / "language-single", Reversals(), net="language", **SINGLE)
    assert_same(runs / "tensor-single", runs / "language-single")


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_processes_train_a_language_model_like_one_in_float64(runs: Path, strategy: str) -> None:
    """50 updates, with 65 symbols."""
    assert_same(runs / f"{strategy}-double", runs / "language", 1e-10)


def test_half_of_an_odd_number_of_symbols_is_enough_for_each(runs: Path) -> None:
    """50 updates, with 50,257 symbols."""
    train(runs / "many-symbols", Reversals(), net="many-symbols", **PRECISE)
    assert len(losses(runs / "tensor-many-symbols")) == STEPS // 5 + 3
    assert_same(runs / "tensor-many-symbols", runs / "many-symbols", 1e-10)


@pytest.mark.parametrize("run", ["tensor-kept", "tensor-average"])
def test_averages_of_split_layers_equal_those_of_one_process(runs: Path, run: str) -> None:
    changes: dict[str, Any] = {"ema": 0.8, "keep": "best"} if run == "tensor-kept" else {"average": 2, "accumulate": 2}
    train(runs / f"one-{run}", Reversals(), net="language", **FEW, **PRECISE, **changes)
    assert_same(runs / run, runs / f"one-{run}", 1e-10)


def test_two_groups_of_two_processes_train_like_one(four: Path) -> None:
    """50 updates with either strategy, one of them through a resumed run; 20 in float32."""
    assert_same(four / "four-ddp", four / "language", 1e-10)
    assert_same(four / "four-fsdp2", four / "language", 1e-10)
    train(four / "language-single-part", Reversals(), net="language", steps=PART, **SINGLE)
    assert_same(four / "four-single", four / "language-single-part")
    train(four / "language-average", Reversals(), net="language", average=2, accumulate=2, **FEW, **PRECISE)
    assert_same(four / "four-average", four / "language-average", 1e-10)
    train(four / "four-part", Reversals(), net="language", **PRECISE)  # by one process
    assert_same(four / "four-part", four / "language", 1e-10)


def test_groups_make_up_the_processes() -> None:
    with pytest.raises(InvalidInput) as refused:
        Processes(0, 3).in_groups(2)
    assert str(refused.value) == (
        "3 processes cannot be divided into groups of --training.tensor 2; start a multiple of 2 with torchrun, or "
        "type --training.tensor 1"
    )
    with pytest.raises(InvalidInput, match=r"^1 process cannot be divided into groups"):
        Processes().in_groups(2)
    groups = [Processes(rank, 6).in_groups(2) for rank in range(6)]
    assert [each.data_rank for each in groups] == [0, 0, 1, 1, 2, 2]
    assert {each.data_count for each in groups} == {3}


def test_tied_weights_are_written_once_and_stay_tied(runs: Path) -> None:
    model = build()
    for run in ("one", "ddp", "fsdp2"):
        assert "readout.weight" not in load_file(runs / run / "model.safetensors")
        RunFolder(runs / run).load_weights(model)
        assert model.readout.weight is model.embedding.weight


def test_slurm_determines_the_rank_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)  # so that the changes are undone
    assert launched() == Processes()
    told = {"STEP_NUM_TASKS": 6, "STEP_NUM_NODES": 2, "PROCID": 4, "LOCALID": 1, "NODEID": 1, "JOB_ID": 31234}
    for name, value in {**told, "STEP_NODELIST": "node[07-08]"}.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    assert launched() == Processes(rank=4, count=6, local_rank=1, local_count=3)
    assert launched().run == ""  # from here on the variables are like torchrun's
    assert (os.environ["MASTER_ADDR"], os.environ["GROUP_RANK"]) == ("node07", "1")


LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
SLURM = {"STEP_NUM_TASKS": 2, "STEP_NUM_NODES": 1, "PROCID": 0, "LOCALID": 0, "NODEID": 0, "STEP_NODELIST": "localhost"}


def slurm(job: int, step: int, rank: int = 0) -> dict[str, str]:
    told = {**SLURM, "JOB_ID": job, "STEP_ID": step, "PROCID": rank, "LOCALID": rank}
    return {f"SLURM_{name}": str(value) for name, value in told.items()}


def test_steps_and_jobs_have_separate_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """A regression test: two steps of a job, or jobs 10,000 apart, had the same port, and one joined the other's
    run."""
    found: dict[str, str] = {}
    for job, step in product((123_456, 123_457, 133_456), range(4)):
        for name in LAUNCHER:
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)
        for name, value in slurm(job, step).items():
            monkeypatch.setenv(name, value)
        assert launched().run == f"job {job}, step {step}"
        port = os.environ["MASTER_PORT"]
        assert 15_000 <= int(port) < 32_768
        assert port not in found
        found[port] = f"{job} {step}"


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        number = int(free.getsockname()[1])
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", str(number))
    return number


def test_a_process_does_not_join_another_run(port: int) -> None:
    first = meet(Processes(0, 2, run="job 1, step 0"))
    other = rf"port {port} of localhost is used by another run \(job 1, step 0; this is job 1, step 1\)"
    with pytest.raises(InvalidInput, match=other):
        meet(Processes(1, 2, run="job 1, step 1"))
    with pytest.raises(InvalidInput, match=f"port {port} of localhost cannot be opened; another run may be using it"):
        meet(Processes(0, 2, run="job 1, step 1"))
    second = meet(Processes(1, 2, run="job 1, step 0"))
    first.set("here", "yes")
    assert second.get("here") == b"yes"


def test_a_first_process_that_does_not_answer_is_reported(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saccade.training.processes.PREPARATION", timedelta(seconds=0.2))
    with pytest.raises(InvalidInput, match=f"the first process does not answer at port {port} of localhost"):
        meet(Processes(1, 2))
    monkeypatch.setattr("saccade.training.processes.MEETING", timedelta(seconds=0.2))
    silent = dist.TCPStore("localhost", port, None, True, wait_for_workers=False)
    with pytest.raises(InvalidInput, match="the first process does not answer"):
        meet(Processes(1, 2))
    del silent


def test_two_runs_with_the_same_port_stay_separate(port: int) -> None:
    """The first process of one run, and both of another run with the same port. A thread that still needs the
    interpreter after the last message gets it: else a process now and then aborted at its end."""
    code = (
        "from saccade.training.processes import launched\nfrom saccade.core.errors import InvalidInput\n"
        "import sys, threading, time\nprocesses = launched()\nfreed = []\n"
        "late = threading.Thread(target=lambda: freed.append(time.sleep(0.05)), daemon=True)\n"
        "try:\n    with processes.joined('cpu'):\n"
        "        print(processes.run, processes.gather(processes.rank))\n        late.start()\n"
        "    print(len(freed))\n"
        "except InvalidInput as error:\n    sys.exit(f'told: {error}')\n"
    )

    def start(step: int, rank: int) -> subprocess.Popen[str]:
        names = {name: value for name, value in ALONE.items() if name not in LAUNCHER}
        names |= slurm(77, step, rank) | {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([sys.executable, "-c", code], env=names, **pipes)

    waiting = start(0, 0)
    while socket.socket().connect_ex(("localhost", port)):
        time.sleep(0.1)
    strangers = [start(1, rank) for rank in (0, 1)]
    said = [stranger.communicate(timeout=60)[1] for stranger in strangers]
    assert said[0].startswith(f"told: port {port} of localhost cannot be opened; another run may be using it")
    assert said[1].startswith(
        f"told: port {port} of localhost is used by another run (job 77, step 0; this is job 77, "
    )
    partner = start(0, 1)
    for each in (waiting, partner):
        printed, errors = each.communicate(timeout=60)
        assert (printed, each.returncode) == ("job 77, step 0 [0, 1]\n1\n", 0), errors


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("node07", "node07"), ("node[07-08]", "node07"), ("gpu[3,5-9],login1", "gpu3"), ("a1,b[2-3]", "a1"),
        ("rack[1-2]node[03-04]", "rack1node03"), ("node07 node08", "node07"), ("n-1-[12-14]x", "n-1-12x"),
    ],
)  # fmt: skip
def test_the_first_node_of_a_list(nodes: str, first: str) -> None:
    assert first_node(nodes) == first


@pytest.mark.parametrize(
    ("told", "what"),
    [
        ("Application timeout caused pair closure", "it did not answer in time"),
        ("[../third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1", "is closed"),
        ("Timed out waiting 4000ms for send operation to complete (gloo)", "it did not answer in time"),
    ],
)
def test_library_errors_about_lost_processes_become_one_sentence(told: str, what: str) -> None:
    with pytest.raises(ProcessGone, match=what), Processes(0, 2, 0, 2).watched("runs/a"):
        raise RuntimeError(told)


def test_other_errors_of_a_process_are_unchanged() -> None:
    with pytest.raises(RuntimeError, match="shapes") as caught, Processes(0, 2, 0, 2).watched("runs/a"):
        raise RuntimeError("shapes do not fit")
    assert not isinstance(caught.value, ProcessGone)


def started(run: Path, strategy: str, net: str, patience: float = 40.0, steps: int = 20_000) -> subprocess.Popen[str]:
    program = ["-m", "tests.training.trainings", str(run), strategy, net, str(patience), str(steps)]
    return subprocess.Popen(
        [*TORCHRUN, *program],
        env=ALONE, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def process_of(parent: int, rank: int) -> int:
    """The process of a rank that torchrun started."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return next(int(c) for c in children if f"\0LOCAL_RANK={rank}\0" in Path(f"/proc/{c}/environ").read_text())


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize(("rank", "strategy"), [(0, "ddp"), (1, "fsdp2")])
def test_a_process_that_dies_is_reported_and_the_run_can_be_resumed(tmp_path: Path, rank: int, strategy: str) -> None:
    run = tmp_path / "run"
    running = started(run, strategy, "tied")
    while not RunFolder(run).last.exists() and running.poll() is None:
        time.sleep(0.05)
    os.kill(process_of(running.pid, rank), signal.SIGKILL)
    printed, _ = running.communicate(timeout=LONGEST)
    assert running.returncode != 0
    assert f"saccade: another process of this run was lost (its connection is closed); resume with: torchrun ... " \
        f"-m saccade train --resume {run}\n" in printed  # fmt: skip
    if rank == 0:
        return
    step = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    resumed = started(run, "ddp", "tied", steps=step + 10)
    printed, _ = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, printed
    steps = [line["step"] for line in RunFolder(run).read_metrics() if "loss" in line]
    assert steps == sorted(set(steps))
    assert steps[-1] == step + 10


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize(("net", "strategy"), [("attending", "ddp"), ("tied", "fsdp2")])
def test_a_process_that_hangs_is_reported(tmp_path: Path, net: str, strategy: str) -> None:
    run = tmp_path / "run"
    running = started(run, strategy, net, patience=4.0)
    while not RunFolder(run).last.exists() and running.poll() is None:
        time.sleep(0.05)
    left, hung = (process_of(running.pid, rank) for rank in (0, 1))
    os.kill(hung, signal.SIGSTOP)
    latest = time.monotonic() + LONGEST
    while Path(f"/proc/{left}/cmdline").exists() and Path(f"/proc/{left}/cmdline").read_text():
        assert time.monotonic() < latest, "it waits for the process that hangs"
        time.sleep(0.1)
    os.kill(hung, signal.SIGKILL)  # torchrun would wait for it for half a minute
    printed, _ = running.communicate(timeout=LONGEST)
    assert running.returncode != 0
    assert f"saccade: another process of this run was lost (it did not answer in time); resume with: torchrun ... " \
        f"-m saccade train --resume {run}\n" in printed  # fmt: skip
