"""Several processes, one training: who this one is, and what all of them agree on.

Processes are started from outside, by torchrun or by SLURM's srun.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store

from saccade.core.device import pick_device
from saccade.core.errors import InvalidInput, SaccadeError

PREPARATION = timedelta(hours=2)  # one process may read its data long after another
MEETING = timedelta(minutes=1)  # the first process says which run it is as soon as it can be reached
STEP = timedelta(seconds=40)  # between two steps a silent process is a lost one
START = "start several processes with torchrun, and a single one with: env -u RANK -u WORLD_SIZE saccade ..."
# what the libraries say of it that raise a plain RuntimeError
LOST = re.compile("gloo|nccl|pair closure|connection (closed|reset)|broken pipe", re.IGNORECASE)


class ProcessGone(SaccadeError, RuntimeError):
    """Another process of the run died, or no longer answers."""


@dataclass(frozen=True)
class Processes:
    """This process among those of a run; by default it is alone, and then nothing here does anything."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1
    run: str = field(default="", compare=False)
    """The name of this run, which all its processes know and no other run has; "" where the launcher gives none."""

    @property
    def alone(self) -> bool:
        return self.count == 1

    @property
    def data_rank(self) -> int:
        """The place of this process on the data axis, which shares out the batches."""
        return self.rank

    @property
    def data_count(self) -> int:
        """The processes of the data axis."""
        return self.count

    @contextmanager
    def joined(self, device: str) -> Iterator[None]:
        """While all processes are connected.

        Raises:
            InvalidInput: a device that several processes cannot share; a port that is taken, or by another run.
        """
        if self.alone:
            yield
            return
        chosen = pick_device(device)
        if chosen.type == "mps" or chosen.index is not None:
            raise InvalidInput(f"the device {device!r} is one, and there are {self.count} processes; name cpu or cuda")
        if chosen.type == "cuda":
            if self.local_count > torch.cuda.device_count():
                raise InvalidInput(
                    f"{self.local_count} processes on a machine with {torch.cuda.device_count()} CUDA devices"
                )
            torch.cuda.set_device(self.local_rank)
        # what is agreed on lies on the CPU: gloo sees a dead process at once, and raises
        backend = "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo"
        if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":  # torchrun has opened a port of its own
            dist.init_process_group(backend, timeout=PREPARATION)
        else:
            store, rank, count = meet(self), self.rank, self.count
            dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=PREPARATION)
        try:
            yield
        finally:
            dist.destroy_process_group()

    @contextmanager
    def watched(self, run: str | None) -> Iterator[None]:
        """While another process that dies is told in a sentence.

        Args:
            run: its folder, as one types it; None where there is none yet.

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
            again = f"go on with: torchrun ... -m saccade train --resume {run}" if run else "start it again"
            raise ProcessGone(f"another process of this run is gone ({what}); {again}") from error

    @contextmanager
    def common(self) -> Iterator[None]:
        """While an error of one process is the error of all; the first tells it, the others leave without a word."""
        if self.alone:
            yield
            return
        message = None
        try:
            yield
        except (SaccadeError, OSError) as error:
            message = str(error)
        messages = self.gather(message)
        for rank, told in enumerate(messages):
            if told is not None:
                raise InvalidInput(f"process {rank}: {told}" if rank else told) if self.rank == 0 else SystemExit(2)

    def refuse(self, why: str) -> None:
        """Raise, where all processes found the same.

        Raises:
            InvalidInput: in the first process; the others leave.
        """
        with self.common():
            raise InvalidInput(why)

    def agree(self, value: Any) -> Any:
        """The value that the first process gave."""
        box = [value]
        if not self.alone:
            dist.broadcast_object_list(box)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in their order."""
        box = [value] * self.count
        if not self.alone:
            dist.all_gather_object(box, value)
        return box

    def total(self, numbers: Sequence[Any]) -> list[Any]:
        """The sums over all processes; of rows, element by element."""
        if self.alone:
            return list(numbers)
        sums = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(sums)
        return sums.tolist()

    def check_same(self, fields: Mapping[str, Any]) -> None:
        """Raise where this process has another configuration, or other data, than the first.

        Raises:
            InvalidInput: naming what differs.
        """
        for name, value in self.agree(fields).items():
            if fields.get(name) != value:
                raise InvalidInput(f"{name} is {fields.get(name)} here, and {value} in the first process")

    def hurry(self, group: Any = None) -> None:
        """From now on whoever is silent for as long as no step takes is lost; to all, or to a group of its own."""
        if not self.alone:
            dist.barrier()  # what came before may have taken one much longer than another
            dist.distributed_c10d._set_pg_timeout(STEP, group)


def meet(processes: Processes) -> Store:
    """Where the processes of a run exchange their addresses: a store in the first one, at MASTER_ADDR and MASTER_PORT.

    Raises:
        InvalidInput: the port is taken, nothing that is known answers there, or another run does.
    """
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    name, place = processes.run or f"{processes.count} processes", f"port {port} of {address}"
    other = "set MASTER_PORT to another port, the same for all processes of this run"
    first = processes.rank == 0
    try:  # the others come when they come
        store: Any = dist.TCPStore(address, port, None, first, PREPARATION, False)  # type: ignore[attr-defined]
        if first:
            store.set("run", name)
        else:
            store.set_timeout(MEETING)
            if (found := store.get("run").decode()) != name:
                raise InvalidInput(f"{place} is that of another run ({found}; this is {name}); {other}")
            store.set_timeout(PREPARATION)
    except dist.DistError as error:
        if first:
            raise InvalidInput(f"{place} cannot be opened; another run may have it; {other}") from error
        raise InvalidInput(f"the first process does not answer at {place}; {other}") from error
    return PrefixStore(name, store)  # apart from what another program may put there


def first_node(nodes: str) -> str:
    """The first of SLURM's list of nodes: "gpu07" of "gpu[07-08,12],login1"."""
    return re.sub(r"\[([^],-]*)[^]]*\]", r"\1", nodes).replace(" ", ",").split(",")[0]


def launched() -> Processes:
    """The processes that torchrun, or SLURM's srun, started together with this one.

    Raises:
        InvalidInput: SLURM put different numbers of them on its machines; only a part of what says who they are.
    """
    names, run = os.environ, ""
    if "RANK" not in names and int(names.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        count, nodes = int(names["SLURM_STEP_NUM_TASKS"]), int(names["SLURM_STEP_NUM_NODES"])
        if count % nodes:
            raise InvalidInput(f"{count} tasks on {nodes} nodes: each node must have as many; see --ntasks-per-node")
        names.setdefault("MASTER_ADDR", first_node(names["SLURM_STEP_NODELIST"]))
        job, step = int(names["SLURM_JOB_ID"]), int(names.get("SLURM_STEP_ID", "0"))
        # near jobs and near steps have different ports; all are below those that systems lend to connections
        port = 15_000 + (job + 1_009 * step) % 16_381
        names |= {"RANK": names["SLURM_PROCID"], "WORLD_SIZE": str(count), "LOCAL_RANK": names["SLURM_LOCALID"]}
        names |= {"LOCAL_WORLD_SIZE": str(count // nodes), "GROUP_RANK": names["SLURM_NODEID"]}
        names.setdefault("MASTER_PORT", str(port))
        run = f"job {job}, step {step}"
    if "RANK" not in names and names.get("WORLD_SIZE", "1") == "1":
        return Processes()
    rank, count = (number_in(names, name) for name in ("RANK", "WORLD_SIZE"))
    if rank >= count:
        raise InvalidInput(f"RANK is {rank}, and WORLD_SIZE is {count}: expected a rank from 0 to {count - 1}")
    if count == 1:
        return Processes()
    if absent := [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in names]:
        raise InvalidInput(f"WORLD_SIZE is {count}, but no {' and no '.join(absent)}: {START}")
    return Processes(rank, count, number_in(names, "LOCAL_RANK"), number_in(names, "LOCAL_WORLD_SIZE"), run)


def number_in(names: Mapping[str, str], name: str) -> int:
    """A whole number of the environment.

    Raises:
        InvalidInput: it is not set, or is none.
    """
    if name not in names:
        there = ", ".join(other for other in ("RANK", "WORLD_SIZE") if other in names)
        raise InvalidInput(f"{there} in the environment, and no {name}: {START}")
    if not (names[name].isascii() and names[name].isdigit()) or len(names[name]) > 9:
        raise InvalidInput(f"{name} in the environment is {names[name]!r}: expected a whole number; {START}")
    return int(names[name])
