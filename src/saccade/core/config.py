"""Configuration classes: frozen pydantic dataclasses that refuse unknown keys and values out of range."""

import dataclasses
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

C = TypeVar("C")
# beyond these a number is a slip of the finger; whether the weights fit into memory is estimated when they are known
Size = Annotated[int, Field(ge=1, le=65_536)]
"""Features or units of a layer."""
Parts = Annotated[int, Field(ge=1, le=1000)]
"""Layers, heads, components: parts that are made one by one."""
Many = Annotated[int, Field(ge=1, le=10**9)]
"""Steps, examples, symbols: what takes time but no weights."""
Seed = Annotated[int, Field(ge=0, lt=2**32)]
RESET: ContextVar[list[str] | None] = ContextVar("RESET", default=None)  # of `from_plain`


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field, dataclasses.field))
def config(cls: type[C]) -> type[C]:
    """Class decorator: a frozen, keyword-only record, checked when it is made; attribute docstrings are its help."""
    rules = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, validate_default=True)
    made: Any = dataclass(frozen=True, kw_only=True, config=rules)(cls)
    for name, field in made.__pydantic_fields__.items():  # docstrings are read of a class by itself
        inherited = (getattr(base, "__pydantic_fields__", {}).get(name) for base in made.__mro__[1:])
        field.description = field.description or next((f.description for f in inherited if f and f.description), None)
    return made  # type: ignore[no-any-return]


def to_plain(value: Any) -> dict[str, Any]:
    """The configuration as nested dicts of JSON-able values: what config.yaml holds."""
    plain: dict[str, Any] = TypeAdapter(type(value)).dump_python(value, mode="json")
    return plain


def from_plain(cls: type[C], plain: Mapping[str, Any], reset: list[str] | None = None) -> C:
    """The configuration that `to_plain` wrote, checked anew.

    Args:
        cls: its class.
        plain: what `to_plain` gave.
        reset: a list, where nobody may have set the options of a choice that was not made: what was written some time
            ago holds the defaults of its time, and a variant those of its own choices. They are then as by default
            today, and the names of those that were not are appended.

    Raises:
        pydantic.ValidationError: an unknown key or a value that does not fit.
    """
    before = RESET.set(reset)
    try:
        return TypeAdapter(cls).validate_python(dict(plain))
    finally:
        RESET.reset(before)


def placed(value: Any, folder: Path) -> Any:
    """A configuration whose relative paths are those of this folder."""
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, tuple):
        return tuple(placed(part, folder) for part in value)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    held = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    changes = {name: placed(part, folder) for name, part in held.items()}
    return dataclasses.replace(value, **{name: part for name, part in changes.items() if part != held[name]})


def refuse_unchosen(record: Any, choice: str, options: Mapping[str, str]) -> None:
    """For a validator: raise where the options of a choice that was not made differ from their defaults.

    Args:
        record: a configuration with a field `choice` and a field of options for some of its values.
        choice: the field that chooses.
        options: the value of the choice -> the name of the field that holds its options.
    """
    made = getattr(record, choice)
    for field in dataclasses.fields(record):
        owners = [value for value, name in options.items() if name == field.name]
        if owners and made not in owners and getattr(record, field.name) != default(record, field.name):
            if (reset := RESET.get()) is not None:
                object.__setattr__(record, field.name, default(record, field.name))
                reset.append(field.name)
                continue
            name, value = field.name.replace("_", "-"), choice.replace("_", "-")
            raise ValueError(f"{name} is set, but {value} is {made!r}; it belongs to {' or '.join(map(repr, owners))}")


def default(record: Any, name: str) -> Any:
    """The default of a field of a configuration."""
    return type(record).__pydantic_fields__[name].get_default()


def flatten(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested configuration as dotted names -> values."""
    flat: dict[str, Any] = {}
    for name, value in plain.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
