"""`saccade train SYSTEM [VARIANT]`: a run, from nothing to its evidence."""

import io
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stdout, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saccade.app import catalogue, flags
from saccade.core.errors import InvalidInput, NotFound, nearest, require, require_extras, together

if TYPE_CHECKING:
    from saccade.app.learning import Order

OTHERS = ("--out", "--resume", "--help")  # flags that are no fields of the configuration
USAGE = """usage: saccade train SYSTEM [VARIANT] [--out FOLDER] [--config FILE.yaml] [--FIELD VALUE ...]
       saccade train --resume RUN [--training.steps N] [--device D] [--precision P]

Train a system; the run becomes a folder, by default runs/SYSTEM-VARIANT-TIME. Ctrl-C saves a checkpoint and stops; a
run that was stopped or killed goes on with --resume, and ends as if it had not been. Several processes:
  torchrun --nproc-per-node 2 -m saccade train SYSTEM [--training.strategy fsdp2]
Your own data:
  saccade train rnnsearch --task.train pairs.tsv
  saccade train rnnsearch --task.train train.en train.de --task.test test.en test.de
`saccade train SYSTEM --help` lists every field of the configuration.
"""


def run(arguments: Sequence[str]) -> int:
    given = list(arguments)
    if not given or (given[0] in ("-h", "--help")):
        sys.stdout.write(USAGE + f"\nsystems: {', '.join(catalogue.names())}\n")
        return 0
    if any(argument.split("=")[0] == "--resume" for argument in given):
        return resume(arguments)
    if given[0].startswith("-"):
        raise InvalidInput(f"first name a system: saccade train SYSTEM; there are: {', '.join(catalogue.names())}")
    system = given.pop(0)
    recipe = catalogue.recipe(system)
    variant = given.pop(0) if given and not given[0].startswith("-") else "default"
    config = catalogue.variant(recipe, variant)
    if "-h" in given or "--help" in given:
        return show_help(system, variant, recipe, config)
    out = take(given, "--out")
    with together(*catalogue.extras(config)):
        config = flags.parse(config, given, OTHERS)
    path = Path(out) if out else Path("runs") / f"{system}-{variant}-{datetime.now():%Y%m%d-%H%M%S}"

    from saccade.app.learning import Order

    return train(Order(path, bool(out), system, variant, recipe, config, False, arguments))


def resume(arguments: Sequence[str]) -> int:
    """Go on with a run."""
    from saccade.app.learning import Order
    from saccade.app.runs import configuration
    from saccade.training.run_folder import RunFolder

    given = list(arguments)
    path = Path(take(given, "--resume") or "")
    if take(given, "--out"):
        raise InvalidInput(f"--out does not go with --resume: {path} goes on where it is")
    folder = RunFolder(path)
    with together(*catalogue.extras_of(path)):
        head = folder.head()
        recipe = catalogue.recipe(head["system"])
        if head["variant"] not in recipe.variants:  # it may have been renamed since
            raise NotFound(
                f"{folder.config}: {head['system']} has no variant {head['variant']!r}; "
                f"{nearest(head['variant'], recipe.variants)}; write the right name into that file"
            )
        config = flags.parse(configuration(recipe, head, folder), given, OTHERS)
    return train(Order(path, True, head["system"], head["variant"], recipe, config, True, arguments))


def take(given: list[str], name: str) -> str | None:
    """Take a flag and its value out of the arguments."""
    for place, argument in enumerate(given):
        if argument.startswith(f"{name}="):
            given[place : place + 1] = argument.split("=", 1)
        if given[place] == name:
            if place + 1 >= len(given) or not given[place + 1] or given[place + 1].startswith("--"):
                raise InvalidInput(f"{name} takes a folder")
            value = given[place + 1]
            del given[place : place + 2]
            return value
    return None


def show_help(system: str, variant: str, recipe: Any, config: Any) -> int:
    tyro: Any = require("tyro", "app")
    paper = recipe.paper
    about = (
        f"{catalogue.title(system)}\n\n{paper.authors} {paper.year}, {paper.title}, {paper.cited}. "
        f"The paper's number, {paper.target}: {paper.number}.\n\nVariants: {', '.join(recipe.variants)}. "
        f"--out FOLDER names the run, --config FILE.yaml reads fields from a file, and --seed, --device and "
        f"--precision are short for --training.seed and so on. Below, the defaults of the variant {variant}."
    )
    printed = io.StringIO()  # which is no terminal, so that it is plain text
    with suppress(SystemExit), redirect_stdout(printed):
        prog = f"saccade train {system} {variant}"
        tyro.cli(type(config), default=config, args=["--help"], prog=prog, description=about)
    sys.stdout.write(printed.getvalue())
    return 0


def train(order: "Order") -> int:
    from saccade.app.learning import fitted, prepared
    from saccade.training.device import pick_device
    from saccade.training.processes import launched

    require_extras(*catalogue.extras(order.config))
    device = order.config.training.device
    pick_device(device)
    processes = launched()
    ready = None
    try:
        with ExitStack() as held:
            with processes.joined(device):
                # a name has the time in it: that of the first process
                order = order._replace(path=Path(processes.agree(str(order.path))))
                with processes.watched(shlex.quote(str(order.path)) if order.resumed else None):
                    ready = prepared(order, processes, held)
                with processes.watched(shlex.quote(str(ready.folder.path))):
                    done, learned = fitted(ready, processes)
            # from here on the first process is alone: its score is nothing that the others would wait for
            if processes.rank == 0 and done:
                finished(ready.folder.path, learned)
    except (KeyboardInterrupt, SystemExit) as stop:
        # wherever it was; the engine makes a SystemExit of it
        if not any(isinstance(error, KeyboardInterrupt) for error in (stop, stop.__context__)):
            raise
        if processes.rank == 0 and ready is None:
            raise KeyboardInterrupt(*stop.args if isinstance(stop, KeyboardInterrupt) else ()) from None
        done = False
    if done:
        return 0
    if processes.rank == 0 and ready is not None:
        start = "saccade" if processes.alone else "torchrun ... -m saccade"
        print(f"stopped; go on with: {start} train --resume {shlex.quote(str(ready.folder.path))}")
    return 130


def finished(path: Path, learned: Any) -> None:
    """What is left to do of a training that came to its end: its score, its evidence and its pictures."""
    if learned is None:
        print(f"{path} came to its end before; its evidence stays as it is")
        return
    from saccade.app.finish import finish

    finish(*learned)
