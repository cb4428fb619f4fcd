"""Training steps of image networks: their share of the floor, and what gates cost.

    python benchmarks/image_training.py

A step is forward, cross-entropy, backward and an update by SGD with momentum, on the same random images each time:
ResNet-20 on 128 images of 32 x 32, plain and with each gate, and DeiT-Ti on 8 images of 224 x 224. The floor is the
network's multiply-adds, once forwards and twice backwards, at the rate of the machine's matrix product. One thread;
time is the processor time of the process.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from measure import alternate, evidence, gflop_per_second, matrix_products, percentages, ratio, shares_of_the_floor
from torch import nn
from torch.nn import functional as F

from saccade.nets.deit import DeiT
from saccade.nets.multiply_adds import multiply_adds
from saccade.nets.resnet import ResNet
from saccade.vision import CBAM, BottleneckAttention, SqueezeExcite

IMAGES = {"ResNet-20": (128, 32), "DeiT-Ti": (8, 224)}  # batch and side


def networks() -> dict[str, nn.Module]:
    return {
        "ResNet-20": ResNet(20, 10),
        "ResNet-20 with SE": ResNet(20, 10, gate=SqueezeExcite),
        "ResNet-20 with BAM": ResNet(20, 10, between=BottleneckAttention),
        "ResNet-20 with CBAM": ResNet(20, 10, gate=partial(CBAM, reduction=16)),
        "DeiT-Ti": DeiT(1000, model_size=192, heads=3),
    }


def training_step(network: nn.Module, batch: int, side: int) -> Callable[[], object]:
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), 1e-6, momentum=0.9)
    images, labels = torch.rand(batch, 3, side, side), torch.arange(batch) % 10

    def step() -> None:
        optimizer.zero_grad()
        said = network(images)
        F.cross_entropy(said if isinstance(said, torch.Tensor) else said.of_class, labels).backward()
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    summary: dict[str, str] = {}
    result: dict[str, Any] = {"rounds": options.rounds, "networks": {}}
    found = {name: (network, *IMAGES[name.partition(" ")[0]]) for name, network in networks().items()}
    forms = {name: training_step(*one) for name, one in found.items()}
    seconds = alternate({**forms, **matrix_products()}, options.rounds, clock=time.process_time)
    result["gflop per second"] = gflop_per_second(seconds)
    for name, (network, batch, side) in found.items():
        operations = 2 * 3 * batch * multiply_adds(network, torch.rand(1, 3, side, side))
        shares = shares_of_the_floor(operations, seconds, name)
        rate = round(batch / statistics.median(seconds[name]), 1)
        result["networks"][name] = {"images per second": rate, "share of the floor": shares}
        beside = ""
        if name.partition(" ")[2]:
            slower = round(ratio(seconds[name], seconds["ResNet-20"]), 2)
            result["networks"][name]["times the plain network's time"] = slower
            beside = f", {slower} x the plain network's time"
        summary[f"training step of {name}"] = f"{rate:,} images/s, {percentages(shares)} of the floor{beside}"
    print(json.dumps(result, indent=1))
    if options.write:
        print(evidence("image_training", summary, result))


if __name__ == "__main__":
    main()
