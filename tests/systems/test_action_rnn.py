from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.core.recipe import Answer
from saccade.explain.pictures import kept, load
from saccade.explain.pictures.strip import Strip
from saccade.runs import catalogue
from saccade.systems.action_rnn.model import ActionConfig, ActionRNN
from saccade.systems.action_rnn.weighted import WeightedFrames
from saccade.tasks.actions import MOTIONS
from tests.checks import assert_twins, randomised
from tests.explain.pictures import assert_apart, assert_whole

RECIPE: Any = catalogue.recipe("action_rnn")


def net(per_frame: bool = False, **options: Any) -> Any:
    sizes = {"channels": (2, 3), "frame_size": 5, "hidden_size": 7, "attention_size": 3, "dropout": 0.0}
    torch.manual_seed(0)
    return randomised(ActionRNN(ActionConfig(**{**sizes, **options}), 8, per_frame=per_frame)).eval()


def clips() -> tuple[Tensor, Tensor]:
    mask = torch.tensor([[True, True, True, False], [True] * 4])
    return torch.rand(2, 4, 1, 32, 32, dtype=torch.float64), mask


def slow(model: Any, clip: Tensor) -> Tensor:
    """The logits of one clip, frame by frame: a simple recurrent net, and attention in loops."""
    net, classifier = model.recurrent.layers[0][0], model.classifier
    hidden, states = clip.new_zeros(net.hidden_size), []
    for frame in clip:
        found = torch.relu(model.features(model.convolutions(frame[None]).flatten(1)))[0]
        hidden = torch.tanh(net.weight_ih_l0 @ found + net.bias_ih_l0 + net.weight_hh_l0 @ hidden + net.bias_hh_l0)
        states.append(hidden)
    attention = classifier.attention
    scores = attention.read(classifier.query[None], attention.prepare(torch.stack(states)[None])).weights[0]
    vector = sum(weight * state for weight, state in zip(scores, states, strict=True))
    logits: Tensor = classifier.output.weight @ vector + classifier.output.bias
    return logits


class TestNet:
    def test_it_is_the_equations_frame_by_frame(self) -> None:
        model, (frames, mask) = net(cell="rnn"), clips()
        rows = [frames[row][mask[row]] for row in range(2)]
        assert_twins(
            lambda: model(frames, mask)[:, 0],
            lambda: torch.stack([slow(model, clip) for clip in rows]),
            [*model.parameters()],
        )

    @pytest.mark.parametrize("pooling", ["attention", "mean", "maximum", "last"])
    @pytest.mark.parametrize("cell", ["lstm", "none"])
    def test_padding_changes_nothing(self, cell: str, pooling: str) -> None:
        model, (frames, mask) = net(cell=cell, pooling=pooling), clips()
        alone = model(frames[:1, :3], mask[:1, :3])
        frames[0, 3] = torch.nan  # a frame that does not exist is not read
        torch.testing.assert_close(model(frames, mask)[:1], alone)

    @pytest.mark.parametrize("pooling", ["attention", "mean", "maximum"])
    def test_without_a_cell_order_means_nothing_and_with_one_it_does(self, pooling: str) -> None:
        frames, mask = clips()
        for cell in ("none", "gru"):
            model = net(cell=cell, pooling=pooling)
            one, other = model(frames[1:], mask[1:]), model(frames[1:].flip(1), mask[1:])
            assert torch.allclose(one, other, rtol=1e-9) == (cell == "none")

    def test_the_mean_of_frames(self) -> None:
        model, (frames, mask) = net(cell="none", pooling="mean"), clips()
        mean = model.seen(frames, mask)[0, :3].mean(0)
        torch.testing.assert_close(model(frames, mask)[0, 0], model.classifier.output(mean))

    def test_each_frame_is_named_from_both_sides(self) -> None:
        model, (frames, mask) = net(per_frame=True, directions="both"), clips()
        found = model(frames, mask)
        assert found.shape == (2, 4, 8)
        changed = frames.clone()
        changed[1, 3] = 0
        assert not torch.allclose(model(changed, mask)[1, 0], found[1, 0]), "a later frame"
        forward = net(per_frame=True)
        torch.testing.assert_close(forward(changed, mask)[1, :3], forward(frames, mask)[1, :3])


def answered(variant: str = "tiny", **changes: Any) -> Answer:
    config = RECIPE.variants["tiny"]
    config = replace(config, **{name: replace(getattr(config, name), **own) for name, own in changes.items()})
    task = RECIPE.task(config, None)
    torch.manual_seed(0)
    model = randomised(RECIPE.build(config, task)).eval()
    example = task.examples("test")[0]
    with torch.inference_mode():
        [prediction] = RECIPE.predict(model, task.collate([example]), config)
    return Answer(model, task, config, example, prediction, torch.device("cpu"))


class TestRecipe:
    def test_variants_are_rows_of_one_table(self) -> None:
        variants = RECIPE.variants
        assert variants["without-order"].task.order == "hidden"
        assert variants["mean-of-frames"].model.cell == "none"
        assert variants["mean-of-frames"].model.pooling == "mean"
        assert variants["per-frame"].task.labels == "frame"
        assert {variants[name].model.pooling for name in ("default", "last", "mean", "maximum")} == {
            "attention", "last", "mean", "maximum",
        }  # fmt: skip

    def test_a_frame_without_a_name_has_no_part_in_the_loss(self) -> None:
        answer = answered(task={"labels": "frame"})
        model, task = answer.model.train(), answer.task
        batch = task.collate(task.examples("train")[:3])
        part = RECIPE.objective(model, batch, 0).parts["nats"]
        assert part.count == 30
        rows = model(batch.frames, batch.mask).log_softmax(-1)
        expected = -rows.gather(2, batch.labels[..., None]).mean()
        torch.testing.assert_close(part.value, expected, rtol=1e-6, atol=1e-6)
        unknown = batch._replace(labels=batch.labels.index_fill(1, torch.arange(4, 10), -1))
        assert RECIPE.objective(model, unknown, 0).parts["nats"].count == 12
        assert not RECIPE.objective(model.eval(), batch, 0).parts

    def test_weights_of_attention_stand_below_the_frames(self) -> None:
        answer = answered()
        [picture] = RECIPE.pictures(answer)
        assert isinstance(picture, WeightedFrames)
        assert float(picture.weights.sum()) == pytest.approx(1)
        assert picture.values == "attention weight"
        assert kept(load(kept(picture))) == kept(picture)
        batch = answer.task.collate([answer.example])
        model: Any = answer.model
        outputs, state = model.recurrent(model.seen(batch.frames, batch.mask), batch.mask)
        pooled = model.classifier.pool(outputs, batch.mask, model.recurrent.final(state))
        torch.testing.assert_close(torch.as_tensor(picture.weights), pooled.weights[0].detach())

    def test_names_stand_below_the_frames(self) -> None:
        [picture] = RECIPE.pictures(answer := answered(task={"labels": "frame"}))
        assert list(picture.names) == [MOTIONS[label] for label in answer.prediction.labels]
        assert picture.labels[0] == f"1 {picture.names[0]}"

    def test_without_attention_there_are_only_frames(self) -> None:
        [picture] = RECIPE.pictures(answered(model={"pooling": "mean"}))
        assert isinstance(picture, Strip)


class TestPicture:
    frames = torch.rand(6, 5, 5)

    @pytest.mark.parametrize("names", [(), ("grows",) * 6, ("turns counter-clockwise",) * 2 + ("moves up",) * 4,
                                       ("grows", "shrinks") * 3])  # fmt: skip
    def test_the_figure_is_whole(self, names: tuple[str, ...]) -> None:
        figure = WeightedFrames("frames", self.frames, [0.5, 0.1, 0.1, 0.1, 0.1, 0.1], names, "weight", "x").figure()
        assert_whole(figure)
        assert_apart(figure)

    def test_what_it_says(self) -> None:
        picture = WeightedFrames("frames", self.frames[:2], [0.75, 0.25], ("grows", "shrinks"), "probability", "a clip")
        assert picture.description() == "a clip: 2 frames, and the probability of each: 1 grows 0.75, 2 shrinks 0.25"
        assert "1 grows" in picture.text(60)
        assert picture.page()["strip"]["labels"] == ["1 grows", "2 shrinks"]

    def test_wrong_shapes_are_refused(self) -> None:
        for frames, weights, names in ((self.frames, [1.0], ()), (self.frames[:1], [-1.0], ()),
                                       (self.frames[:1], [1.0], ("a", "b"))):  # fmt: skip
            with pytest.raises(InvalidInput):
                WeightedFrames("frames", frames, weights, names)
