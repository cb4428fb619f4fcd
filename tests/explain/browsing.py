"""A page in a real browser."""

from pathlib import Path
from typing import Any

from tests.conftest import LONGEST


class Opened:
    """A page, its errors, and its requests."""

    def __init__(self, browser: Any, path: Path, link: str = "", **options: Any) -> None:
        self.page = browser.new_page(**options)
        self.page.set_default_timeout(LONGEST)
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri() + link)

    def said(self, view: int = 0) -> str:
        return str(self.page.locator(".said").nth(view).text_content())

    def tokens(self, side: str, view: int = 0) -> Any:
        return self.page.locator(".view").nth(view).locator(f".{side} button")

    def drawn(self, canvas: str = ".arcs") -> int:
        """The number of painted pixels of a canvas."""
        count: int = self.page.evaluate(
            """name => {
                const canvas = document.querySelector(name);
                const image = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                return image.data.filter((x, i) => i % 4 == 3 && x).length;
            }""",
            canvas,
        )
        return count

    def got(self, button: str) -> Path:
        """The download offered when a button is pressed."""
        with self.page.expect_download() as download:
            self.page.click(button)
        return Path(download.value.path())

    def link(self, end: str) -> str:
        """Wait until the address ends with this text, since it is updated with a delay."""
        self.page.wait_for_function("end => location.href.endsWith(end)", arg=end)
        return str(self.page.url)
