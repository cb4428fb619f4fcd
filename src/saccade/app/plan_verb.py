"""`saccade plan SYSTEM [VARIANT]`: memory, layout, operations and time of a training run, before it starts."""

import json
import shlex
import textwrap
from collections.abc import Sequence
from typing import Any

from saccade.app.arguments import Parser
from saccade.core.errors import InvalidInput, require_extras
from saccade.runs import catalogue

ABOUT = """Plan a training run: the memory of each process by part, the nearest layout that fits, operations, bytes
sent, the time of an update, and the command that launches it. Nothing is trained, and no weights are built.

  saccade plan SYSTEM                                  does the default variant fit into this machine?
  saccade plan SYSTEM VARIANT --devices 64 --device v100 --memory 32GB --tensor 8 --tokens 300B
  saccade plan SYSTEM VARIANT --devices 512 --device v100 --recompute blocks --rate 29.6TFLOPS
  saccade plan SYSTEM VARIANT --model.layers 12        any field of the configuration, as for saccade train
"""
MORE = """The layout nearest to the one asked for is chosen: first the batch of a process is cut (the update keeps its
size, by accumulation), then weights are sharded (fsdp2), blocks recomputed, and layers split further. 8 % of the memory
is left free. Operations and memory are computed from shapes. The time is an estimate: without --rate, products reach
--utilisation of the device's peak, all other operations the bandwidth of its memory, and nothing is sent meanwhile.
"""


def run(arguments: Sequence[str]) -> int:
    parser = arguments_of()
    own, fields = parser.own(list(arguments))
    options = parser.parse_args(own)
    if options.system is None:
        raise InvalidInput(f"name a system first: saccade plan SYSTEM; there are: {', '.join(catalogue.names())}")
    recipe = catalogue.recipe(options.system)
    config: Any = catalogue.variant(recipe, options.variant)

    from saccade.runs import flags

    config = flags.parse(config, fields, parser.options())
    require_extras(*catalogue.extras(config))

    from saccade.runs.plan import plan

    wish = wished(options)
    found = plan(recipe, config, wish)
    launch = command(options, found, fields, wish.device.machine) if found.layout else None
    print(json.dumps(plain(found, launch), indent=1) if options.json else text(found, wish, config.training, launch))
    return 0


def arguments_of() -> Parser:
    parser = Parser("plan", ABOUT, MORE)
    add = parser.add_argument
    add("system", nargs="?", metavar="SYSTEM", help="the system, as saccade list names it")
    add("variant", nargs="?", metavar="VARIANT", default="default", help="its variant (default: default)")
    add("--devices", default="1", metavar="N", help="number of devices, one process each (default: 1)")
    add("--device", default="cpu", metavar="NAME", help="p100, v100, a100, h100, h200, or cpu: this machine (default)")
    add("--memory", metavar="SIZE", help="memory of a device, such as 32GB (default: the data sheet's)")
    add("--tensor", default="1", metavar="N", help="processes that share each layer (default: 1)")
    add("--recompute", default="auto", choices=("auto", "none", "blocks"), help="what the backward pass computes again")
    add("--strategy", default="auto", choices=("auto", "ddp", "fsdp2"), help="how the others share the batch")
    add("--tokens", metavar="COUNT", help="symbols in all, such as 300B (default: the variant's steps)")
    add("--rate", metavar="RATE", help="operations a second that a device keeps up, such as 39TFLOPS")
    add("--utilisation", default="0.5", metavar="SHARE", help="share of the peak that products reach (default: 0.5)")
    add("--json", action="store_true", help="print the plan as JSON")
    return parser


def wished(options: Any) -> Any:
    """What is asked for, checked."""
    from saccade.runs import devices
    from saccade.runs.plan import Wish

    return Wish(
        device=devices.this_machine() if options.device == "cpu" else devices.device(options.device),
        devices=whole(options.devices, "--devices"),
        memory=devices.bytes_of(options.memory, "--memory") if options.memory else None,
        tensor=whole(options.tensor, "--tensor"),
        recompute=options.recompute,
        strategy=options.strategy,
        tokens=devices.count_of(options.tokens, "--tokens") if options.tokens else None,
        rate=devices.rate_of(options.rate) if options.rate else None,
        utilisation=share(options.utilisation),
    )


def whole(text: str, flag: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise InvalidInput(f"{flag} takes a number from 1 to {MOST:,}, not {text!r}")
    return int(text)


MOST = 100_000


def share(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found <= 1:
        raise InvalidInput(f"--utilisation takes a share above 0 and up to 1, such as 0.5, not {text!r}")
    return found


def command(options: Any, found: Any, fields: Sequence[str], machine: int) -> str:
    """The command that launches the layout."""
    layout, size = found.layout, found.size
    given = found.missing.flags if found.missing else ()
    rows = [f"python -m saccade train {options.system} {options.variant}", *map(shlex.quote, fields), *given]
    count = layout.data * layout.tensor
    if count > 1:
        each = processes_per_machine(count, machine, layout.tensor)
        nodes = count // each
        there = f"--nnodes {nodes} --rdzv-backend c10d --rdzv-endpoint FIRST:29500 " if nodes > 1 else ""
        rows[0] = f"torchrun {there}--nproc-per-node {each} -m{rows[0].removeprefix('python -m')}"
    rows += [
        f"--training.batch-size {size // layout.accumulate}", f"--training.accumulate {layout.accumulate}",
        f"--training.steps {found.steps}",
    ]  # fmt: skip
    if count > 1:
        rows.append(f"--training.strategy {layout.strategy}")
    if layout.tensor > 1:
        rows.append(f"--training.tensor {layout.tensor}")
    return " ".join([*rows, f"--training.recompute {layout.recompute}"])


def processes_per_machine(count: int, machine: int, tensor: int) -> int:
    """The most that a machine takes and that divide all processes, in whole tensor groups where these fit into one."""
    divisors = [each for each in range(1, min(count, machine) + 1) if count % each == 0]
    whole = [each for each in divisors if each % tensor == 0]
    return max(whole or divisors)


def plain(found: Any, launch: str | None) -> dict[str, Any]:
    """The plan as JSON values; bytes, seconds and operations."""
    return {
        **found._asdict(),
        "memory": found.memory._asdict(),
        "layout": found.layout._asdict() if found.layout else None,
        "missing": found.missing._asdict() if found.missing else None,
        "days": found.days,
        "command": launch,
    }


def text(found: Any, wish: Any, training: Any, launch: str | None) -> str:
    """The plan, for reading."""
    lines = [textwrap.fill(f"{note[0].upper()}{note[1:]}.", 120) for note in found.notes]
    lines += ["", *memory_lines(found, wish)] if lines else memory_lines(found, wish)
    if found.layout is not None:
        lines += ["", *cost_lines(found, wish, training.precision)]
    if launch is not None:
        for flag in (*(found.missing.flags[:1] if found.missing else ()), "--training.batch-size"):
            launch = launch.replace(f" {flag}", f" \\\n    {flag}")
        lines += ["", launch]
    if found.missing is not None:
        lines += ["", textwrap.fill(f"{found.missing.why[0].upper()}{found.missing.why[1:]}.", 120)]
    return "\n".join(lines)


def memory_lines(found: Any, wish: Any) -> list[str]:
    memory = found.memory
    rows = {
        "weights": memory.weights, "gradients": memory.gradients, "optimizer": memory.optimizer,
        "activations": memory.activations, "logits": memory.logits, "sums and gathered weights": memory.buffers,
    }  # fmt: skip
    unit, scale = ("GB", 1e9) if memory.peak >= 1e9 else ("MB", 1e6)
    fits = "fits" if found.fits else "does not fit"
    last = f"{fits} into {found.room / 1e9:,.2f} GB, which leaves 8 % free"
    return [
        f"{found.parameters:,} parameters; memory of each of {wish.devices} {wish.device.name}, in {unit}",
        *(f"  {name:<26} {size / scale:9,.2f}" for name, size in rows.items() if size),
        f"  {'at the peak' if found.layout else 'together':<26} {memory.peak / scale:9,.2f}  {last}",
    ]


def cost_lines(found: Any, wish: Any, precision: str) -> list[str]:
    layout = found.layout
    groups = f"{layout.data} x {layout.tensor} (data x tensor), {layout.strategy}"
    if layout.data * layout.tensor == 1:
        groups = "one process"
    gap = found.closed / found.flops - 1
    lines = [
        f"  layout           {groups}, recompute {layout.recompute}, examples at a time {layout.examples}, "
        f"accumulate {layout.accumulate}",
        f"  update           {found.size:,} symbols; {found.steps:,} updates, {found.size * found.steps:.3g} symbols",
        f"  operations       {found.flops:.4g} an update, {found.flops * found.steps:.4g} in all "
        f"(6 N D and attention: {gap:+.1%})",
        f"  of a device      {found.computed:.4g} an update, sends {found.sent / 1e9:.2f} GB",
    ]
    if found.seconds is None:
        return [*lines, "  time             unknown without --rate, or --device of an accelerator"]
    achieved = found.computed / found.seconds
    peak = wish.device.rates.get(precision)
    share = f", {achieved / peak:.0%} of the peak in {precision}" if peak else ""
    how = "the stated rate" if wish.rate else f"products at {wish.utilisation:.0%} of the peak, an assumption"
    return [
        *lines,
        f"  time             {found.seconds:.3g} s an update, {found.days:.3g} days",
        f"                   {achieved / 1e12:.3g} TFLOP/s a device{share}; {how}",
    ]
