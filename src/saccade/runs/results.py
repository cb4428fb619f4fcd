"""Tables of the stored evidence. All results in README and docs are rendered here."""

import hashlib
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.files import write_atomically
from saccade.core.recipe import Paper
from saccade.core.task import Figure, short
from saccade.runs import catalogue

if TYPE_CHECKING:
    from saccade.training.run_folder import RunFolder

Evidence = Mapping[str, Any]
"""The evidence of one run, as in its JSON file."""


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of the rows, the first of which is the head."""
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def overview() -> str:
    """A row for each system and variant: the paper's number and ours, with the spread over seeds."""
    rows = [["system", "paper", "the paper's number", "ours", "data", "parameters", "seeds", "date"]]
    for system in catalogue.names():
        for group in headlines(catalogue.evidence(system)):
            found, paper = group[-1], group[-1]["paper"]
            cited = f"[{paper['authors']} {paper['year']}]({Paper(**paper).link})"
            data, parameters = f"{found['data']['data']}, {described(found)}", f"{found['parameters']:,}"
            ours, seeds, date = result(group), seeds_of(group), found["date"][:10]
            rows.append([f"`{system}`", cited, paper["number"], ours, data, parameters, seeds, date])
    return markdown(rows) if len(rows) > 1 else "No evidence has been stored yet.\n"


def headlines(evidence: Sequence[Evidence]) -> list[list[Evidence]]:
    """The groups for the overview, without rows of a comparison: variants with a hyphen in their name and no claim, and
    changes to a variant that was trained unchanged."""
    found = [group for group in groups(evidence) if "-" not in group[-1]["variant"] or group[-1]["claims"]]
    unchanged = {group[-1]["variant"] for group in found if not group[-1]["changed"]}
    return [group for group in found if not group[-1]["changed"] or group[-1]["variant"] not in unchanged]


def runs(system: str) -> str:
    """A row for each run of a system, including failures."""
    evidence = catalogue.evidence(system)
    if not evidence:
        return "No evidence has been stored yet.\n"
    rows = [["variant", "test", "claims", "parameters", "training", "processor", "seeds", "commit", "date"]]
    for found in evidence:
        claims = [verdict(found, claim) for claim in found["claims"]]
        rows.append(
            [
                described(found), result([found]), "; ".join(claims) or "none", f"{found['parameters']:,}",
                f"{found['wall_seconds']:.0f} s", machine(found["hardware"]), seeds_of([found]),
                (found["commit"] or "")[:8], found["date"][:10],
            ]
        )  # fmt: skip
    return markdown(rows) + f"\nData: {'; '.join(read(evidence))}.\n"


def read(evidence: Sequence[Evidence]) -> list[str]:
    """The data that some runs read; if they differ, each with the variants that read them."""
    variants: dict[str, dict[str, None]] = {}
    for found in evidence:
        variants.setdefault(found["data"]["data"].rstrip("."), {})[found["variant"]] = None
    if len(variants) == 1:
        return list(variants)
    return [f"{data} ({', '.join(own)})" for data, own in variants.items()]


def machine(hardware: Mapping[str, Any]) -> str:
    """What a run was trained on: the GPU, or the processor and how many of its cores computed."""
    if gpu := hardware.get("gpu"):
        return str(gpu)
    cores = hardware["cores"]
    used = (hardware.get("threads") or cores) * (hardware.get("processes") or 1)
    share = f"{used} of {cores} cores" if used < cores else f"{cores} cores" if cores > 1 else "1 core"
    return f"{hardware['processor']}, {share}"


def described(found: Evidence) -> str:
    """The variant of a run, and its changes."""
    differs = ", ".join(f"{name} = {value}" for name, value in found["changed"].items())
    return f"{found['variant']} with {differs}" if differs else str(found["variant"])


def verdict(found: Evidence, claim: Mapping[str, Any]) -> str:
    """A claim, and whether it holds. One against another variant that had no evidence when the run ended is decided by
    the evidence that it has now."""
    bound, holds = bound_of(found["system"], claim), claim["holds"]
    if bound is None:
        factor = "" if claim["factor"] == 1 else f" (factor {claim['factor']:.3g})"
        name = figure(found, claim["metric"]).name
        return f"{name} better than that of {claim['against']}{factor}: not decided yet"
    if holds is None:
        holds = claim["value"] >= bound if claim["direction"] == "max" else claim["value"] <= bound
    sign = ">=" if claim["direction"] == "max" else "<="
    return f"{said(found, claim['metric'], f'{sign} {bound:g}')}: {'holds' if holds else '**fails**'}"


def bound_of(system: str, claim: Mapping[str, Any]) -> float | None:
    """The bound of a claim; None if the variant to compare with has no evidence yet."""
    if claim["bound"] is not None:
        return float(claim["bound"])
    metric, split = claim["metric"], claim["split"]
    for found in reversed(catalogue.evidence(system)):
        if found["variant"] == claim["against"] and not found["changed"] and metric in found["metrics"][split]:
            return float(claim["factor"] * found["metrics"][split][metric])
    return None


def result(group: Sequence[Evidence]) -> str:
    """The decisive figure, and the others that all runs have, each as a mean with its spread over seeds."""
    decisive, *rest = deciding(group)
    others = [name for name, value in decisive.items() if isinstance(value, float) and name != decisive["decisive"]]
    companions = [
        said(group[-1], other, spread([figures[other] for figures in (decisive, *rest)], 1))
        for other in others
        if all(number(other, figures) is not None for figures in rest)
    ]
    ours = f"**{headline(group)}**"
    return f"{ours} ({', '.join(companions)})" if companions else ours


def headline(group: Sequence[Evidence]) -> str:
    """The decisive figure, as a mean with its spread over seeds, such as "BLEU 50.14"."""
    found = deciding(group)
    name = found[0]["decisive"]
    return said(group[-1], name, spread([figures[name] for figures in found]))


def deciding(group: Sequence[Evidence]) -> list[Mapping[str, Any]]:
    """The test figures of the runs whose decisive figure is a number, newest first."""
    name = group[-1]["metrics"]["test"]["decisive"]
    tests = [found["metrics"]["test"] for found in reversed(group)]
    return [figures for figures in tests if number(name, figures) is not None]


def number(name: str, figures: Mapping[str, Any]) -> float | None:
    """The figure of a name; None if there is none, or it is not a number."""
    value = figures.get(name)
    return value if isinstance(value, int | float) else None


def groups(evidence: Sequence[Evidence]) -> list[list[Evidence]]:
    """The runs of each variant, and of each change to one, that count: the newest of each seed, on the newest data.

    Both `evidence` and the groups are ordered from oldest to newest.
    """
    found: dict[str, list[Evidence]] = {}
    for one in evidence:
        found.setdefault(described(one), []).append(one)
    return [newest(runs) for runs in found.values()]


def newest(runs: Sequence[Evidence]) -> list[Evidence]:
    """The newest run of each seed, without runs on other data or with other settings than the newest run of all."""
    last = runs[-1]
    latest: dict[tuple[int, ...], Evidence] = {}
    for one in runs:
        if one["data"].get("sha256") == last["data"].get("sha256") and alike(one, last):
            latest.pop(tuple(one["seeds"]), None)  # so that it moves to the end
            latest[tuple(one["seeds"])] = one
    return list(latest.values())


OWN = ("seed", "device", "precision", "threads", "checkpoint_every", "log_every")
"""Training settings in which runs of one variant may differ."""


def alike(one: Evidence, other: Evidence) -> bool:
    """Whether two runs of a variant have as many parameters and were trained with the same settings. Only settings that
    both have, in the same form, are compared: older runs lack some."""
    first, second = (found.get("config", {}).get("training", {}) for found in (one, other))
    both = [name for name in first if name in second and name not in OWN]
    same = all(
        first[name] == second[name] for name in both if isinstance(first[name], dict) == isinstance(second[name], dict)
    )
    return bool(one["parameters"] == other["parameters"] and same)


def seeds_of(group: Sequence[Evidence]) -> str:
    return ", ".join(map(str, sorted({seed for found in group for seed in found["seeds"]})))


def spread(values: Sequence[float], places: int = 2) -> str:
    """Mean ± sample standard deviation; for a single value, or equal counts, only the value.

    Values below one have one more decimal place, or two more if that shows zeros; values of a thousand and more have
    none.
    """
    if all(isinstance(value, int) and value == values[0] for value in values):
        return f"{values[0]:,}"
    mean = statistics.fmean(values)
    if len(values) == 1 and abs(mean) < 1:
        return short(mean, places)
    places = 0 if abs(mean) >= 1000 else places + (abs(mean) < 1)
    return f"{mean:,.{places}f}" + (f" ± {statistics.stdev(values):,.{places}f}" if len(values) > 1 else "")


def named(name: str) -> list[Evidence]:
    """The runs that count of an unchanged variant, by `system:variant`; none if it was not run yet.

    Raises:
        NotFound: no such system or variant.
    """
    system, _, variant = name.partition(":")
    catalogue.variant(catalogue.recipe(system), variant)
    return next((group for group in groups(catalogue.evidence(system)) if described(group[-1]) == variant), [])


def figures_of(found: Evidence) -> dict[str, float | str]:
    """The figures in a run's evidence, by path: those of the test, of studies, such as `alignments.chosen.all.aer`, and
    of the run.

    Text is included, such as the layer that links were read from.
    """

    def flat(figures: Mapping[str, Any], prefix: str = "") -> dict[str, float | str]:
        plain = {f"{prefix}{name}": value for name, value in figures.items() if isinstance(value, int | float | str)}
        for name, value in figures.items():
            plain |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {}
        return plain

    own = {name: value for name, value in found.items() if isinstance(value, int | float | str)}
    return own | flat(found["metrics"]["test"]) | flat(found.get("studies", {}))


def comparison(names: Sequence[str], metrics: Sequence[str], heads: Sequence[str] = ()) -> str:
    """A row for each `system:variant` and a column for each metric, with the spread over seeds.

    Args:
        names: the variants.
        metrics: keys of `figures_of`.
        heads: names of the columns; by default those of the metrics.

    Raises:
        NotFound: no such system or variant.
        InvalidInput: a metric that no run has; no variant or metric; different numbers of heads and metrics.
    """
    if not names or not metrics or (heads and len(heads) != len(metrics)):
        got = f"{len(names)} variants, {len(metrics)} metrics, {len(heads)} names"
        raise InvalidInput(f"expected variants, metrics and a name for each metric or none; got {got}")
    found = {name: named(name) for name in names}
    known = sorted({metric for group in found.values() for one in group for metric in figures_of(one)})
    for metric in metrics:
        if known and metric not in known:
            raise InvalidInput(f"there is no metric {metric!r} in the evidence; there are: {', '.join(known)}")
    heads = heads or [metric.replace(".", " ").replace("_", " ") for metric in metrics]
    rows = [["system", "variant", *heads, "seeds", "training (minutes)"]]
    for name, group in found.items():
        system, _, variant = name.partition(":")
        rows.append([f"`{system}`", variant, *compared(group, metrics)])
    return markdown(rows)


def compared(group: Sequence[Evidence], metrics: Sequence[str]) -> list[str]:
    """The cells of a row: the metrics that all runs of the group have, seeds, training time."""
    if not group:
        return ["not run yet", *[""] * (len(metrics) + 1)]
    found = [figures_of(one) for one in group]
    cells = [
        cell([figures[metric] for figures in found]) if all(metric in figures for figures in found) else "–"
        for metric in metrics
    ]
    minutes = statistics.fmean(one["wall_seconds"] for one in group) / 60
    return [*cells, seeds_of(group), f"{minutes:.1f}"]


def cell(values: Sequence[float | str]) -> str:
    """The spread of numbers, or the distinct texts."""
    texts = [value for value in values if isinstance(value, str)]
    return ", ".join(dict.fromkeys(texts)) or spread([value for value in values if not isinstance(value, str)])


def figure(found: Evidence, key: str) -> Figure:
    """A figure's name and unit, without its value."""
    kept = found["figures"].get(key, {})
    return Figure(None, str(kept.get("unit", "")), str(kept.get("name") or key.rpartition(".")[2].replace("_", " ")))


def said(found: Evidence, key: str, value: str) -> str:
    """A figure and its value, such as "label error rate 0.403 %"."""
    shown = figure(found, key)
    return f"{shown.name} {value} {shown.unit_after(key)}".rstrip()


def about(folder: "RunFolder", system: str) -> str:
    """A line on a run: its system, its data, and its score on the test set, as its evidence has it."""
    title = catalogue.title(system) or system
    try:
        found = folder.read_evidence()
        key = found["metrics"]["test"]["decisive"]
        value = found["metrics"]["test"][key]
        number = short(value).replace(",", "")
        return f"{title}. Data: {found['data']['data']}. Test set: {said(found, key, number)}."
    except (NotFound, InvalidInput, LookupError, TypeError):  # it was not scored
        return f"{title}."


def keep(path: Path) -> Path:
    """Copy a run's evidence into its system's folder, named after its date, variant and digest.

    Earlier evidence of the same run is replaced only if the new evidence contains all of it, as after `evaluate
    --keep`.
    """
    from saccade.training.record import check, read

    source = path / "evidence.json"
    if not source.is_file():
        raise NotFound(f"{path} has no evidence.json; it is written when a training ends")
    found, data = read(source)
    catalogue.check(found["system"])
    name = check(data, source).file_name(hashlib.sha256(data).hexdigest())
    target: Path = catalogue.SYSTEMS / found["system"] / "evidence" / name
    if target.exists():
        raise InvalidInput(f"this evidence is already stored in {target}")
    target.parent.mkdir(exist_ok=True)
    earlier = [path for path in target.parent.glob("*.json") if is_within(path, found)]
    write_atomically(target, data)
    for path in earlier:
        path.unlink()
    return target


def is_within(path: Path, found: Mapping[str, Any]) -> bool:
    """Whether a file is evidence that the new evidence contains."""
    from saccade.training.record import read

    try:
        return contains(found, read(path)[0])
    except (InvalidInput, NotFound):
        return False  # `list` reports it


def contains(found: Any, earlier: Any) -> bool:
    """Whether the new evidence contains all of the earlier one."""
    if isinstance(found, dict) and isinstance(earlier, dict):
        return all(name in found and contains(found[name], value) for name, value in earlier.items())
    if isinstance(found, list) and isinstance(earlier, list) and len(found) == len(earlier):
        return all(contains(*pair) for pair in zip(found, earlier, strict=True))
    return bool(found == earlier)
