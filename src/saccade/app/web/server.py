"""The server of `saccade serve`: one page, and the looks at a text that is typed in it.

It listens on this machine alone unless told otherwise, and answers only those who asked for it by its own name: a page
of another origin, or a name that somebody else's server answers for, is refused. One text is read at a time; others
wait, and when too many do they are sent away.
"""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from saccade.core.errors import SaccadeError
from saccade.explain.page import Layers, packed, page, policy

LONGEST, LARGEST = 2000, 1 << 16  # characters of a text, bytes of a request
WAITING, PATIENCE = 16, 60.0  # texts that wait at most, and seconds

Look = Callable[[str], tuple[str, Layers]]


class Refused(Exception):
    """A request that is not answered, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Viewer:
    """What is served.

    Args:
        title: what the page is of.
        layers: what it shows at first; see `saccade.explain.page`.
        look: reads a text: its title and layers; none: nothing can be typed.
        hosts: the names, with the port, by which it may be asked for.
    """

    def __init__(self, title: str, layers: Layers, look: Look | None, hosts: set[str]) -> None:
        self.look, self.hosts, self.live = look, hosts, look is not None
        self._page = page(layers, title, self.live)
        self._one, self._waiting = asyncio.Lock(), 0

    def app(self) -> Starlette:
        routes = [Route("/", self.index, methods=["GET"]), Route("/look", self.answer, methods=["POST"])]
        return Starlette(routes=routes, exception_handlers={Refused: refusal})

    async def index(self, request: Request) -> Response:
        self.check(request)
        return HTMLResponse(self._page, headers=headers(self.live))

    async def answer(self, request: Request) -> Response:
        self.check(request)
        if self.look is None:
            raise Refused(404, "a capture is served, which reads nothing")
        text = await self.text(request)
        if self._waiting >= WAITING:
            raise Refused(503, f"{WAITING} texts are waiting already; try again in a moment")
        self._waiting += 1
        try:
            async with asyncio.timeout(PATIENCE):
                await self._one.acquire()
        except TimeoutError:
            raise Refused(503, f"the model was busy for {PATIENCE:.0f} s; try again in a moment") from None
        finally:
            self._waiting -= 1
        try:
            if await request.is_disconnected():  # whoever asked has typed on
                return Response(status_code=204)
            title, layers = await asyncio.to_thread(self.look, text)
            found = await asyncio.to_thread(partial(packed, layers))
        except SaccadeError as error:
            raise Refused(400, str(error)) from None
        finally:
            self._one.release()
        return JSONResponse({"title": title, "layers": found}, headers=headers(self.live))

    def check(self, request: Request) -> None:
        """Raise where another server's name, or a page of another origin, is behind the request."""
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if host not in self.hosts:
            raise Refused(403, "this server is asked for by another name")
        if origin is not None and origin.partition("://")[2] not in self.hosts:
            raise Refused(403, "a page of another origin may not ask")

    async def text(self, request: Request) -> str:
        """The text of a request, checked."""
        body = b""
        try:
            async for part in request.stream():
                body += part
                if len(body) > LARGEST:
                    raise Refused(413, f"a request has at most {LARGEST} bytes")
            given: Any = json.loads(body)
        except ClientDisconnect:
            raise Refused(400, "the request broke off") from None
        except (ValueError, RecursionError):
            raise Refused(400, 'expected JSON such as {"text": "..."}') from None
        text = given.get("text") if isinstance(given, dict) else None
        if not isinstance(text, str) or not text.strip():
            raise Refused(400, "there is nothing to read: the text is empty")
        if len(text) > LONGEST:
            raise Refused(413, f"a text has at most {LONGEST:,} characters, not {len(text):,}")
        return text


async def refusal(_: Request, why: Exception) -> Response:
    assert isinstance(why, Refused)
    return JSONResponse({"error": str(why)}, why.status, headers=headers(False))


def headers(live: bool) -> dict[str, str]:
    return {
        "Content-Security-Policy": f"{policy(live)}; frame-ancestors 'none'", "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin",
    }  # fmt: skip
