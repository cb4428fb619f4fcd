"""Every field is a flag: choices among records, lists, booleans, YAML files; errors in one sentence."""

from dataclasses import is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import Field, model_validator

from saccade.core.config import NAMED, Size, config, excluding, flatten, to_plain
from saccade.core.errors import InvalidInput, NotFound
from saccade.runs import catalogue, flag_fields, flags
from saccade.runs.help import flags_help
from saccade.training.config import TrainingConfig
from tests.conftest import Command

SYSTEMS = catalogue.names()


@config
class Plain:
    """Nothing more."""

    name: Literal["plain"] = "plain"


@config
class Draw:
    """Drawn."""

    name: Literal["draw", "sample"] = "draw"
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """How wild."""
    quick: bool = True
    """Fast."""


@config
class Wide:
    """Several at a time."""

    name: Literal["wide"] = "wide"
    width: Size = 5
    """How many."""
    inner: Annotated[Plain | Draw, Field(discriminator="name"), NAMED] = Draw(temperature=0.5)
    """What each does."""


@config
class Task:
    """Files."""

    train: tuple[Path, ...] = ()
    """Any number of files."""
    languages: Annotated[tuple[str, ...], Field(min_length=2, max_length=2)] = ("de", "en")
    """Two."""
    lowercase: bool = False
    """Without capitals."""
    limit: Size | None = None
    """At most."""
    note: str | None = "a"


@config
class Model:
    """Sizes."""

    hidden_size: Size = 7
    """Units."""
    way_out: Annotated[Plain | Draw | Wide, Field(discriminator="name"), NAMED] = Draw(temperature=3.0)
    """How it answers."""
    width: Size = 11


@config
class Config:
    """All."""

    task: Task = Task()
    model: Model = Model()
    training: TrainingConfig = TrainingConfig()


Config.__module__ = "saccade.systems.rnnsearch.recipe"  # the module of a configuration determines its system


def parsed(*arguments: object, of: Any = None) -> Any:
    return flags.parse(Config() if of is None else of, [str(one) for one in arguments])


def chosen(*arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = to_plain(parsed(*arguments))["model"]["way_out"]
    return found


class TestChoice:
    def test_a_choice_starts_from_the_defaults_of_its_record(self) -> None:
        assert chosen() == {"name": "draw", "temperature": 3.0, "quick": True}
        inner = {"name": "draw", "temperature": 0.5, "quick": True}
        assert chosen("--model.way-out", "wide") == {"name": "wide", "width": 5, "inner": inner}
        assert chosen("--model.way-out=plain") == {"name": "plain"}

    def test_the_selected_choice_keeps_its_options(self) -> None:
        assert chosen("--model.way-out", "draw") == chosen()
        assert chosen("--model.draw.quick", "false") == {"name": "draw", "temperature": 3.0, "quick": False}

    def test_options_are_flags_under_the_name_of_their_record(self) -> None:
        assert chosen("--model.draw.temperature", 2)["temperature"] == 2
        found = parsed("--model.way-out", "wide", "--model.wide.width", 3, "--model.width", 4)
        assert (found.model.way_out.width, found.model.width) == (3, 4)

    def test_a_choice_within_a_choice(self) -> None:
        found = chosen("--model.way-out", "wide", "--model.wide.draw.temperature", 2)
        assert found["inner"] == {"name": "draw", "temperature": 2.0, "quick": True}
        assert chosen("--model.way-out", "wide", "--model.wide.inner", "plain")["inner"] == {"name": "plain"}

    def test_the_order_of_flags_does_not_matter(self) -> None:
        given = ["--model.wide.draw.quick=false", "--model.wide.inner=draw", "--model.way-out=wide"]
        assert chosen(*given) == chosen(*reversed(given))
        assert chosen(*given)["inner"] == {"name": "draw", "temperature": 0.5, "quick": False}

    def test_an_alias_selects_its_record(self) -> None:
        assert chosen("--model.way-out", "sample", "--model.draw.temperature", 2)["temperature"] == 2

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ("--model.wide.width 3", "--model.wide.width needs --model.way-out wide; it is draw"),
            (
                "--model.way-out plain --model.draw.quick",
                "--model.draw.quick needs --model.way-out draw; it is plain",
            ),
            ("--model.wide.inner plain", "--model.wide.inner needs --model.way-out wide; it is draw"),
            (
                "--model.way-out wide --model.wide.inner plain --model.wide.draw.quick",
                "--model.wide.draw.quick needs --model.wide.inner draw; it is plain",
            ),
            (
                "--model.way-out wiide",
                "--model.way-out must be one of plain, draw, sample, wide, not 'wiide'; did you mean 'wide'?",
            ),
            (
                "--model.way-out wide --model.wide.inner drow",
                "--model.wide.inner must be one of plain, draw, sample, not 'drow'; did you mean 'draw'?",
            ),
            ("--model.draw.temperature 0", "--model.draw.temperature must be more than 0, not 0"),
            ("--model.draw.temperature hot", "--model.draw.temperature must be a number, not 'hot'"),
            ("--model.way-out wide --model.wide.width 0", "--model.wide.width must be at least 1, not 0"),
            (
                "--model.way-out wide --model.wide.draw.temperature -1",
                "--model.wide.draw.temperature must be more than 0, not -1",
            ),
            ("--model.way-out", "--model.way-out takes one value, not none"),
        ],
    )  # fmt: skip
    def test_invalid_values_are_refused_by_flag(self, given: str, said: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            parsed(*given.split())
        assert str(refused.value).startswith(said)


class TestValues:
    def test_a_boolean_flag_alone_with_a_value_and_negated(self) -> None:
        for given, value in (
            (["--task.lowercase"], True),
            (["--task.lowercase", "true"], True),
            (["--task.lowercase=True"], True),
            (["--task.lowercase", "--task.lowercase", "false"], False),
            (["--task.lowercase", "--task.no-lowercase"], False),
        ):
            assert parsed(*given).task.lowercase is value
        assert chosen("--model.draw.no-quick")["quick"] is False
        # another flag, or a value that is not a boolean, is not taken as its value
        found, rest = flags.separate(Config(), ["--task.lowercase", "a text"])
        assert (found.task.lowercase, rest) == (True, ["a text"])

    @pytest.mark.parametrize("given", ["--task.no-limit", "--no-task.lowercase", "--task.no-no-lowercase"])
    def test_only_a_boolean_flag_can_be_negated(self, given: str) -> None:
        with pytest.raises(NotFound, match=f"there is no flag {given}"):
            parsed(given)

    def test_a_negated_flag_takes_no_value(self) -> None:
        with pytest.raises(InvalidInput, match=r"--task.no-lowercase takes no value; .*--task.lowercase false"):
            parsed("--task.no-lowercase=true")

    def test_none_for_optional_fields(self) -> None:
        assert parsed("--task.limit", 3).task.limit == 3
        assert parsed("--task.limit", "none").task.limit is None
        assert parsed("--task.limit=None").task.limit is None
        assert parsed("--task.note", "none").task.note is None
        assert parsed("--training.clip", "none").training.clip is None
        with pytest.raises(InvalidInput, match=r"--model.hidden-size must be a whole number, not 'none'"):
            parsed("--model.hidden-size", "none")

    def test_a_list_takes_all_values_up_to_the_next_flag(self) -> None:
        found = parsed("--task.train", "a", "b", "--task.languages", "en", "fr", "--task.limit", 2)
        assert (found.task.train, found.task.languages) == ((Path("a"), Path("b")), ("en", "fr"))
        assert parsed("--task.train=a").task.train == (Path("a"),)
        with pytest.raises(InvalidInput, match=r"--task.languages takes 2 values, not 1"):
            parsed("--task.languages", "en")
        with pytest.raises(InvalidInput, match=r"--task.train takes at least one value"):
            parsed("--task.train", "--task.lowercase")

    def test_short_flags(self) -> None:
        found = parsed("--seed", 3, "--device=cpu", "--precision", "float64").training
        assert (found.seed, found.device, found.precision) == (3, "cpu", "float64")

    def test_the_last_value_of_a_flag_counts(self) -> None:
        assert parsed("--model.hidden-size", 1, "--model.hidden-size=2").model.hidden_size == 2

    def test_arguments_without_a_flag_are_returned_or_refused(self) -> None:
        found, rest = flags.separate(Config(), ["one", "--model.hidden-size", "2", "two"])
        assert (found.model.hidden_size, rest) == (2, ["one", "two"])
        with pytest.raises(NotFound, match="unexpected argument 'one'; flags begin with --"):
            parsed("one")


class TestHints:
    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ("--model.hiden-size", "did you mean '--model.hidden-size'?"),
            ("--model.hidden_size", "that field is --model.hidden-size"),
            ("--model.wide.widht", "did you mean '--model.wide.width'?"),
            ("--sede", "did you mean '--seed'?"),
            ("--zzzzzzzz", "; saccade train rnnsearch --help lists them"),
        ],
    )
    def test_the_nearest_flag_or_the_command_that_lists_them(self, given: str, said: str) -> None:
        with pytest.raises(NotFound) as refused:
            parsed(given, 3)
        assert str(refused.value).startswith(f"there is no flag {given}; ")
        assert str(refused.value).endswith(said)

    def test_flags_of_the_verb_are_suggested(self) -> None:
        with pytest.raises(NotFound, match="did you mean '--pictures'"):
            flags.separate(Config(), ["--picturse", "x"], ["--pictures"])


def of_file(folder: Path, text: str, *more: object) -> Any:
    path = folder / f"{len(list(folder.iterdir()))}.yaml"
    path.write_text(text, encoding="utf-8")
    return parsed("--config", path, *more)


@config
class Source:
    """One of two, and what only the second has."""

    folder: Path | None = None
    """The first."""
    file: Path | None = None
    """The second."""
    lines: int = 0
    """How many of the file."""

    @model_validator(mode="after")
    def check_choices(self) -> "Source":
        if self.folder is not None and self.file is not None:
            raise excluding("folder and file are both set", "folder", "file")
        if self.lines and self.file is None:
            raise excluding("lines is set, but file is not; type --task.file {FILE}", "lines", "file")
        return self


@config
class OfSource:
    """All."""

    task: Source = Source()


OfSource.__module__ = Config.__module__


class TestExcluding:
    """What a user sets replaces what a variant set, if they exclude each other."""

    VARIANT = OfSource(task=Source(file=Path("a.txt"), lines=3))

    def test_the_fields_of_a_variant_give_way(self) -> None:
        found = parsed("--task.folder", "here", of=self.VARIANT)
        assert found.task == Source(folder=Path("here"))
        assert parsed("--task.file", "none", of=self.VARIANT).task == Source()
        assert parsed("--task.file", "b.txt", of=self.VARIANT).task == Source(file=Path("b.txt"), lines=3)

    def test_what_the_user_sets_does_not(self) -> None:
        with pytest.raises(InvalidInput, match=r"^folder and file are both set$"):
            parsed("--task.folder", "here", "--task.file", "b.txt", of=self.VARIANT)
        with pytest.raises(InvalidInput, match=r"^lines is set, but file is not; type --task.file \{FILE\}$"):
            parsed("--task.folder", "here", "--task.lines", 2, of=self.VARIANT)
        with pytest.raises(InvalidInput, match=r"^lines is set, but file is not"):
            parsed("--task.lines", 2, of=OfSource())

    def test_a_file_of_fields_gives_way_to_flags_and_a_variant_to_both(self, tmp_path: Path) -> None:
        path = tmp_path / "own.yaml"
        path.write_text("task: {folder: here}")
        assert parsed("--config", path, of=self.VARIANT).task == Source(folder=Path("here"))
        assert parsed("--config", path, "--task.file", "b.txt", of=OfSource()).task == Source(file=Path("b.txt"))


class TestFile:
    def test_nested_keys_and_the_flags_that_override_them(self, tmp_path: Path) -> None:
        found = of_file(tmp_path, "{model: {hidden_size: 3, width: 4}, task: {train: [a, b]}}", "--model.width", 5)
        assert (found.model.hidden_size, found.model.width) == (3, 5)
        assert found.task.train == (Path("a"), Path("b"))

    def test_none_is_null_or_the_word(self, tmp_path: Path) -> None:
        for word in ("none", "null", ""):
            assert of_file(tmp_path, f"training: {{clip: {word}}}").training.clip is None

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("wide", {"name": "wide", "width": 5, "inner": {"name": "draw", "temperature": 0.5, "quick": True}}),
            ("{name: plain}", {"name": "plain"}),
            ("{temperature: 2, name: sample}", {"name": "sample", "temperature": 2.0, "quick": True}),
            ("{quick: false}", {"name": "draw", "temperature": 3.0, "quick": False}),
            ("{name: wide, inner: plain}", {"name": "wide", "width": 5, "inner": {"name": "plain"}}),
            (
                "{inner: {quick: false}, width: 2, name: wide}",
                {"name": "wide", "width": 2, "inner": {"name": "draw", "temperature": 0.5, "quick": False}},
            ),
            (
                "{name: wide, inner: {name: draw, temperature: 9}}",
                {"name": "wide", "width": 5, "inner": {"name": "draw", "temperature": 9.0, "quick": True}},
            ),
        ],
    )
    def test_choices(self, tmp_path: Path, text: str, expected: dict[str, Any]) -> None:
        assert to_plain(of_file(tmp_path, f"model: {{way_out: {text}}}"))["model"]["way_out"] == expected

    def test_a_flag_overrides_the_choice_of_the_file(self, tmp_path: Path) -> None:
        text = "model: {way_out: {name: wide, width: 2}}"
        assert of_file(tmp_path, text, "--model.wide.width", 3).model.way_out.width == 3
        assert of_file(tmp_path, text, "--model.way-out", "wide").model.way_out.width == 2
        assert of_file(tmp_path, text, "--model.way-out", "plain").model.way_out == Plain()

    def test_a_later_file_overrides_an_earlier_one(self, tmp_path: Path) -> None:
        one, two = tmp_path / "one", tmp_path / "two"
        one.write_text("model: {way_out: wide, width: 2}")
        two.write_text("model: {way_out: {width: 3}}")
        found = parsed("--config", one, f"--config={two}").model
        assert (found.width, found.way_out.width) == (2, 3)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("model: {way_out: {width: 3}}", "--model.wide.width needs --model.way-out wide; it is draw"),
            ("model: {way_out: {inner: plain}}", "--model.wide.inner needs --model.way-out wide; it is draw"),
            ("model: {way_out: {inner: {name: plain}}}", "--model.wide.inner needs --model.way-out wide; it is draw"),
            (
                "model: {way_out: {name: plain, quick: true}}",
                "--model.draw.quick needs --model.way-out draw; it is plain",
            ),
            (
                "model: {way_out: {name: wide, inner: {name: plain, quick: true}}}",
                "--model.wide.draw.quick needs --model.wide.inner draw; it is plain",
            ),
            (
                "model: {way_out: {temprature: 3}}",
                "FILE: there is no key 'model.way_out.temprature'; did you mean 'temperature'?",
            ),
            (
                "model: {way_out: {name: wiide}}",
                "--model.way-out must be one of plain, draw, sample, wide, not 'wiide'",
            ),
            ("model: {way_out: 3}", "--model.way-out must be one of plain, draw, sample, wide, not 3"),
            ("model: {way_out: [wide]}", "--model.way-out must be one of plain, draw, sample, wide, not ['wide']"),
            ("model: {way_out: }", "--model.way-out must be one of plain, draw, sample, wide, not None"),
            ("model: {hiden_size: 3}", "FILE: there is no key 'model.hiden_size'; did you mean 'hidden_size'?"),
            ("model: {name: wide}", "FILE: there is no key 'model.name'; there are: hidden_size, way_out, width"),
            ("3: 4", "FILE: there is no key '3'; there are: model, task, training"),
            ("training: {zzzzzzzz: 1}", "FILE: there is no key 'training.zzzzzzzz'; there are 25; saccade train"),
            ("model: 3", "FILE: model holds options, not a value"),
            ("model: {width: {a: 1}}", "--model.width must be a whole number, not {'a': 1}"),
            ("model: {way_out: {temperature: 0}}", "--model.draw.temperature must be more than 0, not 0"),
            ("task: {train: a}", "--task.train must be a list of values, not 'a'"),
            ("- 1", "FILE: expected keys and values, such as 'model: {hidden_size: 512}'"),
        ],
    )
    def test_invalid_files(self, tmp_path: Path, text: str, said: str) -> None:
        with pytest.raises((InvalidInput, NotFound)) as refused:
            of_file(tmp_path, text)
        assert str(refused.value).startswith(said.replace("FILE", str(tmp_path / "0.yaml")))

    def test_the_configuration_of_a_run_can_be_read(self, tmp_path: Path) -> None:
        made = parsed("--model.way-out", "wide", "--model.wide.inner", "plain", "--task.limit", 3, "--task.train", "a")
        head = {"system": "rnnsearch", "variant": "tiny", "config": to_plain(made), "version": "0.2.0"}
        assert of_file(tmp_path, yaml.safe_dump(head)) == made
        with pytest.raises(InvalidInput, match="the configuration of ctc_speech, not of rnnsearch"):
            of_file(tmp_path, yaml.safe_dump(head | {"system": "ctc_speech"}))


class TestEverySystem:
    """Flags and fields of all systems correspond one to one."""

    @pytest.mark.parametrize("system", SYSTEMS)
    def test_flags_are_unique(self, system: str) -> None:
        known = flag_fields.fields(type(catalogue.recipe(system).config))
        names = [field.flag for field in known]
        assert len(names) == len(set(names))

    @pytest.mark.parametrize("system", SYSTEMS)
    def test_each_field_of_each_variant_has_a_flag_that_sets_it(self, system: str) -> None:
        recipe = catalogue.recipe(system)
        for variant in recipe.variants.values():
            plain = flatten(to_plain(variant))
            there = [f for f in flag_fields.fields(type(variant)) if flag_fields.is_chosen(to_plain(variant), f)]
            paths = {".".join(f.path) + (f".{flag_fields.TAG}" if f.tags else "") for f in there}
            assert paths == plain.keys()
            given = []
            for field in there:
                value = flag_fields.at(to_plain(variant), field.path)
                value = value[flag_fields.TAG] if field.tags else value
                values = value if isinstance(value, list) else [value]
                given += [field.flag, *values] if values else []
            again = parsed(*given, of=recipe.config)
            # a list that is empty in the variant, and not in the default, cannot be typed
            empty = {name for name, value in plain.items() if value == []}
            found = flatten(to_plain(again))
            assert {n: v for n, v in found.items() if n not in empty} == {
                n: v for n, v in plain.items() if n not in empty
            }

    @pytest.mark.parametrize("system", SYSTEMS)
    def test_every_choice_of_every_system_can_be_selected(self, system: str) -> None:
        recipe, said = catalogue.recipe(system), []
        for field in flag_fields.fields(type(recipe.config)):
            outer = [part for choice, tag in field.needs for part in (choice.flag, tag)]
            for tag in field.tags:
                try:
                    changed = parsed(*outer, field.flag, tag, of=recipe.config)
                except InvalidInput as error:
                    said.append(str(error))  # the choice also needs another field
                else:
                    assert flag_fields.at(to_plain(changed), field.path)[flag_fields.TAG] == tag
        assert not said, said

    @pytest.mark.parametrize("system", SYSTEMS)
    def test_help_has_every_flag_and_its_default(self, system: str, saccade: Command) -> None:
        printed = saccade("train", system, "--help").out
        default = catalogue.recipe(system).config
        assert flags_help(default, 120).splitlines()[0] in printed
        for field in flag_fields.fields(type(default)):
            assert f"  {field.flag} " in printed
            assert field.help, f"{field.flag} has no docstring"


def test_help_describes_values_and_requirements_of_flags() -> None:
    printed = flags_help(Config(), 120)
    for said in (
        "--model.hidden-size INT\n      Units. (1 to 65,536; default: 7)",
        "--model.way-out {plain,draw,sample,wide}\n      How it answers. (default: draw)",
        "--model.draw.temperature NUMBER\n      How wild. (above 0; needs --model.way-out draw; default: 3.0)",
        "--model.wide.width INT\n      How many. (1 to 65,536; needs --model.way-out wide; default: 5)",
        "--model.wide.draw.temperature NUMBER\n      How wild. (above 0; needs --model.wide.inner draw; default: ",
        "--task.lowercase [true|false]\n      Without capitals. (default: false)",
        "--task.limit INT|none\n      At most. (default: none)",
        "--task.train PATH ...\n      Any number of files.\n",
    ):
        assert said in printed


def test_unions_of_records_are_distinguished_from_others() -> None:
    assert all(is_dataclass(record) for record in flag_fields.members(Plain | Draw))
    assert flag_fields.members(int | None) == []
