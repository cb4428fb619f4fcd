from saccade.systems.bam_resnet.recipe import RECIPE
from saccade.vision import BottleneckAttention
from tests.systems import residual


def test_the_protocol_is_that_of_the_family() -> None:
    residual.check_protocols(RECIPE)


def test_parameters_and_multiply_adds() -> None:
    residual.check_costs(RECIPE, {"cifar10": (270_217, 41), "imagenet": (25_917_793, 4171)})


def test_gates_stand_between_the_stages_with_the_options_of_the_configuration() -> None:
    network = residual.sized(RECIPE, "imagenet", reduction=8, dilation=2, combine="product")
    gates = [module for module in network.modules() if isinstance(module, BottleneckAttention)]
    assert [gate.channel.channels for gate in gates] == [256, 512, 1024]
    assert {gate.combine for gate in gates} == {"product"}
    assert gates[0].spatial.convolutions[2].dilation == (2, 2)
    assert gates[0].spatial.convolutions[0].out_channels == 32


def test_the_picture_of_the_gates_has_one_map_after_each_stage_but_the_last() -> None:
    found = residual.pictures_of(residual.answered(RECIPE), RECIPE)
    assert found.keys() == {"gates", "grad-cam", "classes"}
    assert list(found["gates"].labels) == ["after stage 1", "after stage 2"]
    assert found["gates"].maps.shape == (2, 12, 12)
    assert 0 <= found["gates"].maps.min() <= found["gates"].maps.max() <= 1
