"""A configuration field that names a trained network: a run, a folder of Hugging Face, or a file of weights.

`runs/` resolves it before a model is built: `build` finds the network in it. The new run keeps a copy of its own, so
that it can be moved to another machine.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


class Pretrained:
    """The path of a trained network and, once `runs/` has resolved it, the network.

    In a configuration it is its path: `Annotated` types are not needed, and YAML holds a string.
    """

    def __init__(self, path: "str | Path | Pretrained", **resolved: Any) -> None:
        self.path: Path = path.path if isinstance(path, Pretrained) else Path(path)
        self._network: nn.Module | None = resolved.get("network")
        self.task: Any = resolved.get("task")
        """The task of a run, with what it learned; None of other sources."""
        self.config: Any = resolved.get("config")
        """The configuration of a run, or that of a Hugging Face folder as a dict; None of a file of weights."""
        self.weights: dict[str, Any] | None = resolved.get("weights")
        """The tensors of a file of weights."""

    @property
    def network(self) -> "nn.Module":
        """The trained network.

        Raises:
            RuntimeError: a file of weights, which has none; or nobody resolved the path, since the model was not built
                by way of `saccade.runs`.
        """
        if self._network is None and self.weights is not None:
            raise RuntimeError(f"{self.path} has weights and no network; a run or a folder of Hugging Face has one")
        if self._network is None:
            raise RuntimeError(f"{self.path} was not resolved; build the model with saccade.load or saccade train")
        return self._network

    def resolved(self, **found: Any) -> "Pretrained":
        """The same path with what was found there."""
        return Pretrained(self.path, **found)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pretrained) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"Pretrained({str(self.path)!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            cls._validated, serialization=core_schema.plain_serializer_function_ser_schema(lambda own: str(own.path))
        )

    @classmethod
    def _validated(cls, value: Any) -> "Pretrained":
        if isinstance(value, Pretrained):
            return value
        if isinstance(value, str | Path) and str(value):
            return cls(value)
        raise ValueError("expected the path of a run, of a Hugging Face folder or of a file of weights")
