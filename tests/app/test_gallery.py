"""`saccade serve` without a run: the cards of the runs, and the viewer of each; and the demo of the package."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import saccade as package
from saccade.core.errors import NotFound
from saccade.runs import places
from tests.app.conftest import Command
from tests.conftest import LONGEST


@pytest.fixture
def runs(tmp_path: Path, tiny_runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two finished runs, one that never began, and something else."""
    monkeypatch.setattr(places, "PACKAGED", tmp_path / "none")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs"
    for system in ("rnnsearch", "attention_speech"):
        shutil.copytree(tiny_runs[system], folder / f"{system} <1>")
    shutil.copytree(tiny_runs["rnnsearch"], folder / "begun", ignore=shutil.ignore_patterns("model.*", "evidence.json"))
    (folder / "other").mkdir()
    return folder


@pytest.fixture
def gallery(runs: Path) -> Iterator[Any]:
    testing = pytest.importorskip("starlette.testclient")
    from saccade.app.web.gallery import Gallery

    with testing.TestClient(Gallery(runs, {"testserver"}).app()) as client:
        yield client


def test_a_card_for_each_finished_run_and_its_viewer_behind_it(gallery: Any) -> None:
    text = gallery.get("/").text
    assert text.count("<li>") == 2
    assert "rnnsearch &lt;1&gt;" in text
    assert "label error rate" in text
    assert "script" not in text
    picture = gallery.get("/runs/rnnsearch%20%3C1%3E/picture.png")
    assert picture.content.startswith(b"\x89PNG")
    assert "<title>rnnsearch tiny</title>" in gallery.get("/runs/rnnsearch%20%3C1%3E").text
    answer = gallery.post("/runs/rnnsearch%20%3C1%3E/look", json={"text": "We can do that."})
    assert answer.status_code == 200
    assert answer.json()["views"][0]["pictures"]
    for path in ("/runs/begun/", "/runs/other/", "/runs/..%2F..%2Fetc/", "/runs/begun/picture.png", "/runs/x/../../y"):
        assert gallery.get(path).status_code == 404, path
    assert gallery.get("/", headers={"Host": "evil.example"}).status_code == 400
    assert "default-src 'none'" in gallery.get("/").headers["content-security-policy"]


def test_few_runs_are_held_in_memory(gallery: Any, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from saccade.app.web import gallery as module

    monkeypatch.setattr(module, "OPEN", 1)
    opened: list[str] = []
    of = module.of
    monkeypatch.setattr(module, "of", lambda paths: opened.append(paths[0].name) or of(paths))
    for name in ("rnnsearch <1>", "rnnsearch <1>", "attention_speech <1>", "rnnsearch <1>"):
        assert gallery.get(f"/runs/{name}/").status_code == 200
    assert opened == ["rnnsearch <1>", "attention_speech <1>", "rnnsearch <1>"]


def test_the_gallery_is_seen(browser: Any, runs: Path, tmp_path: Path) -> None:
    from saccade.app.web.gallery import cards, page_of

    path = tmp_path / "gallery.html"
    path.write_text(page_of(runs, cards(runs)), encoding="utf-8")
    for width in (1280, 390):
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme="dark")
        page.set_default_timeout(LONGEST)
        page.goto(path.as_uri())
        assert page.locator(".runs a").count() == 2
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.close()


def test_the_demo_is_a_run_of_the_package(
    runs: Path, tiny_runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, saccade: Command, tmp_path: Path
) -> None:
    with pytest.raises(NotFound, match="this installation has no demo run; train a run with: saccade train SYSTEM"):
        package.load("demo")
    assert "this installation has no demo run" in saccade("predict", "demo", "We can do that.").err
    monkeypatch.setattr(places, "PACKAGED", tmp_path / "package")
    shutil.copytree(tiny_runs["rnnsearch"], tmp_path / "package")
    shutil.rmtree(tmp_path / "package/pictures")
    answer = str(package.load("demo").predict("We can do that."))
    done = saccade("predict", "demo", "We can do that.")
    assert (done.status, done.out.startswith(answer)) == (0, True)
    assert "picture: runs/pictures/" in done.out  # never into the package
    assert not (tmp_path / "package/pictures").exists()
    done = saccade("explain", "We can do that.", "--model", "demo")
    assert (done.status, "picture: runs/pictures/" in done.out) == (0, True)
    assert not (tmp_path / "demo").exists()

    from saccade.app.web.gallery import Gallery, cards

    assert next(iter(cards(runs))) == "demo"
    testing = pytest.importorskip("starlette.testclient")
    with testing.TestClient(Gallery(runs, {"testserver"}).app()) as client:  # its picture is drawn when it is asked for
        assert "2 runs in runs, and a small one that comes with the package." in client.get("/").text
        assert client.get("/runs/demo/picture.png").content.startswith(b"\x89PNG")
    shutil.copytree(tiny_runs["attention_speech"], tmp_path / "demo")  # a folder of that name comes first
    assert package.load("demo").system == "attention_speech"
