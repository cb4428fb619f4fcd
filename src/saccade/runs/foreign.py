"""Pretrained networks: from another run, a Hugging Face folder, or a file of weights.

A configuration field of type `Pretrained` is a path. It is resolved here before the model is built, and the new run
stores a copy of the network in its assets, so that it can be moved to another machine.
"""

import dataclasses
import json
import pickle
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor

from saccade.core.config import to_plain
from saccade.core.errors import InvalidInput, NotFound, require
from saccade.core.files import naming
from saccade.core.pretrained import Pretrained, Weights
from saccade.runs.flag_fields import flag_of, names_of
from saccade.training.run_folder import RunFolder
from saccade.training.tensors import read_tensors

COPIES = "pretrained"  # folder of a run's assets
PARTS = ("config.yaml", "model.safetensors", "assets")  # the files needed to load a run
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""The weights of a Hugging Face folder, or the index of their shards; transformers reads the first that there is."""
PICKLED = (b"PK", b"\x80")  # the first bytes of files of torch.save, new and old
DAMAGED = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, RuntimeError, TypeError, ValueError,
    pickle.UnpicklingError, struct.error,
)  # fmt: skip
"""What torch raises at damaged files."""
NESTED = ("state_dict", "model_state_dict", "model")  # where training checkpoints hold the model's weights
PARALLEL = "module."  # before each name, where the model was a DataParallel
TEXTS = (".json", ".txt", ".model", ".tiktoken", ".jinja")  # of configurations and tokenizers


def resolved(config: Any, folder: RunFolder | None) -> Any:
    """The configuration with every `Pretrained` field resolved, from the run's own copy if there is one.

    Raises:
        NotFound: there is nothing at a path.
        InvalidInput: the file or folder cannot be read.
    """

    flags = names_of(type(config), to_plain(config))

    def found(name: str, field: Pretrained) -> Pretrained:
        own = None if folder is None else folder.assets / COPIES / name
        return read(own if own is not None and own.exists() else field.path, field, flag_of(flags.get(name, name)))

    return changed(config, found)


def copied_fields(config: Any, folder: RunFolder) -> set[str]:
    """The names of the `Pretrained` fields that are read from the run's own copy, whatever their path."""
    return {name for name, _ in fields(config) if (folder.assets / COPIES / name).exists()}


def keep(config: Any, folder: RunFolder) -> None:
    """Copy the resolved networks into the run's assets."""
    for name, field in fields(config):
        target = folder.assets / COPIES / name
        if target.exists() or target.resolve() == field.path.resolve():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.assets, prefix=".") as beside:
            copied(field.path, made := Path(beside) / name)
            made.replace(target)  # whole, or not at all


def copied(path: Path, target: Path) -> None:
    """Copy a file, a folder, or the part of a run that is needed to load it."""
    if path.is_file():
        shutil.copyfile(path, target)
    elif (path / "config.yaml").is_file():
        target.mkdir()
        for part in (path / part for part in PARTS):
            (shutil.copytree if part.is_dir() else shutil.copyfile)(part, target / part.name)
    else:
        target.mkdir()
        for name in parts_of(path):
            shutil.copyfile(path / name, target / name)


def parts_of(folder: Path) -> Iterator[str]:
    """The files of a Hugging Face folder that are read: configuration and tokenizer, and the weights in one format."""
    yield from (path.name for path in folder.iterdir() if path.suffix in TEXTS and not is_index(path.name))
    weights = next((name for name in WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        return
    yield weights
    if is_index(weights):
        shards = json.loads((folder / weights).read_text(encoding="utf-8"))["weight_map"].values()
        yield from dict.fromkeys(Path(shard).name for shard in shards)


def is_index(name: str) -> bool:
    return name.endswith(".index.json")


def fields(config: Any, prefix: str = "") -> Iterator[tuple[str, Pretrained]]:
    """The `Pretrained` fields of a configuration, by their dotted names."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if is_part(value):
            yield f"{prefix}{field.name}", value
        elif dataclasses.is_dataclass(value):
            yield from fields(value, f"{prefix}{field.name}.")


def is_part(value: Any) -> bool:
    """Whether a field is a network that becomes a part of the model."""
    return isinstance(value, Pretrained) and not isinstance(value, Weights)


def changed(config: Any, change: Callable[[str, Pretrained], Pretrained], prefix: str = "") -> Any:
    """The configuration with each `Pretrained` field replaced."""
    new = {}
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), f"{prefix}{field.name}"
        if is_part(value):
            new[field.name] = change(name, value)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            inner = changed(value, change, f"{name}.")
            if inner is not value:
                new[field.name] = inner
    return dataclasses.replace(config, **new) if new else config


def read(path: Path, field: Pretrained, flag: str) -> Pretrained:
    """The network at a path, which that flag names."""
    if path.is_file():
        return field.resolved(weights=read_weights(path))
    if (path / "config.yaml").is_file():
        from saccade.runs.run import load

        run, _ = load(path)
        return field.resolved(network=run.model.cpu(), task=run.task, config=run.config)
    if (path / "config.json").is_file():
        return of_hugging_face(path, field)
    if path.exists():
        raise InvalidInput(f"{flag}: expected a run or a Hugging Face folder; {path} is neither")
    raise NotFound(f"{path}: there is no such run or file; {flag} takes a run, a Hugging Face folder or a file")


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name: safetensors, or a file of `torch.save`, from which only tensors and plain values
    are read. From a training checkpoint, the model's tensors are taken.

    Raises:
        NotFound: there is no such file.
        InvalidInput: a damaged file; one that holds no named tensors, or other objects.
    """
    if not path.is_file():
        raise NotFound(f"{path}: there is no such file of weights")
    with path.open("rb") as file:
        if not file.read(2).startswith(PICKLED):
            return read_tensors(path)
    try:
        with naming(path):
            found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except DAMAGED as error:
        why = shorten(str(error).splitlines()[0] if str(error) else type(error).__name__, 200)
        if "Weights only load failed" in why:
            why = (
                "a whole model or other objects, which could run code and are not read; save model.state_dict() instead"
            )
        raise InvalidInput(f"{path}: damaged, or not only weights ({why})") from error
    for name in NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
            break
    tensors = (
        {name: value for name, value in found.items() if isinstance(value, Tensor)} if hasattr(found, "items") else {}
    )
    if not tensors or not all(isinstance(name, str) for name in tensors):
        raise InvalidInput(f"{path}: expected tensors by name, as of model.state_dict(); there are none")
    if odd := [name for name, tensor in tensors.items() if tensor.is_meta or tensor.layout is not torch.strided]:
        raise InvalidInput(f"{path}: {odd[0]} is sparse or has no numbers; expected dense tensors")
    if all(name.startswith(PARALLEL) for name in tensors):
        tensors = {name.removeprefix(PARALLEL): tensor for name, tensor in tensors.items()}
    return tensors


def of_hugging_face(path: Path, field: Pretrained) -> Pretrained:
    """A folder with config.json and weights, loaded by transformers."""
    transformers: Any = require("transformers", "hub")
    safetensors: Any = require("safetensors", "app")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        network = transformers.AutoModel.from_pretrained(path, local_files_only=True)
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, RuntimeError, safetensors.SafetensorError) as error:
        why = shorten(str(error), 200)
        raise InvalidInput(f"{path}: transformers cannot read this checkpoint ({why})") from error
    return field.resolved(network=network.eval(), config=config)
