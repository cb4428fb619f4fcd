import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from saccade.core.config import NAMED, config, from_plain, placed, to_plain


@config
class Nothing:
    """No window."""

    name: Literal["none"] = "none"


@config
class Gaussian:
    """A bell."""

    name: Literal["gaussian"] = "gaussian"
    components: Annotated[int, Field(ge=1)] = 10
    """Bells."""


@config
class Location:
    """A convolution, which has two names."""

    name: Literal["location", "place"] = "location"
    filters: Annotated[int, Field(ge=1)] = 3


Window = Annotated[Nothing | Gaussian | Location, Field(discriminator="name"), NAMED]


@config
class Model:
    """Sizes."""

    hidden_size: Annotated[int, Field(ge=1)] = 7
    """Units."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    files: tuple[Path, ...] = ()
    window: Window = Nothing()
    """Where to look."""


@config
class Wider(Model):
    window: Window = Gaussian(components=2)


@config
class Whole:
    model: Model = Model()
    note: str | None = None


def test_a_config_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Model().hidden_size = 3  # type: ignore[misc]


def test_fields_are_keyword_only() -> None:
    with pytest.raises((TypeError, ValidationError)):
        Model(3)  # type: ignore[call-arg]


@pytest.mark.parametrize("wrong", [{"hidden_sise": 3}, {"hidden_size": 0}, {"dropout": 1.0}, {"hidden_size": "many"}])
def test_an_unknown_key_or_a_bad_value_raises_and_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Model(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match=rf"model\.{next(iter(wrong))}"):
        from_plain(Whole, {"model": wrong})


def test_a_default_out_of_range_raises_when_the_record_is_made() -> None:
    @config
    class Wrong:
        size: Annotated[int, Field(ge=1)] = 0

    with pytest.raises(ValidationError, match="size"):
        Wrong()


def test_equal_fields_make_equal_configs() -> None:
    assert Model(hidden_size=3) == Model(hidden_size=3)
    assert Model(hidden_size=3) != Model()
    assert dataclasses.replace(Model(), hidden_size=3) == Model(hidden_size=3)


def test_replace_validates() -> None:
    with pytest.raises(ValidationError):
        dataclasses.replace(Model(), dropout=2.0)


def test_attribute_docstrings_are_the_help() -> None:
    assert TypeAdapter(Model).json_schema()["properties"]["hidden_size"]["description"] == "Units."


def test_from_plain_reads_the_json_of_to_plain() -> None:
    whole = Whole(model=Model(files=(Path("a.tsv"), Path("b.tsv")), window=Gaussian(components=5)), note="é")
    plain = to_plain(whole)
    assert plain["model"]["files"] == ["a.tsv", "b.tsv"]
    assert plain["model"]["window"] == {"name": "gaussian", "components": 5}
    assert from_plain(Whole, json.loads(json.dumps(plain))) == whole


def test_missing_fields_have_their_defaults() -> None:
    assert from_plain(Whole, {"model": {"dropout": 0.5}}) == Whole(model=Model(dropout=0.5))


def test_a_choice_is_a_record_or_its_options_or_its_name_alone() -> None:
    chosen = Whole(model=Model(window=Gaussian()))
    assert from_plain(Whole, {"model": {"window": "gaussian"}}) == chosen
    assert from_plain(Whole, {"model": {"window": {"name": "gaussian"}}}) == chosen
    assert from_plain(Whole, {"model": {"window": {"name": "gaussian", "components": 2}}}) == Whole(
        model=Model(window=Gaussian(components=2))
    )
    assert from_plain(Whole, {"model": {"window": "place"}}).model.window == Location(name="place")


def test_a_choice_writes_its_own_options_alone() -> None:
    assert to_plain(Model(window=Location(filters=5)))["window"] == {"name": "location", "filters": 5}
    assert to_plain(Model())["window"] == {"name": "none"}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("hamming", "'none', 'gaussian', 'location', 'place'"),
        ({"name": "hamming"}, "'none', 'gaussian', 'location', 'place'"),
        ({"components": 2}, "name"),
        ({"name": "location", "components": 2}, "model.window.location.components"),
        ({"name": "gaussian", "components": 0}, "model.window.gaussian.components"),
        (3, "model.window"),
    ],
)
def test_an_unknown_choice_or_an_option_of_another_one_raises_and_is_named(wrong: Any, named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        from_plain(Whole, {"model": {"window": wrong}})


def test_a_subclass_may_change_the_default_and_keeps_the_help() -> None:
    assert Wider().window == Gaussian(components=2)
    assert from_plain(Wider, {"window": "none"}) == Wider(window=Nothing())
    assert Wider.__pydantic_fields__["window"].description == "Where to look."  # type: ignore[attr-defined]


def test_relative_paths_are_placed_and_nothing_else_changes() -> None:
    before = Model(files=(Path("a.tsv"), Path("/b.tsv")), hidden_size=3)
    after = placed(before, Path("/data"))
    assert after == dataclasses.replace(before, files=(Path("/data/a.tsv"), Path("/b.tsv")))
    assert placed(Model(), Path("/data")) == Model()
