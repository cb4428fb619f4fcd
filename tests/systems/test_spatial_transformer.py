import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from saccade.app.web.shown import of
from saccade.core.errors import InvalidInput
from saccade.core.picture import kind_of
from saccade.core.recipe import Answer
from saccade.explain.pictures.strip import Strip
from saccade.runs import catalogue
from saccade.runs.run import open_run
from saccade.systems.spatial_transformer.model import (
    CNN,
    FCN,
    Affine,
    DigitReader,
    Projective,
    Similarity,
    SpatialTransformerConfig,
    Spline,
    Without,
)
from saccade.systems.spatial_transformer.pictures import in_pixels, mapped, target_lines
from saccade.tasks.image_file import png
from saccade.vision import AffineGrid
from tests.conftest import Command

RECIPE: Any = catalogue.recipe("spatial_transformer")
TRANSFORMATIONS = [Without(), Affine(), Similarity(), Projective(), Spline(), Affine(localisation="fcn")]


@pytest.fixture(scope="module")
def built() -> tuple[Any, Any, Any]:
    config = RECIPE.variants["tiny"]
    task = RECIPE.task(config, None)
    torch.manual_seed(0)
    return config, task, RECIPE.build(config, task)


@pytest.mark.parametrize("transformation", TRANSFORMATIONS, ids=lambda made: f"{made.name}")
@pytest.mark.parametrize("network", [FCN(hidden_size=7), CNN(filters=(2, 3))], ids=lambda made: str(made.name))
def test_every_choice_reads_images_of_both_sizes(transformation: Any, network: Any) -> None:
    for size in (28, 42):
        model = DigitReader(SpatialTransformerConfig(transformation=transformation, network=network), size)
        logits = model(torch.rand(1, 1, size, size))
        assert logits.shape == (1, 10)
        logits.logsumexp(1).sum().backward()  # type: ignore[no-untyped-call]
        used = [weight for weight in model.parameters() if weight.grad is not None]
        assert len(used) == len([*model.parameters()])


def test_at_first_the_transformer_changes_nothing() -> None:
    images = torch.rand(3, 1, 28, 28)
    torch.manual_seed(1)
    model = DigitReader(SpatialTransformerConfig(network=CNN(filters=(2, 3))), 28)
    torch.testing.assert_close(model(images), model.classifier(images), rtol=1e-4, atol=1e-5)


def test_images_too_small_for_the_convolutions_are_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 28 x 28 pixels, not 20 x 20"):
        DigitReader(SpatialTransformerConfig(), 20)


@pytest.mark.parametrize("variant", [name for name in RECIPE.variants if name not in ("default", "tiny")])
def test_a_variant_and_its_twin_differ_in_the_transformer_only(variant: str) -> None:
    config = RECIPE.variants[variant]
    twin = RECIPE.variants[f"cnn-none-{variant.rpartition('-')[2]}"]
    same = replace(config, model=replace(config.model, transformation=Without()))
    assert same == twin
    assert str(config.task.folder) == "mnist"


def test_the_page_has_the_numbers_of_weights() -> None:
    text = (catalogue.SYSTEMS / "spatial_transformer" / "README.md").read_text(encoding="utf-8")
    found = [re.findall(r"\b\d{3},\d{3}\b", line) for line in text.splitlines() if line.startswith("|")]
    rows = [numbers for numbers in found if len(numbers) == 2]
    small, large = FCN(), FCN(hidden_size=206)
    asked = [(CNN(), CNN(), made) for made in (Without(), Affine(), Projective(), Spline())]
    asked += [(small, large, made) for made in (Without(), Affine(localisation="fcn"))]  # type: ignore[misc]
    assert len(rows) == len(asked)
    for row, (*networks, transformation) in zip(rows, asked, strict=True):
        for written, network, size in zip(row, networks, (28, 42), strict=True):
            made = SpatialTransformerConfig(transformation=transformation, network=network)
            assert written == f"{sum(weight.numel() for weight in DigitReader(made, size).parameters()):,}"


def test_the_lines_are_where_the_grid_is() -> None:
    theta = torch.tensor([[0.5, -0.5, 0.1, 0.5, 0.5, -0.2]])
    lines = target_lines(3)
    found = mapped(AffineGrid((28, 28))(theta)[0], lines)
    expected = lines @ theta.view(2, 3)[:, :2].T + theta.view(2, 3)[:, 2]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    corners = in_pixels(torch.tensor([[[-1.0, -1.0], [1.0, 1.0]]]), 28)
    assert corners.tolist() == [[[0.5, 0.5], [27.5, 27.5]]]  # the centres of the pixels in the corners


def test_the_picture_has_the_input_its_grid_and_the_output(built: tuple[Any, Any, Any]) -> None:
    config, task, model = built
    example = task.examples("test")[3]
    answer = Answer(model.eval(), task, config, example, 3, torch.device("cpu"))
    with torch.no_grad():  # turned by 90 degrees and half as wide
        model.transformer.regression.bias.copy_(torch.tensor([0.0, -0.5, 0.0, 0.5, 0.0, 0.0]))
        [picture] = RECIPE.pictures(answer)
        measures = RECIPE.measures(answer)
        model.transformer.reset_parameters()
    assert isinstance(picture, Strip)
    image = torch.as_tensor(picture.images[0])
    inner = image[1:-1, 1:-1].float()
    torch.testing.assert_close(inner, task.collate([example]).images[0, 0])
    assert torch.equal(image, torch.as_tensor(picture.images[1]))
    assert [len(one) for one in picture.lines] == [0, 5, 5]
    left_top = torch.as_tensor(picture.lines[1][0][0])  # of the output: right and above the middle of the input
    torch.testing.assert_close(left_top.tolist(), [15 + 13.5 / 2, 15 - 13.5 / 2])
    assert measures["turned"].value == pytest.approx(90)
    assert measures["covered"].value == pytest.approx(25)


def test_without_a_transformer_there_is_nothing_to_show(built: tuple[Any, Any, Any]) -> None:
    config, task, _ = built
    config = replace(config, model=SpatialTransformerConfig(transformation=Without()))
    answer = Answer(RECIPE.build(config, task), task, config, task.examples("test")[0], 3, torch.device("cpu"))
    assert RECIPE.pictures(answer) == []
    assert RECIPE.measures(answer) == {}


def test_an_image_is_read(tiny_runs: dict[str, Path], saccade: Command, tmp_path: Path) -> None:
    path = tmp_path / "digit.png"
    path.write_bytes(png(torch.eye(28)))
    done = saccade("predict", tiny_runs["spatial_transformer"], path, "--pictures", tmp_path / "pictures")
    assert done.status == 0
    assert re.match(r"\d\n", done.out)
    assert "grid on the input" in done.out
    path.write_bytes(b"no image")
    failed = saccade("predict", tiny_runs["spatial_transformer"], path)
    assert failed.status == 2
    assert failed.err.count("\n") == 1


def test_a_run_gets_heat_maps_on_the_command_line_and_in_the_page(
    saccade: Command, tiny_runs: dict[str, Path], tmp_path: Path
) -> None:
    run, file = open_run(tiny_runs["spatial_transformer"]), tmp_path / "digit.png"
    file.write_bytes(run.to_type(1)[0])  # type: ignore[arg-type]
    more = ("--method", "grad-cam,ablation-cam,score-cam", "--class", "7", "--pictures", tmp_path)
    done = saccade("explain", file, "--model", run.folder.path, *more)
    assert done.status == 0, done.err
    assert "ablation-cam: 7" in done.out
    assert (tmp_path / "heat-maps-digit-png.png").exists()
    done = saccade("explain", file, "--model", run.folder.path, "--class", "seven")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "there is no class 'seven'; there are: 0, 1," in done.err
    shown = of([run.folder.path])
    assert list(shown.offer.choices["class"]) == ["the most probable", *map(str, range(10))]
    assert shown.choose is not None
    [view] = shown.choose(file.read_bytes(), {"heat map": "score-cam", "class": "3"})
    assert [kind_of(picture) for picture in view.pictures] == ["strip", "overlays"]
