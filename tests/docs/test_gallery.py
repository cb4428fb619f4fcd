"""The gallery has the rows of every deck, each with what shows it; pictures pages show every kind and function."""

import re
from pathlib import Path

import gallery
import live
import pages
import pytest
import quoted
import shown

from saccade.core.errors import InvalidInput
from saccade.explain import plots
from saccade.explain.pictures import kinds

ROOT = Path(__file__).parents[2]
DECKS = gallery.decks(ROOT)
ROWS = [row for _, rows in DECKS for row in rows]
GUIDES = {path: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "guide").glob("*.md")}


def test_every_row_of_the_decks_is_there_once() -> None:
    assert [len(rows) for _, rows in DECKS] == [35, 93, 14, 20, 25]
    assert len({row["name"] for row in ROWS}) == 187


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_what_a_row_names_exists(row: gallery.Row) -> None:
    images = {
        shown.file_name(path, name, end)
        for path, text in GUIDES.items()
        for name, (end, _) in shown.saved(text).items()
    }
    images |= {"sentence-transformer-encoding.gif"}
    if page := row.get("page"):
        made = page.partition("/")[0] in pages.GENERATED
        assert (ROOT / "docs" / page).exists() or made
    for what in row.get("show", ()):
        kind, _, asked = what.partition(" ")
        assert kind in ("formula", "diagram", "image", "kept", "table", "measured", "quoted", *pages.drawings.KINDS)
        if kind == "image":
            assert asked in images
        if kind == "kept":
            assert (ROOT / "docs" / "images" / asked).stat().st_size < 250_000
    assert row["state"] != "stands" or row.get("show") or row.get("page")
    assert "command" not in row or row["command"].startswith("saccade ")


def test_a_page_of_a_deck_says_what_is_not_made_yet() -> None:
    entries: list[object] = []
    made = {path.stem: text for path, text in gallery.pages(ROOT, lambda page, path: page, entries)}
    assert list(made) == ["d0", "d1", "d2", "d3", "d4", "index"]
    said = ("shown here</span>", "here in part</span>", "not made yet</span>", "left out</span>")
    assert sum(made["d0"].count(state) for state in said) == 35
    assert "not made yet</span>" in made["d0"]
    assert "here in part</span>" in made["d1"]
    assert "[`rnnsearch`](../systems/rnnsearch.md)" in made["d1"]
    assert "<math" in made["d1"]
    assert "![GradCAM](../images/heat-maps-two.jpg)" in made["d0"]
    assert entries[0] == ("", "gallery/index.md")
    order = [made["d1"].index(f"{{ #{row['name']} }}") for row in ROWS if row["name"].startswith("d1-")]
    assert order == sorted(order)


def test_every_kind_and_function_of_pictures_is_drawn_on_its_page() -> None:
    [text] = [text for path, text in GUIDES.items() if path.stem == "pictures"]
    code = "".join(shown.BLOCK.findall(text))
    for kind in kinds():
        assert f"from saccade.explain.pictures.{kind} import" in code, kind
    elsewhere = {"Figure", "Panel", "Weights", "animate", "attention_steps"}
    for name in set(plots.__all__) - elsewhere:
        assert re.search(rf"\bplots\.{name}\b", code), name
    others = "".join("".join(shown.BLOCK.findall(text)) for text in GUIDES.values())
    assert all(f"plots.{name}(" in others for name in ("animate", "attention_steps"))


def test_every_picture_that_a_guide_saves_is_shown() -> None:
    for path, text in GUIDES.items():
        marks = [name for kind, words, _ in pages.MARKED.findall(text) if kind == "shown" for name in words.split()]
        assert sorted(marks) == sorted(shown.saved(text)), path.name


def test_what_a_page_asks_for_in_vain_is_named() -> None:
    page = '```python\nplots.save(figure, "arcs", "Heads")\n```\n'
    path = ROOT / "docs" / "guide" / "x.md"
    assert shown.linked(["arcs"], page, path, ROOT / "docs" / "pictures") == "![Heads](../pictures/shown-x-arcs.svg)\n"
    with pytest.raises(InvalidInput, match="no block saves heads; there are arcs"):
        shown.linked(["heads"], page, path, ROOT / "docs" / "pictures")
    with pytest.raises(InvalidInput, match="front or story"):
        live.framed("other", path, ROOT / "docs" / "pictures")
    with pytest.raises(InvalidInput, match="did you mean 'bahdanau'"):
        quoted.table("bahdanu")
    with pytest.raises(InvalidInput, match="growth"):
        quoted.chart("grow")


def test_a_frame_stands_in_the_folder_of_its_page() -> None:
    pictures = ROOT / "docs" / "pictures"
    assert 'src="pictures/live-front.html"' in live.framed("front", ROOT / "docs" / "index.md", pictures)
    assert 'src="../pictures/live-story.html"' in live.framed("story", ROOT / "docs" / "guide" / "x.md", pictures)


def test_blocks_are_run_in_one_scope_and_write_only_what_is_asked_for(tmp_path: Path) -> None:
    blocks = [
        "import torch\nfrom saccade.explain import plots\nwords = ['a', 'b']\nprint('said')",
        "plots.save(plots.alignment(torch.eye(2), words, words), 'one', 'A map')\n"
        "plots.save(plots.alignment(torch.eye(2), words, words), 'two', 'Another')",
    ]
    page = "".join(f"```python\n{block}\n```\n" for block in blocks)
    before = plots.save
    written = shown.draw(tmp_path / "page.md", page, ["one"], tmp_path / "pictures")
    assert [path.name for path in written] == ["shown-page-one.svg"]
    assert plots.save is before
    assert not shown.draw(tmp_path / "page.md", page, ["one"], tmp_path / "pictures")


def test_the_numbers_of_a_paper_stand_beside_ours() -> None:
    table = quoted.table("bahdanau")
    assert "| RNNsearch-50 | 26.75 | 34.16 | `rnnsearch words-30` |" in table
    assert "| Moses, a phrase-based system | 33.30 | 35.63 | quoted, not run | – | – |" in table
