"""Evidence of several seeds in tables, and the tables and pictures that a page asks for."""

import json
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest

from saccade.app import catalogue, pages, series, tables
from saccade.core.errors import InvalidInput
from tests.app.conftest import Command

ROOT = Path(__file__).parents[2]


def evidence(
    seed: int, bleu: float, day: int = 1, variant: str = "default", changed: dict[str, Any] | None = None,
    data: str = "a", system: str = "rnnsearch", **figures: Any,
) -> dict[str, Any]:  # fmt: skip
    """Of a run that never was."""
    lengths = [{"words": words, "sentences": 7, "bleu": bleu + more} for words, more in (("1-2", 1.0), ("3-", -1.0))]
    test = {"decisive": "bleu", "bleu": bleu, "chrf": bleu + 20, "sentences": 14, "by_length": lengths, **figures}
    return {
        "system": system, "variant": variant, "changed": changed or {}, "date": f"2026-01-{day:02}T00:00:00Z",
        "command": None, "commit": "c0ffee0", "versions": {}, "seeds": [seed], "wall_seconds": 60.0 * seed,
        "hardware": {"machine": "m", "processor": "a processor", "cores": 2, "device": "cpu"},
        "parameters": 1234, "data": {"data": "some pairs", "sha256": data},
        "paper": {
            "title": "None", "authors": "Nobody", "year": 2026, "arxiv": "0000.00000", "target": "table 1",
            "number": "26.75 BLEU",
        },
        "metrics": {"test": test}, "claims": [], "config": {},
    }  # fmt: skip


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A checkout with the real systems, whose evidence is three seeds of RNNsearch and nothing else."""
    shutil.copytree(
        catalogue.SYSTEMS, tmp_path / "src" / "saccade" / "systems", ignore=shutil.ignore_patterns("evidence")
    )
    monkeypatch.setattr(catalogue, "SYSTEMS", tmp_path / "src" / "saccade" / "systems")
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for seed, bleu in ((1, 40.0), (2, 41.0), (3, 42.0)):
        keep(evidence(seed, bleu, alignment={"aer": bleu / 100}))
    return tmp_path


def keep(found: dict[str, Any]) -> None:
    folder = catalogue.SYSTEMS / found["system"] / "evidence"
    folder.mkdir(exist_ok=True)
    (folder / f"{len(list(folder.iterdir()))}.json").write_text(json.dumps(found))


def page(house: Path, text: str, name: str = "guide/page.md") -> Path:
    path = house / "docs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_group_is_the_newest_run_of_each_seed_on_the_newest_data() -> None:
    runs = [
        evidence(1, 1.0, data="old"), evidence(3, 2.0, data="old"), evidence(1, 3.0, 2), evidence(2, 4.0, 3),
        evidence(1, 5.0, 4), evidence(1, 6.0, 5, changed={"model.size": 7}), evidence(1, 7.0, 6, variant="tiny"),
    ]  # fmt: skip
    found = [[one["metrics"]["test"]["bleu"] for one in group] for group in tables.groups(runs)]
    assert found == [[4.0, 5.0], [6.0], [7.0]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([29.387], "29.39"),
        ([1.0, 2.0, 4.0], "2.33 ± 1.53"),
        ([0.25, 0.27], "0.260 ± 0.014"),
        ([3736248], "3,736,248"),
        ([12345, 12345], "12,345"),
        ([10, 12], "11.00 ± 1.41"),
        ([5.0, 5.0], "5.00 ± 0.00"),
        ([2188.2, 2291.7], "2,240 ± 73"),
    ],
)
def test_spread(values: list[float], expected: str) -> None:
    assert tables.spread(values) == expected
    if "±" in expected:
        last = 1 if "." not in expected else 0.01  # of the places that are shown
        assert float(expected.split(" ± ")[1]) == pytest.approx(statistics.stdev(values), abs=last / 2)


def test_a_result_has_the_spread_of_every_figure_that_all_runs_have() -> None:
    group = [evidence(1, 40.0), evidence(2, 42.0, ter=1.5)]
    assert tables.result(group) == "**BLEU 41.00 ± 1.41** (chrF 61.0 ± 1.4)"
    assert tables.result(group[1:]) == "**BLEU 42.00** (chrF 62.0, ter 1.5)"
    spoken = evidence(1, 0.0, decisive="label_error_rate", label_error_rate=0.93, latency=-0.09)
    assert tables.result([spoken]).startswith("**label error rate 0.930 %** (")
    assert "latency -0.09 s" in tables.result([spoken])


def test_tables_show_the_spread_once_and_runs_one_by_one(house: Path, saccade: Command) -> None:
    keep(evidence(2, 51.0, 9))
    [row] = tables.overview().splitlines()[2:]
    assert "| **BLEU 44.33 ± 5.86** (chrF 64.3 ± 5.9) | some pairs, default | 1,234 | 1, 2, 3 | 2026-01-09 |" in row
    [listed] = [line for line in saccade("list").out.splitlines() if "rnnsearch" in line and "Nobody" in line]
    assert "BLEU 44.33 ± 5.86 (chrF 64.3 ± 5.9)  default: some pairs" in listed
    assert listed.split()[-5:] == ["1,234", "1,", "2,", "3", "2026-01-09"]
    assert len(tables.runs("rnnsearch").splitlines()) == 2 + 4
    assert "±" not in tables.runs("rnnsearch")


def test_list_prefers_the_default_as_it_stands(house: Path, saccade: Command) -> None:
    keep(evidence(1, 99.0, 20, variant="tiny"))
    keep(evidence(1, 98.0, 21, changed={"model.size": 7}))
    assert "BLEU 41.00 ± 1.00" in saccade("list").out


def test_a_page_has_the_table_that_it_asks_for(house: Path, saccade: Command) -> None:
    asked = "rnnencdec:default rnnsearch:default | bleu alignment.aer parameters | All, AER, weights"
    path = page(house, f"# Page\n\n<!-- table {asked} -->\nrotten\n<!-- /table -->\n\nAnd on.\n")
    assert saccade("report", "--write").status == 0
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
    assert "0 pages changed" in saccade("report", "--write").out
    assert not (house / "docs" / "pictures").exists()


def test_columns_are_named_after_metrics_and_what_a_system_lacks_is_a_dash(house: Path) -> None:
    keep(evidence(1, 30.0, system="rnnencdec"))
    found = tables.comparison(["rnnencdec:default", "rnnsearch:default"], ["alignment.aer", "wall_seconds"])
    head, _, encdec, search = found.splitlines()
    assert head == "| system | variant | alignment aer | wall seconds | seeds | training (minutes) |"
    assert encdec == "| `rnnencdec` | default | – | 60.00 | 1 | 1.0 |"
    assert search.startswith("| `rnnsearch` | default | 0.410 ± 0.010 | 120.00 ± 60.00 | 1, 2, 3 |")


def test_a_column_may_say_what_the_runs_say_in_words(house: Path) -> None:
    found = tables.comparison(["rnnsearch:default"], ["decisive", "bleu"], ["judged by", "BLEU"])
    head, _, row = found.splitlines()
    assert head.startswith("| system | variant | judged by | BLEU |")
    assert row.startswith("| `rnnsearch` | default | bleu | ")


def test_a_readme_has_its_table_too_and_so_has_its_page(house: Path) -> None:
    readme = catalogue.SYSTEMS / "rnnsearch" / "README.md"
    readme.write_text(readme.read_text() + "\n<!-- table rnnsearch:default | chrf -->\n<!-- /table -->\n")
    written = dict(pages.pages(house))
    for path in (readme, house / "docs" / "systems" / "rnnsearch.md"):
        assert "| `rnnsearch` | default | 61.00 ± 1.00 | 1, 2, 3 | 2.0 |" in written[path]


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("table rnnserch:default | bleu", "no system 'rnnserch'; did you mean 'rnnsearch'"),
        ("table rnnsearch:defalt | bleu", "no variant 'defalt'; did you mean 'default'"),
        ("table rnnsearch | bleu", "no variant ''"),
        ("table rnnsearch:default | blue", "no metric 'blue' in the evidence; there are: alignment.aer, bleu, "),
        ("table rnnsearch:default | by_length", "no metric 'by_length'"),
        ("table rnnsearch:default | bleu | All, No UNK", "1 variants, 1 metrics, 2 names"),
        ("table rnnsearch:default", "1 variants, 0 metrics"),
        ("table rnnsearch:default | bleu | All | more", "expected variants | metrics | names"),
        ("by-length rnnsearch:defalt", "no variant 'defalt'"),
        ("by-length", "expected variants, such as rnnsearch:default"),
    ],
)
def test_a_page_that_asks_for_what_there_is_not_is_named(house: Path, saccade: Command, mark: str, said: str) -> None:
    kind = mark.split()[0]
    path = page(house, f"<!-- {mark} -->\n<!-- /{kind} -->\n")
    before = (house / "README.md").read_bytes()
    done = saccade("report", "--write")
    assert done.status == 2
    assert str(path) in done.err
    assert said in done.err
    assert (house / "README.md").read_bytes() == before


@pytest.mark.parametrize(
    "text",
    [
        "<!-- table rnnsearch:default | bleu -->\n",
        "<!-- /by-length -->\n",
        "<!-- table rnnsearch:default | bleu -->\n<!-- /by-length -->\n",
        "<!-- table rnnsearch:default | bleu -->\n<!-- table rnnsearch:default | bleu -->\n<!-- /table -->\n",
    ],
)
def test_marks_without_their_pair_are_refused(house: Path, text: str) -> None:
    page(house, text)
    with pytest.raises(InvalidInput, match=r"page\.md: expected pairs of marks"):
        list(pages.pages(house))


def test_a_page_has_the_picture_by_length_that_it_asks_for(house: Path, saccade: Command) -> None:
    pytest.importorskip("matplotlib")
    keep(evidence(1, 30.0, system="rnnencdec"))
    mark = "<!-- by-length rnnencdec:default rnnsearch:default rnnsearch:multi30k -->"
    text = f"{mark}\n<!-- /by-length -->\n"
    paths = [page(house, text), page(house, text, "front.md")]
    done = saccade("report", "--write")
    assert done.status == 0, done.err
    name = "pictures/by-length-rnnencdec-default-rnnsearch-default-rnnsearch-multi30k.svg"
    assert f"docs/{name}" in done.out
    for path, up in zip(paths, ("../", ""), strict=True):
        alternative = "BLEU by length of the source, mean over the seeds: rnnencdec:default, rnnsearch:default"
        found = f"{mark}\n![{alternative}]({up}{name})\n\nNot run yet: `rnnsearch:multi30k`.\n<!-- /by-length -->\n"
        assert path.read_text() == found
    drawn = (house / "docs" / name).read_text()
    assert all(said in drawn for said in ("rnnencdec default", "rnnsearch default", "1–2", "3+", alternative))
    assert "0 pages changed" in saccade("report", "--write").out


def test_scores_by_length_are_the_mean_of_the_seeds(house: Path) -> None:
    metric, found = series.by_length(["rnnsearch:default", "rnnencdec:default"])
    assert metric == "bleu"
    assert found == {
        "rnnsearch:default": [
            {"words": "1-2", "sentences": 7, "bleu": 42.0},
            {"words": "3-", "sentences": 7, "bleu": 40.0},
        ]
    }


def test_without_evidence_there_is_a_line_and_no_picture(house: Path, saccade: Command) -> None:
    path = page(house, "<!-- by-length rnnencdec:default -->\n![old](old.svg)\n<!-- /by-length -->\n")
    assert saccade("report", "--write").status == 0
    assert path.read_text().splitlines()[1] == "Not run yet: `rnnencdec:default`."
    assert not (house / "docs" / "pictures").exists()


def test_runs_that_one_picture_cannot_hold_are_refused(house: Path) -> None:
    keep(evidence(1, 30.0, system="rnnencdec", decisive="chrf"))
    with pytest.raises(InvalidInput, match="one metric for all; got bleu and chrf"):
        series.by_length(["rnnencdec:default", "rnnsearch:default"])
    unmeasured = evidence(1, 30.0, variant="multi30k")
    del unmeasured["metrics"]["test"]["by_length"]
    keep(unmeasured)
    with pytest.raises(InvalidInput, match="scored by length"):
        series.by_length(["rnnsearch:multi30k"])


def test_a_readme_asks_for_no_picture(house: Path) -> None:
    readme = catalogue.SYSTEMS / "rnnsearch" / "README.md"
    readme.write_text(readme.read_text() + "\n<!-- by-length rnnsearch:default -->\n<!-- /by-length -->\n")
    with pytest.raises(InvalidInput, match=r"README\.md: .* pages of docs/ only"):
        list(pages.pages(house))


def over(*rows: tuple[str, float], field: str = "search.beam") -> dict[str, Any]:
    return {"over": {field: {"split": "test", "rows": [{"value": value, "bleu": bleu} for value, bleu in rows]}}}


def test_a_page_has_the_curve_that_it_asks_for(house: Path, saccade: Command) -> None:
    pytest.importorskip("matplotlib")
    for seed, bleu in ((4, 30.0), (5, 32.0)):
        curves = over(("1", bleu - 2), ("5", bleu))
        curves["over"] |= over(("1", bleu - 3), field="search.beam+search.length_penalty=0")["over"]
        keep(evidence(seed, bleu, variant="multi30k", **curves))
    other = "rnnsearch:multi30k+search.length_penalty=0"
    assert series.over("search.beam", "bleu", [other]) == {other: [("1", 28.0)]}
    mark = f"<!-- over search.beam bleu rnnsearch:multi30k {other} rnnencdec:default -->"
    path = page(house, f"{mark}\n<!-- /over -->\n")
    assert series.over("search.beam", "bleu", ["rnnsearch:multi30k", "rnnencdec:default"]) == {
        "rnnsearch:multi30k": [("1", 29.0), ("5", 31.0)]
    }
    assert saccade("report", "--write").status == 0
    name = "over-search-beam-bleu-rnnsearch-multi30k-rnnsearch-multi30k-search-length_penalty-0-rnnencdec-default"
    drawn = f"![BLEU over beam, mean over the seeds: rnnsearch:multi30k, {other}](../pictures/{name}.svg)"
    assert path.read_text() == f"{mark}\n{drawn}\n\nNot run yet: `rnnencdec:default`.\n<!-- /over -->\n"
    assert "rnnsearch multi30k, length_penalty 0" in (house / "docs" / "pictures" / f"{name}.svg").read_text()
    assert "0 pages changed" in saccade("report", "--write").out


def test_a_curve_of_what_was_not_kept_is_refused(house: Path) -> None:
    keep(evidence(4, 30.0, variant="multi30k", **over(("1", 30.0))))
    for asked, said in (
        ("search.beam chrf rnnsearch:multi30k", "chrf was not kept over search.beam; there are value, bleu"),
        ("search.beam bleu", "expected a field, a metric and variants"),
    ):
        page(house, f"<!-- over {asked} -->\n<!-- /over -->\n")
        with pytest.raises(InvalidInput, match=said):
            list(pages.pages(house))


def test_a_page_has_what_one_benchmark_found(house: Path) -> None:
    folder = house / "benchmarks" / "evidence"
    folder.mkdir(parents=True)
    for name in ("race", "walk"):
        found = {"benchmark": name, "summary": {f"the {name}": "2 x"}, "processor": "a processor", "cores": 2,
                 "torch": "2", "date": "2026-01-01"}  # fmt: skip
        (folder / f"1-{name}.json").write_text(json.dumps(found))
    path = page(house, "<!-- measured walk -->\n<!-- /measured -->\n")
    written = dict(pages.pages(house))[path]
    assert "| the walk | 2 x | `benchmarks/walk.py` |" in written
    assert "the race" not in written


def look(*weights: float, columns: str = "abc", **labels: Any) -> dict[str, Any]:
    return {
        "rows": ["x"], "columns": list(columns), "rows_label": "target", "columns_label": "source", "values": "weight",
        "weights": [list(weights)], **labels,
    }  # fmt: skip


def test_a_page_has_the_looks_that_it_asks_for(house: Path, saccade: Command) -> None:
    pytest.importorskip("matplotlib")
    keep(evidence(1, 30.0, variant="row-dot") | {"look": look(0.1, 0.2, 0.7)})
    keep(evidence(1, 31.0, variant="row-concat") | {"look": look(1.0, 0.0, 0.0)})
    mark = "<!-- looks rnnsearch:row-dot rnnsearch:row-concat rnnsearch:row-hard -->"
    path = page(house, f"{mark}\n<!-- /looks -->\n")
    done = saccade("report", "--write")
    assert done.status == 0, done.err
    name = "pictures/looks-rnnsearch-row-dot-rnnsearch-row-concat-rnnsearch-row-hard.svg"
    described = "Weight of x (rows) to a b c (columns): rnnsearch:row-dot, rnnsearch:row-concat"
    assert f"![{described}](../{name})\n\nNot run yet: `rnnsearch:row-hard`.\n" in path.read_text()
    drawn = (house / "docs" / name).read_text()
    assert all(f">{said}<" in drawn for said in ("dot", "concat", "source", "target", "a", "x"))
    assert "0 pages changed" in saccade("report", "--write").out


def test_looks_at_a_sound_stand_one_above_another_at_a_value_of_an_evaluation(house: Path, saccade: Command) -> None:
    pytest.importorskip("matplotlib")
    at = {"1": look(0.5, 0.5, 0.0, step=0.5), "4": look(0.1, 0.2, 0.7, step=0.5)}
    rows = [{"value": value, "label_error_rate": 1.0, "look": each} for value, each in at.items()]
    # all symbols that there are in place of the answer's own, and steps that are shorter
    other = {
        "rows_label": "symbol",
        "rows": ["y"],
        "columns": list("abcd"),
        "weights": [[0.1, 0.2, 0.3, 0.4]],
        "step": 0.4,
    }
    for variant, more in (("row-dot", {}), ("row-concat", other)):
        one = evidence(1, 30.0, variant=variant)
        longer = [{**row, "look": {**row["look"], **more}} for row in rows]
        one["metrics"]["test"]["over"] = {"task.longer+model.x=2": {"rows": longer}}
        keep(one)
    names = [f"rnnsearch:{variant}+model.x=2@task.longer=4" for variant in ("row-dot", "row-concat")]
    assert series.looks(names)[names[0]] == at["4"]
    with pytest.raises(InvalidInput, match=r"row-dot@task.longer=4: expected runs that kept where they look"):
        series.looks(["rnnsearch:row-dot@task.longer=4"])
    with pytest.raises(InvalidInput, match="where they look"):
        series.looks(["rnnsearch:row-dot+model.x=2@task.longer=3"])
    path = page(house, f"<!-- looks {' '.join(names)} -->\n<!-- /looks -->\n")
    done = saccade("report", "--write")
    assert done.status == 0, done.err
    assert "Weight of x (rows) to 1.5 seconds of sound (columns)" in path.read_text()
    [drawn] = [picture.read_text() for picture in (house / "docs" / "pictures").glob("looks-*.svg")]
    assert all(f">{said}<" in drawn for said in ("time (seconds)", "target", "symbol", "x", "y"))
    assert "dot+model.x=2, longer: 4" in drawn


def test_a_page_has_the_latencies_that_it_asks_for(house: Path, saccade: Command) -> None:
    pytest.importorskip("matplotlib")
    for seed, rows in enumerate(([(-0.1, 3), (0.0, 2)], [(0.0, 5), (0.1, 1)]), start=1):
        kept = [{"seconds": seconds, "labels": labels} for seconds, labels in rows]
        keep(evidence(seed, 30.0, seed, variant="row-cosine", latencies=kept))
    assert [tuple(row.values()) for row in series.latencies(["rnnsearch:row-cosine"])] == [
        (-0.1, 3),
        (0.0, 7),
        (0.1, 1),
    ]
    assert not series.latencies(["rnnsearch:row-dot"])
    with pytest.raises(InvalidInput, match="expected one variant, such as online_speech:default; got 2"):
        series.latencies(["rnnsearch:row-cosine", "rnnsearch:row-dot"])
    path = page(house, "<!-- latency rnnsearch:row-cosine -->\n<!-- /latency -->\n")
    done = saccade("report", "--write")
    assert done.status == 0, done.err
    described = "Seconds from the end of what was said until its label, all seeds: rnnsearch:row-cosine"
    assert f"![{described}](../pictures/latency-rnnsearch-row-cosine.svg)" in path.read_text()
    assert (
        ">delay of a label (seconds)<" in (house / "docs" / "pictures" / "latency-rnnsearch-row-cosine.svg").read_text()
    )
    keep(evidence(3, 30.0, 3, variant="row-dot"))
    with pytest.raises(InvalidInput, match="row-dot: expected runs that kept how late"):
        series.latencies(["rnnsearch:row-dot"])


def test_looks_are_of_the_newest_run_and_of_one_example(house: Path) -> None:
    keep(evidence(1, 30.0, 1, variant="row-dot") | {"look": look(0.0, 1.0, 0.0)})
    keep(evidence(2, 30.0, 2, variant="row-dot") | {"look": look(0.1, 0.2, 0.7)})
    assert series.looks(["rnnsearch:row-dot", "rnnsearch:row-hard"]) == {"rnnsearch:row-dot": look(0.1, 0.2, 0.7)}
    with pytest.raises(InvalidInput, match="expected variants"):
        series.looks([])
    with pytest.raises(InvalidInput, match="kept where they look"):
        series.looks(["rnnsearch:row-dot", "rnnsearch:default"])
    keep(evidence(1, 31.0, variant="row-concat") | {"look": look(1.0, 0.0, columns="ab")})
    with pytest.raises(InvalidInput, match="same example"):
        series.looks(["rnnsearch:row-dot", "rnnsearch:row-concat"])
