"""Pictures of XLNet: the text tinted by probability, the heads of both streams, and the masks of an order."""

from typing import Any

import torch

from saccade.core.picture import Picture
from saccade.core.recipe import Answer, Step
from saccade.explain.capture import capture
from saccade.explain.pictures.alignment import Alignment
from saccade.explain.pictures.characters import Characters
from saccade.explain.pictures.heads import Heads
from saccade.nets.continuation import likeliest, read_again
from saccade.systems.xlnet.orders import Order, masks
from saccade.tasks.text.symbols import texts_of

SHOWN = 48  # symbols whose heads are drawn
TINTED = 2000  # symbols that are tinted
VISIBLE = {"\n": "⏎", " ": "␣"}


def shown_symbols(answer: Answer) -> list[int]:
    """The text as it was written on, or else the scored one."""
    symbols: list[int] = list(answer.prediction.symbols) or answer.example.symbols.tolist()
    return symbols


def first_written(answer: Answer) -> int:
    """The first symbol that the model predicted."""
    return int(len(answer.example.symbols) - answer.example.scored)


def pictures(answer: Answer) -> list[Picture]:
    """The text, tinted by the probability of each symbol; the heads of both streams where the model begins to write;
    and what both streams may see in an order."""
    model: Any = answer.model
    symbols = shown_symbols(answer)
    found: list[Picture] = [tinted(answer, symbols[:TINTED])] if len(symbols) > 1 else []
    last = min(len(symbols), max(SHOWN, first_written(answer) + SHOWN // 2))
    part = symbols[max(0, last - min(SHOWN, model.longest)) : last]
    return [*found, heads(answer, part), *mask_pictures(answer, symbols)]


def tinted(answer: Answer, symbols: list[int]) -> Characters:
    model: Any = answer.model
    own = torch.tensor(symbols, device=answer.device)
    chances = read_again(model, own).rewards(own[1:], -1).double().exp().clamp(max=1).tolist()
    parts = texts_of(answer.task.symbols, symbols)
    numbers = [chance for part, chance in zip(parts, [0.0, *chances], strict=True) for _ in part]
    title = "How probable each symbol was, given those before it"
    return Characters("probability", "".join(parts), numbers, "probability", title)


def heads(answer: Answer, symbols: list[int]) -> Heads:
    """A row of a content stream is a symbol that is read, one of a query stream the symbol after it, still unseen."""
    with torch.no_grad(), capture(answer.model, "layers.*.attention.weights") as seen:
        answer.model(torch.tensor([symbols], device=answer.device))
    names, layers = answer.task.labels(symbols), {}
    for name, (content, query) in seen.items():
        layers[name.replace("attention", "content")] = (content[0].float().cpu(), names, names)
        layers[name.replace("attention", "query")] = (query[0].float().cpu(), [*names[1:], "?"], names)
    return Heads("heads", layers, "Heads of both streams; the rows of a query stream are the next symbols")


def mask_pictures(answer: Answer, symbols: list[int]) -> list[Alignment]:
    """What each position may see in the configured order."""
    positions = [place for place in answer.config.order.positions if place < len(symbols)]
    turns = torch.tensor(positions).argsort()
    names = [VISIBLE.get(name, name) for name in answer.task.labels(symbols[: len(positions)])]
    rows = [f"{name} {turn}" for name, turn in zip(names, (turns + 1).tolist(), strict=True)]
    said, found = " ".join(str(place + 1) for place in positions), []
    seen = masks(Order(turns[None]))
    for name, mask, what in (
        ("content-mask", seen.content, "each symbol and those before it"),
        ("query-mask", seen.query, "those before each symbol, not itself"),
    ):
        stream = name.removesuffix("-mask")
        title = f"Order {said}: the {stream} stream sees {what}"
        labels = ("symbol, and its turn", "symbol that is seen, and its turn")
        found.append(Alignment(name, mask[0, 0].float(), rows, rows, *labels, "may be attended", title))
    return found


def steps(answer: Answer, count: int) -> list[Step]:
    """The symbols that were written, or scored, each with the likeliest ones in its place."""
    names = [VISIBLE.get(name, name) for name in answer.task.symbols.names]
    model: Any = answer.model
    symbols = torch.tensor(shown_symbols(answer), device=answer.device)
    return likeliest(model, symbols, first_written(answer), names, count)
