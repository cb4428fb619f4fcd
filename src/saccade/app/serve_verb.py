"""`saccade serve RUN [OTHER]`, `saccade serve FILE [OTHER]`: open runs or captures in a browser."""

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
from saccade.runs import catalogue

MOST = 200  # the most connections at a time
EVERYWHERE = ("0.0.0.0", "::", "")  # listens at all addresses of this machine


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "serve",
        "Open a run in a browser: type a text, or drop a recording or an image if the run accepts one, and see its\n"
        "answer and its pictures. A capture that `saccade explain --save` wrote can be opened too. Two runs or two\n"
        "captures are shown side by side, and both runs get the same input. Only this machine can connect, unless\n"
        "--host allows others. Ctrl-C stops the server.",
        "Examples:\n  saccade serve RUN\n  saccade serve RUN OTHER\n  saccade serve seen.safetensors --port 9000",
    )
    parser.add_argument("what", help="the folder of a run, or a file with a capture")
    parser.add_argument("other", nargs="?", help="a second run or capture, to compare with the first")
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
    for path in paths:
        if not path.exists():
            raise NotFound(f"{path}: there is no such run, and no such file")
    with together("view", *itertools.chain.from_iterable(catalogue.extras_of(path) for path in paths if path.is_dir())):
        return serve(paths, options.host, options.port)


def serve(paths: Sequence[Path], host: str, number: int) -> int:
    uvicorn: Any = require("uvicorn", "view")
    require("starlette", "view")

    from saccade.app.web.server import Viewer
    from saccade.app.web.shown import of

    shown = of(paths)
    listening = bound(host, number)
    number = listening.getsockname()[1]
    names = names_of(host)
    config = uvicorn.Config(
        Viewer(shown, names).app(), log_level="warning", lifespan="off", timeout_keep_alive=5, limit_concurrency=MOST,
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
