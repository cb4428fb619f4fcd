"""What `saccade explain` looks at: every head of a run, or of a checkpoint of Hugging Face, with its tokens."""

import fnmatch
import inspect
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from saccade.core.errors import InvalidInput, NotFound, SaccadeError, require, together
from saccade.explain import Capture, capture

if TYPE_CHECKING:
    from saccade.app.runs import Run
    from saccade.core.recipe import Show
    from saccade.explain.page import Axes, Layers


BESIDE_TEXT = ("pixel_", "input_features", "input_values", "image", "visual_", "bbox", "audio")  # what a model may need


class Explained(NamedTuple):
    """What was seen, labelled; a sentence that says of what; and tokens that are marks, not words."""

    seen: Capture
    said: str
    special: set[str]


def explain(model: str, text: str, target: str | None, only: str) -> Explained:
    """Let a model read a text.

    Raises:
        NotFound: no such model; no attention in it that matches.
        InvalidInput: a model that cannot read it.
    """
    if is_run(model):
        if target is not None:
            raise InvalidInput("a run writes its own answer; give the text alone")
        return of_run(model, text, only)
    with together("hub", "app"):
        return of_checkpoint(model, text, target, only)


def is_run(model: str) -> bool:
    """Whether a name is that of a run's folder, and not of a checkpoint."""
    return (Path(model) / "config.yaml").exists()


def of_run(path: str, text: str, only: str) -> Explained:
    from saccade.app.runs import load

    run, _ = load(path)
    return seen_by(run, text, only)


def seen_by(run: "Run", text: str, only: str = "*") -> Explained:
    """Where a run looks while it answers a text: what its recipe shows, head by head.

    Raises:
        NotFound: nothing of it matches.
        InvalidInput: a text that it cannot read.
    """
    example = run.task.read(text)
    [prediction] = run.predictions([example])
    seen, _ = shown_by(run, run.task.replay(example, prediction))
    found = [name for name in seen if fnmatch.fnmatchcase(name, only)]
    if not found:
        raise NotFound(f"nothing that {run.system} shows matches {only!r}; there is: {', '.join(seen) or 'nothing'}")
    answer = run.task.decode(prediction)
    return Explained(seen.select(only), f"{run.system} {run.variant}: {text} -> {answer}", {"<s>", "</s>"})


def layers_of(run: "Run", replayed: Any) -> "tuple[Layers, dict[str, Axes]]":
    """Every layer that a recipe shows as a map, head by head, while the model gives an answer: for a page.

    Returns:
        The layers, in the order in which they run; what rows and columns are of those that are no attention.
    """
    from saccade.explain.page import Axes

    seen, shows = shown_by(run, replayed)
    others = {name: show for name, show in shows.items() if seen.axes(name)[-2:] != ("q", "k")}
    return seen.layers() if seen else {}, {
        name: Axes(show.rows, show.columns, show.values) for name, show in others.items()
    }


def shown_by(run: "Run", replayed: Any) -> "tuple[Capture, dict[str, Show]]":
    """What a recipe shows as maps while the model gives an answer, labelled; and by which of its shows."""
    from saccade.training.device import to_device

    shows = [show for show in run.recipe.shows if show.picture == "alignment"]
    labels, found, by = run.task.labels(replayed), Capture(), {}
    if not shows:
        return found, {}
    with run.running(), capture(run.model) as seen:
        run.objective(run.model, to_device(run.task.collate([replayed]), run.device), 0)
    for name in (name for name in seen if seen.maps(name)):
        for show in (show for show in shows if fnmatch.fnmatchcase(name, show.tap)):
            for each in seen.maps(name):
                found.hear(each)
            rows, columns = (of_time(side, labels[side]) for side in (show.rows, show.columns))
            found.label(rows, columns, name)
            by[name] = show
    return found, by


def of_time(side: str, labels: Sequence[str]) -> Sequence[str]:
    """Labels with their unit, where they are times."""
    return [f"{label} s" for label in labels] if side.endswith("(seconds)") else labels


def of_checkpoint(name: str, text: str, target: str | None, only: str) -> Explained:
    transformers: Any = require("transformers", "hub")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    tokenizer = loaded(transformers.AutoTokenizer, name)
    writes = getattr(loaded(transformers.AutoConfig, name), "is_encoder_decoder", False)
    if target is not None and not writes:
        raise InvalidInput(f"{name} has no decoder beside its encoder; give the text alone")
    writer = loaded(transformers.AutoModelForSeq2SeqLM if writes else transformers.AutoModel, name).eval()
    model = writer.base_model  # without what turns states into words
    if (reads := getattr(model, "main_input_name", "input_ids")) != "input_ids":
        raise InvalidInput(f"{name} is a {kind_of(writer)} checkpoint: it reads {reads}, not text")
    given = tokenizer(text, return_tensors="pt")
    source = tokenizer.convert_ids_to_tokens(given["input_ids"][0].tolist())
    written: list[str] = []
    if writes:
        ids = answer(name, writer, tokenizer, given, target)
        written = tokenizer.convert_ids_to_tokens(ids[0].tolist())
        given["decoder_input_ids"] = ids
    with torch.inference_mode(), taking(name, writer, len(source)), capture(model, only) as seen:
        model(**given, use_cache=False) if written else model(**given)
    if not seen:
        why = "; ".join(f"{place}: {reason}" for place, reason in seen.unknown.items())
        raise InvalidInput(f"{name} has attention, but none that can be read: {why}")
    for heard in seen:
        if not written or heard.startswith("encoder"):
            seen.label(source, only=heard)
        else:
            across = any(part in heard.lower() for part in ("cross", "encdec", "encoder_attn"))
            seen.label(written, source if across else written, heard)
    said = f"{type(model).__name__} of {name}: {text}"
    return Explained(seen, f"{said} -> {tokenizer.decode(ids[0], skip_special_tokens=True)}" if written else said,
                     set(tokenizer.all_special_tokens))  # fmt: skip


def loaded(kind: Any, name: str) -> Any:
    """From the disk where it is there, and else from the hub."""
    try:
        return kind.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError, ImportError, AttributeError, KeyError, TypeError) as absent:
        if Path(name).is_dir():
            raise unreadable(name, absent) from absent
    try:
        return kind.from_pretrained(name)
    except (OSError, ValueError, ImportError, AttributeError, KeyError, TypeError) as error:
        raise unreadable(name, error) from error


def positions(model: Any) -> int | None:
    """How many a checkpoint says it has; those whose positions are relative may take more."""
    said = getattr(model.config, "max_position_embeddings", None)
    return said if isinstance(said, int) and said > 1 else None


@contextmanager
def taking(name: str, model: Any, tokens: int) -> Iterator[None]:
    """While a checkpoint is called: an input that it does not take is reported in one sentence."""
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
        many = f", of {positions(model)} positions," if positions(model) else ""
        first = str(error).strip().splitlines()[0]
        raise InvalidInput(f"{name}{many} does not take a text of {tokens} tokens: {first}") from error


def kind_of(model: Any) -> str:
    """The architecture that a checkpoint says it has, such as "clip"."""
    return str(getattr(model.config, "model_type", "") or type(model).__name__)


def unreadable(name: str, error: Exception) -> SaccadeError:
    if found := re.match(r"Unrecognized configuration class .*?(\w+)Config'?>?", str(error)):
        return InvalidInput(f"{name} is a {found[1]} checkpoint, which does not answer a text with a text")
    if not Path(name).exists() and (name.startswith(("/", ".", "~")) or name.count("/") > 1):  # no name of the hub
        return NotFound(f"{name}: there is no such run, and no such folder")
    return NotFound(f"{name} is no run, and no checkpoint that can be read: {shorten(str(error), 200)}")


def answer(name: str, writer: Any, tokenizer: Any, given: Any, target: str | None) -> torch.Tensor:
    """The decoder's inputs: the start, and the target or what the model writes."""
    if writer.config.decoder_start_token_id is None:
        raise InvalidInput(f"{name} does not say with which token its answers start (decoder_start_token_id)")
    start = torch.tensor([[writer.config.decoder_start_token_id]])
    if target is not None:
        ids = tokenizer(text_target=target, return_tensors="pt")["input_ids"][:, :-1]  # without the end
        return torch.cat([start, ids], 1)
    most = min(100, (positions(writer) or 101) - 1)
    with torch.inference_mode(), taking(name, writer, given["input_ids"].shape[1]):
        found: torch.Tensor = writer.generate(**given, num_beams=1, do_sample=False, max_new_tokens=most)
    return found[:, :-1] if found.shape[1] > 1 else found
