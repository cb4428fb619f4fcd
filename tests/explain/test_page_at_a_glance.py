"""What is visible on the page at a glance, at three widths and schemes: scale, words, colours, sizes, print."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import torch

from saccade.explain.page import View, page, page_of
from saccade.explain.pictures.alignment import Alignment
from saccade.explain.pictures.heads import Heads
from tests.explain.browsing import Opened

SVG = "{http://www.w3.org/2000/svg}"
LOOKS: list[dict[str, Any]] = [
    {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    {"viewport": {"width": 390, "height": 800}, "color_scheme": "dark"},
]


def opened(
    browser: Any, folder: Path, views: list[View], link: str = "", title: str = "a run", **options: Any
) -> Opened:
    path = folder / "page.html"
    path.write_text(page_of(views, title), encoding="utf-8")
    return Opened(browser, path, link, **options)


def translated(source: list[str], target: list[str], at: list[int], heads: int = 2, sharp: float = 0.9) -> Heads:
    """A decoder whose last head aligns each word, and whose others are spread."""
    weights = torch.full((heads, len(target), len(source)), 1 / len(source))
    weights[-1] = (1 - sharp) / (len(source) - 1)
    for row, column in enumerate(at):
        weights[-1, row, column] = sharp
    return Heads("heads", {"decoder.blocks.0.cross_attention.weights": (weights, target, source)})


def pieces_of(text: str) -> list[str]:
    """Each word in pieces of two letters."""
    words = [[f"▁{word[:2]}", *(word[i : i + 2] for i in range(2, len(word), 2))] for word in text.split()]
    return [piece for word in words for piece in word]


@pytest.mark.parametrize("top", [0.1, 0.9])
def test_the_strongest_link_is_as_plain_whatever_its_weight(browser: Any, tmp_path: Path, top: float) -> None:
    words = [f"word{i}" for i in range(60)]
    seen = opened(browser, tmp_path, [View(pictures=[translated(words, words, list(range(60)), 2, top)])])
    assert seen.page.locator(".heads [aria-pressed=true]").all_text_contents() == ["1"]  # not all heads at first
    seen.tokens("queries").nth(7).hover()
    key = seen.tokens("keys").nth(7)
    assert key.get_attribute("data-weight") == f"{top:.2f}"
    assert key.evaluate("one => one.style.getPropertyValue('--seen')") == "1.000"
    assert "none" not in key.evaluate("one => getComputedStyle(one, '::after').content")
    seen.tokens("queries").nth(7).click()
    tree = ET.fromstring(seen.got("#svg").read_text(encoding="utf-8"))
    links = [
        each
        for each in tree.iter(f"{SVG}path")
        if each.get("stroke-opacity") and each.get("stroke", "").startswith("#")
    ]
    assert [float(each.get("stroke-width", 0)) for each in links][-1] == 6
    assert [float(each.get("stroke-opacity", 0)) for each in links][-1] == 1
    assert not seen.wrong


def test_many_heads_at_a_word_are_blocks_beside_it(browser: Any, tmp_path: Path) -> None:
    """Where every head is at one word, each has its own block there, in its own colour."""
    torch.manual_seed(1)
    words = [f"word{i}" for i in range(9)]
    weights = torch.full((12, 9, 9), 0.01)
    weights[:, :, 3] = 0.92
    heads = Heads("heads", {"encoder.layer.0.attention.self": (weights, words, words)})
    seen = opened(
        browser, tmp_path, [View(pictures=[heads])], "#layer=0&heads=0.1.2.3.4.5.6.7.8.9.10.11&token=queries.5"
    )
    tree = ET.fromstring(seen.got("#svg").read_text(encoding="utf-8"))
    blocks = [
        each
        for each in tree.iter(f"{SVG}rect")
        if each.get("fill", "").startswith("#") and each.get("fill-opacity") == "1.000"
    ]
    assert len({each.get("x") for each in blocks if each.get("height") == "20"}) == 12
    texts = {each.text for each in tree.iter(f"{SVG}text")}
    assert {f"head {head}" for head in range(12)} <= texts
    dashes = {each.get("stroke-dasharray") for each in tree.iter(f"{SVG}line")}
    assert dashes == {None, "8 4"}
    assert not seen.wrong


def test_whole_words_or_pieces(browser: Any, tmp_path: Path) -> None:
    source, target = pieces_of("another beer"), pieces_of("bière encore")
    seen = opened(browser, tmp_path, [View(pictures=[translated(source, target, [4, 4, 5, 0, 1, 2])])])
    assert seen.tokens("queries").all_text_contents() == ["bière", "encore"]
    assert seen.tokens("keys").all_text_contents() == ["another", "beer"]
    seen.tokens("queries").first.click()
    rest = 0.1 / 5
    beer = 0.9 + rest  # summed over the pieces of a key, averaged over those of a query
    assert seen.said() == f"“bière” attends to: beer {beer:.2f}; another {4 * rest:.2f}"
    seen.page.uncheck(".looks .words")
    assert seen.tokens("queries").all_text_contents() == ["bi", "·èr", "·e", "en", "·co", "·re"]
    assert seen.page.locator(".chosen").all_text_contents() == ["bi"]
    assert seen.link("&pieces=1&token=queries.0")
    seen.page.check(".looks .words")
    assert seen.page.locator(".chosen").all_text_contents() == ["bière"]
    assert not seen.wrong


def test_special_tokens_are_hidden_on_demand_and_rows_renormalised(browser: Any, tmp_path: Path) -> None:
    tokens = ["[CLS]", "it", "was", "[SEP]"]
    weights = torch.tensor(
        [[[0.4, 0.1, 0.1, 0.4], [0.6, 0.1, 0.3, 0.0], [0.5, 0.3, 0.2, 0.0], [0.25, 0.25, 0.25, 0.25]]]
    )
    seen = opened(browser, tmp_path, [View(pictures=[Heads("heads", {"layer.0.attn": (weights, tokens, tokens)})])])
    assert seen.tokens("keys").all_text_contents() == tokens
    seen.page.uncheck(".looks .special")
    assert seen.tokens("keys").all_text_contents() == ["it", "was"]
    seen.tokens("queries").first.click()
    assert seen.said() == "“it” attends to: was 0.75; it 0.25"
    seen.page.mouse.move(0, 0)
    assert "each row is divided by its sum without them" in seen.page.locator(".read").text_content()
    assert seen.link("&special=0&token=queries.0")
    assert "special tokens are hidden" in seen.got("#svg").read_text(encoding="utf-8")
    assert not seen.wrong


def test_two_runs_follow_one_pointer_by_words(browser: Any, tmp_path: Path) -> None:
    """The same words in other pieces, in other cases, and in another answer."""
    text = "we want another beer"
    left = translated(pieces_of(text), pieces_of("je veux bière"), [0, 1, 1, 3, 3, 3])
    right = translated(text.replace("we", "We").split(), ["on", "veut", "une", "bière"], [0, 1, 2, 3])
    views = [View("A", pictures=[left]), View("B", pictures=[right])]
    seen = opened(browser, tmp_path, views, viewport={"width": 1280, "height": 800})
    seen.tokens("keys", 0).filter(has_text="another").click()
    assert seen.page.locator(".chosen").all_text_contents() == ["another", "another"]
    seen.tokens("keys", 1).filter(has_text="We").click()
    assert seen.page.locator(".chosen").all_text_contents() == ["we", "We"]
    seen.tokens("queries", 1).filter(has_text="bière").click()
    assert seen.page.locator(".chosen").all_text_contents() == ["bière", "bière"]
    seen.page.locator(".looks .words").first.uncheck()
    assert seen.page.locator(".chosen").all_text_contents() == ["bi", "bière"]
    seen.tokens("keys", 0).filter(has_text="·ot").click()  # within "another"
    assert seen.page.locator(".chosen").all_text_contents() == ["·ot", "another"]
    assert not seen.wrong


def test_a_comparison_has_one_scale_or_each_its_own(browser: Any, tmp_path: Path) -> None:
    words = ["a", "b", "c", "d"]
    views = [
        View(name, pictures=[translated(words, words, [0, 1, 2, 3], 1, top)]) for name, top in (("A", 0.9), ("B", 0.4))
    ]
    seen = opened(browser, tmp_path, views, viewport={"width": 1280, "height": 800})

    def ends() -> list[str]:
        return [str(text).split()[0] for text in seen.page.locator(".key-scale text:last-child").all_text_contents()]

    assert ends() == ["0.90", "0.90"]
    seen.page.click("[data-scale=own]")
    assert ends() == ["0.90", "0.40"]
    assert seen.page.locator("[data-scale=own]").get_attribute("aria-pressed") == "true"
    again = Opened(browser, tmp_path / "page.html")
    again.page.goto(seen.link("&scale=own"))
    again.page.reload()
    assert [str(text).split()[0] for text in again.page.locator(".key-scale text:last-child").all_text_contents()] == [
        "0.90",
        "0.40",
    ]
    assert not seen.wrong + again.wrong


def test_the_hint_is_as_high_as_its_text_after_the_window_was_narrow(browser: Any, tmp_path: Path) -> None:
    words = [f"word{i}" for i in range(12)]
    pictures = [
        translated(words, words, list(range(12))),
        Alignment("a", torch.eye(12), words, words, "target", "source"),
    ]
    seen = opened(browser, tmp_path, [View(pictures=list(pictures))], viewport={"width": 1280, "height": 800})
    names = (".said", ".read", ".holder > div > .caption")
    sizes = "names => names.map(name => document.querySelector(name).offsetHeight)"
    before, tall = seen.page.evaluate(sizes, names), seen.page.evaluate("document.documentElement.scrollHeight")
    for width in (320, 1280, 400, 330, 1280):
        seen.page.set_viewport_size({"width": width, "height": 800})
        seen.page.wait_for_function("width => innerWidth === width", arg=width)
        seen.page.wait_for_timeout(150)  # observers of sizes run between frames
    assert seen.page.evaluate(sizes, names) == before
    assert seen.page.evaluate("document.documentElement.scrollHeight") == tall
    assert not seen.wrong


@pytest.mark.parametrize("look", LOOKS)
def test_cells_labels_and_targets_are_large_enough(browser: Any, tmp_path: Path, look: dict[str, Any]) -> None:
    torch.manual_seed(1)
    words = [f"word{i}" for i in range(64)]
    layers = {
        f"encoder.layer.{n}.attention.self": ((3 * torch.randn(12, 64, 64)).softmax(-1), words, words)
        for n in range(12)
    }
    pictures = [Heads("heads", layers), Alignment("a", torch.rand(40, 40), words[:40], words[:40], "target", "source")]
    seen = opened(browser, tmp_path, [View(pictures=list(pictures))], **look)
    box = seen.page.locator(".matrix").bounding_box()
    assert box["height"] / 64 >= 12
    assert box["width"] / 64 >= 12
    assert seen.page.locator(".grid").bounding_box()["height"] / 12 >= 24
    image = seen.page.locator("[data-kind=alignment] image").bounding_box()
    assert min(image["height"], image["width"]) / 40 >= 12
    small = seen.page.evaluate(
        """() => [...document.querySelectorAll("svg text")].filter(one => one.getClientRects().length)
            .map(one => parseFloat(getComputedStyle(one).fontSize)).filter(size => size < 12)"""
    )
    assert not small
    narrow = seen.page.evaluate(
        """() => [...document.querySelectorAll("button, select, input:not([type=checkbox]), label.check")]
            .map(one => one.getBoundingClientRect())
            .filter(box => box.width && Math.min(box.width, box.height) < 24).length"""
    )
    assert narrow == 0
    assert seen.page.evaluate(
        "document.documentElement.scrollWidth <= innerWidth"
    )  # wide pictures scroll by themselves
    assert seen.page.evaluate(
        "document.querySelector('.one .scroll').scrollWidth > document.querySelector('.one .scroll').clientWidth"
    )
    assert seen.page.locator("main").count() == 1
    assert {one.get_attribute("aria-pressed") for one in seen.page.locator(".heads button").all()[:-1]} == {
        "true",
        "false",
    }
    assert not seen.wrong


def test_print_is_light_and_has_no_controls(browser: Any, tmp_path: Path) -> None:
    words = [f"word{i}" for i in range(12)]
    seen = opened(
        browser,
        tmp_path,
        [View("", "the answer", "", [translated(words, words, list(range(12)))])],
        color_scheme="dark",
    )
    assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 28)"
    dark = seen.page.evaluate("document.querySelector('.matrix').toDataURL()")
    seen.page.emulate_media(media="print", color_scheme="dark")
    seen.page.wait_for_function("dark => document.querySelector('.matrix').toDataURL() !== dark", arg=dark)
    assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not seen.page.locator("#all").is_visible()
    assert not seen.page.locator(".least").is_visible()
    assert seen.page.locator(".answer").is_visible()
    corner = "[...document.querySelector('.matrix').getContext('2d').getImageData(1, 0, 1, 1).data]"
    assert min(seen.page.evaluate(corner)) > 240  # the smallest weight is white
    assert not seen.wrong


def test_forced_colours_and_no_motion(browser: Any, tmp_path: Path) -> None:
    words = [f"word{i}" for i in range(5)]
    options = {"forced_colors": "active", "reduced_motion": "reduce"}
    seen = opened(browser, tmp_path, [View(pictures=[translated(words, words, list(range(5)))])], **options)
    seen.tokens("queries").nth(1).click()
    chosen = seen.page.locator(".chosen").first
    assert chosen.evaluate("one => getComputedStyle(one).backgroundColor") != seen.page.evaluate(
        "getComputedStyle(document.body).backgroundColor"
    )
    assert seen.page.locator(".play").text_content() == "next"
    assert not seen.wrong


def test_saved_pictures_are_light_and_named_after_what_they_show(browser: Any, tmp_path: Path) -> None:
    words = [f"word{i}" for i in range(5)]
    pictures = [
        translated(words, words, list(range(5))),
        Alignment("a", torch.eye(5), words, words, "target", "source"),
    ]
    seen = opened(
        browser,
        tmp_path,
        [View(pictures=list(pictures))],
        "#token=queries.1",
        "a run: Wir möchten Bier.",
        color_scheme="dark",
    )
    with seen.page.expect_download() as download:
        seen.page.click("#svg")
    name = download.value.suggested_filename
    assert name == "wir-möchten-bier--decoder-0-attention-to-the-source-head-1.svg"
    light = Path(download.value.path()).read_text(encoding="utf-8")
    assert 'fill="#ffffff"' in light
    assert "attention weight" in light
    assert seen.page.evaluate("document.documentElement.dataset.scheme === undefined")
    assert seen.page.locator("[data-kind=alignment] .holder").count() == 1  # the one drawn for the file is gone
    seen.page.check("#as-dark")
    dark = seen.got("#svg").read_text(encoding="utf-8")
    assert 'fill="#16181c"' in dark
    matrices = [re.findall('data:image/png;base64,[^"]+', text)[-1] for text in (light, dark)]
    assert matrices[0] != matrices[1]
    assert not seen.wrong


def test_it_opens_on_the_head_that_says_most(browser: Any, tmp_path: Path) -> None:
    """Neither on one that is all at [SEP], nor on one that is all at itself."""
    tokens = ["[CLS]", "a", "b", "c", "d", "[SEP]"]
    self_only, separator, before = torch.eye(6), torch.zeros(6, 6), torch.eye(6).roll(1, 0)
    separator[:, 5] = 1
    layers = {
        "encoder.layer.0.attention.self": (torch.stack([self_only, separator]), tokens, tokens),
        "encoder.layer.1.attention.self": (torch.stack([separator, before]), tokens, tokens),
    }
    assert Heads("heads", layers).first() == [1, 1]
    seen = opened(browser, tmp_path, [View(pictures=[Heads("heads", layers)])])
    assert seen.page.locator(".layer option:checked").text_content() == "layer 1, self-attention"
    assert seen.page.locator(".layer").get_attribute("title") == "encoder.layer.1.attention.self"
    assert seen.page.locator(".heads [aria-pressed=true]").all_text_contents() == ["1"]
    assert not seen.wrong


def test_a_page_of_one_sentence_is_small() -> None:
    """Six layers of eight heads over fourteen words, as a small Transformer has them."""
    torch.manual_seed(1)
    source, target = [[f"▁word{i}" for i in range(14)] for _ in range(2)]
    layers = {f"decoder.blocks.{n}.{kind}.weights": (torch.rand(8, 14, 14).softmax(-1), target, source)
              for n in range(6) for kind in ("self_attention", "cross_attention")}  # fmt: skip
    assert len(page(layers)) < 500_000
