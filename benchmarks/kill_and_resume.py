"""Kill a training at random moments, resume it each time, and compare with an uninterrupted one.

    python benchmarks/kill_and_resume.py --kills 20

Each kill is a SIGKILL, while the command starts, between two steps, during a checkpoint or a line of the metrics; the
first comes before there is any checkpoint. At the end the weights must be bit-identical, and so must the metrics, line
by line, except for times.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SYSTEM = ["train", "rnnsearch", "tiny", "--training.steps", "400", "--training.checkpoint-every", "20"]
SACCADE = [sys.executable, "-m", "saccade"]


def start(arguments: list[str], temporary: Path | None) -> subprocess.Popen[bytes]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | ({"TMPDIR": str(temporary)} if temporary else {})
    return subprocess.Popen(
        SACCADE + arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"exit {process.returncode}: {errors.decode()}")


def lines(run: Path) -> list[dict[str, Any]]:
    """The metrics, without times."""
    text = (run / "metrics.jsonl").read_text().splitlines() if (run / "metrics.jsonl").exists() else []
    return [{name: value for name, value in json.loads(line).items() if name != "counted_per_second"} for line in text]


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def kill(process: subprocess.Popen[bytes], run: Path, delay: float, while_starting: bool) -> bool:
    """Send SIGKILL after a delay from the start or from the first new line of the metrics; False if it was too late."""
    seen = (run / "metrics.jsonl").stat().st_mtime_ns if (run / "metrics.jsonl").exists() else 0
    while not while_starting and process.poll() is None:
        if (run / "metrics.jsonl").exists() and (run / "metrics.jsonl").stat().st_mtime_ns != seen:
            break
        time.sleep(0.002)
    time.sleep(delay)
    if process.poll() is not None:
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


def kill_and_resume(folder: Path, kills: int, seed: int = 0, temporary: Path | None = None) -> dict[str, Any]:
    """Run both trainings, and compare them."""
    left_alone, killed = folder / "left-alone", folder / "killed"
    finish(start([*SYSTEM, "--out", str(left_alone)], temporary))
    draw, done, before_checkpoint = random.Random(seed), 0, 0
    process = start([*SYSTEM, "--out", str(killed)], temporary)
    while not (killed / "assets" / "target.json").exists() and process.poll() is None:
        time.sleep(0.002)
    while done < kills:
        # the first kill is before the first checkpoint; a quarter of the others are while the command starts
        starting = done == 0 or draw.random() < 0.25
        delay = draw.uniform(0, 0.15) if done == 0 else draw.uniform(0, 5.0 if starting else 12.0 / kills)
        if not kill(process, killed, delay, starting):
            break
        before_checkpoint += not (killed / "checkpoints" / "last.ckpt").exists()
        done += 1
        process = start(["train", "--resume", str(killed)], temporary)
    finish(process)
    return {
        "kills": done,
        "kills_before_the_first_checkpoint": before_checkpoint,
        "weights_identical": weights(left_alone) == weights(killed),
        "metrics_identical": lines(left_alone) == lines(killed),
        "steps": lines(killed)[-1]["step"],
        "temporary_folder": f"on {'another' if other_file_system(temporary, folder) else 'the same'} file system",
    }


def other_file_system(temporary: Path | None, folder: Path) -> bool:
    return temporary is not None and temporary.stat().st_dev != folder.stat().st_dev


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--temporary", type=Path, help="the temporary folder, best on another file system")
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        result = kill_and_resume(Path(folder), options.kills, options.seed, options.temporary)
    print(json.dumps(result, indent=1))
    if options.write:
        from measure import evidence

        same = "identical to the last bit" if result["weights_identical"] else "DIFFERENT"
        what = f"weights after {result['kills']} kills at random moments, temporary folder {result['temporary_folder']}"
        print(evidence("kill_and_resume", {what: same}, result))


if __name__ == "__main__":
    main()
