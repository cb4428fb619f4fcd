"""The gradients of an update are those of weight x mean over all counted items, as for one batch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.core.recipe import Loss, Part
from saccade.core.stream import Share
from saccade.training.config import Adam, TrainingConfig
from saccade.training.processes import Processes
from saccade.training.run_folder import RunFolder
from saccade.training.signals import Stop
from saccade.training.update import Gradients, Update
from tests.training.trainings import PAD, Reversals, build, epoch_of, losses_of, symbols, train, two_parts

pytestmark = pytest.mark.unhooked


def gradients_of(objective: Any, shares: list[Share], **changes: Any) -> tuple[Update, list[Tensor | None]]:
    config = TrainingConfig(accumulate=len(shares), precision="float64", device="cpu", **changes)
    gradients = Gradients(build(), objective, config, Processes(), Stop(), lambda: None)
    for share in shares:
        gradients.add(share, 0)
    update = gradients.finish()
    return update, [weight.grad for weight in gradients.weights]


def batches_of(task: Reversals) -> list[Share]:
    examples = task.examples("train")
    return [Share(task.collate([examples[row] for row in rows])) for rows in epoch_of(task)]


def expected(task: Reversals) -> tuple[float, float, list[Tensor]]:
    """The means of the two parts by loops over symbols, and the gradients of their weighted sum."""
    model, long, ends = build().double(), [], []
    for example in task.examples("train"):
        losses, _ = losses_of(model, task.collate([example]))
        long += list(losses[0]) if len(example.source) > 4 else []
        ends.append(losses[0, -1])
    means = sum(long) / len(long), sum(ends) / len(ends)
    (0.7 * means[0] + 0.3 * means[1]).backward()
    return means[0].item(), means[1].item(), [weight.grad for weight in model.parameters()]


def same(found: list[Any], wanted: list[Any]) -> bool:
    return all(torch.allclose(one, other, rtol=0, atol=1e-12) for one, other in zip(found, wanted, strict=True))


def test_accumulated_batches_of_two_parts_are_one_batch() -> None:
    task = Reversals(7)
    long, ends, wanted = expected(task)
    counts = [int((share.batch.source_mask.sum(1) > 4).sum()) for share in batches_of(task)]
    assert 0 in counts
    assert len(set(counts)) > 1, "a mean of the means would differ"
    update, found = gradients_of(two_parts, batches_of(task))
    assert same(found, wanted)
    assert update.parts == pytest.approx({"long": long, "ends": ends}, rel=1e-12)
    assert float(update.loss or 0) == pytest.approx(0.7 * long + 0.3 * ends, rel=1e-12)
    update, found = gradients_of(two_parts, [Share(task.collate(task.examples("train")))])
    assert same(found, wanted)
    assert {name: float(part) for name, part in update.parts.items()} == pytest.approx({"long": long, "ends": ends})


def test_logs_are_means_over_counted_items() -> None:
    shares = batches_of(Reversals(7))
    counts = [int((share.batch.targets != PAD).sum()) for share in shares]
    largest = [int(share.batch.targets.max()) for share in shares]
    update, _ = gradients_of(symbols, shares)
    assert update.counted == sum(counts)
    mean = sum(count * value for count, value in zip(counts, largest, strict=True)) / sum(counts)
    assert update.logs["largest"] == pytest.approx(mean)


def test_a_share_that_is_not_counted_has_no_effect() -> None:
    shares = batches_of(Reversals(7))
    other = shares[0]._replace(counted=False)
    for objective in (symbols, two_parts):
        _, wanted = gradients_of(objective, shares[1:])
        update, found = gradients_of(objective, [*shares[1:], other])
        assert same(found, wanted)
        assert update.loss is not None
        assert gradients_of(objective, [other])[0].loss is None


def test_a_single_batch_is_differentiated_directly() -> None:
    """To the last bit: `loss.value`, and its weighted parts in order."""
    share = batches_of(Reversals(7))[0]
    model = build().double()
    loss = two_parts(model, share.batch, 0)
    loss.value.backward()
    _, found = gradients_of(two_parts, [share])
    assert all(torch.equal(one, weight.grad) for one, weight in zip(found, model.parameters(), strict=True))


def nothing(model: nn.Module, batch: Any, step: int) -> Loss:
    """Counts nothing in its first steps, where its mean is NaN."""
    loss = symbols(model, batch, step)
    if not model.training or step > 2:
        return loss
    return Loss({"symbols": Part(loss.parts["symbols"].value * float("nan"), 0)})


@pytest.mark.parametrize("accumulate", [1, 2])
def test_an_update_without_counted_items_changes_no_weights(tmp_path: Path, accumulate: int) -> None:
    settings: dict[str, Any] = {"optimizer": Adam(weight_decay=0.1), "accumulate": accumulate, "log_every": 1}
    train(tmp_path / "run", Reversals(40), objective=nothing, steps=3, **settings)
    model = build()
    before = [weight.clone() for weight in model.parameters()]
    RunFolder(tmp_path / "run").load_weights(model)
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))
    lines = RunFolder(tmp_path / "run").read_metrics()
    assert [line["counted_per_second"] for line in lines if "learning_rate" in line] == [0.0] * 3
    assert not any("loss" in line for line in lines)
    train(tmp_path / "run", Reversals(40), objective=nothing, steps=5, **settings)
    assert [line["step"] for line in RunFolder(tmp_path / "run").read_metrics() if "loss" in line] == [4, 5]


def test_parts_that_change_within_an_update_are_refused() -> None:
    shares = batches_of(Reversals(7))

    def objective(model: nn.Module, batch: Any, step: int) -> Loss:
        loss = two_parts(model, batch, step)
        return loss if len(batch.targets) > 2 else Loss({"long": loss.parts["long"]})

    with pytest.raises(ValueError, match=r"parts and logs .* in all batches of an update"):
        gradients_of(objective, shares)


def test_a_training_without_a_loss_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a loss to train with"):
        train(tmp_path / "run", Reversals(40), objective=lambda model, batch, step: Loss({}))


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    def objective(model: nn.Module, batch: Any, step: int) -> Loss:
        loss = symbols(model, batch, step)
        return loss if step < 12 else Loss({"symbols": Part(loss.value * float("inf"), 1)})

    with pytest.raises(InvalidInput, match="the loss is not finite at step 15; try a smaller --training"):
        train(tmp_path / "run", Reversals(40), objective=objective)
    assert RunFolder(tmp_path / "run").read_metrics()[-1]["step"] == 10


def test_a_batch_that_a_norm_cannot_use_is_one_sentence(tmp_path: Path) -> None:
    def objective(model: nn.Module, batch: Any, step: int) -> Loss:
        nn.BatchNorm1d(3)(torch.ones(1, 3))
        return symbols(model, batch, step)

    with pytest.raises(InvalidInput, match="a batch norm needs more than one number of each channel: choose a larger"):
        train(tmp_path / "run", Reversals(40), objective=objective)


def test_several_parts_are_logged_by_name(tmp_path: Path) -> None:
    train(tmp_path / "run", Reversals(40), objective=two_parts, steps=5)
    line = RunFolder(tmp_path / "run").read_metrics()[0]
    assert set(line) == {"step", "loss", "long", "ends", "width", "counted_per_second", "learning_rate"}


def test_batches_are_collated_when_they_are_needed(tmp_path: Path) -> None:
    """Validation holds one batch at a time."""
    alive: list[int] = []

    class Counting(Reversals):
        def collate(self, examples: Any, generator: Any = None) -> Any:
            alive.append(len(examples))
            return super().collate(examples, generator)

    made: list[int] = []

    def objective(model: nn.Module, batch: Any, step: int) -> Loss:
        if not model.training:
            made.append(len(alive))
        return symbols(model, batch, step)

    train(tmp_path / "run", Counting(40), objective=objective, steps=1)
    assert len(made) > 3
    assert made == list(range(made[0], made[0] + len(made)))
