"""The pictures of pages, drawn from stored evidence."""

import hashlib
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import kept
import live
import numpy as np
import quoted

from saccade.core.errors import InvalidInput
from saccade.explain import plots
from saccade.explain.pictures import load
from saccade.explain.pictures.alignment import Alignment
from saccade.explain.pictures.curve import Curve
from saccade.explain.pictures.heads import Heads
from saccade.explain.pictures.histogram import Histogram
from saccade.explain.pictures.image_overlay import ImageOverlay
from saccade.explain.pictures.sound import Sound

KINDS = ("series", "study", "pictures", "chart", "sentence")


class Drawing(NamedTuple):
    """A picture of stored runs: its description, the runs in it, and a function that draws it."""

    described: str
    found: Collection[str]
    draw: Callable[[], Any]


def drawing(kind: str, asked: Sequence[str]) -> Drawing:
    """The picture of a mark."""
    if kind == "pictures":
        return side_by_side(asked)
    if kind == "chart":
        described, draw = quoted.chart(" ".join(asked))
        return Drawing(described, asked, draw)
    if kind == "sentence":
        return of_sentence(asked)
    if kind == "series":
        name, *variants = asked or [""]
        found = kept.series(name, variants)
    else:
        if len(asked) < 4:
            raise InvalidInput("expected a study, a field, a metric and variants")
        study, key, metric, *variants = asked
        found, _ = kept.study(study, key, metric, variants)
    if not found:
        return Drawing("", (), lambda: None)
    lines = dict(zip(titles(list(found)), found.values(), strict=True))
    first = next(iter(found.values()))
    described = f"{first.y_label} over {first.x_label}, all seeds: {', '.join(map(title, found))}"
    made: Any = Histogram if first.kind == "histogram" else Curve
    return Drawing(described, found, lambda: made.of(lines, "curve").figure())


def of_sentence(asked: Sequence[str]) -> Drawing:
    """The first picture of a system's answer to the sentence of the guide; with "encoding", its layers in turn."""
    found = live.sentence()
    system, *more = asked or [""]
    if system not in found["runs"] or more not in ([], ["encoding"]):
        raise InvalidInput(
            f"expected one of {', '.join(found['runs'])}, and encoding or nothing; got {' '.join(asked)!r}"
        )
    pictures = [load(picture) for picture in found["runs"][system]["pictures"]]
    if more:
        layers = [one for picture in pictures if isinstance(picture, Heads) for one in picture.layers.items()]
        layers = [(name, layer) for name, layer in layers if "encoder" in name and "decoder" not in name]
        described = f"The heads of {len(layers)} encoder layers in turn, over “{found['sentence']}”"
        return Drawing(
            described, asked, lambda: [plots.arcs(*one, title=f"layer {i}") for i, (_, one) in enumerate(layers, 1)]
        )
    return Drawing(pictures[0].description(), asked, pictures[0].figure) if pictures else Drawing("", (), lambda: None)


def answer(asked: Sequence[str]) -> str:
    """The answer of a system to the sentence of the guide, as a quotation."""
    found = live.sentence()
    run = found["runs"][asked[0]]
    score = f"{run['bleu']} BLEU on the test set, {run['parameters']:,} weights"
    return f"> {found['sentence']}\n>\n> **{run['answer']}** ({score})\n"


def title(variant: str) -> str:
    """The legend of a variant: "system variant, half width 3" for system:variant+model.local.half_width=3."""
    named = re.sub(r"[+@](?:[\w.]*\.)?(\w+)=", lambda other: f", {other[1].replace('_', ' ')} ", variant)
    return named.replace(":row-", ":").replace(":", " ", 1)


def titles(variants: Sequence[str]) -> list[str]:
    """The legends of several variants, without a system or a changed field that all of them share."""
    if len(variants) < 2:
        return [title(variant) for variant in variants]
    systems = {variant.partition(":")[0] for variant in variants}
    changes = [variant.partition("+")[2] for variant in variants]
    shared = f"+{changes[0]}" if len(set(changes)) == 1 and changes[0] else ""
    names = [title(variant.removesuffix(shared)) for variant in variants]
    return names if len(systems) > 1 else [name.partition(" ")[2] for name in names]


def side_by_side(variants: Sequence[str]) -> Drawing:
    """Pictures of one example: alignments side by side, sounds one above another, the first map of each run over an
    image; a single picture of any kind."""
    found = kept.pictures(variants)
    shown: list[Any] = list(found.values())
    if len(shown) == 1 and not isinstance(shown[0], Alignment | Sound):
        return Drawing(f"{shown[0].description()}: {variants[0]}", found, shown[0].figure)
    names = titles(list(found)) if len(found) > 1 else [title(name).partition(" ")[2] for name in found]
    kinds = {type(picture) for picture in shown}
    if len(kinds) > 1 or not kinds <= {Alignment, Sound, ImageOverlay}:
        raise InvalidInput("expected alignments, sounds or maps over an image, of all variants")
    if not kept.alike([picture.plain() for picture in shown]):
        raise InvalidInput("expected pictures of one example")

    def draw() -> Any:
        if kinds == {Sound}:
            rows = [
                (p.weights, p.rows, p.step, p.rows_label, p.values, name) for p, name in zip(shown, names, strict=True)
            ]
            return plots.speeches(rows)
        if kinds == {ImageOverlay}:
            return over_image(found)
        panels = [
            (p.weights, p.rows, p.columns, p.rows_label, p.columns_label, name)
            for p, name in zip(shown, names, strict=True)
        ]
        return plots.alignments(panels, shown[0].values)

    described = f"{shown[0].description()}: {', '.join(found)}" if shown else ""
    return Drawing(described, found, draw)


def over_image(found: Mapping[str, Any]) -> Any:
    """The first map of each run, as shares of its largest value, since maps of different nets have different units."""
    first, *_ = found.values()
    maps = [picture.maps[0] / (picture.maps[0].max() or 1.0) for picture in found.values()]
    labels = [
        f"{name.partition(':')[0]}: {picture.labels[0]}".replace(" %", "\N{NO-BREAK SPACE}%")
        for name, picture in found.items()
    ]
    return plots.over_image(first.image, np.stack(maps), labels, values=f"{first.values} (share of the largest)")


def parts(kind: str, asked: Sequence[str]) -> list[Sequence[str]]:
    """The pictures of a mark: alignments are a picture each, so that a page shows two a row."""
    if kind != "pictures":
        return [asked]
    side_by_side(asked)  # checks that they show one example
    found = kept.pictures(asked)
    if len(found) < 2 or not all(isinstance(picture, Alignment) for picture in found.values()):
        return [asked]
    return [[name] for name in found]


def linked(kind: str, asked: Sequence[str], path: Path, pictures: Path) -> str:
    """Links to the pictures of a mark, and the variants that were not run yet."""
    images, found = [], set[str]()
    for part in parts(kind, asked):
        described, shown, _ = drawing(kind, part)
        found |= set(shown)
        if shown:
            target = Path(
                os.path.relpath(pictures / f"{file_name(kind, part)}.{ending(kind, part)}", path.parent)
            ).as_posix()
            images.append(f"![{described}]({target})\n")
    lacking = [f"`{name}`" for name in asked if ":" in name and name not in found]
    lines = [answer(asked)] if kind == "sentence" and len(asked) == 1 else []
    lines += ["".join(images)] if images else []
    if lacking:
        lines.append(f"Not run yet: {', '.join(lacking)}.\n")
    return "\n".join(lines)


def file_name(kind: str, asked: Sequence[str]) -> str:
    """The name of the picture's file; a long one, which not every file system accepts, is shortened."""
    name = re.sub(r"[^\w-]+", "-", f"{kind}-{'-'.join(asked)}")
    return name if len(name) <= 120 else f"{name[:100]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def ending(kind: str, asked: Sequence[str]) -> str:
    return "gif" if kind == "sentence" and "encoding" in asked else "svg"


def drawn_anew(kind: str, asked: Sequence[str], folder: Path) -> list[Path]:
    """Draw the pictures of a mark; returns the paths of those that changed."""
    changed = []
    for part in parts(kind, asked):
        described, found, make = drawing(kind, part)
        target = folder / f"{file_name(kind, part)}.{ending(kind, part)}"
        if found and target.suffix == ".gif":
            before = target.read_bytes() if target.exists() else None
            plots.animate(make(), target.with_suffix(""), described, seconds=1.5)
            changed += [target] if target.read_bytes() != before else []
        elif found:
            changed += saved(make(), target, described)
    return changed


def saved(figure: Any, svg: Path, described: str) -> list[Path]:
    """Write a figure as SVG, for pages; returns its path if it changed."""
    before = svg.read_bytes() if svg.exists() else None
    plots.save(figure, svg.with_suffix(""), described, kinds=["svg"])
    return [svg] if svg.read_bytes() != before else []
