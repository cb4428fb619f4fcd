"""Published weights in our networks: by the names of the real libraries."""

import pytest
import torch
from torch import nn

from saccade.attention import MultiHeadAttention
from saccade.core.errors import InvalidInput
from saccade.nets import deit, densenet, inception, resnet, visformer
from saccade.nets.published import adopt, their_name
from saccade.vision import SqueezeExcite
from tests.nets.convolutional import drawn, listed


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "seresnet50", "densenet121", "inception_v3"])
def test_names_and_shapes_are_those_of_the_library(name: str) -> None:
    """Read from torchvision 0.28.0; of SE-ResNet from timm 1.0.31, where the others have the names of torchvision."""
    network, tables = {
        "resnet18": lambda: (resnet.ResNet(18), resnet.PUBLISHED),
        "resnet50": lambda: (resnet.ResNet(50), resnet.PUBLISHED),
        "seresnet50": lambda: (resnet.ResNet(50, gate=lambda c: SqueezeExcite(c, bias=True)), resnet.PUBLISHED),
        "densenet121": lambda: (densenet.DenseNet(121), densenet.PUBLISHED),
        "inception_v3": lambda: (inception.Inception(auxiliary=True), inception.PUBLISHED),
    }[name]()
    ours = {their_name(own, tables[0]): tuple(weight.shape) for own, weight in network.state_dict().items()}
    theirs = listed(f"{'timm' if name.startswith('se') else 'torchvision'}-{name}")
    counters = {name for name in ours if name.endswith("num_batches_tracked")}
    assert {name: shape for name, shape in ours.items() if name not in counters} == {
        name: shape[:2] if ".se." in name else shape for name, shape in theirs.items()
    }


@pytest.mark.parametrize("name", ["deit_small_patch16_224", "deit_small_distilled_patch16_224", "visformer_small"])
def test_every_weight_of_the_library_is_used(name: str) -> None:
    """Of timm 1.0.29.dev0, commit aa4b585."""
    network, tables = {
        "deit_small_patch16_224": lambda: (deit.deit_small(), deit.PUBLISHED),
        "deit_small_distilled_patch16_224": lambda: (deit.deit_small(distilled=True), deit.PUBLISHED),
        "visformer_small": lambda: (visformer.visformer_small(), visformer.PUBLISHED),
    }[name]()
    weights = drawn(listed(f"timm-{name}"), dtype=torch.float32)
    assert adopt(network, weights, tables) == []
    attention = next(part for part in network.modules() if isinstance(part, MultiHeadAttention))
    whole = next(tensor for own, tensor in weights.items() if own.endswith("attn.qkv.weight"))
    three = torch.cat([attention.query.weight, attention.key.weight, attention.value.weight])
    assert torch.equal(three, whole.flatten(1))


def test_older_names_of_densenet() -> None:
    """Files of torchvision before names could hold no dots: `denselayer1.norm.1.weight`."""
    weights = drawn(listed("torchvision-densenet121"))
    older = {their_name(name, densenet.PUBLISHED[1]): tensor for name, tensor in weights.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in older
    assert "features.transition1.norm.weight" in older
    new, old = densenet.DenseNet(121).double(), densenet.DenseNet(121).double()
    assert adopt(new, weights, densenet.PUBLISHED) == adopt(old, older, densenet.PUBLISHED) == []
    for one, other in zip(new.state_dict().values(), old.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_unused_names_are_listed_and_counters_may_be_missing() -> None:
    weights = drawn(listed("torchvision-inception_v3"), dtype=torch.float32)
    unused = adopt(inception.Inception(), weights, inception.PUBLISHED)
    assert unused == [name for name in weights if name.startswith("AuxLogits.")]
    assert len(unused) == 12


def test_counters_are_loaded_if_there_are_any() -> None:
    network, other = resnet.ResNet(20, 3), resnet.ResNet(20, 3)
    network(torch.randn(2, 3, 8, 8))
    weights = {their_name(name, resnet.PUBLISHED[0]): weight for name, weight in network.state_dict().items()}
    assert adopt(other, weights, resnet.PUBLISHED) == []
    assert int(other.bn1.num_batches_tracked or 0) == 1
    assert torch.equal(network.eval()(torch.ones(1, 3, 8, 8)), other.eval()(torch.ones(1, 3, 8, 8)))


def test_the_weights_of_another_network_are_refused_whole() -> None:
    network = resnet.ResNet(50)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    with pytest.raises(InvalidInput) as raised:
        adopt(network, drawn(listed("torchvision-resnet18"), dtype=torch.float32), resnet.PUBLISHED, "resnet18.pth")
    said = str(raised.value)
    assert said.startswith("resnet18.pth holds the weights of another network; ")
    assert "layer1.0.conv1.weight is (64, 64, 3, 3), not (64, 64, 1, 1); " in said
    assert "layer1.0.conv3.weight (256, 64, 1, 1) is missing; " in said
    assert said.count(";") == 10
    assert " more" in said
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())


def test_another_number_of_classes_is_named_alone() -> None:
    with pytest.raises(InvalidInput, match=r"2 of 122 differ: fc.weight is \(1000, 512\), not \(10, 512\); fc.bias"):
        adopt(resnet.ResNet(18, 10), drawn(listed("torchvision-resnet18"), dtype=torch.float32), resnet.PUBLISHED)


def test_weights_in_other_precisions_and_of_other_kinds() -> None:
    layer = nn.Linear(2, 3)
    wide = torch.randn(3, 2, 1, 1, dtype=torch.float16)
    assert adopt(layer, {"weight": wide, "bias": torch.zeros(3, dtype=torch.bfloat16), "more": wide}) == ["more"]
    assert torch.equal(layer.weight, wide[..., 0, 0].float())
    with pytest.raises(InvalidInput, match=r"weight is \(3, 2\) of torch.int8"):
        adopt(layer, {"weight": torch.zeros(3, 2, dtype=torch.int8), "bias": torch.zeros(3)})
    with pytest.raises(InvalidInput, match=r"bias \(3,\) is missing"):
        adopt(layer, {"weight": torch.zeros(3, 2)})
