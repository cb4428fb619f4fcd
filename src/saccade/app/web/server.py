"""The server of `saccade serve`: one page, and the views of a text or a file that it sends.

By default it listens on this machine only. It answers only requests for this machine's own names and addresses, since
another site may point its name here (DNS rebinding), and never requests from pages of another origin. One input is
processed at a time; others wait, and are rejected if too many wait. A client that disconnects, or the timeout, cancels
the processing.
"""

import asyncio
import ipaddress
import json
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from saccade.app.web.calls import Stopped, stoppable
from saccade.app.web.shown import Shown, named
from saccade.core.errors import SaccadeError, nearest
from saccade.core.printable import printable
from saccade.explain.page import Reads, packed, page_of, policy

LONGEST, LONGEST_LINES = 2000, 20_000  # the most characters of a text, and of one of several lines
LARGEST = 1 << 17  # bytes of its request
FILE = 2_000_000  # the most bytes of a file: two minutes of sound at 8,000 samples per second
WAITING, PATIENCE = 16, 60.0  # the most waiting inputs, and the seconds that they wait
ARRIVING, READING = 20.0, 60.0  # seconds for a request to arrive, and for the model to process it


class Refused(Exception):
    """A rejected request, with the reason."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Viewer:
    """The application that the server runs.

    Args:
        shown: the title, the views, and the function that processes an input.
        names: the host names it accepts, in addition to the address that a request arrives at.
    """

    def __init__(self, shown: Shown, names: Collection[str]) -> None:
        self.shown, self.names = shown, names
        self.longest = LONGEST_LINES if shown.offer.lines else LONGEST
        self._page = page_of(
            shown.views, shown.title, shown.reads, FILE, self.longest, systems=shown.systems, offer=shown.offer
        )
        self._one, self._waiting = asyncio.Lock(), 0

    def app(self) -> ASGIApp:
        routes = [
            Route("/", self.index, methods=["GET"]),
            Route("/look", self.look, methods=["POST"]),
            Route("/hear", self.hear, methods=["POST"]),
        ]
        return guarded(Starlette(routes=routes, exception_handlers={Refused: refusal}), self.names)

    async def index(self, request: Request) -> Response:
        return HTMLResponse(self._page, headers=headers(self.shown.look is not None, self.shown.systems))

    async def look(self, request: Request) -> Response:
        return await self.answer(request, "text")

    async def hear(self, request: Request) -> Response:
        return await self.answer(request, "recording" if self.shown.reads in ("", "text") else self.shown.reads)

    async def answer(self, request: Request, kind: Reads) -> Response:
        check_origin(request)
        text = await text_of(request, self.shown.offer.again, self.longest) if kind == "text" else None
        chosen = {} if kind == "text" else chosen_of(request, self.shown.offer.choices)
        if self.shown.look is None or (self.shown.reads != kind and text != ""):
            raise Refused(404, f"this page reads {named(self.shown.reads)}, not {named(kind)}")
        if self._waiting >= WAITING:
            raise Refused(503, f"{WAITING} are waiting already; try again in a moment")
        self._waiting += 1
        try:
            # limits the files in memory
            given = await file_of(request, kind) if text is None else text
            async with asyncio.timeout(PATIENCE):
                await self._one.acquire()
        except TimeoutError:
            raise Refused(503, f"the model was busy for {PATIENCE:.0f} s; try again in a moment") from None
        finally:
            self._waiting -= 1
        try:
            return await self.read(request, given, chosen)
        finally:
            self._one.release()

    async def read(self, request: Request, given: str | bytes, chosen: Mapping[str, str]) -> Response:
        """The answer; None if the client has disconnected."""
        stop = threading.Event()
        reading = asyncio.create_task(asyncio.to_thread(self.shown_for, given, stop, chosen))
        while not reading.done():
            if await request.is_disconnected():
                stop.set()
            await asyncio.wait({reading}, timeout=0.2)
        try:
            return JSONResponse(reading.result(), headers=headers(True))
        except Stopped:
            if stop.is_set():
                return Response(status_code=204)
            raise Refused(503, f"reading it took longer than {READING:.0f} s; try a shorter one") from None
        except SaccadeError as error:
            raise Refused(400, str(error)) from None

    def shown_for(self, given: str | bytes, stop: threading.Event, chosen: Mapping[str, str]) -> dict[str, Any]:
        assert self.shown.look is not None
        with stoppable(stop, READING):
            views = self.shown.look(given) if self.shown.choose is None else self.shown.choose(given, chosen)
        asked = given.strip().splitlines()[-1:] if isinstance(given, str) else []  # of several lines, the question
        said = f": {asked[0]} -> {views[0].answer}" if asked and len(views) == 1 else ""
        return {"title": printable(f"{self.shown.title}{said}"), "views": [packed(view) for view in views]}


def guarded(inner: ASGIApp, names: Collection[str]) -> ASGIApp:
    """An application that answers only by these names, and by the address of this machine that a request arrives at."""

    async def of_this_machine(scope: Scope, receive: Receive, send: Send) -> None:
        allowed = [*names, *address_of(scope)]
        await TrustedHostMiddleware(inner, allowed, www_redirect=False)(scope, receive, send)

    return of_this_machine


def address_of(scope: Scope) -> list[str]:
    """The address of this machine that a request arrived at, as in a Host header; None if there is none.

    On a machine with several addresses each is accepted.
    """
    try:
        address = ipaddress.ip_address((scope.get("server") or ("",))[0])
    except ValueError:  # a Unix socket
        return []
    if address.version == 4:
        return [str(address)]
    return [str(address.ipv4_mapped)] if address.ipv4_mapped else [f"[{address}]"]


def check_origin(request: Request) -> None:
    """Raise if the request comes from a page of another origin.

    Browsers send Sec-Fetch-Site, which no page can set; over plain HTTP to another machine only Origin. A request with
    neither does not come from a page.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    own = origin is None or origin.partition("://")[2] == request.headers.get("host")
    if site not in (None, "same-origin", "none") or not own:
        raise Refused(403, "requests from pages of another origin are refused")


async def body_of(request: Request, largest: int, why: str) -> bytes:
    """The body of a request. If it is a little too long it is read and discarded, so that the sender gets the error."""
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(ARRIVING):
            async for part in request.stream():
                size += len(part)
                if size <= largest:
                    body += part
                if size > 4 * largest:
                    break
    except ClientDisconnect:
        raise Refused(400, "the request broke off") from None
    except TimeoutError:
        raise Refused(408, f"the request was not here after {ARRIVING:.0f} s") from None
    if size > largest:
        raise Refused(413, why)
    return bytes(body)


async def text_of(request: Request, none: bool, longest: int) -> str:
    """The text of a request, checked; it may be empty for a model that answers without an input."""
    body = await body_of(request, LARGEST, f"a request has at most {LARGEST} bytes")
    try:
        given: Any = json.loads(body)
        json.dumps(given, ensure_ascii=False).encode("utf-8")  # an unpaired surrogate is not text
    except (ValueError, RecursionError):
        raise Refused(400, 'expected JSON such as {"text": "..."}') from None
    text = given.get("text") if isinstance(given, dict) else None
    if text == "" and none:
        return ""
    if not isinstance(text, str) or not text.strip():
        raise Refused(400, "there is nothing to read: the text is empty")
    if len(text) > longest:
        raise Refused(413, f"a text has at most {longest:,} characters, not {len(text):,}")
    return text


def chosen_of(request: Request, choices: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The value of each choice in the address of a request, by default its first."""
    found = {name: request.query_params.get(name, values[0]) for name, values in choices.items()}
    for name, value in found.items():
        if value not in choices[name]:
            raise Refused(400, f"there is no {name} {value!r}; {nearest(value, choices[name])}")
    return found


async def file_of(request: Request, kind: Reads) -> bytes:
    """The bytes of a file, with their number checked."""
    body = await body_of(request, FILE, f"{named(kind)} has at most {FILE / 1e6:.0f} MB")
    if not body:
        raise Refused(400, f"there is nothing to read: the {kind} is empty")
    return body


async def refusal(_: Request, why: Exception) -> Response:
    assert isinstance(why, Refused)
    return JSONResponse({"error": str(why)}, why.status, headers=headers(False))


def headers(live: bool, systems: Sequence[str] = ()) -> dict[str, str]:
    return {
        "Content-Security-Policy": f"{policy(live, systems)}; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin",
    }  # fmt: skip
