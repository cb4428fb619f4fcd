from pathlib import Path

import pytest
from saccade.app.finish import draw_looks
from saccade.app.runs import Run, assemble

from saccade.app import catalogue, flags
from saccade.app.predict_verb import show
from saccade.core.errors import InvalidInput
from saccade.training.run_folder import RunFolder


def untrained(folder: Path, *arguments: str) -> Run:
    recipe = catalogue.recipe("handwriting")
    config = flags.parse(recipe.variants["tiny"], list(arguments))
    task = recipe.task(config, None)
    return assemble(RunFolder(folder), "handwriting", "tiny", recipe, config, task, recipe.build(config, task))


def test_a_synthesis_shows_what_was_drawn_and_the_windows_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prediction = untrained(tmp_path, "--bias", "1.0").predict("a bc")
    assert [look.show.picture for look in prediction.looks] == ["pen", "alignment"]
    pen, path = prediction.looks
    assert pen.weights.shape == (len(pen.rows), 3)
    assert path.weights.shape == (len("a bc") + 1, len(pen.rows))
    assert path.rows == ["a", "␣", "b", "c", "<end>"]
    show(prediction, "a bc", tmp_path, [])
    said = capsys.readouterr().out
    assert said.startswith(f"a bc: {len(pen.rows)} points in ")
    assert len(said.splitlines()) == 3  # the map of so many points is a picture, not text
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [name.split("-")[0] for name in names] == ["alignment", "alignment", "pen", "pen"]
    assert {name.split(".")[-1] for name in names} == {"png", "svg"}
    show(prediction, "a bc", tmp_path, ["--bias", "1.0"])
    assert len(list(tmp_path.iterdir())) == 2 * len(names)  # another setting overwrites nothing


def test_a_prediction_network_shows_what_was_drawn_alone(tmp_path: Path) -> None:
    looks = untrained(tmp_path, "--model.network", "prediction").predict("ab").looks
    assert [look.show.picture for look in looks] == ["pen"]
    assert [path.name for path in draw_looks(looks, tmp_path, "1")] == ["pen-1.png"]


def test_a_character_that_was_not_learned_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="'C' is not among the characters that were learned: space and"):
        untrained(tmp_path).predict("abC")
