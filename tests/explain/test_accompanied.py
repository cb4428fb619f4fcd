"""Pictures that come with files in other formats."""

from pathlib import Path

from saccade.core.picture import Accompanied
from saccade.explain.pictures.curve import Curve
from saccade.explain.plots.series import Line
from saccade.runs.ending import draw


class Sung(Curve):
    """A curve that comes with a recording."""

    def files(self) -> dict[str, bytes]:
        return {"wav": b"la"}


def test_its_files_are_written_beside_it(tmp_path: Path) -> None:
    lines = {"a": Line([0, 1], [0, 1])}
    plain, sung = Curve("plain", lines, "x", "y"), Sung("sung", lines, "x", "y")
    assert isinstance(sung, Accompanied)
    assert not isinstance(plain, Accompanied)
    paths = draw([plain, sung], tmp_path, "1")
    assert [path.name for path in paths] == ["plain-1.png", "sung-1.png", "sung-1.wav"]
    assert paths[-1].read_bytes() == b"la"
