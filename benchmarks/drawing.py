"""Time the reactions of the page, and the drawing of large pictures.

    python benchmarks/drawing.py

The page shows twelve layers of twelve heads over 128 tokens, and one head over 500, in Chromium: the time to the first
paint, and the median time of an action until it is completely drawn, the best of three rounds. The pictures are a
hundred words over a photo of 2000 x 1500 pixels, and three heads over 500 tokens, including the time to write the
files.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measure import evidence
from playwright.sync_api import sync_playwright

from saccade.explain import plots
from saccade.explain.page import page

ACTS = {
    "step": "view.step(Math.floor(i * last / 9))",
    "all words": "view.state.kept = { side: 'queries', number: i }; view.keep(null)",
    "two heads": "view.state.heads = new Set([i % heads, (i + 1) % heads]); view.draw()",
}
TIMED = """act => {
    const view = views[0], heads = view.layer.heads, last = view.layer.queries.length, medians = [];
    const run = new Function("view", "i", "heads", "last", act);
    for (let round = 0; round < 3; round++) {
        const times = [];
        for (let i = 0; i < 9; i++) {
            const before = performance.now();
            run(view, i, heads, last);
            for (const name of ["arcs", "matrix"]) view.find(name).getContext("2d").getImageData(0, 0, 1, 1);
            times.push(performance.now() - before);
        }
        medians.push(times.sort((one, two) => one - two)[4]);
    }
    return Math.min(...medians);
}"""
PAINTED = "() => performance.getEntriesByName('first-contentful-paint').map(entry => entry.startTime)[0]"


def looks() -> dict[str, dict[str, Any]]:
    """The layers of each page."""
    many = (4 * torch.randn(12, 128, 128)).softmax(-1)  # sharp, as heads are: many links to draw
    wide = torch.randn(1, 500, 500).softmax(-1)
    short, long = ([f"word{i}" for i in range(number)] for number in (128, 500))
    return {
        "12 layers of 12 heads, 128 tokens": {f"block.{n}.attention": (many, short, short) for n in range(12)},
        "1 head, 500 tokens": {"wide": (wide / wide.amax(), long, long)},
    }


def pages(folder: Path) -> dict[str, dict[str, float]]:
    """Milliseconds for each page: its first paint, and each action."""
    found = {}
    with sync_playwright() as player:
        chromium = player.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, layers in looks().items():
            path = folder / "page.html"
            path.write_text(page(layers), encoding="utf-8")
            opened = chromium.new_page()
            opened.goto(path.as_uri())
            opened.wait_for_function(PAINTED)
            times = {"first paint": opened.evaluate(PAINTED)}
            times |= {act: opened.evaluate(TIMED, code) for act, code in ACTS.items()}
            found[name] = {act: round(milliseconds, 1) for act, milliseconds in times.items()}
            opened.close()
        chromium.close()
    return found


def pictures(folder: Path) -> dict[str, float]:
    """Seconds to draw and save each picture."""
    tokens, weights = [f"token{i}" for i in range(500)], torch.rand(3, 500, 500)
    photo, seen = torch.rand(3, 1500, 2000), torch.rand(100, 14, 14)
    makes: dict[str, Callable[[], Any]] = {
        "100 words over a photo of 2000 x 1500": lambda: plots.over_image(photo, seen, ["word"] * 100),
        "3 heads over 500 tokens": lambda: plots.arcs(weights, tokens, tokens),
        "3 heads over 500 tokens, one of them chosen": lambda: plots.arcs(weights, tokens, tokens, query=13),
    }
    found = {}
    for name, make in makes.items():
        begun = time.perf_counter()
        plots.save(make(), folder / "picture", "words")
        found[name] = round(time.perf_counter() - begun, 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as folder:
        result: dict[str, Any] = {"milliseconds": pages(Path(folder)), "seconds": pictures(Path(folder))}
    print(json.dumps(result, indent=1))
    if options.write:
        summary = {
            f"the page of {name}": f"first paint {times['first paint']:.0f} ms, a step {times['step']:.1f} ms"
            for name, times in result["milliseconds"].items()
        } | {f"to draw {name}": f"{seconds:.1f} s" for name, seconds in result["seconds"].items()}
        print(evidence("drawing", summary, result))


if __name__ == "__main__":
    main()
