"""The methods that show which places of an image a classifier's score rests on, by name."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from saccade.core.errors import InvalidInput, NotFound, nearest
from saccade.explain import cam, rollout
from saccade.explain.cam import HeatMaps
from saccade.explain.seen import Targets

METHODS: Mapping[str, Callable[..., HeatMaps]] = {
    "grad-cam": cam.grad_cam,
    "ablation-cam": cam.ablation_cam,
    "score-cam": cam.score_cam,
    "cam": cam.cam,
    "grad-cam++": cam.grad_cam_plus_plus,
    "layer-cam": cam.layer_cam,
    "attention-rollout": rollout.attention_rollout,
    "attention-relevance": rollout.attention_relevance,
}
OF_ATTENTION = ("attention-rollout", "attention-relevance")  # which have no layer


def heat_map(method: str, model: nn.Module, images: Tensor, targets: Targets, layer: str | None = None) -> HeatMaps:
    """The maps of a method, with its defaults.

    Raises:
        NotFound: no such method; as the method does.
        InvalidInput: a layer for a method of attention; as the method does.
    """
    check_methods([method])
    if method not in OF_ATTENTION:
        return METHODS[method](model, images, targets, layer=layer)
    if layer is not None:
        raise InvalidInput(f"{method} reads the attention of all layers, so that no layer can be named")
    return METHODS[method](model, images, targets)


def check_methods(methods: Sequence[str]) -> None:
    """Raise NotFound, with the nearest name, unless all methods exist."""
    for method in methods:
        if method not in METHODS:
            raise NotFound(f"there is no method {method!r}; {nearest(method, METHODS)}")
