"""A picture of each kind, like those of systems."""

import math

import numpy as np
import torch

from saccade.core.picture import Picture
from saccade.core.task import Series
from saccade.explain.pictures.alignment import Alignment
from saccade.explain.pictures.build_up import BuildUp
from saccade.explain.pictures.captioned import Captioned
from saccade.explain.pictures.characters import Characters
from saccade.explain.pictures.curve import Curve
from saccade.explain.pictures.glimpses import Glimpses
from saccade.explain.pictures.graph import Graph
from saccade.explain.pictures.head_habits import HeadHabits
from saccade.explain.pictures.heads import Axes, Heads
from saccade.explain.pictures.histogram import Histogram
from saccade.explain.pictures.image_overlay import ImageOverlay
from saccade.explain.pictures.memory_trace import MemoryTrace
from saccade.explain.pictures.overlays import Overlays
from saccade.explain.pictures.sound import Sound
from saccade.explain.pictures.strip import Strip
from saccade.explain.pictures.strokes import Strokes
from saccade.explain.pictures.text import Text
from saccade.explain.plots import Line

FRENCH = ["▁Je", "▁voudrais", "▁une", "▁autre", "▁bière", "▁.", "</s>"]
ENGLISH = ["▁I", "▁want", "▁another", "▁beer", "▁.", "</s>"]
SENTENCE = [
    "the",
    "animal",
    "didn't",
    "cross",
    "the",
    "street",
    "because",
    "it",
    "was",
    "too",
    "tired",
    "to",
    "walk",
    "any",
    "farther",
    "that",
    "day",
]


def near(rows: int, columns: int, sharp: float = 1.2) -> torch.Tensor:
    """Weights along the diagonal."""
    at = torch.linspace(0, columns - 1, rows)[:, None] - torch.arange(columns)
    return torch.softmax(-sharp * at**2, dim=1)


def blob(high: int, wide: int, y: float, x: float, size: float) -> torch.Tensor:
    rows, columns = torch.arange(high)[:, None] - y, torch.arange(wide) - x
    return torch.exp(-(rows**2 + columns**2) / (2 * size**2))


def heads() -> Heads:
    torch.manual_seed(3)
    layers = {
        "encoder.0": (torch.randn(4, 6, 6).mul(2).softmax(-1), ENGLISH, ENGLISH),
        "decoder.0.cross": (torch.stack([near(7, 6, s) for s in (0.3, 1.0, 3.0)]), FRENCH, ENGLISH),
    }
    return Heads("heads", layers)


def habits(layers: int = 3, heads: int = 4) -> HeadHabits:
    shares = torch.rand(5, layers, heads, generator=torch.Generator().manual_seed(5)) ** 3
    names = ["itself", "previous", "next", "first", "separators"]
    entropy = 3 - 2 * shares.amax(0)
    return HeadHabits(
        "habits",
        {**dict(zip(names, shares, strict=True)), "entropy": entropy},
        "What each head attends to, over this text",
    )


def sound(title: str = "") -> Sound:
    weights = near(5, 60, 0.02)
    bands = torch.rand(180, 40) + 4 * blob(180, 40, 60, 12, 18) + 5 * blob(180, 40, 130, 25, 20) - 3
    wave = torch.sin(torch.arange(14400) * 0.3) * (0.1 + blob(1, 14400, 0, 5000, 1500)[0])
    said = ["one", "two", "seven", "three", "end"]
    return Sound("sound", weights, said, 0.03, bands, 0.01, wave, 8000, "digit", title=title)


def strokes() -> Strokes:
    turn = np.linspace(0, 6 * math.pi, 90)
    loops = np.stack([turn * 0.6 + np.sin(turn), np.cos(turn), np.zeros(90)], 1)
    loops[59, 2] = loops[89, 2] = 1
    return Strokes("pen", loops, "x-heights")


def photo(high: int = 48, wide: int = 64) -> torch.Tensor:
    sky = torch.linspace(0.9, 0.3, high)[:, None].expand(high, wide)
    image = (
        sky
        - 0.6 * blob(high, wide, high * 0.6, wide * 0.3, high / 6)
        + 0.5 * blob(high, wide, high * 0.3, wide * 0.75, high / 8)
    )
    return image.clamp(0, 1)


def strip() -> Strip:
    steps = torch.stack([blob(28, 28, 14, 14, 1 + step) * (step + 1) / 8 for step in range(8)])
    boxes = [[14 - size / 2, 14 - size / 2, size, size] for size in (24, 20, 18, 14, 12, 10, 8, 6)]
    return Strip("canvases", steps, boxes)


def trace() -> MemoryTrace:
    write = torch.zeros(20, 8)
    for step in range(8):
        write[step, step] = 1.0
    read = torch.zeros(20, 8)
    for step in range(8):
        read[step + 11, step] = 0.8
        read[step + 11, (step + 1) % 8] = 0.2
    return MemoryTrace("memory", {"write": write, "read head 0": read})


def training() -> Curve:
    steps = list(range(0, 1000, 10))
    loss = [4 * math.exp(-step / 250) + 0.9 + 0.1 * math.sin(step) for step in steps]
    lines = {"training": Line(steps, loss), "validation": Line(steps[::10], [x + 0.15 for x in loss[::10]])}
    return Curve("loss", lines, "training step", "loss (nats per token)")


def by_length() -> Curve:
    lengths = ["1-2", "3-4", "5-6", "7-9", "10-14", "15-"]
    ours = Series(
        lengths,
        [61.2, 58.0, 52.3, 47.1, 40.8, 30.2],
        "source length (words)",
        "BLEU",
        counts=[120, 340, 512, 310, 90, 12],
    )
    other = ours._replace(y=[58.1, 51.9, 43.0, 33.5, 21.0, 9.7])
    return Curve.of({"rnnsearch default": ours, "rnnencdec default": other}, "bleu_by_length")


def delays() -> Histogram:
    seconds = [round(0.1 * i - 0.2, 1) for i in range(14)]
    counts = [2, 5, 14, 40, 92, 130, 121, 80, 44, 21, 12, 6, 3, 1]
    return Histogram.of(Series(seconds, counts, "delay of a label (seconds)", "labels", "histogram"), "delays")


def graph() -> Graph:
    nodes = ["question", "Mary went to the hall", "John took the milk", "Mary took the apple", "hall", "milk", "apple"]
    edges = [(0, 1, 0.1), (0, 3, 0.85), (0, 2, 0.05), (1, 4, 0.7), (3, 6, 0.9), (2, 5, 0.3), (3, 4, 0.2)]
    return Graph("facts", nodes, edges, layers=[0, 1, 1, 1, 2, 2, 2], x_label="hop")


def states() -> Graph:
    edges = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 3), (3, 2), (2, 2), (0, 4)]
    places = [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)]
    return Graph(
        "corridor", ["start", "1", "2", "3", "goal"], edges, places, x_label="cell", title="Moves of the policy"
    )


def words() -> Text:
    numbers = [math.sin(i * 1.7) * (1 + i % 3) for i in range(len(SENTENCE))]
    return Text("words", SENTENCE, numbers, "gradient times input")


def verse() -> Characters:
    text = "ROMEO:\nShall I hear more, or shall I speak at this?"
    return Characters("verse", text, torch.linspace(-1, 1, len(text)), "cell, tanh(c)")


def shades() -> Text:
    return Text("shades", SENTENCE, torch.softmax(torch.arange(float(len(SENTENCE))) % 5, 0), "attention weight")


def glimpses() -> Glimpses:
    centres = [(12, 30), (30, 26), (46, 12), (20, 32)]
    seen = torch.stack([blob(8, 8, 2 + step, 4, 2) for step in range(4)])
    return Glimpses("glimpses", photo(), centres, [[8, 16]] * 4, seen=seen)


def overlays() -> Overlays:
    """The maps of three methods, with magnitudes of their own and grids of two sizes."""
    maps = [0.013 * blob(7, 9, 4, 3, 1.4), 2.4 * blob(7, 9, 4.5, 2.5, 2), 130 * blob(12, 16, 5, 12, 2)]
    labels = [f"{method}: dog" for method in ("grad-cam", "ablation-cam", "attention-rollout")]
    return Overlays("maps", photo(), maps, labels, ["dog", "tabby cat", "sun"], [0.831, 0.0421, 0.0003])


def overlay() -> ImageOverlay:
    image = photo()
    maps = torch.stack([blob(12, 16, 7, 5, 2), 0.6 * blob(12, 16, 4, 12, 1.5), 0.3 * torch.ones(12, 16)])
    return ImageOverlay("map", image, maps, ["dog", "sun", "end"])


def build_up() -> BuildUp:
    """Words that look at words; `regions` looks at an image."""
    contexts = near(7, 6) @ blob(6, 12, 2, 4, 3)
    return BuildUp("build-up", near(7, 6).log(), contexts, FRENCH, blob(6, 12, 2, 4, 3), sources=ENGLISH)


def regions() -> BuildUp:
    weights = torch.stack([blob(3, 4, row, row, 1.0) for row in range(3)]).flatten(1)
    vectors = blob(12, 5, 4, 2, 3)
    written, states = ["a", "dog", "</s>"], blob(3, 9, 1, 3, 2)
    return BuildUp("regions", weights.log(), weights @ vectors, written, vectors, photo(), (3, 4), states=states)


def captioned() -> Captioned:
    images = torch.stack([photo(24, 32), 1 - photo(24, 32), photo(24, 32).sqrt(), photo(24, 32)])[:, None]
    said = ["a small red cross to the left of a large blue square", "a dog", "a sun over a hill", "a cat"]
    maps = torch.stack([blob(3, 4, row, row, 1.0) for row in range(4)])
    return Captioned("bad", images.expand(-1, 3, -1, -1), said, ["left", "dog", "", "cat"], maps, "wrong")


def one_of_each() -> list[Picture]:
    """One picture of each kind."""
    alignment = Alignment("alignment", near(7, 6), FRENCH, ENGLISH, "target", "source")
    return [
        alignment, heads(), sound(), strokes(), overlay(), overlays(), glimpses(), strip(), trace(), training(),
        delays(), graph(), words(), verse(), build_up(), captioned(), habits(),
    ]  # fmt: skip


def others() -> list[Picture]:
    """Other shapes of some kinds."""
    one = Heads("one", {"attention": (near(7, 6), FRENCH, ENGLISH)})
    times = [f"{0.03 * i:.2f} s" for i in range(60)]
    window = {"window": (near(3, 60, 0.05)[None], ["a", "b", "c"], times)}
    named = Heads("window", window, axes={"window": Axes("character", "time (seconds)", "window weight")})
    colours = torch.stack([photo(20, 20), 1 - photo(20, 20), torch.full((20, 20), 0.5)]).expand(3, 3, 20, 20)
    ours = Series(["noun", "verb", "other"], [50, 30, 7], "class", "words", "histogram")
    kinds = Histogram.of({"ours": ours, "right": ours._replace(y=[45, 36, 6])}, "classes")
    coloured = Strip("colours", colours, labels=["a", "b", "ten words that are long"])
    lines = [[], [[[2, 3], [17, 6], [22, 18]], [[2, 3], [1, 15], [22, 18]]], [[[0.5, 0.5], [19.5, 0.5], [19.5, 19.5]]]]
    crossed = Strip("lines", colours[:, 0], labels=["input", "grid", "output"], lines=lines)
    photos = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0))
    classes = Overlays("two", photos, [blob(5, 5, 1, n, 1) for n in range(4)], list("abcd"), across=2)
    large = habits(12, 16)
    return [one, named, by_length(), kinds, states(), shades(), coloured, crossed, classes, regions(), large]
