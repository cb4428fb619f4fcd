"""How several processes share the work: all with all the weights (DDP), or each with a shard of them (FSDP2).

Sharding is applied from outside, to code of a single device. A checkpoint has the form of one process's, so that any
number of processes goes on with it, in either way.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from saccade.core.errors import InvalidInput
from saccade.training.processes import Processes


def strategy(name: str, processes: Processes) -> dict[str, Any]:
    """What the engine is told: how many processes there are, where, and how they share the work."""
    if processes.alone:  # whatever the environment looks like
        return {"strategy": "auto", "plugins": [LightningEnvironment()]}
    # a model may leave weights out of a step, and one process does not mind
    ddp = DDPStrategy(find_unused_parameters=True)
    chosen: Strategy = Sharded(processes.count, 1) if name == "fsdp2" else ddp
    return {
        "strategy": chosen,
        "plugins": [TorchElasticEnvironment()],
        "devices": processes.local_count,
        "num_nodes": processes.count // processes.local_count,
    }


class Sharded(ModelParallelStrategy):
    """FSDP2 whose checkpoints are those of one process: whole on the first, read by all."""

    lightning_restore_optimizer = True
    save_checkpoint = Strategy.save_checkpoint
    load_checkpoint = Strategy.load_checkpoint

    def lightning_module_state_dict(self) -> dict[str, Any]:
        assert self.lightning_module is not None
        return whole(self.lightning_module.state_dict())  # type: ignore[no-any-return]

    def optimizer_state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        return whole(optimizer.state_dict())  # type: ignore[no-any-return]

    def load_model_state_dict(self, checkpoint: Any, strict: bool = True) -> None:
        module, kept = self.lightning_module, checkpoint["state_dict"]
        assert module is not None
        module.load_state_dict({name: shard_like(kept[name], own) for name, own in module.state_dict().items()})

    def load_optimizer_state_dict(self, checkpoint: Any) -> None:
        for optimizer, kept in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]
            state = {
                number: {name: shard_like(value, weights[number]) for name, value in values.items()}
                for number, values in kept["state"].items()
            }
            optimizer.load_state_dict({**kept, "state": state})


def shard(module: nn.Module, layers: Iterable[nn.Module], mesh: Any) -> None:
    """Shard each of the layers, then the rest: one is gathered while another computes.

    The outermost module must be the one whose call spans the whole loss: what a model returns may hold its weights.

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
    """The children of its ModuleLists whose weights nothing but their own call uses, inner ones first.

    Args:
        compute: runs the model, on as little as it takes. A recurrent net, say, may be asked for its steps and never
            be called: its weights would not be there when they are wanted.
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
    with Watch(), torch.no_grad():
        model.eval()  # draws nothing, and leaves moving means alone
        compute()
        model.train()
    for hook in hooks:
        hook.remove()
    return [layer for layer in layers if layer not in exposed]


def whole(state: Any) -> Any:
    """The state with its shards gathered, on the first process; the others, which take part, keep none."""
    if isinstance(state, DTensor):
        full = state.full_tensor().detach()
        return full.cpu() if dist.get_rank() == 0 else None
    if isinstance(state, dict):
        return {name: whole(value) for name, value in state.items()}
    return state


def shard_like(value: Any, weight: Tensor) -> Any:
    """This process's part of a value that has the shape of a sharded weight; any other value as it is."""
    if not isinstance(weight, DTensor) or not isinstance(value, Tensor) or value.shape != weight.shape:
        return value
    return distribute_tensor(value.to(weight.device), weight.device_mesh, weight.placements, src_data_rank=None)
