"""Distillation: the loss by its equations, and a teacher from another run."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saccade import load
from saccade.core.errors import InvalidInput
from saccade.core.pretrained import Pretrained
from saccade.core.recipe import Answer
from saccade.runs import catalogue
from saccade.systems.deit.model import Hard, Soft, Student, network
from saccade.tasks.images import Batch, ImagesTask
from tests.conftest import Command

RECIPE: Any = catalogue.recipe("deit")
TINY: Any = RECIPE.variants["tiny"]


class Fixed(nn.Module):
    """A teacher whose logits are sums over parts of the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(28 * 28, 10) / 10)
        self.dropout = nn.Dropout(0.5)

    def forward(self, images: Tensor) -> Tensor:
        made: Tensor = self.dropout(images.flatten(1)) @ self.weight
        return made


@pytest.fixture(scope="module")
def task() -> ImagesTask:
    made: ImagesTask = RECIPE.task(TINY, None)
    return made


def taught(distillation: Hard | Soft, task: Any, teacher: Any = None) -> tuple[Student, Batch]:
    torch.manual_seed(1)
    found = Pretrained("nowhere").resolved(network=Fixed(), task=task if teacher is None else teacher)
    config = replace(TINY, model=replace(TINY.model, distillation=replace(distillation, teacher=found)))
    model: Student = RECIPE.build(config, task).double()
    for weight in model.parameters():
        if weight.requires_grad:
            nn.init.normal_(weight, std=0.3)
    generator = torch.Generator().manual_seed(1)
    return model, task.collate(task.examples("train")[:5], generator)


def softmax(logits: list[float]) -> list[float]:
    shares = [math.exp(one) for one in logits]
    return [one / sum(shares) for one in shares]


@pytest.mark.parametrize("distillation", [Hard(), Soft(temperature=2.5, share=0.3)], ids=["hard", "soft"])
def test_the_loss_is_that_of_the_paper(distillation: Hard | Soft, task: ImagesTask) -> None:
    model, batch = taught(distillation, task)
    of_class, of_distillation = model.logits(batch.images)
    assert of_distillation is not None
    teacher = (batch.images.double().flatten(1) @ model.teacher.weight).tolist()
    wanted = 0.0
    for row in range(5):
        label, student, said = of_class[row].tolist(), of_distillation[row].tolist(), teacher[row]
        of_labels = -sum(y * math.log(p) for y, p in zip(batch.targets[row].tolist(), softmax(label), strict=True))
        if isinstance(distillation, Hard):
            wanted += of_labels / 2 - math.log(softmax(student)[said.index(max(said))]) / 2
            continue
        tau, share = distillation.temperature, distillation.share
        true, ours = (softmax([one / tau for one in logits]) for logits in (said, student))
        divergence = sum(p * math.log(p / q) for p, q in zip(true, ours, strict=True))
        wanted += (1 - share) * of_labels + share * tau**2 * divergence
    assert float(RECIPE.objective(model, batch, 0).value.detach()) == pytest.approx(wanted / 5, rel=1e-5)


def test_the_teacher_is_frozen_and_in_evaluation_mode(task: ImagesTask) -> None:
    model, batch = taught(Hard(), task)
    before = model.teacher.weight.clone()
    assert not model.train().teacher.training
    RECIPE.objective(model, batch, 0).value.backward()
    learning = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert learning == {name for name, _ in model.named_parameters() if not name.startswith("teacher.")}
    assert "distillation_head.weight" in learning
    assert torch.equal(model.taught(batch.images), model.taught(batch.images))
    assert torch.equal(model.teacher.weight, before)


def test_the_teacher_sees_images_in_its_own_normalisation(task: ImagesTask) -> None:
    other = ImagesTask(replace(TINY.task, normalisation="none"))
    model, _ = taught(Hard(), task, other)
    pixels = task.collate(task.examples("test")[:3]).images
    theirs = other.collate(task.examples("test")[:3]).images
    torch.testing.assert_close(model.taught(pixels), model.teacher(theirs.double()), rtol=1e-5, atol=1e-5)


def test_a_single_patch_is_refused(task: ImagesTask) -> None:
    with pytest.raises(InvalidInput, match=r"with --model\.patch-size 28 an image of 28 x 28 pixels is a single patch"):
        network(replace(TINY.model, patch_size=28), task)


@pytest.mark.parametrize("system", ["deit", "visformer"])
def test_heads_that_do_not_divide_name_the_flags(system: str, task: ImagesTask) -> None:
    recipe: Any = catalogue.recipe(system)
    config = recipe.variants["tiny"]
    with pytest.raises(InvalidInput, match=r"3 heads do not divide .* 16; .*--model\.heads, --model\.model-size"):
        recipe.build(replace(config, model=replace(config.model, heads=3)), task)


def test_a_teacher_of_other_images_is_refused(task: ImagesTask) -> None:
    with pytest.raises(InvalidInput, match="nowhere is no run that classifies images"):
        taught(Hard(), task, "a task of texts")
    with pytest.raises(InvalidInput, match="the teacher nowhere has other rows and columns: 32, not 28"):
        taught(Hard(), task, ImagesTask(replace(TINY.task, size=32)))
    with pytest.raises(InvalidInput, match="the teacher nowhere has other channels: 3, not 1"):
        taught(Hard(), task, ImagesTask(replace(TINY.task, channels=3)))


class ImageNet:
    """The part of a task that a network is built from."""

    classes, side, channels = ("class",) * 1000, 224, 3


@pytest.mark.parametrize(
    ("variant", "parameters"), [("ti", 5_717_416), ("s", 22_050_664), ("s-base", 22_050_664), ("b", 86_567_656)]
)
def test_the_published_variants_have_the_published_sizes(variant: str, parameters: int) -> None:
    with torch.device("meta"):
        model = network(RECIPE.variants[variant].model, ImageNet)
    assert sum(weight.numel() for weight in model.parameters()) == parameters


@pytest.mark.parametrize("variant", ["base", "s-base"])
def test_the_base_setting_is_that_of_visformer(variant: str) -> None:
    ours, theirs = (catalogue.recipe(system).variants[variant] for system in ("deit", "visformer"))
    assert ours.task == theirs.task
    assert ours.model.stochastic_depth == theirs.model.stochastic_depth == 0
    alike = replace(ours.training, steps=theirs.training.steps, precision=theirs.training.precision)
    assert alike == theirs.training


@pytest.mark.parametrize("distillation", [None, Soft()], ids=["none", "soft"])
def test_its_pictures_show_what_the_tokens_attend_to(distillation: Soft | None, task: ImagesTask) -> None:
    model = RECIPE.build(TINY, task) if distillation is None else taught(distillation, task)[0]
    model.eval()
    example = task.examples("test")[0]
    [prediction] = RECIPE.predict(model, task.collate([example]), TINY)
    answer = Answer(model, task, TINY, example, prediction, torch.device("cpu"))
    attention, heat, classes = RECIPE.pictures(answer)
    assert list(attention.labels) == ["block 1", "block 2", *(["teacher's token"] if distillation else [])]
    assert attention.maps.shape[1:] == (4, 4)
    assert (attention.maps.sum((1, 2)) <= 1).all()
    assert (heat.name, classes.name) == ("grad-cam", "classes")
    assert 0 < RECIPE.measures(answer)["attention_entropy"].value < math.log(18)


@pytest.mark.unhooked
def test_a_run_learns_from_another_and_needs_it_no_more(saccade: Command, tmp_path: Path) -> None:
    flags = ["--training.steps", "3", "--training.validate-every", "3"]
    assert saccade("train", "deit", "tiny", *flags, "--out", tmp_path / "teacher").status == 0
    own = ["--model.distillation", "soft", "--model.soft.teacher", tmp_path / "teacher", "--out", tmp_path / "student"]
    assert saccade("train", "deit", "tiny", *flags, *own).status == 0
    (tmp_path / "teacher").rename(tmp_path / "gone")
    run = load(tmp_path / "student")
    assert run.predict((tmp_path / "student" / "assets" / "inputs" / "1.png").read_bytes()).text


def test_a_teacher_that_is_not_there_is_named_by_its_flag(saccade: Command, tmp_path: Path) -> None:
    flags = ["--model.distillation", "hard", "--model.hard.teacher", tmp_path / "none"]
    done = saccade("train", "deit", "tiny", *flags, "--out", tmp_path / "run")
    assert done.status == 2
    assert "there is no such run or file; --model.hard.teacher takes a run" in done.err
