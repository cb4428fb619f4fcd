"""Weights that other libraries published, for the networks of this package.

Each network has a table of names as plain data: patterns and replacements that turn our name of a weight into theirs.
Where theirs is several of ours in one, such as queries, keys and values, the name ends in the part that is ours:
"attn.qkv.weight[1/3]" is the first of three equal parts of its rows.
"""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput

Names = Sequence[tuple[str, str]]
PART = re.compile(r"(.*)\[(\d+)/(\d+)\]")
COUNTER = "num_batches_tracked"  # of a batch norm; no result depends on it
MOST = 10  # differences that a message names


def their_name(name: str, names: Names) -> str:
    """The name that our weight has in a table of names: each pattern is replaced wherever it is found, in order."""
    for pattern, replacement in names:
        name = re.sub(pattern, replacement, name)
    return name


def whole_name(published: str) -> str:
    """The published name without the part."""
    found = PART.fullmatch(published)
    return found[1] if found else published


def part_of(weights: Mapping[str, Tensor], published: str) -> Tensor | None:
    """The tensor of a published name, or the part of it that is asked for; None if there is none."""
    found, tensor = PART.fullmatch(published), weights.get(whole_name(published))
    if found is None or tensor is None or not tensor.ndim or len(tensor) % int(found[3]):
        return tensor
    return tensor.chunk(int(found[3]))[int(found[2]) - 1]


def adopt(
    network: nn.Module, weights: Mapping[str, Tensor], tables: Sequence[Names] = ((),), source: str = "the file"
) -> list[str]:
    """Load published weights into a network, whole or not at all.

    A linear layer also takes the weights of a 1 x 1 convolution. Counters of batch norms, which old files lack, may be
    missing; they stay as they are.

    Args:
        network: the network.
        weights: tensors by their published names.
        tables: tables of names, such as `nets.resnet.PUBLISHED`; the one that fits the most names is used.
        source: where the weights are from, for messages.

    Returns:
        The published names that were not used.

    Raises:
        InvalidInput: a weight of the network is missing or has another shape; the first ten are named.
    """
    own = network.state_dict()
    translated = [{name: their_name(name, names) for name in own} for names in tables]
    theirs = max(translated, key=lambda names: sum(whole_name(name) in weights for name in names.values()))
    loaded, wrong = dict(own), list[str]()
    for name, tensor in own.items():
        published = theirs[name]
        found = part_of(weights, published)
        if found is None:
            if not published.endswith(COUNTER):
                wrong.append(f"{published} {tuple(tensor.shape)} is missing")
            continue
        shape = tuple(found.shape)
        if shape == (*tensor.shape, 1, 1):
            found = found[..., 0, 0]
        if found.shape != tensor.shape:
            wrong.append(f"{published} is {shape}, not {tuple(tensor.shape)}")
        elif found.is_floating_point() != tensor.is_floating_point() and not published.endswith(COUNTER):
            wrong.append(f"{published} is {shape} of {found.dtype}, not of {tensor.dtype}")
        loaded[name] = found
    if wrong:
        more = f" and {len(wrong) - MOST} more" if len(wrong) > MOST else ""
        raise InvalidInput(
            f"{source} holds the weights of another network; {len(wrong)} of {len(own)} differ: "
            f"{'; '.join(wrong[:MOST])}{more}"
        )
    with torch.no_grad():
        network.load_state_dict(loaded)
    used = set(map(whole_name, theirs.values()))
    return [name for name in weights if name not in used]
