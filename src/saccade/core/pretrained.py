"""A configuration field that names a trained network: a run, a Hugging Face folder, or a file of weights.

`runs/` resolves it before the model is built, so `build` finds the network in it. The new run keeps its own copy and
can be moved to another machine.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    from torch import nn


class Pretrained:
    """The path of a trained network and, once `runs/` has resolved it, the network.

    A configuration has a field of this type, and YAML holds its path.
    """

    def __init__(self, path: "str | Path | Pretrained", **resolved: Any) -> None:
        self.path: Path = path.path if isinstance(path, Pretrained) else Path(path)
        self._network: nn.Module | None = resolved.get("network")
        self.task: Any = resolved.get("task")
        """The task of a run, with what it learned from its data; None for other sources."""
        self.config: Any = resolved.get("config")
        """The configuration of a run, or that of a Hugging Face folder as a dict; None for a file of weights."""
        self.weights: dict[str, Any] | None = resolved.get("weights")
        """The tensors of a file of weights."""

    @property
    def network(self) -> "nn.Module":
        """The trained network.

        Raises:
            RuntimeError: it is a file of weights, which holds no network, or the path was not resolved, because the
                model was not built through `saccade.runs`.
        """
        if self._network is None and self.weights is not None:
            raise RuntimeError(
                f"{self.path} holds only weights; name a run or a Hugging Face folder, which also define the network"
            )
        if self._network is None:
            raise RuntimeError(f"{self.path} was not resolved; build the model with saccade.load or saccade train")
        return self._network

    def resolved(self, **found: Any) -> "Pretrained":
        """The same path with the network found there."""
        return type(self)(self.path, **found)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pretrained) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"Pretrained({str(self.path)!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic import PlainSerializer, PlainValidator

        written = PlainSerializer(lambda own: str(own.path), return_type=str)
        return handler.generate_schema(Annotated[Any, PlainValidator(cls._validated), written])

    @classmethod
    def _validated(cls, value: Any) -> "Pretrained":
        if isinstance(value, Pretrained):
            return value
        if isinstance(value, str | Path) and str(value):
            return cls(value)
        raise ValueError("expected the path of a run, of a Hugging Face folder or of a file of weights")


class Weights(Pretrained):
    """Weights that a training starts from: a run of the same system, or a folder of Hugging Face that it reads.

    The model does not contain that network, so `build` does not see it, and the new run keeps no copy.
    """

    @classmethod
    def _validated(cls, value: Any) -> "Pretrained":
        if isinstance(value, cls) or (isinstance(value, str | Path) and str(value)):
            return cls(value)
        raise ValueError("expected the path of a run or of a Hugging Face folder")
