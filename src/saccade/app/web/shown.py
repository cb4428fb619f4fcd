"""The content of the viewer: answers and pictures of runs, attention of checkpoints, or saved captures."""

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from saccade.core.errors import InvalidInput, SaccadeError
from saccade.core.picture import Picture
from saccade.core.task import Readable
from saccade.explain import Capture
from saccade.explain.answers import WEIGHT
from saccade.explain.heat_maps import METHODS as METHODS_BY_NAME
from saccade.explain.page import Offer, Reads, View
from saccade.explain.pictures.alignment import Alignment
from saccade.explain.pictures.heads import Heads
from saccade.runs import results
from saccade.runs.classifiers import Classifier, is_classifier
from saccade.runs.places import is_checkpoint, is_run, place
from saccade.runs.run import Run, open_run

Look = Callable[[str | bytes], list[View]]
Choose = Callable[[str | bytes, Mapping[str, str]], list[View]]
READS: dict[str, Reads] = {"text": "text", "audio/wav": "recording", "image/*": "image", "audio/midi": "MIDI file"}
"""The kind of input that a task accepts -> the input that the page sends."""
METHODS = list(METHODS_BY_NAME)
HEAT_MAP, NONE, MOST_PROBABLE = "heat map", "none", "the most probable"
OFFERED = 4  # number of example inputs
PNG, HEADER = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", struct.Struct(">IIBB")  # width, height, depth, kind of colour
SENTENCES = (
    "The animal didn't cross the street because it was too tired.",
    "The keys to the old cabinet are on the table.",
    "Paris is the capital of France, and Rome is the capital of Italy.",
    "She put the book down and left the room.",
)
"""Example inputs of a checkpoint."""


class Shown(NamedTuple):
    """The title, the first views, the kind of input, and the function that processes it."""

    title: str
    views: list[View]
    reads: Reads = ""
    look: Look | None = None
    systems: tuple[str, ...] = ()
    """Systems whose own kinds of pictures may be shown."""
    offer: Offer = Offer()
    """What the page says of the model, and its examples."""
    choose: Choose | None = None
    """As `look`, with the values of the offer's choices."""


def of(paths: Sequence[Path]) -> Shown:
    """Open one or two paths.

    Raises:
        InvalidInput: models and captures; runs with different inputs; files that are not captures.
    """
    models = [path.is_dir() or is_run(path) for path in paths]
    if any(models) and not all(models):
        raise InvalidInput("a run and a capture cannot be compared: give two runs, or two captures")
    if not all(models):
        return of_captures(paths)
    checkpoints = [is_checkpoint(path) for path in paths]
    if any(checkpoints) and not all(checkpoints):
        raise InvalidInput("a run and a checkpoint cannot be compared: give two runs, or two checkpoints")
    if all(checkpoints):
        return of_classifiers(paths) if any(map(is_classifier, paths)) else of_checkpoints(paths)
    return of_runs([place(path) for path in paths])


def of_captures(paths: Sequence[Path]) -> Shown:
    names = told_apart([path.name for path in paths], paths) if len(paths) > 1 else [""]
    views = [
        View(name, "", "", [Heads("heads", Capture.load(path).layers())])
        for path, name in zip(paths, names, strict=True)
    ]
    return Shown(", ".join(path.name for path in paths), views)


def of_classifiers(paths: Sequence[Path]) -> Shown:
    """Classifiers of pictures in folders of Hugging Face, with heat maps.

    Raises:
        InvalidInput: one of them reads text.
    """
    from saccade.runs import classifiers

    if others := [path for path in paths if not is_classifier(path)]:
        raise InvalidInput(f"{others[0]} does not read pictures, as the other does; they cannot be compared")
    made = [classifiers.of_checkpoint(path) for path in paths]
    names = told_apart([one.title for one in made], paths) if len(paths) > 1 else [""]
    labels = [list(one.classes) for one in made]
    choices = choices_of(labels[0] if all(each == labels[0] for each in labels) else [], own=False)

    def choose(given: str | bytes, chosen: Mapping[str, str]) -> list[View]:
        return answering([partial(mapped, one, chosen=chosen) for one in made], names)(given)

    def look(given: str | bytes) -> list[View]:
        return choose(given, {name: values[0] for name, values in choices.items()})

    weights = [sum(weight.numel() for weight in one.model.parameters()) for one in made]
    about = ", ".join(f"{one.title}, {count:,} weights" for one, count in zip(made, weights, strict=True))
    return Shown(
        " and ".join(one.title for one in made),
        [],
        "image",
        look,
        (),
        Offer(f"{about}.", choices=choices, pad=False),
        choose,
    )


def choices_of(classes: Sequence[str], own: bool) -> dict[str, Sequence[str]]:
    """The choices of a page with heat maps.

    Args:
        classes: the names of the classes; none: the most probable class only.
        own: whether there are other pictures, so that heat maps are there only if they are chosen.
    """
    methods = [NONE, *METHODS] if own else [*METHODS, NONE]
    return {HEAT_MAP: methods, "class": [MOST_PROBABLE, *dict.fromkeys(classes)]}


def mapped(classifier: Classifier, given: str | bytes, chosen: Mapping[str, str]) -> View:
    """The most probable class, and the heat map that is chosen."""
    from saccade.runs import heat_maps

    method, wanted = chosen[HEAT_MAP], chosen["class"]
    classes = [] if wanted == MOST_PROBABLE else [wanted]
    found = heat_maps.explained(classifier, given, [METHODS[0] if method == NONE else method], classes)
    return View("", found.answer, "; ".join(found.notes), [] if method == NONE else found.pictures)


def of_checkpoints(paths: Sequence[Path]) -> Shown:
    """Checkpoints of Hugging Face, which read a text; the first example is shown already."""
    from saccade.runs.explained import Checkpoint

    checkpoints = [Checkpoint(str(path)) for path in paths]
    names = told_apart([one.title for one in checkpoints], paths) if len(paths) > 1 else [""]

    def look_at(checkpoint: Checkpoint, text: str | bytes) -> View:
        found = checkpoint.explained(str(text))
        layers = [picture.layers for picture in found.pictures if isinstance(picture, Heads)]
        pictures = [Heads("heads" if not n else f"heads-{n + 1}", layer) for n, layer in enumerate(layers)]
        return View("", found.answer, "; ".join(found.notes), pictures)

    look = answering([partial(look_at, one) for one in checkpoints], names)
    title = " and ".join(one.title for one in checkpoints)
    weights = [sum(weight.numel() for weight in one.model.parameters()) for one in checkpoints]
    about = ", ".join(f"{one.title}, {count:,} weights" for one, count in zip(checkpoints, weights, strict=True))
    return Shown(
        title,
        first(look, SENTENCES[0]),
        "text",
        look,
        (),
        Offer(f"{about}. It opens on its strongest head outside of special tokens.", SENTENCES),
    )


def of_runs(paths: Sequence[Path]) -> Shown:
    """Runs that answer each input; the first example, or the answer of a run without input, is shown already.

    Raises:
        InvalidInput: the runs read different kinds of input, or a kind that the page cannot send.
    """
    runs = [open_run(path) for path in paths]
    reads = [reads_of(run) for run in runs]
    if len(set(reads)) > 1:
        one, other = (named(kind) for kind in reads)
        raise InvalidInput(f"{paths[0]} reads {one} and {paths[1]} reads {other}; they cannot be compared")
    names = told_apart([run.title for run in runs], paths) if len(runs) > 1 else [""]
    look = answering([partial(seen_by, run) for run in runs], names)
    choices = run_choices(runs) if reads[0] == "image" else {}

    def choose(given: str | bytes, chosen: Mapping[str, str]) -> list[View]:
        return answering([partial(seen_and_mapped, run, chosen) for run in runs], names)(given)

    alone = all("nothing" in accepted(run) for run in runs)
    examples = [one for one in runs[0].to_type(OFFERED) if one]
    systems = tuple(dict.fromkeys(run.system for run in runs))
    title = " and ".join(run.title for run in runs)
    at_once = first(look, "" if alone else examples[0] if examples else None)
    said = [results.about(run.folder, run.system) for run in runs]
    about = "\n".join(said if len(said) == 1 else map(": ".join, zip("AB", said, strict=True)))
    offer = Offer(about, examples, alone, choices, pad=any(map(is_grey_square, examples)))
    return Shown(
        title, at_once, reads[0], look if reads[0] or alone else None, systems, offer, choose if choices else None
    )


def is_grey_square(example: str | bytes) -> bool:
    """Whether an example is a square PNG in shades of grey, such as a digit, which can be drawn on a black pad."""
    if isinstance(example, str) or not example.startswith(PNG) or len(example) < len(PNG) + HEADER.size:
        return False
    wide, high, _, colour = HEADER.unpack_from(example, len(PNG))
    return bool(wide == high and colour == 0)


def run_choices(runs: Sequence[Run]) -> dict[str, Sequence[str]]:
    """The choices of runs that classify pictures; none if one of them does not."""
    from saccade.runs import classifiers

    found = []
    for run in runs:
        examples = run.to_type(1)
        if not examples:
            return {}
        try:
            classifier = classifiers.of_run(run)
            found.append(classifier.names(classifier.logits(classifier.read(examples[0])).shape[1]))
        except SaccadeError:
            return {}
    own = any(run.recipe.pictures is not None for run in runs)
    return choices_of(found[0] if all(names == found[0] for names in found) else [], own)


def seen_and_mapped(run: Run, chosen: Mapping[str, str], given: str | bytes) -> View:
    """The answer of a run, and below its pictures the heat map that is chosen, or why there is none."""
    from saccade.runs import classifiers

    view = seen_by(run, given)
    if chosen[HEAT_MAP] == NONE:
        return view
    try:
        found = mapped(classifiers.of_run(run), given, chosen)
    except SaccadeError as error:
        return view._replace(note="; ".join(filter(None, [view.note, str(error)])))
    note = found.note if not view.pictures else "; ".join(filter(None, [view.note, found.note]))
    return view._replace(pictures=[*view.pictures, *found.pictures], note=note)


def answering(models: Sequence[Callable[[str | bytes], View]], names: Sequence[str]) -> Look:
    """A function that gives the view of each model; where two are compared, one may have no answer."""

    def look(given: str | bytes) -> list[View]:
        views: list[View] = []
        for model, name in zip(models, names, strict=True):
            try:
                views.append(model(given)._replace(name=name))
            except SaccadeError as error:
                if len(models) == 1:
                    raise
                views.append(View(name, "", str(error), []))
        return views

    return look


def first(look: Look, given: str | bytes | None) -> list[View]:
    """The views of a first input; none where there is none, or no answer to it."""
    with suppress(SaccadeError):
        return [] if given is None else look(given)
    return []


def told_apart(names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Names of A and B, with the ends of their paths where the names are equal."""
    same = len(set(names)) < len(names)
    parts = [path.absolute().parts for path in paths]
    count = next((n for n in range(1, max(map(len, parts))) if len({end[-n:] for end in parts}) == len(parts)), 1)
    where = ["/".join(end[-count:]) for end in parts]
    return [
        f"{letter}: {name} ({end})" if same and name != end else f"{letter}: {end if same else name}"
        for letter, name, end in zip("AB", names, where, strict=True)
    ]


def accepted(run: Run) -> tuple[str, ...]:
    """The kinds of input that a run accepts."""
    return run.task.accepts if isinstance(run.task, Readable) else ()


def reads_of(run: Run) -> Reads:
    """The input that the page sends to a run; "" if it needs none.

    Raises:
        InvalidInput: the page cannot send its input.
    """
    kinds = accepted(run)
    found = [READS[kind] for kind in kinds if kind in READS]
    if not found and "nothing" not in kinds:
        readable = f"{run.system} reads {', '.join(kinds)}" if kinds else f"{run.system} reads no input"
        raise InvalidInput(f"{run.folder.path}: {readable}; the page can send {', '.join(READS)}")
    return found[0] if found else ""


def named(kind: Reads) -> str:
    """An input with its article."""
    return {"": "nothing", "image": "an image"}.get(kind, f"a {kind}")


def seen_by(run: Run, given: str | bytes) -> View:
    """The answer of a run to a text or the bytes of a file, with its attention.

    Raises:
        InvalidInput: an input that it cannot read.
    """
    found = run.predict(given)
    notes = found.notes if found.pictures else [*found.notes, f"{run.system} has nothing to show"]
    return View("", found.text, "; ".join(notes), in_order(found.pictures))


def in_order(pictures: Sequence[Picture]) -> list[Picture]:
    """All heads first, since the other pictures summarise them. A single head is not shown as an alignment, too; an
    alignment of attention weights without heads is shown as a head, whose links can be followed."""
    heads = [picture for picture in pictures if isinstance(picture, Heads)]
    rest = [picture for picture in pictures if not isinstance(picture, Heads)]
    alone = next((one for one in rest if isinstance(one, Alignment) and one.values == WEIGHT and not one.tall), None)
    if alone is not None and not heads:
        named = f"attention of the {alone.rows_label} to the {alone.columns_label}"
        heads = [Heads("heads", {named: (alone.weights, alone.rows, alone.columns)}, alone.title)]
    shapes = [tuple(weights.shape) for picture in heads for weights, *_ in picture.layers.values()]
    if len(shapes) == 1 and math.prod(shapes[0][:-2]) == 1:
        rest = [one for one in rest if not (isinstance(one, Alignment) and one.weights.shape == shapes[0][-2:])]
    return [*heads, *rest]
