"""The tensors that a map is computed from, held until it is requested."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.explain.attention_map import Form, Needed, Selection


class Held:
    """A function that computes a map, and its inputs, which are copied if the model is about to overwrite them."""

    def __init__(self, form: Form, needed: Needed) -> None:
        with tracked():  # so that writes to the original are counted here too
            self._needed = [tensor.detach() if isinstance(tensor, Tensor) else tensor for tensor in needed]
        self._form = form
        self._versions = [version(tensor) for tensor in self._needed]
        self.copied = False

    def __call__(self, selection: Selection) -> Tensor:
        if self._versions != [version(tensor) for tensor in self._needed]:
            raise InvalidInput("the inputs of this map have been overwritten; read the weights earlier")
        if any(tensor.numel() and not tensor.untyped_storage().size() for tensor in self.tensors()):
            raise InvalidInput("the inputs of this map have been freed; read the weights earlier")
        return self._form(self._needed, selection)

    def tensors(self) -> list[Tensor]:
        return [tensor for tensor in self._needed if isinstance(tensor, Tensor) and not tensor.is_nested]

    def copy(self, storage: int | None = None) -> None:
        """Copy the inputs held in this storage; None: in any."""
        there = {id(tensor) for tensor in self.tensors() if storage in (None, address(tensor))}
        self._needed = [tensor.clone() if id(tensor) in there else tensor for tensor in self._needed]
        self._versions = [version(tensor) for tensor in self._needed]
        self.copied = True


class Holder:
    """The inputs of all maps, by storage."""

    def __init__(self) -> None:
        self._held: dict[int, list[Held]] = {}
        self._overwritten: set[int] = set()

    def hold(self, held: Held) -> Held:
        for tensor in held.tensors():
            self._held.setdefault(address(tensor), []).append(held)
        return held

    def before_write(self, storage: int) -> None:
        """Called before the model writes to a tensor."""
        self._overwritten.add(storage)
        for held in self._held.pop(storage, ()):
            held.copy(storage)

    def end(self) -> None:
        """Copy tensors that share a storage that was overwritten, since it will be overwritten again."""
        for storage in self._overwritten & set(self._held):
            for held in self._held[storage]:
                held.copy(storage)
        self._held.clear()


def is_equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal; False if that cannot be computed, as while a graph is recorded."""
    if one.is_meta or (one.is_cuda and torch.cuda.is_current_stream_capturing()):
        return False
    return one.shape == other.shape and torch.equal(one, other)


def version(tensor: Any) -> int:
    """The number of in-place writes to a tensor; 0 in inference mode, which does not count them."""
    return tensor._version if isinstance(tensor, Tensor) and not tensor.is_inference() else 0


def address(tensor: Tensor) -> int:
    """The key of a storage, equal for all its views; 0 for a tensor without one, such as a sparse tensor."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):
        return 0


def tracked() -> AbstractContextManager[Any]:
    """Track views as outside a dispatch mode."""
    guard = getattr(torch._C, "_SetExcludeDispatchKeyGuard", None)
    found: AbstractContextManager[Any] = (
        nullcontext() if guard is None else guard(torch._C.DispatchKey.ADInplaceOrView, False)
    )
    return found
