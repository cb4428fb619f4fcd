"""Errors of the user: one clear sentence, exit status 2, nothing lost."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import saccade as package
from saccade.core.errors import InvalidInput
from saccade.runs import catalogue, flags
from saccade.tasks.translation.parallel_text import embedded_pairs
from saccade.training.checkpoint import read_checkpoint, write_checkpoint
from tests.app.conftest import Command, Done

TINY = ("train", "rnnsearch", "tiny")
TRANSFORMER = ("train", "transformer", "tiny")


def refused(done: Done, *parts: str) -> None:
    """Check for exit status 2 and one sentence that contains all parts."""
    assert done.status == 2
    assert done.err.startswith("saccade: ")
    assert done.err.count("\n") == 1
    assert "Traceback" not in done.err
    for part in parts:
        assert part in done.err


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["trian"], ["no verb 'trian'", "'train'"]),
        (["train", "rnnserch"], ["no system 'rnnserch'", "'rnnsearch'"]),
        (["train", "rnnsearch", "tinny"], ["no variant 'tinny'", "'tiny'"]),
        ([*TINY, "--model.hiden-size", "3"], ["no flag --model.hiden-size", "'--model.hidden-size'"]),
        ([*TINY, "--training.steps", "0"], ["--training.steps must be at least 1, not 0"]),
        ([*TINY, "--training.steps", "many"], ["--training.steps must be a whole number, not 'many'"]),
        ([*TINY, "--training.steps"], ["--training.steps takes one value"]),
        ([*TINY, "--model.dropout", "1"], ["--model.dropout must be less than 1"]),
        ([*TINY, "--search.beam", "2000"], ["at most 1,000", "nearest is 1,000"]),
        ([*TINY, "--model.hidden-size", "3000000"], ["--model.hidden-size must be at most 65,536, not 3000000"]),
        ([*TINY, "--model.hidden-size", str(10**30)], ["--model.hidden-size must be at most 65,536"]),
        ([*TINY, "--training.steps", str(10**12)], ["--training.steps must be at most 10,000,000"]),
        ([*TINY, "--training.threads", "100000"], ["--training.threads must be at most 1,024, not 100000"]),
        ([*TRANSFORMER, "--model.layers", "100000"], ["--model.layers must be at most 1,000"]),
        (
            [*TRANSFORMER, "--model.hidden-size", "65536", "--model.model-size", "65536", "--model.layers", "50"],
            ["the model has ", "weights, which take at least", "GB of memory; choose smaller sizes"],
        ),
        ([*TINY, "--training.optimizer", "adem"], ["'adem'", "'adam'"]),
        (
            [*TINY, "--training.adadelta.rho", "0.5"],
            ["--training.adadelta.rho needs --training.optimizer adadelta; it is adam"],
        ),
        ([*TINY, "--task.lowercase=maybe"], ["--task.lowercase must be true or false"]),
        ([*TINY, "extra"], ["'extra'"]),
        ([*TINY, "--search.beam", "1000", "--out", "never"], ["a beam of 1000 is wider than the vocabulary"]),
        ([*TRANSFORMER, "--model.heads", "3"], ["3 heads do not divide a model-size of 16"]),
        ([*TRANSFORMER, "--task.no-shared-vocabulary"], ["--model.tie all", "--task.shared-vocabulary true"]),
        (
            [*TRANSFORMER, "--model.positions", "learned", "--model.learned.longest", "5", "--out", "never"],
            ["the longest example of train: ", "is longer than the 5 positions"],
        ),
        ([*TRANSFORMER, "--task.corpus", "folder"], ["--task.folder FOLDER", "--task.train"]),
        (
            [*TRANSFORMER, "--task.corpus", "folder", "--task.languages", "en"],
            ["--task.languages takes 2 values, not 1"],
        ),
        ([*TRANSFORMER, "--training.average", "3", "--training.keep", "best"], ["average is 3", "keep is 'best'"]),
        (
            [*TINY, "--training.tensor", "2"],
            ["does not say how its layers can be split, so --training.tensor must be 1; --training.strategy fsdp2"],
        ),
        (
            [*TINY, "--training.recompute", "blocks"],
            ["does not say what its blocks are, so --training.recompute must be none"],
        ),
        ([*TINY, "--device", "cuda:9"], ["'cuda:9'"]),
        ([*TINY, "--device", "abacus"], ["'abacus'"]),
        ([*TINY, "--precision", "float8"], ["float8", "float32"]),
        ([*TINY, "--config", "none.yaml"], ["none.yaml", "no such file"]),
        (["train", "--steps", "3"], ["name a system first"]),
        (["train", "--resume"], ["--resume takes a folder"]),
        (["train", "--resume", "nowhere"], ["nowhere", "no such run folder"]),
        (["predict", "nowhere", "x"], ["nowhere", "no such run folder"]),
        (["predict"], ["required: run"]),
        (["predict", "--search.beam", "1", "x"], ["name the run first"]),
        ([*TINY, "--task.train"], ["--task.train takes at least one value"]),
        ([*TINY, "--out="], ["--out takes a folder"]),
        ([*TINY, "--training.learning-rate", "inf"], ["--training.learning-rate", "finite"]),
        ([*TINY, "--device", "meta"], ["'meta'"]),
        (["train", "--resume=nowhere"], ["nowhere", "no such run folder"]),
        (["evaluate", "nowhere"], ["no such run folder"]),
        (["report", "--keep", "nowhere"], ["evidence.json"]),
        (["report", "--kep", "nowhere"], ["no flag --kep", "'--keep'"]),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else None,
)
def test_arguments(
    saccade: Command, arguments: list[str], parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(saccade(*arguments), *parts)
    assert not os.listdir(tmp_path)


def test_a_key_of_a_file(saccade: Command, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    for text, parts in (
        ("model: {hiden_size: 3}", ["mine.yaml", "'model.hiden_size'", "'hidden_size'"]),
        ("model: 3", ["model holds options"]),
        ("training: {steps: 0}", ["--training.steps must be at least 1"]),
        ("- 1", ["expected keys and values"]),
        ("a: [", ["not YAML"]),
        ("training: {seed: 2020-99-99}", ["not YAML"]),
        ("[" * 3000, ["not YAML"]),
        ("{system: rnnencdec, variant: tiny, config: {}}", ["the configuration of rnnencdec, not of rnnsearch"]),
    ):
        file.write_text(text)
        refused(saccade(*TINY, "--config", file, "--out", tmp_path / "run"), *parts)
    assert not (tmp_path / "run").exists()


BAD_DATA = {
    "missing": (None, ["no such file"]),
    "empty": (b"", ["the file is empty"]),
    "one column": (b"a\tb\nalone\n", ["line 2", "one column"]),
    "undecodable": (b"a\tb\n\xff\xfe\tb\n", ["line 2", "not UTF-8"]),
    "too few": (b"a\tb\n" * 3, ["too few"]),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_data_files(saccade: Command, tmp_path: Path, case: str) -> None:
    data, parts = BAD_DATA[case]
    file = tmp_path / "pairs.tsv"
    if data is not None:
        file.write_bytes(data)
    done = saccade(*TINY, "--task.train", file, "--out", tmp_path / "run")
    refused(done, *parts)
    assert not (tmp_path / "run").exists()


def test_uneven_files(saccade: Command, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one\ntwo\n")
    (tmp_path / "b").write_text("un\n")
    done = saccade(*TINY, "--task.train", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "run")
    refused(done, "a has 2 lines", "b has 1")


def test_nothing_to_predict(saccade: Command, run: Path) -> None:
    refused(saccade("predict", run, ""), "input is empty")
    refused(saccade("predict", run, "  "), "input is empty")
    refused(saccade("predict", run, stdin=b""), "standard input is empty")
    refused(saccade("predict", run, stdin=b"\xff\n"), "line 1", "not UTF-8")


def test_a_folder_for_pictures_is_refused_where_none_are_drawn(saccade: Command, run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    refused(saccade("evaluate", run, "--pictures", folder), "--pictures needs --study NAME")
    refused(saccade("predict", run, "--pictures", folder, stdin=b"Go.\n"), "--pictures needs INPUT")
    assert not folder.exists()


def test_other_lines_are_answered_if_one_is_too_long(saccade: Command, tmp_path: Path) -> None:
    run, learned = tmp_path / "run", ["--model.positions", "learned", "--model.learned.longest", 60]
    assert saccade(*TRANSFORMER, *learned, "--training.steps", 1, "--out", run).status == 0
    done = saccade("predict", run, stdin=b"Go home.\n" + b"again " * 300 + b"\nHe is sure.\n")
    refused(done, "saccade: line 2: a sequence of", "is longer than the 60 positions", "shorten it")
    loaded = package.load(run)
    assert done.out.split("\n") == [str(loaded.predict("Go home.")), "", str(loaded.predict("He is sure.")), ""]


@pytest.mark.parametrize("system", ["rnnsearch", "transformer"])
def test_data_in_the_opposite_direction_are_not_scored(
    saccade: Command, tiny_runs: dict[str, Path], tmp_path: Path, system: str
) -> None:
    """Separate vocabularies determine the direction; a shared one needs the training pairs for comparison."""
    pairs, path = embedded_pairs("test")[:40], tmp_path / "pairs.tsv"
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs))
    assert saccade("evaluate", tiny_runs[system], "--task.test", path).status == 0
    path.write_text("".join(f"{target}\t{source}\n" for source, target in pairs))
    done = saccade("evaluate", tiny_runs[system], "--task.test", path)
    refused(done, "seem to translate", "the sides swapped" if system == "rnnsearch" else "swap the sides")


def test_fields_that_the_vocabulary_depends_on_cannot_change(saccade: Command, tiny_runs: dict[str, Path]) -> None:
    run = tiny_runs["rnnsearch"]
    refused(
        saccade("evaluate", run, "--task.shared-vocabulary", "true"), "task.shared_vocabulary was False", "True now"
    )
    refused(saccade("predict", run, "Go.", "--task.lowercase", "true"), "task.lowercase was False", "True now")


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--training.steps", "5"), ("--training.optimizer", "sgd"), ("--training.adam.beta1", "0.5")],
)
def test_a_setting_of_training_is_refused_where_nothing_is_trained(
    saccade: Command, run: Path, flag: str, value: str
) -> None:
    said = f"{flag} is a setting of training and has no effect here; give it to saccade train"
    refused(saccade("predict", run, "Go.", flag, value), said)
    refused(saccade("evaluate", run, flag, value), said)
    refused(saccade("explain", "Go.", "--model", run, flag, value), said)
    refused(saccade("evaluate", run, "--study", "over", flag.removeprefix("--"), value), said)


def test_damaged_runs(saccade: Command, run: Path, tiny_runs: dict[str, Path], tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    weights = copy / "model.safetensors"
    whole = weights.read_bytes()
    for size in (0, 7, 200, len(whole) - 1):
        weights.write_bytes(whole[:size])
        refused(saccade("predict", copy, "Go."), "model.safetensors", "damaged or cut off")
    weights.write_bytes((tiny_runs["rnnencdec"] / "model.safetensors").read_bytes())
    refused(saccade("predict", copy, "Go."), "weights of another model")
    weights.unlink()
    refused(saccade("predict", copy, "Go."), "no weights", "--resume")
    weights.write_bytes(whole)
    (copy / "assets" / "source.json").unlink()
    refused(saccade("predict", copy, "Go."), "source.json", "missing")
    text = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(text.replace("hidden_size:", "hiden_size:", 1))
    refused(saccade("predict", copy, "Go."), "there is no field model.hiden_size", "'model.hidden_size'")
    (copy / "config.yaml").write_text('system: rnnserch\nvariant: tiny\nconfig: {}\nversion: "0"\n')
    refused(saccade("predict", copy, "Go."), "no system 'rnnserch'")


def test_a_run_with_a_changed_configuration_is_not_resumed(saccade: Command, run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    done = saccade("train", "--resume", copy, "--model.hidden-size", "32")
    refused(done, "model.hidden_size = 16, not 32", "training.steps")
    assert before == {path.name: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    text = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(text.replace("learning_rate: 0.01", "learning_rate: 0.02"))
    refused(saccade("train", "--resume", copy), "training.learning_rate = 0.01, not 0.02")


def test_a_payload_in_a_checkpoint_is_not_executed(saccade: Command, run: Path, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, (f"touch {tmp_path / 'executed'}",)

    copy = shutil.copytree(run, tmp_path / "run")
    kept = read_checkpoint(copy / "checkpoints" / "last.ckpt")
    torch.save({**kept, "hyper_parameters": Payload()}, copy / "checkpoints" / "last.ckpt")
    refused(saccade("train", "--resume", copy), "last.ckpt", "expected only tensors and plain values")
    assert not (tmp_path / "executed").exists()


def test_a_checkpoint_of_another_model_is_not_resumed(
    saccade: Command, run: Path, tiny_runs: dict[str, Path], tmp_path: Path
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    other = read_checkpoint(tiny_runs["rnnencdec"] / "checkpoints" / "last.ckpt")
    mine = read_checkpoint(copy / "checkpoints" / "last.ckpt")
    write_checkpoint(copy / "checkpoints" / "last.ckpt", {**mine, "model": other["model"]})
    refused(saccade("train", "--resume", copy), "last.ckpt", "weights of another model")


def test_a_folder_that_cannot_be_written(saccade: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(saccade(*TINY, "--out", tmp_path / "file" / "run"), "run")
    # not even root can write here
    if Path("/proc/self").exists():
        refused(saccade(*TINY, "--out", "/proc/self/run"), "/proc/self/run")


def test_a_run_is_not_overwritten(saccade: Command, run: Path) -> None:
    weights = (run / "model.safetensors").read_bytes()
    refused(saccade(*TINY, "--out", run), "already contains a run", "--resume")
    assert (run / "model.safetensors").read_bytes() == weights


def test_the_last_checkpoint_survives_a_full_disk(run: Path, tmp_path: Path) -> None:
    """A limit on the file size simulates a full disk."""
    copy = shutil.copytree(run, tmp_path / "run")
    before = (copy / "checkpoints" / "last.ckpt").read_bytes()
    code = (
        "import resource, signal, sys; from saccade.app.main import main; import saccade.training.fit;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000));"
        f"sys.exit(main(['train', '--resume', {str(copy)!r}, '--training.steps', '240']))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert "Traceback" not in found.stderr
    assert found.stderr.strip().splitlines()[-1].startswith("saccade: ")
    assert "too large" in found.stderr
    assert (copy / "checkpoints" / "last.ckpt").read_bytes() == before
    assert not list((copy / "checkpoints").glob(".*"))


@pytest.mark.parametrize(
    ("missing", "arguments", "extra"),
    [
        ("tensorboard", [*TINY], "app"),
        ("tokenizers", [*TINY], "text"),
        ("matplotlib", [*TINY], "app"),
        ("yaml", [*TINY, "--config", "mine.yaml"], "app"),
    ],
)
def test_an_extra_that_is_not_installed(tmp_path: Path, missing: str, arguments: list[str], extra: str) -> None:
    (tmp_path / "mine.yaml").write_text("model: {hidden_size: 8}\n")
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "import importlib.abc\n"
        "class Absent(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] == {missing!r}: raise ModuleNotFoundError('No module', name=name)\n"
        f"del sys.modules[{missing!r}]\n"
        "sys.meta_path.insert(0, Absent())\n"
        f"from saccade.app.main import main; sys.exit(main({arguments!r}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert found.returncode == 2, found.stderr
    assert found.stderr.count("\n") == 1
    assert f"pip install 'torch-saccade[{extra}]'" in found.stderr


def test_a_loss_that_is_not_finite_stops_the_run(saccade: Command, tmp_path: Path) -> None:
    flags = ["--training.learning-rate", "1000", "--training.clip", "none", "--training.optimizer", "sgd"]
    refused(saccade(*TINY, *flags, "--out", tmp_path / "run"), "not finite", "--training.learning-rate")


def full(*_: object, **__: object) -> None:
    raise MemoryError


def full_by_torch(*_: object, **__: object) -> None:
    torch.ones(2**50, device="cpu")


@pytest.mark.parametrize("fill", [full, full_by_torch])
@pytest.mark.parametrize("place", ["task", "build", "objective", "predict"])
def test_memory_that_runs_out_ends_a_training_in_one_sentence(
    saccade: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, fill: Callable[..., None]
) -> None:
    recipe = catalogue.recipe("rnnsearch")
    monkeypatch.setattr(catalogue, "recipe", lambda name: replace(recipe, **{place: fill}))
    done = saccade(*TINY, "--out", tmp_path / "run")
    refused(done, "this machine does not have enough memory", "--training.batch-size")
    assert not (tmp_path / "run").exists()


def test_memory_that_runs_out_ends_an_evaluation_in_one_sentence(
    saccade: Command, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saccade.runs.run.Run.predictions", full)
    refused(saccade("evaluate", run), "this machine does not have enough memory")


def test_a_finished_run_is_unchanged(saccade: Command, run: Path) -> None:
    before = (run / "evidence.json").read_bytes(), (run / "model.safetensors").read_bytes()
    done = saccade("train", "--resume", run)
    assert done.status == 0
    assert "has already finished" in done.out
    assert before == ((run / "evidence.json").read_bytes(), (run / "model.safetensors").read_bytes())


def test_an_error_that_would_occur_at_the_end_leaves_no_folder(saccade: Command, tmp_path: Path) -> None:
    refused(saccade(*TINY, "--search.beam", "1000", "--out", tmp_path / "run"), "wider than the vocabulary")
    assert not (tmp_path / "run").exists()


def test_tied_weights_that_differ_are_refused(saccade: Command, tiny_runs: dict[str, Path], tmp_path: Path) -> None:
    tied, untied = tmp_path / "tied", tmp_path / "untied"
    shutil.copytree(tiny_runs["transformer"], tied)
    short = ("--training.steps", "2", "--model.tie", "none", "--out", untied)
    assert saccade(*TRANSFORMER, *short).status == 0
    shutil.copy(untied / "model.safetensors", tied)
    refused(saccade("predict", tied, "Go home."), "the weights of another model", "differ")
    shutil.copy(tiny_runs["transformer"] / "model.safetensors", untied)
    refused(saccade("predict", untied, "Go home."), "the weights of another model")


def test_damaged_weights_for_the_average_are_reported_before_training_resumes(saccade: Command, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = ("--training.average", "3", "--training.checkpoint-every", "2", "--training.steps", "6", "--out", out)
    assert saccade(*TINY, *options).status == 0
    damaged = out / "checkpoints" / "weights-4.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:999])
    refused(saccade("train", "--resume", out, "--training.steps", "8"), "weights-4.safetensors", "damaged or cut off")


def test_options_that_a_variant_sets_for_its_choice_do_not_affect_another_choice() -> None:
    recipe = catalogue.recipe("online_speech")
    variant = recipe.variants["tiny"]
    constant = flags.parse(variant, ["--model.policy", "constant"])
    assert constant.model.policy == type(constant.model.policy)()
    with pytest.raises(InvalidInput, match=r"--model.learned.pace needs --model.policy learned; it is constant"):
        flags.parse(variant, ["--model.policy", "constant", "--model.learned.pace", "0.3"])


def test_a_configuration_cut_off_at_any_line_is_reported(
    saccade: Command, tiny_runs: dict[str, Path], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(tiny_runs["rnnsearch"], tmp_path / "run"))
    lines = (run / "config.yaml").read_text().splitlines(keepends=True)
    for kept in (5, len(lines) // 2, len(lines) - 4):
        (run / "config.yaml").write_text("".join(lines[:kept]))
        refused(saccade("predict", run, "Go home."), "config.yaml")
