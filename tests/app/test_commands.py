"""The verbs with valid input."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

import saccade as package
from saccade.core.stream import sizes_of
from saccade.explain.names import readable
from saccade.explain.pictures import load
from saccade.explain.pictures.alignment import Alignment
from saccade.explain.pictures.heads import Heads
from saccade.runs import catalogue, ending
from saccade.runs.run import open_run
from tests.app.conftest import Command

SYSTEMS = catalogue.names()
SMALL = ["--task.limit", "60", "--search.beam", "1"]  # for tests that do not depend on the score


@pytest.mark.parametrize("system", [name for name in SYSTEMS if catalogue.recipe(name).objective is not None])
def test_a_run_contains_all_files(tiny_runs: dict[str, Path], system: str) -> None:
    run = tiny_runs[system]
    there = {str(path.relative_to(run)) for path in run.rglob("*")}
    assert {
        "config.yaml", "model.safetensors", "evidence.json", "metrics.jsonl", "metrics.csv", "checkpoints/last.ckpt",
        "pictures/training.png", "pictures/training.svg",
    } <= there  # fmt: skip
    assert any(path.startswith("assets/") for path in there)
    assert any("tensorboard/events" in path for path in there)
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    evidence = json.loads((run / "evidence.json").read_text())
    assert steps[-1] == evidence["config"]["training"]["steps"]
    assert evidence["metrics"]["test"][evidence["metrics"]["test"]["decisive"]] is not None
    assert evidence["counted_per_second"] > 0
    assert evidence["peak_memory_mb"] > 50
    pictures = [load(plain) for plain in evidence["pictures"]]
    kept = {kept["kind"]: kept for kept in evidence["pictures"]}
    weights = [kept[kind] for kind in ("alignment", "sound") if kind in kept]
    if any(look["values"] == "attention weight" for look in weights):
        assert evidence["metrics"]["test"]["attention_entropy"] > 0.01
    assert (0 < evidence["metrics"]["test"].get("aligned", 0) <= 100) == (system == "attention_speech")
    for look in weights:
        assert len(look["weights"]) == len(look["rows"])
        if "columns" in look:
            assert len(look["weights"][0]) == len(look["columns"])
        if look["values"] == "attention weight":
            assert all(sum(row) == pytest.approx(1, abs=0.02) for row in look["weights"])
        assert (look.get("step", 0) > 0) == system.endswith("speech")
    assert all(picture.text(80) and picture.description() for picture in pictures)
    task = open_run(run).task
    small = [size.input * size.output <= ending.MOST for size in sizes_of(task, task.examples("test")[: ending.SHOWN])]
    assert bool(pictures) == (catalogue.recipe(system).pictures is not None and any(small))
    for series in evidence["series"]:
        assert f"pictures/{series.replace('_', '-')}.png" in there
    if "bleu" in evidence["metrics"]["test"]:
        assert {"assets/source.json", "assets/target.json", "pictures/by-length.png"} <= there
        assert evidence["metrics"]["test"]["sentences"] == evidence["data"]["pairs"]["train"] == 600
    assert evidence["config"] == yaml.safe_load((run / "config.yaml").read_text())["config"]


def test_training_ends_with_score_answers_pictures_and_the_next_command(saccade: Command, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = saccade("train", "rnnsearch", "tiny", "--training.steps", 20, "--out", out, "--seed=7")
    assert done.status == 0, done.err
    assert re.search(r"test: BLEU \d+\.\d\d", done.out)
    assert done.out.count("  reference") == 10
    assert f"next: saccade predict {out}" in done.out
    assert len(list((out / "pictures").glob("alignment-*.png"))) == 3
    assert json.loads((out / "evidence.json").read_text())["seeds"] == [7]


def test_a_seed_determines_the_model(saccade: Command, tmp_path: Path) -> None:
    weights = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        saccade("train", "rnnencdec", "tiny", "--training.steps", 10, *SMALL, "--seed", seed, "--out", tmp_path / name)
        weights.append((tmp_path / name / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_predict_translates_shows_the_alignment_and_writes_it(saccade: Command, run: Path, tmp_path: Path) -> None:
    done = saccade("predict", run, "We can do that.", "--pictures", tmp_path / "pictures")
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == str(package.load(run).predict("We can do that."))
    assert any("can" in line for line in lines[1:])
    picture = Path(done.out.rsplit("picture: ", 1)[1].strip())
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.with_suffix(".svg").exists()


def test_an_alignment_too_long_for_the_terminal_is_only_drawn(saccade: Command, run: Path, tmp_path: Path) -> None:
    done = saccade("predict", run, "We can do that. " * 60, "--search.length-penalty", 5, "--pictures", tmp_path)
    assert done.status == 0, done.err
    assert "lines of this terminal; see its file" in done.out
    assert done.out.count("\n") < 20
    assert list(tmp_path.glob("*.png"))


def test_all_pictures_are_drawn_and_the_first_is_printed(
    saccade: Command, tiny_runs: dict[str, Path], tmp_path: Path
) -> None:
    for system in SYSTEMS:
        run = package.load(tiny_runs[system])
        [example, *more] = run.task.examples("test")
        kinds = {picture.name for picture in run.pictures(example, run.predictions([example])[0])}
        names = {path.name for path in (tiny_runs[system] / "pictures").glob("*-[123].png")}
        assert names == {f"{kind}-{number}.png" for kind in kinds for number in range(1, 2 + len(more[:2]))}
    folder = tmp_path / "pictures"
    done = saccade("predict", tiny_runs["transformer"], "We can do that.", "--pictures", folder)
    assert done.status == 0, done.err
    assert done.out.count("from 0.05") == 1  # only the first picture is shown as text
    drawn = [Path(line.removeprefix("picture: ")) for line in done.out.splitlines() if line.startswith("picture: ")]
    assert [path.name.split("-")[0] for path in drawn] == ["alignment", "heads"]
    assert sorted(folder.glob("*.png")) == drawn
    svg = drawn[1].with_suffix(".svg").read_text()
    found = package.load(tiny_runs["transformer"]).predict("We can do that.").pictures[1]
    assert isinstance(found, Heads)
    assert len(found.layers) == 3  # self-attention of either side, and from one to the other
    assert all(name in svg for name in readable(list(found.layers)))


def test_a_pipe_is_answered_line_by_line(saccade: Command, run: Path) -> None:
    done = saccade("predict", run, "--search.beam", 1, stdin=b"Go home.\n\nHe is sure.\n")
    loaded = package.load(run, "--search.beam", "1")
    assert done.out.split("\n") == [str(loaded.predict("Go home.")), "", str(loaded.predict("He is sure.")), ""]


def test_the_seed_determines_a_sampled_answer(saccade: Command, run: Path) -> None:
    flags = ["--search.method", "sample", "--search.temperature", "5"]
    answers = [saccade("predict", run, "Go home.", *flags, "--seed", seed).out for seed in (1, 1, 2)]
    assert answers[0] == answers[1] != answers[2]


def test_python_gives_answer_and_alignment_in_three_lines(run: Path) -> None:
    loaded = package.load(run)
    answer = loaded.predict("We can do that.")
    look = answer.pictures[0]
    assert isinstance(look, Alignment)
    weights = torch.as_tensor(look.weights)
    assert weights.shape == (len(look.rows), len(look.columns))
    torch.testing.assert_close(weights.sum(1), torch.ones(len(look.rows), dtype=weights.dtype))
    assert look.columns[-1] == look.rows[-1] == "</s>"
    assert loaded.task.decode(loaded.task.target.encode(answer.text)) == answer.text
    assert loaded.task.decode(answer.value) == answer.text == str(answer)


@pytest.mark.parametrize("system", SYSTEMS)
def test_evaluate_gives_the_score_of_the_training(saccade: Command, tiny_runs: dict[str, Path], system: str) -> None:
    run = tiny_runs[system]
    done = saccade("evaluate", run, "--json")
    evidence, found = json.loads((run / "evidence.json").read_text()), json.loads(done.out)
    for name, kept in evidence["series"].items():
        series = found.pop(name)
        assert series["x"] == pytest.approx(kept["x"]) if kept["kind"] == "histogram" else series["x"] == kept["x"]
        assert series["y"] == pytest.approx(kept["y"], rel=1e-5)
    assert found == evidence["metrics"]["test"]
    assert "validation" in saccade("evaluate", run, "--split", "validation").out


def test_a_run_that_was_moved_still_predicts(saccade: Command, run: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(run, tmp_path / "elsewhere")
    shutil.rmtree(moved / "checkpoints")
    assert saccade("predict", moved, "Go home.").out.split("\n")[0] == str(package.load(run).predict("Go home."))


def test_own_data_need_only_two_files(saccade: Command, tmp_path: Path) -> None:
    words = ["red", "green", "blue", "one", "two", "six"]
    pairs = [f"{a} {b}" for a in words for b in words] * 3
    source, target = tmp_path / "train.en", tmp_path / "train.xx"
    source.write_text("".join(f"{pair}\n" for pair in pairs))
    target.write_text("".join(f"{pair.upper()}\n" for pair in pairs))
    out = tmp_path / "run"
    held_out = tmp_path / "held.tsv"
    held_out.write_text("red one\tRED ONE\n")
    done = saccade(
        "train", "rnnsearch", "tiny", "--task.train", source, target, "--task.validation", held_out,
        "--task.test", held_out, "--training.steps", 30, "--out", out,
    )  # fmt: skip
    assert done.status == 0, done.err
    assert json.loads((out / "evidence.json").read_text())["data"]["pairs"]["train"] == 108
    assert saccade("predict", out, "six red").status == 0


def test_unknown_words_are_named_and_the_rest_is_translated(saccade: Command, tmp_path: Path) -> None:
    out = tmp_path / "run"
    saccade("train", "rnnsearch", "tiny", "--task.vocabulary", "word", "--training.steps", 5, "--out", out)
    done = saccade("predict", out, "Go xylophone home.")
    assert done.status == 0
    assert "not in the vocabulary: Go, xylophone" in done.err
    assert done.out


def test_flags_file_and_seed_are_combined_in_the_configuration(saccade: Command, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("model: {hidden_size: 12, dropout: 0.5}\ntraining: {steps: 6}\n")
    out = tmp_path / "run"
    done = saccade(
        "train",
        "rnnsearch",
        "tiny",
        "--config",
        file,
        "--model.dropout",
        "0.1",
        "--task.lowercase",
        *SMALL,
        "--out",
        out,
    )
    assert done.status == 0, done.err
    config = yaml.safe_load((out / "config.yaml").read_text())["config"]
    assert config["model"]["hidden_size"] == 12
    assert config["model"]["dropout"] == 0.1
    assert config["training"]["steps"] == 6
    assert config["task"]["lowercase"] is True
    again = saccade("train", "rnnsearch", "tiny", "--config", out / "config.yaml", "--out", tmp_path / "again")
    assert again.status == 0
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()


@pytest.mark.parametrize("precision", ["float64", "bfloat16"])
def test_other_precisions_train_and_predict(saccade: Command, tmp_path: Path, precision: str) -> None:
    out = tmp_path / "run"
    flags = ["--precision", precision, "--training.steps", 10, *SMALL, "--out", out]
    assert saccade("train", "rnnsearch", "tiny", *flags).status == 0
    assert saccade("predict", out, "Go home.").status == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_prints_how_to_resume_and_resumes(
    tmp_path: Path, saccade: Command, number: signal.Signals
) -> None:
    out = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "saccade",
        "train",
        "rnnsearch",
        "tiny",
        "--training.steps",
        "200",
        *SMALL,
        "--out",
        str(out),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while not (out / "metrics.jsonl").exists() or not (out / "metrics.jsonl").read_text():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    printed, _ = process.communicate(timeout=180)
    assert process.returncode == 130
    assert f"resume with: saccade train --resume {out}" in printed
    resumed = saccade("train", "--resume", out)
    assert resumed.status == 0, resumed.err
    assert json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])["step"] == 200
    started = shlex.join(["saccade", *command[3:]])
    assert json.loads((out / "evidence.json").read_text())["command"] == started


def test_a_finished_run_without_its_checkpoint_is_not_trained_again(
    saccade: Command, run: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    shutil.rmtree(copy / "checkpoints")
    before = (copy / "metrics.jsonl").read_bytes()
    done = saccade("train", "--resume", copy)
    assert done.status == 2
    assert "has already finished" in done.err
    assert "last.ckpt is missing" in done.err
    assert (copy / "metrics.jsonl").read_bytes() == before


def test_a_finished_run_can_be_resumed_with_more_steps(saccade: Command, run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    assert saccade("train", "--resume", copy, "--training.steps", 210).status == 0
    steps = [json.loads(line)["step"] for line in (copy / "metrics.jsonl").read_text().splitlines()]
    assert steps[-1] == 210
    assert len([step for step in steps if step == 190]) == 1
    assert json.loads((copy / "evidence.json").read_text())["command"].count("saccade ") == 2


def test_list_names_every_system_and_report_every_run(saccade: Command) -> None:
    listed = saccade("list").out
    reported = saccade("report").out
    for system in SYSTEMS:
        assert system in listed
        for found in catalogue.evidence(system):
            assert found["date"][:10] in reported


def test_report_keeps_evidence_once(
    saccade: Command, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copy = shutil.copytree(catalogue.SYSTEMS, tmp_path / "systems")
    monkeypatch.setattr(catalogue, "SYSTEMS", copy)
    before = len(catalogue.evidence("rnnsearch"))
    assert saccade("report", "--keep", run).status == 0
    assert len(catalogue.evidence("rnnsearch")) == before + 1
    again = saccade("report", "--keep", run)
    assert again.status == 2
    assert "already stored in" in again.err
    # evidence with more figures replaces evidence that it contains; different evidence is stored separately
    grown = Path(shutil.copytree(run, tmp_path / "grown"))
    for figures, kept in (({"more": 1.5}, 1), ({"more": 2.5}, 2)):
        found = json.loads((grown / "evidence.json").read_text())
        found["metrics"]["test"] |= figures
        (grown / "evidence.json").write_text(json.dumps(found))
        assert saccade("report", "--keep", grown).status == 0
        assert len(catalogue.evidence("rnnsearch")) == before + kept


@pytest.mark.parametrize("verb", ["list", "train", "evaluate", "predict", "report"])
def test_each_verb_explains_itself(saccade: Command, verb: str) -> None:
    if verb == "train":
        assert "--resume" in saccade("train", "--help").out
        return
    with pytest.raises(SystemExit) as ended:
        saccade(verb, "--help")
    assert ended.value.code == 0


def test_training_help_shows_every_field_with_its_default(saccade: Command) -> None:
    printed = saccade("train", "rnnsearch", "tiny", "--help").out
    for expected in (
        "  --model.hidden-size INT\n",
        "default: 16)",
        "--training.adadelta.rho",
        "needs --training.optimizer adadelta",
        "--search.beam",
        "arXiv:1409.0473",
    ):
        assert expected in printed


def large_pages() -> bool:
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return setting.exists() and "[never]" not in setting.read_text()


@pytest.mark.skipif(not large_pages(), reason="this system gives no large pages to who asks for them")
def test_a_command_uses_large_pages() -> None:
    code = """
import resource
from saccade.app.main import main
assert main(["list"]) == 0
import torch
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(16_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[-1]) < 5000  # 64 MB are 15,625 small pages
