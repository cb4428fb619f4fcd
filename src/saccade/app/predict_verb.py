"""`saccade predict RUN [INPUT...]`: answers, and where the model looked."""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from saccade.app.arguments import Parser
from saccade.core.errors import InvalidInput

if TYPE_CHECKING:
    from saccade.app.runs import Prediction, Run


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "predict",
        "Answer each INPUT, show in the terminal where the model looked, and write the picture.\n"
        "Without INPUT, standard input is read line by line and answered line by line, answers only.",
        "Examples:\n"
        '  saccade predict RUN "I want another beer."\n'
        "  saccade predict RUN --search.beam 1 < sentences.txt > translations.txt",
    )
    parser.add_argument("run", help="the folder that saccade train made")
    parser.add_argument("input", nargs="*", help="what to answer, each in quotes")
    parser.add_argument("--pictures", metavar="FOLDER", help="where pictures go (default: RUN/pictures)")
    options, rest = parser.parse_known_args(list(arguments))
    if any(not text.strip() for text in options.input):
        raise InvalidInput("there is nothing to answer: the input is empty")

    from saccade.app.runs import load

    loaded = load(options.run, rest)
    if options.input:
        folder = Path(options.pictures) if options.pictures else loaded.folder.pictures
        folder.mkdir(parents=True, exist_ok=True)
        for text in options.input:
            show(loaded.predict(text), text, folder)
    else:
        stream(loaded)
    return 0


def show(prediction: "Prediction", text: str, folder: Path) -> None:
    """The answer, its looks as text, and the pictures."""
    from saccade.app.finish import draw_look
    from saccade.explain.text import alignment_text

    tell(prediction.notes, text)
    print(prediction.text)
    for look in prediction.looks:
        print(f"\n{alignment_text(look.weights, look.rows, look.columns)}")
        name = re.sub(r"\W+", "-", text.lower()).strip("-")[:40] or "input"
        print(f"\npicture: {draw_look(look, folder / f'predict-{name}')}")


def stream(loaded: "Run") -> None:
    """Answer standard input line by line; an empty line stays one, so that lines keep their numbers."""
    if sys.stdin.isatty():
        sys.stderr.write("type a line and press return; end with Ctrl-D\n")
    answered = False
    for number, line in enumerate(lines(), start=1):
        if line.strip():
            example = loaded.task.read(line)
            tell(loaded.task.notes(example), f"line {number}")
            print(loaded.task.decode(loaded.predictions([example])[0]), flush=True)
            answered = True
        else:
            print(flush=True)
    if not answered:
        raise InvalidInput("there is nothing to answer: standard input is empty")


def lines() -> Iterator[str]:
    for number, raw in enumerate(sys.stdin.buffer, start=1):
        try:
            yield raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidInput(f"standard input, line {number}: not UTF-8 (byte 0x{raw[error.start]:02x})") from error


def tell(notes: Sequence[str], where: str) -> None:
    for note in notes:
        sys.stderr.write(f"saccade: note: {where}: {note}\n")
