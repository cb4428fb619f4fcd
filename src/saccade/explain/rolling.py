"""Attention rollout while a model runs: only the product up to each layer is kept."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules import module as hooks

from saccade.core.errors import InvalidInput
from saccade.explain import measures
from saccade.explain.attention_map import AttentionMap, kept_map


class Rolling:
    """A context manager that is called with the map of each layer, and passes on the rollout from the input to that
    layer.

    The product restarts when a name recurs in another forward, that is, in a call from outside all modules.

    Args:
        hear: called with each rollout, (b, t, t), under the name of its layer.
        residual: as for `measures.rollout`.
    """

    def __init__(self, hear: Callable[[AttentionMap], None], residual: float = 0.5) -> None:
        self._hear, self._residual = hear, residual
        self._product: Tensor | None = None
        self._names: set[str] = set()
        self._depth, self._outside = 0, True
        self._hooks: list[Any] = []

    def __enter__(self) -> "Rolling":
        self._hooks = [
            hooks.register_module_forward_pre_hook(lambda *_: self._entered()),
            hooks.register_module_forward_hook(lambda *_: self._exited(), always_call=True),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def __call__(self, heard: AttentionMap) -> None:
        if self._outside and heard.name in self._names:
            self._product, self._names = None, set()
        self._outside = False
        self._names.add(heard.name)
        weights = heard.weights()
        try:
            square = [weights] if self._product is None else [self._product, weights]
            *_, mean = measures.mean_heads(square)
        except InvalidInput as error:
            raise InvalidInput(f"{heard.name}: {error}; a rollout needs self-attention; select it with only=") from None
        with torch.no_grad():
            self._product = measures.rolled(mean, self._product, self._residual)
        self._hear(kept_map(heard.name, ("b", "q", "k"), self._product))

    def _entered(self) -> None:
        self._outside = self._outside or self._depth == 0
        self._depth += 1

    def _exited(self) -> None:
        self._depth = max(0, self._depth - 1)
