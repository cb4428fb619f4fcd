"""Time the training of RNNsearch, compared with the form in tutorials and with the machine's limit.

    python benchmarks/rnnsearch_training.py

The tutorial form repeats the decoder's state along the source, concatenates it with the annotations, scores each pair
with one linear layer, and projects state, context and symbol onto the vocabulary inside the loop; its recurrent nets
are torch.nn.GRU. "tutorial-maxout" is that form with our readout: a maxout layer before the projection, which then has
a quarter of the operations. Sizes and optimizer are the same in all forms. Tokens are random, without padding.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from typing import Any

import measure
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.products import install
from saccade.nets.attention_choice import Additive
from saccade.systems.rnnsearch.model import RNNsearch, RNNsearchConfig

EMBEDDING = HIDDEN = ATTENTION = READOUT = 256
VOCABULARY, BATCH, LENGTH = 6000, 64, 15
FORMS = ("saccade", "tutorial", "tutorial-maxout")


class TutorialForm(nn.Module):
    """RNNsearch step by step, with nothing moved out of the loop."""

    def __init__(self, maxout: bool) -> None:
        super().__init__()
        self.maxout = maxout
        self.source_embedding = nn.Embedding(VOCABULARY, EMBEDDING)
        self.target_embedding = nn.Embedding(VOCABULARY, EMBEDDING)
        self.encoder = nn.GRU(EMBEDDING, HIDDEN, bidirectional=True, batch_first=True)
        self.initial = nn.Linear(HIDDEN, HIDDEN)
        self.energy = nn.Linear(HIDDEN + 2 * HIDDEN, ATTENTION)
        self.v = nn.Linear(ATTENTION, 1, bias=False)
        self.decoder = nn.GRU(EMBEDDING + 2 * HIDDEN, HIDDEN, batch_first=True)
        joined = HIDDEN + EMBEDDING + 2 * HIDDEN
        self.hidden = nn.Linear(joined, 2 * READOUT) if maxout else nn.Identity()
        self.output = nn.Linear(READOUT if maxout else joined, VOCABULARY)

    def forward(self, source: Tensor, mask: Tensor, target: Tensor) -> Tensor:
        annotations, final = self.encoder(self.source_embedding(source))
        state = torch.tanh(self.initial(final[1]))
        logits = []
        for t in range(target.shape[1]):
            repeated = state[:, None].repeat(1, source.shape[1], 1)
            scores = self.v(torch.tanh(self.energy(torch.cat([repeated, annotations], 2))))[..., 0]
            weights = scores.masked_fill(~mask, -1e10).softmax(1)
            context = torch.bmm(weights[:, None], annotations)[:, 0]
            embedded = self.target_embedding(target[:, t])
            _, final = self.decoder(torch.cat([embedded, context], 1)[:, None], state[None])
            state = final[0]
            features = self.hidden(torch.cat([state, embedded, context], 1))
            logits.append(self.output(features.view(-1, READOUT, 2).amax(2) if self.maxout else features))
        return torch.stack(logits, 1)


def operations() -> float:
    """Floating-point operations of one update: a multiply and an add for each weight and token, three times (forward,
    the gradient of the inputs, the gradient of the weights). Only operations that no form can avoid count."""
    source = 2 * 3 * HIDDEN * (EMBEDDING + HIDDEN) + 2 * HIDDEN * ATTENTION
    decoder = 3 * HIDDEN * (EMBEDDING + 2 * HIDDEN + HIDDEN) + HIDDEN * ATTENTION
    read = LENGTH * (ATTENTION + 2 * HIDDEN)
    readout = 2 * READOUT * (HIDDEN + EMBEDDING + 2 * HIDDEN) + READOUT * VOCABULARY
    return 3 * 2 * BATCH * LENGTH * (source + decoder + read + readout)


def update(form: str) -> Callable[[], None]:
    """A function to time: one update of the weights."""
    torch.manual_seed(0)
    sizes = RNNsearchConfig(
        attention=Additive(attention_size=ATTENTION),
        embedding_size=EMBEDDING,
        hidden_size=HIDDEN,
        readout_size=READOUT,
        dropout=0.0,
    )
    ours = form == "saccade"
    model = RNNsearch(sizes, VOCABULARY, VOCABULARY) if ours else TutorialForm(maxout=form == "tutorial-maxout")
    if ours:
        install(model)  # as when a run is built
    source, target = (torch.randint(4, VOCABULARY, (BATCH, LENGTH)) for _ in range(2))
    mask = torch.ones_like(source, dtype=torch.bool)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.0, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        found = model(source, mask, target)
        if ours:
            loss = found.cross_entropy(target, ignore=0)
        else:
            loss = F.cross_entropy(found.flatten(0, 1), target.flatten(), ignore_index=0)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--memory-of", choices=FORMS, help="only: run this form, print its peak in MB")
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    if options.memory_of:
        step = update(options.memory_of)
        for _ in range(5):
            step()
        print(measure.own_peak())
        return
    seconds = measure.alternate({form: update(form) for form in FORMS} | measure.matrix_products(), options.rounds)
    ours = seconds["saccade"]
    result: dict[str, Any] = {
        "sizes": {"embedding": EMBEDDING, "hidden": HIDDEN, "vocabulary": VOCABULARY, "batch": BATCH, "length": LENGTH},
        "rounds": options.rounds,
        "target_tokens_per_second": {form: round(BATCH * LENGTH / statistics.median(seconds[form])) for form in FORMS},
        "times_the_tutorial_form": round(measure.ratio(seconds["tutorial"], ours), 2),
        "times_the_tutorial_form_with_our_readout": round(measure.ratio(seconds["tutorial-maxout"], ours), 2),
        "gflop_per_update": round(operations() / 1e9, 2),
        "gflop_per_second": measure.gflop_per_second(seconds),
        "share_of_the_floor": measure.shares_of_the_floor(operations(), seconds, "saccade"),
        "peak_mb": {form: round(measure.peak_memory(sys.argv[0], ["--memory-of", form])) for form in FORMS},
    }
    print(json.dumps(result, indent=1))
    if options.write:
        summary = {
            "training of RNNsearch, target tokens a second beside the tutorial form": (
                f"{result['times_the_tutorial_form']} x"
            ),
            "... beside the tutorial form with our readout": f"{result['times_the_tutorial_form_with_our_readout']} x",
            "... share of the float32 floor": measure.percentages(result["share_of_the_floor"]),
            "... peak memory, ours and the tutorial form's": "{saccade} MB and {tutorial} MB".format(
                **result["peak_mb"]
            ),
        }
        print(measure.evidence("rnnsearch_training", summary, result))


if __name__ == "__main__":
    main()
