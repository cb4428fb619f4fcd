"""Flags and fields of a configuration correspond one to one: `--model.hidden-size 512`, `--config file.yaml`.

A choice among records is one flag, and the options of each record are flags under its name: `--model.attention
gaussian-window --model.gaussian-window.components 10`. The flags, their help and the keys of a YAML file are all
derived from one description (`fields`), and pydantic validates all values, so an error is one sentence that names the
flag.
"""

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from saccade.core.config import EXCLUDING, from_plain, to_plain
from saccade.core.errors import InvalidInput, NotFound, nearest
from saccade.runs import catalogue
from saccade.runs.flag_errors import listing, needed, not_among, sentence
from saccade.runs.flag_fields import TAG, FlagField, Path_, at, fields, flag_of, is_chosen, record_of, tags_of

SHORT = {"--seed": "--training.seed", "--device": "--training.device", "--precision": "--training.precision"}


def parse(config: Any, arguments: Sequence[str], known: Sequence[str] = ()) -> Any:
    """Apply the file of `--config`, and the flags, which override it, to a configuration.

    Raises:
        NotFound: an unknown flag or key, with the nearest valid one; an argument that belongs to no flag.
        InvalidInput: an invalid value, with the valid ones.
    """
    changed, rest = separate(config, arguments, known)
    if rest:
        raise NotFound(f"unexpected argument {rest[0]!r}; flags begin with --")
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
    by_flags, by_all = {field.path for field, _ in given}, {field.path for field, _ in given}
    for name in files:
        for field, value in from_yaml(cls, Path(name), plain):
            put(plain, field, value)
            by_all.add(field.path)
    # choices first, outer before inner, in any order of the arguments
    for field, value in sorted(given, key=lambda one: (not one[0].tags, len(one[0].needs))):
        check_chosen(plain, field)
        put(plain, field, value)
    while True:
        try:
            return from_plain(cls, plain), rest
        except ValidationError as error:
            if not (give_way(error, cls, plain, by_flags) or give_way(error, cls, plain, by_all)):
                raise InvalidInput(sentence(error, cls)) from None


def give_way(error: ValidationError, cls: Any, plain: dict[str, Any], own: set[Path_]) -> bool:
    """Where fields exclude one that the user set, set them back to their defaults; returns whether there are such.

    Args:
        own: the fields that the user set; those set back are added, since what excludes them gives way, too.
    """
    fault = error.errors()[0]
    if fault["type"] != EXCLUDING:
        return False
    paths = {(*map(str, fault["loc"]), *name.split(".")) for name in fault["ctx"]["names"]}
    others = [field for field in fields(cls) if field.path in paths - own and at(plain, field.path) != field.default]
    if not paths & own or not others:
        return False
    for field in others:
        put(plain, field, field.default)
        own.add(field.path)
    return True


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
        if field is None and (off := negated(by_flag, name)):
            if equals:
                raise InvalidInput(f"{name} takes no value; {off.flag} true or {off.flag} false sets the same field")
            given.append((off, "false"))
            continue
        if field is None and name != "--config":
            raise unknown(name, by_flag, known, listed)
        values = [value] if equals else take_values(rest, field.annotation if field else str)
        if field is None:
            files.append(one(name, values))
        else:
            given.append((field, read(field, values)))
    return given, files, positional


def unknown(name: str, by_flag: Mapping[str, FlagField], known: Sequence[str], listed: str) -> NotFound:
    """The error for a flag that does not exist, with the one that was meant: a key of config.yaml, or the nearest."""
    meant = [field.flag for field in by_flag.values() if flag_of(".".join(field.path)) == name.replace("_", "-")]
    hint = " or ".join(meant) or nearest(name, [*by_flag, *SHORT, "--config", "--help", *known], listed)
    return NotFound(f"there is no flag {name}; {f'that field is {hint}' if meant else hint}")


def negated(by_flag: Mapping[str, FlagField], name: str) -> FlagField | None:
    """The field that a flag such as --task.no-lowercase turns off; None if it is no such flag."""
    record, _, last = name.rpartition(".")
    field = by_flag.get(f"{record}.{last.removeprefix('no-')}") if last.startswith("no-") else None
    return field if field is not None and field.annotation is bool else None


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
            raise InvalidInput(f"{field.flag} takes at least one value")
        return list(values)
    if field.annotation is bool and not values:
        return True
    value = one(field.flag, values)
    return None if optional(field.annotation) and value.lower() == "none" else literal(field.annotation, value)


def literal(kind: Any, value: str) -> Any:
    """The value of a `Literal` that is written so, such as a number, which pydantic does not make of a text."""
    choices = [one for part in (kind, *typing.get_args(kind)) if typing.get_origin(part) is typing.Literal
               for one in typing.get_args(part)]  # fmt: skip
    return next((one for one in choices if str(one) == value), value)


def optional(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType) and type(None) in typing.get_args(kind)


def check_chosen(plain: Mapping[str, Any], field: FlagField) -> None:
    """Raise if the option belongs to a record that is not selected."""
    for choice, tag in field.needs:
        made = at(plain, choice.path)[TAG]
        if made not in tags_of(record_of(choice, tag)):
            raise InvalidInput(needed(field, choice, tag, made))


def put(plain: dict[str, Any], field: FlagField, value: Any) -> None:
    """Set a field of plain data. A new choice starts from the defaults of its record."""
    record, name = at(plain, field.path[:-1]), field.path[-1]
    if not field.tags:
        record[name] = value
        return
    made = record_of(field, value)
    if made is None:
        raise InvalidInput(not_among(field.flag, value, field.tags))
    if record[name][TAG] != value:
        record[name] = to_plain(made(name=value))


def from_yaml(cls: Any, path: Path, plain: Mapping[str, Any]) -> Iterator[tuple[FlagField, Any]]:
    """The fields that a YAML file sets: nested keys and values, or the config.yaml of a run of this system.

    Args:
        plain: the configuration; each field is set in it before the next one is read.
    """
    from saccade.training.run_folder import read_yaml

    if path.is_dir():
        inside = f"; a run's is {path / 'config.yaml'}" if (path / "config.yaml").is_file() else ""
        raise InvalidInput(f"{path}: a folder, not a file of YAML{inside}")
    if not path.is_file():
        raise NotFound(f"{path}: there is no such file")
    given = read_yaml(path)
    if isinstance(given, Mapping) and {"system", "variant", "config"} <= set(given):
        system = catalogue.system_of(cls)
        if given["system"] != system:
            raise InvalidInput(f"{path}: the configuration of {given['system']}, not of {system}")
        given = given["config"]
    if not isinstance(given, Mapping):
        raise InvalidInput(f"{path}: expected keys and values, such as 'model: {{hidden_size: 512}}'")
    yield from leaves(cls, given, path, (), plain)


def leaves(
    cls: Any, given: Mapping[str, Any], file: Path, prefix: Path_, plain: Mapping[str, Any]
) -> Iterator[tuple[FlagField, Any]]:
    """The fields and values in nested plain data, choices first."""
    known = [field for field in fields(cls) if field.path[: len(prefix)] == prefix]
    choice = next((field for field in known if field.path == prefix and is_chosen(plain, field)), None)
    if choice is not None and TAG in given:
        yield choice, given[TAG]
    there = [field for field in known if field.path != prefix and is_chosen(plain, field)]
    names = {field.path[len(prefix)] for field in there} | ({TAG} if choice is not None else set())
    for key, value in given.items():
        path = (*prefix, str(key))
        if choice is not None and key == TAG:
            continue
        if str(key) not in names:
            for other in known:
                if other.path == path:
                    check_chosen(plain, other)
            raise NotFound(f"{file}: there is no key {'.'.join(path)!r}; {nearest(str(key), names, listing(cls))}")
        field = next((field for field in there if field.path == path), None)
        if isinstance(value, Mapping) and (field is None or field.tags):
            yield from leaves(cls, value, file, path, plain)
        elif field is not None:
            yield field, None if optional(field.annotation) and value == "none" else value
        else:
            raise InvalidInput(f"{file}: {'.'.join(path)} holds options, not a value")
