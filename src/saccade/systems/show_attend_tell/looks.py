"""Where a captioner looked while it wrote a caption."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from saccade.core.device import evaluating, to_device
from saccade.core.recipe import Answer
from saccade.explain.answers import replayed
from saccade.explain.capture import capture


class Looked(NamedTuple):
    """The written symbols, the end last, and what the model looked at to write each."""

    symbols: list[int]
    weights: Float[Tensor, "t y x"]
    """With hard attention, the probabilities from which a region is chosen."""
    gates: Float[Tensor, " t"] | None
    size: tuple[int, int]
    """Rows and columns of the image."""
    annotations: Float[Tensor, "k a"]
    """The vectors of the regions, row by row."""
    contexts: Float[Tensor, "t a"]
    """What it read at each word: with a gate times beta, with hard attention of the chosen region."""
    states: Float[Tensor, "t h"]


def looked(answer: Answer) -> Looked:
    """Run the model on its own caption. With hard attention it looks at the most probable regions."""
    model: Any = answer.model
    batch = to_device(answer.task.collate([replayed(answer)]), answer.device)
    with torch.inference_mode(), evaluating(model):
        regions = model.encode(batch)
        state = model.start(regions)
        if model.config.gate:
            with capture(model, "*.beta") as seen:
                predicted = model.decoder(batch.tokens[:, :-1], state)
            gates = torch.cat([gate.flatten() for one in seen.values() for gate in one]).float().cpu()
        else:
            predicted, gates = model.decoder(batch.tokens[:, :-1], state), None
        weights = model.probabilities(predicted, state)
    rows, columns = regions.grid
    maps = weights[0].float().cpu().unflatten(1, (rows, columns))
    size, annotations = (batch.pixels.shape[2], batch.pixels.shape[3]), regions.annotations[0].float().cpu()
    contexts, states = predicted.contexts[0].float().cpu(), predicted.states[0].float().cpu()
    return Looked(batch.tokens[0, 1:].tolist(), maps, gates, size, annotations, contexts, states)


def gates_of(seen: Looked) -> list[float]:
    return [] if seen.gates is None else seen.gates.tolist()


def heaviest(seen: Looked, place: int) -> tuple[float, float]:
    """The middle of the region with the largest weight at a word, y and x in pixels of the image."""
    _, rows, columns = seen.weights.shape
    row, column = divmod(int(seen.weights[place].argmax()), columns)
    return (row + 0.5) / rows * seen.size[0], (column + 0.5) / columns * seen.size[1]
