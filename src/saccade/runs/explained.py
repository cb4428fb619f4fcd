"""The pictures and attention maps that `saccade explain` shows, of a run or of a Hugging Face checkpoint."""

import fnmatch
import inspect
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any, NamedTuple

import torch

from saccade.core.errors import InvalidInput, NotFound, SaccadeError, installed, nearest, require, together
from saccade.core.picture import Picture
from saccade.explain import Capture, capture
from saccade.explain.attention_map import kept_map
from saccade.explain.pictures.alignment import Alignment
from saccade.explain.pictures.heads import Heads, Layers
from saccade.explain.pictures.sound import Sound
from saccade.runs import catalogue, published
from saccade.runs.places import is_run
from saccade.runs.run import Run, load, untrained

BESIDE_TEXT = ("pixel_", "input_features", "input_values", "image", "visual_", "bbox", "audio")
"""Inputs that a model may need in addition to text."""

SPECIAL = {"<s>", "</s>", "[CLS]", "[SEP]"}
"""Special symbols of runs."""

PATIENCE = 3.0
"""Seconds until the hub counts as unreachable."""


class Explained(NamedTuple):
    """The result for one input."""

    said: str
    """A title: the model, its input and its answer."""
    pictures: Sequence[Picture]
    seen: Capture
    """The attention maps, labelled; may be empty."""
    special: set[str]
    """Special tokens, such as [SEP]."""
    notes: Sequence[str] = ()
    answer: str = ""
    """What a decoder wrote."""


def explain(
    model: str, given: str, answer: str | None, only: str, flags: Sequence[str] = (), known: Sequence[str] = ()
) -> Explained:
    """Run a model on an input, and capture its attention.

    Args:
        model: a run, a system that needs no training, or a Hugging Face checkpoint.
        given: the input; "" if the model needs none.
        answer: the decoder's output, for a checkpoint that has a decoder; by default its own.
        only: a pattern of layers.
        flags: fields of a run's configuration.
        known: the verb's own flags, which are suggested for a misspelt flag.

    Raises:
        NotFound: no such model; no layer matches.
        InvalidInput: a model that cannot read the input.
    """
    if is_run(model) or (model in catalogue.names() and not Path(model).exists()):
        if answer is not None:
            raise InvalidInput("a run writes its own answer; remove --answer")
        run, rest = load(model, flags, known) if is_run(model) else untrained(model, flags, known)
        if rest:
            raise InvalidInput(f"unexpected argument {rest[0]!r}; flags begin with --")
        return of_run(run, given, only)
    if published.is_ours(model) and answer is None and (found := of_published(model, given, only, flags, known)):
        return found
    if flags:
        raise InvalidInput(f"{flags[0]} is a field of a run's configuration, but {model} is not a run")
    if not given.strip():
        raise InvalidInput("there is nothing to read: the text is empty")
    with together("hub", "app"):
        return of_checkpoint(model, given, answer, only)


def of_published(model: str, given: str, only: str, flags: Sequence[str], known: Sequence[str]) -> Explained | None:
    """The pictures of a checkpoint that a system reads; None if transformers is to run it, since it has options that
    the system does not compute.

    Raises:
        InvalidInput: the weights are cut off, or are not those that config.json describes.
    """
    at = published.found(Path(model))
    try:
        published.check_computed(at)
    except SaccadeError:
        if flags or not installed("transformers"):
            raise
        return None
    run, rest = published.load(Path(model), flags, known)
    if rest:
        raise InvalidInput(f"unexpected argument {rest[0]!r}; flags begin with --")
    return of_run(run, given, only)


def of_run(run: Run, given: str | bytes, only: str = "*") -> Explained:
    """The answer of a run, and its pictures."""
    found = run.observe(given)
    layers = layers_of(found.pictures)
    chosen = {name: layer for name, layer in layers.items() if fnmatch.fnmatchcase(name, only)}
    if only != "*" and not chosen:
        raise NotFound(f"no layer of {run.system} matches {only!r}; there are: {', '.join(layers) or 'none'}")
    shown = given if isinstance(given, str) else "the recording"
    said = f"{run.title}: {shown} -> {found.text}" if shown else f"{run.title}: {found.text}"
    return Explained(said, found.pictures, captured(chosen), SPECIAL, found.notes, found.text)


def layers_of(pictures: Sequence[Picture]) -> Layers:
    """The attention maps of pictures: every head if a picture has heads, else the map that it draws."""
    found: dict[str, Any] = {}
    for picture in pictures:
        if isinstance(picture, Heads):
            found |= picture.layers
    if not found:
        for picture in pictures:
            if isinstance(picture, Alignment):
                found[picture.name] = (torch.as_tensor(picture.weights), picture.rows, picture.columns)
            elif isinstance(picture, Sound):
                times = [f"{column * picture.step:.2f} s" for column in range(len(picture.weights[0]))]
                found[picture.name] = (torch.as_tensor(picture.weights), picture.rows, times)
    return found


def captured(layers: Layers) -> Capture:
    """The maps as `capture` gives them."""
    seen = Capture()
    for name, (weights, queries, keys) in layers.items():
        heads = torch.as_tensor(weights).reshape(1, -1, len(queries), len(keys))
        seen.hear(kept_map(name, ("b", "h", "q", "k"), heads))
        seen.label(list(queries), list(keys), name)
    return seen


def heads_of(seen: Capture, said: str) -> list[Picture]:
    """One picture for the layers of each shape, which form a grid."""
    shapes: dict[tuple[int, ...], dict[str, Any]] = {}
    for name, layer in seen.layers().items():
        shapes.setdefault(tuple(layer[0].shape), {})[name] = layer
    return [
        Heads("heads" if not number else f"heads-{number + 1}", layers, said)
        for number, layers in enumerate(shapes.values())
    ]


def of_checkpoint(name: str, text: str, target: str | None, only: str) -> Explained:
    return Checkpoint(name, target is not None).explained(text, target, only)


class Checkpoint:
    """A Hugging Face checkpoint that reads text.

    Args:
        name: its folder, or its name on the hub.
        answered: whether an answer will be given, which needs a decoder.

    Raises:
        NotFound: there is no such checkpoint.
        InvalidInput: a checkpoint that does not read text, or has no decoder.
    """

    def __init__(self, name: str, answered: bool = False) -> None:
        transformers: Any = require("transformers", "hub")
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self.name = name
        self.tokenizer = loaded(transformers.AutoTokenizer, name)
        self.writes = bool(getattr(loaded(transformers.AutoConfig, name), "is_encoder_decoder", False))
        if answered and not self.writes:
            raise InvalidInput(f"{name} has no encoder and decoder; remove --answer")
        self.writer = loaded(transformers.AutoModelForSeq2SeqLM if self.writes else transformers.AutoModel, name).eval()
        self.model = self.writer.base_model  # without the output layer
        if (reads := getattr(self.model, "main_input_name", "input_ids")) != "input_ids":
            raise InvalidInput(f"{name} is a {kind_of(self.writer)} checkpoint: it reads {reads}, not text")

    @property
    def title(self) -> str:
        """Its class, and its name without the folders before it."""
        return f"{type(self.model).__name__} of {Path(self.name).name if Path(self.name).exists() else self.name}"

    def explained(self, text: str, target: str | None = None, only: str = "*") -> Explained:
        """Its attention on a text, and the answer of its decoder, unless one is given."""
        name, model, tokenizer = self.name, self.model, self.tokenizer
        given = tokenizer(text, return_tensors="pt")
        source = tokenizer.convert_ids_to_tokens(given["input_ids"][0].tolist())
        written: list[str] = []
        if self.writes:
            ids = answer(name, self.writer, tokenizer, given, target)
            written = tokenizer.convert_ids_to_tokens(ids[0].tolist())
            given["decoder_input_ids"] = ids
        with torch.inference_mode(), accepting(name, self.writer, len(source)), capture(model, only) as seen:
            model(**given, use_cache=False) if written else model(**given)
        if not seen:
            why = "; ".join(f"{place}: {reason}" for place, reason in seen.unknown.items())
            raise InvalidInput(f"the attention of {name} cannot be read: {why}")
        for heard in seen:
            if not written or heard.startswith("encoder"):
                seen.label(source, only=heard)
            else:
                across = any(part in heard.lower() for part in ("cross", "encdec", "encoder_attn"))
                seen.label(written, source if across else written, heard)
        answered = tokenizer.decode(ids[0], skip_special_tokens=True) if written else ""
        said = f"{self.title}: {text}" + (f" -> {answered}" if written else "")
        return Explained(said, heads_of(seen, said), seen, set(tokenizer.all_special_tokens), answer=answered)


def loaded(kind: Any, name: str) -> Any:
    """Load from the disk if it is there, else from the hub."""
    try:
        return kind.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError, ImportError, AttributeError, KeyError, TypeError) as absent:
        if Path(name).is_dir() or is_path(name):
            raise unreadable(name, absent) from absent
    check_reachable(name)  # transformers would try again for a minute
    try:
        return kind.from_pretrained(name)
    except (OSError, ValueError, ImportError, AttributeError, KeyError, TypeError) as error:
        raise unreadable(name, error) from error


def is_path(name: str) -> bool:
    """Whether a name cannot be that of a checkpoint on the hub."""
    return name.startswith(("/", ".", "~")) or name.count("/") > 1


def check_reachable(name: str) -> None:
    """Raise NotFound, with what there is on this machine, unless the hub answers."""
    hub: Any = require("huggingface_hub.constants", "hub")
    if why := "HF_HUB_OFFLINE is set" if hub.HF_HUB_OFFLINE else unreachable(hub.ENDPOINT):
        kept = [path.name.removeprefix("models--") for path in Path(hub.HF_HUB_CACHE).glob("models--*")]
        runs = [str(path.parent) for path in Path("runs").glob("*/config.yaml")]
        here = nearest(name, [*runs, *(one.replace("--", "/") for one in kept)])
        raise NotFound(
            f"{name} is no run, and no complete checkpoint on this machine, and {hub.ENDPOINT} cannot be reached "
            f"({why}); {here}"
        )


def unreachable(address: str) -> str:
    """Why an address does not answer within a few seconds; "" if it does, be it with an error."""
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=PATIENCE).close()
    except urllib.error.HTTPError:
        return ""
    except OSError as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):  # the library of the hub may know other certificates
            return ""
        return str(getattr(reason, "strerror", None) or reason)
    return ""


def positions(model: Any) -> int | None:
    """The number of positions in a checkpoint's configuration; with relative positions it may accept more."""
    said = getattr(model.config, "max_position_embeddings", None)
    return said if isinstance(said, int) and said > 1 else None


@contextmanager
def accepting(name: str, model: Any, tokens: int) -> Iterator[None]:
    """Report in one sentence if a checkpoint does not accept its input."""
    try:
        yield
    except SaccadeError:
        raise
    except (AttributeError, AssertionError, KeyError, TypeError, ValueError, NotImplementedError) as error:
        others = [read for read in inspect.signature(model.forward).parameters if read.startswith(BESIDE_TEXT)]
        why = f"it also reads {others[0]}" if others else (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InvalidInput(
            f"{name} is a {kind_of(model)} checkpoint, which does not run on text alone: {why}"
        ) from error
    except (IndexError, RuntimeError) as error:
        many = f", which has {positions(model)} positions," if positions(model) else ""
        first = str(error).strip().splitlines()[0]
        raise InvalidInput(f"{name}{many} does not accept a text of {tokens} tokens: {first}") from error


def kind_of(model: Any) -> str:
    """The architecture in a checkpoint's configuration, such as "clip"."""
    return str(getattr(model.config, "model_type", "") or type(model).__name__)


def unreadable(name: str, error: Exception) -> SaccadeError:
    if found := re.match(r"Unrecognized configuration class .*?(\w+)Config'?>?", str(error)):
        return InvalidInput(f"{name} is a {found[1]} checkpoint, which does not generate text from text")
    if not Path(name).exists() and is_path(name):
        return NotFound(f"{name}: there is no such run, and no such folder")
    return NotFound(f"{name} is neither a run nor a readable checkpoint: {shorten(str(error), 200)}")


def answer(name: str, writer: Any, tokenizer: Any, given: Any, target: str | None) -> torch.Tensor:
    """The decoder's inputs: the start token, and the given answer or the model's own."""
    if writer.config.decoder_start_token_id is None:
        raise InvalidInput(
            f"the configuration of {name} does not set decoder_start_token_id, the first token of an answer"
        )
    start = torch.tensor([[writer.config.decoder_start_token_id]])
    if target is not None:
        ids = tokenizer(text_target=target, return_tensors="pt")["input_ids"][:, :-1]  # without the end token
        return torch.cat([start, ids], 1)
    most = min(100, (positions(writer) or 101) - 1)
    with torch.inference_mode(), accepting(name, writer, given["input_ids"].shape[1]):
        found: torch.Tensor = writer.generate(**given, num_beams=1, do_sample=False, max_new_tokens=most)
    return found[:, :-1] if found.shape[1] > 1 else found
