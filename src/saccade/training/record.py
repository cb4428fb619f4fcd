"""The format of evidence, as types: evidence that is stored or listed is validated like a configuration.

Nothing here imports torch, so that the catalogue loads quickly.
"""

import json
import math
import shlex
from collections.abc import Mapping
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from saccade.core.config import config
from saccade.core.errors import InvalidInput, NotFound
from saccade.core.printable import printable

LARGEST = 2**20
"""Bytes of a file."""
DEEPEST, LONGEST = 20, 20_000  # limits of the JSON: depth of nesting, and characters of a text
MOST = 10**15
WHEN = "%Y-%m-%dT%H:%M:%SZ"
BEFORE, SINCE = "0.1.", ("figures", "series", "studies", "pictures")  # an earlier version, and the fields that it lacks

Line = Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
"""Text that is printed unchanged, so it has no control characters."""
Name = Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
"""Text that may be part of a file name."""
Whole = Annotated[int, Field(ge=0, le=MOST)]
Amount = Annotated[float, Field(ge=0, le=MOST)]
Scalar = Line | bool | int | float | None


@config
class PaperRecord:
    """The paper of a system."""

    title: Line
    authors: Line
    year: Annotated[int, Field(ge=1800, le=2200)]
    arxiv: Line
    target: Line
    number: Line
    doi: Line = ""
    address: Line = ""


@config
class HardwareRecord:
    """The hardware and software of a training."""

    machine: Line
    processor: Line
    cores: Whole
    device: Line
    threads: Whole | None = None
    processes: Whole | None = None
    gpu: Line | None = None


@config
class Verdict:
    """A claim with the value found, and whether it holds."""

    metric: Line
    direction: Literal["max", "min"]
    bound: float | None
    """None if the other variant has no evidence yet."""
    split: Line
    variant: Line
    why: Line
    value: float
    holds: bool | None
    against: Line = ""
    factor: float = 1.0
    over: Literal["each", "mean", "best"] = "each"


@config
class FigureRecord:
    """The name and the unit of a figure."""

    name: Line = ""
    unit: Line = ""


@config
class SeriesRecord:
    """A score as a function of something, or a histogram."""

    x: tuple[float | Line, ...]
    y: tuple[float, ...]
    x_label: Line
    y_label: Line
    kind: Literal["curve", "histogram"]
    counts: tuple[Whole, ...]
    thinned: bool = False

    @model_validator(mode="after")
    def check_lengths(self) -> "SeriesRecord":
        if len(self.x) != len(self.y) or len(self.counts) not in (0, len(self.x)):
            raise ValueError(
                f"{len(self.x)} x, {len(self.y)} y and {len(self.counts)} counts: their numbers must be equal"
            )
        return self


@config
class Evidence:
    """The evidence of one run."""

    system: Name
    variant: Name
    changed: dict[Line, Scalar | tuple[Scalar, ...]]
    date: str
    command: str | None
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{7,64}\+?$")] | None
    versions: dict[Line, Line]
    hardware: HardwareRecord
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**64)], ...], Field(min_length=1)]
    wall_seconds: Amount
    parameters: Whole
    paper: PaperRecord
    data: dict[Line, Any]
    metrics: dict[Line, dict[Line, Any]]
    claims: tuple[Verdict, ...]
    config: dict[str, Any]
    figures: dict[Line, FigureRecord]
    series: dict[Line, SeriesRecord]
    studies: dict[Name, dict[Line, Any]]
    pictures: tuple[dict[Line, Any], ...]
    counted_per_second: Amount | None = None
    peak_memory_mb: Amount | None = None
    thinned: bool = False

    @field_validator("date")
    @classmethod
    def check_date(cls, date: str) -> str:
        try:
            same = datetime.strptime(date, WHEN).strftime(WHEN) == date
        except ValueError:
            same = False
        if not same:
            raise ValueError("expected a date such as 2026-01-31T12:00:00Z")
        return date

    @field_validator("data")
    @classmethod
    def check_data(cls, data: dict[str, Any]) -> dict[str, Any]:
        adapter(Line).validate_python(data.get("data"))
        adapter(Line | None).validate_python(data.get("sha256"))
        return data

    @field_validator("metrics")
    @classmethod
    def check_metrics(cls, metrics: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        test = metrics.get("test", {})
        if not isinstance(name := test.get("decisive"), str) or type(test.get(name)) not in (int, float):
            raise ValueError("expected the figures of the test split, with the name of one of them in decisive")
        for figure, value in test.items():
            if isinstance(value, int | float) and not abs(value) <= MOST:
                raise ValueError(f"{figure} is {value:g}; expected a number up to {MOST:g}")
        return metrics

    def file_name(self, digest: str) -> str:
        """The name of its file; every part of it has been validated."""
        return f"{datetime.strptime(self.date, WHEN):%Y%m%dT%H%M%SZ}-{self.variant}-{digest[:8]}.json"


@cache
def adapter(kind: Any) -> Any:  # a TypeAdapter; beartype rejects it as an annotation
    return TypeAdapter(kind)


@lru_cache(maxsize=1024)  # a table of many systems, and each page of the docs, reads the same files
def check(data: bytes, source: Path) -> Evidence:
    """Validate the evidence in a file.

    Raises:
        InvalidInput: not the evidence of a run; names the field and the fault.
    """
    wrong = f"{source}: not the evidence of a run"
    if len(data) > LARGEST:
        raise InvalidInput(f"{wrong}; it is larger than {LARGEST / 2**20:g} MB")
    try:
        found: Evidence = adapter(Evidence).validate_json(data, strict=True)
        check_plain(json.loads(data))
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        if fault["type"] == "missing" and fault["loc"][0] in SINCE and is_before(data):
            raise InvalidInput(of_before(source)) from None
        place = printable(".".join(str(part)[:40] for part in fault["loc"]))
        why = fault["msg"].removeprefix("Value error, ")
        raise InvalidInput(f"{wrong}; {f'{place}: ' if place else ''}{why[:1].lower()}{why[1:]}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{wrong}; {error}") from None
    return found


def is_before(data: bytes) -> bool:
    """Whether the evidence, valid but for missing fields, was written by version 0.1."""
    return str(json.loads(data).get("versions", {}).get("saccade", "")).startswith(BEFORE)


def of_before(source: Path) -> str:
    """The error for evidence of version 0.1, which is not converted."""
    run = shlex.quote(str(source.parent))
    return (
        f"{source}: the run was scored by version {BEFORE.rstrip('.')}, whose evidence cannot be kept; score it again "
        f"with: saccade evaluate {run}; a run that is trained again has evidence to keep"
    )


def check_plain(value: Any, place: str = "", depth: int = 0) -> None:
    """Raise ValueError if JSON of the right type contains something that cannot be stored or printed."""
    if depth > DEEPEST:
        raise ValueError(f"{place}: expected at most {DEEPEST} nested levels")
    match value:
        case str():
            if len(value) > LONGEST:
                raise ValueError(f"{place}: expected a text of at most {LONGEST:,} characters, not {len(value):,}")
            value.encode("utf-8")  # an unpaired surrogate cannot be encoded
        case int():
            if abs(value) >= 2**64:
                raise ValueError(f"{place}: expected an integer of at most 64 bits, not {value.bit_length()}")
        case float():
            if not math.isfinite(value):
                raise ValueError(f"{place}: expected a finite number, not {value}")
        case Mapping():
            for name, part in value.items():
                check_plain(name, place, depth + 1)
                check_plain(part, f"{place}.{name[:40]}" if place else name[:40], depth + 1)
        case list():
            for part in value:
                check_plain(part, place, depth + 1)


def read(path: Path) -> tuple[dict[str, Any], bytes]:
    """The evidence in a file, as plain values, and its bytes.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is not the evidence of a run.
    """
    if not path.is_file():
        raise NotFound(f"{path}: there is no such file")
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    check(data, path)
    return json.loads(data), data
