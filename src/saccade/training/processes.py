"""Training with several processes: the rank of each, and communication among them.

Processes are started by torchrun or by SLURM's srun.
"""

import ctypes
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store

from saccade.core.device import pick_device
from saccade.core.errors import InvalidInput, SaccadeError, out_of_memory

PREPARATION = timedelta(hours=2)  # at the start one process may take much longer than another to read its data
MEETING = timedelta(minutes=1)  # the first process publishes the name of its run as soon as it can be reached
STEP = timedelta(seconds=40)  # a process that does not answer for this long between two steps is lost
START = "start several processes with torchrun, or a single one with: env -u RANK -u WORLD_SIZE saccade ..."
# messages of libraries that raise a plain RuntimeError for a lost connection
LOST = re.compile("gloo|nccl|pair closure|connection (closed|reset)|broken pipe", re.IGNORECASE)


class ProcessGone(SaccadeError, RuntimeError):
    """Another process of the run has died or does not answer."""


@dataclass(frozen=True)
class Processes:
    """This process among those of a run; by default there is only one, and all methods do nothing."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1
    run: str = field(default="", compare=False)
    """The name of this run, the same in all its processes and different from any other run; "" if the launcher sets
    none."""
    tensor: int = 1
    """The number of neighbouring processes that compute the same batches together, each with a part of every layer."""

    @property
    def alone(self) -> bool:
        return self.count == 1

    @property
    def data_rank(self) -> int:
        """The rank of this process on the data axis, along which batches are divided."""
        return self.rank // self.tensor

    @property
    def data_count(self) -> int:
        """The number of processes on the data axis."""
        return self.count // self.tensor

    def in_groups(self, tensor: int) -> "Processes":
        """These processes in groups of `tensor`, which share the layers.

        Raises:
            InvalidInput: the processes cannot be divided into groups of that size.
        """
        if self.count % tensor:
            raise InvalidInput(
                f"{self.count} process{'es' * (self.count > 1)} cannot be divided into groups of --training.tensor "
                f"{tensor}; start a multiple of {tensor} with torchrun, or type --training.tensor 1"
            )
        return replace(self, tensor=tensor)

    @contextmanager
    def joined(self, device: str) -> Iterator[None]:
        """A context in which all processes are connected.

        Raises:
            InvalidInput: a device that several processes cannot share; a port that another program or run uses.
        """
        if self.alone:
            yield
            return
        chosen = pick_device(device)
        if chosen.type == "mps" or chosen.index is not None:
            raise InvalidInput(f"{self.count} processes cannot share {device!r}; use --device cpu or cuda")
        if chosen.type == "cuda":
            if self.local_count > torch.cuda.device_count():
                raise InvalidInput(
                    f"{self.local_count} processes on a machine with {torch.cuda.device_count()} CUDA devices"
                )
            torch.cuda.set_device(self.local_rank)
        # values to agree on are on the CPU, where gloo detects a dead process at once and raises
        backend = "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo"
        if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":  # torchrun has already opened a port
            dist.init_process_group(backend, timeout=PREPARATION)
        else:
            store, rank, count = meet(self), self.rank, self.count
            dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=PREPARATION)
        try:
            yield
            # A thread of gloo frees Python objects after its last message, and Python 3.11 to 3.13 abort a process that
            # ends while a thread of a library waits for the interpreter's lock; so let go of the lock before the end.
            # A process that fails does not wait: torchrun would end it before its error is printed.
            time.sleep(0.1)
        finally:
            # The groups stay in memory: the destructor of gloo joins its threads while it holds the interpreter's lock,
            # and a thread that releases Python objects waits for that lock, so that a failed process would never end.
            for group in list(dist.distributed_c10d._world.pg_map):
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(group))
            dist.destroy_process_group()

    @contextmanager
    def watched(self, run: str | None) -> Iterator[None]:
        """Report the death of another process in one sentence.

        Args:
            run: the run's folder, as typed; None if there is none yet.

        Raises:
            ProcessGone: it died, or did not answer in time.
        """
        try:
            yield
        except RuntimeError as error:
            text = str(error)
            if self.alone or not (isinstance(error, dist.DistError) or LOST.search(text)):
                raise
            what = (
                "it did not answer in time"
                if re.search("timed? ?out", text, re.IGNORECASE)
                else "its connection is closed"
            )
            again = f"resume with: torchrun ... -m saccade train --resume {run}" if run else "start the run again"
            raise ProcessGone(f"another process of this run was lost ({what}); {again}") from error

    @contextmanager
    def common(self) -> Iterator[None]:
        """If one process raises an error, stop all: rank 0 reports it, and the others stop silently."""
        if self.alone:
            yield
            return
        message = None
        try:
            yield
        except (SaccadeError, OSError) as error:
            message = str(error)
        except (MemoryError, RuntimeError) as error:
            if (full := out_of_memory(error)) is None:
                raise
            message = str(full)
        messages = self.gather(message)
        for rank, text in enumerate(messages):
            if text is not None:
                raise InvalidInput(f"process {rank}: {text}" if rank else text) if self.rank == 0 else SystemExit(2)

    @contextmanager
    def alike(self) -> Iterator[None]:
        """Errors that every process finds by itself, before they are connected: rank 0 reports them, and the others
        stop silently."""
        try:
            yield
        except SaccadeError:
            if self.rank:
                raise SystemExit(2) from None
            raise

    def refuse(self, why: str) -> None:
        """Raise an error that all processes have found.

        Raises:
            InvalidInput: in the first process; the others stop silently.
        """
        with self.common():
            raise InvalidInput(why)

    def agree(self, value: Any) -> Any:
        """The value of the first process, in all processes."""
        box = [value]
        if not self.alone:
            dist.broadcast_object_list(box)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, by rank."""
        box = [value] * self.count
        if not self.alone:
            dist.all_gather_object(box, value)
        return box

    def gather_data(self, value: Any) -> list[Any]:
        """The values along the data axis; the processes of a group have the same."""
        return self.gather(value)[:: self.tensor]

    def total(self, numbers: Sequence[Any]) -> list[Any]:
        """The sums along the data axis; rows are added elementwise. All processes get the same, to the last bit."""
        if self.alone:
            return list(numbers)
        sums = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(sums)
        return (sums / self.tensor).tolist()  # the processes of a group have the same numbers

    def check_same(self, fields: Mapping[str, Any]) -> None:
        """Check that this process has the same configuration and data as the first.

        Raises:
            InvalidInput: naming the difference.
        """
        for name, value in self.agree(fields).items():
            if fields.get(name) != value:
                raise InvalidInput(f"{name} is {fields.get(name)} here, but {value} in the first process")

    def hurry(self, group: Any = None) -> None:
        """From now on, treat a process that does not answer for longer than a step takes as lost; in all groups, or in
        one."""
        if not self.alone:
            dist.barrier()  # first wait for all, since the start may have taken one much longer than another
            dist.distributed_c10d._set_pg_timeout(STEP, group)


def meet(processes: Processes) -> Store:
    """The store through which the processes of a run exchange addresses, in the first one, at MASTER_ADDR and
    MASTER_PORT.

    Raises:
        InvalidInput: the port is taken, nothing answers there, or another run does.
    """
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    name, place = processes.run or f"{processes.count} processes", f"port {port} of {address}"
    other = "set MASTER_PORT to another port, the same for all processes of this run"
    first = processes.rank == 0
    try:  # without waiting for the others
        store: Any = dist.TCPStore(address, port, None, first, PREPARATION, False)  # type: ignore[attr-defined]
        if first:
            store.set("run", name)
        else:
            store.set_timeout(MEETING)
            if (found := store.get("run").decode()) != name:
                raise InvalidInput(f"{place} is used by another run ({found}; this is {name}); {other}")
            store.set_timeout(PREPARATION)
    except dist.DistError as error:
        if first:
            raise InvalidInput(f"{place} cannot be opened; another run may be using it; {other}") from error
        raise InvalidInput(f"the first process does not answer at {place}; {other}") from error
    return PrefixStore(name, store)  # separate from entries of other programs


def first_node(nodes: str) -> str:
    """The first node of SLURM's list: "gpu07" for "gpu[07-08,12],login1"."""
    return re.sub(r"\[([^],-]*)[^]]*\]", r"\1", nodes).replace(" ", ",").split(",")[0]


def launched() -> Processes:
    """The processes that torchrun or SLURM's srun started.

    Raises:
        InvalidInput: SLURM started different numbers of tasks on its nodes; some of the environment variables are
            missing.
    """
    names, run = os.environ, ""
    if "RANK" not in names and int(names.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        count, nodes = int(names["SLURM_STEP_NUM_TASKS"]), int(names["SLURM_STEP_NUM_NODES"])
        if count % nodes:
            raise InvalidInput(
                f"expected the same number of tasks on each node, not {count} on {nodes} nodes; set --ntasks-per-node"
            )
        names.setdefault("MASTER_ADDR", first_node(names["SLURM_STEP_NODELIST"]))
        job, step = int(names["SLURM_JOB_ID"]), int(names.get("SLURM_STEP_ID", "0"))
        # neighbouring jobs and steps have different ports, all below the ephemeral range
        port = 15_000 + (job + 1_009 * step) % 16_381
        names |= {"RANK": names["SLURM_PROCID"], "WORLD_SIZE": str(count), "LOCAL_RANK": names["SLURM_LOCALID"]}
        names |= {"LOCAL_WORLD_SIZE": str(count // nodes), "GROUP_RANK": names["SLURM_NODEID"]}
        names.setdefault("MASTER_PORT", str(port))
        run = f"job {job}, step {step}"
    if "RANK" not in names and names.get("WORLD_SIZE", "1") == "1":
        return Processes()
    rank, count = (number_in(names, name) for name in ("RANK", "WORLD_SIZE"))
    if rank >= count:
        raise InvalidInput(f"expected RANK from 0 to {count - 1}, since WORLD_SIZE is {count}; it is {rank}")
    if count == 1:
        return Processes()
    if absent := [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in names]:
        raise InvalidInput(f"WORLD_SIZE is {count}, but the environment lacks {' and '.join(absent)}; {START}")
    return Processes(rank, count, number_in(names, "LOCAL_RANK"), number_in(names, "LOCAL_WORLD_SIZE"), run)


def number_in(names: Mapping[str, str], name: str) -> int:
    """An integer environment variable.

    Raises:
        InvalidInput: it is not set, or is not an integer.
    """
    if name not in names:
        there = " and ".join(other for other in ("RANK", "WORLD_SIZE") if other in names)
        raise InvalidInput(f"the environment has {there}, but lacks {name}; {START}")
    if not (names[name].isascii() and names[name].isdigit()) or len(names[name]) > 9:
        raise InvalidInput(f"{name} in the environment must be a whole number, not {names[name]!r}; {START}")
    return int(names[name])
