"""Checkpoints of Hugging Face with random weights, for the tests of systems that read them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from saccade.core.errors import SaccadeError
from saccade.core.files import write_atomically
from saccade.runs import catalogue, flags, published
from saccade.runs.run import Run, assemble, build, load
from saccade.tasks.text.pieces import BYTES
from saccade.training.run_folder import RunFolder

MERGES = (("t", "h"), ("th", "e"), ("Ġ", "the"), ("Ġ", "a"), ("i", "n"))
WORDS = (
    "[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "king", "is", "dead", ".", ",", "##s", "##ing",
    *"abcdefghijklmnopqrstuvwxyz",
)  # fmt: skip


def write_bytes(folder: Path, special: tuple[str, ...], last: tuple[str, ...] = ()) -> int:
    """vocab.json and merges.txt; returns the number of pieces."""
    names = [*special, *sorted(BYTES), *("".join(pair) for pair in MERGES), *last]
    (folder / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(names)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in MERGES))
    return len(names)


def write_words(folder: Path) -> int:
    """vocab.txt; returns the number of pieces."""
    (folder / "vocab.txt").write_text("".join(f"{name}\n" for name in WORDS))
    return len(WORDS)


def randomised(model: Any, deviation: float = 0.2) -> Any:
    """Biases and norms too, which are 0 and 1 otherwise."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(deviation * torch.randn(weight.shape, generator=generator))
    return model.eval()


def opened(folder: Path, *flags: str) -> Run:
    run, rest = load(folder, flags)
    assert not rest
    return run


def close(ours: Tensor, theirs: Tensor, exact: bool) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10 if exact else 1e-5)


def refused(folder: Path, *parts: str, of: type[SaccadeError] = SaccadeError) -> None:
    """The folder is refused in one sentence with these parts."""
    with pytest.raises(of) as error:
        opened(folder)
    said = str(error.value)
    assert "\n" not in said
    assert all(part in said for part in parts), said


def with_option(folder: Path, name: str, value: Any) -> None:
    options = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**options, name: value}))


def changed_tensors(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    """Write other tensors into a folder."""
    from safetensors.torch import load_file, save

    path = folder / "model.safetensors"
    write_atomically(path, save(change(load_file(path)), metadata={"format": "pt"}))


def as_bin(folder: Path) -> None:
    """Its weights in a file of torch.save instead."""
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def state_of(folder: Path) -> dict[str, Tensor]:
    return published.tensors_of(folder)


def there_and_back(folder: Path, target: Path) -> None:
    """What is written is bit-identical to what was read, and gives the same run."""
    run = opened(folder)
    run.export(target)
    checkpoint = published.found(folder).checkpoint
    before, _ = published.named(state_of(folder), checkpoint)  # the prefix is written, also of a bare network
    after = state_of(target)
    assert after.keys() == before.keys() - checkpoint.tied.keys()
    assert all(torch.equal(before[name], tensor) for name, tensor in after.items())
    again = opened(target)
    state = again.model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in run.model.state_dict().items())
    assert again.task.symbols.names == run.task.symbols.names  # type: ignore[attr-defined]


def untrained_run(system: str, folder: Path, *fields: str) -> Run:
    """A run of the variant tiny, with random weights."""
    recipe = catalogue.recipe(system)
    config = flags.parse(recipe.variants["tiny"], fields)
    task = recipe.task(config, None)
    model = randomised(build(recipe, config, task))
    return assemble(RunFolder(folder), system, "tiny", recipe, config, task, model)
