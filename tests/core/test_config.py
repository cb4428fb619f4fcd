import dataclasses
import json
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from saccade.core.config import config, from_plain, placed, refuse_unchosen, to_plain


@config
class Gaussian:
    components: Annotated[int, Field(ge=1)] = 10


@config
class Location:
    filters: Annotated[int, Field(ge=1)] = 3


@config
class Model:
    """Sizes."""

    hidden_size: Annotated[int, Field(ge=1)] = 7
    """Units."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    files: tuple[Path, ...] = ()
    window: Literal["none", "gaussian", "location", "both"] = "none"
    gaussian: Gaussian = Gaussian()
    location: Location = Location()

    @model_validator(mode="after")
    def check_choices(self) -> "Model":
        refuse_unchosen(self, "window", {"gaussian": "gaussian", "location": "location"})
        return self


@config
class Whole:
    model: Model = Model()
    note: str | None = None


def test_a_config_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Model().hidden_size = 3  # type: ignore[misc]


def test_fields_are_given_by_name_only() -> None:
    with pytest.raises((TypeError, ValidationError)):
        Model(3)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "wrong", [{"hidden_sise": 3}, {"hidden_size": 0}, {"dropout": 1.0}, {"window": "hamming"}, {"hidden_size": "many"}]
)
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


def test_replace_checks_anew() -> None:
    with pytest.raises(ValidationError):
        dataclasses.replace(Model(), dropout=2.0)


def test_attribute_docstrings_are_the_help() -> None:
    assert TypeAdapter(Model).json_schema()["properties"]["hidden_size"]["description"] == "Units."


def test_what_to_plain_writes_from_plain_reads_through_json() -> None:
    whole = Whole(
        model=Model(files=(Path("a.tsv"), Path("b.tsv")), window="gaussian", gaussian=Gaussian(components=5)), note="é"
    )
    plain = to_plain(whole)
    assert plain["model"]["files"] == ["a.tsv", "b.tsv"]
    assert plain["model"]["gaussian"] == {"components": 5}
    assert from_plain(Whole, json.loads(json.dumps(plain))) == whole


def test_what_a_file_leaves_out_is_the_default() -> None:
    assert from_plain(Whole, {"model": {"dropout": 0.5}}) == Whole(model=Model(dropout=0.5))


def test_options_of_the_choice_that_was_made_are_accepted() -> None:
    assert Model(window="gaussian", gaussian=Gaussian(components=2)).gaussian.components == 2


@pytest.mark.parametrize("window", ["none", "location"])
def test_options_of_a_choice_that_was_not_made_raise(window: Literal["none", "location"]) -> None:
    with pytest.raises(ValidationError, match=f"gaussian is set, but window is '{window}'; it belongs to 'gaussian'"):
        Model(window=window, gaussian=Gaussian(components=2))


def test_options_that_equal_their_defaults_are_not_set() -> None:
    assert Model(window="location", gaussian=Gaussian(components=10)) == Model(window="location")


def test_options_may_belong_to_several_choices() -> None:
    @config
    class Shared:
        kind: Literal["soft", "hard", "none"] = "soft"
        noise_level: Gaussian = Gaussian()

        @model_validator(mode="after")
        def check_choices(self) -> "Shared":
            refuse_unchosen(self, "kind", {"soft": "noise_level", "hard": "noise_level"})
            return self

    for kind in ("soft", "hard"):
        assert Shared(kind=kind, noise_level=Gaussian(components=2)).noise_level.components == 2
    with pytest.raises(ValidationError, match="noise-level is set, but kind is 'none'; it belongs to 'soft' or 'hard'"):
        Shared(kind="none", noise_level=Gaussian(components=2))


def test_of_a_kept_configuration_the_options_that_were_not_chosen_are_those_of_today() -> None:
    written = {"model": {"window": "location", "gaussian": {"components": 2}}}  # a default of its time
    reset: list[str] = []
    assert from_plain(Whole, written, reset) == Whole(model=Model(window="location"))
    assert reset == ["gaussian"]
    with pytest.raises(ValidationError, match="gaussian is set"):
        from_plain(Whole, written)
    assert from_plain(Whole, {"model": {"window": "gaussian", "gaussian": {"components": 2}}}, reset=[]) == Whole(
        model=Model(window="gaussian", gaussian=Gaussian(components=2))
    )


def test_relative_paths_are_placed_and_nothing_else_changes() -> None:
    before = Model(files=(Path("a.tsv"), Path("/b.tsv")), hidden_size=3)
    after = placed(before, Path("/data"))
    assert after == dataclasses.replace(before, files=(Path("/data/a.tsv"), Path("/b.tsv")))
    assert placed(Model(), Path("/data")) == Model()
