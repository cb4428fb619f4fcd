"""Run all verbs and the contracts on the toys: `python toy_life.py TESTS NAME...`.

It runs in a tree that contains the toys; the last line is JSON. All run in one process, since most of the time would go
into imports. The kill is real: a forked process ends itself by SIGKILL between two checkpoints.
"""

import contextlib
import io
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from saccade.app.main import main

STEP = 23  # the checkpoint before is of step 20


def said(*arguments: str) -> tuple[int, str, str]:
    """Status, standard output and standard error of a command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(list(arguments))
    return status, out.getvalue(), err.getvalue()


def piped(data: bytes, *arguments: str) -> tuple[int, str, str]:
    """As `said`, with text on standard input."""
    reading, writing = os.pipe()
    with open(writing, "wb") as pipe:
        pipe.write(data)
    before = sys.stdin
    with open(reading) as sys.stdin:
        found = said(*arguments)
    sys.stdin = before
    return found


def done(*arguments: str) -> str:
    status, out, err = said(*arguments)
    assert status == 0, f"{arguments}: {status}\n{out}\n{err}"
    return out


def killed(name: str, extra: list[str]) -> dict[str, Any]:
    """Compare a training that is killed and resumed with an uninterrupted one."""
    child = os.fork()
    if not child:
        from saccade.training.run_folder import RunFolder

        log = RunFolder.log

        def last(folder: Any, line: Any) -> None:
            log(folder, line)
            if line["step"] >= STEP:
                os.kill(os.getpid(), signal.SIGKILL)

        RunFolder.log = last  # type: ignore[method-assign, assignment]
        os._exit(main(["train", name, "--out", f"{name}-killed", *extra]))
    _, status = os.waitpid(child, 0)
    from saccade.runs import ending

    drawn, ending.DRAWN = ending.DRAWN, 0  # its pictures equal those of the other
    done("train", "--resume", f"{name}-killed")
    ending.DRAWN = drawn
    whole, again = Path(name), Path(f"{name}-killed")

    def metrics(run: Path) -> list[dict[str, Any]]:
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        return [{key: value for key, value in row.items() if key != "counted_per_second"} for row in rows]

    return {
        "signal": os.WTERMSIG(status),
        "same_weights": (whole / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes(),
        "same_metrics": metrics(whole) == metrics(again),
    }


def live(name: str) -> dict[str, Any]:
    extra = ["--model.features", "toy_images"] if name == "toy_probe" else []
    told: dict[str, Any] = {}
    done("train", name, "--out", name, *extra)
    if name == "toy_probe":  # the run contains everything needed
        os.rename("toy_images", "toy_images_moved")
        done("evaluate", name)
        os.rename("toy_images_moved", "toy_images")
        told["same"] = said("evaluate", name, *extra)[0]
        told["other"] = said("evaluate", name, "--model.features", "toy_filter")
    from saccade.runs import catalogue

    recipe = catalogue.recipe(name)
    told["killed"] = killed(name, extra) if recipe.objective else None
    told["evidence"] = json.loads(Path(name, "evidence.json").read_text())
    rows = Path(name, "metrics.jsonl").read_text().splitlines() if Path(name, "metrics.jsonl").exists() else []
    told["steps"] = max((json.loads(row)["step"] for row in rows), default=0)
    told["evaluate"] = done("evaluate", name)

    import saccade

    run = saccade.load(name)
    [typed] = run.task.examples_to_type(1)
    asked = [] if run.task.accepts == ("nothing",) else [typed]
    told["accepts"] = list(run.task.accepts)
    told["predict"] = done("predict", name, *asked, "--pictures", f"{name}-pictures")
    if not asked:
        told["piped"] = [piped(b"some text\n", "predict", name), piped(b"", "predict", name)]
    status, _, err = said("predict", name, "??")
    told["refused"] = [status, err]
    answer = run.predict(typed)
    from saccade.core.picture import kind_of

    told["pictures"] = [kind_of(picture) for picture in answer.pictures]
    done("explain", *asked, "--model", name, "--pictures", f"{name}-explained")
    done("explain", *asked, "--model", name, "--training.batch-size", "3", "--pictures", f"{name}-explained")
    told["drawn"] = sorted(path.name for path in Path(f"{name}-explained").glob("*.png"))
    if not recipe.objective:
        told["explained_system"] = done("explain", *asked, "--model", name.replace("-", "_"), "--pictures", "system")

    from saccade.app.web.shown import of

    shown = of([Path(name)])
    [view] = shown.look(typed) if shown.look else shown.views
    from saccade.explain.page import page_of

    told["served"] = {"answer": view.answer, "page": page_of([view], name, systems=(name,))}
    told["report"] = done("report", "--keep", name)
    return told


def augmented() -> dict[str, bool]:
    """Which examples of the toy with images differ between epochs."""
    import torch
    from saccade.tasks.toy_images.task import BarsConfig, BarsTask

    from saccade.core.stream import ExampleStream

    task = BarsTask(BarsConfig())
    stream, again = (ExampleStream(task, batch_size=16, window=64, seed=1) for _ in range(2))
    of_image: dict[int, list[Any]] = {}
    for batch in range(8):  # two epochs of four batches
        share = stream.share(batch)
        for row, image in zip(stream.rows(batch), share.batch.images, strict=True):
            of_image.setdefault(row, []).append(image)
    examples = task.examples("test")
    return {
        "each image twice": all(len(images) == 2 for images in of_image.values()),
        "differs by epoch": sum(not torch.equal(*images) for images in of_image.values()) > 48,
        "function of the seed": torch.equal(stream.share(3).batch.images, again.share(3).batch.images),
        "not in evaluation": torch.equal(task.collate(examples).images, task.collate(examples).images),
    }


def contracts(tests: Path) -> dict[str, Any]:
    """The contracts of a toy: the status, the passed tests, and the output."""
    import pytest

    passed: list[str] = []

    class Passed:
        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.when == "call" and report.passed:
                passed.append(report.nodeid)

    files = [tests / "contracts" / f"test_{name}.py" for name in ("layering", "recipes")]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = pytest.main(
            ["-q", "-k", "toy", "-p", "no:cacheprovider", f"--rootdir={tests.parent}",
             f"-c{tests.parent / 'pyproject.toml'}", *map(str, files)],
            plugins=[Passed()],
        )  # fmt: skip
    return {"status": int(status), "passed": passed, "printed": printed.getvalue()}


def lives(names: list[str]) -> dict[str, Any]:
    """The results of each toy; if one fails, the others still run."""
    told: dict[str, Any] = {}
    for name in names:
        try:
            told[name] = live(name)
        except BaseException:
            told[name] = {"failed": traceback.format_exc()}
    return told


if __name__ == "__main__":
    tests, *names = sys.argv[1:]
    os.environ.pop("COLUMNS", None)  # which processes of pytest-xdist have; tables would be wrapped
    found: dict[str, Any] = {"list": done("list"), "lives": lives(names), "listed": done("list")}
    found |= {"augmented": augmented(), "contracts": contracts(Path(tests))}
    sys.stdout.write("\n" + json.dumps(found) + "\n")
