"""Distribution of a model over processes: all weights in each (DDP), or a shard of them (FSDP2); and, within either,
tensor parallelism: the processes of a group share each layer (Shoeybi et al. 2019, arXiv:1909.08053).

Sharding is applied from outside to single-device code. A checkpoint can be read by any number of processes, with any
strategy.
"""

import fnmatch
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, Replicate, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    RowwiseParallel,
    loss_parallel,
    parallelize_module,
)
from torch.nn.parallel import DistributedDataParallel
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.checkpoint import checkpoint

from saccade.core.device import evaluating
from saccade.core.errors import InvalidInput
from saccade.core.recipe import Split
from saccade.training.processes import Processes
from saccade.training.splits import planned
from saccade.training.tensors import ties


class Call(nn.Module):
    """A module that calls a function with the model, since DDP and FSDP2 need one call that spans the whole loss.

    (The outputs of a model may refer to its weights, as a Projection does.)
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(self.model, *arguments)

    def weights(self) -> dict[str, Tensor]:
        """The state of the model, in shards if it is sharded; a weight with two names is in it once."""
        tied = ties(self.model)
        return {name: value for name, value in self.model.state_dict().items() if name not in tied}


def share_out(
    call: Call,
    strategy: str,
    processes: Processes,
    device: torch.device,
    layers: Iterable[nn.Module],
    shards: Mapping[str, Split],
) -> nn.Module:
    """Distribute the call over several processes; from here on lost processes are detected sooner.

    Args:
        layers: see `shard`.
        shards: how to split layers over a group, by patterns of their names.
    """
    if processes.alone:  # regardless of the environment
        return call
    if processes.tensor > 1:
        # DistributedDataParallel cannot hold weights that are split, so ddp is FSDP2 with shards for one process, of
        # which there are copies along the data axis
        copies, parts = (1, processes.data_count) if strategy == "fsdp2" else (processes.data_count, 1)
        sizes, names = (copies, parts, processes.tensor), ("copies", "shards", "tensor")
        mesh = init_device_mesh(device.type, sizes, mesh_dim_names=names)
        # torch warns of two messages for each norm, which are single numbers
        logging.getLogger("torch.distributed.tensor._redistribute").setLevel(logging.ERROR)
        split(call.model, shards, mesh["tensor"])
        if processes.data_count > 1:
            shard(call, layers, mesh["shards"] if strategy == "fsdp2" else mesh["copies", "shards"])
        processes.hurry()
        for axis in range(mesh.ndim):
            processes.hurry(mesh.get_group(axis))
        return call
    if strategy == "fsdp2":
        mesh = init_device_mesh(device.type, (processes.data_count,))
        shard(call, layers, mesh)
        processes.hurry(mesh.get_group())
        return call
    # a step may not use all weights, which is fine with a single process
    shared = DistributedDataParallel(call, find_unused_parameters=True)
    processes.hurry()
    return shared


def split(model: nn.Module, shards: Mapping[str, Split], mesh: Any) -> None:
    """Split layers over a group of processes; between them each process computes with plain tensors, its own part."""
    styles: dict[Split, Callable[[], ParallelStyle]] = {
        "columns": ColwiseParallel,
        "rows": RowwiseParallel,
        "vocabulary": lambda: RowwiseParallel(input_layouts=Replicate()),
    }
    plan = {name: styles[split]() for name, split in planned(model, shards, mesh.size()).items()}
    # each process has built the same model, so it takes its part of its own
    parallelize_module(model, mesh, plan, src_data_rank=None)
    model.register_forward_hook(lambda model, inputs, outputs: as_replicas(outputs))


def as_replicas(outputs: Any) -> Any:
    """The outputs of a model; if they refer to a matrix that is split, as a Projection does, the features with it are
    marked as the same in all processes of the group, so that their gradients are summed."""
    split = next((leaf for leaf in tree_leaves(outputs) if isinstance(leaf, DTensor)), None)
    if split is None:
        return outputs

    def marked(leaf: Any) -> Any:
        if isinstance(leaf, DTensor) or not isinstance(leaf, Tensor):
            return leaf
        return DTensor.from_local(leaf, split.device_mesh, [Replicate()], run_check=False)

    return tree_map(marked, outputs)


def shared_loss(processes: Processes) -> AbstractContextManager[None]:
    """A context in which a cross-entropy over split symbols is computed by the group, forward and backward."""
    return loss_parallel() if processes.tensor > 1 else nullcontext()


def shard(module: nn.Module, layers: Iterable[nn.Module], mesh: Any) -> None:
    """Shard each layer, then the rest, so that one layer is gathered while another computes.

    The outermost module must be the one whose call spans the whole loss, since the outputs may refer to the weights.

    Raises:
        InvalidInput: a weight without an axis to shard.
    """
    for name, weight in module.named_parameters():
        if weight.ndim == 0:
            name = name.removeprefix("model.")
            raise InvalidInput(f"{name} is a single number, which fsdp2 cannot shard; use ddp, without tensor")
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(module, mesh=mesh)


def recompute(model: nn.Module, blocks: Iterable[str]) -> None:
    """Make the backward pass compute the inside of the matching modules again, instead of keeping it in memory.

    Args:
        blocks: patterns of names; a module inside a matching one is left alone.
    """
    names = [name for name, _ in model.named_modules() if any(fnmatch.fnmatchcase(name, each) for each in blocks)]
    for name in names:
        if not any(name.startswith(f"{other}.") for other in names):
            module: Any = model.get_submodule(name)
            module.forward = partial(again, module.forward)


def again(forward: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call the forward of a module so that its inside is computed again in the backward pass, with the same dropout."""
    if not torch.is_grad_enabled():
        return forward(*arguments, **named)
    return checkpoint(forward, *arguments, use_reentrant=False, **named)


def separate_layers(model: nn.Module, compute: Callable[[], Any]) -> list[nn.Module]:
    """The children of its ModuleLists whose weights are used only by their own call, inner ones first.

    Args:
        compute: runs the model on a small batch. A layer such as a recurrent net may be used through other methods and
            never be called: its weights would not be gathered when they are needed.
    """
    lists = reversed([each for each in model.modules() if isinstance(each, nn.ModuleList)])
    layers = [layer for each in lists for layer in each if not isinstance(layer, nn.ModuleList | nn.ModuleDict)]
    owners: dict[int, list[nn.Module]] = {}
    hooks: list[Any] = []
    running: list[nn.Module] = []
    exposed = set[nn.Module]()

    class Watch(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            for value in tree_leaves((args, kwargs)):
                exposed.update(layer for layer in owners.get(id(value), ()) if layer not in running)
            return function(*args, **(kwargs or {}))

    for layer in layers:
        for weight in layer.parameters():
            owners.setdefault(id(weight), []).append(layer)
        hooks.append(layer.register_forward_pre_hook(lambda layer, _: running.append(layer)))
        hooks.append(layer.register_forward_hook(lambda layer, *_: running.remove(layer)))
    with Watch(), evaluating(model):  # evaluation mode draws no random numbers, and does not update moving means
        compute()
    for hook in hooks:
        hook.remove()
    return [layer for layer in layers if layer not in exposed]


def local(weight: Tensor) -> Tensor:
    """This process's shard of a weight, or the whole weight if it is not sharded."""
    return weight.to_local() if isinstance(weight, DTensor) else weight


def by_mesh(weights: Iterable[Tensor]) -> list[list[Tensor]]:
    """The weights in groups of the same mesh, since torch's operations on many tensors take only those of one."""
    groups: dict[Any, list[Tensor]] = {}
    for weight in weights:
        groups.setdefault(weight.device_mesh if isinstance(weight, DTensor) else None, []).append(weight)
    return list(groups.values())


def clip(weights: Sequence[Tensor], most: float) -> None:
    """Scale the gradients so that the norm of all together is at most `most`."""
    groups = by_mesh(weights)
    norms = []
    for group in groups:
        norm = nn.utils.get_total_norm([weight.grad for weight in group if weight.grad is not None])
        norms.append(norm.full_tensor() if isinstance(norm, DTensor) else norm)
    total = norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms))
    for group in groups:
        nn.utils.clip_grads_with_norm_(group, most, total)


def reshard(call: nn.Module) -> None:
    """Free the gathered weights after a forward pass without a backward pass."""
    if isinstance(call, FSDPModule):
        call.reshard()


def sum_gradients(weights: Sequence[nn.Parameter], processes: Processes) -> None:
    """Sum the gradients over all processes; a weight that no process used has none."""
    used = processes.total([float(weight.grad is not None) for weight in weights])
    running = []
    for weight, users in zip(weights, used, strict=True):
        if users:
            weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad.contiguous()
            running.append(dist.all_reduce(weight.grad, async_op=True))
    for work in running:
        work.wait()


def follow_first(model: nn.Module, names: Iterable[str]) -> None:
    """Copy the buffers of these names, such as moving means, from the first process to all."""
    buffers = dict(model.named_buffers())
    for name in names:
        dist.broadcast(buffers[name], 0)


def whole(state: Any) -> Any:
    """The state with its shards gathered, on the first process; the others take part and return nothing."""
    if isinstance(state, DTensor):
        full = state.full_tensor().detach()
        return full.cpu() if dist.get_rank() == 0 else None
    if isinstance(state, dict):
        return {name: whole(value) for name, value in state.items()}
    return state


def shard_like(value: Any, weight: Tensor) -> Any:
    """This process's part of a value with the shape of a sharded weight; other values are unchanged."""
    if not isinstance(weight, DTensor) or not isinstance(value, Tensor) or value.shape != weight.shape:
        return value
    return distribute_tensor(value.to(weight.device), weight.device_mesh, weight.placements, src_data_rank=None)
