"""Which frames a describer weighs at each word of its description."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from saccade.attention.hard import HardAttention
from saccade.core.device import evaluating, to_device
from saccade.core.recipe import Answer
from saccade.explain.answers import replayed


class Watched(NamedTuple):
    """The written symbols, the end last, and the weights of the frames at each; without attention even ones."""

    symbols: list[int]
    weights: Float[Tensor, "t f"]
    frames: UInt8[Tensor, "f 3 y x"]


def watched(answer: Answer) -> Watched:
    """Run the model on its own description. With hard attention these are the probabilities of the frames."""
    model: Any = answer.model
    example = replayed(answer)
    batch = to_device(answer.task.collate([example]), answer.device)
    [frames] = answer.task.frames([example])
    with torch.inference_mode(), evaluating(model):
        state = model.start(model.encode(batch))
        predicted = model.decoder(batch.tokens[:, :-1], state)
        weights = predicted.weights
        if isinstance(model.decoder.mechanism, HardAttention):
            weights = model.decoder.mechanism.weigh(predicted.queries, state.prepared.value, None)
    symbols = batch.tokens[0, 1:].tolist()
    if not model.config.attend:
        return Watched(symbols, torch.full((len(symbols), len(frames)), 1 / len(frames)), frames)
    return Watched(symbols, weights[0].float().cpu(), frames)
