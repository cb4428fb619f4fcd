"""`saccade report`: the tables of all evidence."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from saccade.app import catalogue, tables
from saccade.app.arguments import Parser
from saccade.core.errors import InvalidInput, NotFound
from saccade.core.files import write_atomically


def run(arguments: Sequence[str]) -> int:
    parser = Parser("report", "Print the tables of all kept evidence, as Markdown.")
    parser.add_argument("--keep", metavar="RUN", help="keep the evidence of a run in its system's folder")
    parser.add_argument("--write", action="store_true", help="write the tables and pages of README and docs")
    options = parser.parse_args(list(arguments))
    if options.keep:
        print(f"kept: {keep(Path(options.keep))}")
    if options.write:
        from saccade.app import pages

        root = checkout()
        changed = pages.write(root)
        print(f"{len(changed)} pages changed" + "".join(f"\n  {path.relative_to(root)}" for path in changed))
    if not options.keep and not options.write:
        print(tables.overview())
        for system in catalogue.names():
            print(f"## {catalogue.title(system) or system}\n\n{tables.runs(system)}")
    return 0


def keep(path: Path) -> Path:
    """Copy a run's evidence into its system's folder, under its date, variant and digest.

    Nothing is lost: what was kept of the same run makes way only where all of it stands in the new evidence too, as
    after `evaluate --keep`.
    """
    from saccade.training.record import check, read

    source = path / "evidence.json"
    if not source.is_file():
        raise NotFound(f"{path} has no evidence.json; a training that came to its end writes it")
    found, data = read(source)
    catalogue.check(found["system"])
    name = check(data, source).file_name(hashlib.sha256(data).hexdigest())
    target: Path = catalogue.SYSTEMS / found["system"] / "evidence" / name
    if target.exists():
        raise InvalidInput(f"{target} is kept already")
    target.parent.mkdir(exist_ok=True)
    earlier = [path for path in target.parent.glob("*.json") if is_within(path, found)]
    write_atomically(target, data)
    for path in earlier:
        path.unlink()
    return target


def is_within(path: Path, found: Mapping[str, Any]) -> bool:
    """Whether a file holds evidence, and all that it says stands in what was found."""
    from saccade.training.record import read

    try:
        return contains(found, read(path)[0])
    except (InvalidInput, NotFound):
        return False  # `list` names it


def contains(found: Any, earlier: Any) -> bool:
    """Whether all that the earlier evidence says stands in what was found."""
    if isinstance(found, dict) and isinstance(earlier, dict):
        return all(name in found and contains(found[name], value) for name, value in earlier.items())
    if isinstance(found, list) and isinstance(earlier, list) and len(found) == len(earlier):
        return all(contains(*pair) for pair in zip(found, earlier, strict=True))
    return bool(found == earlier)


def checkout() -> Path:
    """The root of the checkout that this package runs from."""
    root = catalogue.SYSTEMS.parents[2]
    if not (root / "pyproject.toml").is_file():
        raise InvalidInput("--write works in a checkout of the source (pip install -e .), not in an installed package")
    return root
