"""`saccade explain PICTURE --model MODEL --method ...` for Hugging Face folders and published weights."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from saccade.app.explain_verb import METHODS
from saccade.explain import heat_maps
from saccade.runs.heat_maps import number_of
from tests.app.conftest import Command
from tests.nets.convolutional import drawn, listed

transformers = pytest.importorskip("transformers")
pillow = pytest.importorskip("PIL.Image")
LABELS = ["tabby, tabby cat", "dog", "sun", "sky", "boat"]
SIZES = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 20}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ViT and a ResNet with random weights, published weights, and a picture."""
    root = tmp_path_factory.mktemp("classifiers")
    torch.manual_seed(0)
    labels = {"id2label": dict(enumerate(LABELS)), "label2id": {name: n for n, name in enumerate(LABELS)}}
    for name, model in {
        "vit": transformers.ViTForImageClassification(
            transformers.ViTConfig(image_size=32, patch_size=8, **SIZES, **labels)
        ),
        "resnet": transformers.ResNetForImageClassification(
            transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], **labels)
        ),
    }.items():
        model.save_pretrained(root / name)
        said = {"size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        (root / name / "preprocessor_config.json").write_text(json.dumps(said))
    torch.save(drawn(listed("torchvision-resnet18"), dtype=torch.float32), root / "resnet18.pth")
    (root / "labels.txt").write_text("\n".join(f"thing {number}" for number in range(1000)))
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    pillow.fromarray(pixels).save(root / "photo.png")
    pillow.fromarray(pixels[..., 0]).save(root / "grey.png")
    return root


def test_the_verb_knows_the_methods() -> None:
    assert list(METHODS) == list(heat_maps.METHODS)


def test_a_checkpoint_of_pictures_gets_overlays_side_by_side(saccade: Command, folder: Path, tmp_path: Path) -> None:
    methods = "grad-cam,ablation-cam,score-cam,attention-rollout,attention-relevance"
    more = ("--class", "tabby cat", "--class", "1", "--pictures", tmp_path, "--html", tmp_path / "look.html")
    done = saccade("explain", folder / "photo.png", "--model", folder / "vit", "--method", methods, *more)
    assert done.status == 0, done.err
    assert done.out.startswith("ViTForImageClassification of vit: photo.png -> ")
    assert "grad-cam: layer vit.layers.1.layernorm_before, 4 x 4 places" in done.out
    assert "attention-rollout: layer vit.layers.0.attention" in done.out
    assert "score-cam: tabby" in done.out
    assert "score-cam: dog" in done.out
    assert done.out.count(" %  ") == 5
    assert (tmp_path / "heat-maps-photo-png.png").exists()
    assert '"kind": "overlays"' in (tmp_path / "look.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("picture", ["photo.png", "grey.png"])
def test_without_a_method_a_classifier_gets_grad_cam(
    saccade: Command, folder: Path, tmp_path: Path, picture: str
) -> None:
    done = saccade("explain", folder / picture, "--model", folder / "resnet", "--pictures", tmp_path)
    assert done.status == 0, done.err
    assert "grad-cam: layer resnet.encoder.stages.1, 4 x 4 places" in done.out


def test_published_weights_by_the_name_of_the_network(saccade: Command, folder: Path, tmp_path: Path) -> None:
    more = ("--weights", folder / "resnet18.pth", "--pictures", tmp_path, "--layer", "stages.layer3")
    done = saccade("explain", folder / "photo.png", "--model", "resnet18", "--class", "207", *more)
    assert done.status == 0, done.err
    assert "grad-cam: golden retriever" in done.out
    assert "layer stages.layer3, 14 x 14 places" in done.out
    done = saccade(
        "explain", folder / "photo.png", "--model", "resnet18", "--class", "Thing 9", *more, "--labels",
        folder / "labels.txt",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert "grad-cam: thing 9" in done.out


BAD: list[tuple[list[Any], str]] = [
    (["--class", "tabby cut"], "there is no class 'tabby cut'; did you mean 'tabby cat'?"),
    (["--class", "9"], "there is no class 9; they are numbered from 0 to 4"),
    (["--method", "gradcam"], "there is no method 'gradcam'; did you mean 'grad-cam'?"),
    (["--method", ","], "expected names of methods, separated by commas, not ','"),
    (["--layer", "vit.layer.1"], "the model has no layer 'vit.layer.1'; did you mean 'vit.layers.1'?"),
    (["--layer", "classifier"], "layer 'classifier' has no spatial extent"),
    (["--method", "attention-rollout", "--layer", "x"], "reads the attention of all layers; remove --layer"),
    (["--method", "cam"], "CAM needs a linear head"),
    (["--answer", "x"], "--answer is for attention maps; heat maps have none"),
    (["--links", "3"], "--links is for attention maps; heat maps have none"),
    (["--method", ""], "expected names of methods, separated by commas, not ''"),
    (["--layer", ""], "expected the name of a layer after --layer"),
    (["--labels", "none.txt"], "--labels names the classes of --weights FILE"),
    (["--training.steps", "3"], "--training.steps is a field of a run's configuration"),
]


@pytest.mark.parametrize(("more", "sentence"), BAD)
def test_bad_input_is_one_sentence(saccade: Command, folder: Path, more: list[Any], sentence: str) -> None:
    done = saccade("explain", folder / "photo.png", "--model", folder / "vit", *more)
    assert done.status == 2
    assert sentence in done.err
    assert done.err.count("\n") == 1, done.err


def test_classes_that_differ_in_case_alone() -> None:
    assert [number_of(name, ["Red", "red", "Blue"]) for name in ("Red", "red", "BLUE", "2")] == [0, 1, 2, 2]


def test_bad_models_and_pictures_are_one_sentence(saccade: Command, folder: Path, tmp_path: Path) -> None:
    photo, weights = folder / "photo.png", folder / "resnet18.pth"
    (tmp_path / "text.png").write_text("text")
    held = torch.load(weights, weights_only=True)
    for name, head in {
        "scalar": torch.tensor(1.0), "sparse": held["fc.weight"].to_sparse(), "nan": held["fc.weight"] * torch.nan,
    }.items():  # fmt: skip
        torch.save({**held, "fc.weight": head}, tmp_path / f"{name}.pth")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pth")
    shutil.copytree(folder / "vit", tmp_path / "vit")
    said = {"size": {"height": 33, "width": 33}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(said))
    for given, sentence in (
        (("", "--model", folder / "vit"), "there is nothing to see: give the path of a picture"),
        (("none.png", "--model", folder / "vit"), "there is no such image"),
        ((tmp_path / "text.png", "--model", folder / "vit"), "is not an image, or is damaged"),
        ((photo, "--model", "resnet18"), "resnet18 needs the file of its published weights: --weights FILE"),
        ((photo, "--model", "resnet81", "--weights", weights), "did you mean 'resnet18'?"),
        ((photo, "--model", "resnet50", "--weights", weights), "holds the weights of another network"),
        ((photo, "--model", "resnet18", "--weights", tmp_path / "x"), "there is no such file"),
        ((photo, "--model", "resnet18", "--weights", photo), "damaged"),
        ((photo, "--model", "resnet18", "--weights", tmp_path / "scalar.pth"), "are a matrix, not ()"),
        ((photo, "--model", "resnet18", "--weights", tmp_path / "sparse.pth"), "fc.weight is sparse or has no numbers"),
        ((photo, "--model", "resnet18", "--weights", tmp_path / "nan.pth"), "gives logits that are not finite"),
        ((photo, "--model", "resnet18", "--weights", tmp_path / "whole.pth"), "save model.state_dict() instead"),
        ((photo, "--model", tmp_path / "vit"), "does not take a picture of 3x33x33"),
        ((photo, "--model", folder / "resnet", "--method", "attention-rollout"), "needs one stack of self-attention"),
        ((photo, "--model", "resnet18", "--weights", weights, "--labels", photo), "expected a label for each of 1000"),
        ((photo, "--model", "resnet18x", "--method", "cam"), "did you mean 'resnet18'?"),
        ((photo, "--model", tmp_path, "--method", "cam"), "is no classifier of pictures"),
    ):
        done = saccade("explain", *given)
        assert done.status == 2, given
        assert sentence in done.err, done.err
        assert done.err.count("\n") == 1, done.err
