"""`saccade predict RUN [INPUT...]`: answers, and their alignments."""

import hashlib
import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from mimetypes import MimeTypes
from pathlib import Path
from typing import TYPE_CHECKING

from saccade.app.arguments import Parser, run_first
from saccade.app.terminal import columns, complain, drawable, sentence
from saccade.core.errors import InvalidInput, MissingExtra, SaccadeError
from saccade.core.task import Proposing, Readable

if TYPE_CHECKING:
    from saccade.core.recipe import Step
    from saccade.runs.run import Prediction, Run

LONGEST = 200  # the most lines of a picture printed as text
LONGEST_LINE = 1_000_000  # the most bytes of a line of standard input
LARGEST = 100_000_000  # the most bytes of a file on standard input
ENDINGS = {".webp": "image/webp", ".wav": "audio/wav", ".mid": "audio/midi", ".midi": "audio/midi"}
"""The kinds of files that Python does not know in all its versions, or by another name."""


def run(arguments: Sequence[str]) -> int:
    parser = parser_of()
    options, rest = parser.parse_known_args(run_first("predict", arguments))

    from saccade.runs.places import pictures_of
    from saccade.runs.run import load

    loaded, more = load(options.run, rest, parser.options())
    if not isinstance(loaded.task, Readable):
        raise InvalidInput(f"{loaded.system} reads no input; saccade evaluate {options.run} scores it")
    given = [*options.input, *more]
    kinds = loaded.task.accepts
    inputs: list[str | bytes] = [found for text in given for found in files_of(text, kinds)]
    if "-" in inputs and files_only(kinds):
        data = piped()
        inputs = [data if raw == "-" else raw for raw in inputs]
    if loaded.may_need_nothing and not inputs:
        inputs = [""]
        if text_waits():
            complain(f"note: {loaded.system} needs no input; standard input is not read")
    elif not loaded.needs_nothing and any(not raw.strip() for raw in inputs):
        raise InvalidInput("there is nothing to answer: the input is empty")
    if options.best is not None and not inputs:
        raise InvalidInput("--best needs INPUT; of lines of standard input only the answers are printed")
    for raw in inputs:  # read all before answering the first
        loaded.read(raw)
    if options.pictures and not inputs:
        raise InvalidInput("--pictures needs INPUT; lines of standard input are answered without pictures")
    folder = Path(options.pictures) if options.pictures else pictures_of(loaded.folder.path)
    lost, flags = "", [flag for flag in rest if flag not in more]
    for raw in inputs:
        found = loaded.predict(raw)
        steps = [] if options.best is None else loaded.steps(loaded.read(raw), found.value, options.best)
        others = loaded.task.proposals(found.value) if isinstance(loaded.task, Proposing) else []
        if given and isinstance(raw, str) and raw not in given:  # a file of a folder
            print(f"{raw}:")
        if others and len(others) < (options.best or 1):
            complain(
                f"note: {options.best} answers were asked for; the search found {len(others)}, a wider beam finds more"
            )
        lost = show(found, raw, folder, flags, steps, others[: options.best or 1])
    if lost and options.pictures:
        raise InvalidInput(f"{lost}; name another folder")
    if lost:  # the default folder may be read-only
        complain(f"note: {lost}; pass --pictures FOLDER to write them elsewhere")
    return 0 if inputs else stream(loaded, options.run)


def parser_of() -> Parser:
    parser = Parser(
        "predict",
        "Answer each INPUT, print its alignment, and write the pictures.\n"
        "Without INPUT, standard input is read line by line and answered line by line, answers only.\n"
        "Where INPUT is a file, - stands for one file on standard input.\n"
        "Some systems need no input: they answer once, and read neither INPUT nor standard input.\n"
        "Fields of the run's configuration are flags too, such as --search.beam 1 or --device cpu.",
        "Examples:\n"
        '  saccade predict RUN "some text"\n'
        '  saccade predict RUN "some text" --best 5\n'
        "  saccade predict RUN recording.wav\n"
        "  saccade predict RUN photos\n"
        "  saccade predict RUN - < photo.png\n"
        "  saccade predict RUN < inputs.txt > answers.txt",
    )
    parser.add_argument("run", help="the folder that saccade train made, or demo")
    parser.add_argument("--pictures", metavar="FOLDER", help="folder for pictures (default: RUN/pictures)")
    parser.add_argument(
        "--best",
        type=int,
        metavar="N",
        help="print the N likeliest symbols at each step, and their log-probabilities; and further answers, if the "
        "search found any",
    )
    parser.add_argument(
        "input",
        nargs="*",
        help="inputs, each in quotes: text, the path of a file, a folder of such files, or - for a file on standard "
        "input",
    )
    return parser


def files_of(text: str, kinds: Sequence[str]) -> list[str]:
    """An input; of a folder, if the inputs are files, the files of those kinds in it.

    Raises:
        InvalidInput: a folder without such a file.
    """
    wanted = [kind for kind in kinds if "/" in kind]
    if not wanted or not os.path.isdir(text):
        return [text]
    known = MimeTypes()
    for ending, kind in ENDINGS.items():
        known.add_type(kind, ending)
    names = sorted(path.name for path in Path(text).iterdir() if path.is_file() and not path.name.startswith("."))
    found = [name for name in names if any(fnmatch(known.guess_type(name)[0] or "", kind) for kind in wanted)]
    if not found:
        raise InvalidInput(f"{text} is a folder without a file of the kind {' or '.join(wanted)}")
    return [os.path.join(text, name) for name in found]


def files_only(kinds: Sequence[str]) -> bool:
    """Whether inputs are files; the text "-" is answered as any other."""
    return "text" not in kinds and any("/" in kind for kind in kinds)


def piped() -> bytes:
    """The file on standard input."""
    data = sys.stdin.buffer.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise InvalidInput(f"expected a file of at most {LARGEST:,} bytes on standard input")
    return data


def show(
    prediction: "Prediction",
    raw: str | bytes,
    folder: Path,
    flags: Sequence[str],
    steps: Sequence["Step"] = (),
    proposals: Sequence[tuple[str, float]] = (),
) -> str:
    """Print the answer, its log-probability and further answers, its first picture as text, its steps, and the paths
    of the pictures; returns why none were written, or ""."""
    from saccade.runs.ending import draw

    text = raw if isinstance(raw, str) else "standard input"
    tell(prediction.notes, text)
    print(prediction.text, flush=True)
    if proposals:
        print(f"log-probability {proposals[0][1]:.2f}", flush=True)
    for answer, log_prob in proposals[1:]:
        print(f"{log_prob:21.2f}  {answer}", flush=True)
    name = re.sub(r"\W+", "-", text.lower()).strip("-")[:40] or "input"
    content = raw if isinstance(raw, str) else raw.decode("latin-1")
    asked = "\0".join([content, *flags])  # distinct for inputs with the same beginning, and for settings
    digest = hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()[:4]
    for picture in prediction.pictures[:1]:
        written = drawable(picture.text(columns()))
        if (tall := written.count("\n") + 1) > LONGEST:
            written = f"the picture would fill {tall:,} lines of this terminal; see its file"
        print(f"\n{written}\n", flush=True)
    if steps:
        print(f"{drawable(likeliest(steps, columns()))}\n", flush=True)
    try:
        paths = draw(prediction.pictures, folder, f"predict-{name}-{digest}")
    except OSError as error:
        return f"no pictures were written to {folder} ({error.strerror or error})"
    for path in paths:
        print(f"{'picture' if path.suffix in ('.png', '.gif') else 'file'}: {path}")
    return ""


def likeliest(steps: Sequence["Step"], width: int) -> str:
    """A line for each step: what was written, and the likeliest symbols with their log-probabilities, as many as there
    is room for."""
    from saccade.explain.plots import labels
    from saccade.explain.text import cells, fit

    names = labels([step.symbol for step in steps])
    written = [step.symbol for step in steps]  # a piece is marked where it would go on with a word
    rows = [
        [(labels([*written[:place], name])[-1], f"{value:.2f}") for name, value in step.likeliest]
        for place, step in enumerate(steps)
    ]
    left = max(map(cells, ["written", *names]))
    wide = [max(cells(f"{name} {value}") for name, value in found) for found in zip(*rows, strict=True)]
    shown = [sum(wide[: n + 1]) + 2 * (n + 1) for n in range(len(wide))]
    count = max(1, sum(left + room <= width for room in shown))
    lines = [f"{fit('written', left)}  log-probabilities of the likeliest symbols"]
    for name, row in zip(names, rows, strict=True):
        said = [fit(f"{symbol} {value}", size) for (symbol, value), size in zip(row, wide[:count], strict=False)]
        lines.append("  ".join([fit(name, left), *said]).rstrip())
    return "\n".join(lines)


def stream(loaded: "Run", run: str) -> int:
    """Answer standard input line by line; returns the status, 2 if a line had no answer.

    An empty line, or a line that cannot be answered, gives an empty line, so that line numbers match.
    """
    if sys.stdin.isatty():
        sys.stderr.write("type a line and press return; end with Ctrl-D\n")
    asked = failed = 0
    for number, raw in enumerate(lines(), start=1):
        answer = ""
        assert isinstance(loaded.task, Readable)
        if number == 1 and files_only(loaded.task.accepts) and is_binary(raw):
            raise InvalidInput(
                "expected lines of text on standard input, each the path of a file; to answer the file that is there, "
                f"type saccade predict {run} -"
            )
        if raw.strip():
            asked += 1
            try:
                example = loaded.read(decoded(raw, number))
                tell(loaded.task.notes(example), f"line {number}")
                answer = loaded.said(loaded.predictions([example])[0])
            except MissingExtra:
                raise
            except (SaccadeError, OSError) as error:  # the other lines are still answered
                complain(f"line {number}: {sentence(error)}")
                failed += 1
        print(answer, flush=True)
    if not asked:
        raise InvalidInput("there is nothing to answer: standard input is empty")
    return 2 if failed else 0


def text_waits() -> bool:
    """Whether there is text on standard input, which is not read: a pipe may stay open and empty."""
    try:
        import fcntl
        import termios
    except ImportError:  # not on Windows
        return False
    try:
        number = sys.stdin.fileno()
        found = os.fstat(number)
        if stat.S_ISREG(found.st_mode):
            return found.st_size > os.lseek(number, 0, os.SEEK_CUR)
        return stat.S_ISFIFO(found.st_mode) and any(fcntl.ioctl(number, termios.FIONREAD, bytes(4)))
    except (OSError, ValueError):  # no file, or a closed one
        return False


def lines() -> Iterator[bytes]:
    """The lines of standard input; a line longer than `LONGEST_LINE` is cut one byte after that."""
    try:
        while raw := sys.stdin.buffer.readline(LONGEST_LINE + 1):
            rest = raw
            while rest and not rest.endswith(b"\n"):
                rest = sys.stdin.buffer.readline(LONGEST_LINE + 1)
            yield raw
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard input") from None


def is_binary(raw: bytes) -> bool:
    """Whether a line is no path, but the beginning of an image or a recording."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return b"\0" in raw


def decoded(raw: bytes, number: int) -> str:
    """A line as text, without its end and without a byte order mark.

    Raises:
        InvalidInput: it is too long, or not UTF-8.
    """
    if len(raw) > LONGEST_LINE:
        raise InvalidInput(f"expected a line of at most {LONGEST_LINE:,} bytes")
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"not UTF-8 (byte 0x{raw[error.start]:02x})") from None


def tell(notes: Sequence[str], where: str) -> None:
    for note in notes:
        complain(f"note: {where}: {note}")
