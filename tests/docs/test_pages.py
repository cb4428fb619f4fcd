"""Tables and pictures of marks in pages, and invalid marks."""

import json
from collections.abc import Sequence
from pathlib import Path

import pages
import pytest

from saccade.core.errors import InvalidInput
from saccade.runs import catalogue
from tests.evidence import checkout, evidence, keep


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return checkout(monkeypatch, tmp_path)


def page(house: Path, text: str, name: str = "guide/page.md") -> Path:
    path = house / "docs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def written(house: Path) -> Sequence[str]:
    """The pages and pictures that changed."""
    return [path.relative_to(house).as_posix() for path in pages.write(house)]


def test_a_page_has_the_table_of_its_mark(house: Path) -> None:
    asked = "rnnencdec:default rnnsearch:default | bleu alignments.aer parameters | All, AER, weights"
    path = page(house, f"# Page\n\n<!-- table {asked} -->\nrotten\n<!-- /table -->\n\nAnd on.\n")
    assert "docs/guide/page.md" in written(house)
    expected = f"""# Page

<!-- table {asked} -->
| system | variant | All | AER | weights | seeds | training (minutes) |
| --- | --- | --- | --- | --- | --- | --- |
| `rnnencdec` | default | not run yet |  |  |  |  |
| `rnnsearch` | default | 41.00 ± 1.00 | 0.410 ± 0.010 | 1,234 | 1, 2, 3 | 2.0 |
<!-- /table -->

And on.
"""
    assert path.read_text() == expected
    assert not written(house)
    assert not (house / "docs" / "pictures").exists()


def test_a_readme_and_its_page_have_the_table(house: Path) -> None:
    readme = catalogue.SYSTEMS / "rnnsearch" / "README.md"
    readme.write_text(readme.read_text() + "\n<!-- table rnnsearch:default | chrf -->\n<!-- /table -->\n")
    made = dict(pages.pages(house))
    for path in (readme, house / "docs" / "systems" / "rnnsearch.md"):
        assert "| `rnnsearch` | default | 61.00 ± 1.00 | 1, 2, 3 | 2.0 |" in made[path]


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("table rnnserch:default | bleu", "no system 'rnnserch'; did you mean 'rnnsearch'"),
        ("table rnnsearch:defalt | bleu", "no variant 'defalt'; did you mean 'default'"),
        ("table rnnsearch | bleu", "no variant ''"),
        ("table rnnsearch:default | blue", "no metric 'blue' in the evidence; there are: alignments.aer, bleu, "),
        ("table rnnsearch:default | by_length", "no metric 'by_length'"),
        ("table rnnsearch:default | bleu | All, No UNK", "1 variants, 1 metrics, 2 names"),
        ("table rnnsearch:default", "1 variants, 0 metrics"),
        ("table rnnsearch:default | bleu | All | more", "expected variants | metrics | names"),
        ("series by_length rnnsearch:defalt", "no variant 'defalt'"),
        ("series by_length", "expected variants, such as rnnsearch:default"),
        ("series", "expected variants, such as rnnsearch:default"),
        ("study over search.beam bleu", "expected a study, a field, a metric and variants"),
        ("pictures", "expected variants, such as rnnsearch:default"),
    ],
)
def test_a_page_with_an_invalid_mark_is_named(house: Path, mark: str, said: str) -> None:
    kind = mark.split()[0]
    path = page(house, f"<!-- {mark} -->\n<!-- /{kind} -->\n")
    before = (house / "README.md").read_bytes()
    with pytest.raises(InvalidInput) as refused:
        pages.write(house)
    assert str(path) in str(refused.value)
    assert said in str(refused.value)
    assert (house / "README.md").read_bytes() == before


@pytest.mark.parametrize(
    "text",
    [
        "<!-- table rnnsearch:default | bleu -->\n",
        "<!-- /series -->\n",
        "<!-- table rnnsearch:default | bleu -->\n<!-- /series -->\n",
        "<!-- table rnnsearch:default | bleu -->\n<!-- table rnnsearch:default | bleu -->\n<!-- /table -->\n",
    ],
)
def test_unpaired_marks_are_refused(house: Path, text: str) -> None:
    page(house, text)
    with pytest.raises(InvalidInput, match=r"page\.md: expected pairs of marks"):
        list(pages.pages(house))


def test_a_page_has_the_picture_of_its_series(house: Path) -> None:
    keep(evidence(1, 30.0, system="rnnencdec"))
    mark = "<!-- series by_length rnnencdec:default rnnsearch:default rnnsearch:multi30k -->"
    text = f"{mark}\n<!-- /series -->\n"
    paths = [page(house, text), page(house, text, "front.md")]
    name = "pictures/series-by_length-rnnencdec-default-rnnsearch-default-rnnsearch-multi30k.svg"
    assert f"docs/{name}" in written(house)
    alternative = "BLEU over words of the source, all seeds: rnnencdec default, rnnsearch default"
    for path, up in zip(paths, ("../", ""), strict=True):
        found = f"{mark}\n![{alternative}]({up}{name})\n\nNot run yet: `rnnsearch:multi30k`.\n<!-- /series -->\n"
        assert path.read_text() == found
    drawn = (house / "docs" / name).read_text()
    assert all(said in drawn for said in ("rnnencdec default", "rnnsearch default", ">1–2<", ">3+<", alternative))
    assert not written(house)


def test_without_evidence_there_is_a_line_and_no_picture(house: Path) -> None:
    path = page(house, "<!-- series by_length rnnencdec:default -->\n![old](old.svg)\n<!-- /series -->\n")
    pages.write(house)
    assert path.read_text().splitlines()[1] == "Not run yet: `rnnencdec:default`."
    assert not (house / "docs" / "pictures").exists()


def test_a_readme_cannot_include_pictures(house: Path) -> None:
    readme = catalogue.SYSTEMS / "rnnsearch" / "README.md"
    readme.write_text(readme.read_text() + "\n<!-- series by_length rnnsearch:default -->\n<!-- /series -->\n")
    with pytest.raises(InvalidInput, match=r"README\.md: .* pages of docs/ only"):
        list(pages.pages(house))


def test_a_page_has_the_results_of_one_benchmark(house: Path) -> None:
    folder = house / "benchmarks" / "evidence"
    folder.mkdir(parents=True)
    for name in ("race", "walk"):
        found = {"benchmark": name, "summary": {f"the {name}": "2 x"}, "processor": "a processor", "cores": 2,
                 "torch": "2", "date": "2026-01-01"}  # fmt: skip
        (folder / f"1-{name}.json").write_text(json.dumps(found))
    path = page(house, "<!-- measured walk -->\n<!-- /measured -->\n")
    made = dict(pages.pages(house))[path]
    assert "| the walk | 2 x | `benchmarks/walk.py` |" in made
    assert "the race" not in made
