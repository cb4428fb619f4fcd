"""Pack a trained run as the demo of the package: `python docs/build/demo.py RUN`.

The demo is a run folder in `src/saccade/demo`: the configuration, the vocabularies, the weights in eight bits, and the
evidence, whose figures are those of the packed weights. Train the run with `saccade train rnnsearch demo`.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from safetensors.torch import load_file, save

import saccade
from saccade.core.errors import InvalidInput, SaccadeError
from saccade.core.files import write_atomically
from saccade.runs.scoring import plain, score, summary
from saccade.training.packed import pack
from saccade.training.record import read

LARGEST = 1_000_000  # bytes of the folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of the trained run")
    run = parser.parse_args().run
    demo = Path(saccade.__file__).parent / "demo"
    write_demo(run, demo)
    found, _, _ = score(loaded := saccade.load(demo))
    evidence, _ = read(run / "evidence.json")
    evidence["metrics"]["test"] = plain(loaded, found)
    evidence |= {"pictures": [], "series": {}}
    text = json.dumps(evidence, ensure_ascii=False)
    write_atomically(demo / "evidence.json", text.encode())
    size = sum(path.stat().st_size for path in demo.rglob("*") if path.is_file())
    sys.stdout.write(f"{summary(loaded, 'test', found)}\n{demo}: {size:,} bytes\n")
    if size > LARGEST:
        raise InvalidInput(f"{demo} has {size:,} bytes, more than {LARGEST:,}")


def write_demo(run: Path, demo: Path) -> None:
    """Copy what prediction needs, with packed weights."""
    if demo.exists():
        shutil.rmtree(demo)
    demo.mkdir()
    shutil.copytree(run / "assets", demo / "assets")
    lines = (run / "config.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    # the demo reads no files, so the folder where it was trained does not matter
    (demo / "config.yaml").write_text("".join(line for line in lines if not line.startswith("folder:")), "utf-8")
    write_atomically(demo / "model.safetensors", save(pack(load_file(run / "model.safetensors"))))


if __name__ == "__main__":
    try:
        main()
    except SaccadeError as error:
        sys.exit(f"demo: {error}")
