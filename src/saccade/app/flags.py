"""Every field of a configuration is a flag, every flag a field: `--model.hidden-size 512`, `--config file.yaml`.

Values from flags and from YAML take one way, through pydantic, so both are told in one sentence what does not fit.
"""

import dataclasses
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from saccade.app import catalogue
from saccade.core.config import from_plain, to_plain
from saccade.core.errors import InvalidInput, NotFound, nearest

SHORT = {"--seed": "--training.seed", "--device": "--training.device", "--precision": "--training.precision"}


def fields(cls: Any, prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """The path of each plain field of a nested configuration -> its annotation."""
    found: dict[tuple[str, ...], Any] = {}
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        path, kind = (*prefix, field.name), hints[field.name]
        found |= fields(kind, path) if dataclasses.is_dataclass(kind) else {path: kind}
    return found


def flag(path: Sequence[str]) -> str:
    return "--" + ".".join(path).replace("_", "-")


class UnknownFlag(NotFound):
    """A flag that does not exist, the flags that do, and the command that lists them."""

    def __init__(self, name: str, known: Iterable[str], listed: str) -> None:
        self.name, self.known, self.listed = name, list(known), listed
        super().__init__(f"there is no flag {name}; {nearest(name, self.known, listed)}")


def parse(config: Any, arguments: Sequence[str], others: Sequence[str] = ()) -> Any:
    """The configuration with the flags (and the file of `--config`, which they override) applied.

    Args:
        config: the configuration.
        arguments: flags and their values.
        others: flags of the command that are no fields, and may be meant where one does not exist.

    Raises:
        NotFound: an unknown flag or key, with the nearest right one; an argument that belongs to no flag.
        InvalidInput: a value that does not fit, with what would.
    """
    with also(others):
        changed, rest = separate(config, arguments)
    if rest:
        raise NotFound(f"{rest[0]!r} is one argument too many; flags begin with --")
    return changed


@contextmanager
def also(others: Iterable[str]) -> Iterator[None]:
    """Within the block an unknown flag may have been meant to be one of these, too."""
    try:
        yield
    except UnknownFlag as error:
        raise UnknownFlag(error.name, [*error.known, *others], error.listed) from None


def separate(config: Any, arguments: Sequence[str]) -> tuple[Any, list[str]]:
    """As `parse`, and the arguments that belong to no flag."""
    given, rest = split(fields(type(config)), arguments, catalogue.system_of(type(config)))
    plain = to_plain(config)
    for path, value in given:
        merge(plain, path, value)
    try:
        reset: list[str] = []
        made = from_plain(type(config), plain, reset)
        if any(set(path) & set(reset) for path, _ in given):  # what was asked for may not be left out
            made = from_plain(type(config), plain)
        return made, rest
    except ValidationError as error:
        raise InvalidInput(sentence(error, type(config))) from None


def split(
    known: Mapping[tuple[str, ...], Any], arguments: Sequence[str], system: str
) -> tuple[list[tuple[tuple[str, ...], Any]], list[str]]:
    """Arguments as (path of the field, raw value), the file's first, and those that belong to no flag."""
    flags = {flag(path): path for path in known}
    from_file: list[tuple[tuple[str, ...], Any]] = []
    from_flags: list[tuple[tuple[str, ...], Any]] = []
    positional: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not is_flag(word):
            positional.append(word)
            continue
        name, equals, value = word.partition("=")
        name = SHORT.get(name, name)
        kind = known[flags[name]] if name in flags else str
        if equals:
            values = [value]
        elif name not in flags and (off := name.replace("no-", "", 1)) in flags and known[flags[off]] is bool:
            name, values, kind = off, ["false"], bool
        else:
            values = take_values(rest, kind)
        if name == "--config":
            from_file += from_yaml(known, one(name, values), system)
        elif name in flags:
            from_flags.append((flags[name], read(kind, name, values)))
        else:
            raise UnknownFlag(name, [*flags, *SHORT, "--config"], f"saccade train {system} --help")
    return from_file + from_flags, positional


def take_values(rest: list[str], kind: Any) -> list[str]:
    """The values of a flag, taken from the arguments behind it: all up to the next flag for a list, one otherwise."""
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


def read(kind: Any, name: str, values: Sequence[str]) -> Any:
    """The raw value of a flag; what it must be is pydantic's to say."""
    if typing.get_origin(kind) is tuple:
        if not values:
            raise InvalidInput(f"{name} takes one value or more, not none")
        return list(values)
    if kind is bool and not values:
        return True
    value = one(name, values)
    return None if optional(kind) and value.lower() == "none" else value


def optional(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType) and type(None) in typing.get_args(kind)


def from_yaml(known: Mapping[tuple[str, ...], Any], name: str, system: str) -> list[tuple[tuple[str, ...], Any]]:
    from saccade.training.run_folder import read_yaml

    path = Path(name)
    if path.is_dir():
        inside = f"; a run's is {path / 'config.yaml'}" if (path / "config.yaml").is_file() else ""
        raise InvalidInput(f"{path}: a folder, not a file of YAML{inside}")
    if not path.is_file():
        raise NotFound(f"{path}: there is no such file")
    plain = read_yaml(path)
    if isinstance(plain, Mapping) and {"system", "variant", "config"} <= set(plain):
        if plain["system"] != system:  # the config.yaml of a run
            raise InvalidInput(f"{path}: the configuration of {plain['system']}, not of {system}")
        plain = plain["config"]
    if not isinstance(plain, Mapping):
        raise InvalidInput(f"{path}: expected keys and values, such as 'model: {{hidden_size: 512}}'")
    return list(leaves(known, plain, path, (), f"saccade train {system} --help"))


def leaves(
    known: Mapping[tuple[str, ...], Any], plain: Mapping[str, Any], file: Path, prefix: tuple[str, ...], listed: str
) -> Iterator[tuple[tuple[str, ...], Any]]:
    names = {path[len(prefix)] for path in known if path[: len(prefix)] == prefix}
    for key, value in plain.items():
        path = (*prefix, str(key))
        if str(key) not in names:
            raise NotFound(f"{file}: there is no key {'.'.join(path)!r}; {nearest(str(key), names, listed)}")
        if path in known:
            yield path, None if optional(known[path]) and value == "none" else value
        elif isinstance(value, Mapping):
            yield from leaves(known, value, file, path, listed)
        else:
            raise InvalidInput(f"{file}: {'.'.join(path)} holds options, not a value")


def merge(plain: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for name in path[:-1]:
        plain = plain[name]
    plain[path[-1]] = value


def explain(error: Exception, cls: Any) -> str:
    """What a configuration was refused for, in one sentence."""
    return sentence(error, cls) if isinstance(error, ValidationError) else str(error)


def sentence(error: ValidationError, cls: Any) -> str:
    """The first of the faults, in our words."""
    fault = error.errors()[0]
    path = tuple(str(part) for part in fault["loc"])
    if fault["type"] == "unexpected_keyword_argument":
        there = [".".join(field) for field in fields(cls)]
        listed = f"saccade train {catalogue.system_of(cls)} --help"
        return f"there is no field {'.'.join(path)}; {nearest('.'.join(path), there, listed)}"
    known = [field for field in fields(cls) if path[: len(field)] == field]
    context, got = fault.get("ctx", {}), fault["input"]
    if not known:
        return str(context.get("error", fault["msg"]))
    name = flag(known[0])
    match fault["type"]:
        case "literal_error":
            options = [option.strip(" '") for option in context["expected"].replace(" or ", ",").split(",")]
            return f"{name}: {got!r} is none of {', '.join(options)}; {nearest(str(got), options)}"
        case "greater_than_equal":
            return f"{name} must be at least {context['ge']}, not {got}; the nearest is {context['ge']}"
        case "less_than_equal":
            return f"{name} must be at most {context['le']}, not {got}; the nearest is {context['le']}"
        case "greater_than":
            return f"{name} must be more than {context['gt']}, not {got}"
        case "less_than":
            return f"{name} must be less than {context['lt']}, not {got}"
        case "too_long" | "too_short":
            wanted = context.get("max_length", context.get("min_length"))
            return f"{name} takes {wanted} values, not {len(got)}"
        case "tuple_type":
            return f"{name} must be a list of values, not {got!r}"
        case kind if kind.endswith("_parsing") or kind.endswith("_type"):
            wanted = {"int": "a whole number", "float": "a number", "bool": "true or false"}
            return f"{name} must be {wanted.get(kind.split('_')[0], fault['msg'])}, not {got!r}"
    return f"{name}: {fault['msg']}, not {got!r}"
