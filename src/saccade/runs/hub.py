"""Checkpoints on the hub of Hugging Face, by name: owner/name."""

import json
from pathlib import Path
from typing import Any

from saccade.core.errors import InvalidInput, NotFound, installed, require

TEXTS = ["*.json", "*.txt"]
WEIGHTS = ["*.safetensors"]
OLDER = ["pytorch_model*.bin"]


def is_name(name: str) -> bool:
    """Whether something may be a name on the hub: owner/name, and no folder of the owner's name is here."""
    owner, _, rest = name.partition("/")
    return bool(owner and rest) and "/" not in rest and owner[0] not in ".~" and not Path(owner).exists()


def there(path: Path) -> Path:
    """The path; or, if there is nothing and the library of the hub is installed, the folder of the checkpoint of that
    name.

    Raises:
        NotFound, InvalidInput: as for `folder_of`.
    """
    name = str(path)
    return folder_of(name) if not path.exists() and is_name(name) and installed("huggingface_hub") else path


def folder_of(name: str) -> Path:
    """The folder of a checkpoint, which is downloaded unless it is on this machine: first its texts, and its weights
    only if a system reads it.

    Raises:
        NotFound: it is not on this machine, and the hub does not answer or does not have it.
        InvalidInput: no system reads it.
    """
    from saccade.runs.explained import check_reachable
    from saccade.runs.published import found

    hub: Any = require("huggingface_hub", "hub")
    try:
        there = Path(hub.snapshot_download(name, local_files_only=True, allow_patterns=[*TEXTS, *WEIGHTS, *OLDER]))
        if complete(there):
            return there
    except (hub.errors.LocalEntryNotFoundError, hub.errors.HFValidationError):
        pass  # it is not here, or not whole
    check_reachable(name)
    try:
        there = Path(hub.snapshot_download(name, allow_patterns=TEXTS))
        if not (there / "config.json").is_file():
            raise InvalidInput(f"{name}: no system reads it; it has no config.json")
        found(there)
        there = Path(hub.snapshot_download(name, allow_patterns=[*TEXTS, *WEIGHTS]))
        return there if complete(there) else Path(hub.snapshot_download(name, allow_patterns=[*TEXTS, *OLDER]))
    except (hub.errors.HfHubHTTPError, hub.errors.HFValidationError, hub.errors.LocalEntryNotFoundError) as error:
        raise NotFound(f"{name}: not downloaded ({str(error).strip().splitlines()[0]})") from error


def complete(folder: Path) -> bool:
    """Whether the configuration and all weights are there."""
    if not (folder / "config.json").is_file():
        return False
    for index in folder.glob("*.index.json"):
        shards = json.loads(index.read_text(encoding="utf-8")).get("weight_map", {}).values()
        if all((folder / shard).is_file() for shard in shards):
            return True
    return any((folder / name).is_file() for name in ("model.safetensors", "pytorch_model.bin"))
