"""Which layers a group of processes shares. It is apart from `sharding`, since a plan does without the second that
importing torch's FSDP takes."""

import fnmatch
from collections.abc import Mapping
from typing import Any

from torch import nn

from saccade.core.errors import InvalidInput
from saccade.core.recipe import Split
from saccade.training.tensors import ties


def planned(model: nn.Module, shards: Mapping[str, Split], tensor: int) -> dict[str, Split]:
    """The layers to split over groups of `tensor` processes, by name.

    Raises:
        InvalidInput: a layer that they cannot share.
        ValueError: a pattern without a layer; a layer whose weight another one has, too.
    """
    layers = dict(model.named_modules())
    tied = {name.rpartition(".")[0] for pair in ties(model).items() for name in pair}
    for pattern in shards:
        if not (there := fnmatch.filter(layers, pattern)) or tied & set(there):
            raise ValueError(f"expected {pattern!r} to name layers with weights of their own; it names {there}")
    found = {name: split for pattern, split in shards.items() for name in fnmatch.filter(layers, pattern)}
    for name, split in found.items():
        weight: Any = layers[name].weight
        size = weight.shape[split == "rows"]
        # the sizes of heads and hidden units must be equal; symbols are cut like a pile of cards, the last part smaller
        part = -(-size // tensor)
        if size % tensor if split != "vocabulary" else (tensor - 1) * part >= size:
            what = {"columns": "outputs", "rows": "inputs", "vocabulary": "symbols"}[split]
            raise InvalidInput(f"the {size} {what} of {name} cannot be divided among --training.tensor {tensor}")
    return found
