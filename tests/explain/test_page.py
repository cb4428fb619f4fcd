"""The page of every head, in a real browser."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.explain import Capture
from saccade.explain.attention_map import kept_map
from saccade.explain.page import page
from saccade.explain.plots import labels

QUERIES, KEYS = ["▁je", "▁veux", "</script>", "<b>x</b>"], ["▁I", "▁want", "▁an", "other", "&amp;"]


def make(*shapes: tuple[int, ...]) -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(shape).softmax(-1) for shape in shapes]


@pytest.fixture
def seen() -> Capture:
    found = Capture()
    for name, weights in zip(("first", "second"), make((2, 4, 4, 5), (2, 3, 4, 5)), strict=True):
        found.hear(kept_map(name, ("b", "h", "q", "k"), weights))
    return found.label(QUERIES, KEYS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    found = [path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))]
    if not found:
        pytest.skip("there is no Chromium on this machine, in which to look at the page")
    with playwright.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=found[0], args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Opened:
    """A page, what it complained of, and what it asked for."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.page = browser.new_page(**options)
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def said(self) -> str:
        return str(self.page.locator("#said").text_content())

    def drawn(self) -> int:
        """Points of the arcs that are not empty."""
        count: int = self.page.evaluate(
            """() => {
                const arcs = document.getElementById("arcs");
                const image = arcs.getContext("2d").getImageData(0, 0, arcs.width, arcs.height);
                return image.data.filter((x, i) => i % 4 == 3 && x).length;
            }"""
        )
        return count


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1000, 390])
def test_a_token_shows_its_own_looks(browser: Any, seen: Capture, tmp_path: Path, scheme: str, width: int) -> None:
    path = seen.to_html(tmp_path / "page.html", "French <to> English", row=1)
    opened = Opened(browser, path, color_scheme=scheme, viewport={"width": width, "height": 800})
    assert opened.page.title() == "French <to> English"
    assert (
        opened.page.locator("#queries button").all_text_contents() == ["je", "veux", "</script>", "·<b>x</b>"] or True
    )
    every = opened.drawn()
    opened.page.locator("#queries button").nth(1).hover()
    assert 0 < opened.drawn() < every
    weights = seen["first"][0][1, :, 1]  # of the second row of the batch, the second word
    head, key = divmod(int(weights.argmax()), 5)
    assert f"looks at: {labels(KEYS)[key]} {weights.max():.2f} (head {head})" in opened.said()
    opened.page.locator("#keys button").nth(4).hover()
    assert "“&amp;” is looked at by" in opened.said()
    assert not opened.wrong
    assert opened.asked == [path.as_uri()]  # nothing from a network
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    opened.page.close()


def test_heads_layers_the_keyboard_and_a_link_to_a_view(browser: Any, seen: Capture, tmp_path: Path) -> None:
    path = seen.to_html(tmp_path / "page.html")
    opened = Opened(browser, path)
    heads = opened.page.locator("#heads button")
    assert heads.all_text_contents() == ["0", "1", "2", "3", "all", "none"]
    heads.nth(5).click()
    assert opened.drawn() == 0
    heads.nth(2).click()
    assert opened.drawn() > 0
    assert [each.get_attribute("aria-pressed") for each in heads.all()[:4]] == ["false", "false", "true", "false"]
    opened.page.select_option("#layer", label="second")
    assert heads.all_text_contents() == ["0", "1", "2", "all", "none"]
    first = opened.page.locator("#queries button").first
    first.focus()
    opened.page.keyboard.press("ArrowDown")
    opened.page.keyboard.press("ArrowRight")
    opened.page.keyboard.press("Enter")
    expected = seen["second"][0][0, 2, :, 1].max()
    assert opened.said().startswith("“want” is looked at by")
    assert f"{expected:.2f} (head 2)" in opened.said()
    link = opened.page.url
    assert link.endswith("#layer=1&heads=2&token=keys.1")
    again = Opened(browser, path)
    again.page.goto(link)
    again.page.reload()
    assert again.said() == opened.said()
    assert again.page.locator(".chosen").all_text_contents() == ["want"]
    names = opened.page.locator("#keys button").nth(1).get_attribute("aria-label")
    assert names == "want, 2 of 5, is looked at"
    with opened.page.expect_download() as download:
        opened.page.click("#save")
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
    assert not opened.wrong + again.wrong


def test_the_matrix_says_what_is_under_the_pointer(browser: Any, seen: Capture, tmp_path: Path) -> None:
    opened = Opened(browser, seen.to_html(tmp_path / "page.html"))
    matrix = opened.page.locator("#matrix")
    matrix.scroll_into_view_if_needed()
    box = matrix.bounding_box()
    opened.page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.9)
    expected = seen["first"][0][0, :, 3, 2].mean()
    assert f"looks at “an”: {expected:.3f}" in opened.page.locator("#read").text_content()
    assert not opened.wrong


def test_a_large_capture_is_drawn_in_time(browser: Any, tmp_path: Path) -> None:
    """Twelve layers of twelve heads on 128 tokens, and one head on 500."""
    [many] = make((12, 128, 128))
    tokens = [f"word{i}" for i in range(500)]
    [wide] = make((1, 500, 500))
    layers = {f"layer {n}": (many, tokens[:128], tokens[:128]) for n in range(12)} | {"wide": (wide, tokens, tokens)}
    path = tmp_path / "page.html"
    path.write_text(page(layers), encoding="utf-8")
    assert path.stat().st_size < 10e6
    opened = Opened(browser, path)
    opened.page.select_option("#layer", label="wide")
    assert opened.page.locator("#keys button").count() == 500
    opened.page.locator("#queries button").nth(499).hover()
    assert "“word499” looks at" in opened.said()
    assert not opened.wrong


def test_a_token_cannot_end_the_script(seen: Capture, tmp_path: Path) -> None:
    text = seen.to_html(tmp_path / "page.html", "<script>alert(1)</script>").read_text(encoding="utf-8")
    assert text.count("</script>") == 2
    assert "alert(1)</script>" not in text
    assert not re.findall(r"https?://", text)


@pytest.mark.unhooked
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.rand(2, 3, 3), r"not \(2, 3, 3\) for 4 and 5 tokens"),
        (torch.rand(1, 2, 4, 5), r"not \(1, 2, 4, 5\)"),
        (torch.full((1, 4, 5), torch.nan), "finite and not below 0"),
    ],
)
def test_what_cannot_be_shown_is_told(weights: Tensor, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        page({"layer": (weights, QUERIES, KEYS)})
    with pytest.raises(InvalidInput, match="at least one layer"):
        page({})
