"""A run as a value: predictions, pictures and sample inputs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.stream import sizes_of
from saccade.core.task import Answered, Sized
from saccade.explain.pictures.alignment import Alignment
from saccade.explain.pictures.heads import Heads
from saccade.explain.pictures.sound import Sound
from saccade.runs import catalogue, scoring
from saccade.runs.run import open_run

PREDICTED = [name for name in catalogue.names() if name not in ("rnnencdec", "ctc_speech")]
DRAWN = [name for name in PREDICTED if catalogue.recipe(name).pictures is not None]


@pytest.mark.parametrize("system", PREDICTED)
def test_predictions_of_a_batch_equal_single_predictions(tiny_runs: dict[str, Path], system: str) -> None:
    run = open_run(tiny_runs[system])
    every = run.task.examples("test")
    sizes = sizes_of(run.task, every)
    examples = [every[sizes.index(min(sizes))], *every[-6:]]
    assert len(set(sizes_of(run.task, examples))) > 1 or not isinstance(run.task, Sized)  # the batch is padded
    together = run.predictions(examples)
    for example, prediction in zip(examples, together, strict=True):
        [alone] = run.predictions([example])
        assert run.said(prediction) == run.said(alone)


@pytest.mark.parametrize("system", DRAWN)
def test_the_pictures_of_an_answer_have_matching_labels(tiny_runs: dict[str, Path], system: str) -> None:
    """Labels for each row and column, for any sizes."""
    run = open_run(tiny_runs[system])
    examples = run.task.examples("test")[:7]
    for example, prediction in zip(examples, run.predictions(examples), strict=True):
        pictures = run.pictures(example, prediction)
        assert pictures
        assert len({picture.name for picture in pictures}) == len(pictures)
        for picture in pictures:
            if isinstance(picture, Alignment):
                assert picture.weights.shape == (len(picture.rows), len(picture.columns))
            if isinstance(picture, Sound):
                assert len(picture.weights) == len(picture.rows)
        if any(isinstance(picture, Alignment | Sound) for picture in pictures):  # a single head is drawn once
            assert all(count_of(picture) > 1 for picture in pictures if isinstance(picture, Heads))


def count_of(heads: Heads) -> int:
    return sum(np.asarray(weights).size // (len(rows) * len(keys)) for weights, rows, keys in heads.layers.values())


def test_a_sound_is_drawn_below_its_alignment(tiny_runs: dict[str, Path]) -> None:
    run = open_run(tiny_runs["attention_speech"])
    [example, *_] = run.task.examples("test")
    assert isinstance(run.task, Answered)
    [sound] = run.pictures(example, run.task.answer(example))
    assert isinstance(sound, Sound)
    assert sound.features is not None
    assert sound.seconds == pytest.approx(len(sound.features) * sound.frame, abs=sound.step)
    svg = (tiny_runs["attention_speech"] / "pictures" / "sound-1.svg").read_text(encoding="utf-8")
    assert all(f">{text}</text>" in svg for text in ("time (seconds)", "log energy", "label", "attention weight"))


def test_the_picture_of_an_answer_depends_only_on_earlier_symbols(tiny_runs: dict[str, Path]) -> None:
    """Another answer gives other rows, but rows before the first difference are equal."""
    run = open_run(tiny_runs["rnnsearch"])
    [example, *_] = run.task.examples("test")
    assert isinstance(run.task, Answered)
    right = run.task.answer(example)
    whole, short = run.pictures(example, right)[0], run.pictures(example, right[:2])[0]
    assert isinstance(whole, Alignment)
    assert isinstance(short, Alignment)
    assert list(short.rows) == [*list(whole.rows)[:2], "</s>"]
    np.testing.assert_allclose(np.asarray(short.weights)[:3], np.asarray(whole.weights)[:3], atol=1e-6)


def test_sample_inputs_are_stored_and_answered(tiny_runs: dict[str, Path]) -> None:
    for system in ("rnnsearch", "ctc_speech", "handwriting"):
        run = open_run(tiny_runs[system])
        inputs = run.to_type()
        assert len(inputs) == 5
        assert all(isinstance(one, bytes) for one in inputs) == (system == "ctc_speech")
        assert inputs == run.task.examples_to_type(5)  # from its test split
        assert run.to_type(2) == inputs[:2]
        answer = run.predict(inputs[0])
        assert answer.text == run.said(answer.value)


def test_a_metric_that_is_no_figure_of_the_score_is_named(
    tiny_runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run(tiny_runs["rnnsearch"])
    examples = run.task.examples("test")[:3]
    predictions = run.predictions(examples)
    assert scoring.scored(run, predictions, examples).figures["attention_entropy"].name == "attention entropy"
    monkeypatch.setattr(run.task, "metric", "attention_entropy")
    with pytest.raises(NotFound, match=r"rnnsearch: the metric 'attention_entropy' is no figure .*: bleu, chrf, "):
        scoring.scored(run, predictions, examples)


def test_a_run_is_evaluated_without_gradients_in_the_mode_of_evaluation(tiny_runs: dict[str, Path]) -> None:
    run = open_run(tiny_runs["rnnsearch"])
    run.model.train()
    with run.running():
        assert not run.model.training
        assert torch.is_inference_mode_enabled()
    assert not torch.is_inference_mode_enabled()


def test_a_loaded_model_is_in_the_mode_of_evaluation(tiny_runs: dict[str, Path]) -> None:
    assert not any(module.training for module in open_run(tiny_runs["resnet"]).model.modules())


def test_a_run_is_evaluated_with_its_number_of_threads(tiny_runs: dict[str, Path]) -> None:
    before = torch.get_num_threads()
    with open_run(tiny_runs["rnnsearch"], "--training.threads", str(before + 1)).running():
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_a_recording_can_be_named_by_a_path(tiny_runs: dict[str, Path]) -> None:
    run = open_run(tiny_runs["ctc_speech"])
    sample = tiny_runs["ctc_speech"] / "assets" / "inputs" / "1.wav"
    assert run.predict(sample).text == run.predict(str(sample)).text == run.predict(sample.read_bytes()).text
    with pytest.raises(InvalidInput, match="expected the path of a recording; the input is empty"):
        run.predict(" ")
    with pytest.raises(TypeError, match="PathLike"):
        run.predict(3)  # type: ignore[arg-type]


def test_an_argument_that_is_not_a_flag_is_refused(tiny_runs: dict[str, Path]) -> None:
    with pytest.raises(InvalidInput, match=r"'beam' is not a flag, such as --search.beam"):
        open_run(tiny_runs["rnnsearch"], "beam", "--search.beam", "1")
