"""Distribution of a model over processes: all weights in each (DDP), or a shard of them (FSDP2).

Sharding is applied from outside to single-device code. A checkpoint has the form of a single process, so any number of
processes can resume it, with either strategy.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from saccade.core.device import evaluating
from saccade.core.errors import InvalidInput
from saccade.training.processes import Processes


class Call(nn.Module):
    """A module that calls a function with the model, since DDP and FSDP2 need one call that spans the whole loss.

    (The outputs of a model may refer to its weights, as a Projection does.)
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(self.model, *arguments)

    def weights(self) -> Any:
        """The complete state of the model, on the first process."""
        return {name.removeprefix("model."): value for name, value in whole(self.state_dict()).items()}

    def load(self, weights: Any) -> None:
        own = self.state_dict()
        self.load_state_dict({name: shard_like(weights[name.removeprefix("model.")], own[name]) for name in own})


def share_out(
    call: Call, strategy: str, processes: Processes, device: torch.device, layers: Iterable[nn.Module]
) -> nn.Module:
    """Wrap the call for several processes; from here on lost processes are detected sooner."""
    if processes.alone:  # regardless of the environment
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


def shard(module: nn.Module, layers: Iterable[nn.Module], mesh: Any) -> None:
    """Shard each layer, then the rest, so that one layer is gathered while another computes.

    The outermost module must be the one whose call spans the whole loss, since the outputs may refer to the weights.

    Raises:
        InvalidInput: a weight without an axis to shard.
    """
    for name, weight in module.named_parameters():
        if weight.ndim == 0:
            raise InvalidInput(f"{name.removeprefix('model.')} is a single number, which fsdp2 cannot shard; use ddp")
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(module, mesh=mesh)


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
