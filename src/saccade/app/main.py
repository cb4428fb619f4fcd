"""The entry point of the command line."""

import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from saccade import __version__
from saccade.app.terminal import STDOUT, Printed, complain, sentence
from saccade.core.errors import InvalidInput, NotFound, SaccadeError, nearest, out_of_memory

VERBS = {
    "list": "list the systems, with the paper's number and ours",
    "train": "train a system; the run becomes a folder",
    "evaluate": "score a run on its test split, or run a study",
    "predict": "answer an input with a run, and show its alignment",
    "explain": "show the attention of a run, a system, or a Hugging Face checkpoint",
    "serve": "open a run, a checkpoint or a saved capture in a browser",
    "plan": "plan a training run: memory, layout, time, and the command that launches it",
    "report": "print the results tables; store a run's results",
}
HELP = f"""saccade {__version__}: attention and memory in PyTorch. Train a system, use it, see where it looks.

usage: saccade VERB ...

{"".join(f"  {verb:<10} {what}{chr(10)}" for verb, what in VERBS.items())}
  saccade list                        the systems
  saccade train SYSTEM                train one, in minutes, on data that come with the package
  saccade train SYSTEM tiny --seed 2  another variant; every field of its configuration is a flag
  saccade train SYSTEM --help         all fields, with their defaults
  saccade predict RUN "some text"     answer with the trained run, and see its alignment

`saccade VERB --help` explains a verb. `saccade --version` prints the version.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns 0; 2 for invalid input, or if memory ran out; or 130 if it was interrupted."""
    closed = sys.stdout is None
    fill_streams()
    out = sys.stdout
    try:
        with terminable():
            if closed:
                raise InvalidInput("standard output is closed: redirect it to a file, or to /dev/null")
            sys.stdout = Printed(out)
            return written(decoded(sys.argv[1:] if arguments is None else arguments))
    except SaccadeError as error:
        complain(str(error))
        return 2
    except OSError as error:
        if isinstance(error, BrokenPipeError) and error.filename == STDOUT:
            return 0  # the reader of a pipe has closed it, as `head` does
        complain(sentence(error))
        return 2
    except (MemoryError, RuntimeError) as error:
        if (full := out_of_memory(error)) is None:
            raise
        complain(str(full))
        return 2
    except KeyboardInterrupt as stop:
        complain(f"stopped by {stop}" if str(stop) else "interrupted")
        return 130
    finally:
        sys.stdout = out
        settle(out)


def written(given: Sequence[str]) -> int:
    """The status of a command, after its output is written."""
    try:
        status = command(given)
    except SystemExit:  # from a verb's --help
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return status


def command(given: Sequence[str]) -> int:
    """Run the verb, which is the first argument."""
    if not given or given[0] in ("-h", "--help", "help"):
        sys.stdout.write(HELP)
        return 0
    if given[0] == "--version":
        print(f"saccade {__version__}")
        return 0
    # before torch is imported: waiting threads that spin are very slow if another program uses a core
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # before the first tensor: in pages of 4 kB, allocating a large tensor takes longer than filling it
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    # pictures are written to files; matplotlib fails if MPLBACKEND names a backend that it does not know
    os.environ["MPLBACKEND"] = "agg"
    if {"RANK", "SLURM_STEP_NUM_TASKS"} & os.environ.keys():
        # with several processes each would print torch's internal warnings
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if given[0] not in VERBS:
        raise NotFound(f"there is no verb {given[0]!r}; {nearest(given[0], [*VERBS, '--help', '--version'])}")
    verb = importlib.import_module(f"saccade.app.{given[0]}_verb")
    status: int = verb.run(given[1:])
    return status


def decoded(arguments: Sequence[str]) -> list[str]:
    """The arguments as text.

    Raises:
        InvalidInput: an argument that is not UTF-8.
    """
    return [as_text(argument, number) for number, argument in enumerate(arguments, start=1)]


def as_text(argument: str, number: int) -> str:
    try:
        argument.encode("utf-8")
    except UnicodeEncodeError:  # it contains bytes that the locale cannot decode; in an ASCII locale, all beyond ASCII
        raw = os.fsencode(argument)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidInput(
                f"argument {number} is not UTF-8 (byte 0x{raw[error.start]:02x}): {ascii(raw)[1:]}"
            ) from None
    return argument


def fill_streams() -> None:
    """Replace closed standard streams by empty ones, or the next open files would get their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # characters that the terminal cannot encode are escaped
            stream.reconfigure(errors="backslashreplace")


def settle(out: Any) -> None:
    """Flush the output; if that fails, discard it, or Python would print an error at exit."""
    try:
        out.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


@contextmanager
def terminable() -> Iterator[None]:
    """Within the block SIGTERM acts like Ctrl-C."""

    def stop(number: int, _: Any) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    if signal.getsignal(signal.SIGTERM) != signal.SIG_DFL or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
