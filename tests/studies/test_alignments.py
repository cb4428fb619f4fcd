"""`evaluate --study alignments`: known attention gives known links; the selection ignores the scored pairs."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saccade.core.errors import InvalidInput
from saccade.core.tap import Tap
from saccade.nets.attention_choice import Additive
from saccade.runs import catalogue
from saccade.runs.run import Run
from saccade.studies import alignments
from saccade.systems.rnnsearch.model import RNNsearch, RNNsearchConfig
from saccade.tasks.translation import TranslationConfig, TranslationTask
from saccade.tasks.translation.vocabulary import Vocabulary
from saccade.tasks.translation.word_alignment import as_read, read_gold
from saccade.training.run_folder import RunFolder
from tests.app.conftest import Command

WORDS = list("abcdefg")
STUDY = ("--study", "alignments")
LAYERS = [f"blocks.{number}.cross_attention.weights" for number in (0, 1)]
STEPS = "decoder.attention.weights"


class Looking(nn.Module):
    """Attention with given weights."""

    def __init__(self, axes: str) -> None:
        super().__init__()
        self.weights = Tap(axes)

    def forward(self, weights: Tensor) -> None:
        self.weights(weights)


class Diagonals(nn.Module):
    """Two layers of two heads: symbol q attends to symbol q (layer 0, head 0), or to q + shift modulo the length (layer
    1, head 1).

    The other heads attend to the first symbol. Padding has random weights.
    """

    def __init__(self, shift: int = 1) -> None:
        super().__init__()
        self.shift = shift
        self.blocks = nn.ModuleList(nn.ModuleDict({"cross_attention": Looking("b h q k")}) for _ in range(2))

    def forward(self, source: Tensor, source_mask: Tensor, target_inputs: Tensor) -> None:
        rows, columns = torch.arange(target_inputs.shape[1])[:, None], torch.arange(source.shape[1])
        words = source_mask.sum(1)[:, None, None] - 1  # without the end symbol
        turned = columns == (rows + self.shift) % words
        straight, first = (columns == rows).expand_as(turned), (columns == 0).expand_as(turned)
        for block, heads in zip(self.blocks, ([straight, first], [first, turned]), strict=True):
            weights = torch.stack([head.float() for head in heads], 1)
            block["cross_attention"](weights.masked_fill(~source_mask[:, None, None], 9.0))


class Steps(nn.Module):
    """Symbol q attends to symbol q, or to the first; the tap is called once per step and has no axis of heads."""

    def __init__(self, first: bool = False) -> None:
        super().__init__()
        self.first = first
        self.decoder = nn.ModuleDict({"attention": Looking("b q k")})

    def forward(self, source: Tensor, source_mask: Tensor, target_inputs: Tensor) -> None:
        for step in range(target_inputs.shape[1]):
            look = 0 if self.first else step
            self.decoder["attention"]((torch.arange(source.shape[1]) == look).float().expand(len(source), 1, -1))


def stub(folder: Path, model: nn.Module, swapped: bool = False, batch_size: int = 40) -> Run:
    """A run that translates words in lower case to words in upper case (or back)."""
    folder.mkdir()
    small, large = (Vocabulary.learn([text], "word", 20) for text in (" ".join(WORDS), " ".join(WORDS).upper()))
    for name, vocabulary in zip(("source", "target"), (large, small) if swapped else (small, large), strict=True):
        vocabulary.save(folder / f"{name}.json")
    task = TranslationTask(TranslationConfig(vocabulary="word"), folder)
    recipe: Any = SimpleNamespace()
    config = SimpleNamespace(training=SimpleNamespace(precision="float32", batch_size=batch_size, threads=None))
    return Run(RunFolder(folder), "stub", "tiny", recipe, config, task, model, torch.device("cpu"))


def gold_files(folder: Path, turned: list[bool]) -> list[Path]:
    """Sentences of 3 to 7 words; if turned, the translation has the first word last.

    Such links change if they are read from the other side, unlike those of words in reversed order.
    """
    sentences, links = folder / "gold.both", folder / "gold.talp"
    both, rows = "", ""
    for number, turn in enumerate(turned):
        words = WORDS[: 3 + number % 5]
        order = [*range(1, len(words)), 0] if turn else list(range(len(words)))
        both += f"{' '.join(words)} ||| {' '.join(words[i].upper() for i in order)}\n"
        rows += " ".join(f"{i + 1}-{j + 1}" for j, i in enumerate(order)) + "\n"
    sentences.write_text(both)
    links.write_text(rows)
    return [sentences, links]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Run]:
    """Stubs by the name of the folder in which the command finds them."""
    found = {
        "layers": stub(tmp_path / "layers", Diagonals()),
        "steps": stub(tmp_path / "steps", Steps()),
        "back": stub(tmp_path / "back", Diagonals(-1), swapped=True),
        "first-back": stub(tmp_path / "first-back", Steps(first=True), swapped=True),
        "blind": stub(tmp_path / "blind", nn.Identity()),
    }
    monkeypatch.setattr(alignments, "open_run", lambda name, *flags: found[name])
    monkeypatch.chdir(tmp_path)
    return found


def figures(saccade: Command, *arguments: object) -> dict[str, Any]:
    done = saccade("evaluate", *arguments, "--json")
    assert done.status == 0, done.err
    return dict(json.loads(done.out))


def refused(saccade: Command, *arguments: object) -> str:
    done = saccade("evaluate", *arguments)
    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1
    return done.err


def test_known_attention_gives_known_links(tmp_path: Path, runs: dict[str, Run]) -> None:
    sentences, links = gold_files(tmp_path, [False, True, True])
    pairs = as_read(read_gold([sentences], links))
    found = alignments.links_of(runs["layers"], pairs)
    as_they_are = [
        *(f"{layer}, mean of 2 heads" for layer in LAYERS),
        *(f"{layer}, head {head}" for layer in LAYERS for head in (0, 1)),
        "mean of all 2 layers",
    ]
    assert list(found) == as_they_are + [f"{name}, as shares" for name in as_they_are]
    for row, n in enumerate((3, 4, 5)):
        assert found[f"{LAYERS[0]}, head 0"][row] == {(i, i) for i in range(n)}
        assert found[f"{LAYERS[1]}, head 1"][row] == {((j + 1) % n, j) for j in range(n)}
        assert found[f"{LAYERS[0]}, head 1"][row] == {(0, j) for j in range(n)}
        assert found["mean of all 2 layers"][row] == {(0, j) for j in range(n)}
    straight = found[f"{LAYERS[0]}, head 0"]
    assert alignments.links_of(runs["steps"], pairs) == {STEPS: straight, f"{STEPS}, as shares": straight}


def test_the_selection_does_not_use_the_scored_pairs(
    tmp_path: Path, runs: dict[str, Run], saccade: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alignments, "DEVELOPMENT", 4)
    files = gold_files(tmp_path, [True] * 4 + [False] * 10)
    found = figures(saccade, "layers", *STUDY, *files)
    assert (found["pairs"], found["development"]) == (14, 4)
    chosen, other = found["chosen"], found["readings"][f"{LAYERS[0]}, head 0"]
    assert chosen["reading"] == f"{LAYERS[1]}, head 1"
    assert chosen["first"] == {"aer": 0, "precision": 100, "recall": 100}
    assert chosen["rest"]["aer"] > 50
    assert 0 < chosen["all"]["aer"] < chosen["rest"]["aer"]
    assert other["rest"] == found["diagonal"]["rest"] == {"aer": 0, "precision": 100, "recall": 100}
    assert other["first"]["aer"] > 0
    assert set(found["files"]) == {"gold.both", "gold.talp"}

    table = saccade("evaluate", "layers", *STUDY, *files).out.splitlines()
    rows = [line for line in table if "weights," in line or "diagonal" in line or "mean of all" in line]
    assert [line.split("  ")[0] for line in rows if line.startswith("*")] == [f"* {LAYERS[1]}, head 1"]
    # two layers and their mean, unchanged and as shares, the selected head, the baseline; --json has the other heads
    assert len(rows) == 8
    assert rows[-1].split() == ["diagonal", "(baseline)", *(f"{found['diagonal'][part][what]:.2f}" for part, what in (
        ("first", "aer"), ("rest", "aer"), ("rest", "precision"), ("rest", "recall"), ("all", "aer")
    ))]  # fmt: skip
    assert "with the lowest error on the first 4 pairs;\n  the other 10 were not used for the selection" in "\n".join(
        table
    )
    assert "among 2 ways to read the weights" in saccade("evaluate", "steps", *STUDY, *files).out


def test_few_pairs_are_cut_in_half(tmp_path: Path, runs: dict[str, Run], saccade: Command) -> None:
    assert figures(saccade, "steps", *STUDY, *gold_files(tmp_path, [False] * 5))["development"] == 2
    assert "one pair to choose" in refused(saccade, "steps", *STUDY, *gold_files(tmp_path, [False]))


def test_reversed_swaps_the_sides_of_the_gold_links(tmp_path: Path, runs: dict[str, Run], saccade: Command) -> None:
    both, links = gold_files(tmp_path, [True] * 6)
    found = figures(saccade, "back", *STUDY, both, links, "--reversed")
    assert found["reversed"]
    assert found["chosen"]["all"]["aer"] == 0
    sides = [tmp_path / "gold.s", tmp_path / "gold.t"]
    for column, path in enumerate(sides):
        path.write_text("".join(line.split(" ||| ")[column].strip() + "\n" for line in both.read_text().splitlines()))
    two = figures(saccade, "back", *STUDY, *sides, links, "--reversed")
    assert two["readings"] == found["readings"]
    assert "seem to translate in the opposite direction" in refused(saccade, "back", *STUDY, both, links)
    assert "add or remove --reversed" in refused(saccade, "layers", *STUDY, both, links, "--reversed")
    wrong = refused(saccade, "layers", *STUDY, both, links, "--reverse", "steps")
    assert "steps: the sentences seem" in wrong
    assert "--reverse needs a run trained in the opposite direction" in wrong


def test_the_hansard_is_read_as_it_is_written(tmp_path: Path, runs: dict[str, Run], saccade: Command) -> None:
    files = gold_files(tmp_path, [True] * 6)
    plain, written = (alignments.read([str(path) for path in files], hansard)[0] for hansard in (False, True))
    assert (plain.source.text, written.source.text) == ("a b c", "A b c")
    assert (plain.target.words, written.target.words) == (("B", "C", "A"), ["B", "C", "A"])
    found = figures(saccade, "layers", *STUDY, *files, "--hansard")
    assert found["hansard"]
    assert found["chosen"]["all"]["aer"] == 0


def test_the_intersection_keeps_links_of_both_directions(
    tmp_path: Path, runs: dict[str, Run], saccade: Command
) -> None:
    files = gold_files(tmp_path, [True] * 6)  # sentences of 3, 4, 5, 6, 7 and 3 words
    found = figures(saccade, "layers", *STUDY, *files, "--reverse", "back")
    assert found["reverse"]["chosen"]["reading"] == f"{LAYERS[1]}, head 1"
    assert found["intersection"]["all"] == {"aer": 0, "precision": 100, "recall": 100}
    # all links in one direction, always the first word in the other, so one common link per pair
    found = figures(saccade, "layers", *STUDY, *files, "--reverse", "first-back")
    assert found["chosen"]["all"]["aer"] == 0
    assert found["intersection"]["all"]["precision"] == 100
    assert found["intersection"]["all"]["recall"] == pytest.approx(100 * 6 / 28)
    assert found["intersection"]["all"]["aer"] == pytest.approx(100 * (1 - 12 / (6 + 28)))
    out = saccade("evaluate", "layers", *STUDY, *files, "--reverse", "back").out
    assert f"reverse run: {LAYERS[1]}, head 1" in out
    assert "links of both directions" in out


def test_figures_are_stored_without_changing_other_evidence(
    tmp_path: Path, runs: dict[str, Run], saccade: Command
) -> None:
    files, path = gold_files(tmp_path, [True] * 6), runs["layers"].folder.evidence
    assert "has no evidence.json" in refused(saccade, "layers", *STUDY, *files, "--keep")
    for damaged in ("{", "[]", '{"metrics": []}', '{"metrics": {"test": 3}}'):
        path.write_text(damaged)
        assert "evidence.json: not" in refused(saccade, "layers", *STUDY, *files, "--keep")
        assert path.read_text() == damaged
    before = {**catalogue.evidence("rnnsearch")[-1], "command": "é"}
    before["metrics"] = {"test": {"decisive": "bleu", "bleu": 1.5}}
    runs["layers"].folder.write_evidence(before)  # stored series are rounded
    before = json.loads(path.read_text())
    figures(saccade, "layers", *STUDY, *files)
    assert json.loads(path.read_text()) == before
    found = figures(saccade, "layers", *STUDY, *files, "--keep")
    kept = json.loads(path.read_text())
    assert kept["studies"].pop("alignments") == found
    assert kept == before
    assert not list(path.parent.glob(".evidence*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["layers", *STUDY, "only"], "one or two files of sentences, then one of links, not 1"),
        (["layers", *STUDY, "a", "b", "c", "d"], "not 4"),
        (["layers", *STUDY, "nowhere", "neither"], "nowhere: there is no such file"),
        (["layers", *STUDY, "{both}", "{short}"], "they must be aligned"),
        (["layers", *STUDY, "{both}", "{links}", "--split", "train"], "--split does not apply"),
        (["blind", *STUDY, "{both}", "{links}"], "stub has no attention from target to source"),
        (["layers", *STUDY, "{both}", "{links}", "--reverse", "blind"], "blind: stub has no attention"),
        (["layers", "--keep"], "--keep needs --study"),
    ],
)
def test_invalid_input_is_reported(
    tmp_path: Path, runs: dict[str, Run], saccade: Command, arguments: list[str], message: str
) -> None:
    both, links = gold_files(tmp_path, [True] * 6)
    (tmp_path / "short").write_text("1-1\n")
    names = {"both": both, "links": links, "short": tmp_path / "short"}
    assert message in refused(saccade, *(text.format(**names) for text in arguments))


def test_a_task_that_does_not_translate(tmp_path: Path) -> None:
    run: Any = SimpleNamespace(task=object(), system="char_rnn", folder=RunFolder(tmp_path))
    with pytest.raises(InvalidInput, match="this study needs a run that translates; char_rnn does not"):
        alignments.check(run, [], "")


@pytest.mark.parametrize("precision", ["float32", "float64", "bfloat16"])
def test_padding_does_not_matter(tmp_path: Path, precision: str) -> None:
    """A real model with random weights: each sentence alone, and all in one batch."""
    sentences, links = gold_files(tmp_path, [True, False] * 6)
    pairs = as_read(read_gold([sentences], links))
    sizes = RNNsearchConfig(attention=Additive(attention_size=11), embedding_size=7, hidden_size=5, readout_size=3)
    model = RNNsearch(sizes, 20, 20).to(torch.float64 if precision == "float64" else torch.float32)
    found = []
    for name, batch_size in (("alone", 1), ("together", 1000)):
        run = stub(tmp_path / name, model, batch_size=batch_size)
        run.config.training.precision = precision
        found.append(alignments.links_of(run, pairs)["decoder.recurrent.attention.weights"])
    assert [len(row) for row in found[0]] == [len(pair.gold.target) for pair in pairs]
    same = sum(len(alone & together) for alone, together in zip(*found, strict=True))
    total = sum(map(len, found[0]))
    # in bfloat16 two words may have equal weights
    assert same >= (0.9 if precision == "bfloat16" else 1) * total


GOLD = """we can do that . ||| nous pouvons faire ça .
he is sure . ||| il est sûr .
i want a beer . ||| je veux une bière .
where is the station ? ||| où est la gare ?
"""


def test_trained_runs_from_end_to_end(saccade: Command, tiny_runs: dict[str, Path], tmp_path: Path) -> None:
    both, links, run = tmp_path / "en-fr", tmp_path / "links", tmp_path / "run"
    both.write_text(GOLD, encoding="utf-8")
    links.write_text("1-1 2-2 3-3 4-4 5-5\n1-1 2-2 3-3 4-4\n1-1 2-2 3p3 4-4 5-5\n1-1 2-2 3-3 4-4 5-5\n")
    shutil.copytree(tiny_runs["rnnsearch"], run)
    before = json.loads((run / "evidence.json").read_text())
    found = figures(saccade, run, *STUDY, both, links, "--keep", "--device", "cpu")
    tap = "decoder.recurrent.attention.weights"
    assert list(found["readings"]) == [tap, f"{tap}, as shares"]
    assert found["diagonal"]["all"]["aer"] == 0
    kept = json.loads((run / "evidence.json").read_text())
    assert kept["studies"].pop("alignments") == found
    assert kept == before
    found = figures(saccade, tiny_runs["transformer"], *STUDY, both, links, "--hansard")
    assert list(found["readings"]) == [
        "decoder.blocks.0.cross_attention.weights" + of + form
        for form in ("", ", as shares")
        for of in (", mean of 2 heads", ", head 0", ", head 1")
    ]
    assert "--reverse needs --study alignments" in refused(saccade, run, "--reverse", run)
    assert "--over is now --study over" in refused(saccade, run, "--over", "search.beam", "1")
    assert "rnnencdec has no attention" in refused(saccade, tiny_runs["rnnencdec"], *STUDY, both, links)
