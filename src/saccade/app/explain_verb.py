"""`saccade explain TEXT --model MODEL`: where a model looks, head by head: a run, or a checkpoint of Hugging Face."""

import argparse
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from saccade.app.arguments import Parser
from saccade.core.errors import InvalidInput

if TYPE_CHECKING:
    from saccade.explain.page import Layers

WIDEST = 40  # characters of a name in a table


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "explain",
        "Show where a model looks while it reads TEXT: the strongest links, how widely each head looks, a picture of\n"
        "every head. MODEL is a run, or a checkpoint of Hugging Face: a folder, or a name where [hub] is installed.",
        "Examples:\n"
        '  saccade explain "The animal didn\'t cross the street because it was too tired" --model bert-base-uncased\n'
        '  saccade explain "I want another beer." --model RUN --from bière --html look.html',
    )
    parser.add_argument("text", help="what the model reads")
    parser.add_argument("target", nargs="?", help="what it writes; none: what it would (a model with a decoder)")
    parser.add_argument("--model", required=True, help="a run, a folder with a checkpoint, or its name on the hub")
    parser.add_argument("--only", default="*", help="a pattern of layers, as in a shell: '*decoder*' (default: all)")
    parser.add_argument("--from", dest="token", metavar="TOKEN", help="only links of this token")
    parser.add_argument("--links", type=positive, default=10, metavar="N", help="links that are told (default: 10)")
    parser.add_argument("--words", action="store_true", help="join pieces of words, such as un ##believ ##able")
    parser.add_argument("--save", metavar="FILE", help="keep all weights: Capture.load(FILE) in Python")
    parser.add_argument("--html", metavar="FILE", help="write one page in which every head can be looked at")
    parser.add_argument(
        "--pictures", metavar="FOLDER", help="where to draw (default: MODEL/pictures of a run, else runs/pictures)"
    )
    options = parser.parse_args(arguments)
    if not options.text.strip():
        raise InvalidInput("there is nothing to read: the text is empty")

    from saccade.app.heads import Explained, explain, is_run

    found: Explained = explain(options.model, options.text, options.target, options.only)
    if options.words:
        found = found._replace(seen=found.seen.words())
    layers = found.seen.layers()  # formed once
    print("\n".join([found.said, "", *links(layers, found.special, options.token, options.links)]))
    print("\n".join(["", *entropies(layers)]))
    for place, why in found.seen.unknown.items():
        print(f"\nnot seen: {place}: {why}")
    if options.save:
        found.seen.save(options.save)
        print(f"\nkept: {options.save}")
    if options.html:
        print(f"\npage: {found.seen.to_html(options.html, found.said)}")
    print()
    name = re.sub(r"\W+", "-", options.text.lower()).strip("-")[:40] or "text"
    folder = Path(options.pictures or Path(options.model if is_run(options.model) else "runs") / "pictures")
    for path in draw(layers, found.said, folder / f"heads-{name}"):
        print(f"picture: {path}")
    return 0


def positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, not {text!r}")
    return int(text)


class Link(NamedTuple):
    weight: float
    query: str
    key: str
    where: str


def links(layers: "Layers", special: set[str], token: str | None, count: int) -> list[str]:
    """Of each token the key that any head looks at most, itself and marks such as [SEP] aside; or of one token every
    key, and the head that looks there most. The strongest first."""
    from saccade.explain.plots import labels

    best: dict[Any, Link] = {}
    known: set[str] = set()
    for name, (weights, looking, looked_at) in layers.items():
        heads = weights.reshape(-1, *weights.shape[-2:])
        queries, keys = labels(looking), labels(looked_at)
        known |= {plain(query) for query in queries}
        asked = [q for q, mark in enumerate(looking) if mark not in special and token in (None, plain(queries[q]))]
        for q, k in itertools.product(asked, [k for k, mark in enumerate(looked_at) if mark not in special]):
            if q == k and looking == looked_at:
                continue
            weight, head = heads[:, q, k].max(0)
            where = f"{name}, head {int(head)}" if len(heads) > 1 else name
            link = Link(float(weight), queries[q], keys[k], where)
            # of one token every key, of all of them the one each looks at most
            kind = tuple(queries), tuple(keys), q, k if token is not None else None
            best[kind] = max(link, best.get(kind, link))
    if token is not None and token not in known:
        raise InvalidInput(f"there is no token {token!r}; there are: {', '.join(sorted(known))}")
    strongest = sorted(best.values(), reverse=True)[:count]
    if not strongest:
        return ["no links but of tokens to themselves, or of marks"]
    left, right = max(len(link.query) for link in strongest), max(len(link.key) for link in strongest)
    lines = (f"  {each.query:<{left}} -> {each.key:<{right}}  {each.weight:.2f}  {each.where}" for each in strongest)
    return ["the strongest links", *lines]


def plain(label: str) -> str:
    return label.removeprefix("·")


def entropies(layers: "Layers") -> list[str]:
    """How widely each head looks, in nats, the mean over its looks; weights that do not sum to one are made to."""
    from saccade.explain.measures import entropy

    rows = [
        (name, entropy(weights / weights.sum(-1, True).clamp_min(1e-12)).reshape(-1, len(queries)).mean(1).tolist())
        for name, (weights, queries, _) in layers.items()
    ]
    wide = min(WIDEST, max(len(name) for name, _ in rows))
    most = max(len(heads) for _, heads in rows)
    head = " ".join(f"{number:>5}" for number in range(most))
    lines = [f"how widely each head looks, in nats\n  {'head':>{wide}} {head}"]
    return lines + [
        f"  {name if len(name) <= wide else '…' + name[-wide + 1 :]:<{wide}} " + " ".join(f"{x:5.2f}" for x in heads)
        for name, heads in rows
    ]


def draw(layers: "Layers", title: str, path: Path) -> list[Path]:
    """Every head of the layers of one shape, in a picture for each shape."""
    from saccade.explain import plots

    shapes: dict[tuple[int, ...], list[str]] = {}
    for name, (weights, *_) in layers.items():
        shapes.setdefault(tuple(weights.shape), []).append(name)
    drawn = []
    for number, names in enumerate(shapes.values()):
        heads = [layers[name][0].reshape(-1, *layers[name][0].shape[-2:]) for name in names]
        figure = plots.head_grid(heads, names, title)
        target = path if not number else path.with_name(f"{path.name}-{number + 1}")
        drawn.append(plots.save(figure, target, f"{title}: where each head of {', '.join(names)} looks")[0])
    return drawn
