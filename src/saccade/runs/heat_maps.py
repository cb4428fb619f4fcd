"""Heat maps of a classifier's answer to a picture, for the command line and the page."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from saccade.core.errors import InvalidInput, NotFound, nearest
from saccade.explain import Capture
from saccade.explain.cam import HeatMaps
from saccade.explain.heat_maps import OF_ATTENTION, check_methods, heat_map
from saccade.explain.pictures.overlays import Overlays
from saccade.explain.plots.overlays import percent
from saccade.runs.classifiers import Classifier
from saccade.runs.explained import Explained

BEST = 5  # classes whose probability is shown
DEFAULT = ("grad-cam",)


def explained(
    classifier: Classifier,
    raw: str | bytes,
    methods: Sequence[str] = DEFAULT,
    classes: Sequence[str] = (),
    layer: str | None = None,
) -> Explained:
    """Maps of each class by each method, over the picture, with the most probable classes.

    Args:
        raw: a file's path or bytes.
        classes: their names or numbers; by default the most probable class.
        layer: the layer of the methods that have one; by default each chooses it.

    Raises:
        NotFound: no such method, class, layer or file.
        InvalidInput: what cannot be read, or has no such maps.
    """
    check_methods(methods)
    if layer is not None and set(methods) <= set(OF_ATTENTION):
        raise InvalidInput(f"{methods[0]} reads the attention of all layers; remove --layer")
    photo = classifier.read(raw)
    logits = classifier.logits(photo)
    names = classifier.names(logits.shape[1])
    chances, order = logits[0].double().softmax(0).sort(descending=True, stable=True)
    best = [(names[int(number)], float(share)) for share, number in zip(chances[:BEST], order[:BEST], strict=True)]
    targets = [number_of(one, names) for one in classes] or [int(order[0])]
    maps, labels, layers = [], [], list[str]()
    found = {method: of_method(method, classifier, photo.pixels, targets, layer) for method in methods}
    for place, target in enumerate(targets):
        for method in methods:
            maps.append(found[method].maps[0, place].float().cpu())
            labels.append(f"{method}: {short(names[target])}")
    for method in methods:
        rows, columns = found[method].maps.shape[-2:]
        layers.append(f"{method}: layer {found[method].layer}, {rows} x {columns} places")
    title = f"{classifier.title}: {best[0][0]} ({percent(best[0][1])})"
    picture = Overlays(
        "heat-maps", photo.shown, maps, labels, [name for name, _ in best], [share for _, share in best],
        across=len(methods), title=title,
    )  # fmt: skip
    empty = [f"{label}: all of it is 0, nothing raises this score" for label, one in zip(labels, maps, strict=True)
             if not one.any()]  # fmt: skip
    shown = Path(raw).name if isinstance(raw, str) else "the picture"
    said = "\n".join([f"{classifier.title}: {shown} -> {best[0][0]} ({percent(best[0][1])})", *layers])
    return Explained(said, [picture], Capture(), set(), [*photo.notes, *empty], best[0][0])


def of_method(
    method: str, classifier: Classifier, pixels: Tensor, targets: Sequence[int], layer: str | None
) -> HeatMaps:
    """The maps of a method.

    Raises:
        InvalidInput: also if a method of attention finds no stack of self-attention.
    """
    if method not in OF_ATTENTION:
        return heat_map(method, classifier.model, pixels, [targets], layer)
    try:
        return heat_map(method, classifier.model, pixels, [targets])
    except (NotFound, InvalidInput) as error:
        raise InvalidInput(
            f"{method} needs one stack of self-attention over the places of the picture, which {classifier.title} has "
            "not; --method grad-cam needs none"
        ) from error


def number_of(name: str, names: Sequence[str]) -> int:
    """The number of a class, by its name, by one of its synonyms, as in "tabby, tabby cat", or by its number.

    Raises:
        NotFound: no such class.
    """
    if name in names:  # names may differ in case alone
        return names.index(name)
    wanted = name.strip().lower()
    for parts in (lambda one: [one], lambda one: one.split(",")):
        for number, one in enumerate(names):
            if wanted in (part.strip().lower() for part in parts(one)):
                return number
    if wanted.isdecimal():
        if int(wanted) < len(names):
            return int(wanted)
        raise NotFound(f"there is no class {name}; they are numbered from 0 to {len(names) - 1}")
    known = {part.strip().lower(): one for one in names for part in [one, *one.split(",")]}
    raise NotFound(f"there is no class {name!r}; {nearest(wanted, known)}")


def short(name: str) -> str:
    """The first of several synonyms."""
    return name.split(",")[0].strip()
