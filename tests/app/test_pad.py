"""The pad of a page that reads images, in a real browser."""

import io
from typing import Any

import numpy as np
import pytest

from saccade.app.web.shown import Shown, is_grey_square
from saccade.explain.page import View
from tests.app.test_serve import serving
from tests.conftest import LONGEST

pillow = pytest.importorskip("PIL.Image")


def test_what_is_drawn_is_sent_as_a_picture_when_the_pen_is_lifted(browser: Any) -> None:
    given: list[bytes] = []

    def look(raw: str | bytes) -> list[View]:
        assert isinstance(raw, bytes)
        given.append(raw)
        return [View(answer=f"drawing {len(given)}")]

    with serving(Shown("pad", [], "image", look)) as place:
        page = browser.new_page()
        page.set_default_timeout(LONGEST)
        page.goto(f"http://{place}/")
        pad = page.locator("#pad canvas")
        box = pad.bounding_box()
        for number, (start, end) in enumerate((((60, 30), (60, 160)), ((100, 30), (100, 160))), 1):
            page.mouse.move(box["x"] + start[0], box["y"] + start[1])
            page.mouse.down()
            page.mouse.move(box["x"] + end[0], box["y"] + end[1], steps=3)
            page.mouse.up()
            page.get_by_text(f"drawing {number}").wait_for()
        page.locator("#pad button").click()
        box = pad.bounding_box()
        page.mouse.click(box["x"] + 150, box["y"] + 150)
        page.get_by_text("drawing 3").wait_for()
        page.close()
    one, two, dot = (np.asarray(pillow.open(io.BytesIO(raw)).convert("L")) for raw in given)
    assert one.shape == (196, 196)
    assert (one[40:150, 60], one[0, 0], one[100, 100]) == (pytest.approx(255), 0, 0)
    assert (two[100, 60], two[100, 100]) == (255, 255)  # both strokes
    assert (dot[150, 150], dot[100, 60]) == (255, 0)  # cleared; a click is a dot


def test_a_page_that_reads_text_has_no_pad(browser: Any) -> None:
    with serving(Shown("text", [], "text", lambda given: [])) as place:
        page = browser.new_page()
        page.set_default_timeout(LONGEST)
        page.goto(f"http://{place}/")
        page.locator("#ask").wait_for()
        assert page.locator("#pad").count() == 0
        page.close()


def test_only_shades_of_grey_in_a_square_can_be_drawn() -> None:
    def file(mode: str, size: tuple[int, int], kind: str = "PNG") -> bytes:
        with io.BytesIO() as target:
            pillow.new(mode, size).save(target, kind)
            return target.getvalue()

    assert is_grey_square(file("L", (28, 28)))
    others = [file("RGB", (28, 28)), file("L", (28, 27)), file("P", (9, 9)), file("L", (9, 9), "GIF"), b"", "a text"]
    assert not any(map(is_grey_square, others))
