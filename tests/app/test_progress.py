"""Progress lines: figures, and the remaining time from the pace of the whole run."""

import pytest

from saccade.app import progress
from saccade.app.progress import Lines, Pace, describe


def test_the_remaining_time_follows_from_all_steps_since_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    pace = Pace(100)
    assert pace.left(20) == ""  # resumed: there is no pace yet
    clock[0] += 90.0  # ten slow steps
    assert pace.left(30) == "10:30 left"
    clock[0] += 30.0
    assert pace.left(60) == "2:00 left"
    assert pace.left(100) == ""


def test_a_line_has_all_figures(capsys: pytest.CaptureFixture[str]) -> None:
    report = Lines(10)
    report({"step": 1, "loss": 2.5, "counted_per_second": 1234.5})
    report({"step": 2, "validation_metric": 0.25})
    first, second = capsys.readouterr().out.splitlines()
    assert first == "step 1/10  loss 2.500  1,234/s"
    assert second.startswith("step 2/10  validation metric 0.250  0:0")
    assert describe({"validation_loss": 1.0}) == "validation loss 1.000"
