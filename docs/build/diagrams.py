"""Block diagrams of the systems, each from one run of its smallest variant."""

from pathlib import Path
from typing import Any

import drawings
import torch

from saccade.explain.modules import batch_inputs, module_graph
from saccade.explain.pictures.graph import Graph
from saccade.runs import catalogue


def described(system: str) -> str:
    return (
        f"The modules of {system} and what flows between them, from one run of its variant tiny, with the size of what "
        "each makes in brackets, without the batch"
    )


def linked(system: str, up: str) -> str:
    """A link to the diagram of a system."""
    return f"![{described(system)}]({up}pictures/diagram-{system}.svg)\n"


def draw(folder: Path) -> list[Path]:
    """Draw the diagrams whose code is newer than they are; returns those that changed."""
    package = catalogue.SYSTEMS.parent
    shared = [
        path for room in ("attention", "core", "memory", "nets", "vision") for path in (package / room).glob("*.py")
    ]
    shared.append(package / "explain" / "modules.py")
    changed = []
    for system in catalogue.names():
        svg = folder / f"diagram-{system}.svg"
        code = [*shared, *(catalogue.SYSTEMS / system).glob("*.py")]
        if svg.exists() and svg.stat().st_mtime > max(path.stat().st_mtime for path in code if path.exists()):
            continue
        if found := diagram(system):
            changed += drawings.saved(found.figure(), svg, described(system))
    return changed


def diagram(system: str) -> Graph | None:
    """The diagram of a system; None for one that is not trained, or that has no modules."""
    recipe: Any = catalogue.recipe(system)
    if recipe.objective is None:
        return None
    config = recipe.variants["tiny"]
    task = recipe.task(config, None)
    torch.manual_seed(0)
    model = recipe.build(config, task).eval()
    batch = task.collate(list(task.examples("test"))[:2])
    inputs = {name: value for name, value in batch_inputs(batch) if name not in ("targets", "labels")}
    return module_graph(model, lambda: loss(recipe, model, batch), inputs, output="loss")


def loss(recipe: Any, model: Any, batch: Any) -> Any:
    """The terms of the loss; in training, for a system that has none in evaluation."""
    found = recipe.objective(model, batch, 0).parts or recipe.objective(model.train(), batch, 0).parts
    return [part.value for part in found.values()]
