"""The page of all heads, in a real browser."""

import html
import itertools
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.explain import Capture
from saccade.explain.attention_map import kept_map
from saccade.explain.page import VENDORED, View, framed, page, page_of, policy, text_of
from saccade.explain.pictures.heads import Axes, Heads
from saccade.explain.pictures.strokes import Strokes
from saccade.explain.plots import join, labels, words
from tests.explain.browsing import Opened

QUERIES, KEYS = ["▁je", "▁veux", "</script>", "<b>x</b>"], ["▁I", "▁want", "▁an", "other", "&amp;"]


def joined(weights: Tensor) -> Tensor:
    """Weights over the pieces of QUERIES and KEYS as weights over their words."""
    (_, rows), (_, columns) = words(QUERIES), words(KEYS)
    return torch.from_numpy(join(weights, rows, columns))


def make(*shapes: tuple[int, ...]) -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(shape).softmax(-1) for shape in shapes]


@pytest.fixture
def seen() -> Capture:
    found = Capture()
    for name, weights in zip(("first", "second"), make((2, 4, 4, 5), (2, 3, 4, 5)), strict=True):
        found.hear(kept_map(name, ("b", "h", "q", "k"), weights))
    return found.label(QUERIES, KEYS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1000, 390])
def test_a_token_shows_its_attention(browser: Any, seen: Capture, tmp_path: Path, scheme: str, width: int) -> None:
    path = seen.to_html(tmp_path / "page.html", "French <to> English", row=1)
    opened = Opened(browser, path, "#layer=0&pieces=1", color_scheme=scheme, viewport={"width": width, "height": 800})
    assert opened.page.title() == "French <to> English"
    assert opened.tokens("queries").all_text_contents() == labels(QUERIES)
    every = opened.drawn()
    opened.tokens("queries").nth(1).hover()
    assert 0 < opened.drawn() < every
    weights = seen["first"][0][1, :, 1]  # the second word of the second row of the batch
    head, key = divmod(int(weights.argmax()), 5)
    assert f"attends to: {labels(KEYS)[key]} {weights.max():.2f} (head {head})" in opened.said()
    tinted = [button.evaluate("one => one.style.getPropertyValue('--seen')") for button in opened.tokens("keys").all()]
    mean = weights.mean(0)  # the tint, and the number beside the word, are of the mean of the selected heads
    assert [float(share) for share in tinted] == pytest.approx((mean / mean.max()).tolist(), abs=2e-3)
    numbers = [button.get_attribute("data-weight") for button in opened.tokens("keys").all()]
    assert numbers == [f"{weight:.2f}" if weight >= 0.2 * mean.max() else None for weight in mean.tolist()]
    opened.tokens("keys").nth(4).hover()
    assert "“&amp;” is attended to by" in opened.said()
    assert not opened.wrong
    assert opened.asked == [path.as_uri()]  # no requests to a network
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    opened.page.close()


def test_heads_layers_the_keyboard_and_a_link_to_a_view(browser: Any, seen: Capture, tmp_path: Path) -> None:
    path = seen.to_html(tmp_path / "page.html")
    opened = Opened(browser, path, "#layer=0&pieces=1")
    heads = opened.page.locator(".heads button")
    assert heads.all_text_contents() == ["0", "1", "2", "3", "all"]
    heads.nth(2).dblclick()
    assert opened.drawn() > 0
    heads.nth(2).click()  # the last one stays
    assert [each.get_attribute("aria-pressed") for each in heads.all()[:4]] == ["false", "false", "true", "false"]
    opened.page.select_option(".layer", label="second")
    assert heads.all_text_contents() == ["0", "1", "2", "all"]
    opened.tokens("queries").first.focus()
    opened.page.keyboard.press("ArrowDown")
    opened.page.keyboard.press("ArrowRight")
    opened.page.keyboard.press("Enter")
    expected = seen["second"][0][0, 2, :, 1].max()
    assert opened.said().startswith("“want” is attended to by")
    assert f"{expected:.2f}" in opened.said()
    link = opened.link("#layer=1&heads=2&pieces=1&token=keys.1")
    again = Opened(browser, path)
    # an open page updates its address before it gets the new one
    again.page.evaluate(
        "link => { location.hash = link; history.replaceState(null, '', '#layer=0'); }",
        link.partition("#")[2],
    )
    again.page.wait_for_selector(".chosen")
    again.link("#layer=1&heads=2&pieces=1&token=keys.1")
    assert again.said() == opened.said()
    again.page.reload()
    assert again.said() == opened.said()
    assert again.page.locator(".chosen").all_text_contents() == ["want"]
    assert opened.tokens("keys").nth(1).get_attribute("aria-label") == "want, 2 of 5, key"
    # one tab stop per list, and Escape deselects
    assert [button.get_attribute("tabindex") for button in opened.tokens("keys").all()] == ["-1", "0", "-1", "-1", "-1"]
    opened.page.keyboard.press("Escape")
    assert opened.page.locator(".chosen").count() == 0
    assert not opened.wrong + again.wrong


@pytest.mark.parametrize(
    "link", ["layer=-1&heads=-1.9.x&token=keys.-1", "layer=x&heads=&token=queries.99", "show=z&=&%"]
)
def test_a_link_to_a_missing_view_still_opens_the_page(browser: Any, seen: Capture, tmp_path: Path, link: str) -> None:
    opened = Opened(browser, seen.to_html(tmp_path / "page.html"), f"#{link}")
    assert opened.tokens("queries").count() == 4
    assert opened.drawn() > 0
    assert opened.page.locator(".chosen").count() == 0
    assert not opened.wrong


def test_the_layer_of_attention_from_answer_to_input_comes_first(browser: Any, tmp_path: Path) -> None:
    own, across = make((2, 3, 3), (2, 3, 4))
    layers = {"own": (own, "abc", "abc"), "across": (across, "abc", "wxyz"), "own again": (own, "abc", "abc")}
    path = tmp_path / "page.html"
    path.write_text(page(layers), encoding="utf-8")
    opened = Opened(browser, path)
    assert opened.page.locator(".layer").input_value() == "1"


def test_the_matrix_describes_the_cell_under_the_pointer(browser: Any, seen: Capture, tmp_path: Path) -> None:
    opened = Opened(browser, seen.to_html(tmp_path / "page.html"), "#layer=0&pieces=1")
    matrix = opened.page.locator(".matrix")
    matrix.scroll_into_view_if_needed()
    box = matrix.bounding_box()
    opened.page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.9)
    expected = seen["first"][0][0, :, 3, 2].mean()
    assert f"attends to “an”: {expected:.3f}, mean of 4 heads" in opened.page.locator(".read").text_content()
    assert opened.page.locator(".across text").all_text_contents() == labels(KEYS)
    assert opened.page.locator(".down text").all_text_contents() == labels(QUERIES)
    assert opened.page.locator(".corner text").all_text_contents() == ["key →", "query ↓"]
    largest = seen["first"][0][0].mean(0).max()
    assert opened.page.locator(".key-scale text").all_text_contents() == ["0", f"{largest:.2f}  attention weight"]
    opened.page.mouse.move(0, 0)
    matrix.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        opened.page.keyboard.press(key)
    expected = seen["first"][0][0, :, 1, 1].mean()
    assert f"“veux” attends to “want”: {expected:.3f}" in opened.page.locator(".read").text_content()
    opened.page.keyboard.press("Enter")
    assert opened.page.locator(".chosen").all_text_contents() == ["veux"]
    assert not opened.wrong


def test_steps_are_shown_in_order(browser: Any, seen: Capture, tmp_path: Path) -> None:
    path = seen.to_html(tmp_path / "page.html")
    opened = Opened(browser, path, "#pieces=1")
    slider, place = opened.page.locator(".step"), opened.page.locator(".place")
    assert place.text_content() == "0 of 4"
    slider.focus()
    opened.page.keyboard.press("ArrowRight")
    assert place.text_content() == "2 of 4"
    assert opened.said().startswith("“veux” attends to")
    assert opened.page.locator(".queries .later").all_text_contents() == labels(QUERIES)[2:]  # not written yet
    assert slider.get_attribute("aria-valuetext") == "2 of 4, veux"
    opened.page.click(".play")
    assert opened.page.locator(".play").text_content() == "pause"
    opened.page.wait_for_function("() => document.querySelector('.place').textContent == '4 of 4'")
    opened.page.wait_for_function("() => document.querySelector('.play').textContent == 'play'")
    still = Opened(browser, path, "#pieces=1", reduced_motion="reduce")
    assert still.page.locator(".play").text_content() == "next"
    for step in ("1 of 4", "2 of 4"):
        still.page.click(".play")
        assert still.page.locator(".place").text_content() == step
    still.page.wait_for_timeout(800)
    assert still.page.locator(".place").text_content() == "2 of 4"  # nothing moves without input
    assert not opened.wrong + still.wrong


def test_all_heads_of_all_layers_in_an_overview(browser: Any, seen: Capture, tmp_path: Path) -> None:
    opened = Opened(browser, seen.to_html(tmp_path / "page.html"))
    opened.page.wait_for_selector(".every[data-painted='2']")
    assert opened.drawn(".grid") > 0
    grid = opened.page.locator(".grid")
    box = grid.bounding_box()
    opened.page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.2)
    assert opened.page.locator(".under").text_content() == "first, head 2"
    grid.click(position={"x": box["width"] * 0.6, "y": box["height"] * 0.2})
    assert opened.link("#layer=0&heads=2")
    opened.page.mouse.move(0, 0)
    grid.focus()
    for key in ("ArrowDown", "ArrowLeft", "Enter"):
        opened.page.keyboard.press(key)
    assert opened.link("#layer=1&heads=1")
    assert "Selected: second, head 1" in grid.get_attribute("aria-label")
    grid.click(position={"x": box["width"] * 0.9, "y": box["height"] * 0.8})  # the second layer has three heads
    assert opened.link("#layer=1&heads=1")
    assert not opened.wrong


def test_two_captures_are_shown_side_by_side(browser: Any, seen: Capture, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    views = [View(name, pictures=[Heads("heads", seen.layers(row))]) for row, name in enumerate(("A: one", "B: two"))]
    path.write_text(page_of(views, "both"), encoding="utf-8")
    opened = Opened(browser, path, viewport={"width": 1200, "height": 800})
    assert opened.page.locator(".name").all_text_contents() == ["A: one", "B: two"]
    left, right = (each.bounding_box() for each in opened.page.locator(".view").all())
    assert left["x"] + left["width"] <= right["x"]
    for view in (0, 1):
        opened.page.locator("[aria-label='all heads']").nth(view).click()
    opened.tokens("queries", 1).nth(1).hover()  # the same word, so the other shows it too
    for view in (0, 1):
        layer = int(opened.page.locator(".layer").nth(view).input_value())
        weights = joined(seen[("first", "second")[layer]][0][view])[:, 1]
        assert f"{weights.max():.2f} (head {int(weights.amax(1).argmax())})" in opened.said(view)
    opened.page.locator(".least").first.focus()
    opened.page.keyboard.press("ArrowRight")  # links hidden in one are hidden in both
    assert opened.page.locator("output.hidden").all_text_contents() == ["25 % of the strongest"] * 2
    opened.tokens("keys", 0).nth(2).click()
    assert opened.page.locator(".chosen").all_text_contents() == ["another&amp;"] * 2
    opened.tokens("keys", 1).nth(2).click()
    opened.page.mouse.move(0, 0)
    assert opened.page.locator(".chosen").count() == 0
    opened.page.set_viewport_size({"width": 390, "height": 800})
    opened.page.wait_for_function("innerWidth == 390 && document.documentElement.scrollWidth <= innerWidth")
    upper, lower = (each.bounding_box() for each in opened.page.locator(".view").all())
    assert upper["y"] + upper["height"] <= lower["y"]
    opened.page.click("[data-show=b]")
    opened.page.locator(".view").nth(1).locator(".layer").select_option("1")
    opened.page.locator(".view").nth(1).locator("[aria-label='all heads']").click()
    opened.page.locator(".view").nth(1).locator("[aria-label='head 0']").click()
    link = opened.link("&b.layer=1&b.heads=1.2&show=b")
    again = Opened(browser, path)
    again.page.goto(link)
    again.page.wait_for_selector("[data-show=b][aria-pressed=true]")
    again.page.reload()
    assert [each.is_visible() for each in again.page.locator(".view").all()] == [False, True]
    assert again.page.locator("[data-show=b]").get_attribute("aria-pressed") == "true"
    again.page.goto(f"{path.as_uri()}#layer=0&b.layer=1&b.token=keys.2")  # a link contains the view of each
    again.page.wait_for_selector(".chosen")
    again.page.set_viewport_size({"width": 900, "height": 800})  # and so does the redrawn view
    again.link("&b.token=keys.2&show=both")
    assert [view.locator(".chosen").count() for view in again.page.locator(".view").all()] == [0, 1]
    assert not opened.wrong + again.wrong


def test_pictures_are_saved(browser: Any, seen: Capture, tmp_path: Path) -> None:
    opened = Opened(
        browser, seen.to_html(tmp_path / "page.html", "a <title>"), "#layer=0&heads=1&pieces=1&token=queries.1"
    )
    assert opened.got("#png").read_bytes().startswith(b"\x89PNG")
    tree = ET.fromstring(opened.got("#svg").read_text(encoding="utf-8"))  # well-formed XML, so every token is escaped
    texts = [each.text for each in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert set(labels(QUERIES)) | set(labels(KEYS)) <= set(texts)
    weights = seen["first"][0][0, 1, 1]
    links = [each for each in tree.iter("{http://www.w3.org/2000/svg}path") if each.get("stroke-opacity")]
    shown = int((weights >= 0.2 * weights.max()).sum())
    widths = [
        float(each.get("stroke-width"))
        for each in links
        if each.get("stroke-width") and each.get("stroke", "") == "#719b1b"
    ]
    assert len(widths) == shown
    assert max(widths) == 6  # the strongest, whatever its weight
    assert {"head 1", f"widest line: weight {weights.max():.2f}", f"{weights.max():.2f}"} <= set(texts)
    assert any(text and text.startswith("“veux” attends to: ") for text in texts)
    assert not opened.wrong


def test_an_exported_page_works_from_disk(browser: Any, seen: Capture, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    view = View("", "an <b>answer</b>", "a note", [Heads("heads", seen.layers())])
    path.write_text(page_of([view], "live", "text"), encoding="utf-8")
    opened = Opened(browser, path, "#layer=0&heads=3&pieces=1&token=keys.2")
    assert opened.page.locator("#ask").is_visible()
    kept = tmp_path / "kept.html"
    kept.write_bytes(opened.got("#html").read_bytes())
    text = kept.read_text(encoding="utf-8")
    assert html.escape(policy(False), quote=False) in text
    assert policy(True) not in text
    again = Opened(browser, kept)
    assert not again.page.locator("#ask").is_visible()  # there is no server
    assert again.page.locator(".answer").text_content() == "an <b>answer</b>"
    assert again.page.locator(".chosen").all_text_contents() == ["an"]
    assert again.said() == opened.said()
    assert again.drawn() == opened.drawn() > 0
    once_more = tmp_path / "again.html"
    once_more.write_bytes(again.got("#html").read_bytes())
    assert once_more.stat().st_size == pytest.approx(kept.stat().st_size, abs=200)  # it does not grow
    assert again.asked[0] == kept.as_uri()
    assert {url.split(":")[0] for url in again.asked[1:]} <= {"blob"}
    assert not opened.wrong + again.wrong


def test_a_notebook_shows_a_capture(browser: Any, seen: Capture, tmp_path: Path) -> None:
    shown = seen._repr_html_()
    assert 'sandbox="allow-scripts allow-downloads"' in shown
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><meta charset=utf-8><p>cell</p>{shown}", encoding="utf-8")
    opened = Opened(browser, path)
    frame = opened.page.frame_locator("iframe")
    frame.locator(".queries button").nth(1).hover()
    assert frame.locator(".said").text_content().startswith("“veux” attends to")
    with opened.page.expect_download() as download:
        frame.locator("#svg").click()
    assert "<svg" in Path(download.value.path()).read_text(encoding="utf-8")
    assert not opened.wrong


def test_a_capture_that_a_notebook_cannot_show_is_reported() -> None:
    many = Capture()
    for name in ("first", "second", "never"):
        many.hear(kept_map(name, ("q", "k"), torch.zeros(1500, 1500)))
    many.maps("never")[0]._form = None  # type: ignore[assignment]
    assert re.search(r"More than 3,000,000 weights .*select.*to_html", many._repr_html_())
    assert "at least one layer" in Capture()._repr_html_()
    below = Capture()
    below.hear(kept_map("<layer>", ("q", "k"), -torch.ones(2, 2)))
    assert "&lt;layer&gt;: expected attention weights" in below._repr_html_()
    assert framed([{"a": (torch.ones(1, 1), ["x"], ["y"])}]).count("<iframe") == 1


def test_times_are_an_axis(browser: Any, tmp_path: Path) -> None:
    """Four hundred frames are strips over an axis in seconds, not four hundred buttons."""
    weights = make((2, 3, 400))[0]
    weights[1, 2, 100] = 0.9
    times = [f"{0.03 * i:.2f} s" for i in range(400)]
    path = tmp_path / "page.html"
    path.write_text(page({"heard": (weights, ["one", "two", "end"], times)}), encoding="utf-8")
    for width in (1000, 390):
        opened = Opened(browser, path, viewport={"width": width, "height": 800})
        assert opened.tokens("keys").count() == 0
        assert opened.tokens("queries").all_text_contents() == ["one", "two", "end"]
        ticks = opened.page.locator(".scale .tick text").all()
        assert 2 <= len(ticks) <= 14
        assert ticks[1].text_content().endswith(" s")
        boxes = [tick.bounding_box() for tick in ticks]
        assert all(one["x"] + one["width"] < two["x"] for one, two in itertools.pairwise(boxes))
        opened.tokens("queries").nth(2).hover()
        assert opened.said() == "“end” attends to: 3.00 s 0.90 (head 1)"
        arcs = opened.page.locator(".arcs")
        box = arcs.bounding_box()
        opened.page.mouse.move(box["x"] + box["width"] * 0.2512, box["y"] + 40)
        assert opened.said().startswith("“3.00 s” is attended to by: end 0.90 (head 1)")
        assert not opened.page.locator(".weak").is_visible()
        svg = opened.got("#svg").read_text(encoding="utf-8")
        assert ">10 s<" in svg
        assert not opened.wrong
        assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        opened.page.close()


def test_values_other_than_attention_are_labelled(browser: Any, tmp_path: Path) -> None:
    """Characters over the points of a pen, and the strokes: steps follow the points."""
    weights = torch.zeros(2, 50)
    weights[0, :20], weights[1, 20:] = 2.0, 3.0
    drawn = torch.tensor([[float(i), float(i % 5), float(i in (20, 49))] for i in range(50)])
    layers = {"path": (weights, ["a", "b"], [str(i + 1) for i in range(50)])}
    heads = Heads("heads", layers, axes={"path": Axes("character", "point", "window weight")})
    view = View("", "ab", "", [Strokes("pen", drawn), heads])
    path = tmp_path / "page.html"
    path.write_text(page_of([view], "pen"), encoding="utf-8")
    opened = Opened(browser, path)
    assert opened.page.locator(".pen path:not(.later)").count() == 2
    opened.tokens("queries").nth(1).hover()
    assert opened.said() == "“b”: window weight 3.00 at point 21; at least half of that from 21 to 50"
    assert opened.page.locator(".pen circle").count() == 30
    opened.page.mouse.move(0, 0)
    opened.page.locator(".step").focus()
    opened.page.keyboard.press("End")
    assert opened.said() == "point 50: window weight b 3.00"
    opened.page.keyboard.press("Home")
    assert opened.page.locator(".pen circle").count() == 1
    assert opened.page.locator(".pen path:not(.later)").count() == 1
    assert not opened.wrong


def test_tokens_of_any_script_and_of_no_width(browser: Any, tmp_path: Path) -> None:
    tokens = ["שלום", "‮abc", "猫が", "", " ", "\u200b", "\u0301", "<i>"]
    path = tmp_path / "page.html"
    path.write_text(page({"layer": (torch.eye(8), tokens, tokens)}), encoding="utf-8")
    opened = Opened(browser, path)
    shown = opened.tokens("queries").all_text_contents()
    assert shown == ["שלום", "‮abc", "猫が", "(empty)", "␣", "U+200B", "◌\u0301", "<i>"]
    assert {each.get_attribute("dir") for each in opened.tokens("queries").all()} == {"auto"}
    opened.tokens("queries").nth(1).hover()
    assert opened.page.locator(".said bdi").all_text_contents() == ["‮abc", "‮abc"]
    assert all(each.bounding_box()["width"] > 8 for each in opened.tokens("queries").all())
    ET.fromstring(opened.got("#svg").read_text(encoding="utf-8"))
    assert not opened.wrong


def test_only_visible_heads_of_twelve_layers_are_drawn(browser: Any, tmp_path: Path) -> None:
    torch.manual_seed(1)
    many = (4 * torch.randn(12, 128, 128)).softmax(-1)  # sharp, like real heads: many links to draw
    tokens = [f"word{i}" for i in range(128)]
    path = tmp_path / "page.html"
    path.write_text(page({f"block.{n}.attention": (many, tokens, tokens) for n in range(12)}), encoding="utf-8")
    assert path.stat().st_size < 10e6
    opened = Opened(browser, path)
    opened.page.click("[aria-label='all heads']")
    links = "layer => views[0].shown[0].handle.layers[layer].links(new Set([...Array(12).keys()]), null, 0.05)"
    assert opened.page.evaluate(f"({links})(0).links.length") == 1000
    assert opened.page.evaluate(f"({links})(0).left") > 1000
    assert "strongest links are drawn" in opened.said()
    opened.page.locator(".every").scroll_into_view_if_needed()
    opened.page.wait_for_selector(".every[data-painted='12']")
    names = opened.page.locator(".every svg text").all_text_contents()
    assert {"head →", "11", "layer 11block.11.attention"} <= set(names)  # the path is the name's tooltip
    assert not opened.wrong


def test_five_hundred_tokens_are_drawn(browser: Any, tmp_path: Path) -> None:
    [wide] = make((1, 500, 500))
    tokens = [f"word{i}" for i in range(500)]
    path = tmp_path / "page.html"
    path.write_text(page({"wide": (wide * 50 / (wide * 50).amax(), tokens, tokens)}), encoding="utf-8")
    opened = Opened(browser, path)
    assert opened.tokens("keys").count() == 500
    opened.tokens("queries").nth(499).hover()  # scrolls to it
    assert "“word499” attends to" in opened.said()
    assert opened.page.locator(".panel").bounding_box()["height"] < 800
    assert opened.drawn() > 0
    assert not opened.wrong


def test_a_token_cannot_end_the_script(seen: Capture, tmp_path: Path) -> None:
    text = seen.to_html(tmp_path / "page.html", "<script>alert(1)</script>").read_text(encoding="utf-8")
    assert text.count("</script>") == 4
    assert "alert(1)</script>" not in text
    # the only addresses are in d3's header and in XML namespaces, which are not requested
    assert {url.split("/")[2] for url in re.findall(r"https?://[^\"'\s]+", text)} == {"d3js.org", "www.w3.org"}


def test_the_parts_of_d3_are_named_with_their_versions() -> None:
    table = text_of("vendor/README.md")
    for part in VENDORED:
        banner = text_of(f"vendor/d3-{part}.min.js").splitlines()[0]
        version = re.search(rf"d3-{part}/ v([\d.]+) ", banner)
        assert version
        assert f"| d3-{part} | {version[1]} |" in table
    text = page({"layer": (torch.ones(1, 1), ["a"], ["b"])})
    assert "Permission to use, copy, modify" in text
    assert len(text) < 290_000
    assert json.loads(text.split('id="data">')[1].split("</script>")[0])["live"] == ""


@pytest.mark.unhooked
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.rand(2, 3, 3), r"not \(2, 3, 3\) for 4 and 5 tokens"),
        (torch.rand(1, 2, 4, 5), r"not \(1, 2, 4, 5\)"),
        (torch.full((1, 4, 5), torch.nan), "finite and not below 0"),
    ],
)
def test_invalid_captures_are_reported(weights: Tensor, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        page({"layer": (weights, QUERIES, KEYS)})
    with pytest.raises(InvalidInput, match="at least one layer"):
        page({})
