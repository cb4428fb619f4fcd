"""The fields of a nested configuration, each with its flag; flags, their help and the keys of YAML follow from them."""

import dataclasses
import functools
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

TAG = "name"  # the field that distinguishes the records of a choice

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


def names_of(cls: Any, plain: Mapping[str, Any]) -> dict[str, str]:
    """Path in plain data -> dotted name of its flag: "model.attention.window" is model.location_aware.window."""
    found = {}
    for field in fields(cls):
        if is_chosen(plain, field):
            path = (*field.path, TAG) if field.tags else field.path
            found[".".join(path)] = field.flag.removeprefix("--").replace("-", "_")
    return found


def is_chosen(plain: Mapping[str, Any], field: FlagField) -> bool:
    """Whether the record of an option is chosen."""
    return all(at(plain, choice.path)[TAG] in tags_of(record_of(choice, tag)) for choice, tag in field.needs)


def record_of(choice: FlagField, tag: Any) -> Any:
    """The record of that name; None if there is none."""
    return next((record for record in members(choice.annotation) if tag in tags_of(record)), None)


def at(plain: Mapping[str, Any], path: Sequence[str]) -> Any:
    for name in path:
        plain = plain[name]
    return plain
