"""The planned memory of a process beside torch's tracker in two processes, under fsdp2 and with split layers."""

import json
import os
import socket
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
import torch.multiprocessing
from torch import Tensor, distributed
from torch.distributed._tools.mem_tracker import MemTracker
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor.parallel import loss_parallel

from saccade.nets.language_model import LanguageModel, shards
from saccade.runs.costs import Costs, Layout
from saccade.tasks.text.objective import next_symbol
from saccade.tasks.text.outline import outline
from saccade.training.sharding import Call, shard, split
from tests.runs.test_plan import RECIPE, SIZES, SYMBOLS, TASK, Config

pytestmark = pytest.mark.unhooked
EXAMPLES = 5


def track(rank: int, tensor: int, port: int, path: str) -> None:
    """Two updates of one of two processes; the first writes the highest memory of the second update."""
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": "2"}
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (2,))
    model, batch = LanguageModel(SIZES, SYMBOLS), outline(TASK).batch(EXAMPLES)
    call = Call(model)
    if tensor > 1:
        split(model, shards(SIZES, tensor), mesh)
    else:
        shard(call, list(model.stack.blocks), mesh)
    optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
    for _ in range(2):
        tracker = MemTracker()
        tracker.track_external(model, optimizer, *[each for each in batch if isinstance(each, Tensor)])
        with tracker, loss_parallel() if tensor > 1 else nullcontext():
            optimizer.zero_grad()
            call(lambda model: next_symbol(model, batch, 0).value).backward()
            optimizer.step()
    if rank == 0:
        Path(path).write_text(json.dumps(tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"]))
    distributed.destroy_process_group()


@pytest.mark.parametrize(
    "layout",
    [Layout(2, 1, "fsdp2", "none", EXAMPLES, 1), Layout(1, 2, "ddp", "none", EXAMPLES, 1)],
    ids=["fsdp2", "tensor"],
)
def test_the_peak_of_a_process_is_that_of_torchs_tracker(layout: Layout, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = int(free.getsockname()[1])
    path = tmp_path / "peak.json"
    torch.multiprocessing.spawn(track, (layout.tensor, port, str(path)), nprocs=2)  # type: ignore[attr-defined, no-untyped-call]
    highest = json.loads(path.read_text())
    assert Costs(RECIPE, Config(), "v100").memory(layout).peak == pytest.approx(highest, rel=0.15)
