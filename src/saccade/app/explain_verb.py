"""`saccade explain [INPUT] --model MODEL`: the attention of a run, a system, or a Hugging Face checkpoint; or heat maps
of a classifier of pictures."""

import argparse
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from saccade.app.arguments import Parser
from saccade.app.terminal import columns, complain, drawable
from saccade.core.errors import InvalidInput

METHODS = (
    "grad-cam", "ablation-cam", "score-cam", "cam", "grad-cam++", "layer-cam", "attention-rollout",
    "attention-relevance",
)  # of `saccade.explain.heat_maps`, which imports torch  # fmt: skip
WIDEST = 40  # the most characters of a name in a table
LINKS = 10
LEAST = 0.005  # smaller weights would be printed as 0.00
Layers = Mapping[str, tuple[Any, Sequence[str], Sequence[str]]]


def made() -> Parser:
    """The parser of the verb."""
    parser = Parser(
        "explain",
        "Show the attention of a model on INPUT: pictures, the strongest links, the entropy of each head.\n"
        "MODEL is a run, a system that needs no training, or a Hugging Face checkpoint: a folder, or a name on the\n"
        "hub (with [hub] installed). Fields of a run's configuration are flags too.\n\n"
        "A classifier of pictures gets heat maps, which show what raises the score of a class. MODEL is then a run, a\n"
        "folder with a Hugging Face checkpoint, or the name of a network with --weights, such as resnet50. Methods:\n"
        f"{', '.join(METHODS)}.",
        "Examples:\n"
        '  saccade explain "The animal didn\'t cross the street; it was too tired" --model distilbert-base-uncased\n'
        '  saccade explain "I want another beer." --model RUN --from bière --html look.html\n'
        "  saccade explain photo.jpg --model resnet50 --weights FILE --method grad-cam,score-cam --class 207",
    )
    parser.add_argument("input", nargs="?", default="", help="the input; omit it if the model needs none")
    parser.add_argument("--model", required=True, help="a run, a system, a folder with a checkpoint, or its hub name")
    parser.add_argument("--answer", metavar="TEXT", help="output of a checkpoint's decoder (default: its answer)")
    parser.add_argument("--only", default="*", help="a pattern of layers, as in a shell: '*decoder*' (default: all)")
    parser.add_argument("--from", dest="token", metavar="TOKEN", help="only links of this token")
    parser.add_argument("--links", type=positive, metavar="N", help="number of links to list (default: 10)")
    parser.add_argument("--words", action="store_true", help="join pieces of words, such as un ##believ ##able")
    parser.add_argument("--save", metavar="FILE", help="save all weights, for Capture.load(FILE) in Python")
    parser.add_argument("--html", metavar="FILE", help="write one interactive HTML page")
    parser.add_argument(
        "--pictures",
        metavar="FOLDER",
        help="folder for pictures (default: MODEL/pictures or runs/pictures)",
    )
    maps = parser.add_argument_group("heat maps")
    maps.add_argument("--method", metavar="NAMES", help="methods, separated by commas (default: grad-cam)")
    maps.add_argument(
        "--class", dest="classes", action="append", default=[], metavar="NAME",
        help="name or number of a class; may be repeated (default: the most probable one)",
    )  # fmt: skip
    maps.add_argument("--layer", metavar="NAME", help="the layer whose maps are weighted (default: the last)")
    maps.add_argument("--weights", metavar="FILE", help="published weights, for the name of a network")
    maps.add_argument("--labels", metavar="FILE", help="names of the classes of these weights, one in each line")
    return parser


def run(arguments: Sequence[str]) -> int:
    parser = made()
    own, fields = parser.own(arguments)
    options, rest = parser.parse_known_args(own)
    rest += fields
    name = re.sub(r"\W+", "-", Path(options.input).name.lower()).strip("-")[:40] or "input"

    from saccade.runs.ending import draw
    from saccade.runs.explained import explain, heads_of
    from saccade.runs.places import pictures_of

    if (found := heat_maps(options, rest, parser.options())) is None:
        found = explain(options.model, options.input, options.answer, options.only, rest, parser.options())
    asked = {"--from": options.token is not None, "--words": options.words, "--save": options.save}
    if not found.seen and (unused := [flag for flag, given in asked.items() if given]):
        raise InvalidInput(f"{unused[0]} is for attention maps, and {options.model} shows none")
    if options.words:
        found = found._replace(seen=found.seen.words())
        found = found._replace(pictures=heads_of(found.seen, found.said))
    for note in found.notes:
        complain(f"note: {note}")
    print(found.said)
    for picture in found.pictures:
        print(f"\n{drawable(picture.text(columns()))}")
    if found.seen:
        layers = found.seen.layers()  # computed once
        print("\n".join(["", *links(layers, found.special, options.token, options.links or LINKS)]))
        print("\n".join(["", *entropies(layers)]))
    for place, why in found.seen.unknown.items():
        print(f"\nnot captured: {place}: {why}")
    if options.save:
        found.seen.save(options.save)
        print(f"\nkept: {options.save}")
    if options.html:
        print(f"\npage: {page(found, options.html)}")
    print()
    folder = Path(options.pictures) if options.pictures else pictures_of(options.model)
    for path in draw(found.pictures, folder, name):
        print(f"picture: {path}")
    return 0


def heat_maps(options: argparse.Namespace, flags: Sequence[str], known: Sequence[str]) -> Any:
    """Heat maps, if they are asked for, or the model has nothing else to show; else None.

    Raises:
        InvalidInput, NotFound: there is no such model, or none of its pictures can be explained so.
    """
    from saccade.runs import classifiers
    from saccade.runs.heat_maps import DEFAULT, explained
    from saccade.runs.places import is_checkpoint, is_run
    from saccade.runs.run import load

    asked = options.method is not None or options.classes or options.layer is not None
    own = is_checkpoint(options.model) and classifiers.is_classifier(options.model)
    run = is_run(options.model)
    named = options.weights is not None or (
        not run and not is_checkpoint(options.model) and options.model in classifiers.architectures()
    )
    if options.labels is not None and not named:
        raise InvalidInput(f"--labels names the classes of --weights FILE, which {options.model} has not")
    if not (asked or own or named):
        return None
    of_attention = {"--answer": options.answer, "--only": options.only != "*", "--links": options.links is not None}
    if unused := [flag for flag, given in of_attention.items() if given]:
        raise InvalidInput(f"{unused[0]} is for attention maps; heat maps have none")
    if options.layer is not None and not options.layer.strip():
        raise InvalidInput("expected the name of a layer after --layer")
    if options.method is not None and not all(name.strip() for name in options.method.split(",")):
        raise InvalidInput(f"expected names of methods, separated by commas, not {options.method!r}")
    methods = DEFAULT if options.method is None else [name.strip() for name in options.method.split(",")]
    if not options.input.strip():
        raise InvalidInput("there is nothing to see: give the path of a picture")
    if run and not named:
        loaded, rest = load(options.model, flags, known)
        if rest:
            raise InvalidInput(f"unexpected argument {rest[0]!r}; flags begin with --")
        found = classifiers.of_run(loaded)
    elif flags:
        raise InvalidInput(f"{flags[0]} is a field of a run's configuration, but {options.model} is not a run")
    elif own and not named:
        found = classifiers.of_checkpoint(options.model)
    elif named:
        found = classifiers.of_architecture(options.model, options.weights, options.labels)
    else:
        raise classifiers.unknown(options.model)
    return explained(found, options.input, methods, options.classes, options.layer)


def page(found: Any, path: str) -> Path:
    """Write one page with all pictures; returns its path."""
    from saccade.core.files import write_atomically
    from saccade.core.picture import kind_of
    from saccade.explain.page import View, page_of

    systems = {kind_of(picture).partition(".")[0] for picture in found.pictures if "." in kind_of(picture)}
    text = page_of([View("", found.answer, "", found.pictures)], found.said, systems=sorted(systems))
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, text.encode("utf-8"))
    return file


def positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, not {text!r}")
    return int(text)


class Link(NamedTuple):
    weight: float
    query: str
    key: str
    where: str


def links(layers: Layers, special: set[str], token: str | None, count: int) -> list[str]:
    """The strongest links, strongest first: for each token the key with its largest weight in any head, except itself
    and special tokens such as [SEP]; or, for one token, every key with the head of its largest weight."""
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
            # for one token every key, otherwise only the key with the largest weight
            kind = tuple(queries), tuple(keys), q, k if token is not None else None
            best[kind] = max(link, best.get(kind, link))
    if token is not None and token not in known:
        raise InvalidInput(f"there is no token {token!r}; there are: {', '.join(sorted(known))}")
    strongest = [link for link in sorted(best.values(), reverse=True)[:count] if link.weight >= LEAST]
    if not strongest:
        return [f"no links of {LEAST} or more, except from tokens to themselves and to special tokens"]
    left, right = max(len(link.query) for link in strongest), max(len(link.key) for link in strongest)
    lines = (f"  {each.query:<{left}} -> {each.key:<{right}}  {each.weight:.2f}  {each.where}" for each in strongest)
    return ["the strongest links", *lines]


def plain(label: str) -> str:
    return label.removeprefix("·")


def entropies(layers: Layers) -> list[str]:
    """The entropy of each head in nats, averaged over queries; weights that do not sum to one are normalised."""
    from saccade.explain.measures import entropy

    rows = [
        (name, entropy(weights / weights.sum(-1, True).clamp_min(1e-12)).reshape(-1, len(queries)).mean(1).tolist())
        for name, (weights, queries, _) in layers.items()
    ]
    wide = min(WIDEST, max(len(name) for name, _ in rows))
    most = max(len(heads) for _, heads in rows)
    head = " ".join(f"{number:>5}" for number in range(most))
    lines = [f"entropy of the attention of each head, in nats\n  {'head':>{wide}} {head}"]
    return lines + [
        f"  {name if len(name) <= wide else '…' + name[-wide + 1 :]:<{wide}} " + " ".join(f"{x:5.2f}" for x in heads)
        for name, heads in rows
    ]
