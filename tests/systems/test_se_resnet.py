from saccade.systems.se_resnet.recipe import RECIPE
from saccade.vision import SqueezeExcite
from tests.systems import residual


def test_the_protocol_is_that_of_the_family() -> None:
    residual.check_protocols(RECIPE)


def test_parameters_and_multiply_adds() -> None:
    residual.check_costs(RECIPE, {
        "cifar10": (271_738, 41), "imagenet": (28_071_976, 4092), "imagenet-densenet": (8_029_288, 2834),
        "imagenet-inception": (25_485_512, 5715),
    })  # fmt: skip


def test_every_block_has_a_gate_with_the_options_of_the_configuration() -> None:
    network = residual.sized(RECIPE, "cifar10", reduction=4, bias=True)
    gates = [module for module in network.modules() if isinstance(module, SqueezeExcite)]
    assert [gate.channels for gate in gates] == [16, 16, 16, 32, 32, 32, 64, 64, 64]
    assert gates[0].excitation[0].out_features == 4
    assert gates[0].excitation[2].bias is not None


def test_pictures() -> None:
    assert residual.pictures_of(residual.answered(RECIPE), RECIPE).keys() == {"grad-cam", "classes"}
