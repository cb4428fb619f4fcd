"""A training step of Show, Attend and Tell, beside the form of the most used tutorial; and beam search in batches.

    python benchmarks/captions_step.py

32 captions of 20 words, 196 regions of 512 features, an LSTM of 512 cells, attention and embeddings of 512, 9,490
words: forward, backward, clipping and an update by Adam. The tutorial's form has the same weights; in its loop over the
words it projects the regions for the attention, and the state onto the vocabulary, again for each word. Its loss and
its gradients are compared before anything is timed. Then beam search of width 5 over 20 words: a batch of photos beside
one photo at a time.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from measure import alternate, evidence, ratio
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.products import install
from saccade.nets.attention_choice import Additive
from saccade.nets.caption_decoder import CaptionDecoder, CaptionDecoderConfig
from saccade.nets.search import Symbols, beam_search

CAPTIONS, STEPS, REGIONS, FEATURES, CELLS, WORDS = 32, 20, 196, 512, 512, 9490
BEAM, LIMIT, PAD = 5, 20, 0


def captioner() -> CaptionDecoder:
    torch.manual_seed(0)
    config = CaptionDecoderConfig(
        attention=Additive(attention_size=512), embedding_size=512, hidden_size=CELLS, dropout=0.0
    )
    return CaptionDecoder(config, WORDS, FEATURES)


class Tutorial(nn.Module):
    """The same equations with everything in the loop, and the weights of ours."""

    def __init__(self, ours: CaptionDecoder) -> None:
        super().__init__()
        self.ours = ours

    def forward(self, regions: Tensor, tokens: Tensor) -> Tensor:
        ours, recurrent, readout = self.ours, self.ours.recurrent, self.ours.readout
        attention, gate, cell = ours.mechanism, recurrent.attention.gate, recurrent.cell
        mean = regions.mean(1)
        hidden, content = ours.initial_hidden(mean).tanh(), ours.initial_cell(mean).tanh()
        nothing, logits = torch.zeros_like(cell.bias), []
        for t in range(tokens.shape[1]):
            embedded = ours.embedding(tokens[:, t])
            scores = (attention.key(regions) + attention.query(hidden)[:, None]).tanh() @ attention.v
            context = (regions * scores.softmax(1)[:, :, None]).sum(1)
            context = gate(hidden).sigmoid() * context
            hidden, content = torch.lstm_cell(
                torch.cat([embedded, context], 1), (hidden, content), cell.weight_input, cell.weight_hidden, cell.bias,
                nothing,
            )  # fmt: skip
            logits.append(readout.output(embedded + readout.hidden(hidden) + readout.context(context)))
        return torch.stack(logits, 1)


def loss_of(model: nn.Module, regions: Tensor, tokens: Tensor) -> Tensor:
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    if isinstance(model, CaptionDecoder):
        loss: Tensor = model(inputs, model.start(regions)).projection.cross_entropy(targets, PAD)
        return loss
    return F.cross_entropy(model(regions, inputs).flatten(0, 1), targets.flatten(), ignore_index=PAD)


def batch(captions: int) -> tuple[Tensor, Tensor]:
    return torch.randn(captions, REGIONS, FEATURES), torch.randint(1, WORDS, (captions, STEPS + 1))


def training_step(model: nn.Module, regions: Tensor, tokens: Tensor) -> Callable[[], Tensor]:
    """A whole update on the same batch each time."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-6)

    def step() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(model, regions, tokens)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        return loss.detach()

    return step


def same(ours: CaptionDecoder, tutorial: Tutorial) -> None:
    """Raise unless both give the same loss and gradients."""
    regions, tokens = batch(3)
    weights, slopes = list(ours.parameters()), []
    for model in (ours, tutorial):
        loss = loss_of(model, regions, tokens)
        slopes.append([loss.detach()[None], *torch.autograd.grad(loss, weights)])
    for one, other in zip(*slopes, strict=True):
        assert (one - other).norm() <= 1e-3 * other.norm() + 1e-6, "the forms differ"


def training(captions: int, rounds: int, clock: Callable[[], float]) -> dict[str, Any]:
    ours = captioner()
    tutorial = Tutorial(ours)
    same(ours, tutorial)
    install(ours)
    data = batch(captions)
    forms = {"saccade": training_step(ours, *data), "tutorial": training_step(tutorial, *data)}
    seconds = alternate(forms, rounds, warm=1, clock=clock)
    median = {form: round(1000 * statistics.median(times), 1) for form, times in seconds.items()}
    return {"milliseconds": median, "times": round(ratio(seconds["tutorial"], seconds["saccade"]), 2)}


def searching(photos: int, rounds: int, clock: Callable[[], float]) -> dict[str, Any]:
    model = captioner().eval()
    install(model)
    regions, limits = torch.randn(photos, REGIONS, FEATURES), torch.full((photos,), LIMIT)

    def search(rows: slice) -> list[list[int]]:
        found = beam_search(model, regions[rows], limits[rows], Symbols(1, 2), BEAM, 0.0, 1)
        return [best[0].tokens for best in found]

    def singly() -> list[list[int]]:
        return [search(slice(row, row + 1))[0] for row in range(photos)]

    assert search(slice(None)) == singly(), "a batch gives other captions"
    seconds = alternate({"batch": lambda: search(slice(None)), "singly": singly}, rounds, warm=0, clock=clock)
    median = {form: round(1000 * statistics.median(times) / photos, 2) for form, times in seconds.items()}
    return {"milliseconds a photo": median, "times": round(ratio(seconds["singly"], seconds["batch"]), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--captions", type=int, default=CAPTIONS)
    parser.add_argument("--photos", type=int, default=CAPTIONS, help="photos of a batch in beam search")
    parser.add_argument("--process-time", action="store_true", help="time of this process, for a machine that is busy")
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    clock = time.process_time if options.process_time else time.perf_counter
    step = training(options.captions, options.rounds, clock)
    print("training step", json.dumps(step))
    beam = searching(options.photos, options.rounds, clock)
    print("beam search", json.dumps(beam))
    if options.write:
        summary = {
            f"training step, {options.captions} captions, {REGIONS} regions, {WORDS:,} words, beside the tutorial's "
            "form with keys and vocabulary projected in the loop": f"{step['times']} x",
            f"beam search of width {BEAM}, {options.photos} photos at once, beside one at a time": f"{beam['times']} x",
        }
        print(evidence("captions_step", summary, {"training step": step, "beam search": beam}))


if __name__ == "__main__":
    main()
