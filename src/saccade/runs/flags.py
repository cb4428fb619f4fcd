"""Flags and fields of a configuration correspond one to one: `--model.hidden-size 512`, `--config file.yaml`.

A choice among records is one flag, and the options of each record are flags under its name: `--model.attention
gaussian-window --model.gaussian-window.components 10`. The flags, their help and the keys of a YAML file are all
derived from one description (`fields`), and pydantic validates all values, so an error is one sentence that names the
flag.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from saccade.core.config import from_plain, to_plain
from saccade.core.errors import InvalidInput, NotFound, nearest
from saccade.runs import catalogue

SHORT = {"--seed": "--training.seed", "--device": "--training.device", "--precision": "--training.precision"}
TAG = "name"  # the field that tells the records of a choice apart

Path_ = tuple[str, ...]


class FlagField(NamedTuple):
    """A field of a nested configuration, and its flag."""

    flag: str
    path: Path_
    """Its path in plain data."""
    annotation: Any
    help: str
    default: Any
    """The record's default; a variant may have another."""
    limits: tuple[Any, ...]
    """Its limits, such as `Ge(1)`."""
    group: str
    """The record's docstring."""
    tags: tuple[str, ...] = ()
    """For a choice, the names to choose from."""
    needs: tuple[tuple["FlagField", str], ...] = ()
    """The choices that this option belongs to, each with the name that must be selected."""


@functools.cache
def fields(cls: Any) -> tuple[FlagField, ...]:
    """All fields of a configuration class, in source order."""
    return tuple(_fields(cls, (), "--", ()))


def _fields(cls: Any, path: Path_, prefix: str, needs: tuple[tuple[FlagField, str], ...]) -> Iterator[FlagField]:
    group = " ".join((cls.__doc__ or "").split())
    for name, info in cls.__pydantic_fields__.items():
        here, flag = (*path, name), f"{prefix}{name.replace('_', '-')}"
        if name == TAG and needs and needs[-1][0].path == path:
            continue  # the choice sets it
        kind = info.annotation
        if dataclasses.is_dataclass(kind):
            yield from _fields(kind, here, f"{flag}.", needs)
            continue
        records = {tag: record for record in members(kind) for tag in tags_of(record)}
        found = FlagField(
            flag, here, kind, info.description or "", info.get_default(call_default_factory=True),
            tuple(info.metadata), group, tuple(records), needs,
        )  # fmt: skip
        yield found
        for record in dict.fromkeys(records.values()):
            tag = tags_of(record)[0]
            yield from _fields(record, here, f"{prefix}{tag}.", (*needs, (found, tag)))


def members(kind: Any) -> list[Any]:
    """The records of a union; none for any other type."""
    kinds = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else ()
    return [one for one in kinds if dataclasses.is_dataclass(one)]


def tags_of(record: Any) -> tuple[str, ...]:
    """The names of a record in a choice; all but the first are aliases."""
    return typing.get_args(typing.get_type_hints(record)[TAG])


def flag_of(name: str) -> str:
    """The flag of a dotted name: "search.length_penalty" is --search.length-penalty."""
    return "--" + name.replace("_", "-")


def parse(config: Any, arguments: Sequence[str], known: Sequence[str] = ()) -> Any:
    """Apply the file of `--config`, and the flags, which override it, to a configuration.

    Raises:
        NotFound: an unknown flag or key, with the nearest valid one; an argument that belongs to no flag.
        InvalidInput: an invalid value, with the valid ones.
    """
    changed, rest = separate(config, arguments, known)
    if rest:
        raise NotFound(f"{rest[0]!r} is one argument too many; flags begin with --")
    return changed


def separate(config: Any, arguments: Sequence[str], known: Sequence[str] = ()) -> tuple[Any, list[str]]:
    """As `parse`; also returns the arguments that belong to no flag.

    Args:
        known: flags of the verb, to suggest if one is misspelt.
    """
    cls = type(config)
    by_flag = {field.flag: field for field in fields(cls)}  # type: ignore[arg-type]
    plain = to_plain(config)
    given, files, rest = split(by_flag, arguments, known, listing(cls))
    for name in files:
        for field, value in from_yaml(cls, Path(name)):
            put(plain, field, value)
    choices = [(field, value) for field, value in given if field.tags]
    for field, value in [*choices, *((field, value) for field, value in given if not field.tags)]:
        check_chosen(plain, field)
        put(plain, field, value)
    try:
        return from_plain(cls, plain), rest
    except ValidationError as error:
        raise InvalidInput(sentence(error, cls)) from None


def listing(cls: Any) -> str:
    """The command that lists the flags of a configuration."""
    return f"saccade train {catalogue.system_of(cls)} --help"


def split(
    by_flag: Mapping[str, FlagField], arguments: Sequence[str], known: Sequence[str], listed: str
) -> tuple[list[tuple[FlagField, Any]], list[str], list[str]]:
    """The fields with their raw values, the files of `--config`, and the arguments that belong to no flag."""
    given: list[tuple[FlagField, Any]] = []
    files: list[str] = []
    positional: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not is_flag(word):
            positional.append(word)
            continue
        name, equals, value = word.partition("=")
        name = SHORT.get(name, name)
        field = by_flag.get(name)
        if field is None and (off := by_flag.get(name.replace("no-", "", 1))) and off.annotation is bool:
            given.append((off, "false"))
            continue
        if field is None and name != "--config":
            names = [*by_flag, *SHORT, "--config", "--help", *known]
            raise NotFound(f"there is no flag {name}; {nearest(name, names, listed)}")
        values = [value] if equals else take_values(rest, field.annotation if field else str)
        if field is None:
            files.append(one(name, values))
        else:
            given.append((field, read(field, values)))
    return given, files, positional


def take_values(rest: list[str], kind: Any) -> list[str]:
    """Take the values of a flag from the arguments after it: all up to the next flag for a list, otherwise one."""
    most = len(rest) if typing.get_origin(kind) is tuple else 1
    if kind is bool and rest and rest[0].lower() not in ("true", "false"):
        most = 0
    values: list[str] = []
    while rest and len(values) < most and not is_flag(rest[0]):
        values.append(rest.pop(0))
    return values


def is_flag(text: str) -> bool:
    return text.startswith("--") and len(text) > 2


def one(name: str, values: Sequence[str]) -> str:
    if len(values) != 1:
        raise InvalidInput(f"{name} takes one value, not {len(values) or 'none'}")
    return values[0]


def read(field: FlagField, values: Sequence[str]) -> Any:
    """The raw value of a flag, for pydantic to validate."""
    if typing.get_origin(field.annotation) is tuple:
        if not values:
            raise InvalidInput(f"{field.flag} takes one value or more, not none")
        return list(values)
    if field.annotation is bool and not values:
        return True
    value = one(field.flag, values)
    return None if optional(field.annotation) and value.lower() == "none" else value


def optional(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType) and type(None) in typing.get_args(kind)


def check_chosen(plain: Mapping[str, Any], field: FlagField) -> None:
    """Raise if the option belongs to a record that is not selected."""
    for choice, tag in field.needs:
        made = at(plain, choice.path).get(TAG)
        record = next(record for record in members(choice.annotation) if tag in tags_of(record))
        if made not in tags_of(record):
            raise InvalidInput(f"{field.flag} needs {choice.flag} {tag}; it is {made}")


def put(plain: dict[str, Any], field: FlagField, value: Any) -> None:
    """Set a field of plain data. A new choice starts from the defaults of its record."""
    record = at(plain, field.path[:-1])
    name = field.path[-1]
    if not field.tags:
        record[name] = value
    elif not isinstance(record.get(name), Mapping) or record[name].get(TAG) != value:
        record[name] = {TAG: value}


def at(plain: Mapping[str, Any], path: Sequence[str]) -> Any:
    for name in path:
        plain = plain[name]
    return plain


def from_yaml(cls: Any, path: Path) -> list[tuple[FlagField, Any]]:
    """The fields that a YAML file sets: nested keys and values, or the config.yaml of a run of this system."""
    from saccade.training.run_folder import read_yaml

    if path.is_dir():
        inside = f"; a run's is {path / 'config.yaml'}" if (path / "config.yaml").is_file() else ""
        raise InvalidInput(f"{path}: a folder, not a file of YAML{inside}")
    if not path.is_file():
        raise NotFound(f"{path}: there is no such file")
    plain = read_yaml(path)
    if isinstance(plain, Mapping) and {"system", "variant", "config"} <= set(plain):
        system = catalogue.system_of(cls)
        if plain["system"] != system:
            raise InvalidInput(f"{path}: the configuration of {plain['system']}, not of {system}")
        plain = plain["config"]
    if not isinstance(plain, Mapping):
        raise InvalidInput(f"{path}: expected keys and values, such as 'model: {{hidden_size: 512}}'")
    return list(leaves(fields(cls), plain, path, (), {}, listing(cls)))


def leaves(
    known: Sequence[FlagField],
    plain: Mapping[str, Any],
    file: Path,
    prefix: Path_,
    chosen: Mapping[Path_, str],
    listed: str,
) -> Iterator[tuple[FlagField, Any]]:
    """The fields and values in nested plain data, choices first."""
    made = {**chosen} | ({prefix: str(plain[TAG])} if TAG in plain else {})
    # only the options of the selected record
    here = [field for field in known if all(made.get(c.path, tag) in (tag, None) for c, tag in field.needs)]
    choice = next((field for field in known if field.path == prefix and field.tags), None)
    names = {field.path[len(prefix)] for field in here if field.path[: len(prefix)] == prefix and field.path != prefix}
    if choice is not None:
        names |= {TAG}
        if TAG in plain:
            yield choice, plain[TAG]
    for key, value in plain.items():
        path = (*prefix, str(key))
        if str(key) not in names:
            raise NotFound(f"{file}: there is no key {'.'.join(path)!r}; {nearest(str(key), names, listed)}")
        if choice is not None and key == TAG:
            continue
        field = next((field for field in here if field.path == path), None)
        if isinstance(value, Mapping) and (field is None or field.tags):
            yield from leaves(known, value, file, path, made, listed)
        elif field is not None:
            yield field, None if optional(field.annotation) and value == "none" else value
        else:
            raise InvalidInput(f"{file}: {'.'.join(path)} holds options, not a value")


def explain(error: Exception, cls: Any) -> str:
    """One sentence that explains a validation error."""
    return sentence(error, cls) if isinstance(error, ValidationError) else str(error)


def sentence(error: ValidationError, cls: Any) -> str:
    """The first error, with the flag that sets the field."""
    fault = error.errors()[0]
    known = fields(cls)
    path = without_tags(tuple(str(part) for part in fault["loc"]), known)
    if fault["type"] == "unexpected_keyword_argument":
        there = [".".join(field.path) for field in known]
        return f"there is no field {'.'.join(path)}; {nearest('.'.join(path), there, listing(cls))}"
    found = [field for field in known if path[: len(field.path)] == field.path]
    context, got = fault.get("ctx", {}), fault["input"]
    if not found:
        return str(context.get("error", fault["msg"]))
    name = max(found, key=lambda field: len(field.path)).flag
    match fault["type"]:
        case "literal_error" | "union_tag_invalid":
            said = context.get("expected", context.get("expected_tags", "")).replace(" or ", ",").split(",")
            options, came = [option.strip(" '") for option in said], context.get("tag", got)
            return f"{name} must be one of {', '.join(options)}, not {came!r}; {nearest(str(came), options)}"
        case "greater_than_equal":
            return f"{name} must be at least {context['ge']}, not {got}; the nearest is {context['ge']}"
        case "less_than_equal":
            return f"{name} must be at most {context['le']:,}, not {got}; the nearest is {context['le']:,}"
        case "greater_than":
            return f"{name} must be more than {context['gt']}, not {got}"
        case "less_than":
            return f"{name} must be less than {context['lt']}, not {got}"
        case "too_long" | "too_short":
            wanted = context.get("max_length", context.get("min_length"))
            return f"{name} takes {wanted} values, not {len(got)}"
        case "tuple_type":
            return f"{name} must be a list of values, not {got!r}"
        case "value_error":
            return f"{name}: {context.get('error', fault['msg'])}"
        case kind if kind.endswith("_parsing") or kind.endswith("_type"):
            wanted = {"int": "a whole number", "float": "a number", "bool": "true or false"}
            return f"{name} must be {wanted.get(kind.split('_')[0], fault['msg'])}, not {got!r}"
    return f"{name}: {fault['msg']}, not {got!r}"


def without_tags(path: Path_, known: Sequence[FlagField]) -> Path_:
    """The path of an error in plain data: pydantic inserts the name of the selected record after its choice."""
    choices = {field.path: field.tags for field in known if field.tags}
    found: Path_ = ()
    for part in path:
        if part in choices.get(found, ()):
            continue
        found = (*found, part)
    return found
