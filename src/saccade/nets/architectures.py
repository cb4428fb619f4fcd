"""Networks whose published weights `saccade explain --model NAME --weights FILE` reads, by name.

A further network is one more entry. The sizes and the normalisation are those that the weights were published with.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.nets import deit, densenet, efficientnet_lite, inception, resnet, visformer
from saccade.nets.published import Names, adopt, their_name
from saccade.vision import SqueezeExcite

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and standard deviation of red, green and blue
HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
NAMES = Path(__file__).with_name("imagenet_classes.txt")
"""The first name of each of ImageNet's 1,000 classes (Russakovsky et al. 2015, arXiv:1409.0575), in the order of all
these weights; the names are WordNet's (Princeton University, WordNet 3.0 licence)."""
LITE = (127 / 255,) * 3, (128 / 255,) * 3


class Architecture(NamedTuple):
    """A network, and how its images are prepared."""

    build: Callable[[int], nn.Module]
    """classes -> the network."""
    head: str
    """Our name of the weight (classes, features) of its classifier."""
    tables: Sequence[Names]
    """Tables of names, for `published.adopt`."""
    side: int = 224
    """Rows and columns of an image, cut from the middle."""
    shorter: int = 256
    """The shorter side before that."""
    moments: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET
    file: Callable[[], Path] | None = None
    """Where a package of an extra holds the weights; None: no package does."""

    def loaded(self, weights: Mapping[str, Tensor], source: str) -> tuple[nn.Module, list[str]]:
        """The network with these weights, in evaluation mode, and the names that were not used.

        Raises:
            InvalidInput: the weights of another network.
        """
        heads = [weights[name] for table in self.tables if (name := their_name(self.head, table)) in weights]
        if not heads:
            raise InvalidInput(
                f"{source} has no {their_name(self.head, self.tables[0])}, the weights of the classifier"
            )
        if heads[0].ndim < 2:
            raise InvalidInput(f"{source}: the weights of the classifier are a matrix, not {tuple(heads[0].shape)}")
        network = self.build(len(heads[0]))
        unused = adopt(network, weights, self.tables, source)
        return network.eval(), unused


def se_resnet(depth: int, classes: int) -> nn.Module:
    return resnet.ResNet(depth, classes, gate=lambda channels: SqueezeExcite(channels, bias=True))


ARCHITECTURES: Mapping[str, Architecture] = {
    **{
        f"resnet{depth}": Architecture(partial(resnet.ResNet, depth), "fc.weight", resnet.PUBLISHED)
        for depth in (18, 34, 50, 101, 152)
    },
    "seresnet50": Architecture(partial(se_resnet, 50), "fc.weight", resnet.PUBLISHED),
    **{
        f"densenet{depth}": Architecture(partial(densenet.DenseNet, depth), "classifier.weight", densenet.PUBLISHED)
        for depth in densenet.FORMS
    },
    "inception_v3": Architecture(inception.Inception, "fc.weight", inception.PUBLISHED, 299, 342, HALF),
    "deit_tiny": Architecture(deit.deit_tiny, "head.weight", deit.PUBLISHED, shorter=248),
    "deit_small": Architecture(deit.deit_small, "head.weight", deit.PUBLISHED, shorter=248),
    "deit_small_distilled": Architecture(
        partial(deit.deit_small, distilled=True), "head.weight", deit.PUBLISHED, shorter=248
    ),
    "deit_base": Architecture(deit.deit_base, "head.weight", deit.PUBLISHED, shorter=248),
    "visformer_tiny": Architecture(visformer.visformer_tiny, "head.weight", visformer.PUBLISHED, shorter=248),
    "visformer_small": Architecture(visformer.visformer_small, "head.weight", visformer.PUBLISHED, shorter=248),
    "efficientnet_lite0": Architecture(
        efficientnet_lite.EfficientNetLite,
        "head.weight",
        efficientnet_lite.PUBLISHED,
        moments=LITE,
        file=efficientnet_lite.weights_file,
    ),
}
