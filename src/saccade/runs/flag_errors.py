"""The error of a flag or a field in one sentence, with the flag that sets it."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from saccade.core.errors import nearest
from saccade.runs import catalogue
from saccade.runs.flag_fields import FlagField, Path_, fields


def explain(error: Exception, cls: Any) -> str:
    """One sentence that explains a validation error."""
    return sentence(error, cls) if isinstance(error, ValidationError) else str(error)


def sentence(error: ValidationError, cls: Any) -> str:
    """The first error, with the flag that sets the field."""
    fault = error.errors()[0]
    known = fields(cls)
    path = without_tags(tuple(str(part) for part in fault["loc"]), known)
    if fault["type"] == "unexpected_keyword_argument":
        if other := next((field for field in known if field.path == path), None):
            return needed(other, *other.needs[-1], fault["loc"][-2])
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
            return not_among(name, context.get("tag", got), [option.strip(" '") for option in said])
        case "greater_than_equal":
            return f"{name} must be at least {number(context['ge'])}, not {got}; the nearest is {number(context['ge'])}"
        case "less_than_equal":
            return f"{name} must be at most {number(context['le'])}, not {got}; the nearest is {number(context['le'])}"
        case "greater_than":
            return f"{name} must be more than {number(context['gt'])}, not {got}"
        case "less_than":
            return f"{name} must be less than {number(context['lt'])}, not {got}"
        case "too_long" | "too_short":
            wanted = context.get("max_length", context.get("min_length"))
            return f"{name} takes {wanted} values, not {len(got)}"
        case "tuple_type":
            return f"{name} must be a list of values, not {got!r}"
        case "value_error" | "excluding":
            return f"{name}: {context.get('error', fault['msg'])}"
        case kind if kind.endswith("_parsing") or kind.endswith("_type"):
            wanted = {"int": "a whole number", "float": "a number", "bool": "true or false"}
            return f"{name} must be {wanted.get(kind.split('_')[0], fault['msg'])}, not {got!r}"
    return f"{name}: {fault['msg']}, not {got!r}"


def number(limit: float) -> str:
    """Such as 65,536; 0 for 0.0, since pydantic reports limits as floats."""
    return f"{int(limit):,}" if limit == int(limit) else str(limit)


def without_tags(path: Path_, known: Sequence[FlagField]) -> Path_:
    """The path of an error in plain data: pydantic inserts the name of the selected record after its choice."""
    choices = {field.path: field.tags for field in known if field.tags}
    found: Path_ = ()
    for part in path:
        if part in choices.get(found, ()):
            continue
        found = (*found, part)
    return found


def needed(field: FlagField, choice: FlagField, tag: str, made: Any) -> str:
    return f"{field.flag} needs {choice.flag} {tag}; it is {made}"


def not_among(name: str, given: Any, options: Sequence[str]) -> str:
    return f"{name} must be one of {', '.join(options)}, not {given!r}; {nearest(str(given), options)}"


def listing(cls: Any) -> str:
    """The command that lists the flags of a configuration."""
    return f"saccade train {catalogue.system_of(cls)} --help"
