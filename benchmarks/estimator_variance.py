"""Measure the noise and the bias of each gradient estimate for hard attention, compared with the exact gradient.

    python benchmarks/estimator_variance.py

A small RNNsearch with hard attention learns to copy the first three of five symbols. Then, for one sentence, the
gradient of its attention is computed exactly, over all 125 sequences of choices, and estimated many times. Spread is
the root of the summed variances, bias the norm of the mean's error, both in units of the exact gradient's norm; by
chance, the bias is about the spread divided by the root of the number of draws.
"""

import argparse
import itertools
import json
import math
from dataclasses import replace
from typing import Any

import torch
from measure import evidence
from torch import Tensor

from saccade.nets.attention_choice import Gumbel, Hard, ScoreFunctionGradient, StraightThrough
from saccade.systems.rnnsearch.model import RNNsearch, RNNsearchConfig

SYMBOLS, WORDS, ANSWER, SIZE, BATCH, START = 12, 5, 3, 16, 32, 1
UNBIASED = ScoreFunctionGradient(reward_weight=1.0, entropy_weight=0.0)
ESTIMATORS: dict[str, ScoreFunctionGradient | StraightThrough | Gumbel] = {
    "score function, no baseline": replace(UNBIASED, baseline="none"),
    "score function, moving baseline": replace(UNBIASED, baseline="moving"),
    "score function, learned baseline": ScoreFunctionGradient(
        baseline="learned", reward_weight=1.0, entropy_weight=0.0
    ),
    "straight-through": StraightThrough(),
    "Gumbel, temperature 1": Gumbel(),
    "Gumbel, temperature 0.3": Gumbel(temperature=0.3),
}


def made(estimator: ScoreFunctionGradient | StraightThrough | Gumbel) -> RNNsearch:
    sizes: dict[str, Any] = {f"{name}_size": SIZE for name in ("embedding", "hidden", "readout")}
    attention = Hard(attention_size=SIZE, estimator=estimator)
    return RNNsearch(RNNsearchConfig(attention=attention, dropout=0.0, **sizes), SYMBOLS, SYMBOLS).double()


def drawn(count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    source = torch.randint(2, SYMBOLS, (count, WORDS))
    target = source[:, :ANSWER]
    before = torch.cat([torch.full((count, 1), START), target[:, :-1]], 1)
    return source, torch.ones_like(source, dtype=torch.bool), before, target


def learned(steps: int) -> RNNsearch:
    model = made(ESTIMATORS["score function, learned baseline"])
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(steps):
        *given, target = drawn(BATCH)
        optimizer.zero_grad()
        model(*given).cross_entropy(target, ignore=-1).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model


def gradient(model: RNNsearch, loss: Tensor) -> Tensor:
    weights = list(model.decoder.recurrent.attention.parameters())
    return torch.cat([slope.flatten() for slope in torch.autograd.grad(loss, weights)])


def exact(model: RNNsearch, sentence: tuple[Tensor, ...]) -> Tensor:
    """The gradient of the expected loss, over all sequences of choices, weighted by their probabilities."""
    every = torch.tensor(list(itertools.product(range(WORDS), repeat=ANSWER)))
    *given, target = (part.expand(len(every), -1) for part in sentence)
    attention: Any = model.decoder.recurrent.attention
    read, told = attention.read, iter(every.unbind(1))
    attention.read = lambda *arguments: read(*arguments, choice=next(told))
    found = model(*given)
    del attention.read
    log_probs = found.log_probs().gather(2, target[..., None])[..., 0].sum(1)
    return gradient(model, -(found.choices.log_prob.sum(1).exp() * log_probs).sum() / ANSWER)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=200, help="steps of the training before the measurement")
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    torch.manual_seed(1)
    trained, sentence = learned(options.steps), drawn(1)
    right = exact(trained, sentence)
    result: dict[str, Any] = {"draws": options.draws, "steps": options.steps, "estimators": {}}
    for name, hard in ESTIMATORS.items():
        model = made(hard)
        model.load_state_dict(trained.state_dict(), strict=False)  # a baseline that the model does not have is ignored
        *given, target = sentence
        each = torch.stack(
            [gradient(model, model(*given).cross_entropy(target, ignore=-1)) for _ in range(options.draws)]
        )
        spread, bias = each.var(0).sum().sqrt() / right.norm(), (each.mean(0) - right).norm() / right.norm()
        chance = spread / math.sqrt(options.draws)
        result["estimators"][name] = {
            key: round(float(value), 3) for key, value in (("spread", spread), ("bias", bias), ("chance", chance))
        }
        print(name, json.dumps(result["estimators"][name]))
    if options.write:
        summary = {
            f"spread of the gradient of a hard choice, {name}": (
                f"{found['spread']:.2f}, bias {found['bias']:.2f} (by chance {found['chance']:.2f})"
            )
            for name, found in result["estimators"].items()
        }
        print(evidence("estimator_variance", summary, result))


if __name__ == "__main__":
    main()
