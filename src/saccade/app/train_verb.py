"""`saccade train SYSTEM [VARIANT]`: a run, from nothing to its evidence."""

import json
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from saccade import __version__
from saccade.app import catalogue, flags
from saccade.core.config import flatten, to_plain
from saccade.core.errors import InvalidInput, require

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
FREE = ("training.steps", "training.device", "training.precision", "training.strategy")


def run(arguments: Sequence[str]) -> int:
    given = list(arguments)
    if not given or (given[0] in ("-h", "--help")):
        sys.stdout.write(USAGE + f"\nsystems: {', '.join(catalogue.names())}\n")
        return 0
    if any(argument.split("=")[0] == "--resume" for argument in given):
        return resume(given)
    if given[0].startswith("-"):
        raise InvalidInput(f"first name a system: saccade train SYSTEM; there are: {', '.join(catalogue.names())}")
    system = given.pop(0)
    recipe = catalogue.recipe(system)
    variant = given.pop(0) if given and not given[0].startswith("-") else "default"
    config = catalogue.variant(recipe, variant)
    if "-h" in given or "--help" in given:
        return show_help(system, variant, recipe, config)
    out = take(given, "--out")
    config = flags.parse(config, given)
    path = Path(out) if out else unused(Path("runs") / f"{system}-{variant}-{datetime.now():%Y%m%d-%H%M%S}")
    return train(path, system, variant, recipe, config, resumed=False)


def unused(path: Path) -> Path:
    """The path, or with a number behind it where another run of the same second has it."""
    return next(p for p in (path, *(path.with_name(f"{path.name}-{n}") for n in range(2, 10_000))) if not p.exists())


def resume(given: list[str]) -> int:
    """Go on with a run."""
    from saccade.app.runs import configuration
    from saccade.training.run_folder import RunFolder

    path = Path(take(given, "--resume") or "")
    folder = RunFolder(path)
    head = folder.head()
    recipe = catalogue.recipe(head["system"])
    config = flags.parse(configuration(recipe, head, folder), given)
    return train(path, head["system"], head["variant"], recipe, config, resumed=True)


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
        f"{catalogue.title(system)}\n\n{paper.authors} {paper.year}, {paper.title}, arXiv:{paper.arxiv}. "
        f"The paper's number, {paper.target}: {paper.number}.\n\nVariants: {', '.join(recipe.variants)}. "
        f"--out FOLDER names the run, --config FILE.yaml reads fields from a file, and --seed, --device and "
        f"--precision are short for --training.seed and so on. Below, the defaults of the variant {variant}."
    )
    with suppress(SystemExit):
        prog = f"saccade train {system} {variant}"
        tyro.cli(type(config), default=config, args=["--help"], prog=prog, description=about)
    return 0


def rehearse(recipe: Any, config: Any, task: Any) -> None:
    """Raise what would end the run long after its start: a sentence, or a search, that the model cannot take."""
    import torch

    model = recipe.build(config, task).eval()
    objective = recipe.objective or task.objective
    with torch.inference_mode():
        for split in ("train", "validation", "test"):
            batch = task.collate([max(task.examples(split), key=lambda example: max(task.cost(example)))])
            objective(model, batch, 0)
        recipe.predict(model, batch, config)


def train(path: Path, system: str, variant: str, recipe: Any, config: Any, resumed: bool) -> int:
    from saccade.training.device import pick_device
    from saccade.training.processes import launched

    pick_device(config.training.device)
    processes = launched()
    with ExitStack() as held:
        with processes.joined(config.training.device):
            # a name has the time in it: that of the first process
            path = Path(processes.agree(str(path)))
            with processes.watched(shlex.quote(str(path))):
                done, *learned = learn(path, system, variant, recipe, config, resumed, processes, held)
        # from here on the first process is alone: its score is nothing that the others would wait for
        if done and not learned and processes.rank == 0:
            print(f"{path} came to its end before; its evidence stays as it is")
            return 0
        if not done:
            start = "saccade" if processes.alone else "torchrun ... -m saccade"
            if processes.rank == 0:
                print(f"stopped; go on with: {start} train --resume {shlex.quote(str(path))}")
            return 130
        if processes.rank == 0:
            from saccade.app.finish import finish

            finish(*learned)
    return 0


def learn(
    path: Path, system: str, variant: str, recipe: Any, config: Any, resumed: bool, processes: Any, held: ExitStack
) -> tuple[Any, ...]:
    """Whether it came to its end; and then, in the first process, the run, its head and the seconds it took.

    Where it had come to its end before, and was scored, that it did is all.

    Args:
        processes: those that train together; each calls this, and the first one writes.
        held: what is open until the run is done with.
    """
    from saccade.training.random_state import seed_everything
    from saccade.training.run_folder import RunFolder, one_writer

    folder, first = RunFolder(path), processes.rank == 0
    begun = processes.agree(resumed and folder.last.exists())
    seed_everything(config.training.seed)
    with processes.common():
        # before the run is made: what is wrong with the data is told now
        task = recipe.task(config, folder.assets if begun else None)
        task.examples("train")
        from saccade.training import require_engine

        require_engine()
        from saccade.app.progress import progress
        from saccade.app.runs import assemble, dtype_of
        from saccade.training.evidence import commit
        from saccade.training.fit import check_resumable, fit

        # the commit of what runs, not of what the source has become when it ends
        made_by = {"version": __version__, "commit": commit()}
        head: dict[str, Any] = {"system": system, "variant": variant, **made_by, "config": to_plain(config)}
        description = task.describe()
        fingerprint = json.dumps({**head["config"], "data": {"sha256": description["sha256"]}})
    with processes.common():
        processes.check_same(flatten(json.loads(fingerprint)))
    with processes.common():
        if not begun:
            rehearse(recipe, config, task)
            seed_everything(config.training.seed)  # what the rehearsal drew is as if it had not been
        if resumed:
            check_resumable(folder, fingerprint, FREE)
        elif first:
            folder.create(head)
        if first:
            held.enter_context(one_writer(folder))
            if resumed:
                folder.write_head(head)
            if not begun:
                task.save(folder.assets)
    with processes.common():
        if not first and not begun:  # what each learned from the same data may differ, where symbols are equally common
            task = recipe.task(config, folder.assets)
        model = recipe.build(config, task)
    if first:
        parameters = sum(parameter.numel() for parameter in model.parameters())
        print(f"{system} {variant}: {parameters:,} parameters; {description['data']}; the run is {path}", flush=True)
    training, objective = config.training, recipe.objective or task.objective
    shown: Any = progress(training.steps) if first else nullcontext()
    with shown as report:
        outcome = fit(model, objective, task, training, folder, fingerprint, report, resumed, processes)
    scored = folder.evidence.is_file() and outcome.steps == outcome.before
    if not outcome.done or not first or scored:
        return (outcome.done,)
    if outcome.steps < training.steps:
        print(f"ended after {outcome.steps} steps: {training.patience} validations without a lower loss")
    model = recipe.build(config, task).to(dtype_of(config))  # the trained one may be in shards
    folder.load_weights(model)
    return True, assemble(folder, system, variant, recipe, config, task, model), head, outcome.seconds
