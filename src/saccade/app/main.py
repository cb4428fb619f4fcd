"""saccade: attention and memory. The command line's entry."""

import importlib
import io
import os
import sys
from collections.abc import Sequence

from saccade import __version__
from saccade.core.errors import NotFound, SaccadeError, nearest

VERBS = {
    "list": "the systems, the paper's number and ours",
    "train": "train a system; the run becomes a folder",
    "evaluate": "score a run on its test split",
    "predict": "answer an input with a run, and show where it looked",
    "explain": "where a model looks, head by head: a run, or a checkpoint of Hugging Face",
    "serve": "look at a run, or at what was kept of a look, in a browser",
    "report": "the tables of all evidence; keep a run's, write the docs",
}
HELP = f"""saccade {__version__}: attention and memory in PyTorch. Train a system, use it, see where it looks.

usage: saccade VERB ...

{"".join(f"  {verb:<10} {what}{chr(10)}" for verb, what in VERBS.items())}
  saccade list                               what there is
  saccade train rnnsearch                    learn to translate, in a few minutes, on data that come with the package
  saccade train rnnsearch tiny --seed 2      another variant; every field of its configuration is a flag
  saccade train rnnsearch --help             all of them, with their defaults
  saccade predict RUN "I want another beer." translate, and see the alignment

`saccade VERB --help` tells more. `saccade --version` prints the version.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns 0, or 2 where the user's input does not do, or 130 where it was interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        sys.stdout.write(HELP)
        return 0
    if given[0] == "--version":
        print(f"saccade {__version__}")
        return 0
    # before torch is imported: threads that spin while they wait crawl as soon as another program wants a core
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # and before its first tensor: in pages of 4 kB a large tensor takes longer to get than to fill
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if {"RANK", "SLURM_STEP_NUM_TASKS"} & os.environ.keys():
        # of several processes each would print torch's notices of its inner life
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a letter gets its number, not a traceback
            stream.reconfigure(errors="backslashreplace")
    try:
        if given[0] not in VERBS:
            raise NotFound(f"there is no verb {given[0]!r}; {nearest(given[0], VERBS)}")
        verb = importlib.import_module(f"saccade.app.{given[0]}_verb")
        status: int = verb.run(given[1:])
        sys.stdout.flush()
        return status
    except SaccadeError as error:
        sys.stderr.write(f"saccade: {error}\n")
        return 2
    except BrokenPipeError:
        # the reader of a pipe left, as `head` does; nothing more can be written, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"saccade: {where}{error.strerror or error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("saccade: interrupted\n")
        return 130
