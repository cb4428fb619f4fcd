"""Capture a replicated or sharded model in two processes: run by `test_processes`, under torchrun."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from saccade.attention import MultiHeadAttention
from saccade.explain import capture

BATCH, LENGTH, MODEL, HEADS, LAYERS = 2, 5, 16, 2, 2


class Ours(nn.Module):
    """Attention with a tap."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(MultiHeadAttention(MODEL, HEADS) for _ in range(LAYERS))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + layer(x, x)
        return x


def build(kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind == "ours":
        return Ours()
    layer = nn.TransformerEncoderLayer(MODEL, HEADS, 32, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False).train(kind == "trained")


def sharded(model: nn.Module) -> nn.Module:
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for layer in model.get_submodule("layers").children():
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def looked_at(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The output, and the weights by the model's own names; in training mode including a backward pass."""
    with torch.set_grad_enabled(model.training), capture(model) as seen:
        out = model(x)
        if model.training:
            out.sum().backward()
    names = {name: name.removeprefix("module.") for name in seen}
    assert all(len(seen[name]) == 1 for name in seen), "heard once each"
    return {"out": out.detach()} | {ours: seen[name][0] for name, ours in names.items()}


def main(folder: Path) -> None:
    dist.init_process_group("gloo")
    try:
        for kind in ("ours", "trained", "evaluated"):
            torch.manual_seed(1 + dist.get_rank())
            x = torch.randn(BATCH, LENGTH, MODEL)
            found = {
                "alone": looked_at(build(kind), x),
                "replicated": looked_at(DistributedDataParallel(build(kind)), x),
                "sharded": looked_at(sharded(build(kind)), x),
            }
            torch.save(found, folder / f"{kind}-{dist.get_rank()}.pt")
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
