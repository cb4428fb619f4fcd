"""`saccade train SYSTEM [VARIANT]`: train a system and evaluate it."""

import sys
import textwrap
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from saccade.core.errors import InvalidInput, NotFound, nearest, require_extras, together
from saccade.runs import catalogue

OTHERS = ("--out", "--resume", "--help")  # flags that are not fields of the configuration
USAGE = """usage: saccade train SYSTEM [VARIANT] [--out FOLDER] [--config FILE.yaml] [--FIELD VALUE ...]
       saccade train --resume RUN [--training.steps N] [--device D] [--precision P]

Train a system. The run is a folder, by default runs/SYSTEM-VARIANT-TIME. Ctrl-C saves a checkpoint and stops.
--resume continues a run that was stopped or killed; the result is as if it had not been. With several processes:
  torchrun --nproc-per-node 2 -m saccade train SYSTEM [--training.strategy fsdp2]
With your own data, if the system reads files:
  saccade train SYSTEM --task.train FILE --task.test FILE
`saccade train SYSTEM --help` lists every field of the configuration.
"""


def run(arguments: Sequence[str]) -> int:
    given = list(arguments)
    if not given or (given[0] in ("-h", "--help")):
        sys.stdout.write(USAGE + "\n" + textwrap.fill(f"systems: {', '.join(catalogue.names())}", 120) + "\n")
        return 0
    if any(argument.split("=")[0] == "--resume" for argument in given):
        return resume(arguments)
    if given[0].startswith("-"):
        raise InvalidInput(f"name a system first: saccade train SYSTEM; there are: {', '.join(catalogue.names())}")
    system = given.pop(0)
    recipe = catalogue.recipe(system)
    variant = given.pop(0) if given and not given[0].startswith("-") else "default"
    config = catalogue.variant(recipe, variant)
    if "-h" in given or "--help" in given:
        return show_help(system, variant, recipe, config)
    out = take(given, "--out")

    from saccade.runs import beginning, flags

    with together(*catalogue.extras(config)):
        if weights := beginning.given(given):
            config = beginning.of(system, config, weights)
            take(given, beginning.FLAG)  # it is in the configuration, a name of the hub as a folder
        config = flags.parse(config, given, OTHERS)
    path = Path(out) if out else Path("runs") / f"{system}-{variant}-{datetime.now():%Y%m%d-%H%M%S}"
    require_extras(*catalogue.extras(config))

    from saccade.runs.learning import Order

    return train(Order(path, bool(out), system, variant, recipe, config, False, arguments))


def resume(arguments: Sequence[str]) -> int:
    """Resume a run."""
    given = list(arguments)
    path = Path(take(given, "--resume") or "")
    if take(given, "--out"):
        raise InvalidInput(f"--out cannot be combined with --resume, which continues in {path}")
    require_extras(*catalogue.extras_of(path))

    from saccade.runs import flags
    from saccade.runs.learning import Order
    from saccade.runs.run import configuration, run_folder

    folder = run_folder(path)
    head = folder.head()
    recipe = catalogue.recipe(head["system"])
    if head["variant"] not in recipe.variants:  # the variant may have been renamed since
        raise NotFound(
            f"{folder.config}: {head['system']} has no variant {head['variant']!r}; "
            f"{nearest(head['variant'], recipe.variants)}; correct the name in that file"
        )
    config = flags.parse(configuration(recipe, head, folder), given, OTHERS)
    return train(Order(path, True, head["system"], head["variant"], recipe, config, True, arguments))


def take(given: list[str], name: str) -> str | None:
    """Remove a flag and its value from the arguments."""
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
    """Every flag, with the values of the variant as defaults."""
    from saccade.runs.help import flags_help

    paper = recipe.paper
    about = [
        f"{catalogue.title(system)}\n",
        f"{paper.authors} {paper.year}, {paper.title}, {paper.cited}. "
        f"The paper's number, {paper.target}: {paper.number}.\n",
        f"Variants: {', '.join(recipe.variants)}. --out FOLDER names the run, --config FILE.yaml reads fields from a "
        "file, and --seed, --device and --precision are short for --training.seed and so on. Below, the defaults of "
        f"the variant {variant}.\n",
    ]
    print("\n".join(textwrap.fill(text, 120) + "\n" for text in about) + "\n" + flags_help(config))
    return 0


def train(order: Any) -> int:
    from saccade.app.progress import progress
    from saccade.runs.learning import carry_out

    def say(line: str) -> None:
        print(line, flush=True)

    return 0 if carry_out(order, say, progress) else 130
