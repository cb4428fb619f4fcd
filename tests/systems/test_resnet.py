import pytest
import torch

from saccade.core.errors import InvalidInput
from saccade.nets.densenet import DenseNet
from saccade.nets.inception import Inception
from saccade.nets.stochastic_depth import StochasticDepth
from saccade.systems.resnet.recipe import RECIPE
from saccade.tasks.images import Cifar10
from tests.systems import residual


def test_the_protocol_is_that_of_the_family() -> None:
    residual.check_protocols(RECIPE)


def test_parameters_and_multiply_adds() -> None:
    residual.check_costs(RECIPE, {"cifar10": (269_722, 41), "imagenet": (25_557_032, 4089)})


def test_other_networks_by_name() -> None:
    assert isinstance(residual.sized(RECIPE, "imagenet", network="densenet"), DenseNet)
    assert isinstance(residual.sized(RECIPE, "imagenet", network="inception"), Inception)


def test_stochastic_depth_rises_from_the_first_block_to_the_last() -> None:
    network = residual.sized(RECIPE, "cifar10", network={"name": "resnet", "depth": 20, "stochastic_depth": 0.4})
    found = [module for module in network.modules() if isinstance(module, StochasticDepth)]
    assert len(found) == 9
    images = torch.ones(4000, 1)
    shares = [float((module.train()(images) == 0).float().mean()) for module in found]
    assert shares == pytest.approx([0.4 * block / 8 for block in range(9)], abs=0.05)


def test_base_and_elite_differ_in_augmentation_and_optimizer_on_the_same_images() -> None:
    base, elite = RECIPE.variants["base"], RECIPE.variants["elite"]
    for config in (base, elite):
        assert isinstance(config.task.source, Cifar10)
        assert config.training.batch_size == 128
    assert (base.task.augmentation.name, base.training.optimizer.name) == ("light", "sgd")
    assert (elite.task.augmentation.name, elite.training.optimizer.name) == ("elite", "adam")
    assert (base.task.smoothing, elite.task.smoothing) == (0.0, 0.1)
    assert RECIPE.variants["imagenet-elite"].model.network.stochastic_depth == 0.1
    epochs = [RECIPE.variants[name].training for name in ("imagenet", "imagenet-elite")]
    assert [round(one.steps * one.batch_size / 1_281_167) for one in epochs] == [90, 300]


def test_pictures_and_measures() -> None:
    answer = residual.answered(RECIPE)
    assert residual.pictures_of(answer, RECIPE).keys() == {"grad-cam", "classes"}
    assert RECIPE.measures is not None
    figures = RECIPE.measures(answer)
    weights = sum(weight.numel() for weight in answer.model.parameters())
    assert figures["parameters"].value == weights / 1e6
    assert figures == RECIPE.measures(answer)
    assert all(weight.device.type == "cpu" for weight in answer.model.parameters())


def test_images_that_are_too_small_are_named() -> None:
    with torch.random.fork_rng():
        network = RECIPE.build(RECIPE.variants["tiny"], residual.Task(3, 10))
    with pytest.raises(InvalidInput, match=r"images must be \(batch, 3, rows, columns\), not \(2, 1, 12, 12\)"):
        network(torch.zeros(2, 1, 12, 12))
