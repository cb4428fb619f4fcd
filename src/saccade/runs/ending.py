"""The end of a training: score, evidence, ten answers, pictures, and the next command."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from saccade.core.files import write_atomically
from saccade.core.picture import Accompanied, Moving, Picture
from saccade.core.stream import sizes_of
from saccade.core.task import Answered, Legible, Readable, Score
from saccade.explain import plots
from saccade.explain.pictures import kept
from saccade.explain.pictures.curve import Curve
from saccade.explain.pictures.histogram import Histogram
from saccade.explain.plots.series import Line
from saccade.runs.results import bound_of, verdict
from saccade.runs.run import Run
from saccade.runs.scoring import score, summary
from saccade.training.evidence import Cost, collect
from saccade.training.run_folder import RunFolder, one_writer

SHOWN, DRAWN = 10, 3  # number of answers printed, and drawn
MOST, FEWEST = 800, 5  # limits on an example whose pictures evidence stores: input x output, and the smaller of the two
Say = Callable[[str], None]


def finish(run: Run, head: Mapping[str, Any], cost: Cost, say: Say) -> None:
    """Score the run, write its evidence and pictures, and print a summary."""
    say("scoring the test set")
    found, predictions, examples = score(run)
    parameters = sum(weight.numel() for weight in run.model.parameters())
    evidence = collect(
        run.recipe, head, {"test": found}, run.task.metric, run.task.describe(), parameters, cost, str(run.device),
        lambda claim: bound_of(run.system, asdict(claim)),
    )  # fmt: skip
    evidence |= {"studies": {}, "pictures": [kept(picture) for picture in small_pictures(run, examples)]}
    run.folder.write_evidence(evidence)
    say(summary(run, "test", found) + (f"; trained in {cost.seconds:.0f} s" if run.recipe.objective else ""))
    for claim in evidence["claims"]:
        say(f"claim: {verdict(evidence, claim).replace('**fails**', 'DOES NOT HOLD')}")
    say("")
    if isinstance(run.task, Legible):
        for example, prediction in list(zip(examples, predictions, strict=True))[:SHOWN]:
            for name, text in run.task.compare(example, prediction).items():
                say(f"  {name:<10} {text}")
            say("")
    draw_run(run, examples, predictions, found)
    say(f"pictures: {run.folder.pictures}")
    path = shlex.quote(str(run.folder.path))
    if isinstance(run.task, Readable):
        say(f"next: saccade predict {path} {sample_input(run)}".rstrip())
        say(f"      saccade serve {path}")


def sample_input(run: Run) -> str:
    """A sample input as typed: text in quotes, or a file of the run."""
    inputs = run.folder.input_files() or run.to_type(1)
    if not inputs or isinstance(inputs[0], bytes):
        return ""
    return quoted(" ".join(str(inputs[0]).split())) if inputs[0] else ""


def quoted(text: str) -> str:
    """Quote for a shell, with double quotes if possible, since apostrophes are common in what people write."""
    return f'"{text}"' if not set(text) & set('"$`\\!') else shlex.quote(text)


def small_pictures(run: Run, examples: Sequence[Any], most: int = MOST) -> list[Picture]:
    """The pictures of the first small example, given the right answer if the example has one."""
    sizes = sizes_of(run.task, examples[:SHOWN])
    small = [row for row, size in enumerate(sizes) if size.input * size.output <= most]
    if not small or run.recipe.pictures is None:
        return []
    row = next((row for row in small if min(sizes[row]) >= FEWEST), small[0])
    example = examples[row]
    answer = run.task.answer(example) if isinstance(run.task, Answered) else run.predictions([example])[0]
    return run.pictures(example, answer)


def longest(run: Run, examples: Sequence[Any]) -> list[int]:
    """The rows of the first examples, longest input first."""
    sizes = sizes_of(run.task, examples[:SHOWN])
    return sorted(range(len(sizes)), key=lambda row: -sizes[row].input)


def draw_run(run: Run, examples: Sequence[Any], predictions: Sequence[Any], found: Score) -> None:
    """Draw the longest of the printed answers, the training curve, and the series of the score."""
    for number, row in enumerate(sorted(longest(run, examples)[:DRAWN]), start=1):
        draw(run.pictures(examples[row], predictions[row]), run.folder.pictures, str(number))
    own: list[Picture] = []
    if rows := run.folder.read_metrics():
        own.append(training_curve(rows, run.title))
    own += series_pictures(found, run.title)
    draw(own, run.folder.pictures)


def training_curve(rows: Sequence[Mapping[str, Any]], title: str) -> Curve:
    """The losses of training and validation over the updates."""
    lines = {}
    for key in ("loss", "validation_loss", "validation_metric"):
        if points := [(row["step"], row[key]) for row in rows if key in row]:
            lines[key.replace("_", " ")] = Line(*zip(*points, strict=True))
    return Curve("training", lines, "update", "loss" if "loss" in lines else "metric", title)


def series_pictures(found: Score, title: str) -> list[Picture]:
    """A picture of each series of a score."""
    kinds: dict[str, Any] = {"curve": Curve, "histogram": Histogram}
    return [kinds[series.kind].of(series, name.replace("_", "-"), title) for name, series in found.series.items()]


def draw(pictures: Sequence[Picture], folder: Path, ending: str = "") -> list[Path]:
    """Write each picture as PNG and SVG, as GIF if it moves, and in its other formats; returns the paths, without those
    of the SVGs."""
    drawn = []
    for picture in pictures:
        path = folder / (f"{picture.name}-{ending}" if ending else picture.name)
        drawn.append(plots.save(picture.figure(), path, picture.description())[0])
        if isinstance(picture, Moving) and picture.seconds:
            drawn.append(plots.animate(picture.frames(), path, picture.description(), picture.seconds))
        if isinstance(picture, Accompanied):
            for kind, data in picture.files().items():
                drawn.append(path.with_name(f"{path.name}.{kind}"))
                write_atomically(drawn[-1], data)
    return drawn


def check_evidence(path: Path) -> None:
    """Raise unless the run has evidence, to store a study's findings in."""
    RunFolder(path).read_evidence()


def keep_study(run: Run, name: str, key: str, kept: Mapping[str, Any]) -> None:
    """Store the findings of a study in the run's evidence."""
    with one_writer(run.folder):
        run.folder.keep_study(name, key, kept)
