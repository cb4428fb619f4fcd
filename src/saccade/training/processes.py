"""Several processes, one training: who this one is, and what all of them agree on.

Processes are started from outside, by torchrun or by SLURM's srun.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from saccade.core.errors import InvalidInput, SaccadeError
from saccade.training.device import pick_device

PREPARATION = timedelta(hours=2)  # one process may read its data long after another
STEP = timedelta(seconds=40)  # between two steps a silent process is a lost one
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
            InvalidInput: a device that several processes cannot share.
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
        dist.init_process_group("cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo", timeout=PREPARATION)
        try:
            yield
        finally:
            dist.destroy_process_group()

    @contextmanager
    def watched(self, run: Any) -> Iterator[None]:
        """While another process that dies is told in a sentence.

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
            raise ProcessGone(
                f"another process of this run is gone ({what}); "
                f"go on with: torchrun ... -m saccade train --resume {run}"
            ) from error

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


def first_node(nodes: str) -> str:
    """The first of SLURM's list of nodes: "gpu07" of "gpu[07-08,12],login1"."""
    return re.sub(r"\[([^],-]*)[^]]*\]", r"\1", nodes).replace(" ", ",").split(",")[0]


def launched() -> Processes:
    """The processes that torchrun, or SLURM's srun, started together with this one.

    Raises:
        InvalidInput: SLURM put different numbers of them on its machines.
    """
    names = os.environ
    if "RANK" not in names and int(names.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        count, nodes = int(names["SLURM_STEP_NUM_TASKS"]), int(names["SLURM_STEP_NUM_NODES"])
        if count % nodes:
            raise InvalidInput(f"{count} tasks on {nodes} nodes: each node must have as many; see --ntasks-per-node")
        address = first_node(names["SLURM_STEP_NODELIST"])
        port = 15_000 + int(names["SLURM_JOB_ID"]) % 10_000
        names |= {"RANK": names["SLURM_PROCID"], "WORLD_SIZE": str(count), "LOCAL_RANK": names["SLURM_LOCALID"]}
        names |= {"LOCAL_WORLD_SIZE": str(count // nodes), "GROUP_RANK": names["SLURM_NODEID"]}
        names |= {"MASTER_ADDR": names.get("MASTER_ADDR", address), "MASTER_PORT": names.get("MASTER_PORT", str(port))}
    if "RANK" not in names or int(names["WORLD_SIZE"]) == 1:
        return Processes()
    return Processes(*(int(names[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")))
