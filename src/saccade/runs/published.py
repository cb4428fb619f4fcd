"""Checkpoints of Hugging Face as runs: a folder with config.json, weights and the files of a tokenizer.

A system that reads and writes them has a checkpoint.py (`core/checkpoint.py`); it is found by `model_type`. The folder
then stands wherever a run stands. No code of transformers is needed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from saccade.core.checkpoint import Checkpoint, Weight
from saccade.core.errors import InvalidInput, NotFound, together
from saccade.core.files import read_record
from saccade.core.task import Learning
from saccade.runs import catalogue, flags
from saccade.runs.flag_errors import explain
from saccade.runs.foreign import WEIGHTS, is_index, read_weights
from saccade.runs.memory import check_fits
from saccade.runs.places import is_checkpoint
from saccade.runs.run import Run, assemble, build, check_used
from saccade.training.run_folder import RunFolder

CONFIG = "config.json"
SHOWN = 3  # names in a message


class Found(NamedTuple):
    """A folder that a system reads."""

    folder: Path
    system: str
    checkpoint: Checkpoint
    options: Mapping[str, Any]
    """Those of config.json, with the defaults of those that are left out."""


class Adopted(NamedTuple):
    """Tensors by our names."""

    tensors: Mapping[str, Tensor]
    lacks: Sequence[Weight]
    """What a checkpoint of the bare network lacks."""
    unused: Sequence[str]
    """Published names that our network has no place for."""


def found(folder: Path, wanted: str = "") -> Found:
    """What a folder holds. Where several systems read it, it is of the wanted one, else of that of its architecture.

    Raises:
        InvalidInput: no system reads it; a damaged file.
    """
    given = read_record(folder / CONFIG)
    kind, architectures = given.get("model_type"), given.get("architectures") or ()
    able = {system: one for system, one in catalogue.checkpoints().items() if one.kind == kind}
    exact = [system for system, one in able.items() if one.architecture in architectures]
    for system in (wanted, *exact, *able):
        if system in able:
            return Found(folder, system, able[system], {**able[system].defaults, **given})
    kinds = ", ".join(sorted(one.kind for one in catalogue.checkpoints().values()))
    raise InvalidInput(
        f"{folder}: no system reads a {kind or 'nameless'} checkpoint; they read {kinds}; saccade explain shows the "
        "attention of others"
    )


def is_ours(path: str | Path) -> bool:
    """Whether there is a checkpoint that a system reads, as far as its config.json tells."""
    if not is_checkpoint(path):
        return False
    try:
        kind = json.loads((Path(path) / CONFIG).read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return False
    return any(one.kind == kind for one in catalogue.checkpoints().values())


def answers(path: Path) -> bool:
    """Whether a folder is a checkpoint that a system reads and that gives answers.

    Raises:
        InvalidInput: a damaged file.
    """
    if not is_ours(path):
        return False
    at = found(path)
    try:
        check_computed(at)
    except (InvalidInput, NotFound):
        return False
    there, _ = named(tensors_of(path), at.checkpoint)
    config = configured(at, catalogue.recipe(at.system).config)
    outputs = [name for weight in at.checkpoint.weights(config) if weight.role == "answer" for name in weight.theirs]
    return set(outputs) <= there.keys()


def configured(at: Found, own: Any) -> Any:
    """A configuration with the sizes and the symbols of a folder.

    Raises:
        InvalidInput: sizes that the system does not have.
    """
    try:
        return at.checkpoint.config(at.options, at.folder, own)
    except (InvalidInput, NotFound):
        raise
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"{at.folder / CONFIG}: {explain(error, type(own))}") from None


def check_options(at: Found, config: Any, task: Any) -> None:
    """Raise InvalidInput if config.json has an option under which transformers computes something else.

    The rates of dropout may be changed for a training.
    """
    named = at.checkpoint.options(configured(at, config), task)
    for name, computed in named.items():
        if (given := at.options.get(name)) != computed and (given or computed):
            raise InvalidInput(
                f"{at.folder / CONFIG}: {name} is {given!r}; {at.system} computes only {name} {computed!r} here"
            )


def check_computed(at: Found) -> None:
    """Check a folder without its weights.

    Raises:
        InvalidInput: sizes or options that the system does not compute; symbols that cannot be read.
        NotFound: no symbols.
    """
    recipe = catalogue.recipe(at.system)
    config = configured(at, recipe.config)
    check_options(at, config, recipe.task(config, None))


def load(folder: Path, arguments: Sequence[str] = (), known: Sequence[str] = ()) -> tuple[Run, list[str]]:
    """A folder as a run, and the arguments that belong to no flag. Arguments as for `runs.run.load`.

    Raises:
        InvalidInput: another architecture, an option that is not computed, a damaged file.
        NotFound: no weights, or no tokenizer.
    """
    at = found(folder)
    recipe = catalogue.recipe(at.system)
    trained = configured(at, recipe.config)
    config, rest = flags.separate(trained, arguments, known)
    check_used(trained, config, at.system, RunFolder(folder))
    with together(*catalogue.extras(config)):
        task = recipe.task(config, None)
    if isinstance(task, Learning):
        task.check_trained(trained.task)
    check_options(at, config, task)
    check_fits(lambda: recipe.build(config, task), config.training)
    model = build(recipe, config, task)
    adopted = adopt(model, config, at)
    with torch.no_grad():
        for weight in adopted.lacks:
            model.get_parameter(weight.ours).zero_()  # every answer as probable as any other
    run = assemble(RunFolder(folder), at.system, folder.resolve().name, recipe, config, task, model)
    if adopted.lacks and not any(weight.role == "answer" for weight in adopted.lacks):
        names = named_in(adopted)
        catalogue.tell(f"{folder}: an output is missing, and answers as if all were equally probable: {names}")
    missing = [name for weight in adopted.lacks if weight.role == "answer" for name in weight.theirs]
    silent = missing and (
        f"{folder} has no output layer ({some(missing)}), so it gives no answers; saccade explain shows its attention, "
        f"and saccade train {at.system} --weights {folder} trains one"
    )
    return replace(run, lacks=tuple(weight.ours for weight in adopted.lacks), silent=silent or ""), rest


def adopt(model: nn.Module, config: Any, at: Found) -> Adopted:
    """Load the weights of a folder into a network, whole or not at all; those that are not used are named once.

    Raises:
        NotFound: no weights.
        InvalidInput: weights of another network; the first differences are named.
    """
    adopted = ours(tensors_of(at.folder), model, config, at)
    model.load_state_dict(dict(adopted.tensors), strict=False)
    if adopted.unused:
        catalogue.tell(f"{at.folder}: not used: {some(adopted.unused)}")
    return adopted


def ours(there: Mapping[str, Tensor], model: nn.Module, config: Any, at: Found) -> Adopted:
    """The tensors of a checkpoint by our names."""
    tensors, names = named(there, at.checkpoint)
    state, used = model.state_dict(), set[str]()
    for further, first in at.checkpoint.tied.items():
        if further in tensors:
            used.add(further)
            if not torch.equal(tensors.setdefault(first, tensors[further]), tensors[further]):
                raise InvalidInput(f"{at.folder}: {further} differs from {first}; {at.system} has one tensor for both")
    made: dict[str, Tensor] = {}
    lacks, wrong = [], list[str]()
    for weight in at.checkpoint.weights(config):
        shapes = [tuple(part.shape) for part in weight.write(state[weight.ours].to("meta"))]
        here = [tuple(tensors[name].shape) if name in tensors else None for name in weight.theirs]
        used.update(weight.theirs)
        if here == shapes:
            made[weight.ours] = weight.read(*(tensors[name] for name in weight.theirs))
        elif weight.role != "net" and not any(here):
            lacks.append(weight)
        else:
            both = zip(weight.theirs, here, shapes, strict=True)
            wrong += [f"{n} is {got or 'not there'}, not {shape}" for n, got, shape in both if got != shape]
    if wrong:
        more = f", and {len(wrong) - SHOWN:,} more" if len(wrong) > SHOWN else ""
        raise InvalidInput(
            f"{at.folder}: the weights of another network than its config.json describes, or not all of them: "
            f"{'; '.join(wrong[:SHOWN])}{more}"
        )
    return Adopted(made, lacks, [names[name] for name in tensors if name not in used and name in names])


def named(there: Mapping[str, Tensor], checkpoint: Checkpoint) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors by the names that they have in a whole checkpoint, and the names that they came with."""
    bare = not any(name.startswith(checkpoint.prefix) for name in there)
    tensors, names = {}, {}
    for name, tensor in there.items():
        full = f"{checkpoint.prefix}{name}" if bare else name
        for old, new in checkpoint.older:
            full = full.removesuffix(old) + new if full.endswith(old) else full
        tensors[full], names[full] = tensor, name
    return tensors, names


def tensors_of(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder, from one file or from the shards of an index; of `.bin` files only tensors are read.

    Raises:
        NotFound: there are none, or a shard is missing.
        InvalidInput: a damaged file.
    """
    name = next((name for name in WEIGHTS if (folder / name).is_file()), None)
    if name is None:
        raise NotFound(f"{folder} has no weights: expected one of {', '.join(WEIGHTS)}")
    if not is_index(name):
        return read_weights(folder / name)
    shards = read_record(folder / name, "weight_map")["weight_map"]
    if not isinstance(shards, dict) or any(Path(str(one)).name != one for one in shards.values()):
        raise InvalidInput(f"{folder / name}: expected the name of a file beside it for each tensor")
    tensors: dict[str, Tensor] = {}
    for shard in dict.fromkeys(shards.values()):
        tensors |= read_weights(folder / shard)
    return tensors


def named_in(adopted: Adopted) -> str:
    """The published names of what is missing."""
    return some([name for weight in adopted.lacks for name in weight.theirs])


def some(names: Sequence[str]) -> str:
    """The first names of a list."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
