"""The package in a zip: its data can be read, and its commands report that they need a folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import saccade

PROGRAM = """
from saccade.app.main import main
from saccade.tasks.pen.letters import letters
from saccade.tasks.translation.parallel_text import embedded_pairs

print(len(letters("test")), len(embedded_pairs("test")), main(["list"]), main(["train", "rnnsearch", "tiny"]))
"""


def test_commands_of_a_zip_need_a_folder_and_its_data_do_not(tmp_path: Path) -> None:
    """A regression test: `list` printed no systems, with status 0."""
    archive, package = tmp_path / "packed.zip", Path(saccade.__file__).parent
    with zipfile.ZipFile(archive, "w") as file:
        for path in package.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and "evidence" not in path.parts:
                file.write(path, path.relative_to(package.parent))
    names = os.environ | {"PYTHONPATH": str(archive)}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=names, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout == "78 1000 2 2\n", done.stderr
    assert done.stderr.count("the commands do not run from a zip: unpack it") == 2
    assert done.stderr.count("saccade: ") == done.stderr.count("\n") == 2
