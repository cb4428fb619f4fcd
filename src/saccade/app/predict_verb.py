"""`saccade predict RUN [INPUT...]`: answers, and where the model looked."""

import hashlib
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from saccade.app.arguments import Parser, run_first
from saccade.app.terminal import complain, sentence
from saccade.core.errors import InvalidInput, MissingExtra, SaccadeError

if TYPE_CHECKING:
    from saccade.app.runs import Prediction, Run

LONGEST = 200  # lines of a table that anyone would read
LONGEST_LINE = 1_000_000  # bytes of a line of standard input


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "predict",
        "Answer each INPUT, show in the terminal where the model looked, and write the picture.\n"
        "Without INPUT, standard input is read line by line and answered line by line, answers only.\n"
        "Fields of the run's configuration are flags here too: --search.beam 1, --device cpu.",
        "Examples:\n"
        '  saccade predict RUN "I want another beer."\n'
        '  saccade predict RUN "some text" --bias 1.0       a run of handwriting\n'
        "  saccade predict RUN recording.wav               a run of speech\n"
        "  saccade predict RUN --search.beam 1 < sentences.txt > translations.txt",
    )
    parser.add_argument("run", help="the folder that saccade train made")
    parser.add_argument("--pictures", metavar="FOLDER", help="where pictures go (default: RUN/pictures)")
    parser.add_argument("input", nargs="*", help="what to answer, each in quotes; for speech the path of a recording")
    options, rest = parser.parse_known_args(run_first("predict", arguments))

    from saccade.app import flags
    from saccade.app.runs import load

    with flags.also(parser.options()):
        loaded, more = load(options.run, rest)
    inputs = [*options.input, *more]
    if any(not text.strip() for text in inputs):
        raise InvalidInput("there is nothing to answer: the input is empty")
    for text in inputs:  # all of them before the first is answered
        loaded.task.read(text)
    lost: list[OSError] = []
    for text in inputs:
        folder = Path(options.pictures) if options.pictures else loaded.folder.pictures
        try:
            show(loaded.predict(text), text, folder, [flag for flag in rest if flag not in more])
        except PicturesLost as error:  # what the other inputs ask is answered nevertheless
            lost.append(error)
    if lost and options.pictures:
        raise InvalidInput(f"{lost[0]}; name another folder")
    if lost:  # nobody asked for that folder, and a run may lie where one may only read
        sys.stderr.write(f"saccade: note: {lost[0]}; pass --pictures FOLDER to write them elsewhere\n")
    return 0 if inputs else stream(loaded)


class PicturesLost(OSError):
    """The pictures of an answer could not be written."""


def show(prediction: "Prediction", text: str, folder: Path, flags: Sequence[str]) -> None:
    """The answer, the first look as text where it is a map, and where the pictures are.

    Raises:
        PicturesLost: after the answer.
    """
    from saccade.app.finish import draw_looks
    from saccade.explain.text import alignment_text

    tell(prediction.notes, text)
    print(prediction.text, flush=True)
    name = re.sub(r"\W+", "-", text.lower()).strip("-")[:40] or "input"
    asked = "\0".join([text, *flags])  # inputs may begin alike, and one may be answered under several settings
    digest = hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()[:4]
    for look in [look for look in prediction.looks[:1] if look.show.picture == "alignment"]:
        table = alignment_text(look.weights, look.rows, look.columns, ascii_only=not shades())
        if (tall := table.count("\n") + 1) > LONGEST:
            table = f"where it looked would fill {tall:,} lines of this terminal; it is in the picture"
        print(f"\n{table}\n", flush=True)
    try:
        drawn = draw_looks(prediction.looks, folder, f"predict-{name}-{digest}")
    except OSError as error:
        raise PicturesLost(f"no pictures were written to {folder} ({error.strerror or error})") from error
    for path in drawn:
        print(f"picture: {path}")


def shades() -> bool:
    """Whether standard output can write the shades of an alignment."""
    try:
        "░▒▓█·…–�".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def stream(loaded: "Run") -> int:
    """Answer standard input line by line; the status, 2 where a line had no answer.

    An empty line stays one, and a line that cannot be answered is an empty one too, so that lines keep their numbers.
    """
    if sys.stdin.isatty():
        sys.stderr.write("type a line and press return; end with Ctrl-D\n")
    asked = failed = 0
    for number, raw in enumerate(lines(), start=1):
        answer = ""
        if raw.strip():
            asked += 1
            try:
                example = loaded.task.read(decoded(raw, number))
                tell(loaded.task.notes(example), f"line {number}")
                answer = loaded.task.decode(loaded.predictions([example])[0])
            except MissingExtra:
                raise
            except (SaccadeError, OSError) as error:  # what the other lines ask is answered nevertheless
                complain(f"line {number}: {sentence(error)}")
                failed += 1
        print(answer, flush=True)
    if not asked:
        raise InvalidInput("there is nothing to answer: standard input is empty")
    return 2 if failed else 0


def lines() -> Iterator[bytes]:
    """The lines of standard input; of one that is longer than `LONGEST_LINE`, that much and a byte."""
    try:
        while raw := sys.stdin.buffer.readline(LONGEST_LINE + 1):
            rest = raw
            while rest and not rest.endswith(b"\n"):
                rest = sys.stdin.buffer.readline(LONGEST_LINE + 1)
            yield raw
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard input") from None


def decoded(raw: bytes, number: int) -> str:
    """A line as text, without the mark that some editors put before the first.

    Raises:
        InvalidInput: it is too long, or not UTF-8.
    """
    if len(raw) > LONGEST_LINE:
        raise InvalidInput(f"expected a line of at most {LONGEST_LINE:,} bytes")
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"not UTF-8 (byte 0x{raw[error.start]:02x})") from None


def tell(notes: Sequence[str], where: str) -> None:
    for note in notes:
        complain(f"note: {where}: {note}")
