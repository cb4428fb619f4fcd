"""Class activation maps: which places of an image raise the score of a class.

    H = relu( sum_k w_k A_k )     A_k the k-th feature map of a layer, w_k its weight for class c, g = d S_c / d A

    CAM           w_k = W_ck, the weights of a linear head after global pooling      Zhou et al. 2016, arXiv:1512.04150
    Grad-CAM      w_k = mean_yx g_kyx                                  Selvaraju et al. 2017, arXiv:1610.02391, (1), (2)
    Grad-CAM++    w_k = sum_yx a_kyx relu(g_kyx),  a = g^2 / (2 g^2 + g^3 sum A_k)
                                                                             Chattopadhay et al. 2018, arXiv:1710.11063
    Layer-CAM     a weight for each place, relu(g_kyx)                   Jiang et al. 2021, doi:10.1109/TIP.2021.3089943
    Ablation-CAM  w_k = (S_c - S_c without A_k) / |S_c|                      Desai & Ramaswamy, WACV 2020
    Score-CAM     w_k = softmax_k( S_c(X * H_k) - S_c(0) ),  H_k = A_k enlarged and scaled to 0..1
                                                                             Wang et al. 2020, arXiv:1910.01279

S_c is the logit of class c. All methods but CAM work on any classifier, convolutional or of tokens. They need no
change to it, and leave it as it was: training mode, `requires_grad`, gradients and hooks. It runs in evaluation mode.
Maps keep their magnitude, and the size of the layer's grid; enlarge and scale them for display only.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from saccade.core.errors import InvalidInput
from saccade.explain.grids import scaled
from saccade.explain.replay import Replay, logits_of
from saccade.explain.seen import Seen, Targets, look, undisturbed

Weigh = Callable[[Float[Tensor, "b c y x"], Float[Tensor, "b t c y x"]], Float[Tensor, "b t y x"]]


class HeatMaps(NamedTuple):
    """Maps for each image and target."""

    maps: Float[Tensor, "b t y x"]
    targets: Int[Tensor, "b t"]
    scores: Float[Tensor, "b t"]  # the targets' logits
    layer: str


def grad_cam(
    model: nn.Module,
    images: Float[Tensor, "b c y x"],
    targets: Targets = None,
    *,
    layer: str | None = None,
    signed: bool = False,
) -> HeatMaps:
    """Grad-CAM: feature maps weighted by the mean gradient of the score.

    Args:
        model: a classifier: returns logits (b, classes), or an object with `logits`.
        images: as the model takes them.
        targets: None: each image's most probable class; an int, for all images; (b,), one for each image; (b, t) or
            (1, t), several for each image.
        layer: a name of `model.named_modules()`, whose last call counts. None: the last module whose output has spatial
            extent and a gradient there (not the last block of a ViT, of whose output only the class token is used).
        signed: keep negative values (evidence against the class); False: relu of the sum, as in the paper.

    Raises:
        NotFound: no such layer.
        InvalidInput: the layer has no spatial extent, or the score no gradient there; images of another shape; a target
            that is no class; a model that is not a classifier.
    """
    return _by_gradient(
        model, images, targets, layer, signed, lambda maps, slopes: _weighted(slopes.mean((-2, -1)), maps)
    )


def grad_cam_plus_plus(
    model: nn.Module,
    images: Float[Tensor, "b c y x"],
    targets: Targets = None,
    *,
    layer: str | None = None,
    signed: bool = False,
) -> HeatMaps:
    """Grad-CAM++, for exp(score), whose higher derivatives are powers of g; arguments as in `grad_cam`.

    The constant factor exp(score) is left out, since it overflows. Where a's denominator is 0, a is 0.
    """

    def weigh(maps: Tensor, slopes: Tensor) -> Tensor:
        below = 2 * slopes**2 + slopes**3 * maps.sum((-2, -1), keepdim=True)[:, None]
        shares = torch.where(below == 0, 0, slopes**2 / torch.where(below == 0, 1, below))
        return _weighted((shares * slopes.relu()).sum((-2, -1)), maps)

    return _by_gradient(model, images, targets, layer, signed, weigh)


def layer_cam(
    model: nn.Module,
    images: Float[Tensor, "b c y x"],
    targets: Targets = None,
    *,
    layer: str | None = None,
    signed: bool = False,
) -> HeatMaps:
    """Layer-CAM: each place weighted by its own positive gradient, for layers with fine grids; arguments as in
    `grad_cam`."""
    return _by_gradient(
        model, images, targets, layer, signed, lambda maps, slopes: (slopes.relu() * maps[:, None]).sum(2)
    )


def cam(
    model: nn.Module,
    images: Float[Tensor, "b c y x"],
    targets: Targets = None,
    *,
    layer: str | None = None,
    signed: bool = False,
) -> HeatMaps:
    """CAM: feature maps weighted by the linear head; arguments as in `grad_cam`.

    Raises:
        InvalidInput: also if the last linear layer does not take the means of the layer's feature maps.
    """
    heads: list[tuple[nn.Linear, Tensor]] = []

    def around(module: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if isinstance(module, nn.Linear) and args:
            heads.append((module, args[0].detach()))
        return forward(*args, **kwargs)

    with undisturbed(model):
        seen = look(model, images, targets, layer, around)
        maps = seen.grid.read(seen.output).detach()
        head, pooled = heads[-1] if heads else (None, None)
        means = maps.mean((-2, -1))
        if (
            head is None
            or pooled is None
            or pooled.shape != means.shape
            or not torch.allclose(pooled, means, rtol=1e-2, atol=1e-4 * float(means.abs().max()))
        ):
            raise InvalidInput(
                f"CAM needs a linear head that takes the mean of each feature map of {seen.layer}; this model has "
                "none; use grad_cam, which needs no such head"
            )
        return _heat(seen, _weighted(head.weight.detach()[seen.targets], maps), signed)


def ablation_cam(
    model: nn.Module,
    images: Float[Tensor, "b c y x"],
    targets: Targets = None,
    *,
    layer: str | None = None,
    signed: bool = False,
    relative: bool = True,
    batch_size: int = 32,
) -> HeatMaps:
    """Ablation-CAM: feature maps weighted by how much the score falls without them.

    Only what comes after the layer is computed for each ablated channel; what comes before it runs once an image (see
    `replay`, which says when that is not possible). Of tokens, those outside the grid are not ablated.

    Args:
        model, images, targets, layer, signed: as in `grad_cam`; no gradient is needed.
        relative: divide by |S|, which is the paper's S for positive scores; by a negative S the map would turn around.
            |S| counts as at least 1e-3 of the largest fall, so that the weights are bounded. False: the falls
            themselves.
        batch_size: channels at once.
    """
    _at_least_one(batch_size)
    with undisturbed(model), torch.no_grad():
        seen = look(model, images, targets, layer)
        maps = seen.grid.read(seen.output)
        falls = torch.stack([_falls(seen, number, batch_size) for number in range(len(maps))])
        if relative:
            least = 1e-3 * falls.abs().amax(-1)
            scale = torch.maximum(seen.scores.abs(), least)[..., None]
            falls = falls / torch.where(scale == 0, 1, scale)
        return _heat(seen, _weighted(falls, maps), signed)


def score_cam(
    model: nn.Module,
    images: Float[Tensor, "b c y x"],
    targets: Targets = None,
    *,
    layer: str | None = None,
    signed: bool = False,
    weights: Literal["softmax", "increase"] = "softmax",
    batch_size: int = 32,
) -> HeatMaps:
    """Score-CAM: feature maps weighted by the score of the image seen through them.

    Each map is enlarged to the image's size (bilinear) and scaled to 0..1; one without contrast shows nothing.

    Args:
        model, images, targets, layer, signed: as in `grad_cam`; no gradient is needed.
        weights: "softmax" over the channels, as in the paper; the baseline S(0) cancels in it, as does any constant
            added to the logits. With logits it is often nearly one-hot. "increase": S(X * H_k) - S(0) itself, negative
            for maps that hide what the class needs.
        batch_size: masked images at once.
    """
    _at_least_one(batch_size)
    if weights not in ("softmax", "increase"):
        raise InvalidInput(f'weights must be "softmax" or "increase", not {weights!r}')
    with undisturbed(model), torch.no_grad():
        seen = look(model, images, targets, layer)
        maps = seen.grid.read(seen.output)
        increases = [
            _increases(seen, number, own, weights == "increase", batch_size) for number, own in enumerate(maps)
        ]
        found = torch.stack(increases)
        return _heat(seen, _weighted(found.softmax(-1) if weights == "softmax" else found, maps), signed)


def _by_gradient(
    model: nn.Module, images: Tensor, targets: Targets, layer: str | None, signed: bool, weigh: Weigh
) -> HeatMaps:
    with undisturbed(model):
        seen = look(model, images, targets, layer)
        slopes = []
        for score in seen.scores.sum(0):  # images are independent
            slope = (
                torch.autograd.grad(score, seen.output, retain_graph=True, allow_unused=True)[0]
                if score.requires_grad
                else None
            )
            if slope is None:
                raise InvalidInput(
                    f"the scores have no gradient at {seen.layer}, as if the model runs in torch.no_grad() or does not "
                    "use it; choose another layer, or ablation_cam or score_cam, which need no gradient"
                )
            slopes.append(seen.grid.read(slope))
            if slope.any() and not slopes[-1].any():
                raise InvalidInput(
                    f"the scores rest on other tokens of {seen.layer} than those of the image, such as a class token; "
                    "choose an earlier layer"
                )
        return _heat(seen, weigh(seen.grid.read(seen.output.detach()), torch.stack(slopes, 1)), signed)


def _heat(seen: Seen, maps: Tensor, signed: bool) -> HeatMaps:
    maps = maps.detach()
    return HeatMaps(maps if signed else maps.relu(), seen.targets, seen.scores.detach(), seen.layer)


def _falls(seen: Seen, number: int, batch_size: int) -> Float[Tensor, "t c"]:
    """How much the scores of an image fall without each channel."""
    replay = Replay(seen.model, seen.module, seen.images[number : number + 1])
    own = seen.grid.read(replay.output)
    classes, falls = seen.targets[number], []
    for channels in torch.arange(own.shape[1], device=own.device).split(batch_size):
        ablated = own.repeat(len(channels), 1, 1, 1)
        ablated[torch.arange(len(channels)), channels] = 0
        tokens = replay.output.expand(len(channels), *replay.output.shape[1:])
        falls.append(replay.logits[:, classes] - replay(seen.grid.write(tokens, ablated))[:, classes])
    return torch.cat(falls).mT


def _increases(
    seen: Seen, number: int, maps: Float[Tensor, "c y x"], from_baseline: bool, batch_size: int
) -> Float[Tensor, "t c"]:
    """The scores of an image seen through each of its maps, less that of the blank image if they are to be.

    Maps without contrast show a blank image, which is run once for all of them.
    """
    image, classes = seen.images[number], seen.targets[number]
    shows = maps.amax((-2, -1)) > maps.amin((-2, -1))
    logits = []
    for part in maps[shows].split(batch_size) if shows.any() else ():
        masks = _masks(part, (image.shape[-2], image.shape[-1])).to(image.dtype)
        logits.append(logits_of(seen.model(image * masks[:, None]))[:, classes])
    if from_baseline or not shows.all():
        logits.append(logits_of(seen.model(torch.zeros_like(image)[None]))[:, classes])
    scores = torch.cat(logits)
    found = scores[-1:].repeat(len(maps), 1)
    found[shows] = scores[: int(shows.sum())]
    return (found - scores[-1] if from_baseline else found).mT


def _masks(maps: Float[Tensor, "c y x"], size: tuple[int, int]) -> Float[Tensor, "c Y X"]:
    large = functional.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]
    return scaled(large, maps)


def _weighted(weights: Float[Tensor, "b t c"], maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b t y x"]:
    return torch.einsum("btc,bcyx->btyx", weights.to(maps.dtype), maps)


def _at_least_one(batch_size: int) -> None:
    if not isinstance(batch_size, int) or batch_size < 1:
        raise InvalidInput(f"batch_size must be a whole number from 1, not {batch_size!r}")
