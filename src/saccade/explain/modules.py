"""A block diagram of any model, from one run of it: its modules, and what flows from one to another.

A tensor belongs to the module whose parameters made it. Operations without parameters pass on where their inputs came
from, so that an arrow leads from the module that made a tensor to the module whose parameters it meets next. So the
diagram cannot disagree with the code.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from saccade.core.errors import InvalidInput
from saccade.explain.pictures.graph import Graph

BLANK = re.compile(r"::new_|_like$")
MOST = 12  # modules in a diagram: those with the most parts are opened while there are no more


def module_graph(
    model: nn.Module,
    call: Callable[[], Any],
    inputs: Mapping[str, Tensor] | None = None,
    *,
    output: str = "output",
    most: int = MOST,
    inside: str = "",
    title: str = "",
) -> Graph:
    """The modules of a model, and what flows between them in one call.

    Args:
        model: the model; it runs without gradients.
        call: runs it, as in `lambda: model(words)`.
        inputs: the tensors that go into it, by name.
        output: the name of what `call` returns.
        most: the most modules to show.
        inside: the name of a module to open, such as "encoder.blocks.0"; by default the whole model.

    Raises:
        InvalidInput: a module that does not exist or has no parts, a `most` below 1, or a call that uses no module.
    """
    known = dict(model.named_modules())
    if inside not in known or not list(known[inside].children()):
        raise InvalidInput(f"expected a module with parts, got {inside!r}; there are {', '.join(openable(model))}")
    if most < 1:
        raise InvalidInput(f"expected at least one module to show, got {most}")
    flow = Flow(model, shown(known, inside, most), inside)
    for name, tensor in (inputs or {}).items():
        flow.begin(tensor, name)
    with torch.no_grad(), flow, flow.listening():
        flow.end(call(), output)
    if not flow.links:
        raise InvalidInput("expected a call that runs this model; it used none of its modules")
    return drawn(flow, known, title)


def openable(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if name and list(module.children())]


def shown(known: Mapping[str, nn.Module], inside: str, most: int) -> list[str]:
    """The modules of a diagram: the parts of a module, of which those with the most parts are opened in turn."""
    found = parts(known, inside)
    while True:
        alone = len(found) == 1 and len(parts(known, found[0])) > 1
        closed = [name for name in found if alone or worth_opening(known, name)]
        closed.sort(key=lambda name: -sum(1 for other in known if other.startswith(f"{name}.")))
        for name in closed:
            opened = parts(known, name)
            if len(found) - 1 + len(opened) <= most:
                place = found.index(name)
                found[place : place + 1] = opened
                break
        else:
            return found


def worth_opening(known: Mapping[str, nn.Module], name: str) -> bool:
    """Whether a module is more than a few layers, and more than the same thing several times."""
    inner = [known[part] for part in parts(known, name)]
    deep = any(list(module.children()) for module in inner)
    return deep and (len(inner) == 1 or len({type(module) for module in inner}) > 1)


def parts(known: Mapping[str, nn.Module], name: str) -> list[str]:
    """The direct parts of a module that have parameters; the elements of a list of modules are parts of its owner."""
    prefix, found = f"{name}." if name else "", []
    for part, module in known[name].named_children():
        if not any(True for _ in module.parameters()):
            continue
        inner = f"{prefix}{part}"
        found += parts(known, inner) if isinstance(module, nn.ModuleList | nn.ModuleDict) else [inner]
    return found


class Flow(TorchDispatchMode):
    """Where each tensor of a call came from, and the links between modules."""

    def __init__(self, model: nn.Module, names: list[str], inside: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model, self.shown, self.inside = model, names, inside
        self.owners = {id(p): node for name, p in model.named_parameters() if (node := self.node_of(name))}
        self.outside = {id(p) for _, p in model.named_parameters()} - set(self.owners)
        self.sources: dict[int, set[str]] = {}
        self.written: dict[int, set[str]] = {}
        self.kept: list[Any] = []  # so that no other tensor gets the same id
        self.links: dict[tuple[str, str], int] = {}
        self.sizes: dict[str, tuple[int, ...]] = {}
        self.order: list[str] = []
        self.ranks: dict[str, int] = {}

    def node_of(self, name: str) -> str:
        """The shown module that a parameter or a module belongs to; "" outside of them all."""
        found = [node for node in self.shown if name == node or name.startswith(f"{node}.")]
        return max(found, key=len, default="")

    def begin(self, tensor: Tensor, name: str) -> None:
        self.sources[id(tensor)] = {name}
        self.kept.append(tensor)
        self.seen(name, tensor)

    def end(self, found: Any, name: str) -> None:
        leaves = [leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor)]
        for leaf in leaves:
            for source in self.sources_of(leaf):
                self.link(source, name)
        if leaves:
            self.seen(name, leaves[0])

    def seen(self, node: str, tensor: Tensor, rank: int = 0) -> None:
        """Note the size of what a node makes: of what it returns, else of the first that its parameters made."""
        if node not in self.sizes:
            self.order.append(node)
        if rank >= max(1, self.ranks.get(node, 0)) or node not in self.sizes:
            self.sizes[node], self.ranks[node] = tuple(tensor.shape), rank

    def link(self, start: str, end: str) -> None:
        self.links[start, end] = self.links.get((start, end), 0) + 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        given = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, Tensor)]
        owners = [self.owners[id(leaf)] for leaf in given if id(leaf) in self.owners]
        made = [leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor)]
        sources = {source for leaf in given for source in self.sources_of(leaf)}
        if BLANK.search(func._schema.name):  # has the shape of its input, and nothing of its numbers
            sources = set()
        weights_only = all(id(leaf) in self.owners for leaf in given)
        if owners and weights_only:  # still a parameter, seen another way
            self.owners |= {id(leaf): owners[0] for leaf in made}
            self.kept += made
            return found
        if owners:
            node = max(set(owners), key=owners.count)
            for source in sources - {node}:
                self.link(source, node)
            for leaf in made[:1]:
                self.seen(node, leaf)
            sources = {node}
        for leaf in made:
            self.sources[id(leaf)] = set(sources)
            if func._schema.is_mutable:  # written into a part of a tensor, which others may read as a whole
                self.written.setdefault(leaf.untyped_storage().data_ptr(), set()).update(sources)
        self.kept += made
        return found

    def sources_of(self, tensor: Tensor) -> set[str]:
        """Where a tensor came from, and what was written into its memory."""
        found = self.sources.get(id(tensor), set())
        if not self.written or id(tensor) in self.owners:
            return found
        return found | self.written.get(tensor.untyped_storage().data_ptr(), set())

    def listening(self) -> "Listening":
        return Listening(self)

    def leave(self, node: str, found: Any, rank: int) -> None:
        """What a shown module returns is its own, whatever it passed on within; `rank` is 2 for `forward`, else 1."""
        if node not in self.sizes:
            return
        leaves = [leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
        for leaf in leaves:
            self.sources[id(leaf)] = {node}
        for leaf in leaves[:1]:
            self.seen(node, leaf, rank)
        self.kept += leaves

    def enter(self, given: Any) -> None:
        """What goes into the module that is opened is its input, wherever it came from."""
        for place, leaf in enumerate(leaf for leaf in tree_leaves(given) if isinstance(leaf, Tensor)):
            if leaf.is_floating_point():
                self.begin(leaf, "input" if place == 0 else f"input {place + 1}")


class Listening:
    """The hooks of a diagram, while it runs."""

    def __init__(self, flow: Flow) -> None:
        self.flow, self.handles, self.wrapped = flow, list[Any](), list[tuple[nn.Module, str]]()

    def __enter__(self) -> None:
        flow = self.flow
        for name, module in flow.model.named_modules():
            if name in flow.shown:
                self.handles.append(
                    module.register_forward_hook(lambda _, given, found, at=name: flow.leave(at, found, 2))
                )
                self.wrap(module, name)
            if name and name == flow.inside:
                enter: Any = lambda _, given, named: flow.enter((given, named))  # noqa: E731
                self.handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
                self.handles.append(module.register_forward_hook(lambda _, given, found: flow.end(found, "output")))

    def wrap(self, module: nn.Module, name: str) -> None:
        """Listen to the other methods of a module too, such as `step`, which no hook hears."""
        own = [method for method in dir(type(module)) if not method.startswith("_") and not hasattr(nn.Module, method)]
        for method in own:
            function = getattr(module, method)
            if callable(function) and not isinstance(function, nn.Module) and method not in vars(module):
                object.__setattr__(module, method, self.heard(function, name))
                self.wrapped.append((module, method))

    def heard(self, function: Any, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            found = function(*args, **kwargs)
            self.flow.leave(name, found, 1)
            return found

        return call

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()
        for module, method in self.wrapped:
            object.__delattr__(module, method)


def drawn(flow: Flow, known: Mapping[str, nn.Module], title: str) -> Graph:
    """The graph of a flow, from the top down: a module stands below all that it reads."""
    links = dict(flow.links)
    if flow.inside:  # what follows in the rest of the model is no part of it
        kept = {*flow.shown, *(node for node in flow.order if node.startswith("input")), "output"}
        links = {pair: count for pair, count in links.items() if kept.issuperset(pair)}
    nodes = [node for node in flow.order if any(node in pair for pair in links)]
    rank = {node: place for place, node in enumerate(nodes)}
    row, forward = dict.fromkeys(nodes, 0), leading_on(nodes, links)
    for _ in nodes:
        for start, end in forward:
            row[end] = max(row[end], row[start] + 1)
    for node in nodes:  # an input stands just above the first that reads it
        below = [row[end] for start, end in links if start == node]
        if not any(end == node for _, end in links) and below:
            row[node] = min(below) - 1
    rows: dict[int, list[str]] = {}
    for node in nodes:
        rows.setdefault(row[node], []).append(node)
    column = columns(rows, links)
    places = [(float(column[node]), -float(row[node])) for node in nodes]
    names = readable([node for node in nodes if node in known])
    labels = [label(names.get(node, node), flow.sizes[node]) for node in nodes]
    edges = [(rank[start], rank[end]) for start, end in links if start != end]
    return Graph("modules", labels, edges, places=places, title=title)


def leading_on(nodes: list[str], links: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The links without those that lead back, as in a recurrent net."""
    after: dict[str, list[str]] = {node: [] for node in nodes}
    for start, end in links:
        if start != end:
            after[start].append(end)
    kept, done, path = [], set[str](), set[str]()

    def visit(node: str) -> None:
        path.add(node)
        for end in sorted(after[node], key=nodes.index):
            if end not in path:
                kept.append((node, end))
                if end not in done:
                    visit(end)
        path.discard(node)
        done.add(node)

    for node in nodes:
        if node not in done:
            visit(node)
    return kept


def columns(rows: Mapping[int, list[str]], links: Iterable[tuple[str, str]]) -> dict[str, int]:
    """A column for each node, near those that it is linked to, and no two nodes of a row in one."""
    column = {node: place for found in rows.values() for place, node in enumerate(found)}
    beside: dict[str, list[str]] = {node: [] for node in column}
    for start, end in links:
        if start != end:
            beside[start].append(end)
            beside[end].append(start)
    for sweep in range(6):
        for number in sorted(rows, reverse=bool(sweep % 2)):
            wanted = {
                node: sum(column[other] for other in beside[node]) / (len(beside[node]) or 1) for node in rows[number]
            }
            last = None
            for node in sorted(rows[number], key=lambda node: (wanted[node], column[node])):
                column[node] = round(wanted[node]) if last is None else max(round(wanted[node]), last + 1)
                last = column[node]
    least = min(column.values())
    return {node: place - least for node, place in column.items()}


def readable(nodes: list[str]) -> dict[str, str]:
    """A short name for each module: the first and the last part of its name, more where two would be the same."""
    found = {}
    for node in nodes:
        words = [word for word in node.split(".") if not word.isdigit()]
        found[node] = " ".join(dict.fromkeys([words[0], words[-1]])).replace("_", " ")
    same = [node for node in nodes if list(found.values()).count(found[node]) > 1]
    return found | {node: node.replace(".", " ").replace("_", " ") for node in same}


def label(name: str, size: tuple[int, ...]) -> str:
    """The name of a node, and the size of what it makes, without the batch."""
    shape = " × ".join(map(str, size[1:]))
    return f"{name}  [{shape}]" if shape else name


def batch_inputs(batch: Any) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a batch that are data, by name; masks are left out."""
    named = batch._asdict() if hasattr(batch, "_asdict") else vars(batch)
    for name, value in named.items():
        if isinstance(value, Tensor) and value.dtype != torch.bool and value.ndim > 1:
            yield name.replace("_", " "), value
