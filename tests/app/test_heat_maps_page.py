"""`serve` of classifiers of pictures: a method and a class are chosen on the page."""

import http.client
import json
from pathlib import Path
from typing import Any

import pytest

from saccade.app.web.shown import of
from saccade.core.errors import InvalidInput
from tests.app.test_heat_maps import folder
from tests.app.test_serve import serving
from tests.conftest import LONGEST

__all__ = ["folder"]


@pytest.fixture
def page(browser: Any) -> Any:
    opened = browser.new_page(viewport={"width": 1100, "height": 900})
    opened.set_default_timeout(LONGEST)
    opened.wrong = []
    opened.on("pageerror", lambda error: opened.wrong.append(str(error)))
    yield opened
    assert not opened.wrong
    opened.close()


def test_a_method_and_a_class_are_chosen(folder: Path, page: Any, tmp_path: Path) -> None:
    with serving(of([folder / "vit"])) as place:
        page.goto(f"http://{place}/")
        assert page.locator("#about").text_content().startswith("ViTForImageClassification of vit, ")
        assert page.locator("#pad").count() == 0  # no photos are drawn
        page.set_input_files("#recording", str(folder / "photo.png"))
        picture = page.locator("[data-kind=overlays]")
        picture.locator("svg").wait_for()
        assert "grad-cam: " in picture.locator(".holder").get_attribute("aria-label")
        page.locator("[data-choice='heat map']").select_option("attention-relevance")
        page.locator("[data-choice='class']").select_option("dog")
        page.locator("[aria-label*='attention-relevance: dog']").first.wait_for()
        assert picture.locator("svg text", has_text=" %").count() == 5
        box = picture.locator("svg image").nth(1).bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert picture.locator(".caption").text_content().startswith("“attention-relevance: dog”: ")
        page.locator("[data-choice='heat map']").select_option("cam")
        page.get_by_text("CAM needs a linear head").wait_for()
        page.locator("[data-choice='heat map']").select_option("none")
        page.wait_for_function("() => !document.querySelector('.picture')")
        page.locator("[data-choice='heat map']").select_option("score-cam")
        page.locator("[aria-label*='score-cam: dog']").first.wait_for()
        with page.expect_download() as download:
            page.click("#html")
        download.value.save_as(tmp_path / "kept.html")
        page.goto((tmp_path / "kept.html").as_uri())
        page.wait_for_selector("[data-kind=overlays] svg")
        assert page.locator("[data-choice]").count() == 0


def test_a_choice_that_there_is_not_is_refused(folder: Path) -> None:
    with serving(of([folder / "vit"])) as place:
        host, port = place.split(":")
        for query, said in (("heat+map=gradcam", "did you mean 'grad-cam'?"), ("class=dig", "did you mean 'dog'?")):
            connection = http.client.HTTPConnection(host, int(port), timeout=60)
            connection.request("POST", f"/hear?{query}", (folder / "photo.png").read_bytes())
            answer = connection.getresponse()
            assert answer.status == 400
            assert said in json.loads(answer.read())["error"]
            connection.close()


def test_two_classifiers_are_compared(folder: Path, page: Any) -> None:
    with serving(of([folder / "vit", folder / "resnet"])) as place:
        page.goto(f"http://{place}/")
        page.set_input_files("#recording", str(folder / "photo.png"))
        page.locator("[data-kind=overlays] svg").nth(1).wait_for()
        assert page.locator(".view .name").all_text_contents() == [
            "A: ViTForImageClassification of vit", "B: ResNetForImageClassification of resnet",
        ]  # fmt: skip


def test_a_classifier_and_a_reader_of_text_are_not_compared(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["BertModel"]}')
    with pytest.raises(InvalidInput, match="does not read pictures, as the other does"):
        of([folder / "vit", tmp_path])
