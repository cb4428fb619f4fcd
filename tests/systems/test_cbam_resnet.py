from typing import Any

import torch

from saccade.explain import capture
from saccade.systems.cbam_resnet.recipe import RECIPE
from saccade.vision import CBAM
from tests.systems import residual


def test_the_protocol_is_that_of_the_family() -> None:
    residual.check_protocols(RECIPE)


def test_parameters_and_multiply_adds() -> None:
    residual.check_costs(RECIPE, {"cifar10": (272_620, 41), "imagenet": (28_073_544, 4096)})


def test_every_block_has_gates_with_the_options_of_the_configuration() -> None:
    network = residual.sized(RECIPE, "cifar10", reduction=4, kernel=3, bias=True, norm=True)
    gates = [module for module in network.modules() if isinstance(module, CBAM)]
    assert len(gates) == 9
    assert gates[0].channel.perceptron[0].out_features == 4
    assert gates[0].channel.perceptron[2].bias is not None
    assert gates[0].spatial.convolution.kernel_size == (3, 3)
    assert list(gates[0].spatial.norm.parameters())


def test_the_picture_of_the_gates_has_the_last_block_of_each_stage() -> None:
    answer: Any = residual.answered(RECIPE)
    found = residual.pictures_of(answer, RECIPE)
    assert found.keys() == {"gates", "grad-cam", "classes"}
    gates = found["gates"]
    assert list(gates.labels) == ["stage 1", "stage 2", "stage 3"]
    assert gates.maps.shape == (3, 12, 12)
    with torch.no_grad(), capture(answer.model, "stages.layer3.2.gate.spatial.gates") as seen:
        answer.model(answer.task.collate([answer.example]).images)
    [[heard]] = seen.values()
    enlarged = heard[0].repeat_interleave(4, 0).repeat_interleave(4, 1)
    torch.testing.assert_close(torch.as_tensor(gates.maps[2]).float(), enlarged)
