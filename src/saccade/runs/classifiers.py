"""Classifiers of pictures, for heat maps: a run, a Hugging Face folder, or a network with published weights."""

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.core.device import to_device
from saccade.core.errors import InvalidInput, NotFound, nearest, out_of_memory, require
from saccade.core.task import Classifying, Readable, Visible
from saccade.explain.replay import logits_of
from saccade.runs.foreign import read_weights
from saccade.runs.preparation import Photo, Preparation, of_processor
from saccade.runs.run import Run


class Classifier(NamedTuple):
    """A network from one picture to logits."""

    title: str
    model: nn.Module
    read: Callable[[str | bytes], Photo]
    """A file's path or bytes -> the picture as the network takes it."""
    classes: Sequence[str] = ()
    """Their names, in the order of the logits; () if unknown."""

    def logits(self, photo: Photo) -> Float[Tensor, "1 classes"]:
        """The logits of a picture.

        Raises:
            InvalidInput: the model does not return any, or takes pictures of another size; they are not finite.
        """
        training = self.model.training
        try:
            with torch.no_grad():
                found = logits_of(self.model.eval()(photo.pixels))
        except (TypeError, AttributeError) as error:
            raise InvalidInput(f"{self.title} gives no logits for a picture alone, which heat maps need") from error
        except (ValueError, RuntimeError) as error:
            if out_of_memory(error) is not None:
                raise
            size = "x".join(map(str, photo.pixels.shape[1:]))
            why = shorten(str(error), 200)
            raise InvalidInput(f"{self.title} does not take a picture of {size} ({why})") from error
        finally:
            self.model.train(training)
        if not found.isfinite().all():
            raise InvalidInput(f"{self.title} gives logits that are not finite; its weights may be damaged")
        return found

    def names(self, count: int) -> list[str]:
        """The names of `count` classes; their numbers if they have no names."""
        return list(self.classes) if len(self.classes) == count else [f"class {number}" for number in range(count)]


def of_run(run: Run) -> Classifier:
    """A run that reads pictures.

    Raises:
        InvalidInput: it reads something else.
    """
    accepts = getattr(run.task, "accepts", ())
    if "image/*" not in accepts:
        raise InvalidInput(
            f"{run.system} reads {', '.join(accepts) or 'no input'}; heat maps need a run that reads a picture"
        )

    def read(raw: str | bytes) -> Photo:
        example = run.read(raw)
        pixels = run.task.collate([example])[0]
        if not isinstance(pixels, Tensor) or pixels.ndim != 4:
            raise InvalidInput(f"{run.system} does not classify a picture as a whole, as heat maps need")
        notes = run.task.notes(example) if isinstance(run.task, Readable) else ()
        shown = run.task.pixels([example])[0] if isinstance(run.task, Visible) else pixels[0]
        return Photo(to_device(pixels, run.device), shown, tuple(notes))

    return Classifier(run.title, run.model, read, run.task.classes if isinstance(run.task, Classifying) else ())


def architectures() -> Mapping[str, Any]:
    """The networks with published weights, by name; imported by name, as systems are."""
    found: Mapping[str, Any] = importlib.import_module("saccade.nets.architectures").ARCHITECTURES
    return found


def imagenet_classes() -> list[str]:
    """The names of ImageNet's 1,000 classes."""
    path: Path = importlib.import_module("saccade.nets.architectures").NAMES
    return path.read_text(encoding="utf-8").splitlines()


def of_architecture(name: str, weights: str | None, labels: str | None = None) -> Classifier:
    """A network with weights from a file.

    Args:
        weights: the file; None: that of an installed package, for a network that has one.
        labels: a file with the name of a class in each line; None: the names of ImageNet's classes, if there are as
            many.

    Raises:
        NotFound: no such network, no such file.
        InvalidInput: no file; the weights of another network; another number of labels.
    """
    known = architectures()
    if name not in known:
        raise NotFound(f"there is no network {name!r} for --weights; {nearest(name, known)}")
    found = known[name]
    if weights is None and found.file is None:
        raise InvalidInput(f"{name} needs the file of its published weights: --weights FILE")
    path = Path(weights) if weights is not None else found.file()
    model, unused = found.loaded(read_weights(path), str(path))
    classes = named(labels, count := model.get_parameter(found.head).shape[0])
    if labels is None and len(lines := imagenet_classes()) == count:
        classes = lines
    preparation = Preparation(found.shorter, found.side, *found.moments)
    said = (f"weights of {path.name} that were not used: {shorten(', '.join(unused), 200)}",) if unused else ()

    def read(raw: str | bytes) -> Photo:
        photo = preparation.read(raw)
        return photo._replace(notes=(*photo.notes, *said))

    return Classifier(name, model, read, classes)


def unknown(model: str) -> InvalidInput | NotFound:
    """Why a name is no classifier of pictures."""
    if Path(model).exists():
        return InvalidInput(f"{model} is no classifier of pictures, which heat maps need")
    return NotFound(
        f"{model}: there is no such run, and no such folder; of networks for --weights, "
        f"{nearest(model, architectures())}"
    )


def named(labels: str | None, count: int) -> Sequence[str]:
    """The names in a file, one in each line."""
    if labels is None:
        return ()
    if not Path(labels).is_file():
        raise NotFound(f"{labels}: there is no such file of labels")
    lines = [line.strip() for line in Path(labels).read_text(encoding="utf-8", errors="replace").splitlines()]
    lines = [line for line in lines if line]
    if len(lines) != count:
        raise InvalidInput(f"{labels}: expected a label for each of {count} classes, got {len(lines)}")
    return lines


def is_classifier(folder: str | Path) -> bool:
    """Whether a Hugging Face folder holds a classifier of pictures, as its configuration says."""
    try:
        config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
        return any("ForImageClassification" in str(name) for name in config.get("architectures") or ())
    except (OSError, ValueError, AttributeError):
        return False


def of_checkpoint(folder: str | Path) -> Classifier:
    """A Hugging Face folder.

    Raises:
        NotFound: it does not say how pictures are prepared.
        InvalidInput: it cannot be read.
    """
    transformers: Any = require("transformers", "hub")
    safetensors: Any = require("safetensors", "app")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    path = Path(folder)
    prepared = of_processor(path)
    try:
        model = transformers.AutoModelForImageClassification.from_pretrained(path, local_files_only=True).eval()
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, safetensors.SafetensorError) as error:
        raise InvalidInput(f"{path}: transformers cannot read this checkpoint ({shorten(str(error), 200)})") from error
    labels = getattr(model.config, "id2label", None) or {}
    classes = [str(labels[number]) for number in sorted(labels)]
    return Classifier(f"{type(model).__name__} of {path.name}", model, prepared.read, classes)
