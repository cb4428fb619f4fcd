"""`saccade evaluate RUN --study gradients`."""

import json
import shutil
from pathlib import Path

import pytest

from tests.app.conftest import Command


@pytest.mark.parametrize("system", ["rnnencdec", "rnnsearch", "transformer"])
def test_gradients_by_distance_are_printed_drawn_and_stored(
    saccade: Command, tiny_runs: dict[str, Path], tmp_path: Path, system: str
) -> None:
    run = Path(shutil.copytree(tiny_runs[system], tmp_path / "run"))
    done = saccade("evaluate", run, "--study", "gradients", "--keep")
    assert done.status == 0, done.err
    assert "symbols after it  gradient (1: mean)  untrained  pairs" in done.out
    rows = json.loads((run / "evidence.json").read_text())["studies"]["gradients"]["symbols_after"]["rows"]
    assert [row["value"] for row in rows] == [str(i) for i in range(len(rows))]
    pairs = sum(row["pairs"] for row in rows)
    assert sum(row["relative_gradient"] * row["pairs"] for row in rows) / pairs == pytest.approx(1, abs=0.05)
    assert (run / "pictures" / "gradients.png").is_file()
    if system == "rnnencdec":  # a new net forgets early inputs
        assert rows[0]["relative_gradient_untrained"] > 5 * rows[-1]["relative_gradient_untrained"]


def test_a_run_that_does_not_translate_is_refused(saccade: Command, tiny_runs: dict[str, Path]) -> None:
    done = saccade("evaluate", tiny_runs["ctc_speech"], "--study", "gradients")
    assert done.status == 2
    assert "this study needs a run that translates; ctc_speech does not" in done.err
    assert done.err.count("\n") == 1
