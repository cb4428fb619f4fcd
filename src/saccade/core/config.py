"""Configuration classes: frozen pydantic dataclasses that refuse unknown keys and values out of range.

A choice among several things, each with options of its own, is a union of records:

    Attention = Annotated[Additive | Dot | Hard, Field(discriminator="name"), NAMED]

Each record starts with `name: Literal["additive"] = "additive"`. The options of other choices cannot be set, and plain
data may give the name alone.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from saccade.core.pretrained import Pretrained

C = TypeVar("C")
# larger numbers are typing mistakes; whether the weights fit into memory is estimated once the model is known
Size = Annotated[int, Field(ge=1, le=65_536)]
"""Features or units of a layer."""
Parts = Annotated[int, Field(ge=1, le=1000)]
"""Layers, heads, components: parts that are built one by one."""
Many = Annotated[int, Field(ge=1, le=10**9)]
"""Steps, examples, symbols: counts that cost time but no weights."""
Seed = Annotated[int, Field(ge=0, lt=2**32)]


def _record_of_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


NAMED = BeforeValidator(_record_of_name)
"""Marks a union of records: "additive" in plain data stands for the record of that name with its defaults."""


EXCLUDING = "excluding"
"""The type of the error of `excluding`."""


def excluding(message: str, *names: str) -> PydanticCustomError:
    """The error of fields that exclude each other, for a validator to raise. On the command line, those that the user
    did not set then go back to their defaults, and only if there are none, this is the user's error.

    Args:
        message: the sentence.
        names: the fields, as dotted names below the record that is validated.
    """
    return PydanticCustomError(EXCLUDING, "{sentence}", {"sentence": message, "names": names})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field, dataclasses.field))
def config(cls: type[C]) -> type[C]:
    """Class decorator: a frozen, keyword-only record, validated on construction; attribute docstrings are its help."""
    rules = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, validate_default=True)
    made: Any = dataclass(frozen=True, kw_only=True, config=rules)(cls)
    for name, field in made.__pydantic_fields__.items():  # pydantic reads only the docstrings of the class itself
        inherited = (getattr(base, "__pydantic_fields__", {}).get(name) for base in made.__mro__[1:])
        field.description = field.description or next((f.description for f in inherited if f and f.description), None)
    return made  # type: ignore[no-any-return]


def to_plain(value: Any) -> dict[str, Any]:
    """The configuration as nested dicts of JSON values, as config.yaml stores it."""
    plain: dict[str, Any] = TypeAdapter(type(value)).dump_python(value, mode="json")
    return plain


def from_plain(cls: type[C], plain: Mapping[str, Any]) -> C:
    """The configuration that `to_plain` wrote, validated again.

    Raises:
        pydantic.ValidationError: an unknown key or a value that does not fit.
    """
    return TypeAdapter(cls).validate_python(dict(plain))


def placed(value: Any, folder: Path) -> Any:
    """The configuration with relative paths resolved against this folder."""
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, Pretrained):
        return type(value)(folder / value.path)
    if isinstance(value, tuple):
        return tuple(placed(part, folder) for part in value)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    held = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    changes = {name: placed(part, folder) for name, part in held.items()}
    return dataclasses.replace(value, **{name: part for name, part in changes.items() if part != held[name]})


def flatten(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration as a flat dict of dotted names and values."""
    flat: dict[str, Any] = {}
    for name, value in plain.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
