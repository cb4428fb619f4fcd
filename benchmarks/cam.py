"""Time heat maps on a ResNet-50 with random weights, beside the plain way to write each.

    python benchmarks/cam.py [--threads 1] [--write]

Ablation-CAM on the last stage computes only what follows it, for each of 2,048 channels; its peer runs the whole
network for each, in batches of the same size, of which a part is run and scaled up. Score-CAM's peer is a loop over
batches of masked images; it is also timed in bfloat16, with the difference of the maps. Grad-CAM's peer is one forward
and backward pass.

Time is the processor time of the process, so with one thread other processes matter little.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from measure import evidence, ratio
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.explain.cam import ablation_cam, grad_cam, score_cam
from saccade.nets.convolution import laid_out
from saccade.nets.resnet import ResNet

SIDE, BATCH, CHANNELS = 224, 32, 2048
LAYER = "stages.layer4"
PART = 64  # channels that the slow peers run
TARGET = 207


def seconds(form: Callable[[], object]) -> float:
    begun = time.process_time()
    form()
    return time.process_time() - begun


def whole_network(net: ResNet, image: Tensor, channels: int) -> Tensor:
    """The falls of the score without each of the first channels, by the whole network for each."""
    layer, found = net.get_submodule(LAYER), []
    with torch.no_grad():
        score = net(image)[0, TARGET]
        for start in range(0, channels, BATCH):
            some = torch.arange(start, min(start + BATCH, channels))

            def ablate(module: nn.Module, given: object, output: Tensor, some: Tensor = some) -> Tensor:
                output = output.clone()
                output[torch.arange(len(some)), some] = 0
                return output

            handle = layer.register_forward_hook(ablate)
            found.append(score - net(image.expand(len(some), -1, -1, -1))[:, TARGET])
            handle.remove()
    return torch.cat(found)


def maps_of(net: ResNet, image: Tensor) -> Tensor:
    with torch.no_grad():
        kept: list[Tensor] = []
        handle = net.get_submodule(LAYER).register_forward_hook(lambda module, given, output: kept.append(output))
        net(image)
        handle.remove()
    return kept[0][0]


def plain_score_cam(net: ResNet, image: Tensor) -> Tensor:
    """A loop over batches of masked images."""
    maps, scores = maps_of(net, image)[:PART], []
    with torch.no_grad():
        for some in maps.split(BATCH):
            large = F.interpolate(some[:, None], (SIDE, SIDE), mode="bilinear", align_corners=False)
            low, high = large.amin((-2, -1), keepdim=True), large.amax((-2, -1), keepdim=True)
            scores.append(net(image * ((large - low) / (high - low).clamp(min=1e-12)))[:, TARGET])
        increases = torch.cat(scores) - net(torch.zeros_like(image))[0, TARGET]
    return torch.einsum("c,cyx->yx", increases.softmax(0), maps).relu()


class Few(nn.Module):
    """The network with the first channels of its last stage alone, so that Score-CAM has as many masks as its peer."""

    def __init__(self, net: ResNet) -> None:
        super().__init__()
        self.net, self.few = net, nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        images = laid_out(images, images.dtype)  # as the network does itself: its convolutions are faster so
        maps = self.net.stages(self.net.maxpool(F.relu(self.net.bn1(self.net.conv1(images)))))
        maps = torch.cat([self.few(maps[:, :PART]), maps[:, PART:]], 1)
        logits: Tensor = self.net.fc(maps.mean((2, 3)))
        return logits


def backward(net: ResNet, image: Tensor) -> None:
    net(image.requires_grad_())[0, TARGET].backward()
    net.zero_grad(set_to_none=True)
    image.grad = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    net = ResNet(50).eval()
    image = torch.randn(1, 3, SIDE, SIDE)
    few, bfloat = Few(net).eval(), torch.autocast("cpu", torch.bfloat16)

    def scored(narrow: bool) -> Tensor:
        with bfloat if narrow else torch.autocast("cpu", enabled=False):
            return score_cam(few, image, TARGET, layer="few", batch_size=BATCH).maps[0, 0]

    forms: dict[str, Callable[[], object]] = {
        "ablation": lambda: ablation_cam(net, image, TARGET, layer=LAYER, batch_size=BATCH),
        "ablation, whole network, a part": lambda: whole_network(net, image, PART),
        "score": lambda: scored(False),
        "score in bfloat16": lambda: scored(True),
        "score, plain loop": lambda: plain_score_cam(net, image),
        "grad": lambda: grad_cam(net, image, TARGET, layer=LAYER),
        "forward and backward": lambda: backward(net, image),
    }
    taken: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(options.rounds):  # in turn, so that a drift of the machine's speed affects all
        for name, form in forms.items():
            taken[name].append(seconds(form))
    whole = [one * CHANNELS / PART for one in taken["ablation, whole network, a part"]]
    one, other, plain = scored(False), scored(True).float(), plain_score_cam(net, image)
    result = {
        "seconds": {name: round(statistics.median(found), 3) for name, found in taken.items()},
        "ablation_times": round(ratio(whole, taken["ablation"]), 1),
        "score_times": round(ratio(taken["score, plain loop"], taken["score"]), 3),
        "score_times_bfloat16": round(ratio(taken["score, plain loop"], taken["score in bfloat16"]), 3),
        "score_difference": float((one - plain).abs().max() / plain.max()),
        "score_difference_bfloat16": float((one - other).abs().max() / one.max()),
        "grad_share": round(ratio(taken["grad"], taken["forward and backward"]), 3),
    }
    print(json.dumps(result, indent=1))
    if options.write:
        summary = {
            "Ablation-CAM, last stage of ResNet-50": f"{result['ablation_times']} x the whole network a channel",
            "Score-CAM, float32": f"{result['score_times']} x a plain loop",
            "Score-CAM, bfloat16": f"{result['score_times_bfloat16']} x, the map differs by "
            f"{result['score_difference_bfloat16']:.1%} of its largest value",
            "Grad-CAM": f"{result['grad_share']} of the time of one forward and backward pass",
        }
        print(evidence("cam", summary, result))


if __name__ == "__main__":
    main()
