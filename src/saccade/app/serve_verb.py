"""`saccade serve [RUN-OR-CAPTURE-OR-CHECKPOINT [OTHER]]`: open it in a browser; without any, a gallery of the runs."""

import argparse
import itertools
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from saccade.app.arguments import Parser
from saccade.app.terminal import plain
from saccade.core.errors import InvalidInput, NotFound, require, together
from saccade.runs import catalogue, hub
from saccade.runs.places import is_checkpoint, place

RUNS = Path("runs")  # the folder of the gallery
MOST = 200  # the most connections at a time
EVERYWHERE = ("0.0.0.0", "::", "")  # listens at all addresses of this machine


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "serve",
        "Open a run or a checkpoint in a browser: type a text, or drop a recording, an image or a MIDI file if the\n"
        "run accepts one, and see its answer and its pictures. A capture that `saccade explain --save` wrote can be\n"
        "opened too. Two of a kind are shown side by side, and both get the same input. Without a name, a gallery of\n"
        "the runs in ./runs is opened. Only this machine can connect, unless --host allows others. Ctrl-C stops the\n"
        "server.",
        "Examples:\n  saccade serve\n  saccade serve RUN\n  saccade serve RUN OTHER\n"
        "  saccade serve seen.safetensors --port 9000",
    )
    parser.add_argument(
        "what",
        nargs="?",
        help="the folder of a run, demo, a folder with a Hugging Face checkpoint or its name on the hub, or a file "
        "with a capture",
    )
    parser.add_argument("other", nargs="?", help="a second one of its kind, to compare with the first")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 lets other machines connect",
    )
    parser.add_argument(
        "--port", type=port, default=8123, help="port to listen on; 0 selects a free one (default: 8123)"
    )
    options = parser.parse_args(arguments)
    paths = [Path(what) for what in (options.what, options.other) if what is not None]
    places = [path if path.exists() else found(path) for path in paths]
    library = ["hub"] if any(is_checkpoint(path) for path in places) else []
    runs = [path for path in places if path.is_dir() and not is_checkpoint(path)]
    with together("view", *library, *itertools.chain.from_iterable(catalogue.extras_of(path) for path in runs)):
        return serve(places, options.host, options.port)


def found(path: Path) -> Path:
    """The folder that a name stands for.

    Raises:
        NotFound: nothing.
        InvalidInput: a checkpoint of the hub that no system reads.
    """
    if (there := hub.there(place(path))).exists():
        return there
    raise NotFound(f"{path}: there is no such run, and no such file")


def serve(paths: Sequence[Path], host: str, number: int) -> int:
    uvicorn: Any = require("uvicorn", "view")
    require("starlette", "view")

    from saccade.app.web.gallery import Gallery, cards
    from saccade.app.web.server import Viewer
    from saccade.app.web.shown import of

    names = names_of(host)
    if paths:
        app = Viewer(of(paths), names).app()
    elif cards(RUNS):
        app = Gallery(RUNS, names).app()
    else:
        raise NotFound(
            f"there is no run in ./{RUNS}; train one with: saccade train SYSTEM (saccade list names them), "
            "or give a folder"
        )
    listening = bound(host, number)
    number = listening.getsockname()[1]
    config = uvicorn.Config(
        app, log_level="warning", lifespan="off", timeout_keep_alive=5, limit_concurrency=MOST,
        use_colors=not plain(sys.stderr),
    )  # fmt: skip
    others = f", or from other machines http://{names[2]}:{number}" if host in EVERYWHERE else ""
    print(f"open http://{names[0]}:{number}{others}   (Ctrl-C stops it)", flush=True)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])
    return 0


def names_of(host: str) -> list[str]:
    """The host names that a server listening there accepts, in the form of an address."""
    if host in EVERYWHERE:
        name = socket.gethostname().lower()
        return ["127.0.0.1", "localhost", name, f"{name}.local", socket.getfqdn().lower()]
    shown = f"[{host}]" if ":" in host else host.lower()
    return [shown] if shown != "127.0.0.1" else ["127.0.0.1", "localhost"]


def port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, not {text!r}")
    return int(text)


def bound(host: str, number: int) -> socket.socket:
    """A socket that listens at an address.

    Raises:
        InvalidInput: another program listens there, or there is no such address.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, number))
        listening.listen(MOST)
    except (OSError, UnicodeError) as error:  # UnicodeError: the name is not a valid host name
        listening.close()
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise InvalidInput(
            f"cannot listen at {host}:{number}: {why}; use another port, or --port 0 for a free one"
        ) from None
    return listening
