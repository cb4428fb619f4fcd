"""The page of `saccade serve` without a run: a card for each run, and the viewer of each behind it."""

import asyncio
import html
import re
import urllib.parse
from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from saccade.app.web.server import Refused, Viewer, guarded, headers, refusal
from saccade.app.web.shown import of
from saccade.core.errors import SaccadeError
from saccade.explain.page import digest, text_of
from saccade.explain.plots.canvas import encoded
from saccade.runs import results
from saccade.runs.places import DEMO, has_demo, place
from saccade.runs.run import run_folder

OPEN = 3  # the most runs in memory
SHOWN = ("alignment", "heads", "sound", "strokes", "")  # the kinds of pictures that stand for a run, best first


class Card(NamedTuple):
    """One run of the gallery."""

    path: Path
    title: str
    about: str
    picture: Path | None


def cards(folder: Path) -> dict[str, Card]:
    """The finished runs of a folder by name, newest first, after the demo if there is one."""
    paths = sorted(
        (path for path in folder.glob("*") if path.is_dir()), key=lambda path: path.stat().st_mtime, reverse=True
    )
    named = {DEMO: place(DEMO)} if has_demo() else {}
    return {
        name: card for name, path in {**named, **{path.name: path for path in paths}}.items() if (card := card_of(path))
    }


def card_of(path: Path) -> Card | None:
    """The card of a run; None for a folder that is not a finished run."""
    run = run_folder(path)
    if not run.is_run() or not (run.weights.is_file() or run.evidence.is_file()):
        return None
    head = run.head()
    return Card(
        path, f"{head['system']} {head['variant']}", results.about(run, head["system"]), picture_of(run.pictures)
    )


def picture_of(folder: Path) -> Path | None:
    """A picture that shows an answer, among those of a run: the answers to examples are numbered, scores are not."""
    there = sorted(folder.glob("*.png"))
    answers = [path for path in there if re.search(r"-\d$", path.stem) and "-predict-" not in path.stem]
    return next((path for kind in SHOWN for path in answers or there if path.name.startswith(kind)), None)


class Gallery:
    """The application: the cards at /, the viewer of a run at /runs/NAME/."""

    def __init__(self, folder: Path, names: Collection[str]) -> None:
        self.folder, self.names = folder, names
        self.viewers: dict[str, Viewer] = {}
        self.drawn: dict[str, bytes] = {}
        self._opening = asyncio.Lock()

    def app(self) -> ASGIApp:
        routes = [
            Route("/", self.index, methods=["GET"]),
            Route("/runs/{name}/", self.page, methods=["GET"]),
            Route("/runs/{name}", self.beside, methods=["GET"]),
            Route("/runs/{name}/picture.png", self.picture, methods=["GET"]),
            Route("/runs/{name}/look", self.look, methods=["POST"]),
            Route("/runs/{name}/hear", self.hear, methods=["POST"]),
        ]
        return guarded(Starlette(routes=routes, exception_handlers={Refused: refusal}), self.names)

    async def index(self, request: Request) -> Response:
        return HTMLResponse(page_of(self.folder, cards(self.folder)), headers=policy())

    async def beside(self, request: Request) -> Response:
        return RedirectResponse(f"{urllib.parse.quote(request.path_params['name'])}/")

    async def picture(self, request: Request) -> Response:
        name, card = request.path_params["name"], self.card(request)
        if card.picture is not None:
            return FileResponse(card.picture, headers=policy())
        if name != DEMO:
            raise Refused(404, "this run has no picture")
        if name not in self.drawn:  # that of the package has no files of pictures
            found = [one for view in (await self.viewer(request)).shown.views for one in view.pictures]
            if not found:
                raise Refused(404, "this run has no picture")
            self.drawn[name] = await asyncio.to_thread(lambda: encoded(found[0].figure(), "png"))
        return Response(self.drawn[name], media_type="image/png", headers=policy())

    async def page(self, request: Request) -> Response:
        try:
            return await (await self.viewer(request)).index(request)
        except Refused as why:  # as a person reads it
            return PlainTextResponse(f"{why}\n", why.status, headers=policy())

    async def look(self, request: Request) -> Response:
        return await (await self.viewer(request)).look(request)

    async def hear(self, request: Request) -> Response:
        return await (await self.viewer(request)).hear(request)

    def card(self, request: Request) -> Card:
        """The run that a request names, which must be one of the gallery."""
        found = cards(self.folder).get(request.path_params["name"])
        if found is None:
            raise Refused(404, "there is no such run in this gallery")
        return found

    async def viewer(self, request: Request) -> Viewer:
        """The viewer of a run, opened when it is first asked for; the one opened longest ago is let go."""
        name, card = request.path_params["name"], self.card(request)
        async with self._opening:
            if name not in self.viewers:
                try:
                    shown = await asyncio.to_thread(of, [card.path])
                except SaccadeError as error:
                    raise Refused(400, str(error)) from None
                while len(self.viewers) >= OPEN:
                    self.viewers.pop(next(iter(self.viewers)))
                self.viewers[name] = Viewer(shown, self.names)
            return self.viewers[name]


def page_of(folder: Path, runs: Mapping[str, Card]) -> str:
    """The gallery as a page without scripts."""
    text = files("saccade.app.web").joinpath("gallery.html").read_text(encoding="utf-8")
    place = html.escape(f"./{folder}" if not folder.is_absolute() else folder.name)
    filled = {
        "style": style(),
        "count": counted(place, len(runs) - (DEMO in runs), DEMO in runs),
        "runs": "\n".join(item(name, card) for name, card in runs.items()),
    }
    for name, value in filled.items():
        text = text.replace("{{" + name + "}}", value)
    return text


def counted(place: str, runs: int, demo: bool) -> str:
    """What the gallery holds, in words."""
    found = f"{runs or 'No'} {'run' if runs == 1 else 'runs'} in {place}"
    return f"{found}, and a small one that comes with the package" if demo else found


def item(name: str, card: Card) -> str:
    link = f"runs/{urllib.parse.quote(name)}/"
    image = f'<img src="{link}picture.png" alt="">' if card.picture or name == DEMO else "no picture"
    title, said, place = map(html.escape, (card.title, card.about, name))
    words = f"<strong>{title}</strong><span>{said}</span><span>{place}</span>"
    return f'<li><a href="{link}"><span class="picture">{image}</span><span class="words">{words}</span></a></li>'


def style() -> str:
    return text_of("style.css") + files("saccade.app.web").joinpath("gallery.css").read_text(encoding="utf-8")


def policy() -> dict[str, str]:
    """Headers of the gallery: its own style and pictures, and no script."""
    sources: Sequence[str] = (
        "default-src 'none'",
        f"style-src {digest(style())}",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    found: dict[str, Any] = {**headers(False), "Content-Security-Policy": "; ".join(sources)}
    return found
