"""Runs of version 0.1 are read with the current names, and give the same answers."""

import json
import re
import shutil
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import saccade as package
from saccade.core.config import flatten, to_plain
from saccade.core.errors import InvalidInput
from saccade.explain import Capture
from saccade.explain.pictures.alignment import Alignment
from saccade.explain.pictures.sound import Sound
from saccade.runs import before, catalogue, scoring
from tests.conftest import Command

OLD = Path(__file__).parents[1] / "fixtures" / "old_run"
KEPT = [
    (system, path)
    for system in catalogue.names()
    for path in sorted((catalogue.SYSTEMS / system / "evidence").glob("*.json"))
    if json.loads(path.read_text(encoding="utf-8"))["versions"]["saccade"].startswith("0.1.")
]
THEN = [  # current name -> old name; the first match counts
    (r"training\.batch_size", r"training.batch_tokens"),
    (r"(training\.optimizer|.*\.attention|model\.positions|model\.policy|model\.network)\.name", r"\1"),
    (r"decoding\.name", r"decoding.method"),
    (r"training\.optimizer\.(\w+)", r"training.{training.optimizer}.\1"),
    (r"model\.(?:network\.)?attention\.attention_size", r"model.attention_size"),
    (r"model\.(?:network\.)?attention\.estimator\.name", r"model.hard.estimator"),
    (r"model\.(?:network\.)?attention\.estimator\.(\w+)", r"model.hard.\1"),
    (r"model\.(?:network\.)?attention\.(\w+)", r"model.{model.attention}.\1"),
    (r"model\.policy\.forced_weight", r"model.told_weight"),
    (r"model\.(?:policy|positions|network)\.(\w+)", r"model.\1"),
]


def then(name: str, old: dict[str, Any]) -> str:
    """The old name of a field."""
    for pattern, was in THEN:
        if re.fullmatch(pattern, name):
            found = re.sub(pattern, was, name).replace("network.attention", "attention")
            chosen = re.search(r"\{(.*)\}", found)
            record = str(old[chosen[1]]).replace("-", "_") if chosen else ""
            record = "local" if record.startswith("local_") else record
            return re.sub(r"\{.*\}", record, found)
    return name


def test_old_configurations_exist() -> None:
    assert len(KEPT) >= 95
    assert {system for system, _ in KEPT} >= {"rnnsearch", "transformer", "handwriting", "online_speech"}


@pytest.mark.parametrize(("system", "path"), KEPT, ids=lambda part: part.stem if isinstance(part, Path) else part)
def test_an_old_configuration_is_read_with_its_values(system: str, path: Path) -> None:
    evidence = json.loads(path.read_text(encoding="utf-8"))
    cls = type(catalogue.recipe(system).config)
    found = before.from_plain(cls, evidence["config"], evidence["versions"]["saccade"])
    assert isinstance(found, cls)
    new, old = flatten(to_plain(found)), flatten(evidence["config"])
    held = {name: then(name, old) for name in new if then(name, old) in old}
    assert {name: new[name] for name in held} == {name: old[was] for name, was in held.items()}
    kinds: dict[str, Any] = {name: field.annotation for name, field in cls.__pydantic_fields__.items()}
    default = flatten({name: to_plain(kind()) for name, kind in kinds.items() if is_dataclass(kind)})
    later = new.keys() - held.keys()  # fields that did not exist yet
    assert {name: new[name] for name in later & default.keys()} == {
        name: default[name] for name in later & default.keys()
    }


def test_an_old_choice_keeps_its_options() -> None:
    """Manual examples of each kind: a record beside the choice, plain fields beside it, a choice in a choice."""
    head = yaml.safe_load((OLD / "rnnsearch" / "config.yaml").read_text(encoding="utf-8"))
    cls = type(catalogue.recipe("rnnsearch").config)
    old = head["config"]
    old["training"] |= {"optimizer": "adadelta", "adadelta": {"rho": 0.9, "epsilon": 1e-5}}
    old["model"] |= {"attention": "hard"}
    old["model"]["hard"] |= {"estimator": "gumbel", "temperature": 3.0}
    found = to_plain(before.from_plain(cls, old, head["version"]))
    assert found["training"]["optimizer"] == {"name": "adadelta", "rho": 0.9, "epsilon": 1e-5}
    assert found["training"]["batch_size"] == 400
    gumbel = {"name": "gumbel", "temperature": 3.0}
    assert found["model"]["attention"] == {"name": "hard", "attention_size": 16, "estimator": gumbel, "soft": 0.0}
    old["model"] |= {"attention": "local-predictive", "local": {"half_width": 3, "sigma": 0.5}}
    found = to_plain(before.from_plain(cls, old, head["version"]))
    assert found["model"]["attention"] == {"name": "local-predictive", "half_width": 3, "sigma": 0.5}


@pytest.mark.parametrize(("section", "key"), [("model", "hiden_size"), ("training", "adem"), ("task", "nonsense")])
def test_unknown_names_are_refused(tmp_path: Path, section: str, key: str) -> None:
    run = Path(shutil.copytree(OLD / "rnnsearch", tmp_path / "run"))
    head = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    head["config"][section][key] = 3
    (run / "config.yaml").write_text(yaml.safe_dump(head), encoding="utf-8")
    with pytest.raises(InvalidInput, match=rf"config.yaml: there is no field {section}.{key}"):
        package.load(run)


def test_an_invalid_old_choice_is_refused_by_name(tmp_path: Path) -> None:
    run = Path(shutil.copytree(OLD / "rnnsearch", tmp_path / "run"))
    text = (run / "config.yaml").read_text(encoding="utf-8")
    (run / "config.yaml").write_text(text.replace("attention: additive", "attention: aditive"), encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"must be one of additive, .*, not 'aditive'; did you mean 'additive'"):
        package.load(run)


def test_old_names_are_not_current_names() -> None:
    head = yaml.safe_load((OLD / "rnnsearch" / "config.yaml").read_text(encoding="utf-8"))
    with pytest.raises(ValueError, match=r"batch_tokens|adam"):
        before.from_plain(type(catalogue.recipe("rnnsearch").config), head["config"], "0.2.0")


ANSWERS = {
    "Go home.": ("J'ait-tus.", [0.152356, 0.159053, 0.129192, 0.141492, 0.159774, 0.128647, 0.129487]),
    "We can do that.": ("Je ne suis ole.", [0.188136, 0.189844, 0.140330, 0.183652, 0.148824, 0.149213]),
    "He is sure.": ("Je n'ai pas sore.", [0.147801, 0.136230, 0.139230, 0.136458, 0.154302, 0.142190, 0.143789]),
}
"""What version 0.1 answered, and its attention for the first symbol."""


def test_an_old_run_gives_the_same_answers(saccade: Command, tmp_path: Path) -> None:
    run = package.load(OLD / "rnnsearch")
    for text, (answer, weights) in ANSWERS.items():
        found = run.predict(text)
        assert found.text == answer
        look = found.pictures[0]
        assert isinstance(look, Alignment)
        torch.testing.assert_close(torch.as_tensor(look.weights).float()[0], torch.tensor(weights), rtol=0, atol=2e-6)
    done = saccade("predict", OLD / "rnnsearch", "Go home.", "--pictures", tmp_path)
    assert done.status == 0, done.err
    assert done.out.startswith("J'ait-tus.\n\n     ▁ G ·o h ·ome . end\nJ'   ░ ░ ░░ ░ ░░░░ ░ ░░░  ·ome 0.16\n")


def test_an_old_speech_run_gives_the_same_answers() -> None:
    run = package.load(OLD / "attention_speech")
    found = run.predict(OLD / "attention_speech" / "sample.wav")
    assert found.text == "1"
    [look] = [picture for picture in found.pictures if isinstance(picture, Sound)]
    rows = torch.as_tensor(look.weights).float()
    assert (rows.shape, rows.argmax(1).tolist()) == ((2, 16), [10, 15])
    torch.testing.assert_close(rows.max(1).values, torch.tensor([0.554046, 0.311003]), rtol=0, atol=2e-6)


@pytest.mark.parametrize("system", ["rnnsearch", "attention_speech"])
def test_an_old_run_has_the_same_score(system: str) -> None:
    """All old figures to the last digit, except entropies, which are means of float32 weights, to six digits."""
    kept = json.loads((OLD / system / "evidence.json").read_text(encoding="utf-8"))["metrics"]["test"]
    run = package.load(OLD / system)
    found, _, _ = scoring.score(run)
    figures = scoring.plain(run, found)
    lengths = kept.pop("by_length", [])
    assert figures.pop("attention_entropy") == pytest.approx(kept.pop("attention_entropy"), rel=1e-6)
    assert figures == kept
    if lengths:
        series = found.series["by_length"]
        rows = zip(series.x, series.counts, series.y, strict=True)
        assert [dict(zip(("words", "sentences", "bleu"), row, strict=True)) for row in rows] == lengths


def test_the_evidence_of_an_old_run_is_not_kept_and_the_sentence_says_what_to_type(
    saccade: Command, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(OLD / "rnnsearch", tmp_path / "run"))
    for arguments in (("report", "--keep", run), ("evaluate", run, "--study", "gradients", "--keep")):
        done = saccade(*arguments)
        assert (done.status, done.out) == (2, "")
        assert done.err == (
            f"saccade: {run / 'evidence.json'}: the run was scored by version 0.1, whose evidence cannot be kept; "
            f"score it again with: saccade evaluate {run}; a run that is trained again has evidence to keep\n"
        )


def test_an_old_capture_equals_the_attention_of_the_run() -> None:
    seen = Capture.load(OLD / "seen.safetensors")
    [name] = seen
    look = package.load(OLD / "rnnsearch").predict("Go home.").pictures[0]
    assert isinstance(look, Alignment)
    weights = torch.cat([tensor.flatten(0, -2) for tensor in seen[name]])
    torch.testing.assert_close(weights, torch.as_tensor(look.weights, dtype=weights.dtype), rtol=0, atol=2e-6)
    _, rows, columns = seen.layers()[name]
    assert (list(rows), list(columns)) == (list(look.rows), list(look.columns))


def test_the_fixture_is_small() -> None:
    assert sum(path.stat().st_size for path in OLD.rglob("*") if path.is_file()) < 300_000
