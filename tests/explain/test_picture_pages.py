"""All kinds of pictures in a real browser, including a kind defined by a system."""

import importlib
import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from saccade.core.errors import InvalidInput
from saccade.core.picture import Picture, kind_of
from saccade.explain.page import View, packed, page_of, policy, scripts
from saccade.explain.pictures import kept, load
from saccade.explain.pictures.heads import Heads
from saccade.explain.pictures.strokes import Strokes
from saccade.explain.pictures.text import Text
from tests.explain import kinds as samples
from tests.explain.browsing import Opened

TOY = Path(__file__).parents[1] / "fixtures/toys/toy_dial/systems"


@pytest.fixture
def dial(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The picture kind of a system, as if its folder were among the others."""
    systems = importlib.import_module("saccade.systems")
    monkeypatch.setattr(systems, "__path__", [*systems.__path__, str(TOY)])
    yield importlib.import_module("saccade.systems.toy_dial.dial").Dial(30.0)
    for name in [name for name in sys.modules if name.startswith("saccade.systems.toy_dial")]:
        del sys.modules[name]


def opened(browser: Any, folder: Path, pictures: list[Picture], link: str = "", **options: Any) -> Opened:
    path = folder / "page.html"
    path.write_text(page_of([View("a run", "its answer", "a note", pictures)], "all kinds"), encoding="utf-8")
    return Opened(browser, path, link, **options)


@pytest.mark.parametrize(("width", "scheme"), [(1100, "light"), (390, "dark")])
def test_all_kinds_are_shown_one_below_the_other(browser: Any, tmp_path: Path, width: int, scheme: str) -> None:
    pictures = [*samples.one_of_each(), *samples.others()]
    seen = opened(browser, tmp_path, pictures, viewport={"width": width, "height": 900}, color_scheme=scheme)
    sections = seen.page.locator(".picture").all()
    assert [each.get_attribute("data-kind") for each in sections] == list(map(kind_of, pictures))
    headings = [getattr(picture, "title", "") or picture.name.replace("_", " ") for picture in pictures]
    assert seen.page.locator(".picture h3").all_text_contents() == headings
    bottom = 0.0
    for section, picture in zip(sections, pictures, strict=True):
        holder, box = section.locator(".holder"), section.bounding_box()
        assert holder.get_attribute("aria-label") == picture.description()
        assert section.locator("svg, canvas").count() >= 1
        assert box["height"] > 80
        assert box["y"] >= bottom
        bottom = box["y"] + box["height"]
    assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not seen.wrong
    assert {url.split(":")[0] for url in seen.asked} <= {"file", "data"}  # no requests to a network
    svg = seen.got("#svg").read_text(encoding="utf-8")
    assert set(headings) <= {each.text for each in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}
    assert seen.got("#png").read_bytes().startswith(b"\x89PNG")
    assert not seen.wrong
    seen.page.close()


def test_each_kind_describes_the_value_under_pointer_and_cursor(browser: Any, tmp_path: Path) -> None:
    seen = opened(browser, tmp_path, samples.one_of_each(), viewport={"width": 1100, "height": 900})

    def said(kind: str, x: float, y: float, part: str = "svg") -> str:
        section = seen.page.locator(f"[data-kind={kind}] .holder")
        at = section.locator(part).first
        at.scroll_into_view_if_needed()
        box = at.bounding_box()
        seen.page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y)
        return str(section.locator(".caption").first.text_content())

    weights = samples.near(7, 6)
    assert said("alignment", 0.05, 0.05, "image") == f"“Je”, “I”: attention weight {weights[0, 0]:.3f}"
    assert said("sound", 0.999, 0.99, "image").startswith("“end”, 1.77 s: attention weight 0.148")
    assert said("memory_trace", 0.01, 0.01, "image") == "slot 0, step 0: weight 1.000"
    assert said("image_overlay", 0.345, 0.625, "image").startswith("“dog”: weight 1.000 at 22, ")
    assert said("curve", 0.999, 0.5).startswith("training step 990: training 0.9")
    assert said("histogram", 0.45, 0.5) == "delay of a label (seconds) 0.3: 130 labels"
    assert said("graph", 0.5, 0.5, "g[aria-label='node question']").startswith(
        "“question”: to “Mary took the apple”"[:11]
    )
    assert "Mary took the apple 0.85" in said("graph", 0.5, 0.5, "g[aria-label='node question']")
    assert said("text", 0.5, 0.5, "g[aria-label^='animal']") == "“animal”: gradient times input 1.983"
    seen.page.locator("[data-kind=alignment] svg").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight"):
        seen.page.keyboard.press(key)
    cursor = f"“une”, “another”: attention weight {weights[2, 2]:.3f}"  # from the position of the pointer
    assert seen.page.locator("[data-kind=alignment] .caption").text_content() == cursor
    seen.page.locator("[data-kind=curve] svg").focus()
    seen.page.keyboard.press("ArrowLeft")
    last = "training step 980: training 0.9618; validation 1.259 (at 900)"
    assert seen.page.locator("[data-kind=curve] .caption").text_content() == last
    glimpses = seen.page.locator("[data-kind=glimpses]")
    assert glimpses.locator("g circle").count() == 4
    glimpses.locator("input").focus()
    seen.page.keyboard.press("ArrowLeft")
    assert glimpses.locator("g circle").count() == 3
    assert glimpses.locator(".caption").text_content() == "glimpse 3: x 46, y 12, 8 and 16 pixels wide"
    assert not seen.wrong


def test_pictures_are_redrawn_if_the_window_or_its_colours_change(browser: Any, tmp_path: Path) -> None:
    seen = opened(browser, tmp_path, [samples.training(), samples.trace()], viewport={"width": 1000, "height": 800})
    wide = seen.page.locator("[data-kind=curve] svg").bounding_box()["width"]
    seen.page.set_viewport_size({"width": 390, "height": 800})
    seen.page.wait_for_function("wide => document.querySelector('[data-kind=curve] svg').clientWidth < wide", arg=wide)
    assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    image = seen.page.locator("[data-kind=memory_trace] image").first
    before = image.get_attribute("href")
    seen.page.emulate_media(color_scheme="dark")
    seen.page.wait_for_function("old => document.querySelector('image').getAttribute('href') !== old", arg=before)
    assert seen.page.locator("svg").count() == 3
    assert not seen.wrong


def test_a_build_up_shows_the_state_of_the_word_and_no_name_covers_another(browser: Any, tmp_path: Path) -> None:
    picture = samples.regions()
    seen = opened(browser, tmp_path, [picture], viewport={"width": 390, "height": 900})
    seen.page.get_by_role("button", name="dog", exact=True).click()
    written = seen.page.locator(".holder svg text")
    texts = written.all_text_contents()
    state = texts.index("state s")
    assert list(map(float, texts[state + 1 : state + 9])) == pytest.approx(picture.states[1].tolist(), abs=0.006)
    assert texts[state + 9] == "8 of 9"
    names = ["scores e", "weights α", "context c", "state s"]
    boxes = [written.nth(texts.index(name)).bounding_box() for name in names]
    assert all(left["x"] + left["width"] <= right["x"] for left, right in pairwise(boxes))


def test_pictures_of_a_view_share_their_focus(browser: Any, tmp_path: Path) -> None:
    """A pen shows the point in focus of the heads beside it; a later view keeps the selection."""
    points = torch.tensor([[float(i), float(i % 3), float(i == 39)] for i in range(40)])
    layer = (torch.rand(2, 3, 40).softmax(-1), list("abc"), [f"{i / 100:.2f} s" for i in range(40)])
    seen = opened(browser, tmp_path, [Strokes("pen", points), Heads("heads", {"one": layer, "two": layer})])
    slider = seen.page.locator("[data-kind=strokes] input")
    assert slider.input_value() == "40"
    box = seen.page.locator(".arcs").bounding_box()
    seen.page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 40)
    assert slider.input_value() in ("20", "21")
    assert seen.page.locator(".pen circle").count() == 1
    seen.page.mouse.move(0, 0)
    slider.focus()
    seen.page.keyboard.press("Home")
    assert seen.page.locator("[data-kind=strokes] output").text_content() == "1 of 40"
    seen.page.locator(".heads button").first.click()
    given = [
        packed(View("", "another", "", [Strokes("pen", points[:30]), Heads("heads", {"one": layer, "two": layer})]))
    ]
    seen.page.evaluate("given => read(given)", given)
    assert seen.page.locator(".heads button").first.get_attribute("aria-pressed") == "false"
    assert slider.get_attribute("max") == "30"
    seen.page.evaluate("given => read(given)", [packed(View("", "none", "nothing to show"))])
    assert seen.page.locator(".picture").count() == 0
    assert not seen.page.locator("#png").is_visible()
    assert not seen.wrong


def test_two_pictures_of_heads_in_a_view_have_separate_links(browser: Any, tmp_path: Path) -> None:
    pictures = [samples.heads(), samples.others()[0]]
    seen = opened(browser, tmp_path, pictures, "#layer=0&heads=1&2.token=keys.2")  # type: ignore[arg-type]
    assert seen.page.locator("[data-kind=heads] .chosen").all_text_contents() == ["another"]
    assert seen.link("#layer=0&heads=1&2.layer=0&2.heads=0&2.token=keys.2")
    kept_page = tmp_path / "kept.html"
    kept_page.write_bytes(seen.got("#html").read_bytes())
    again = Opened(seen.page.context.browser, kept_page)
    assert again.link("#layer=0&heads=1&2.layer=0&2.heads=0&2.token=keys.2")
    assert not seen.wrong + again.wrong


def test_a_kind_of_a_system_is_shown_stored_and_loaded(browser: Any, tmp_path: Path, dial: Any) -> None:
    assert kind_of(dial) == "toy_dial.dial"
    assert kept(dial) == {"kind": "toy_dial.dial", "degrees": 30.0, "name": "dial"}
    assert load(kept(dial)).description() == "A hand that points at 30 degrees"
    seen = opened(browser, tmp_path, [dial, samples.graph()])
    hand = seen.page.locator("[data-kind='toy_dial.dial'] .toy-hand")
    assert float(hand.get_attribute("y2")) == pytest.approx(-0.5)
    assert seen.page.locator(".picture h3").all_text_contents() == ["dial", "facts"]
    kept_page = tmp_path / "kept.html"
    kept_page.write_bytes(seen.got("#html").read_bytes())
    again = Opened(browser, kept_page)
    assert again.page.locator(".toy-hand").count() == 1
    assert "toy-hand" in again.got("#svg").read_text(encoding="utf-8")
    assert not seen.wrong + again.wrong


def test_a_page_that_asks_its_server_knows_the_kinds_of_given_systems(browser: Any, tmp_path: Path, dial: Any) -> None:
    path = tmp_path / "page.html"
    path.write_text(page_of([], "live", "text", systems=("toy_dial",)), encoding="utf-8")
    assert policy(True, ("toy_dial",)) in path.read_text(encoding="utf-8").replace("&#x27;", "'")
    seen = Opened(browser, path)
    assert seen.page.locator("#ask button").is_visible()
    seen.page.evaluate("given => read(given)", [packed(View(pictures=[dial]))])
    assert seen.page.locator(".toy-hand").count() == 1
    assert not seen.page.locator("h3").is_visible()  # alone, and without a title
    assert not seen.wrong


def test_a_script_of_a_system_has_its_own_names_and_its_own_digest(dial: Any) -> None:
    ours, theirs = scripts(), scripts(("toy_dial",))
    assert [script for script in theirs if script not in ours] == [theirs[-2]]
    assert theirs[-2].startswith("(() => {")
    assert policy(False).count("'sha256-") == 4
    assert policy(False, ("toy_dial",)).count("'sha256-") == 5


def test_a_picture_that_cannot_be_drawn_is_described(browser: Any, tmp_path: Path) -> None:
    seen = opened(browser, tmp_path, [samples.training(), samples.words()])
    given = json.loads(json.dumps([packed(View(pictures=[samples.training(), samples.words()]))]))
    given[0]["pictures"][0] |= {"kind": "unknown.kind", "description": "a loss that falls"}
    seen.page.evaluate("given => read(given)", given)
    assert seen.page.locator(".picture").first.locator("p").text_content() == "a loss that falls"
    assert seen.page.locator("[data-kind=text] svg").count() == 1
    assert len(seen.wrong) == 1  # the console contains the reason


def test_invalid_json_and_unknown_systems_are_refused() -> None:
    class Bad(Text):
        def page(self) -> dict[str, Any]:
            return {"number": float("nan")}

    with pytest.raises(InvalidInput, match="bad: the page form of a picture must be JSON"):
        packed(View(pictures=[Bad("bad", ["a"], [1.0])]))
    for name in ("nothing_such", "../core", "a.b", ""):
        with pytest.raises(InvalidInput, match="there is no system"):
            page_of([], "title", systems=(name,))


def test_an_image_is_sent_as_a_file(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page_of([], "live", "image", largest=10), encoding="utf-8")
    seen = Opened(browser, path)
    assert seen.page.locator("#file-label").text_content() == "image"
    assert seen.page.locator("#recording").get_attribute("accept") == "image/*"
    photo = tmp_path / "photo.png"
    photo.write_bytes(bytes(11))
    seen.page.set_input_files("#recording", photo)
    assert seen.page.locator("#wait").text_content() == "an image has at most 0.00001 MB, not 0.0 MB"
    assert not seen.wrong
