"""Evidence of several seeds in tables: which runs count, their spread, and its format."""

import statistics
from pathlib import Path

import pytest

from saccade.core.errors import InvalidInput, NotFound
from saccade.runs import results
from tests.conftest import Command
from tests.evidence import checkout, evidence, keep


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return checkout(monkeypatch, tmp_path)


def test_a_group_is_the_newest_run_of_each_seed_on_the_newest_data() -> None:
    runs = [
        evidence(1, 1.0, data="old"), evidence(3, 2.0, data="old"), evidence(1, 3.0, 2), evidence(2, 4.0, 3),
        evidence(1, 5.0, 4), evidence(1, 6.0, 5, changed={"model.size": 7}), evidence(1, 7.0, 6, variant="tiny"),
    ]  # fmt: skip
    found = [[one["metrics"]["test"]["bleu"] for one in group] for group in results.groups(runs)]
    assert found == [[4.0, 5.0], [6.0], [7.0]]


def test_a_group_has_no_runs_of_earlier_settings() -> None:
    def trained(seed: int, **settings: int) -> results.Evidence:
        return evidence(seed, 1.0, config={"training": settings})

    last = trained(2, steps=20, threads=2)
    for other, together in (
        (trained(1, steps=20, threads=1), True), (trained(1, steps=10), False), (trained(1, batch_size=7), True),
        (evidence(1, 1.0), True), (evidence(1, 1.0) | {"parameters": 99}, False),
    ):  # fmt: skip
        assert results.groups([other, last]) == [[other, last] if together else [last]]


def test_a_claim_against_another_variant_is_decided_once_that_has_evidence(house: Path, saccade: Command) -> None:
    claim = {
        "metric": "bleu", "direction": "max", "variant": "row", "why": "it should", "against": "other", "factor": 2.0,
        "split": "test", "over": "each", "value": 50.0, "bound": None, "holds": None,
    }  # fmt: skip
    keep(evidence(1, 50.0, 5, variant="row", claims=[claim]))
    assert "BLEU better than that of other (factor 2): not decided yet" in saccade("list", "rnnsearch").out
    assert results.runs("rnnsearch").count("not decided yet") == 1
    keep(evidence(1, 99.0, 6, variant="other", changed={"model.size": 7}))
    keep(evidence(1, 20.0, 7, variant="other"))
    assert "row: BLEU >= 40: holds" in saccade("list", "rnnsearch").out
    keep(evidence(1, 30.0, 8, variant="other"))
    assert "BLEU >= 60: **fails**" in results.runs("rnnsearch")


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
        ([0.0], "0.000"),
        ([0.00052], "0.001"),
        ([1.304e-5], "1.3e-05"),
    ],
)
def test_spread(values: list[float], expected: str) -> None:
    assert results.spread(values) == expected
    if "±" in expected:
        last = 1 if "." not in expected else 0.01  # in the decimals that are shown
        assert float(expected.split(" ± ")[1]) == pytest.approx(statistics.stdev(values), abs=last / 2)


def test_a_result_has_the_spread_of_every_figure_that_all_runs_have() -> None:
    group = [evidence(1, 40.0), evidence(2, 42.0, figures={"ter": 1.5})]
    assert results.result(group) == "**BLEU 41.00 ± 1.41** (chrF 61.0 ± 1.4)"
    assert results.result(group[1:]) == "**BLEU 42.00** (chrF 62.0, ter 1.5)"


def test_figures_are_shown_with_their_names_and_units() -> None:
    spoken = evidence(
        1, 0.0, decisive="label_error_rate", figures={"label_error_rate": 0.93, "latency": -0.09},
        named={"label_error_rate": {"name": "", "unit": "%"}, "latency": {"name": "median latency", "unit": "s"}},
    )  # fmt: skip
    assert results.result([spoken]).startswith("**label error rate 0.930 %** (")
    assert "median latency -0.09 s" in results.result([spoken])


def test_tables_show_the_spread_once_and_runs_one_by_one(house: Path, saccade: Command) -> None:
    keep(evidence(2, 51.0, 9))
    [row] = results.overview().splitlines()[2:]
    assert "| **BLEU 44.33 ± 5.86** (chrF 64.3 ± 5.9) | some pairs, default | 1,234 | 1, 2, 3 | 2026-01-09 |" in row
    [listed] = [line for line in saccade("list").out.splitlines() if line.startswith("rnnsearch ")]
    assert "default: BLEU 44.33 ± 5.86, some pairs" in listed
    one = saccade("list", "rnnsearch").out
    assert "Nobody" in one
    assert "BLEU 44.33 ± 5.86 (chrF 64.3 ± 5.9)" in one
    assert "some pairs; 1,234 parameters; " in one
    assert "; seeds 1, 2, 3; 2026-01-09" in one
    assert len(results.runs("rnnsearch").splitlines()) == 2 + 4 + 2
    assert "±" not in results.runs("rnnsearch")


def test_a_table_says_which_data_its_runs_read() -> None:
    def reading(data: str, **options: str) -> results.Evidence:
        return evidence(1, 1.0, **options) | {"data": {"data": data}}  # type: ignore[arg-type]

    runs = [reading("lossy copies."), reading("lossy copies")]
    assert results.read(runs) == ["lossy copies"]
    runs += [reading("pairs", variant=name) for name in ("tiny", "row", "tiny")]
    assert results.read(runs) == ["lossy copies (default)", "pairs (tiny, row)"]


@pytest.mark.parametrize(
    ("hardware", "said"),
    [
        ({"threads": 1}, "Fast, 1 of 2 cores"),
        ({"threads": 1, "processes": 2}, "Fast, 2 cores"),
        ({"threads": 2}, "Fast, 2 cores"),
        ({"threads": 2, "processes": 2}, "Fast, 2 cores"),
        ({}, "Fast, 2 cores"),  # of evidence before threads were kept
        ({"cores": 1}, "Fast, 1 core"),
        ({"gpu": "Large", "threads": 1}, "Large"),
    ],
)
def test_a_machine_is_the_gpu_or_the_cores_that_computed(hardware: dict[str, str | int], said: str) -> None:
    assert results.machine({"processor": "Fast", "cores": 2, **hardware}) == said


def test_list_prefers_the_unchanged_default(house: Path, saccade: Command) -> None:
    keep(evidence(1, 99.0, 20, variant="tiny"))
    keep(evidence(1, 98.0, 21, changed={"model.size": 7}))
    assert "BLEU 41.00 ± 1.00" in saccade("list").out
    assert "model.size" not in saccade("list").out
    assert "model.size" in saccade("list", "rnnsearch").out


def test_columns_are_named_after_metrics_and_missing_figures_are_dashes(house: Path) -> None:
    keep(evidence(1, 30.0, system="rnnencdec"))
    found = results.comparison(["rnnencdec:default", "rnnsearch:default"], ["alignments.aer", "wall_seconds"])
    head, _, encdec, search = found.splitlines()
    assert head == "| system | variant | alignments aer | wall seconds | seeds | training (minutes) |"
    assert encdec == "| `rnnencdec` | default | – | 60.00 | 1 | 1.0 |"
    assert search.startswith("| `rnnsearch` | default | 0.410 ± 0.010 | 120.00 ± 60.00 | 1, 2, 3 |")


def test_a_column_may_contain_text(house: Path) -> None:
    found = results.comparison(["rnnsearch:default"], ["decisive", "bleu"], ["judged by", "BLEU"])
    head, _, row = found.splitlines()
    assert head.startswith("| system | variant | judged by | BLEU |")
    assert row.startswith("| `rnnsearch` | default | bleu | ")


def test_a_comparison_of_unknown_variants_or_metrics_is_refused(house: Path) -> None:
    with pytest.raises(NotFound, match="no system 'rnnserch'; did you mean 'rnnsearch'"):
        results.comparison(["rnnserch:default"], ["bleu"])
    with pytest.raises(InvalidInput, match=r"no metric 'blue' in the evidence; there are: alignments\.aer, bleu, "):
        results.comparison(["rnnsearch:default"], ["blue"])
    with pytest.raises(InvalidInput, match="got 1 variants, 0 metrics, 0 names"):
        results.comparison(["rnnsearch:default"], [])
