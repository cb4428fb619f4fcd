"""Networks by name, for published weights."""

import pytest
import torch

from saccade.core.errors import InvalidInput
from saccade.nets.architectures import ARCHITECTURES
from tests.nets.convolutional import drawn, listed


@pytest.mark.parametrize(
    ("name", "listing"),
    [("resnet18", "torchvision"), ("resnet50", "torchvision"), ("seresnet50", "timm"), ("densenet121", "torchvision"),
     ("inception_v3", "torchvision"), ("deit_small", "timm"), ("deit_small_distilled", "timm"),
     ("visformer_small", "timm")],
)  # fmt: skip
def test_published_weights_make_a_classifier(name: str, listing: str) -> None:
    listing += f"-{name}" + ("_patch16_224" if name.startswith("deit") else "")
    network, unused = ARCHITECTURES[name].loaded(drawn(listed(listing), dtype=torch.float32), "a file")
    assert all("AuxLogits" in each for each in unused)
    assert not network.training
    side = ARCHITECTURES[name].side
    with torch.no_grad():
        assert network(torch.rand(1, 3, side, side)).shape == (1, 1000)


def test_every_name_is_built_with_the_classes_of_its_file() -> None:
    for name, architecture in ARCHITECTURES.items():
        with torch.device("meta"):
            network = architecture.build(7)
        assert network.get_parameter(architecture.head).shape[0] == 7, name


def test_other_weights_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"a file has no fc\.weight, the weights of the classifier"):
        ARCHITECTURES["resnet18"].loaded({"x": torch.ones(2)}, "a file")
    with pytest.raises(InvalidInput, match="a file holds the weights of another network"):
        ARCHITECTURES["resnet18"].loaded({"fc.weight": torch.ones(2, 512)}, "a file")
