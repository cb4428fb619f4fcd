"""How sure a model is of what it writes: the likeliest symbols at each step of an answer.

At each step the model is given the symbols that it wrote before, as in a search, and log p(symbol | those before it) is
listed for the most probable symbols. A sum over the written symbols is the log-probability by which a search ranks.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from saccade.core.errors import InvalidInput
from saccade.core.recipe import Step
from saccade.nets.largest import largest
from saccade.nets.search import SearchModel, Symbols


@torch.no_grad()
def written(
    model: SearchModel,
    encoded: Any,
    answer: Sequence[int],
    symbols: Symbols,
    named: Callable[[Sequence[int]], Sequence[str]],
    count: int,
    limit: int | None = None,
) -> list[Step]:
    """The steps of an answer to one input, the end symbol last.

    Args:
        model: the model, as for `beam_search`.
        encoded: the argument of `model.start`, for one input.
        answer: the symbols of the answer, without start and end.
        symbols: start and end.
        named: symbols -> their names.
        count: the number of symbols to list at each step.
        limit: the most symbols of an answer, end included; one that is as long was cut, and has no end.

    Raises:
        InvalidInput: a count below 1, or above the number of symbols.
    """
    ends = [] if limit is not None and len(answer) >= limit else [symbols.end]
    state, before, steps = model.start(encoded), symbols.start, []
    for symbol in [*answer, *ends]:
        found, state = model.step(torch.tensor([before], device=_device(model)), state)
        if not 1 <= count <= found.shape[1]:
            raise InvalidInput(f"expected from 1 to {found.shape[1]:,} symbols, the vocabulary, got {count:,}")
        log_probs, likeliest = largest(found, count)
        names = named([symbol, *likeliest[0].tolist()])
        steps.append(Step(names[0], float(found[0, symbol]), list(zip(names[1:], log_probs[0].tolist(), strict=True))))
        before = symbol
    return steps


def _device(model: Any) -> torch.device | None:
    parameters = model.parameters() if isinstance(model, torch.nn.Module) else iter(())
    return next((parameter.device for parameter in parameters), None)
