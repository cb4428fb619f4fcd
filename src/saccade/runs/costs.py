"""The memory of each process of a training run, by part, for a layout of processes."""

import dataclasses
from functools import cache, cached_property
from typing import Any, NamedTuple

import torch
from torch import nn

from saccade.core.errors import InvalidInput
from saccade.core.recipe import Recipe
from saccade.runs.footprint import Footprint, cut, footprint, matching
from saccade.runs.memory import numbers_kept, sized
from saccade.training.config import TrainingConfig
from saccade.training.splits import planned


class Layout(NamedTuple):
    data: int
    """Groups that divide the batch."""
    tensor: int
    """Processes of a group, which divide the layers."""
    strategy: str
    recompute: str
    examples: int
    """Examples that a group computes at a time."""
    accumulate: int


class Memory(NamedTuple):
    """Bytes of a process."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    buffers: float
    """What ddp sums in, or fsdp2 gathers."""
    peak: float
    """The most at any moment, which may be less than the sum of the parts."""


class Costs:
    """The footprints of a system's batches, and the memory that follows.

    Args:
        device: the name of the device.

    Raises:
        InvalidInput: a model whose sizes cannot be known before it is built.
    """

    def __init__(self, recipe: Recipe, config: Any, device: str) -> None:
        self.recipe, self.config = recipe, config
        self.training: Any = config.training
        # a CPU with attention dropout computes by plain operations
        self.fused = device != "cpu" or not getattr(config.model, "attention_dropout", 0.0)
        self.outline = recipe.outline(config) if recipe.outline and recipe.objective else None
        self.parts = cache(self._parts)
        self.of = cache(self._of)

    @cached_property
    def task(self) -> Any:
        return self.outline.task if self.outline else self.recipe.task(self.config, None)

    def model(self) -> nn.Module:
        task = self.task  # made before the model, whose tensors have sizes alone
        try:
            model = sized(lambda: self.recipe.build(self.config, task))
        except (RuntimeError, NotImplementedError) as error:
            raise InvalidInput(
                "this model's sizes are not known before it is built, so it cannot be planned"
            ) from error
        return model.double() if self.training.precision == "float64" else model

    def shards(self, tensor: int) -> dict[str, Any]:
        """The layers that a group divides.

        Raises:
            InvalidInput: it cannot.
        """
        if tensor == 1:
            return {}
        if self.recipe.shards is None:
            raise InvalidInput(f"this system does not say how its layers can be split, so --tensor {tensor} must be 1")
        training = dataclasses.replace(self.training, tensor=tensor)
        shards = self.recipe.shards(dataclasses.replace(self.config, training=training))
        return dict(planned(self.model(), shards, tensor))

    def allows(self, tensor: int) -> bool:
        """Whether groups of this size can divide the layers."""
        try:
            self.shards(tensor)
        except InvalidInput:
            return False
        return True

    def _parts(self, tensor: int) -> tuple[nn.Module, dict[str, Any], int, int, int]:
        """A process's model, how it is cut, and the bytes of its weights, of its largest block and of what is outside
        of the blocks."""
        shards, model = self.shards(tensor), self.model()
        cut(model, shards, tensor)
        blocks = [bytes_in(model.get_submodule(name)) for name in matching(model, self.recipe.blocks)]
        return model, shards, bytes_in(model), max(blocks, default=0), bytes_in(model) - sum(blocks)

    def _of(self, tensor: int, recompute: str, examples: int, accumulated: bool) -> Footprint:
        model, shards, *_ = self.parts(tensor)
        assert self.outline is not None
        assert self.outline.batch is not None
        assert self.recipe.objective is not None
        with torch.device("meta"):
            batch = self.outline.batch(examples)
        return footprint(
            model, batch, self.recipe.objective, blocks=self.recipe.blocks, recompute=recompute == "blocks",
            shards=shards, narrow=self.training.precision == "bfloat16", fused=self.fused, accumulated=accumulated,
        )  # fmt: skip

    def kept(self, tensor: int) -> tuple[float, float, float]:
        """Bytes of weights, gradients, and optimizer with moving average."""
        *_, weights, _, _ = self.parts(tensor)
        learns = self.recipe.objective is not None and isinstance(self.training, TrainingConfig)
        whole = dataclasses.replace(self.training, strategy="auto", tensor=1) if learns else self.training
        states = numbers_kept(whole) - 2 if learns else 0
        return float(weights), float(weights) if learns else 0.0, float(states * weights)

    def memory(self, layout: Layout) -> Memory:
        shared = layout.data if layout.strategy == "fsdp2" else 1
        weights, gradients, optimizer = (each / shared for each in self.kept(layout.tensor))
        *_, whole, block, root = self.parts(layout.tensor)
        # from the second batch of an update on there are gradients, of which fsdp2 keeps a shard
        apart = layout.accumulate > 1 and shared == 1
        cost = self.of(layout.tensor, layout.recompute, layout.examples, apart)
        if shared > 1:
            # whole weights of the outside and of two blocks, this one and the next; gradients of one, then sharded
            buffers = float(root + 2 * block)
            work = max(cost.early, cost.late - whole + root + block)
            peak = weights + gradients + optimizer + buffers + work
        else:
            buffers = float(whole) if layout.data > 1 else 0.0
            peak = weights + optimizer + buffers + cost.peak
        return Memory(weights, gradients, optimizer, cost.activations, cost.logits, buffers, peak)


def bytes_in(model: nn.Module) -> int:
    return sum(weight.numel() * weight.element_size() for weight in model.parameters())
