"""Translate configurations of version 0.1 to the current names.

Version 0.1 stored a choice as a word, and beside it the options of all choices, in records or as plain fields:
`{optimizer: adam, adam: {...}, sgd: {...}}`. Now a choice is the selected record.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from saccade.core.config import from_plain as read
from saccade.runs.flag_fields import TAG, members, tags_of

RENAMED = {"batch_tokens": "batch_size", "told_weight": "forced_weight", "times": "times_as_long"}
RECORDS = {"local-monotonic": "local", "local-predictive": "local"}
"""Choices whose options were in a record of another name."""
CHOICES = ("method",)
"""The old name of a choice whose options were beside it in one record."""
AFTER = "0.1."


def from_plain(cls: Any, plain: Mapping[str, Any], version: str) -> Any:
    """The configuration in a config.yaml of any version.

    Raises:
        pydantic.ValidationError: an unknown key or a value that does not fit.
    """
    return read(cls, renewed(cls, plain) if version.startswith(AFTER) else plain)


def renewed(cls: Any, plain: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data of version 0.1 in the current form; unknown names are left for validation to reject."""
    new = {RENAMED.get(name, name): value for name, value in plain.items()}
    gone: set[str] = set()
    for name, info in cls.__pydantic_fields__.items():
        kind, value = info.annotation, new.get(name)
        if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
            new[name] = renewed(kind, value)
        elif members(kind):
            gone |= options(kind)
            if isinstance(value, str):
                new[name] = chosen(kind, value, {**new})
            elif isinstance(value, Mapping) and TAG not in value:
                made = next((value[key] for key in CHOICES if key in value), None)
                new[name] = value if made is None else chosen(kind, str(made), value)
    return {name: value for name, value in new.items() if name in cls.__pydantic_fields__ or name not in gone}


def chosen(kind: Any, tag: str, beside: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a choice, with options taken from its own record or from fields beside the choice."""
    record = next((one for one in members(kind) if tag in tags_of(one)), None)
    found: dict[str, Any] = {TAG: tag}
    if record is None:  # pydantic rejects it, and lists the valid names
        return found
    own = beside.get(RECORDS.get(tag, tag.replace("-", "_")))
    where = {**beside, **(own if isinstance(own, Mapping) else {})}
    for name, info in record.__pydantic_fields__.items():
        if name == TAG or name not in where:
            continue
        value = where[name]
        found[name] = (
            chosen(info.annotation, value, where) if members(info.annotation) and isinstance(value, str) else value
        )
    return found


def options(kind: Any) -> set[str]:
    """The old names of a choice's options, beside the choice."""
    found: set[str] = set()
    for record in members(kind):
        names = set(record.__pydantic_fields__) - {TAG}
        tags = {RECORDS.get(tag, tag.replace("-", "_")) for tag in tags_of(record)}
        found |= names | tags
        for info in record.__pydantic_fields__.values():
            found |= options(info.annotation) if members(info.annotation) else set()
    return found
