"""The lecture's table of Transformers that were scaled up, with our column beside each of its own."""

from functools import cache
from types import SimpleNamespace
from typing import Any

from quoted import QUOTED

from saccade.runs import catalogue, results
from saccade.runs.devices import DEVICES
from saccade.runs.memory import sized
from saccade.runs.plan import Wish, plan
from saccade.tasks.text.corpus import embedded

SUSTAINED = 0.76 * 39e12  # operations a second of a device, Shoeybi et al. 2019: 76 % of what one device keeps up


def table() -> str:
    """Parameters are counted on the meta device; operations are the planner's, or 6 N D where it knows no batches."""
    both = [name for column in ("parameters", "data", "training") for name in (column, f"{column}, ours")]
    rows = [["model", "layers, width, heads", "heads, ours", *both]]
    for row in QUOTED["scaling"]["rows"]:
        config, count = built(row)
        theirs = [row["name"], row["shape"], str(config.model.heads), row["parameters"]]
        data = [row["data"] or "–", read(row["ours"].split()[0])]
        rows.append([*theirs, f"{count:,}", *data, row["training"] or "–", trained(row, config, count)])
    return results.markdown(rows) + f"\nThe lecture's columns: {QUOTED['scaling']['source']}.\n"


def built(row: Any) -> tuple[Any, int]:
    """The configuration of a row, and the parameters of its model."""
    system, variant = row["ours"].split()
    recipe = catalogue.recipe(system)
    config: Any = catalogue.variant(recipe, variant)
    names = range(row["symbols"])
    task: Any = SimpleNamespace(symbols=SimpleNamespace(names=names), source=names, target=names)
    return config, sum(weight.numel() for weight in sized(lambda: recipe.build(config, task)).parameters())


@cache
def read(system: str) -> str:
    """The data of the kept run of the default variant, and how much they are; those of the papers are not public."""
    found = next(one["data"] for one in reversed(catalogue.evidence(system)) if one["variant"] == "default")
    many = f"{sum(found['pairs'].values()):,} pairs" if "pairs" in found else f"{len(embedded().encode()) / 1e6:.1f} MB"
    return f"{found['data']}, {many}"


def trained(row: Any, config: Any, count: int) -> str:
    """What the time of a row means: the share of the devices' peak, and the days at the paper's rate."""
    if "tokens" not in row:
        return "–"
    said = []
    if "tensor" in row:
        wish = Wish(DEVICES[row["device"]], row["devices"], tensor=row["tensor"], recompute="blocks", rate=SUSTAINED)
        found = plan(catalogue.recipe(row["ours"].split()[0]), config, wish)
        done = found.computed * found.steps * row["devices"]
        said.append(f"{found.days:.1f} days at 76 % of 39 TFLOP/s a device")
    else:
        done = 6 * count * row["tokens"]
    if "days" in row:
        peak = row["peak"] if "peak" in row else DEVICES[row["device"]].rates[row["format"]]
        share = done / (row["devices"] * peak * row["days"] * 86_400)
        said.append(f"in {row['days']:g} x 24 hours: {share:.0%} of the peak ({row['format']})")
    return f"{done:.2e} operations; " + "; ".join(said)
