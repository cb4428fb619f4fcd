"""`saccade evaluate RUN --study captions`."""

import json
import shutil
from pathlib import Path

import pytest

from saccade import load
from saccade.studies.captions import chosen
from saccade.tasks.captions import CaptionsConfig, CaptionsTask
from saccade.tasks.captions.grammar import judged, parsed
from tests.app.conftest import Command


@pytest.mark.parametrize("system", ["show_attend_tell", "show_and_tell"])
def test_the_best_and_the_worst_are_printed_drawn_and_stored(
    saccade: Command, tiny_runs: dict[str, Path], tmp_path: Path, system: str
) -> None:
    run = Path(shutil.copytree(tiny_runs[system], tmp_path / "run"))
    done = saccade("evaluate", run, "--study", "captions", "--count", "3", "--keep")
    assert done.status == 0, done.err
    found = json.loads((run / "evidence.json").read_text())["studies"]["captions"]["test"]
    assert len(found["bad"]) == 3
    assert "bad:" in done.out
    assert (run / "pictures" / "captions-bad.png").is_file()
    task = load(run).task
    for one in found["bad"]:
        example = task.examples("test")[one["row"]]
        assert not judged(one["caption"], task.things(example)).true
        mark = f"(wrong: {one['caption'].split()[one['wrong']]})" if one["caption"] else "(empty)"
        assert (mark if parsed(one["caption"]) or not one["caption"] else "(not a sentence of the grammar)") in done.out


def test_true_captions_are_the_good_and_false_ones_the_bad() -> None:
    task = CaptionsTask(CaptionsConfig(scenes=10, judged=8))
    examples = task.examples("test")
    texts = [example.references[0] for example in examples]
    texts[2], texts[5] = texts[3], "a red"
    good, bad = chosen(task, examples, texts, 8)
    assert {one.row for one in bad} == {2, 5}
    assert {one.row for one in good} == {0, 1, 3, 4, 6, 7}
    assert [one.cider for one in good] == sorted((one.cider for one in good), reverse=True)
    assert [one.cider for one in bad] == sorted(one.cider for one in bad)


def test_what_it_does_not_apply_to(saccade: Command, tiny_runs: dict[str, Path]) -> None:
    done = saccade("evaluate", tiny_runs["ctc_speech"], "--study", "captions")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "this study needs a run that captions images; ctc_speech does not" in done.err
    done = saccade("evaluate", tiny_runs["show_and_tell"], "--study", "captions", "--count", "0")
    assert done.status == 2
    assert "--count takes a number from 1 to 50, got 0" in done.err
