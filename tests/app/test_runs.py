"""A run as a value: what many examples give is what each of them gives."""

from pathlib import Path

import pytest
import torch
from saccade.app.runs import open_run

from saccade.app import catalogue
from saccade.core.errors import InvalidInput

LOOKING = [name for name in catalogue.names() if name not in ("rnnencdec", "ctc_speech")]


@pytest.mark.parametrize("system", LOOKING)
def test_the_looks_of_many_are_those_of_each(tiny_runs: dict[str, Path], system: str) -> None:
    run = open_run(tiny_runs[system])
    examples = run.task.examples("test")[:7]
    pairs = list(zip(examples, run.predictions(examples), strict=True))
    assert len({run.task.cost(example) for example in examples}) > 1  # there is padding
    together = run.looks_of(pairs)
    assert any(together)
    for pair, looks in zip(pairs, together, strict=True):
        alone = run.looks(*pair)
        assert [look.show for look in looks] == [look.show for look in alone]
        for ours, theirs in zip(looks, alone, strict=True):
            assert (ours.rows, ours.columns) == (theirs.rows, theirs.columns)
            assert ours.weights.shape == (len(ours.rows), len(ours.columns))
            torch.testing.assert_close(ours.weights, theirs.weights, rtol=1e-4, atol=1e-5)


def test_a_look_at_a_sound_is_drawn_above_it(tiny_runs: dict[str, Path]) -> None:
    run = open_run(tiny_runs["attention_speech"])
    [example, *_] = run.task.examples("test")
    [look] = run.looks(example, example.target)
    assert look.heard is not None
    heard = look.heard()
    seconds = len(look.columns) * heard.step
    assert seconds == pytest.approx(len(heard.features) * heard.frame, abs=heard.step)
    svg = (tiny_runs["attention_speech"] / "pictures" / "alignment-1.svg").read_text(encoding="utf-8")
    assert all(f">{text}</text>" in svg for text in ("time (seconds)", "log energy", "label", "attention weight"))
    run = open_run(tiny_runs["rnnsearch"])
    [look] = run.looks(run.task.examples("test")[0], [5])
    assert look.heard is None


def test_a_recording_may_be_named_by_a_path_and_nothing_else_is_taken(tiny_runs: dict[str, Path]) -> None:
    run = open_run(tiny_runs["ctc_speech"])
    sample = tiny_runs["ctc_speech"] / "sample.wav"
    assert run.predict(sample).text == run.predict(str(sample)).text
    with pytest.raises(InvalidInput, match="there is no path of a recording"):
        run.predict(" ")
    with pytest.raises(TypeError, match="PathLike"):
        run.predict(3)  # type: ignore[arg-type]
