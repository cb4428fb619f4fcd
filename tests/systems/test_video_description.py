"""Video description: its encoders as loops, attention over frames that exist, the picture, the measure."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.core.recipe import Answer
from saccade.runs import catalogue
from saccade.systems.video_description.frames import FrameWeights
from saccade.systems.video_description.model import (
    LocalEncoder,
    VideoDescription,
    VideoDescriptionConfig,
    neighbours,
    spread,
)
from saccade.systems.video_description.recipe import sizes
from saccade.systems.video_description.watched import watched
from saccade.tasks.captions import ClipBatch, Said

RECIPE: Any = catalogue.recipe("video_description")
SMALL = VideoDescriptionConfig(
    embedding_size=5, hidden_size=7, frame_channels=(3, 4), local_channels=(2, 5), dropout=0.0
)
COUNTS = (5, 1, 3)  # frames of each clip


def clips_of(counts: tuple[int, ...] = COUNTS, longest: int = 0) -> ClipBatch:
    """Random clips, whose frames after the last are NaN."""
    most = max(longest, *counts)
    torch.manual_seed(1)
    mask = torch.arange(most) < torch.tensor(counts)[:, None]
    frames = torch.rand(len(counts), max(counts), 3, 11, 13, dtype=torch.float64)
    frames = F.pad(frames, (0, 0, 0, 0, 0, 0, 0, most - max(counts)))
    frames[~mask] = torch.nan
    tokens = torch.tensor([[2, 4, 5, 3], [2, 6, 3, 0], [2, 7, 8, 3]])[: len(counts)]
    return ClipBatch(frames, mask, tokens, tokens != 0, tokens[:, None])


@pytest.fixture
def model() -> VideoDescription:
    return VideoDescription(SMALL, 11).double().eval()


class TestEncoders:
    def test_a_local_convolution_is_one_over_time_rows_and_columns(self) -> None:
        """Each clip alone through torch's conv3d, with the weights of the three frames taken apart."""
        batch, encoder = clips_of(), LocalEncoder((2, 5)).double().eval()
        for norm in encoder.norms:
            torch.nn.init.uniform_(norm.weight)  # type: ignore[arg-type]
            torch.nn.init.uniform_(norm.bias)  # type: ignore[arg-type]
        ours = encoder(batch.frames[batch.frame_mask], batch.frame_mask)
        expected = []
        for frames, count in zip(batch.frames, COUNTS, strict=True):
            found = frames[:count].transpose(0, 1)[None]
            for layer, norm in zip(encoder.convolutions, encoder.norms, strict=True):
                weight = layer.weight.unflatten(1, (3, -1)).transpose(1, 2)  # (out, in, time, rows, columns)
                found = F.conv3d(found, weight, stride=(1, 2, 2), padding=1)
                found = norm(found[0].transpose(0, 1)).relu().transpose(0, 1)[None]
            expected.append(found[0].mean((2, 3)).T)
        torch.testing.assert_close(ours, torch.cat(expected))

    def test_neighbours_end_with_the_clip(self) -> None:
        mask = torch.tensor([[True, True, False], [True, False, False], [True, True, True]])
        valid = torch.arange(1.0, 7).view(6, 1, 1, 1)
        found = neighbours(valid, mask)[:, :, 0, 0]
        assert found.tolist() == [[0, 1, 2], [1, 2, 0], [0, 3, 0], [0, 4, 5], [4, 5, 6], [5, 6, 0]]
        assert spread(valid[:, :, 0, 0], mask)[..., 0].tolist() == [[1, 2, 0], [3, 0, 0], [4, 5, 6]]

    def test_padding_changes_nothing(self, model: VideoDescription) -> None:
        for training in (False, True):
            model.train(training)
            short, long = (model(clips_of(longest=longest)) for longest in (0, 9))
            torch.testing.assert_close(short.projection.log_probs(), long.projection.log_probs())
            torch.testing.assert_close(long.weights[:, :, :5], short.weights)
            assert not long.weights[:, :, 5:].any()

    def test_without_attention_the_context_is_the_mean_of_the_frames(self) -> None:
        model = VideoDescription(replace(SMALL, attend=False), 11).double().eval()
        batch = clips_of()
        seen = model.encode(batch)
        twin = VideoDescription(SMALL, 11).double().eval()
        twin.load_state_dict(model.state_dict())
        whole = twin.encode(batch)
        for row, count in enumerate(COUNTS):
            torch.testing.assert_close(seen.annotations[row, 0], whole.annotations[row, :count].mean(0))
        assert seen.mask is None

    def test_without_local_convolutions(self) -> None:
        model = VideoDescription(replace(SMALL, local_channels=()), 11).double().eval()
        assert model.encode(clips_of()).annotations.shape == (3, 5, 4)
        assert not any("local" in name for name, _ in model.named_parameters())


def slow_scores(attention: Any, query: torch.Tensor, frames: torch.Tensor) -> list[torch.Tensor]:
    """w . tanh(W h + U v_i + b) of each frame."""
    asked = attention.query.weight @ query
    return [(attention.v * torch.tanh(asked + attention.key.weight @ v + attention.key.bias)).sum() for v in frames]


def test_a_step_is_the_paper_s_equations(model: VideoDescription) -> None:
    """e_i = w . tanh(W h + U v_i) over the frames that exist, in loops; then the mean under their softmax."""
    batch = clips_of()
    seen = model.encode(batch)
    predicted = model(batch)
    attention: Any = model.decoder.mechanism
    for row, count in enumerate(COUNTS):
        for t in range(predicted.weights.shape[1]):
            scores = slow_scores(attention, predicted.queries[row, t], seen.annotations[row, :count])
            weights = [score.exp() / sum(score.exp() for score in scores) for score in scores]
            torch.testing.assert_close(predicted.weights[row, t, :count], torch.stack(weights))
            assert predicted.weights[row, t].sum().item() == pytest.approx(1)
            context = sum(weight * v for weight, v in zip(weights, seen.annotations[row, :count], strict=True))
            torch.testing.assert_close(predicted.contexts[row, t], context)


def test_the_four_rows_differ_in_the_two_choices_alone() -> None:
    rows = {name: RECIPE.variants[name].model for name in ("default", "no-local", "no-attention", "neither")}
    assert [(bool(row.local_channels), row.attend) for row in rows.values()] == [
        (True, True), (False, True), (True, False), (False, False),
    ]  # fmt: skip
    common = [replace(row, local_channels=(), attend=True) for row in rows.values()]
    assert all(row == common[0] for row in common)
    assert all(replace(RECIPE.variants[name], model=sizes()) == RECIPE.variants["default"] for name in rows)


@pytest.fixture(scope="module")
def answers() -> dict[bool, Answer]:
    """The right answers to a clip, of models with and without attention."""
    found, tiny = {}, RECIPE.variants["tiny"]
    task = RECIPE.task(tiny, None)
    example = task.examples("test")[0]
    for attend in (True, False):
        config = replace(tiny, model=replace(tiny.model, attend=attend))
        torch.manual_seed(0)
        model = RECIPE.build(config, task).eval()
        found[attend] = Answer(model, task, config, example, task.answer(example), torch.device("cpu"))
    return found


class TestAnswer:
    def test_what_lies_on_the_frames_of_an_event(self, answers: dict[bool, Answer]) -> None:
        answer = answers[True]
        seen, figures = watched(answer), RECIPE.measures(answer)
        spans = answer.task.spans(answer.example, answer.prediction.symbols)
        shares = [sum(seen.weights[place, frame] for frame in span) for place, span in enumerate(spans) if span]
        assert len(shares) == 6
        assert figures["on_event"].value == pytest.approx(100 * float(sum(shares)) / 6, abs=1e-3)
        assert figures["on_event"].over == 6

    def test_without_attention_weights_are_even(self, answers: dict[bool, Answer]) -> None:
        figures = RECIPE.measures(answers[False])
        assert figures["on_event"].value == pytest.approx(figures["even_on_event"].value)
        [picture] = RECIPE.pictures(answers[False])
        assert float(picture.weights.max()) == pytest.approx(float(picture.weights.min()))

    def test_a_description_that_names_nothing_there_counts_as_one_word(self, answers: dict[bool, Answer]) -> None:
        figures = RECIPE.measures(answers[True]._replace(prediction=Said((4, 4))))
        assert {(figure.value, figure.over) for figure in figures.values()} == {(0.0, 1)}

    def test_a_clip_of_one_frame(self, answers: dict[bool, Answer]) -> None:
        answer = answers[True]
        example = answer.example._replace(frames=answer.task.frames([answer.example])[0][:1], split="", references=())
        [said] = RECIPE.predict(answer.model, answer.task.collate([example]), answer.config)
        [picture] = RECIPE.pictures(answer._replace(example=example, prediction=said))
        assert (picture.weights == 1).all()


class TestPicture:
    picture = FrameWeights(
        "frames", torch.rand(3, 3, 4, 4), [[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]], ["dog", "</s>"], "a dog"
    )

    def test_it_says_what_it_shows(self) -> None:
        assert "dog" in self.picture.text(80)
        assert "3 frames, and their weights at each word" in self.picture.description()
        assert self.picture.page()["labels"] == ["1", "2", "3"]
        assert len(self.picture.figure().axes) == 4, "three frames, and the weights"

    def test_the_wrong_shape(self) -> None:
        with pytest.raises(InvalidInput, match="expected frames"):
            FrameWeights("a", torch.rand(3, 4, 4), [[1.0, 0, 0]], ["a"])
        with pytest.raises(InvalidInput, match="weights"):
            FrameWeights("a", torch.rand(3, 3, 4, 4), [[1.0, 0]], ["a"])
