"""How a system's networks are kept in folders of Hugging Face: config.json, and tensors under names of their own."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


def same(tensor: "Tensor") -> "Tensor":
    """The tensor itself: both sides keep it in one form."""
    return tensor


def alone(tensor: "Tensor") -> "tuple[Tensor, ...]":
    return (tensor,)


class Weight(NamedTuple):
    """One tensor of our network, and the published tensors that it is made of."""

    ours: str
    theirs: tuple[str, ...]
    read: "Callable[..., Tensor]" = same
    """The published tensors -> ours."""
    write: "Callable[[Tensor], tuple[Tensor, ...]]" = alone
    """Our tensor -> the published ones."""
    role: Literal["net", "answer", "extra"] = "net"
    """net: the network itself. answer: the output layer, which a checkpoint of the bare network lacks; without it there
    are no answers. extra: other outputs, which may be missing too."""
    of_symbols: bool = False
    """Whether it has a row for each symbol."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The published form of a system, CHECKPOINT in its checkpoint.py."""

    kind: str
    """`model_type` in config.json."""
    architecture: str
    """The class of transformers that reads what is written."""
    prefix: str
    """The beginning of the names, which a checkpoint of the bare network leaves out."""
    defaults: Mapping[str, Any]
    """The options that config.json may leave out."""
    config: Callable[[Mapping[str, Any], Path, Any], Any]
    """(options of config.json, the folder, a configuration) -> the configuration with the sizes and the symbols of the
    folder.

    Raises InvalidInput if the symbols cannot be read.
    """
    options: Callable[[Any, Any], Mapping[str, Any]]
    """(configuration, task) -> the options of config.json under which transformers computes the same."""
    weights: Callable[[Any], Iterable[Weight]]
    """configuration -> all tensors of the network."""
    tied: Mapping[str, str]
    """Further published names of a tensor, each with the first one; they may be missing, and are never different."""
    tokenizer: Callable[[Any, Path], Mapping[str, Any]]
    """(task, folder) -> the numbers of special symbols and the names of classes, for config.json; writes the files of
    the tokenizer.

    Raises InvalidInput if transformers has none for these symbols.
    """
    order: Callable[[Any], Sequence[int] | None] = lambda task: None
    """task -> the numbers of all symbols in the order in which they are written; None: as they are."""
    refuses: Callable[[Any], str] = lambda config: ""
    """configuration -> why the architecture computes something else; "" if it computes the same."""
    older: tuple[tuple[str, str], ...] = ()
    """Ends of names in old checkpoints, and what they are now."""
