"""A run written as a folder of Hugging Face that transformers loads."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from saccade.core.checkpoint import Checkpoint
from saccade.core.errors import InvalidInput, require
from saccade.core.files import write_atomically
from saccade.runs import catalogue
from saccade.runs.foreign import WEIGHTS
from saccade.runs.published import CONFIG
from saccade.runs.run import Run


def export(run: Run, folder: Path) -> Path:
    """Write a run as a folder that transformers loads.

    Raises:
        InvalidInput: a system that has no published form; symbols that transformers has no tokenizer for; a folder that
            is not empty.
    """
    checkpoint = catalogue.checkpoints().get(run.system)
    if checkpoint is None:
        there = ", ".join(catalogue.checkpoints())
        raise InvalidInput(f"{run.system} has no form in transformers; runs of these can be exported: {there}")
    if why := checkpoint.refuses(run.config):
        raise InvalidInput(f"{run.title} has no form in transformers: {checkpoint.architecture} differs, since {why}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"{folder} is not an empty folder; name a new one")
    safetensors: Any = require("safetensors.torch", "app")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as beside:
        made = Path(beside) / folder.name
        made.mkdir()
        ids = checkpoint.tokenizer(run.task, made)
        options = {name: value for name, value in checkpoint.options(run.config, run.task).items() if value is not None}
        tensors = dict(parts(run, checkpoint))
        kind = str(next(iter(tensors.values())).dtype).removeprefix("torch.")
        said = {"architectures": [checkpoint.architecture], "model_type": checkpoint.kind, "dtype": kind}
        write_atomically(made / CONFIG, (json.dumps({**said, **options, **ids}, indent=1) + "\n").encode("utf-8"))
        write_atomically(made / WEIGHTS[0], safetensors.save(tensors, metadata={"format": "pt"}))
        os.replace(made, folder)  # whole, or not at all
    return folder


def parts(run: Run, checkpoint: Checkpoint) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a run by their published names."""
    state, order = run.model.state_dict(), checkpoint.order(run.task)
    for weight in checkpoint.weights(run.config):
        if weight.ours not in run.lacks:
            tensor = state[weight.ours].detach().cpu()
            written = weight.write(tensor[order] if weight.of_symbols and order is not None else tensor)
            yield from zip(weight.theirs, (part.contiguous() for part in written), strict=True)
