"""Time the beam search of the Transformer and of RNNsearch, compared with `generate` of Hugging Face's Marian.

    python benchmarks/transformer_decoding.py [--precision bfloat16] [--torchs-products] [--batches 100 500]

1,000 sentences of 15 symbols, beam 5, random weights, every answer of exactly 15 symbols (the end symbol forced at the
last), so that both do the same work. Same sizes: d = 256, 3 + 3 layers, 8 heads, 1,024 hidden units, 6,000 symbols.
"""

import argparse
import json
import statistics
import sys
import warnings
from collections.abc import Callable
from typing import Any

import measure
import torch
from torch import Tensor

from saccade.core.products import install
from saccade.nets.attention_choice import Additive
from saccade.nets.projection import Projection
from saccade.nets.search import Symbols, beam_search
from saccade.systems.rnnsearch.model import RNNsearch, RNNsearchConfig
from saccade.systems.transformer.model import Transformer, TransformerConfig

SIZE, HEADS, LAYERS, HIDDEN, VOCABULARY = 256, 8, 3, 1024, 6000
SENTENCES, LENGTH, BEAM, END, START = 1000, 15, 5, 3, 2
FORMS = ("saccade", "marian", "rnnsearch")


class Ending:
    """A model whose answers end at the last position and not before."""

    def __init__(self, model: Any) -> None:
        self.model, self.taken = model, 0

    def start(self, encoded: Any) -> Any:
        self.taken = 0
        return self.model.start(encoded)

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        projection, state = self.project(tokens, state)
        return projection.log_probs(), state

    def project(self, tokens: Tensor, state: Any) -> tuple[Projection, Any]:
        projection, state = self.model.project(tokens, state)
        self.taken += 1
        bias = projection.bias.clone()
        if self.taken < LENGTH:
            bias[END] = -torch.inf
        else:
            bias[:END] = bias[END + 1 :] = -torch.inf
        return projection._replace(bias=bias), state


def ours(model: Any, source: Tensor, batch: int, precision: str) -> Callable[[], list[list[int]]]:
    model.eval()
    install(model)  # as when a run is built

    def decode() -> list[list[int]]:
        answers = []
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            for rows in source.split(batch):
                encoded = model.encode(rows, torch.ones_like(rows, dtype=torch.bool))
                limits = torch.full((len(rows),), LENGTH)
                found = beam_search(Ending(model), encoded, limits, Symbols(START, END), BEAM)
                answers += [hypotheses[0].tokens for hypotheses in found]
        assert {len(answer) for answer in answers} == {LENGTH - 1}
        return answers

    return decode


def theirs(source: Tensor, batch: int, precision: str) -> Callable[[], None]:
    warnings.filterwarnings("ignore")
    from transformers import GenerationConfig, MarianConfig, MarianMTModel
    from transformers.utils import logging

    logging.set_verbosity_error()
    config = MarianConfig(
        vocab_size=VOCABULARY, d_model=SIZE, encoder_layers=LAYERS, decoder_layers=LAYERS,
        encoder_attention_heads=HEADS, decoder_attention_heads=HEADS, encoder_ffn_dim=HIDDEN, decoder_ffn_dim=HIDDEN,
        max_position_embeddings=64, pad_token_id=0, eos_token_id=END, bos_token_id=START, decoder_start_token_id=START,
        forced_eos_token_id=END, scale_embedding=True, activation_function="relu",
    )  # fmt: skip
    model = MarianMTModel(config).eval()
    if precision == "bfloat16":
        model = model.to(torch.bfloat16)
    options = GenerationConfig(
        num_beams=BEAM, min_new_tokens=LENGTH, max_new_tokens=LENGTH, do_sample=False, use_cache=True,
        pad_token_id=0, eos_token_id=END, bos_token_id=START, decoder_start_token_id=START, forced_eos_token_id=END,
    )  # fmt: skip

    def decode() -> None:
        with torch.inference_mode():
            for rows in source.split(batch):
                found = model.generate(rows, attention_mask=torch.ones_like(rows), generation_config=options)
                assert found.shape[1] == LENGTH + 1

    return decode


def operations() -> float:
    """Operations of the products with weights, a multiply and an add each, which no form can avoid."""
    encoder = LAYERS * (4 * SIZE**2 + 2 * SIZE * HIDDEN) + LAYERS * 2 * SIZE**2
    decoder = LAYERS * (6 * SIZE**2 + 2 * SIZE * HIDDEN) + SIZE * VOCABULARY
    return 2.0 * SENTENCES * LENGTH * (encoder + BEAM * decoder)


def form(name: str, precision: str, batch: int) -> Callable[[], object]:
    torch.manual_seed(0)
    source = torch.randint(4, VOCABULARY, (SENTENCES, LENGTH))
    if name == "marian":
        return theirs(source, batch, precision)
    if name == "rnnsearch":
        sizes = RNNsearchConfig(
            attention=Additive(attention_size=SIZE), embedding_size=SIZE, hidden_size=SIZE, readout_size=SIZE
        )
        return ours(RNNsearch(sizes, VOCABULARY, VOCABULARY), source, batch, precision)
    config = TransformerConfig(layers=LAYERS, model_size=SIZE, heads=HEADS, hidden_size=HIDDEN)
    return ours(Transformer(config, VOCABULARY, VOCABULARY), source, batch, precision)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=[100, 500], help="sentences at a time, of all forms")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS)
    parser.add_argument("--memory-of", choices=FORMS, help="only: run this form once, print its peak in MB")
    parser.add_argument(
        "--torchs-products", action="store_true", help="without oneDNN in float32, as on most processors"
    )
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    if options.torchs_products:
        measure.take_torchs_products()
    precision, batches = options.precision, options.batches
    if options.memory_of:
        form(options.memory_of, precision, batches[0])()
        print(measure.own_peak())
        return
    forms = {(name, batch): form(name, precision, batch) for name in options.forms for batch in batches}
    seconds = measure.alternate(
        {f"{name} {batch}": run for (name, batch), run in forms.items()} | measure.matrix_products(),
        options.rounds,
        warm=1,
    )
    rates = {
        name: {batch: round(SENTENCES / statistics.median(seconds[f"{name} {batch}"])) for batch in batches}
        for name in options.forms
    }
    best = {name: max(batches, key=lambda batch: rates[name][batch]) for name in rates}
    result: dict[str, Any] = {
        "sizes": {"d": SIZE, "layers": LAYERS, "heads": HEADS, "hidden": HIDDEN, "vocabulary": VOCABULARY},
        "sentences": SENTENCES, "length": LENGTH, "beam": BEAM, "batches": batches, "precision": precision,
        "torchs_products": options.torchs_products,
        "rounds": options.rounds,
        "sentences_per_second": rates,
        "share_of_the_float32_floor": {
            name: measure.shares_of_the_floor(operations(), seconds, f"{name} {best[name]}")
            for name in rates
            if name != "rnnsearch"
        },
        "gflop_per_second": measure.gflop_per_second(seconds),
    }  # fmt: skip
    if {"saccade", "marian"} <= set(rates):
        times = {
            f"both {batch} at a time": round(measure.ratio(seconds[f"marian {batch}"], seconds[f"saccade {batch}"]), 2)
            for batch in batches
        }
        fastest = [seconds[f"{name} {best[name]}"] for name in ("marian", "saccade")]
        result["times_marian"] = times | {"each at its best": round(measure.ratio(*fastest), 2)}
    print(json.dumps(result, indent=1))
    if options.write:
        write(result, best)


def write(result: dict[str, Any], best: dict[str, int]) -> None:
    precision, rates = result["precision"], result["sentences_per_second"]
    arguments = ["--precision", precision, "--batches", str(result["batches"][0])]
    arguments += ["--torchs-products"] * result["torchs_products"] + ["--memory-of"]
    kind = precision + ", torch's own products" * result["torchs_products"]
    peaks = {name: round(measure.peak_memory(sys.argv[0], [*arguments, name])) for name in FORMS}
    result["peak_mb"] = peaks
    summary = {
        f"beam-5 decoding, {kind}, beside Marian's generate": "; ".join(
            f"{when}: {times} x" for when, times in result["times_marian"].items()
        ),
        f"... {kind}: sentences a second of Transformer, Marian, RNNsearch": ", ".join(
            f"{rates[name][best[name]]} ({best[name]} at a time)" for name in FORMS
        ),
        f"... {kind}: share of the float32 floor": measure.percentages(result["share_of_the_float32_floor"]["saccade"]),
        f"... {kind}: peak memory of Transformer, Marian, RNNsearch, {result['batches'][0]} at a time": (
            f"{peaks['saccade']}, {peaks['marian']}, {peaks['rnnsearch']} MB"
        ),
    }
    print(measure.evidence("transformer_decoding", summary, result))


if __name__ == "__main__":
    main()
