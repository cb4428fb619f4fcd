"""Pictures of pages: series, findings of studies and stored pictures, over seeds."""

from pathlib import Path
from typing import Any

import kept
import numpy as np
import pages
import pytest

from saccade.core.errors import InvalidInput
from saccade.explain.pictures.alignment import Alignment
from saccade.explain.pictures.image_overlay import ImageOverlay
from tests.evidence import checkout, evidence, keep, series


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return checkout(monkeypatch, tmp_path)


def page(house: Path, text: str) -> Path:
    path = house / "docs" / "guide" / "page.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_curve_is_the_mean_over_seeds(house: Path) -> None:
    found = kept.series("by_length", ["rnnsearch:default", "rnnencdec:default"])
    assert list(found) == ["rnnsearch:default"]
    one = found["rnnsearch:default"]
    assert (one.x, one.y, one.counts) == (["1-2", "3-"], [42.0, 40.0], [7, 7])
    assert (one.x_label, one.y_label) == ("words of the source", "BLEU")


def test_runs_that_do_not_fit_into_one_picture_are_refused(house: Path) -> None:
    other = series([1.0, 2.0], ["1-2", "3-"], y_label="chrF")
    keep(evidence(1, 30.0, system="rnnencdec", series={"by_length": other}))
    with pytest.raises(InvalidInput, match="one pair of axes for the series by_length of all variants"):
        kept.series("by_length", ["rnnencdec:default", "rnnsearch:default"])
    keep(evidence(1, 30.0, variant="multi30k", series={}))
    with pytest.raises(InvalidInput, match="rnnsearch:multi30k: expected runs whose score has the series by_length"):
        kept.series("by_length", ["rnnsearch:multi30k"])


def test_counts_of_all_seeds_are_added_and_drawn(house: Path) -> None:
    for seed, (x, y) in enumerate((([-0.1, 0.0], [3, 2]), ([0.0, 0.1], [5, 1])), start=1):
        delays = series(list(y), list(x), x_label="delay of a label (seconds)", y_label="labels", kind="histogram")
        keep(evidence(seed, 30.0, seed, variant="row-cosine", series={"delays": delays}))
    one = kept.series("delays", ["rnnsearch:row-cosine"])["rnnsearch:row-cosine"]
    assert list(zip(one.x, one.y, strict=True)) == [(-0.1, 3), (0.0, 7), (0.1, 1)]
    assert not kept.series("delays", ["rnnsearch:row-dot"])
    path = page(house, "<!-- series delays rnnsearch:row-cosine -->\n<!-- /series -->\n")
    pages.write(house)
    described = "labels over delay of a label (seconds), all seeds: rnnsearch cosine"
    name = "series-delays-rnnsearch-row-cosine.svg"
    assert f"![{described}](../pictures/{name})" in path.read_text()
    assert ">delay of a label (seconds)<" in (house / "docs" / "pictures" / name).read_text()
    keep(evidence(3, 30.0, 3, variant="row-dot"))
    with pytest.raises(InvalidInput, match="row-dot: expected runs whose score has the series delays"):
        kept.series("delays", ["rnnsearch:row-dot"])


def over(*rows: tuple[str, float], field: str = "search.beam") -> dict[str, Any]:
    """The findings of the study at each value."""
    return {field: {"split": "test", "rows": [{"value": value, "bleu": bleu} for value, bleu in rows]}}


def test_a_page_has_the_curve_of_its_mark(house: Path) -> None:
    for seed, bleu in ((4, 30.0), (5, 32.0)):
        curves = over(("1", bleu - 2), ("5", bleu))
        curves |= over(("1", bleu - 3), field="search.beam+search.length_penalty=0")
        keep(evidence(seed, bleu, variant="multi30k", studies={"over": curves}))
    other = "rnnsearch:multi30k+search.length_penalty=0"
    found, named = kept.study("over", "search.beam", "bleu", [other])
    assert named == "BLEU"
    assert (found[other].x, found[other].y) == (["1"], [28.0])
    found, _ = kept.study("over", "search.beam", "bleu", ["rnnsearch:multi30k", "rnnencdec:default"])
    assert {name: (one.x, one.y) for name, one in found.items()} == {"rnnsearch:multi30k": (["1", "5"], [29.0, 31.0])}
    mark = f"<!-- study over search.beam bleu rnnsearch:multi30k {other} rnnencdec:default -->"
    path = page(house, f"{mark}\n<!-- /study -->\n")
    pages.write(house)
    [svg] = (house / "docs" / "pictures").glob("study-over-search-beam-bleu-*.svg")
    drawn = (
        "![BLEU over beam, all seeds: rnnsearch multi30k, rnnsearch multi30k, length penalty 0]"
        f"(../pictures/{svg.name})"
    )
    assert path.read_text() == f"{mark}\n{drawn}\n\nNot run yet: `rnnencdec:default`.\n<!-- /study -->\n"
    assert ">multi30k, length penalty 0<" in svg.read_text()  # the system is that of all lines
    assert not pages.write(house)


def test_a_curve_that_was_not_stored_is_refused(house: Path) -> None:
    keep(evidence(4, 30.0, variant="multi30k", studies={"over": over(("1", 30.0))}))
    page(house, "<!-- study over search.beam chrf rnnsearch:multi30k -->\n<!-- /study -->\n")
    with pytest.raises(InvalidInput, match=r"chrf over search\.beam was not stored; there are value, bleu"):
        list(pages.pages(house))


def alignment(*weights: float, columns: str = "abc") -> dict[str, Any]:
    """An alignment as stored in evidence."""
    return {
        "kind": "alignment", "name": "alignment", "title": "", "rows": ["x"], "columns": list(columns),
        "rows_label": "target", "columns_label": "source", "values": "weight", "weights": [list(weights)],
    }  # fmt: skip


def sound(*weights: float, **more: Any) -> dict[str, Any]:
    """A sound as stored in evidence."""
    return {
        "kind": "sound", "name": "sound", "title": "", "rows": ["x"], "rows_label": "label", "values": "weight",
        "step": 0.5, "weights": [list(weights)], **more,
    }  # fmt: skip


def test_a_page_has_the_pictures_of_its_mark(house: Path) -> None:
    keep(evidence(1, 30.0, variant="row-dot", pictures=[alignment(0.1, 0.2, 0.7)]))
    keep(evidence(1, 31.0, variant="row-concat", pictures=[alignment(1.0, 0.0, 0.0)]))
    mark = "<!-- pictures rnnsearch:row-dot rnnsearch:row-concat rnnsearch:row-hard -->"
    path = page(house, f"{mark}\n<!-- /pictures -->\n")
    pages.write(house)
    images = []
    for variant in ("dot", "concat"):
        name = f"pictures/pictures-rnnsearch-row-{variant}.svg"
        drawn = (house / "docs" / name).read_text()
        assert all(f">{said}<" in drawn for said in (variant, "source", "target", "a", "x"))
        alternative = kept.pictures([f"rnnsearch:row-{variant}"])[f"rnnsearch:row-{variant}"].description()
        images.append(f"![{alternative}: rnnsearch:row-{variant}](../{name})\n")
    # images in one paragraph stand two a row
    assert "".join(images) + "\nNot run yet: `rnnsearch:row-hard`.\n" in path.read_text()
    assert not pages.write(house)


def test_maps_of_several_systems_stand_over_one_image(house: Path) -> None:
    image = [[0.0, 0.5], [1.0, 0.2]]

    def overlay(label: str, image: list[list[float]], *maps: float) -> dict[str, Any]:
        places = np.array([[maps], [maps[::-1]]])
        picture = ImageOverlay("grad-cam", np.array(image), places, [label, "cat"], "Grad-CAM")
        return {"kind": "image_overlay", **picture.plain()}

    keep(evidence(1, 30.0, variant="row-dot", pictures=[overlay("dog (90 %)", image, 0.0, 9.0)]))
    keep(evidence(1, 31.0, system="rnnencdec", pictures=[overlay("frog (60 %)", image, 0.2, 0.1)]))
    names = "rnnsearch:row-dot/grad-cam", "rnnencdec:default/grad-cam"
    page(house, f"<!-- pictures {' '.join(names)} -->\n<!-- /pictures -->\n")
    pages.write(house)
    [drawn] = [picture.read_text() for picture in (house / "docs" / "pictures").glob("pictures-*.svg")]
    assert all(
        f">{said}<" in drawn for said in ("rnnsearch: dog", "rnnencdec: frog", "(60\N{NO-BREAK SPACE}%)", "1.00")
    )
    assert ">cat<" not in drawn
    keep(evidence(2, 31.0, 3, system="rnnencdec", pictures=[overlay("dog", image[::-1], 0.0, 1.0)]))
    with pytest.raises(InvalidInput, match="one example"):
        list(pages.pages(house))


def test_sounds_at_a_value_of_a_study_are_stacked(house: Path) -> None:
    at = {"1": sound(0.5, 0.5, 0.0), "4": sound(0.1, 0.2, 0.7)}
    # the whole alphabet instead of the answer's symbols, and shorter steps
    other = {"rows_label": "symbol", "rows": ["y"], "weights": [[0.1, 0.2, 0.3, 0.4]], "step": 0.4}
    for variant, more in (("row-dot", {}), ("row-concat", other)):
        rows = [{"value": value, "label_error_rate": 1.0, "picture": one | more} for value, one in at.items()]
        studies = {"over": {"task.longer+model.x=2": {"split": "test", "rows": rows}}}
        keep(evidence(1, 30.0, variant=variant, studies=studies))
    names = [f"rnnsearch:{variant}+model.x=2@task.longer=4" for variant in ("row-dot", "row-concat")]
    assert kept.pictures(names)[names[0]].plain()["weights"] == at["4"]["weights"]
    with pytest.raises(InvalidInput, match=r"row-dot@task.longer=4: expected runs with a stored picture"):
        kept.pictures(["rnnsearch:row-dot@task.longer=4"])
    with pytest.raises(InvalidInput, match="stored picture"):
        kept.pictures(["rnnsearch:row-dot+model.x=2@task.longer=3"])
    path = page(house, f"<!-- pictures {' '.join(names)} -->\n<!-- /pictures -->\n")
    pages.write(house)
    assert "Weight of x (rows) over 1.5 seconds of sound: " in path.read_text()
    [drawn] = [picture.read_text() for picture in (house / "docs" / "pictures").glob("pictures-*.svg")]
    assert all(f">{said}<" in drawn for said in ("time (seconds)", "label", "symbol", "x", "y"))
    assert all(f">{said}<" in drawn for said in ("dot", "concat"))  # without what they share


def test_pictures_are_of_the_newest_run_and_of_one_example(house: Path) -> None:
    keep(evidence(1, 30.0, 1, variant="row-dot", pictures=[alignment(0.0, 1.0, 0.0)]))
    keep(evidence(2, 30.0, 2, variant="row-dot", pictures=[alignment(0.1, 0.2, 0.7), sound(1.0)]))
    [(name, found)] = kept.pictures(["rnnsearch:row-dot", "rnnsearch:row-hard"]).items()
    assert name == "rnnsearch:row-dot"
    assert isinstance(found, Alignment)
    assert {"kind": "alignment", **found.plain()} == alignment(0.1, 0.2, 0.7)
    with pytest.raises(InvalidInput, match="expected variants"):
        kept.pictures([])
    with pytest.raises(InvalidInput, match="stored picture"):
        kept.pictures(["rnnsearch:row-dot", "rnnsearch:default"])
    keep(evidence(1, 31.0, variant="row-concat", pictures=[alignment(1.0, 0.0, columns="ab")]))
    page(house, "<!-- pictures rnnsearch:row-dot rnnsearch:row-concat -->\n<!-- /pictures -->\n")
    with pytest.raises(InvalidInput, match="one example"):
        list(pages.pages(house))
    keep(evidence(2, 31.0, 3, variant="row-concat", pictures=[sound(1.0)]))
    with pytest.raises(InvalidInput, match="expected alignments, sounds or maps over an image, of all variants"):
        list(pages.pages(house))


def test_a_finding_stands_until_it_is_repeated(house: Path) -> None:
    first = {"studies": {"over": over(("1", 30.0))}, "pictures": [alignment(0.1, 0.2, 0.7)]}
    keep(evidence(1, 30.0, 1, variant="multi30k", **first))
    keep(evidence(1, 31.0, 2, variant="multi30k"))  # trained anew, without the study and the picture
    found, _ = kept.study("over", "search.beam", "bleu", ["rnnsearch:multi30k"])
    assert found["rnnsearch:multi30k"].y == [30.0]
    assert kept.pictures(["rnnsearch:multi30k"])["rnnsearch:multi30k"].plain()["weights"] == [[0.1, 0.2, 0.7]]
    keep(evidence(1, 31.0, 3, variant="multi30k", studies={"over": over(("1", 31.0))}))
    found, _ = kept.study("over", "search.beam", "bleu", ["rnnsearch:multi30k"])
    assert found["rnnsearch:multi30k"].y == [31.0]
