"""The help of `saccade train SYSTEM --help`: every flag with its type, limits, default and description."""

import shutil
import textwrap
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from saccade.core.config import to_plain
from saccade.core.pretrained import Pretrained, Weights
from saccade.runs.flag_fields import TAG, FlagField, at, fields

KINDS = {
    int: "INT",
    float: "NUMBER",
    str: "TEXT",
    bool: "[true|false]",
    Path: "PATH",
    Pretrained: "RUN",
    Weights: "RUN",
}


def flags_help(config: Any, width: int | None = None) -> str:
    """Describe all fields of a configuration, record by record, with its values as the defaults."""
    width = min(width or shutil.get_terminal_size().columns, 120)
    plain, lines, group = to_plain(config), [], ""
    for field in fields(type(config)):  # type: ignore[arg-type]
        if field.group != group:
            group = field.group
            lines += ["", *textwrap.wrap(group, width)]
        head = f"  {field.flag} {kind_of(field)}"
        said = " ".join([field.help, *facts(field, plain)]).strip()
        body = textwrap.wrap(said, width - 6)
        lines += [head, *(f"      {line}" for line in body)]
    return "\n".join(lines).strip("\n")


def kind_of(field: FlagField) -> str:
    """The type of a flag's value."""
    if field.tags:
        return "{" + ",".join(field.tags) + "}"
    kind = field.annotation
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        inner = [one for one in typing.get_args(kind) if one is not type(None)]
        return "|".join([*(named(one) for one in inner), "none"])
    return named(kind)


def named(kind: Any) -> str:
    if typing.get_origin(kind) is typing.Literal:
        return "{" + ",".join(map(str, typing.get_args(kind))) + "}"
    if typing.get_origin(kind) is tuple:
        return f"{named(typing.get_args(kind)[0])} ..."
    if typing.get_origin(kind) is typing.Annotated:
        return named(typing.get_args(kind)[0])
    return KINDS.get(kind, "VALUE")


def facts(field: FlagField, plain: Mapping[str, Any]) -> list[str]:
    """Limits and default, in parentheses."""
    said = [limits(field.limits)] if limits(field.limits) else []
    if field.needs:
        said.append(f"needs {' '.join(f'{choice.flag} {tag}' for choice, tag in field.needs[-1:])}")
    value = value_of(field, plain)
    if value not in ([], ()):
        said.append(f"default: {shown(value)}")
    return [f"({'; '.join(said)})"] if said else []


def limits(found: Sequence[Any]) -> str:
    """Such as "1 to 1,000"."""
    least = next((part.ge for part in found if hasattr(part, "ge")), None)
    most = next((part.le for part in found if hasattr(part, "le")), None)
    above = next((part.gt for part in found if hasattr(part, "gt")), None)
    below = next((part.lt for part in found if hasattr(part, "lt")), None)
    low = f"{least:,}" if least is not None else f"above {above:,}" if above is not None else ""
    high = f"{most:,}" if most is not None else f"below {below:,}" if below is not None else ""
    if low and high:
        return f"{low} to {high}" if most is not None else f"{low}, {high}"
    return (f"at least {low}" if least is not None else low) or (f"at most {high}" if most is not None else high)


def value_of(field: FlagField, plain: Mapping[str, Any]) -> Any:
    """The value in the configuration, or the record's default if the record is not selected."""
    for choice, tag in field.needs:
        if at(plain, choice.path)[TAG] != tag:
            return field.default
    value = at(plain, field.path)
    return value[TAG] if field.tags else value


def shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
