"""`saccade serve RUN [OTHER]`, `saccade serve FILE [OTHER]`: look at runs, or at captures, in a browser."""

import argparse
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from saccade.app.arguments import Parser
from saccade.core.errors import InvalidInput, NotFound, require

MOST = 200  # connections at a time


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "serve",
        "Look at a run in a browser: type a text, or drop a recording where it is of speech, and see what it answers\n"
        "and where every head looks. Or at a capture that `saccade explain --save` kept. Two are shown side by side;\n"
        "one text goes to both runs. It is seen from this machine alone, and ends with Ctrl-C.",
        "Examples:\n  saccade serve RUN\n  saccade serve RUN OTHER\n  saccade serve seen.safetensors --port 9000",
    )
    parser.add_argument("what", help="the folder of a run, or a file with a capture")
    parser.add_argument("other", nargs="?", help="another of the same kind, to compare with")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; others than 127.0.0.1 let others in")
    parser.add_argument("--port", type=port, default=8123, help="0: any that is free (default: 8123)")
    options = parser.parse_args(arguments)
    paths = [Path(what) for what in (options.what, options.other) if what is not None]
    for path in paths:
        if not path.exists():
            raise NotFound(f"{path}: there is no such run, and no such file")
    uvicorn: Any = require("uvicorn", "view")
    require("starlette", "view")

    from saccade.app.web.server import Viewer
    from saccade.app.web.shown import of

    shown = of(paths)
    listening = bound(options.host, options.port)
    number = listening.getsockname()[1]
    host = f"[{options.host}]" if ":" in options.host else options.host
    viewer = Viewer(shown, {f"{name}:{number}" for name in {host, "127.0.0.1", "localhost"}})
    config = uvicorn.Config(
        viewer.app(), log_level="warning", lifespan="off", timeout_keep_alive=5, limit_concurrency=MOST
    )
    print(f"open http://{host}:{number}   (Ctrl-C ends it)", flush=True)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])
    return 0


def port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, not {text!r}")
    return int(text)


def bound(host: str, number: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        InvalidInput: another program does already, or there is no such place.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, number))
        listening.listen(MOST)
    except OSError as error:
        listening.close()
        raise InvalidInput(
            f"cannot listen at {host}:{number}: {error.strerror}; --port 0 takes any that is free"
        ) from None
    return listening
