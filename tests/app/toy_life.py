"""The life of one toy, by the commands of a user, in one process: `python toy_life.py NAME`; the last line is JSON.

Run in a tree that holds the toys. The kill is real: a forked process ends itself by SIGKILL between two checkpoints.
"""

import contextlib
import io
import json
import os
import signal
import sys
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


def done(*arguments: str) -> str:
    status, out, err = said(*arguments)
    assert status == 0, f"{arguments}: {status}\n{out}\n{err}"
    return out


def killed(name: str, extra: list[str]) -> dict[str, Any]:
    """A training that is killed in the middle and goes on, beside the one that was not."""
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
    done("train", "--resume", f"{name}-killed")
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
    told: dict[str, Any] = {"list": done("list")}
    done("train", name, "--out", name, *extra)
    if name == "toy_probe":  # the run has all that it needs
        os.rename("toy_images", "toy_images_moved")
        done("evaluate", name)
        os.rename("toy_images_moved", "toy_images")
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
    status, _, err = said("predict", name, "??")
    told["refused"] = [status, err]
    answer = run.predict(typed)
    from saccade.core.picture import kind_of

    told["pictures"] = [kind_of(picture) for picture in answer.pictures]
    done("explain", *asked, "--model", name, "--pictures", f"{name}-explained")
    told["drawn"] = sorted(path.name for path in Path(f"{name}-explained").glob("*.png"))
    if not recipe.objective:
        told["explained_system"] = done("explain", *asked, "--model", name.replace("-", "_"), "--pictures", "system")

    from saccade.app.web.shown import of

    shown = of([Path(name)])
    [view] = shown.look(typed) if shown.look else shown.views
    from saccade.explain.page import page_of

    told["served"] = {"answer": view.answer, "page": page_of([view], name, systems=(name,))}
    told["report"] = done("report", "--keep", name)
    told["listed"] = done("list")
    return told


sys.stdout.write(json.dumps(live(sys.argv[1])) + "\n")
