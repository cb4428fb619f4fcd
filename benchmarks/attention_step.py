"""Time one attention step of a decoder, forward and backward, for every mechanism, compared with the form in tutorials.

    python benchmarks/attention_step.py

For mechanisms with a hidden layer, the tutorial form repeats the state along the keys, concatenates both, and applies
the layer at every step. For the others, it is the paper's formula on a whole batch, with the constant parts computed
once. Both have the same weights, and their contexts are compared before the timing. Peak memory is that of 50 steps in
a separate process, minus that of two steps on few keys.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from typing import Any

import torch
from measure import alternate, evidence, own_peak, peak_memory, ratio
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention import (
    AdditiveAttention,
    BilinearAttention,
    ConcatAttention,
    CosineAttention,
    DotAttention,
    GaussianWindowAttention,
    HardAttention,
    LocalMonotonicAttention,
    LocalPredictiveAttention,
    LocationAwareAttention,
    PastAlignmentAttention,
    PositionalKeysAttention,
    ScaledDotAttention,
)

BATCH, KEYS, SIZE, STEPS, LONG = 32, 400, 512, 10, 50
MADE: dict[str, Callable[[], Any]] = {
    "additive": lambda: AdditiveAttention(SIZE, SIZE, SIZE),
    "concat": lambda: ConcatAttention(SIZE, SIZE, SIZE),
    "location-aware": lambda: LocationAwareAttention(SIZE, SIZE, SIZE),
    "dot": lambda: DotAttention(SIZE),
    "bilinear": lambda: BilinearAttention(SIZE, SIZE),
    "scaled-dot": lambda: ScaledDotAttention(SIZE, SIZE, SIZE),
    "cosine": lambda: CosineAttention(SIZE, SIZE),
    "local-monotonic": lambda: LocalMonotonicAttention(SIZE, SIZE),
    "local-predictive": lambda: LocalPredictiveAttention(SIZE, SIZE),
    "gaussian-window": lambda: GaussianWindowAttention(SIZE, SIZE),
    "positional-keys": lambda: PositionalKeysAttention(SIZE, SIZE, SIZE),
    "past-alignment": lambda: PastAlignmentAttention(SIZE, SIZE, SIZE),
    "hard": lambda: HardAttention(SIZE, SIZE, SIZE, estimator="straight-through"),
}
TUTORIAL = ("additive", "concat", "location-aware")
LENGTHENED = ("additive", "dot", "location-aware", "gaussian-window", "past-alignment")
Looks = list[Tensor]


def ours(attention: Any, keys: Tensor, mask: Tensor, queries: Looks) -> Looks:
    prepared = attention.prepare(keys, mask)
    state, contexts = attention.initial_state(prepared), []
    for query in queries:
        reading = attention.read(query, prepared, state)
        state = reading.state
        contexts.append(reading.context)
    return contexts


def read(scores: Tensor, keys: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    weights = scores.masked_fill(~mask, -1e10).softmax(1)
    return torch.bmm(weights[:, None], keys)[:, 0], weights


def tutorial(attention: Any, keys: Tensor, mask: Tensor, queries: Looks) -> Looks:
    """One layer over the concatenation at each step, with nothing moved out of the loop."""
    if isinstance(attention, ConcatAttention):
        layer, bias = attention.hidden.weight, None
    else:
        layer, bias = torch.cat([attention.query.weight, attention.key.weight], 1), attention.key.bias
    located = isinstance(attention, LocationAwareAttention)
    weights, contexts = F.one_hot(torch.zeros(len(keys), dtype=torch.long), keys.shape[1]).to(keys), []
    for query in queries:
        repeated = query[:, None].repeat(1, keys.shape[1], 1)
        hidden = F.linear(torch.cat([repeated, keys], 2), layer, bias)
        if located:
            hidden = hidden + attention.location(attention.filters(weights[:, None]).transpose(1, 2))
        context, weights = read(torch.tanh(hidden) @ attention.v, keys, mask)
        contexts.append(context)
    return contexts


def plain(attention: Any, keys: Tensor, mask: Tensor, queries: Looks) -> Looks:
    """The paper's formula on a batch; keys are projected once."""
    look, state, contexts = PLAIN[type(attention)](attention, keys, mask), None, []
    for query in queries:
        weights, state = look(query, state)
        contexts.append(torch.bmm(weights[:, None], keys)[:, 0])
    return contexts


def scored(score: Callable[[Any, Tensor], Callable[[Tensor], Tensor]]) -> Any:
    """Build the plain form of a mechanism without a state from its scores."""

    def made(attention: Any, keys: Tensor, mask: Tensor) -> Any:
        scores = score(attention, keys)
        return lambda query, _: (scores(query).masked_fill(~mask, -1e10).softmax(1), None)

    return made


def dot(_: Any, keys: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda query: torch.bmm(keys, query[:, :, None])[..., 0]


def bilinear(attention: Any, keys: Tensor) -> Callable[[Tensor], Tensor]:
    return dot(attention, attention.key(keys))


def scaled_dot(attention: Any, keys: Tensor) -> Callable[[Tensor], Tensor]:
    scores = dot(attention, attention.key(keys))
    return lambda query: scores(attention.query(query)) / SIZE**0.5


def cosine(attention: Any, keys: Tensor) -> Callable[[Tensor], Tensor]:
    def scores(query: Tensor) -> Tensor:
        near = F.cosine_similarity(attention.query(query)[:, None], keys, dim=2)
        return F.softplus(attention.strength(query)) * near

    return scores


def additive(attention: Any, keys: Tensor) -> Callable[[Tensor], Tensor]:
    projected = attention.key(keys)
    return lambda query: torch.tanh(projected + attention.query(query)[:, None]) @ attention.v


def positional(attention: Any, keys: Tensor) -> Callable[[Tensor], Tensor]:
    return additive(attention, keys + attention.positions[: keys.shape[1]])


def gaussian_window(attention: Any, keys: Tensor, mask: Tensor) -> Any:
    place = torch.arange(1, keys.shape[1] + 1, dtype=keys.dtype)

    def look(query: Tensor, location: Any) -> tuple[Tensor, Tensor]:
        height, sharpness, offset = attention.parameters_of(query).exp().chunk(3, 1)
        location = offset if location is None else location + offset
        away = location[..., None] - place
        return (height[..., None] * torch.exp(-sharpness[..., None] * away**2)).sum(1) * mask, location

    return look


def local(attention: Any, keys: Tensor, mask: Tensor) -> Any:
    scores, length = bilinear(attention, keys), mask.sum(1, keepdim=True)
    place = torch.arange(1, keys.shape[1] + 1)

    def look(query: Tensor, done: Any) -> tuple[Tensor, int]:
        count = (done or 0) + 1
        if isinstance(attention, LocalMonotonicAttention):
            away = place - length.clamp(max=count)
        else:
            away = place - length * torch.sigmoid(attention.centre(torch.tanh(attention.hidden(query))))
        near = mask & (away.abs() <= attention.half_width)
        weights = scores(query).masked_fill(~near, -1e10).softmax(1)
        if isinstance(attention, LocalPredictiveAttention):
            weights = weights * torch.exp(-(away**2) / (2 * attention.sigma**2))
        return weights, count

    return look


def past_alignment(attention: Any, keys: Tensor, mask: Tensor) -> Any:
    projected, gates_of_keys = attention.key(keys), attention.key_gates(keys)
    size = attention.memory_candidate.out_features

    def look(query: Tensor, memory: Any) -> tuple[Tensor, Tensor]:
        memory = keys.new_zeros(*keys.shape[:2], size) if memory is None else memory
        hidden = torch.tanh(attention.past(memory) + projected + attention.query(query)[:, None])
        weights = (hidden @ attention.v).masked_fill(~mask, -1e10).softmax(1)
        inputs = gates_of_keys + attention.query_gates(query)[:, None] + weights[..., None] * attention.weight_gates
        reset, update = torch.sigmoid(inputs[..., : 2 * size] + attention.memory_gates(memory)).chunk(2, 2)
        candidate = torch.tanh(inputs[..., 2 * size :] + attention.memory_candidate(reset * memory))
        return weights, update * memory + (1 - update) * candidate

    return look


def hard(attention: Any, keys: Tensor, mask: Tensor) -> Any:
    scores = additive(attention, keys)

    def look(query: Tensor, _: Any) -> tuple[Tensor, None]:
        weights = scores(query).masked_fill(~mask, -1e10).softmax(1)
        drawn = (weights.log() - torch.log(-torch.log(torch.rand(weights.shape)))).argmax(1)
        return F.one_hot(drawn, weights.shape[1]) + weights - weights.detach(), None

    return look


PLAIN: dict[type, Any] = {
    DotAttention: scored(dot), BilinearAttention: scored(bilinear), ScaledDotAttention: scored(scaled_dot),
    CosineAttention: scored(cosine), PositionalKeysAttention: scored(positional), LocalMonotonicAttention: local,
    LocalPredictiveAttention: local, GaussianWindowAttention: gaussian_window, PastAlignmentAttention: past_alignment,
    HardAttention: hard,
}  # fmt: skip


def looks(name: str, form: str, keys: int, steps: int) -> Callable[[], list[Tensor]]:
    """A function to time: this many steps, forward and backward. It returns contexts and gradients."""
    torch.manual_seed(0)
    attention = MADE[name]()
    for weight in attention.parameters():
        nn.init.normal_(weight, std=0.02)
    annotations = torch.randn(BATCH, keys, SIZE, requires_grad=True)
    mask = torch.arange(keys) < torch.randint(keys // 2, keys + 1, (BATCH, 1))
    queries = torch.randn(steps, BATCH, SIZE, requires_grad=True)
    run = {"saccade": ours, "tutorial": tutorial, "plain": plain}[form]

    def once() -> list[Tensor]:
        contexts = run(attention, annotations, mask, list(queries.unbind(0)))
        found = torch.stack(contexts)
        weights = [annotations, queries, *attention.parameters()]
        return [found.detach(), *torch.autograd.grad(found.square().sum(), weights)]

    return once


def compared(name: str, peer: str) -> None:
    """Check that both forms compute the same contexts and gradients."""
    pairs = zip(looks(name, "saccade", 37, 3)(), looks(name, peer, 37, 3)(), strict=True)
    for one, other in pairs:
        assert (one - other).norm() < 1e-4 * other.norm(), f"{name}: the forms differ"


def peak(name: str, form: str) -> float:
    """Peak memory of 50 steps in MB, minus that of a process that takes two steps on few keys."""
    sizes = ["--memory-of", name, "--form", form]
    return peak_memory(sys.argv[0], sizes) - peak_memory(sys.argv[0], [*sizes, "--small"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=list(MADE), default=list(MADE))
    parser.add_argument("--memory-of", choices=list(MADE), help="only: run this mechanism, print its peak in MB")
    parser.add_argument("--form", choices=("saccade", "tutorial", "plain"), default="saccade")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    if options.memory_of:
        looks(options.memory_of, options.form, 16 if options.small else KEYS, 2 if options.small else LONG)()
        print(own_peak())
        return
    result: dict[str, Any] = {"sizes": {"batch": BATCH, "keys": KEYS, "size": SIZE, "steps": STEPS}, "mechanisms": {}}
    for name in options.only:
        forms = {"saccade": looks(name, "saccade", KEYS, STEPS)}
        peer = "tutorial" if name in TUTORIAL else "plain"
        compared(name, peer)
        forms[peer] = looks(name, peer, KEYS, STEPS)
        seconds = alternate(forms, options.rounds)
        found = {
            "milliseconds_a_step": {
                form: round(1000 * statistics.median(times) / STEPS, 2) for form, times in seconds.items()
            }
        }
        found["times"] = round(ratio(seconds[peer], seconds["saccade"]), 2)
        found["peak_mb_of_50_steps"] = {form: round(peak(name, form)) for form in forms}
        result["mechanisms"][name] = found
        print(name, json.dumps(found))
    a_key = result["microseconds_a_key_and_step"] = {}
    for name in LENGTHENED:
        longer = {str(keys): looks(name, "saccade", keys, 2) for keys in (100, 400, 1600, 6400)}
        seconds = alternate(longer, max(3, options.rounds // 2))
        a_key[name] = {keys: round(1e6 * statistics.median(times) / 2 / int(keys)) for keys, times in seconds.items()}
        print(name, json.dumps(a_key[name]))
    if options.write:
        summary = {
            f"a look of {name} attention, forward and backward, beside the {form} form": (
                f"{found['times']} x, peak memory of 50 steps {{0}} against {{1}} MB".format(
                    *found["peak_mb_of_50_steps"].values()
                )
            )
            for name, found in result["mechanisms"].items()
            for form in list(found["milliseconds_a_step"])[1:]
        }
        for name, times in a_key.items():
            what = f"microseconds a key and step of {name} attention, 100 to 6,400 keys"
            summary[what] = ", ".join(map(str, times.values()))
        print(evidence("attention_step", summary, result))


if __name__ == "__main__":
    main()
